"""Samples as prime-rl's transport writes them: MessagePack arrays in field order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.codec import decode_msgpack, enc_hook
from rawmm.errors import contract_error, counted, shown, shown_names
from rawmm.model.types import MMRefs
from rawmm.real_class import is_a
from rawmm.trainer.sample import FIELDS, TrainingSample, as_sample, sample_of
from rawmm.values.views import as_sequence

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
    names = _names(fields)
    if not is_a(data, (bytes, bytearray, memoryview)):
        raise contract_error(
            "wrong_type", (), expected="the bytes of one document", got=shown(data)
        )
    try:
        values = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, BufferError):
        values = _FAILED  # raised below: msgspec's words become no context
    if values is _FAILED:
        decode_msgpack(data, MMRefs)  # the same failure again, in rawmm's words
    if not is_a(values, list):
        raise contract_error("wrong_type", (), expected="an array", got=shown(values))
    if len(values) != len(names):
        raise contract_error(
            "bad_length",
            (),
            expected=f"{counted(len(names), 'field')}: {shown_names(names)}",
            got=str(len(values)),
            hint="name the fields of the transport that wrote it",
        )
    places = {name: index for index, name in enumerate(names)}
    return sample_of(dict(zip(names, values, strict=True)), lambda name: (places.get(name, name),))


def encode_sample(sample: Any, *, fields: Sequence[str] = SAMPLE_FIELDS) -> bytes:
    """One sample as the transport's bytes. What `fields` names and the sample lacks is null.

    Args:
        sample: a `TrainingSample`, or what `as_sample` takes.
        fields: names of the transport's fields, in order.

    Raises:
        ContractError: ``unknown_field`` if the transport has no place for what the sample holds,
            and what `as_sample` raises.
        ProcessedPayloadError: the sample holds the output of an image processor, or a value that
            the format cannot say.
    """
    names = _names(fields)
    checked = as_sample(sample)
    values = {name: getattr(checked, name) for name in FIELDS - {"streams", "info"}}
    values |= checked.streams | checked.info
    for name, value in values.items():
        if name not in names and value is not None and (name, value) != ("env_name", ""):
            raise contract_error(
                "unknown_field",
                (name,),
                expected=f"only the fields {shown_names(names)}",
                got=shown(value),
                hint="it would be lost: name the fields of the transport",
            )
    if (routed := checked.routed_experts) is not None:
        values["routed_experts"] = [routed.data, routed.shape, routed.dtype]
    try:
        return _ENCODER.encode([values.get(name) for name in names])
    except OverflowError:
        pass  # raised below: an integer beyond 64 bits, which is the only thing left
    raise contract_error(
        "not_json",
        (),
        expected="values that the format can say",
        got="an integer beyond 64 bits",
    )


def _names(fields: Any) -> list[str]:
    """Names of the transport's fields."""
    names = as_sequence(fields)
    if names is None or not all(is_a(name, str) for name in names):
        raise contract_error(
            "wrong_type", ("fields",), expected="a list of names", got=shown(fields)
        )
    for name in names:
        if names.count(name) > 1:
            raise contract_error(
                "duplicate_key", ("fields",), expected="each name once", got=shown(name)
            )
    return list(names)
