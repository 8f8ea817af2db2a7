"""Pack samples into a micro-batch, and unpack it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import RawMMError, contract_error, counted, shown
from rawmm.graph import not_a_stream, stream_of
from rawmm.model.types import EncodedArray, MMRefs
from rawmm.real_class import is_a
from rawmm.trainer import experts
from rawmm.trainer.sample import (
    FIELDS,
    FILL,
    REQUIRED,
    TrainingSample,
    as_sample,
    images_of,
    lengths_of,
    moved,
    part,
    sample_of,
)
from rawmm.validation import in_order
from rawmm.values.views import as_sequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rawmm.model.types import MMImageRef


@dataclass(kw_only=True, slots=True)
class MicroBatch:
    """Concatenated samples, with prime-rl's field names.

    A stream that some samples lack is filled for them: ``rl_weights`` with 1, ``seq_lens`` with the
    number of tokens, all others with 0. A stream that all samples lack is None. Fields not listed
    here are as in `TrainingSample`.

    Attributes:
        input_ids: the tokens of all samples.
        loss_mask: for each token whether it trains.
        inference_logprobs: the sampling log-probability of each token in nats.
        position_ids: the index of each token in its own sample.
        sequence_lengths: the number of tokens of each sample.
        seq_lens: the length in tokens of each sequence of each sample.
        temperatures: the sampling temperature of each token.
        env_names: the environment of each token's sample.
        mm_refs: the media of all samples; offsets count from the first token of the batch.
        absent: the filled streams of each sample, so that `unpack` restores it.
        info: the `info` of each sample.
    """

    input_ids: list[int]
    loss_mask: list[bool]
    inference_logprobs: list[float]
    position_ids: list[int]
    sequence_lengths: list[int]
    seq_lens: list[int] | None = None
    temperatures: list[float]
    env_names: list[str]
    ref_logprobs: list[float] | None = None
    mm_refs: MMRefs | None = None
    routed_experts: EncodedArray | None = None
    mm_token_type_ids: list[int] | None = None
    rl_weights: list[float] | None = None
    ce_weights: list[float] | None = None
    ref_kl_weights: list[float] | None = None
    advantages: list[float] | None = None
    streams: dict[str, list[Any]] = field(default_factory=dict)
    absent: list[frozenset[str]]
    info: list[dict[str, Any]]


_NAMES: Final = {
    "token_ids": "input_ids",
    "mask": "loss_mask",
    "logprobs": "inference_logprobs",
}
"""Fields of a sample that have another name in a micro-batch."""

_MAY_LACK: Final = (*FILL, "seq_lens")
"""Fields that are filled for samples without them."""


def pack(samples: Iterable[Any]) -> MicroBatch:
    """One micro-batch of `samples`, in their order.

    The trainer chooses which samples to pack together. All their media must have one layout,
    because one processor turns the images of a micro-batch into one tensor.

    Args:
        samples: `TrainingSample`, or values that `as_sample` accepts. They are not changed.

    Raises:
        ContractError: ``mixed_layouts`` for media of several families or layout fingerprints;
            ``bad_length`` for a sample without tokens, or no sample; ``stream_length`` for
            expert routing or an additional stream that only some samples have; ``bad_value`` for
            routing of different type or shape; and the errors of `as_sample`. ``path`` begins
            with the sample's index.
        ProcessedPayloadError: a sample holds the output of an image processor.
    """
    checked = _checked(samples)
    _check_layout(checked)
    lengths = [len(sample.token_ids) for sample in checked]
    starts = [0, *accumulate(lengths)]
    images = [moved(images_of(one), start) for one, start in zip(checked, starts, strict=False)]
    joined: dict[str, Any] = {
        _NAMES.get(name, name): list(chain.from_iterable(getattr(one, name) for one in checked))
        for name in REQUIRED
    }
    names = [name for name in FILL if any(getattr(one, name) is not None for one in checked)]
    if "mm_token_type_ids" in names:
        _check_types(checked)
    if any(one.seq_lens is not None for one in checked):
        names.append("seq_lens")
    for name in names:
        joined[name] = list(chain.from_iterable(_filled(one, name) for one in checked))
    return MicroBatch(
        **joined,
        position_ids=list(chain.from_iterable(map(range, lengths))),
        sequence_lengths=lengths,
        env_names=list(chain.from_iterable([one.env_name] * len(one.token_ids) for one in checked)),
        mm_refs=_all_refs(images),
        routed_experts=_all_experts(checked),
        streams=_own_streams(checked),
        absent=[frozenset(n for n in names if getattr(one, n) is None) for one in checked],
        info=[one.info for one in checked],
    )


def unpack(batch: MicroBatch) -> list[TrainingSample]:
    """The samples of which `pack` made `batch`.

    Raises:
        ContractError: ``stream_length`` if lengths of sequences or a stream do not match the number
            of tokens, ``count_mismatch`` if a list does not have one entry per sample,
            ``placeholder_order`` for a medium across two samples, and the errors of `as_sample`.
        ProcessedPayloadError: a payload is not raw.
    """
    if not is_a(batch, MicroBatch):
        raise contract_error("wrong_type", (), expected="a MicroBatch", got=shown(batch))
    tokens = stream_of(batch.input_ids, "TokenIds", ("input_ids",))
    lengths = lengths_of(batch.sequence_lengths, len(tokens), ("sequence_lengths",))
    absent = _per_sample(batch.absent, "absent", len(lengths))
    infos = _per_sample(batch.info, "info", len(lengths))
    whole = _whole(batch)
    bounds = list(pairwise([0, *accumulate(lengths)]))
    _check_whole_images(whole, bounds)
    _check_whole_sequences(whole, lengths)
    out = []
    env_names = _env_names(batch.env_names, bounds)
    for index, ((start, end), names) in enumerate(zip(bounds, absent, strict=True)):
        one = part(whole, start, end)
        values = {name: getattr(one, name) for name in FIELDS}
        values |= {"env_name": env_names[index], "info": infos[index]}
        for name in _absent_names(names, ("absent", index)):
            values[name] = None
        out.append(sample_of(values, lambda name, index=index: (name, index)))  # type: ignore[misc]
    return out


def _per_sample(given: Any, name: str, size: int) -> Sequence[Any]:
    entries = as_sequence(given)
    if entries is None:
        raise contract_error(
            "wrong_type", (name,), expected="a list of one entry per sample", got=shown(given)
        )
    if len(entries) != size:
        raise contract_error(
            "count_mismatch",
            (name,),
            expected=f"{counted(size, 'entry', 'entries')}, one per sample",
            got=str(len(entries)),
        )
    return entries


def _absent_names(given: Any, path: tuple[str | int, ...]) -> list[str]:
    if not is_a(given, (AbstractSet, list, tuple)):
        raise contract_error("wrong_type", path, expected="a set of names", got=shown(given))
    for name in given:
        if not is_a(name, str) or name not in _MAY_LACK:
            raise contract_error(
                "bad_value",
                path,
                expected=f"names of streams: {', '.join(_MAY_LACK)}",
                got=shown(name),
            )
    return list(given)


def _env_names(given: Any, bounds: list[tuple[int, int]]) -> list[str]:
    """The environment of each sample's first token. Trainers may pad the end with other names."""
    names = as_sequence(given)
    if names is None:
        raise not_a_stream(given, ("env_names",))
    tokens = bounds[-1][1] if bounds else 0
    if len(names) != tokens:
        raise contract_error(
            "stream_length",
            ("env_names",),
            expected=f"{counted(tokens, 'value')}, one per token",
            got=str(len(names)),
        )
    kinds = [type(name) is str for name in names]
    if not all(kinds):
        index = kinds.index(False)
        raise contract_error(
            "wrong_type", ("env_names", index), expected="a string", got=shown(names[index])
        )
    return [names[start] for start, _ in bounds]


