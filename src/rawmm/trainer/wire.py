"""Samples as prime-rl's transport writes them: MessagePack arrays in field order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.codec import decode_msgpack
from rawmm.errors import contract_error, counted, shown, shown_names
from rawmm.structs import MMRefs
from rawmm.trainer.sample import FIELDS, TrainingSample, as_sample, sample_of
from rawmm.writing import enc_hook

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE_FIELDS: Final = (
    "token_ids",
    "mask",
    "logprobs",
    "temperatures",
    "env_name",
    "ref_logprobs",
    "mm_kwargs",
    "mm_refs",
    "routed_experts",
    "mm_token_type_ids",
    "rl_weights",
    "ce_weights",
    "ref_kl_weights",
    "advantages",
)
"""The transport's fields of a sample in August 2026, in order."""

_FAILED: Final = object()
_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=enc_hook)


def decode_sample(data: Any, *, fields: Sequence[str] = SAMPLE_FIELDS) -> TrainingSample:
    """One sample from the transport's bytes.

    An array says nothing of what it holds, so it must have exactly the fields that are named.

    Args:
        data: one MessagePack document, an array.
        fields: names of the transport's fields, in order.

    Raises:
        ContractError: ``malformed`` for what is no MessagePack; ``bad_length`` for more or fewer
            fields; and what `as_sample` raises, with ``path`` by position: ``$[7][0][1]`` is the
            second image.
        ProcessedPayloadError: the sample holds the output of an image processor.
    """
    values: Any
    try:
        values = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, BufferError):
        values = _FAILED
    if values is _FAILED:  # outside of the handler, so that msgspec's words become no context
        values = decode_msgpack(data, MMRefs)
    if not isinstance(values, list):
        raise contract_error("wrong_type", (), expected="an array", got=shown(values))
    if len(values) != len(fields):
        raise contract_error(
            "bad_length",
            (),
            expected=f"{counted(len(fields), 'field')}: {shown_names(fields)}",
            got=str(len(values)),
            hint="name the fields of the transport that wrote it",
        )
    places = {name: index for index, name in enumerate(fields)}
    return sample_of(dict(zip(fields, values, strict=True)), lambda name: (places.get(name, name),))


def encode_sample(sample: Any, *, fields: Sequence[str] = SAMPLE_FIELDS) -> bytes:
    """One sample as the transport's bytes. What `fields` names and the sample lacks is null.

    Args:
        sample: a `TrainingSample`, or what `as_sample` takes.
        fields: names of the transport's fields, in order.

    Raises:
        ContractError: ``unknown_field`` if the transport has no place for what the sample holds,
            and what `as_sample` raises.
        ProcessedPayloadError: the sample holds the output of an image processor.
    """
    checked = as_sample(sample)
    values = {name: getattr(checked, name) for name in FIELDS - {"streams", "info"}}
    values |= checked.streams | checked.info
    for name, value in values.items():
        if name not in fields and value is not None and value != "":
            raise contract_error(
                "unknown_field",
                (name,),
                expected=f"only the fields {shown_names(fields)}",
                got=shown(value),
                hint="it would be lost: name the fields of the transport",
            )
    if (routed := checked.routed_experts) is not None:
        values["routed_experts"] = [routed.data, routed.shape, routed.dtype]
    return _ENCODER.encode([values.get(name) for name in fields])
