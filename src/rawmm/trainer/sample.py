"""One training sample: the tokens of a branch, their streams, and references to their media."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields
from itertools import accumulate, pairwise
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
        logprobs: the sampling log-probability of each token in nats.
        temperatures: the sampling temperature of each token.
        env_name: the environment of the rollout.
        ref_logprobs: the log-probability of each token under the reference model, in nats.
        mm_refs: references to the media, in token order; None without media.
        routed_experts: expert ids ``[tokens, layers, top_k]``.
        mm_token_type_ids: for each token 0 for text, 1 for an image.
        seq_lens: the length in tokens of each sequence in the sample; None for a single one.
        rl_weights: the weight of each token in the policy-gradient term of the loss.
        ce_weights: the weight of each token in the cross-entropy term.
        ref_kl_weights: the weight of each token in the KL term to the reference model.
        advantages: the advantage of each token.
        streams: additional streams of one value per token, by name; sliced and joined like the
            others.
        info: additional values of the whole sample, by name; kept unchanged.
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
    seq_lens: list[int] | None = None
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
"""Streams that a sample may lack, with the value that fills them in a micro-batch."""

FIELDS: Final = frozenset(one.name for one in fields(TrainingSample))

MM_KWARGS: Final = "mm_kwargs"
"""The transport's field for the output of an image processor."""

_DEFINITIONS: Final = {
    "token_ids": "TokenIds",
    "mm_token_type_ids": "TokenIds",
    "mask": "TokenFlags",
}
"""Schema definitions of streams; that of all others is ``TokenStream``."""
_NUMBERS: Final = frozenset({int, float, bool})


def as_sample(value: Any) -> TrainingSample:
    """A checked sample from a mapping or an object with its fields, such as prime-rl's struct.

    An unknown field goes to `streams` if it is as long as the tokens, and to `info` if it is a
    single value. A stream is a list, another sequence, or a one-dimensional array, whose elements
    become Python numbers.

    Raises:
        ContractError: ``stream_length`` for a stream that is not as long as the tokens;
            ``placeholder_order`` for a medium outside of them; ``orphan_image`` for typed tokens
            without a medium and for a medium on tokens of another type; ``unsupported_modality``
            for media that the transport cannot carry; ``bad_locator`` for an inline image;
            ``unknown_field`` for a field that can be neither sliced nor kept; ``duplicate_key``
            for a name given twice; ``historical_form`` for old references; and any other
            violation of the contract.
        ProcessedPayloadError: a field, or a name in `info`, that only image processors write,
            such as ``mm_kwargs`` and ``image_embeds``; ``array_payload`` for an array in `info`;
            ``not_json`` for a number in a stream that is not finite.
    """
    if is_a(value, TrainingSample):
        own: Mapping[str, Any] | None = {name: getattr(value, name) for name in FIELDS}
    else:
        own = as_mapping(value)
    if own is None:
        raise contract_error("wrong_type", (), expected="a training sample", got=shown(value))
    return sample_of(own, lambda name: (name,))


def sample_of(values: Mapping[Any, Any], at: Callable[[str], Path]) -> TrainingSample:
    """`as_sample` for values by name; `at` returns the path of a name."""
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
        seq_lens=_seq_lens(values.get("seq_lens"), len(found["token_ids"]), at("seq_lens")),
        streams=_own_streams(values, at),
        info=_own_info(values, at),
    )
    _take_unknown(sample, values, at)
    for name in sample.streams.keys() & sample.info.keys():
        raise _duplicate((*at("info"), name))
    for error in _errors(sample, lambda name: _path_of(name, values, at)):
        raise error
    return sample


def _seq_lens(given: Any, tokens: int, path: Path) -> list[int] | None:
    return None if given is None else lengths_of(given, tokens, path)


def lengths_of(given: Any, tokens: int, path: Path) -> list[int]:
    """The lengths of sequences that together have `tokens` tokens, checked.

    Raises:
        ContractError: `given` is not a list of positive integers, or their sum is another one.
    """
    lengths = as_list(given)
    if lengths is None:
        raise contract_error("wrong_type", path, expected="a list of lengths", got=shown(given))
    for index, length in enumerate(lengths):
        if type(length) is not int or length < 1:
            raise contract_error(
                "out_of_range" if type(length) is int else "wrong_type",
                (*path, index),
                expected="a number of tokens of at least 1",
                got=shown(length),
            )
    if sum(lengths) != tokens:
        raise contract_error(
            "stream_length",
            path,
            expected=f"lengths whose sum is {tokens}, the number of tokens",
            got=str(sum(lengths)),
        )
    return list(lengths)


