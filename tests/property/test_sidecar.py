"""`split_by_message` and `merge` are inverse, and share nothing with their arguments."""

from __future__ import annotations

import copy
from hashlib import sha256
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import (
    AssistantMessage,
    ContractError,
    ImageUrlContentPart,
    ImageUrlSource,
    Message,
    MultiModalData,
    PlaceholderRange,
    RawMMItem,
    SystemMessage,
    TextContentPart,
    ToolMessage,
    UserMessage,
    encode_msgpack,
    validate,
)
from rawmm.graph.sidecar import first_mismatch, media_count, merge, split_by_message
from rawmm.media import LISTS
from tests import builders
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Sidecars: TypeAlias = list[MultiModalData | None]
SUBSETS = [frozenset(names) for size in (1, 2, 3) for names in combinations(LISTS, size)]
subsets = st.sampled_from(SUBSETS)


def image_sha(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


payloads = st.fixed_dictionaries(
    {"image_grid_thw": st.lists(st.integers(1, 40), min_size=3, max_size=3)},
    optional={"vision": st.fixed_dictionaries({"deep": st.lists(st.text(max_size=3), max_size=2)})},
)


@st.composite
def entries(draw: st.DrawFn, modality: str, number: int, start: int) -> dict[str, Any]:
    """The entries of one medium, with its range at `start` or a little later."""
    sha = image_sha(number)
    locator: dict[str, Any] = draw(
        st.sampled_from(
            [{}, {"raw_image_id": f"{sha}.png"}, {"raw_image_uri": f"file:///run/{sha}.png"}]
        )
    )
    item = builders.item(modality=modality, payload=draw(payloads), **locator)
    span = PlaceholderRange(offset=start + draw(st.integers(0, 3)), length=draw(st.integers(1, 9)))
    return {"mm_hashes": sha[:32], "mm_placeholders": span, "mm_items": item}


def built(media: dict[str, list[dict[str, Any]]], present: dict[str, frozenset[str]]) -> Any:
    lists: dict[str, dict[str, Any]] = {name: {} for name in LISTS}
    for modality, own in media.items():
        for name in present[modality]:
            lists[name][modality] = [entry[name] for entry in own]
    return MultiModalData(**lists)


@st.composite
def chains(draw: st.DrawFn, names: frozenset[str] | None = None) -> Sidecars:
    """Sidecars of the nodes of a branch, in several modalities."""
    modalities = draw(st.lists(st.sampled_from(["image", "video", "a.u-d_io"]), unique=True))
    present = {modality: names or draw(subsets) for modality in modalities}
    ends = dict.fromkeys(modalities, 0)
    out: Sidecars = []
    for _ in range(draw(st.integers(0, 5))):
        media: dict[str, list[dict[str, Any]]] = {}
        for modality in modalities:
            for _ in range(draw(st.integers(0, 2))):
                number = draw(st.integers(0, 4))
                entry = draw(entries(modality, number, ends[modality]))
                span = entry["mm_placeholders"]
                ends[modality] = span.offset + span.length
                media.setdefault(modality, []).append(entry)
        # A message without media has no sidecar, or one whose lists are empty or absent.
        if media:
            out.append(built(media, present))
        else:
            empty = MultiModalData(mm_items={"image": []})
            out.append(draw(st.sampled_from([None, MultiModalData(), empty])))
    return out


@st.composite
def prompts(
    draw: st.DrawFn, names: frozenset[str] | None = None
) -> tuple[MultiModalData | None, list[Message]]:
    """A prompt of all kinds of messages, and its sidecar; None without images."""
    messages: list[Message] = []
    media: list[dict[str, Any]] = []
    end = 0
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["system", "user", "assistant", "tool", "text"]))
        if kind == "assistant":
            messages.append(AssistantMessage(content="done"))
            continue
        if kind == "text":
            messages.append(UserMessage(content="look"))
            continue
        parts: list[Any] = []
        for number in draw(st.lists(st.integers(-1, 4), max_size=4)):
            if number < 0:
                parts.append(TextContentPart(text="and"))
                continue
            url = f"file:///run/{image_sha(number)}.png"
            parts.append(ImageUrlContentPart(image_url=ImageUrlSource(url=url)))
            media.append(draw(entries("image", number, end)))
            end = media[-1]["mm_placeholders"].offset + media[-1]["mm_placeholders"].length
        more = {"tool_call_id": "c"} if kind == "tool" else {}
        build: Any = {"system": SystemMessage, "user": UserMessage, "tool": ToolMessage}[kind]
        messages.append(build(content=parts, **more))
    if not media:
        return None, messages
    return built({"image": media}, {"image": names or draw(subsets)}), messages


