"""Read and write samples as prime-rl's transport does: MessagePack arrays in field order."""

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
"""The transport's fields of a sample as of August 2026, in order."""

_FAILED: Final = object()
_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=enc_hook)


def decode_sample(data: Any, *, fields: Sequence[str] = SAMPLE_FIELDS) -> TrainingSample:
    """One sample from the transport's bytes.

    An array has no field names, so its length must be that of `fields`.

    Args:
        data: one MessagePack document, an array.
        fields: names of the transport's fields, in order.

    Raises:
        ContractError: ``malformed`` for bytes that are not MessagePack; ``bad_length`` for more
            or fewer fields; and the errors of `as_sample`, with a ``path`` of positions:
            ``$[7][0][1]`` is the second image.
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
        values = _FAILED  # raised below, so that msgspec's error is not in the chain
    if values is _FAILED:
        decode_msgpack(data, MMRefs)  # fails again, with rawmm's error
    if not is_a(values, list):
        raise contract_error("wrong_type", (), expected="an array", got=shown(values))
    if len(values) != len(names):
        raise contract_error(
            "bad_length",
            (),
            expected=f"{counted(len(names), 'field')}: {shown_names(names)}",
            got=str(len(values)),
            hint="pass the fields of the transport that wrote it",
        )
    places = {name: index for index, name in enumerate(names)}
    return sample_of(dict(zip(names, values, strict=True)), lambda name: (places.get(name, name),))


def encode_sample(sample: Any, *, fields: Sequence[str] = SAMPLE_FIELDS) -> bytes:
    """One sample as the transport's bytes. Fields that the sample lacks are null.

    Args:
        sample: a `TrainingSample`, or a value that `as_sample` accepts.
        fields: names of the transport's fields, in order.

    Raises:
        ContractError: ``unknown_field`` if the transport has no field for a value of the sample,
            and the errors of `as_sample`.
        ProcessedPayloadError: the sample holds the output of an image processor, or a value that
            MessagePack cannot represent.
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
                hint="it would be lost: pass the fields of the transport",
            )
    if (routed := checked.routed_experts) is not None:
        values["routed_experts"] = [routed.data, routed.shape, routed.dtype]
    try:
        return _ENCODER.encode([values.get(name) for name in names])
    except OverflowError:
        pass  # raised below; only an integer beyond 64 bits can fail here
    raise contract_error(
        "not_json",
        (),
        expected="values that MessagePack can represent",
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
                "duplicate_key", ("fields",), expected="unique names", got=shown(name)
            )
    return list(names)
