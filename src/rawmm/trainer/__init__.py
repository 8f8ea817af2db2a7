"""From rollouts to the trainer: samples with references to their media.

Each branch of the message graph becomes a sample. Samples are truncated and packed into
micro-batches::

    samples = samples_from(trace, layout="qwen_vl", image_dir=run_image_dir())
    batch = pack([truncate(one, 32_768) for one in samples])

Field names are those of prime-rl's transport. Its structs are accepted, as are mappings and the
MessagePack arrays that `decode_sample` reads. At every step each medium keeps all its placeholder
tokens, and each placeholder token its medium. Images are read or written only to describe a record
without sidecars, and where inline images enter or leave.
"""

from __future__ import annotations

from rawmm.trainer.forms import SAMPLE_FIELDS, SAMPLE_FORMS
from rawmm.trainer.mm_refs import build_mm_refs
from rawmm.trainer.packing import MicroBatch, pack, unpack
from rawmm.trainer.rollout import sample_from, samples_from
from rawmm.trainer.sample import TrainingSample, as_sample
from rawmm.trainer.truncation import truncate
from rawmm.trainer.wire import decode_sample, encode_sample

__all__ = [
    "SAMPLE_FIELDS",
    "SAMPLE_FORMS",
    "MicroBatch",
    "TrainingSample",
    "as_sample",
    "build_mm_refs",
    "decode_sample",
    "encode_sample",
    "pack",
    "sample_from",
    "samples_from",
    "truncate",
    "unpack",
]

# For other packages of rawmm, not public.
from rawmm.trainer.spans import span_errors as span_errors