def encoded(values: list[Any]) -> list[bytes]:
    return [encode_msgpack(value) for value in values if value is not None]


def shape(value: MultiModalData | None) -> MultiModalData | None:
    """A sidecar without empty lists, or None, as `merge` returns it."""
    if value is None:
        return None
    lists = {
        name: {modality: of for modality, of in getattr(value, name).items() if of}
        for name in LISTS
    }
    return MultiModalData(**lists) if any(lists.values()) else None


class TestMergeIsAssociative:
    @given(chains(), st.data())
    def test_merging_any_split_gives_the_whole(
        self, sidecars: Sidecars, data: st.DataObject
    ) -> None:
        cuts = data.draw(st.lists(st.integers(0, len(sidecars)), max_size=4).map(sorted))
        edges = zip([0, *cuts], [*cuts, len(sidecars)], strict=True)
        assert merge([merge(sidecars[a:b]) for a, b in edges]) == merge(sidecars)

    @given(chains())
    def test_merging_one_by_one_gives_the_whole(self, sidecars: Sidecars) -> None:
        left: MultiModalData | None = None
        for one in sidecars:
            left = merge([left, one])
        assert left == merge(sidecars)

    @given(chains())
    def test_merge_of_one_sidecar_is_that_sidecar(self, sidecars: Sidecars) -> None:
        whole = merge(sidecars)
        assert merge([whole]) == whole == merge(iter(sidecars))


class TestMergeKeepsOrder:
    @given(chains())
    def test_lists_are_concatenated(self, sidecars: Sidecars) -> None:
        whole = merge(sidecars)
        for name in LISTS:
            expected: dict[str, list[Any]] = {}
            for one in sidecars:
                for modality, of in getattr(one, name).items() if one else ():
                    expected.setdefault(modality, []).extend(of)
            found = {} if whole is None else getattr(whole, name)
            assert found == {modality: of for modality, of in expected.items() if of}

    @given(chains(frozenset(LISTS)))
    def test_merged_sidecar_is_valid(self, sidecars: Sidecars) -> None:
        whole = merge(sidecars)
        if whole is not None:
            validate(whole)

    def test_ranges_out_of_order_are_refused(self) -> None:
        first, second = (
            MultiModalData(mm_placeholders={"image": [PlaceholderRange(offset=at, length=2)]})
            for at in (0, 5)
        )
        assert merge([first, second]) is not None
        with pytest.raises(ContractError) as caught:
            merge([second, first])
        assert (caught.value.code, caught.value.path) == (
            "placeholder_order",
            "$.mm_placeholders.image[1]",
        )


class TestMergeNeedsTheSameLists:
    """If some sidecars lacked a list, its entries would belong to other media."""

    @each("one", SUBSETS, ids=lambda names: "+".join(sorted(names)))
    @each("other", SUBSETS, ids=lambda names: "+".join(sorted(names)))
    def test_different_lists_of_a_modality_are_refused(
        self, one: frozenset[str], other: frozenset[str]
    ) -> None:
        item = RawMMItem(modality="image", family="qwen_vl", payload={})
        first, second = (
            {
                "mm_hashes": image_sha(at)[:32],
                "mm_placeholders": PlaceholderRange(offset=at, length=1),
                "mm_items": item,
            }
            for at in (0, 1)
        )
        pair = (
            built({"image": [first]}, {"image": one}),
            built({"image": [second]}, {"image": other}),
        )
        if one == other:
            merged = merge(pair)
            assert merged is not None
            assert {name for name in LISTS if getattr(merged, name)} == one
            return
        with pytest.raises(ContractError) as caught:
            merge(pair)
        first_odd = next(name for name in LISTS if (name in one) != (name in other))
        assert str(caught.value) == (
            f"$.{first_odd}.image: expected a list in every sidecar with media of image, or in "
            "none, got a list in some [count_mismatch]"
        )

    def test_modalities_may_have_different_lists(self) -> None:
        merged = merge(
            [
                MultiModalData(mm_hashes={"image": ["a" * 32]}),
                MultiModalData(
                    mm_items={"video": [RawMMItem(modality="video", family="f", payload={})]}
                ),
            ]
        )
        assert merged is not None
        assert (list(merged.mm_hashes), list(merged.mm_items)) == (["image"], ["video"])


