"""One training sample: the tokens of a branch, the streams beside them, the images in them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.conversion import convert
from rawmm.errors import RawMMError, contract_error, counted, raise_alone, shown
from rawmm.structs import (
    Contract,
    EncodedArray,
    MMRefs,
    PackedStream,
    TokenFlags,
    TokenIds,
    TokenStream,
)
from rawmm.trainer import experts
from rawmm.trainer.spans import IMAGE, span_errors, uri_error
from rawmm.validate.plain import SCALARS, as_mapping, as_sequence
from rawmm.validate.shape import definition, missing, shape_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rawmm.structs import MMImageRef

    Path = tuple[str | int, ...]


@dataclass(kw_only=True, slots=True)
class TrainingSample:
    """A branch of a rollout as one sequence, with prime-rl's field names.

    Attributes:
        token_ids: all tokens, as the model saw and sampled them.
        mask: for each token whether it trains.
        logprobs: for each token its sampling log-probability in nats.
        temperatures: for each token the temperature it was sampled at.
        env_name: the environment the rollout is of.
        ref_logprobs: for each token its log-probability under the reference model, in nats.
        mm_refs: the images, in token order; None without.
        routed_experts: expert ids ``[tokens, layers, top_k]``.
        mm_token_type_ids: for each token 0 for text, 1 for an image.
        rl_weights: for each token its weight in the policy-gradient part of the loss.
        ce_weights: the same in the cross-entropy part.
        ref_kl_weights: the same in the part that pulls to the reference model.
        advantages: for each token its credit.
        streams: further streams of one value per token, by name; cut and joined like the others.
        info: further values of the sample as a whole, by name; kept as they are.
    """

    token_ids: list[int]
    mask: list[bool]
    logprobs: list[float]
    temperatures: list[float]
    env_name: str = ""
    ref_logprobs: list[float] | None = None
    mm_refs: MMRefs | None = None
    routed_experts: EncodedArray | None = None
    mm_token_type_ids: list[int] | None = None
    rl_weights: list[float] | None = None
    ce_weights: list[float] | None = None
    ref_kl_weights: list[float] | None = None
    advantages: list[float] | None = None
    streams: dict[str, list[Any]] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


REQUIRED: Final = ("token_ids", "mask", "logprobs", "temperatures")
"""Streams that every sample has."""

FILL: Final = {
    "ref_logprobs": 0.0,
    "rl_weights": 1.0,
    "ce_weights": 0.0,
    "ref_kl_weights": 0.0,
    "advantages": 0.0,
    "mm_token_type_ids": 0,
}
"""Streams that a sample may lack, and the value that then stands for each of its tokens."""

FIELDS: Final = frozenset(one.name for one in fields(TrainingSample))

_LIKE: Final[dict[str, tuple[str, Any]]] = {
    "token_ids": ("TokenIds", TokenIds),
    "mm_token_type_ids": ("TokenIds", TokenIds),
    "mask": ("TokenFlags", TokenFlags),
}
"""Streams by the definition of such a stream in a message node; the others are as logprobs."""


def as_sample(value: Any) -> TrainingSample:
    """A checked sample of whatever has its fields: a mapping, or a struct such as prime-rl's.

    Of fields that `TrainingSample` does not have, a list as long as the tokens is one of its
    `streams`, and a single value goes to `info`.

    Raises:
        ContractError: ``stream_length`` for a stream of another length than the tokens;
            ``placeholder_order`` for an image outside of them; ``orphan_image`` for image-typed
            tokens without an image and the other way round; ``unsupported_modality`` for media
            that are no images; ``bad_locator`` for an inline image; ``unknown_field`` for a
            field that can neither be cut nor kept; ``historical_form`` for old references; and
            what else breaks the contract.
        ProcessedPayloadError: it has ``mm_kwargs``, the output of an image processor.
    """
    if isinstance(value, TrainingSample):
        own: Mapping[str, Any] | None = {name: getattr(value, name) for name in FIELDS}
    else:
        own = as_mapping(value)
    if own is None:
        raise contract_error("wrong_type", (), expected="a training sample", got=shown(value))
    return sample_of(own, lambda name: (name,))


def sample_of(values: Mapping[str, Any], at: Callable[[str], Path]) -> TrainingSample:
    """`as_sample` for values by name; `at` gives the path of each."""
    if values.get("mm_kwargs") is not None:
        raise contract_error(
            "processed_payload",
            at("mm_kwargs"),
            expected="references to raw images, in mm_refs",
            got="what an image processor wrote",
            hint="build the sample again from its rollout",
        )
    for name in REQUIRED:
        if values.get(name) is None:
            raise missing(name, ())
    found: dict[str, Any] = {}
    for name in (*REQUIRED, *FILL):
        if values.get(name) is not None:
            found[name] = _stream(values[name], name, at(name))
    env_name = values.get("env_name")
    env_name = "" if env_name is None else env_name
    if not isinstance(env_name, str):
        raise contract_error("wrong_type", at("env_name"), expected="a string", got=shown(env_name))
    sample = TrainingSample(
        **found,
        env_name=env_name,
        mm_refs=_mm_refs(values.get("mm_refs"), at("mm_refs")),
        routed_experts=experts.as_experts(values.get("routed_experts"), at("routed_experts")),
        streams=_named(values, "streams", at),
        info=_named(values, "info", at),
    )
    _take_unknown(sample, values, at)
    for error in _errors(sample, lambda name: _place(name, values, at)):
        raise error
    return sample


def _place(name: str, values: Mapping[str, Any], at: Callable[[str], Path]) -> Path:
    """Where a stream stands, which may be among the named ones."""
    return at(name) if name in FIELDS or name in values else (*at("streams"), name)


def _stream(value: Any, name: str, path: Path) -> list[Any]:
    """A list of the type that the contract has for such a stream, checked at the speed of C."""
    like, kind = _LIKE.get(name, ("TokenStream", TokenStream))
    if isinstance(value, PackedStream):
        value = value.tolist()
    if as_sequence(value) is not None:
        try:
            converted: list[Any] = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            for error in shape_errors(value, definition(like), path):
                raise_alone(error)
        else:
            return converted
    raise _no_stream(value, path)


def _no_stream(value: Any, path: Path) -> RawMMError:
    return contract_error(
        "wrong_type", path, expected="a list of one value per token", got=shown(value)
    )


def _named(values: Mapping[str, Any], name: str, at: Callable[[str], Path]) -> dict[str, Any]:
    """Values by names that no field has."""
    value = values.get(name)
    if value is None:
        return {}
    pairs = as_mapping(value)
    if pairs is None:
        raise contract_error("wrong_type", at(name), expected="an object", got=shown(value))
    for key, one in pairs.items():
        if key in FIELDS:
            raise contract_error(
                "bad_value",
                (*at(name), key),
                expected="a name that no field of a sample has",
                got=shown(key),
            )
        if name == "streams" and as_sequence(one) is None:
            raise _no_stream(one, (*at(name), key))
    return {
        key: one.tolist() if isinstance(one, PackedStream) else one for key, one in pairs.items()
    }


def _mm_refs(value: Any, path: Path) -> MMRefs | None:
    if isinstance(value, msgspec.Struct) and not isinstance(value, Contract):
        value = msgspec.to_builtins(value)  # another's array-like struct, as its array
    if value is None:
        return None
    try:
        refs = convert(value, MMRefs)
    except RawMMError as error:
        raise error.under(path) from None
    return refs if refs.images else None


def _take_unknown(
    sample: TrainingSample, values: Mapping[str, Any], at: Callable[[str], Path]
) -> None:
    for name, value in values.items():
        if name in FIELDS or value is None:
            continue
        if type(value) in SCALARS:
            sample.info[name] = value
        elif isinstance(value, list) and len(value) == len(sample.token_ids):
            sample.streams[name] = value
        else:
            raise contract_error(
                "unknown_field",
                at(name),
                expected=f"a single value, or a list of {len(sample.token_ids)}, one per token",
                got=shown(value),
                hint="take it out first: it can neither be cut with the tokens nor kept",
            )


def _errors(sample: TrainingSample, at: Callable[[str], Path]) -> Iterator[RawMMError]:
    tokens = len(sample.token_ids)
    sizes = {name: len(stream) for name, stream in streams_of(sample)}
    if sample.routed_experts is not None:
        sizes["routed_experts"] = experts.size(sample.routed_experts)
    for name, size in sizes.items():
        if size != tokens:
            yield contract_error(
                "stream_length",
                at(name),
                expected=f"{counted(tokens, 'value')}, one per token",
                got=str(size),
            )
    images = images_of(sample)
    path = (*at("mm_refs"), 0)
    for index, image in enumerate(images):
        if image.item.modality != IMAGE:
            yield contract_error(
                "unsupported_modality",
                (*path, index, 0, "modality"),
                expected=shown(IMAGE),
                got=shown(image.item.modality),
            )
        if error := uri_error(image.uri, (*path, index, 2)):
            yield error
    yield from span_errors(
        images,
        tokens,
        sample.mm_token_type_ids,
        at=lambda index: (*path, index),
        types_at=at("mm_token_type_ids"),
    )


def streams_of(sample: TrainingSample) -> Iterator[tuple[str, list[Any]]]:
    """Every list of one value per token that the sample has, by name."""
    for name in (*REQUIRED, *FILL):
        stream = getattr(sample, name)
        if stream is not None:
            yield name, stream
    yield from sample.streams.items()


def images_of(sample: TrainingSample) -> list[MMImageRef]:
    """The images of a sample, in token order."""
    return [] if sample.mm_refs is None else sample.mm_refs.images


def moved(images: list[MMImageRef], by: int) -> list[MMImageRef]:
    """The images as they stand where `by` more tokens come before them. Items are shared."""
    out = []
    for image in images:
        own = copy(image)
        own.offset += by
        out.append(own)
    return out


def part(sample: TrainingSample, start: int, end: int) -> TrainingSample:
    """The tokens from `start` to before `end`, with what belongs to them.

    No image may lie across a bound.
    """
    own = {name: stream[start:end] for name, stream in streams_of(sample)}
    images = [one for one in images_of(sample) if start <= one.offset < end]
    routed = sample.routed_experts
    return TrainingSample(
        **{name: own.pop(name) for name in (*REQUIRED, *FILL) if name in own},
        env_name=sample.env_name,
        mm_refs=MMRefs(images=moved(images, -start)) if images else None,
        routed_experts=None if routed is None else experts.rows(routed, start, end),
        streams=own,
        info=sample.info,
    )
