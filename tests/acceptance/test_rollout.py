"""A rollout of twenty turns with images, from the client's request to the trainer's branches.

A fork and a compaction are in it. Nothing is lost on the way, and each entry that is lost,
doubled or moved leads to an error with its path.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm import ImageStore, MultiModalData, Trace
from rawmm.graph import PendingTurn, branches, leaves, prepare_turn
from tests import fake_renderer
from tests.unit.images.pictures import data_url, part

if TYPE_CHECKING:
    from collections.abc import Callable

TURNS = 20
FORK_AT, FORK_FROM = 8, 5
COMPACT_AT = 14


def inline(number: int) -> dict[str, Any]:
    return part(data_url(fake_renderer.screenshot(number)))


def observation(number: int) -> dict[str, Any]:
    """The environment's message after a step. Every third step shows two screens."""
    screens = [number, 100 + number] if number % 3 == 0 else [number]
    text = {"type": "text", "text": f"step {number} shows"}
    return {"role": "user", "content": [text, *map(inline, screens)]}


def reply(number: int) -> dict[str, Any]:
    return {"role": "assistant", "content": f"click the button {number}"}


@dataclass
class Rollout:
    """The worker's side of a rollout. A hop may be tampered with before the turn is committed."""

    store: ImageStore
    trace: Trace = field(default_factory=lambda: Trace(nodes=[]))
    history: list[dict[str, Any]] = field(default_factory=list)
    stats: rawmm.ImageOffloadStats = field(default_factory=rawmm.ImageOffloadStats)
    before_commit: Callable[[PendingTurn, rawmm.Response], None] | None = None
    bridged: int = 0

    def turn(self, number: int) -> None:
        # The client re-sends the whole history, every image inline.
        self.history.append(observation(number))
        body = {"model": "m", "messages": copy.deepcopy(self.history)}

        # Images are written once; the messages keep references.
        self.stats.add(rawmm.offload_images_inplace(body, store=self.store))

        # Tokens that the graph has are not rendered again.
        turn = prepare_turn(self.trace, body["messages"])
        previous = turn.previous_token_ids()
        if previous is None:
            prompt = fake_renderer.render(turn.prompt)
            spans = prompt.spans(len(turn.prompt))
        else:
            prompt = fake_renderer.bridge(previous, turn.tail, turn.previous_multi_modal_data())
            spans = turn.prompt_message_spans(prompt)
            self.bridged += 1

        answer = fake_renderer.response(
            reply(number)["content"], prompt, message_spans=spans, bridged=previous is not None
        )
        if self.before_commit is not None:
            self.before_commit(turn, answer)
        turn.commit(answer)
        self.history.append(reply(number))


def play(rollout: Rollout) -> Rollout:
    for number in range(TURNS):
        if number == FORK_AT:
            # A fork: the agent returns to an earlier step.
            rollout.history = rollout.history[: 2 * FORK_FROM]
        if number == COMPACT_AT:
            # A compaction: the agent continues from a summary.
            rollout.history = [{"role": "system", "content": "so far we clicked often"}]
        rollout.turn(number)
    return rollout


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("run") / "assets" / "images", durable=False)


@pytest.fixture(scope="module")
def rollout(store: ImageStore) -> Rollout:
    return play(Rollout(store))


@pytest.fixture(scope="module")
def received(rollout: Rollout) -> Trace:
    """The trace as the trainer gets it."""
    return rawmm.decode_msgpack(rawmm.encode_msgpack(rollout.trace), Trace)