class TestSplitConservesCounts:
    @given(prompts())
    def test_each_message_gets_one_entry_per_image(
        self, prompt: tuple[MultiModalData | None, list[Message]]
    ) -> None:
        sidecar, messages = prompt
        parts = split_by_message(sidecar, messages)
        assert len(parts) == len(messages)
        for part, message in zip(parts, messages, strict=True):
            images = media_count(message)["image"]
            if not images:
                assert part is None
                continue
            assert part is not None
            validate(part)
            for name in LISTS:
                present = "image" in getattr(sidecar, name)
                assert len(getattr(part, name).get("image", ())) == (images if present else 0)

    @given(prompts(frozenset(LISTS)))
    def test_each_message_gets_its_own_images(
        self, prompt: tuple[MultiModalData | None, list[Message]]
    ) -> None:
        sidecar, messages = prompt
        for part, message in zip(split_by_message(sidecar, messages), messages, strict=True):
            content = message.content if isinstance(message.content, list) else []
            urls = [p.image_url.url for p in content if isinstance(p, ImageUrlContentPart)]
            hashes = part.mm_hashes["image"] if part else []
            assert [url.rpartition("/")[2][:32] for url in urls] == hashes

    @given(prompts(), st.data())
    def test_start_index_skips_earlier_messages(
        self, prompt: tuple[MultiModalData | None, list[Message]], data: st.DataObject
    ) -> None:
        sidecar, messages = prompt
        start = data.draw(st.integers(0, len(messages) + 1))
        assert (
            split_by_message(sidecar, messages, start)
            == split_by_message(sidecar, messages)[start:]
        )


class TestMergeUndoesSplit:
    @pytest.mark.parametrize("names", SUBSETS, ids=lambda names: "+".join(sorted(names)))
    @given(st.data())
    def test_merged_parts_equal_the_sidecar(
        self, names: frozenset[str], data: st.DataObject
    ) -> None:
        sidecar, messages = data.draw(prompts(names))
        assert merge(split_by_message(sidecar, messages)) == sidecar


