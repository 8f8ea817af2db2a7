"""Truncation, packing and wire: every image keeps its tokens, every image token its image."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import (
    AssistantMessage,
    EncodedArray,
    MMImageItem,
    MMImageRef,
    MMRefs,
    RawMMError,
    Trace,
)
from rawmm.graph import branches, prepare_turn
from rawmm.testing.strategies import instances
from rawmm.trainer import (
    MicroBatch,
    TrainingSample,
    decode_sample,
    encode_sample,
    pack,
    sample_from,
    truncate,
    unpack,
)
from rawmm.trainer.sample import FILL, REQUIRED, images_of
from tests import fake_renderer

if TYPE_CHECKING:
    from collections.abc import Sequence

PAD = 7
STREAMS = sorted(FILL.keys() - {"mm_token_type_ids"})
EXPERTS = 2 * 3


@st.composite
def images(draw: st.DrawFn, spans: list[tuple[int, int]]) -> MMRefs | None:
    """An image at each span, all of one layout."""
    out = []
    for number, (offset, length) in enumerate(spans):
        item = draw(instances(MMImageItem))
        item.modality, item.family = "image", "qwen_vl"
        item.layout_fingerprint = "1dc5ae5b68174891"
        item.raw_image_id = item.raw_image_uri = None
        sha = sha256(str(number).encode()).hexdigest()
        uri = draw(st.sampled_from([f"file:///run/{sha}.png", f"s3://bucket/{number}"]))
        out.append(MMImageRef(item=item, hash=sha[:32], uri=uri, offset=offset, length=length))
    return MMRefs(images=out) if out else None


@st.composite
def samples(
    draw: st.DrawFn, *, routed: bool | None = None, typed: bool | None = None
) -> TrainingSample:
    """A sample of text and images, which may be adjacent. Some streams are absent."""
    size = st.integers(1, 5)
    runs = draw(st.lists(st.tuples(st.booleans(), size), min_size=1, max_size=6))
    types: list[int] = []
    spans = []
    for is_image, length in runs:
        if is_image:
            spans.append((len(types), length))
        types += [int(is_image)] * length

    def stream(of: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(of, min_size=len(types), max_size=len(types)))

    numbers = st.floats(-9, 9)
    optional: dict[str, Any] = {
        name: stream(numbers) for name in draw(st.sets(st.sampled_from(STREAMS)))
    }
    if routed is None:
        routed = draw(st.booleans())
    if routed:
        data = draw(st.binary(min_size=len(types) * EXPERTS, max_size=len(types) * EXPERTS))
        optional["routed_experts"] = EncodedArray(
            dtype="uint8", shape=[len(types), 2, 3], data=data
        )
    if typed is None:
        typed = draw(st.booleans())
    return TrainingSample(
        token_ids=[PAD if kind else draw(st.integers(10, 99)) for kind in types],
        mask=stream(st.booleans()),
        logprobs=stream(numbers),
        temperatures=stream(numbers),
        env_name=draw(st.sampled_from(["", "demo", "other"])),
        mm_refs=draw(images(spans)),
        mm_token_type_ids=types if typed and (spans or draw(st.booleans())) else None,
        **optional,
    )


@st.composite
def batches(draw: st.DrawFn) -> list[TrainingSample]:
    """Samples that may be packed together."""
    one = samples(routed=draw(st.booleans()), typed=draw(st.booleans()))
    return draw(st.lists(one, min_size=1, max_size=4))


def on_their_tokens(token_ids: list[int], refs: Sequence[MMImageRef]) -> None:
    """Whether images and image-typed tokens match."""
    for one in refs:
        assert token_ids[one.offset : one.offset + one.length] == [PAD] * one.length
    assert token_ids.count(PAD) == sum(one.length for one in refs)


def without_place(refs: Sequence[MMImageRef]) -> list[Any]:
    return [(one.item, one.hash, one.uri, one.length) for one in refs]


class TestTruncation:
    @given(samples(), st.integers(0, 40))
    def test_truncation_never_splits_an_image(self, sample: TrainingSample, limit: int) -> None:
        before = copy.deepcopy(sample)
        cut = truncate(sample, limit)
        assert sample == before
        on_their_tokens(cut.token_ids, images_of(cut))
        assert images_of(cut) == images_of(sample)[: len(images_of(cut))]
        assert cut.mm_refs is None or cut.mm_refs.images

    @given(samples(), st.integers(0, 40))
    def test_truncation_keeps_everything_that_fits(
        self, sample: TrainingSample, limit: int
    ) -> None:
        size = len(truncate(sample, limit).token_ids)
        wanted = min(limit, len(sample.token_ids))
        split = [one for one in images_of(sample) if one.offset < wanted < one.offset + one.length]
        assert size == (split[0].offset if split else wanted)

    @given(samples(), st.integers(0, 40))
    def test_streams_stay_aligned_with_tokens(self, sample: TrainingSample, limit: int) -> None:
        cut = truncate(sample, limit)
        size = len(cut.token_ids)
        for name in (*REQUIRED, *FILL):
            own = getattr(sample, name)
            assert getattr(cut, name) == (None if own is None else own[:size]), name
        if sample.routed_experts is None:
            assert cut.routed_experts is None
        else:
            assert cut.routed_experts is not None
            assert cut.routed_experts.shape == [size, 2, 3]
            assert cut.routed_experts.data == sample.routed_experts.data[: size * EXPERTS]

    @given(samples(), st.integers(0, 40), st.integers(0, 40))
    def test_truncating_twice_equals_truncating_once(
        self, sample: TrainingSample, one: int, two: int
    ) -> None:
        assert truncate(truncate(sample, max(one, two)), min(one, two)) == truncate(
            sample, min(one, two)
        )
        assert truncate(sample, len(sample.token_ids)) == sample


class TestPacking:
    @given(batches())
    def test_unpacking_restores_the_samples(self, given: list[TrainingSample]) -> None:
        before = copy.deepcopy(given)
        assert unpack(pack(given)) == given
        assert given == before

    @given(batches())
    def test_images_stay_on_their_tokens(self, given: list[TrainingSample]) -> None:
        batch = pack(given)
        refs = batch.mm_refs.images if batch.mm_refs is not None else []
        on_their_tokens(batch.input_ids, refs)
        if batch.mm_token_type_ids is not None:
            assert batch.mm_token_type_ids == [int(token == PAD) for token in batch.input_ids]
        assert without_place(refs) == [
            one for sample in given for one in without_place(images_of(sample))
        ]

    @given(batches())
    def test_streams_are_as_long_as_the_tokens(self, given: list[TrainingSample]) -> None:
        batch = pack(given)
        size = sum(len(sample.token_ids) for sample in given)
        for stream in (
            batch.input_ids,
            batch.loss_mask,
            batch.inference_logprobs,
            batch.position_ids,
            batch.temperatures,
            batch.env_names,
        ):
            assert len(stream) == size
        for name in FILL:
            stream = getattr(batch, name)
            assert (stream is None) == all(getattr(one, name) is None for one in given)
            assert stream is None or len(stream) == size
        assert batch.position_ids == [i for one in given for i in range(len(one.token_ids))]

    @given(batches(), st.data())
    def test_mixed_layouts_are_refused(
        self, given: list[TrainingSample], data: st.DataObject
    ) -> None:
        places = [(i, n) for i, one in enumerate(given) for n, _ in enumerate(images_of(one))]
        if len(places) < 2:
            return
        index, number = data.draw(st.sampled_from(places))
        item = images_of(given[index])[number].item
        if data.draw(st.booleans()):
            item.family = "kimi_k25"
        else:
            item.layout_fingerprint = data.draw(st.sampled_from([None, "f" * 16]))
        with pytest.raises(RawMMError) as caught:
            pack(given)
        assert caught.value.code == "mixed_layouts"


class TestWire:
    @given(samples())
    def test_round_trip_is_equal(self, sample: TrainingSample) -> None:
        data = encode_sample(sample)
        assert decode_sample(data) == sample
        assert encode_sample(decode_sample(data)) == data

    @given(samples(), st.data())
    def test_damaged_bytes_give_a_sample_or_an_error(
        self, sample: TrainingSample, data: st.DataObject
    ) -> None:
        raw = bytearray(encode_sample(sample))
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
        try:
            decoded = decode_sample(bytes(raw))
        except RawMMError as error:
            caught = error
        else:
            again = encode_sample(decoded)  # compared as bytes, because NaN is not equal to itself
            assert encode_sample(decode_sample(again)) == again
            return
        assert caught.path.startswith("$")


DAMAGES = ["drop", "shift", "grow", "shrink", "type", "untype"]


class TestDamage:
    """One changed image or token type is refused."""

    @pytest.mark.parametrize("damage", DAMAGES)
    @given(samples(typed=True).filter(images_of), st.data())
    def test_damage_is_refused(
        self, damage: str, sample: TrainingSample, data: st.DataObject
    ) -> None:
        refs, types = images_of(sample), sample.mm_token_type_ids
        assert types is not None
        index = data.draw(st.integers(0, len(refs) - 1))
        one = refs[index]
        if damage == "drop":
            del refs[index]
        elif damage == "shift":
            one.offset += data.draw(st.sampled_from([-1, 1]))
        elif damage == "grow":
            one.length += 1
        elif damage == "shrink":
            one.length -= 1
        elif damage == "untype":
            types[one.offset] = 0
        elif 0 in types:
            types[types.index(0)] = 1
        else:
            return
        for use in (encode_sample, lambda given: truncate(given, 3), lambda given: pack([given])):
            with pytest.raises(RawMMError) as caught:
                use(sample)
            assert caught.value.code in {"orphan_image", "placeholder_order", "out_of_range"}
            assert caught.value.path.removeprefix("$[0]").startswith(("$.mm_", ".mm_"))


def directory_of(urls: list[str]) -> Path:
    return Path(unquote(urlsplit(urls[0]).path)).parent


@dataclass
class Rollout:
    """Turns over a growing history that sometimes restarts at an earlier turn."""

    data: st.DataObject
    urls: list[str]

    def play(self) -> Trace:
        trace = Trace(nodes=[])
        history: list[Any] = []
        for _ in range(self.data.draw(st.integers(1, 4))):
            if history and self.data.draw(st.integers(0, 3)) == 0:
                history = history[: self.data.draw(st.integers(0, len(history) - 1))]
            history.append({"role": "user", "content": self.content()})
            turn = prepare_turn(trace, history)
            prompt = fake_renderer.render(turn.prompt)
            spans = prompt.spans(len(turn.prompt))
            turn.commit(fake_renderer.response("click it", prompt, message_spans=spans))
            history.append(AssistantMessage(content="click it"))
        return trace

    def content(self) -> list[dict[str, Any]]:
        parts = st.just({"type": "text", "text": "look"}) | st.sampled_from(self.urls).map(
            lambda url: {"type": "image_url", "image_url": {"url": url}}
        )
        return self.data.draw(st.lists(parts, max_size=3))


class TestRollouts:
    @given(data=st.data())
    def test_samples_keep_all_images_of_their_branch(
        self, data: st.DataObject, urls: list[str]
    ) -> None:
        trace = Rollout(data, urls).play()
        made = []
        for branch in branches(trace):
            sample = sample_from(branch, image_dir=directory_of(urls))
            assert sample.token_ids == branch.token_ids
            on_their_tokens(sample.token_ids, images_of(sample))
            shown = [
                part.image_url.url
                for message in branch.messages
                for part in (message.content if isinstance(message.content, list) else [])
                if part.type == "image_url"
            ]
            assert [one.uri for one in images_of(sample)] == shown
            for one in images_of(sample):
                raw = Path(unquote(urlsplit(one.uri).path)).read_bytes()
                assert sha256(raw).hexdigest().startswith(one.hash)
            made.append(sample)
        limit = data.draw(st.integers(1, 60))
        cut = [truncate(sample, limit) for sample in made]
        batch: MicroBatch = pack(cut)
        refs = batch.mm_refs.images if batch.mm_refs is not None else []
        on_their_tokens(batch.input_ids, refs)
        assert unpack(batch) == cut
