"""From rollouts to the trainer: samples with references to their media.

A branch of the message graph becomes a sample. Samples are truncated and packed into
micro-batches::

    sample = sample_from(branch, image_dir=run_image_dir())
    batch = pack([truncate(sample, 32_768), ...])

Field names are those of prime-rl's transport. Its structs are accepted, as are mappings and the
MessagePack arrays that `decode_sample` reads. At every step each medium keeps all its placeholder
tokens, and each placeholder token its medium. Nothing here does I/O.
"""

from __future__ import annotations

from rawmm.trainer.forms import SAMPLE_FIELDS, SAMPLE_FORMS
from rawmm.trainer.mm_refs import build_mm_refs
from rawmm.trainer.packing import MicroBatch, pack, unpack
from rawmm.trainer.rollout import sample_from
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
    "truncate",
    "unpack",
]

# For other packages of rawmm, not public.
from rawmm.trainer.spans import span_errors as span_errors