class TestSplitRefusesOtherCounts:
    @given(prompts(), st.data())
    def test_list_one_off_is_refused(
        self, prompt: tuple[MultiModalData | None, list[Message]], data: st.DataObject
    ) -> None:
        sidecar, messages = prompt
        if sidecar is None:
            return
        name = data.draw(st.sampled_from([n for n in LISTS if getattr(sidecar, n)]))
        wanted = len(getattr(sidecar, name)["image"])
        for change, got in ((drop_last, wanted - 1), (double_last, wanted + 1)):
            damaged = copy.deepcopy(sidecar)
            change(getattr(damaged, name)["image"])
            self.refused(damaged, messages, f"$.{name}.image", got)

    @given(prompts())
    def test_messages_one_off_are_refused(
        self, prompt: tuple[MultiModalData | None, list[Message]]
    ) -> None:
        sidecar, messages = prompt
        if sidecar is None:
            return
        first = next(name for name in LISTS if getattr(sidecar, name))
        one = UserMessage(
            content=[ImageUrlContentPart(image_url=ImageUrlSource(url="file:///run/a.png"))]
        )
        last = max(i for i, message in enumerate(messages) if media_count(message)["image"])
        for other in ([*messages, one], [one, *messages], messages[:last]):
            with pytest.raises(ContractError) as caught:
                split_by_message(sidecar, other)
            assert (caught.value.code, caught.value.path) == ("count_mismatch", f"$.{first}.image")

    @pytest.mark.parametrize("name", LISTS)
    @pytest.mark.parametrize("modality", ["video", "audio"])
    def test_other_modality_is_refused(self, name: str, modality: str) -> None:
        entry: Any = {
            "mm_hashes": "a" * 32,
            "mm_placeholders": PlaceholderRange(offset=0, length=1),
            "mm_items": RawMMItem(modality=modality, family="f", payload={}),
        }[name]
        self.refused(
            MultiModalData(**{name: {modality: [entry]}}),
            [UserMessage(content="text")],
            f"$.{name}.{modality}",
            1,
        )

    @pytest.mark.parametrize("lists", [{}, {"mm_items": {"video": []}}])
    def test_sidecar_without_image_lists_is_refused(self, lists: dict[str, Any]) -> None:
        url = ImageUrlSource(url="file:///run/a.png")
        messages: list[Message] = [UserMessage(content=[ImageUrlContentPart(image_url=url)] * 2)]
        self.refused(MultiModalData(**lists), messages, "$.mm_items", "no list of images")

    def test_empty_list_is_refused(self) -> None:
        url = ImageUrlSource(url="file:///run/a.png")
        with pytest.raises(ContractError) as caught:
            split_by_message(
                MultiModalData(mm_hashes={"image": []}),
                [UserMessage(content=[ImageUrlContentPart(image_url=url)])],
            )
        assert (caught.value.code, caught.value.path) == ("count_mismatch", "$.mm_hashes.image")

    def refused(
        self, sidecar: MultiModalData, messages: list[Message], path: str, got: object
    ) -> None:
        before = repr((sidecar, messages))
        with pytest.raises(ContractError) as caught:
            split_by_message(sidecar, messages)
        error = caught.value
        assert (error.code, error.path, str(error.got)) == ("count_mismatch", path, str(got))
        assert repr((sidecar, messages)) == before


def drop_last(of: list[Any]) -> None:
    del of[-1]


def double_last(of: list[Any]) -> None:
    of.append(copy.deepcopy(of[-1]))


def mutable_parts(value: Any) -> Iterator[Any]:
    """Every dict, list and struct in `value`, innermost first."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from mutable_parts(getattr(value, name))
        yield value
    elif isinstance(value, (dict, list)):
        for child in list(value.values() if isinstance(value, dict) else value):
            yield from mutable_parts(child)
        yield value


def spoil(value: Any) -> None:
    """Change a container or a struct in place."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            setattr(value, name, None)
    elif isinstance(value, dict):
        value["spoiled"] = True
    else:
        value.append("spoiled")


class TestNothingIsShared:
    """Changing a result does not change the arguments, and vice versa."""

    def apart(self, function: Callable[..., Any], *inputs: Any) -> None:
        before = encoded([*inputs])
        for spoil_the_output in (True, False):
            own = copy.deepcopy(inputs)
            out = function(*own)
            assert encoded([*own]) == before
            ids = {id(part) for part in mutable_parts(out)}
            assert not ids & {id(part) for given in own for part in mutable_parts(given)}
            kept, spoiled = (list(own), out) if spoil_the_output else (out, list(own))
            copied = copy.deepcopy(kept)
            for part in list(mutable_parts(spoiled)):
                spoil(part)
            assert kept == copied

    @given(chains())
    def test_merge_shares_no_containers(self, sidecars: Sidecars) -> None:
        self.apart(lambda *given: merge(given), *sidecars)

    @given(prompts())
    def test_split_shares_no_containers(
        self, prompt: tuple[MultiModalData | None, list[Message]]
    ) -> None:
        sidecar, messages = prompt
        self.apart(lambda first, *rest: split_by_message(first, rest), sidecar, *messages)

    @given(prompts(frozenset(LISTS)))
    def test_parts_of_one_prompt_share_no_containers(
        self, prompt: tuple[MultiModalData | None, list[Message]]
    ) -> None:
        sidecar, messages = prompt
        parts = [part for part in split_by_message(sidecar, messages) if part is not None]
        for one, other in combinations(parts, 2):
            assert not {id(part) for part in mutable_parts(one)} & {
                id(part) for part in mutable_parts(other)
            }

    def test_merging_a_sidecar_twice_shares_no_containers(self) -> None:
        item = RawMMItem(modality="image", family="f", payload={"grid": [1, 2, 2]})
        one = MultiModalData(mm_items={"image": [item]})
        merged = merge([one, one])
        assert merged is not None
        first, second = merged.mm_items["image"]
        first.payload["grid"].append(3)
        assert (second.payload, item.payload) == ({"grid": [1, 2, 2]},) * 2