class TestNothingIsLost:
    def test_each_turn_continues_the_previous_one(self, rollout: Rollout) -> None:
        # Three times there is nothing to extend: at the start, and where the history was cut
        # back to a compaction; the fork extends an earlier reply.
        assert rollout.bridged == TURNS - 2
        assert len(rollout.trace.nodes) == 2 * TURNS + 1  # and the summary

    def test_images_are_written_once(self, rollout: Rollout, store: ImageStore) -> None:
        distinct = TURNS + sum(number % 3 == 0 for number in range(TURNS))
        assert len(list(store.root.iterdir())) == distinct
        assert rollout.stats.images_rewritten - rollout.stats.images_deduplicated == distinct
        assert rollout.stats.images_seen > 5 * distinct

    def test_round_trip_is_equal_and_valid(self, rollout: Rollout, received: Trace) -> None:
        assert received == rollout.trace
        assert rawmm.decode_json(rawmm.encode_json(received), Trace) == received
        rawmm.validate(received)
        assert rawmm.encode_msgpack(received) == rawmm.encode_msgpack(rollout.trace)
        assert b"base64" not in rawmm.encode_json(received)

    def test_branches_end_at_the_expected_leaves(self, received: Trace) -> None:
        assert len(leaves(received)) == 3
        turns = [range(FORK_AT), [*range(FORK_FROM), *range(FORK_AT, COMPACT_AT)]]
        turns += [range(COMPACT_AT, TURNS)]
        for branch, numbers in zip(branches(received), turns, strict=True):
            texts = [message.content for message in branch.messages if message.content]
            replies = [text for text in texts if isinstance(text, str) and "click the" in text]
            assert replies == [reply(number)["content"] for number in numbers]

    def test_branch_equals_its_rendered_prompt(self, received: Trace) -> None:
        for branch in branches(received):
            whole = fake_renderer.render(branch.messages)
            assert branch.token_ids == whole.token_ids[:-2]  # it does not ask for more
            assert branch.multi_modal_data == whole.multi_modal_data
            sampled = [
                token for token, own in zip(branch.token_ids, branch.mask, strict=True) if own
            ]
            completions = [
                fake_renderer.sample(m.content or "")[0]
                for m in branch.messages
                if isinstance(m, rawmm.AssistantMessage)
            ]
            assert sampled == [token for ids in completions for token in ids]

    def test_counts_agree_and_all_images_exist(self, received: Trace, store: ImageStore) -> None:
        for branch in branches(received):
            sidecar = branch.multi_modal_data
            assert sidecar is not None
            urls = [
                part.image_url.url
                for message in branch.messages
                if isinstance(message.content, list)
                for part in message.content
                if isinstance(part, rawmm.ImageUrlContentPart)
            ]
            items, hashes = sidecar.mm_items["image"], sidecar.mm_hashes["image"]
            ranges = sidecar.mm_placeholders["image"]
            assert len(urls) == len(items) == len(hashes) == len(ranges) > 0
            for url, item, sha in zip(urls, items, hashes, strict=True):
                assert item.raw_image_id is not None
                assert url.endswith(item.raw_image_id)
                assert store.read(item.raw_image_id, expected_hash=sha)
            types = branch.mm_token_type_ids
            assert types is not None
            covered = [at for one in ranges for at in range(one.offset, one.offset + one.length)]
            assert covered == [at for at, kind in enumerate(types) if kind == 1]


LISTS = ("mm_items", "mm_hashes", "mm_placeholders")


def mutations(
    entries: list[Any], following: list[Any] | None = None
) -> list[tuple[str, Callable[[], None]]]:
    """Every way to drop, double or move one entry; `following` is the same list of another node."""
    out: list[tuple[str, Callable[[], None]]] = []
    for i in range(len(entries)):
        out += [
            (f"drop {i}", partial(drop, entries, i)),
            (f"double {i}", partial(double, entries, i)),
        ]
        for j in range(i + 1, len(entries)):
            out.append((f"swap {i} and {j}", partial(swap, entries, i, entries, j)))
        if following:
            out.append((f"swap {i} with another node's", partial(swap, entries, i, following, 0)))
            out.append((f"move {i} to another node", partial(move, entries, i, following)))
    return out


def drop(entries: list[Any], i: int) -> None:
    del entries[i]


def double(entries: list[Any], i: int) -> None:
    entries.insert(i, copy.deepcopy(entries[i]))


def swap(one: list[Any], i: int, other: list[Any], j: int) -> None:
    one[i], other[j] = other[j], one[i]


def move(entries: list[Any], i: int, other: list[Any]) -> None:
    other.insert(0, entries.pop(i))


def media_list(node: dict[str, Any], name: str) -> list[Any]:
    """One of a node's lists of media: image parts of its message, or a list of its sidecar."""
    if name == "image parts":
        content = node["message"]["content"]
        content[:] = [part for part in content if part["type"] == "image_url"]
        found: list[Any] = content
    else:
        found = node["multi_modal_data"][name]["image"]
    return found


