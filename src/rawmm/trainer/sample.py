"""One training sample: the tokens of a branch, the streams beside them, the images in them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from rawmm.codec import convert
from rawmm.errors import RawMMError, contract_error, counted, shown
from rawmm.graph import as_list, check_finite, not_a_stream, stream_of
from rawmm.model.types import EncodedArray, MMRefs
from rawmm.real_class import is_a
from rawmm.trainer import experts
from rawmm.trainer.experts import opened
from rawmm.trainer.spans import span_errors, uri_error
from rawmm.validation import shape_errors
from rawmm.values.errors import bad_key, missing_field
from rawmm.values.payload import Mode, payload_errors
from rawmm.values.plain import plain_copy, unconvertible
from rawmm.values.views import as_mapping, base_value, is_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rawmm.model.types import MMImageRef

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

MM_KWARGS: Final = "mm_kwargs"
"""The transport's field for what an image processor wrote."""

_DEFINITIONS: Final = {
    "token_ids": "TokenIds",
    "mm_token_type_ids": "TokenIds",
    "mask": "TokenFlags",
}
"""Streams by the definition of such a stream in a message node; the others are `TokenStream`."""
_NUMBERS: Final = frozenset({int, float, bool})


def as_sample(value: Any) -> TrainingSample:
    """A checked sample of whatever has its fields: a mapping, or a struct such as prime-rl's.

    Of fields that `TrainingSample` does not have, a stream as long as the tokens is one of its
    `streams`, and a single value goes to `info`. A stream is a list, another sequence, or an
    array of one dimension, whose elements become Python numbers.

    Raises:
        ContractError: ``stream_length`` for a stream of another length than the tokens;
            ``placeholder_order`` for an image outside of them; ``orphan_image`` for image-typed
            tokens without an image and the other way round; ``unsupported_modality`` for media
            that are no images; ``bad_locator`` for an inline image; ``unknown_field`` for a
            field that can neither be cut nor kept; ``duplicate_key`` for a name that is given
            twice; ``historical_form`` for old references; and what else breaks the contract.
        ProcessedPayloadError: a field or a name in `info` is one that only image processors
            write, such as ``mm_kwargs`` and ``image_embeds``; ``array_payload`` for an array
            in `info`, ``not_json`` for a number in a stream that is not finite.
    """
    if is_a(value, TrainingSample):
        own: Mapping[str, Any] | None = {name: getattr(value, name) for name in FIELDS}
    else:
        own = as_mapping(value)
    if own is None:
        raise contract_error("wrong_type", (), expected="a training sample", got=shown(value))
    return sample_of(own, lambda name: (name,))


def sample_of(values: Mapping[Any, Any], at: Callable[[str], Path]) -> TrainingSample:
    """`as_sample` for values by name; `at` gives the path of each."""
    for name, value in values.items():
        if type(name) is not str:
            raise bad_key(name, ())
        if value is not None:
            _check_name(name, at(name))
    for name in REQUIRED:
        if values.get(name) is None:
            raise missing_field(name, ())
    found: dict[str, Any] = {}
    for name in (*REQUIRED, *FILL):
        if values.get(name) is not None:
            definition_name = _DEFINITIONS.get(name, "TokenStream")
            found[name] = stream_of(values[name], definition_name, at(name))
    env_name = values.get("env_name")
    env_name = "" if env_name is None else env_name
    for error in shape_errors(env_name, {"type": "string"}, at("env_name")):
        raise error
    sample = TrainingSample(
        **found,
        env_name=base_value(env_name),
        mm_refs=_mm_refs(values.get("mm_refs"), at("mm_refs")),
        routed_experts=experts.as_experts(values.get("routed_experts"), at("routed_experts")),
        streams=_own_streams(values, at),
        info=_own_info(values, at),
    )
    _take_unknown(sample, values, at)
    for name in sample.streams.keys() & sample.info.keys():
        raise _twice((*at("info"), name))
    for error in _errors(sample, lambda name: _place(name, values, at)):
        raise error
    return sample