class TestNone:
    def test_merge_of_empty_sidecars_returns_none(self) -> None:
        empty = MultiModalData(mm_hashes={"image": []}, mm_placeholders={}, mm_items={"video": []})
        for sidecars in ([], [None], [None, None], [MultiModalData()], [empty, None, empty]):
            assert merge(sidecars) is None

    @given(chains())
    def test_none_and_empty_lists_are_ignored(self, sidecars: Sidecars) -> None:
        kept = [one for one in map(shape, sidecars) if one is not None]
        assert merge(sidecars) == merge(kept)
        padded: Sidecars = [None, MultiModalData()]
        for one in kept:
            padded += [one, None]
        assert merge(padded) == merge(sidecars)

    @given(prompts())
    def test_split_of_none_returns_none_for_each_message(
        self, prompt: tuple[MultiModalData | None, list[Message]]
    ) -> None:
        _, messages = prompt
        assert split_by_message(None, messages) == [None] * len(messages)
        assert split_by_message(None, messages, 1) == [None] * len(messages[1:])

    def test_empty_lists_for_text_give_none(self) -> None:
        empty = MultiModalData(mm_hashes={"image": []}, mm_items={"video": []})
        assert split_by_message(empty, [UserMessage(content="text")]) == [None]
        assert split_by_message(empty, []) == []


CHANGES: list[tuple[str, Callable[[Any], Any]]] = [
    ("mm_hashes", lambda sha: sha[::-1]),
    ("mm_placeholders", lambda span: PlaceholderRange(offset=span.offset + 1, length=span.length)),
    ("mm_placeholders", lambda span: PlaceholderRange(offset=span.offset, length=span.length + 1)),
    ("mm_items", lambda item: changed(item, family="other")),
    ("mm_items", lambda item: changed(item, payload=item.payload | {"more": 1})),
    ("mm_items", lambda item: changed(item, layout_fingerprint=None)),
    ("mm_items", lambda item: changed(item, vllm_modality="vision_chunk")),
    ("mm_items", lambda item: changed(item, raw_image_id=None, raw_image_uri="file:///b.png")),
    ("mm_items", lambda item: changed(item, raw_image_id="b.png", raw_image_uri=None)),
]


def changed(item: RawMMItem, **fields: Any) -> RawMMItem:
    item = copy.deepcopy(item)
    for name, value in fields.items():
        setattr(item, name, value)
    return item