def _check_name(name: str, path: Path) -> None:
    """Refuse the name of an image processor's output.

    Raises:
        ProcessedPayloadError: it is such a name, or cannot be encoded in UTF-8.
    """
    if name == MM_KWARGS:
        raise contract_error(
            "processed_payload",
            path,
            expected="references to raw images, in mm_refs",
            got="the output of an image processor",
            hint="rebuild the sample from its rollout",
        )
    for error in payload_errors({name: None}, (), Mode.DESCRIPTOR):
        got = f"the name {shown(name)}" if error.code == "processed_payload" else error.got
        raise error.at(path, path="$", got=got)


def _duplicate(path: Path) -> RawMMError:
    return contract_error("duplicate_key", path, expected="unique names", got="a second value")


def _path_of(name: str, values: Mapping[str, Any], at: Callable[[str], Path]) -> Path:
    """The path of a stream, which may be one of `streams`."""
    return at(name) if name in FIELDS or name in values else (*at("streams"), name)


def _pairs(values: Mapping[str, Any], name: str, at: Callable[[str], Path]) -> dict[str, Any]:
    """The values of `streams` or `info`, whose names must not be those of fields."""
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
                expected="a name that is not a field of samples",
                got=shown(key),
            )
    return dict(pairs)


def _own_streams(values: Mapping[str, Any], at: Callable[[str], Path]) -> dict[str, list[Any]]:
    pairs = _pairs(values, "streams", at)
    return {name: _own_stream(one, (*at("streams"), name)) for name, one in pairs.items()}


def _own_stream(value: Any, path: Path) -> list[Any]:
    """An additional stream, of finite numbers, flags, or other JSON values."""
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
        ProcessedPayloadError: it is or holds an array, the output of an image processor, or a
            value that is not JSON.
    """
    for error in payload_errors(value, path, Mode.DESCRIPTOR):
        if error.code != "not_json":  # unlike descriptors, `info` may hold integers beyond 2^53
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
            raise _duplicate(at(name))
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
                hint="remove it: it can be neither sliced with the tokens nor kept",
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
    """All streams of a sample, with their names."""
    for name in (*REQUIRED, *FILL):
        stream = getattr(sample, name)
        if stream is not None:
            yield name, stream
    yield from sample.streams.items()


def images_of(sample: TrainingSample) -> list[MMImageRef]:
    """References to the media of a sample, in token order."""
    return [] if sample.mm_refs is None else sample.mm_refs.images


def moved(images: list[MMImageRef], by: int) -> list[MMImageRef]:
    """References with offsets increased by `by`. Items are shared."""
    out = []
    for image in images:
        own = copy(image)
        own.offset += by
        out.append(own)
    return out


def part(sample: TrainingSample, start: int, end: int) -> TrainingSample:
    """The tokens from `start` to before `end`, with their streams and references.

    No medium may be across a bound.
    """
    own = {name: stream[start:end] for name, stream in streams_of(sample)}
    images = [one for one in images_of(sample) if start <= one.offset < end]
    routed = sample.routed_experts
    return TrainingSample(
        **{name: own.pop(name) for name in (*REQUIRED, *FILL) if name in own},
        env_name=sample.env_name,
        mm_refs=MMRefs(images=moved(images, -start)) if images else None,
        routed_experts=None if routed is None else experts.rows(routed, start, end),
        seq_lens=None if sample.seq_lens is None else _within(sample.seq_lens, start, end),
        streams=own,
        info=sample.info,
    )


def _within(lengths: list[int], start: int, end: int) -> list[int]:
    """The lengths of sequences as far as they are from `start` to before `end`."""
    bounds = pairwise((0, *accumulate(lengths)))
    cut = (min(last, end) - max(first, start) for first, last in bounds)
    return [length for length in cut if length > 0]