def _checked(samples: Iterable[Any]) -> list[TrainingSample]:
    out = []
    for index, one in enumerate(in_order(samples, (), "samples")):
        try:
            sample = as_sample(one)
        except RawMMError as error:
            refusal: RawMMError | None = error.at((index,))
        else:
            refusal = None
        if refusal is not None:
            raise refusal
        if not sample.token_ids:
            raise contract_error(
                "bad_length",
                (index, "token_ids"),
                expected="at least one token",
                got="none",
                hint="leave out samples that are empty after truncation",
            )
        out.append(sample)
    if not out:
        raise contract_error("bad_length", (), expected="at least one sample", got="none")
    return out


def _check_layout(samples: Sequence[TrainingSample]) -> None:
    first: MMImageRef | None = None
    for index, sample in enumerate(samples):
        for number, image in enumerate(images_of(sample)):
            first = first or image
            for name in ("family", "layout_fingerprint"):
                wanted, got = getattr(first.item, name), getattr(image.item, name)
                if wanted != got:
                    raise contract_error(
                        "mixed_layouts",
                        (index, "mm_refs", 0, number, 0, name),
                        expected=f"{shown(wanted)}, as in the media before",
                        got=shown(got),
                        hint="pack the samples of each layout separately",
                    )


def _check_types(samples: Sequence[TrainingSample]) -> None:
    for index, sample in enumerate(samples):
        if sample.mm_refs is not None and sample.mm_token_type_ids is None:
            raise _missing_stream((index, "mm_token_type_ids"), "its media would be on text tokens")