def _check_name(name: str, path: Path) -> None:
    """Refuse a name that says that an image processor wrote the value.

    Raises:
        ProcessedPayloadError: it does, or UTF-8 cannot say it.
    """
    if name == MM_KWARGS:
        raise contract_error(
            "processed_payload",
            path,
            expected="references to raw images, in mm_refs",
            got="what an image processor wrote",
            hint="build the sample again from its rollout",
        )
    for error in payload_errors({name: None}, (), Mode.DESCRIPTOR):
        got = f"the name {shown(name)}" if error.code == "processed_payload" else error.got
        raise error.at(path, path="$", got=got)


def _twice(path: Path) -> RawMMError:
    return contract_error("duplicate_key", path, expected="each name once", got="it again")


def _place(name: str, values: Mapping[str, Any], at: Callable[[str], Path]) -> Path:
    """Where a stream stands, which may be among the named ones."""
    return at(name) if name in FIELDS or name in values else (*at("streams"), name)


def _pairs(values: Mapping[str, Any], name: str, at: Callable[[str], Path]) -> dict[str, Any]:
    """Values by names that no field has."""
    value = values.get(name)
    if value is None:
        return {}
    pairs = as_mapping(value)
    if pairs is None:
        raise unconvertible(value, at(name)) or contract_error(
            "wrong_type", at(name), expected="an object", got=shown(value)
        )
    for key in pairs:
        if type(key) is not str:
            raise bad_key(key, at(name))
        _check_name(key, (*at(name), key))
        if key in FIELDS:
            raise contract_error(
                "bad_value",
                (*at(name), key),
                expected="a name that no field of a sample has",
                got=shown(key),
            )
    return dict(pairs)


def _own_streams(values: Mapping[str, Any], at: Callable[[str], Path]) -> dict[str, list[Any]]:
    pairs = _pairs(values, "streams", at)
    return {name: _own_stream(one, (*at("streams"), name)) for name, one in pairs.items()}


def _own_stream(value: Any, path: Path) -> list[Any]:
    """A stream that rawmm does not know: of finite numbers, flags, or other JSON values."""
    items = as_list(value)
    if items is None:
        raise not_a_stream(value, path)
    if _NUMBERS.issuperset(map(type, items)):
        check_finite(items, path)
        return list(items)
    plain: list[Any] = _plain_json(items, path)
    return plain


def _own_info(values: Mapping[str, Any], at: Callable[[str], Path]) -> dict[str, Any]:
    pairs = _pairs(values, "info", at)
    return {name: _plain_json(one, (*at("info"), name)) for name, one in pairs.items()}


def _plain_json(value: Any, path: Path) -> Any:
    """A value as plain JSON.

    Raises:
        ProcessedPayloadError: it is or holds an array, what an image processor writes, or what
            JSON cannot say.
    """
    for error in payload_errors(value, path, Mode.DESCRIPTOR):
        if error.code != "not_json":  # an integer beyond 2^53 is no descriptor's, and fine here
            raise error
    for error in payload_errors(value, path, Mode.JSON):
        raise error
    return plain_copy(value)


def _mm_refs(value: Any, path: Path) -> MMRefs | None:
    if value is None:
        return None
    value = opened(value, path)
    try:
        refs = convert(value, MMRefs)
    except RawMMError as error:
        refusal = error.at(path)
    else:
        return refs if refs.images else None
    raise refusal


def _take_unknown(
    sample: TrainingSample, values: Mapping[str, Any], at: Callable[[str], Path]
) -> None:
    for name, value in values.items():
        if name in FIELDS or value is None:
            continue
        if name in sample.streams or name in sample.info:
            raise _twice(at(name))
        if issubclass(type(value), (str, int, float)) and not is_array(value):
            sample.info[name] = _plain_json(value, at(name))
            continue
        items = as_list(value)
        if items is None and is_array(value) and type(value) is not bytes:
            raise not_a_stream(value, at(name))
        if items is None or len(items) != len(sample.token_ids):
            raise contract_error(
                "unknown_field",
                at(name),
                expected=f"a single value, or a list of {len(sample.token_ids)}, one per token",
                got=shown(value),
                hint="take it out first: it can neither be cut with the tokens nor kept",
            )
        sample.streams[name] = _own_stream(items, at(name))


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