class TestEveryLossIsCaught:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["image parts", *LISTS])
    def test_damage_in_the_trace_is_refused(self, received: Trace, name: str) -> None:
        document = rawmm.to_builtins(received)
        places = [i for i, node in enumerate(document["nodes"]) if "multi_modal_data" in node]
        tried = 0
        for place, following in zip(places, [*places[1:], places[0]], strict=True):
            for number in count():
                nodes = list(document["nodes"])
                nodes[place], nodes[following] = copy.deepcopy([nodes[place], nodes[following]])
                lists = media_list(nodes[place], name), media_list(nodes[following], name)
                found = mutations(*lists)
                if number == len(found):
                    break
                what, mutate = found[number]
                mutate()
                damaged = document | {"nodes": nodes}
                errors = [error.path for error in rawmm.iter_errors(damaged, Trace)]
                assert errors, f"node {place}: {what} went unnoticed"
                touched = [place, following] if "another" in what else [place]
                own = tuple(f"$.nodes[{i}]." for i in touched)
                assert any(path.startswith(own) for path in errors), (what, errors)
                with pytest.raises(rawmm.ContractError):
                    rawmm.convert(damaged, Trace)
                tried += 1
        assert tried > 4 * len(places)

    @pytest.mark.slow
    def test_damage_by_the_renderer_is_refused(self, store: ImageStore) -> None:
        tried = 0

        def tamper(turn: PendingTurn, answer: rawmm.Response) -> None:
            nonlocal tried
            assert answer.tokens is not None
            original = answer.tokens.multi_modal_data
            before = rawmm.encode_msgpack(turn.trace)
            for name in LISTS:
                for number in count():
                    damaged = rawmm.to_builtins(original)
                    found = mutations(damaged[name]["image"])
                    if number == len(found):
                        break
                    what, mutate = found[number]
                    mutate()
                    answer.tokens.multi_modal_data = damaged
                    with pytest.raises(rawmm.ContractError) as caught:
                        turn.commit(answer)
                    assert caught.value.path.startswith("$.tokens.multi_modal_data"), what
                    tried += 1
            answer.tokens.multi_modal_data = None
            # Released consumers write no sidecars. A writer of sidecars asks for them.
            with pytest.raises(rawmm.ContractError, match="sidecar"):
                copied = copy.deepcopy(turn)
                copied.commit(answer)
                rawmm.validate(copied.trace, require_sidecars=True)
            assert rawmm.encode_msgpack(turn.trace) == before
            answer.tokens.multi_modal_data = original

        play(Rollout(store, before_commit=tamper))
        assert tried > 500

    def test_damage_by_the_client_is_refused(self, store: ImageStore) -> None:
        """A message that lost, doubled or swapped an image after it was rendered."""
        tried = 0

        def tamper(turn: PendingTurn, answer: rawmm.Response) -> None:
            nonlocal tried
            new = turn.tail_start + len(turn.tail) - 1
            for number in count():
                damaged = [rawmm.to_builtins(message) for message in turn.prompt]
                found = mutations(media_list({"message": damaged[new]}, "image parts"))
                if number == len(found):
                    break
                found[number][1]()
                with pytest.raises(rawmm.ContractError) as caught:
                    prepare_turn(turn.trace, damaged).commit(answer)
                assert caught.value.code in {"count_mismatch", "hash_mismatch"}
                tried += 1

        play(Rollout(store, before_commit=tamper))
        assert tried > 2 * TURNS


def test_bridge_without_the_previous_sidecar_is_refused(store: ImageStore) -> None:
    """The renderer extends the prompt and forgets the earlier images."""

    def forget(turn: PendingTurn, answer: rawmm.Response) -> None:
        previous = turn.previous_token_ids()
        if previous is None:
            return
        assert answer.tokens is not None
        answer.tokens.multi_modal_data = fake_renderer.bridge(
            previous, turn.tail, None
        ).multi_modal_data

    rollout = Rollout(store, before_commit=forget)
    rollout.turn(0)
    with pytest.raises(rawmm.ContractError) as caught:
        rollout.turn(1)
    assert (caught.value.code, caught.value.path) == (
        "count_mismatch",
        "$.tokens.multi_modal_data.mm_hashes.image",
    )


def test_previous_sidecar_is_a_copy(rollout: Rollout) -> None:
    turn = prepare_turn(rollout.trace, branches(rollout.trace)[0].messages)
    before = rawmm.encode_msgpack(rollout.trace)
    sidecar = turn.previous_multi_modal_data()
    assert isinstance(sidecar, MultiModalData)
    sidecar.mm_items["image"][0].payload["image_grid_thw"][0] = 99
    sidecar.mm_placeholders["image"][0].offset = 0
    sidecar.mm_hashes["image"].clear()
    assert rawmm.encode_msgpack(rollout.trace) == before