def _filled(sample: TrainingSample, name: str) -> list[Any]:
    stream: list[Any] | None = getattr(sample, name)
    if stream is not None:
        return stream
    tokens = len(sample.token_ids)
    return [tokens] if name == "seq_lens" else [FILL[name]] * tokens


def _all_refs(images: list[list[MMImageRef]]) -> MMRefs | None:
    flat = list(chain.from_iterable(images))
    return MMRefs(images=flat) if flat else None


def _all_experts(samples: Sequence[TrainingSample]) -> EncodedArray | None:
    parts = []
    for index, one in enumerate(samples):
        if one.routed_experts is not None:
            parts.append((one.routed_experts, (index, "routed_experts")))
    if not parts:
        return None
    _check_all_have([one.routed_experts is not None for one in samples], "routed_experts")
    return experts.joined(parts)


def _own_streams(samples: Sequence[TrainingSample]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for one in samples for name in one.streams)
    for name in names:
        _check_all_have([name in one.streams for one in samples], "streams", name)
    return {name: list(chain.from_iterable(one.streams[name] for one in samples)) for name in names}


def _check_all_have(present: list[bool], *path: str) -> None:
    if not all(present):
        raise _missing_stream((present.index(False), *path), "there is no value to fill in")


def _missing_stream(path: tuple[str | int, ...], why: str) -> RawMMError:
    return contract_error(
        "stream_length",
        path,
        expected="one value per token, as in other samples",
        got="none",
        hint=f"{why}; pack such samples separately",
    )


def _whole(batch: MicroBatch) -> TrainingSample:
    """The batch as one long sample, checked."""
    back = {new: old for old, new in _NAMES.items()}
    values = {back.get(one.name, one.name): getattr(batch, one.name) for one in fields(batch)}
    for name in ("position_ids", "sequence_lengths", "absent", "info"):
        del values[name]
    del values["env_names"]
    return sample_of(values, lambda name: (_NAMES.get(name, name),))


def _check_whole_images(whole: TrainingSample, bounds: list[tuple[int, int]]) -> None:
    ends = iter(bounds)
    _, end = next(ends, (0, 0))
    for index, image in enumerate(images_of(whole)):
        while image.offset >= end:
            _, end = next(ends)
        if image.offset + image.length > end:
            raise contract_error(
                "placeholder_order",
                ("mm_refs", 0, index),
                expected=f"a range inside its sample, which ends at {end}",
                got=f"{image.offset} to {image.offset + image.length}",
            )


def _check_whole_sequences(whole: TrainingSample, lengths: list[int]) -> None:
    if whole.seq_lens is None:
        return
    for end in set(accumulate(lengths)) - set(accumulate(whole.seq_lens)):
        raise contract_error(
            "stream_length",
            ("seq_lens",),
            expected=f"a sequence that ends at {end}, where a sample ends",
            got="a sequence of two samples",
        )