class TestFirstMismatch:
    @given(prompts(), st.data())
    def test_sidecar_matches_its_own_parts(
        self, prompt: tuple[MultiModalData | None, list[Message]], data: st.DataObject
    ) -> None:
        sidecar, messages = prompt
        if sidecar is None:
            return
        end = data.draw(st.integers(0, len(messages)))
        parts = split_by_message(sidecar, messages)
        assert first_mismatch(parts[:end], sidecar, messages[:end]) is None

    @given(prompts(), st.data())
    def test_missing_locator_matches(
        self, prompt: tuple[MultiModalData | None, list[Message]], data: st.DataObject
    ) -> None:
        sidecar, messages = prompt
        if sidecar is None:
            return
        parts = split_by_message(sidecar, messages)
        bare = copy.deepcopy(sidecar)
        for item in bare.mm_items.get("image", ()):
            if data.draw(st.booleans()):
                item.raw_image_id = item.raw_image_uri = None
        before = encoded([bare, sidecar])
        assert first_mismatch(parts, bare, messages) is None
        # The renderer may be the one with the locator.
        assert first_mismatch(split_by_message(bare, messages), sidecar, messages) is None
        assert encoded([bare, sidecar]) == before

    @pytest.mark.parametrize("field", ["raw_image_id", "raw_image_uri"])
    def test_changed_locator_of_either_kind_is_found(self, field: str) -> None:
        messages: list[Message] = [
            UserMessage(
                content=[ImageUrlContentPart(image_url=ImageUrlSource(url="file:///a.png"))]
            )
        ]
        item = RawMMItem(modality="image", family="f", payload={"grid": [1, 2]})
        located = changed(item, **{field: "a.png" if field == "raw_image_id" else "file:///a.png"})
        one, other = (MultiModalData(mm_items={"image": [of]}) for of in (item, located))
        assert first_mismatch([one], other, messages) is None
        assert first_mismatch([other], one, messages) is None
        assert first_mismatch([other], other, messages) is None
        elsewhere = changed(located, **{field: "b.png" if field == "raw_image_id" else "file:///b"})
        another = MultiModalData(mm_items={"image": [elsewhere]})
        assert first_mismatch([other], another, messages) == ("mm_items", "image", 0)

    @pytest.mark.parametrize("number", range(len(CHANGES)))
    @given(st.data())
    def test_any_other_change_is_found(self, number: int, data: st.DataObject) -> None:
        name, change = CHANGES[number]
        sidecar, messages = data.draw(prompts(frozenset(LISTS)))
        if sidecar is None:
            return
        parts = split_by_message(sidecar, messages)
        other = copy.deepcopy(sidecar)
        of = getattr(other, name)["image"]
        index = data.draw(st.integers(0, len(of) - 1))
        new = change(of[index])
        if new == of[index]:
            return
        if name == "mm_items" and not (of[index].raw_image_id or of[index].raw_image_uri):
            # Only locators may differ.
            new.raw_image_id = new.raw_image_uri = None
            if new == of[index]:
                return
        of[index] = new
        assert first_mismatch(parts, other, messages) == (name, "image", index)
        assert first_mismatch(parts[:0], other, []) is None

    @given(prompts(frozenset(LISTS)), st.data())
    def test_missing_entry_is_found(
        self, prompt: tuple[MultiModalData | None, list[Message]], data: st.DataObject
    ) -> None:
        sidecar, messages = prompt
        if sidecar is None:
            return
        parts = split_by_message(sidecar, messages)
        name = data.draw(st.sampled_from(LISTS))
        size = len(getattr(sidecar, name)["image"])
        shorter = copy.deepcopy(sidecar)
        drop_last(getattr(shorter, name)["image"])
        assert first_mismatch(parts, shorter, messages) == (name, "image", size - 1)
        without = copy.deepcopy(sidecar)
        del getattr(without, name)["image"]
        assert first_mismatch(parts, without, messages) == (name, "image", 0)
        assert first_mismatch([None] * len(parts), sidecar, messages) == ("mm_hashes", "image", 0)

    @given(prompts(frozenset(LISTS)))
    def test_entries_after_the_messages_are_ignored(
        self, prompt: tuple[MultiModalData | None, list[Message]]
    ) -> None:
        sidecar, messages = prompt
        if sidecar is None:
            return
        last = max(i for i, message in enumerate(messages) if media_count(message)["image"])
        parts = split_by_message(sidecar, messages)[:last]
        other = copy.deepcopy(sidecar)
        other.mm_items["image"][-1].family = "other"
        assert first_mismatch(parts, other, messages[:last]) is None


def test_media_without_messages_are_ignored() -> None:
    """`split_by_message` refuses them; `first_mismatch` ignores them."""
    item = RawMMItem(modality="video", family="f", payload={})
    sidecar = MultiModalData(mm_items={"video": [item]})
    assert first_mismatch([None], sidecar, [UserMessage(content="x")]) is None
