"""Leaves, branches, and the streams of a branch."""

from __future__ import annotations

from typing import Any

import pytest

from rawmm import (
    ContractError,
    MessageNode,
    MultiModalData,
    ParentLink,
    PlaceholderRange,
    Tool,
    Trace,
)
from rawmm.graph import Branch, branches, leaves
from tests.builders import item
from tests.unit.graph.turns import (
    PAD,
    new_trace,
    play,
    reply,
    response,
    sidecar,
    url,
    user,
    with_images,
)

STREAMS = ("logprobs", "advantages", "reference_logprobs", "trainer_logprobs", "entropies")


def node(parent: int | None = None, **fields: Any) -> MessageNode:
    return MessageNode(parent=parent, message=reply(), **fields)


def alone(**fields: Any) -> Branch:
    (only,) = branches(Trace(nodes=[node(**fields)]))
    return only


class TestLeaves:
    def test_leaves_of_a_tree_are_found(self) -> None:
        trace = Trace(nodes=[node(), node(0), node(0), node(2), node(), node(2)])
        assert leaves(trace) == [1, 3, 4, 5]
        found = branches(trace)
        assert [branch.index for branch in found] == [0, 1, 2, 3]
        assert [branch.node_ids for branch in found] == [[0, 1], [0, 2, 3], [4], [0, 2, 5]]
        for branch in found:
            kept = zip(branch.nodes, branch.node_ids, strict=True)
            assert all(own is trace.nodes[i] for own, i in kept)

    def test_empty_trace_has_none(self) -> None:
        assert leaves(new_trace()) == []
        assert branches(new_trace()) == []


class TestTrainable:
    """A compaction attempt trains only if the harness continued it."""

    def flags(self, *links: list[tuple[int, str]]) -> list[bool]:
        nodes = [
            node(semantic_parents=[ParentLink(node=at, type=kind) for at, kind in own])
            for own in links
        ]
        return [branch.trainable for branch in branches(Trace(nodes=nodes))]

    def test_branch_without_links_is_trainable(self) -> None:
        assert branches(with_images())[0].trainable
        assert self.flags([], []) == [True, True]

    def test_abandoned_attempt_is_not_trainable(self) -> None:
        assert self.flags([], [(0, "compaction_attempt")]) == [True, False]

    def test_accepted_attempt_is_trainable(self) -> None:
        assert self.flags([], [(0, "compaction_attempt")], [(1, "compaction")]) == [True] * 3

    def test_only_the_accepted_attempt_of_two_is_trainable(self) -> None:
        attempt = [(0, "compaction_attempt")]
        assert self.flags([], attempt, attempt, [(2, "compaction")]) == [True, False, True, True]

    def test_attempt_among_several_links_counts(self) -> None:
        links = [(0, "subagent_return"), (0, "compaction_attempt")]
        assert self.flags([], links) == [True, False]
        assert self.flags([], links, [(0, "compaction"), (1, "compaction")]) == [True] * 3

    def test_other_links_leave_a_branch_trainable(self) -> None:
        assert self.flags([], [(0, "compaction"), (0, "subagent_return")]) == [True, True]

    def test_only_the_leaf_counts(self) -> None:
        link = ParentLink(node=0, type="compaction_attempt")
        trace = Trace(nodes=[node(), node(0, semantic_parents=[link]), node(1)])
        assert [branch.trainable for branch in branches(trace)] == [True]


class TestStreams:
    def test_streams_of_two_turns_are_joined(self) -> None:
        (branch,) = branches(with_images())
        assert branch.messages == [
            user("look", url(0)),
            reply(),
            user(url(1), "again"),
            reply("done"),
        ]
        assert branch.token_ids == [1, PAD, PAD, 2, 90, 91, 1, PAD, PAD, PAD, 2, 90, 91]
        assert branch.mask == [False] * 4 + [True] * 2 + [False] * 5 + [True] * 2
        assert branch.logprobs == [0.0] * 4 + [-0.5] * 2 + [0.0] * 5 + [-0.5] * 2
        assert branch.multi_modal_data == sidecar((0, 1, 2), (1, 7, 3))
        assert branch.mm_token_type_ids == [0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
        assert branch.tools == []

    def test_tools_are_those_of_the_root(self) -> None:
        trace = new_trace()
        play(trace, [user("a")], response([1]), tools=[Tool(name="click")])
        play(trace, [user("b")], response([1]))
        assert [branch.tools for branch in branches(trace)] == [[Tool(name="click")], []]

    @pytest.mark.parametrize("name", STREAMS)
    def test_scaffold_is_filled_with_zeros(self, name: str) -> None:
        branch = alone(token_ids=[1, 2, 3], mask=[False, True, True], **{name: [-1.0, -2.0]})
        assert branch.spread(name) == [0.0, -1.0, -2.0]

    @pytest.mark.parametrize("name", STREAMS)
    def test_sampled_tokens_between_others_keep_their_values(self, name: str) -> None:
        """For example, a tool result was inserted between the model's own tokens."""
        mask = [True, False, True, True, False]
        branch = alone(token_ids=[1] * 5, mask=mask, **{name: [-1.0, -2.0, -3.0]})
        assert branch.spread(name) == [-1.0, 0.0, -2.0, -3.0, 0.0]

    @pytest.mark.parametrize(
        ("mask", "values", "out"),
        [
            ([True, True], [1.0, 2.0], [1.0, 2.0]),
            ([False, False], [], [0.0, 0.0]),
            ([], [], []),
            ([True, False], [1.0], [1.0, 0.0]),
            ([True, True], [], [0.0, 0.0]),
        ],
    )
    def test_streams_agree_with_any_mask(
        self, mask: list[bool], values: list[float], out: list[float]
    ) -> None:
        branch = alone(token_ids=[1] * len(mask), mask=mask, entropies=values)
        assert branch.spread("entropies") == out

    def test_unassigned_stream_is_zeros(self) -> None:
        branch = alone(token_ids=[1, 2], mask=[False, True])
        assert branch.spread("advantages") == [0.0, 0.0]

    @pytest.mark.parametrize(
        ("mask", "values"),
        [
            ([False, True, True], [1.0]),
            ([True, True, False], [1.0]),
            ([True, False, True], [1.0, 2.0, 3.0]),
            ([False, True, True], [1.0, 2.0, 3.0, 4.0]),
            ([False, False, False], [1.0]),
        ],
    )
    def test_stream_of_wrong_length_is_refused(self, mask: list[bool], values: list[float]) -> None:
        """Trainers assign to nodes, which is not checked."""
        trace = Trace(nodes=[node(), node(0, token_ids=[1, 2, 3], mask=mask)])
        trace.nodes[1].advantages = values
        with pytest.raises(ContractError) as caught:
            branches(trace)[0].spread("advantages")
        error = caught.value
        assert (error.code, error.path) == ("stream_length", "$.nodes[1].advantages")
        assert error.expected == f"none or {mask.count(True)}, one per sampled token"
        assert error.got == str(len(values))

    def test_types_of_several_media_are_read(self) -> None:
        trace = Trace(nodes=[node(token_ids=[5, 8, PAD, 6, 9], mask=[False] * 5)])
        trace.mm_token_type_id_map = {"8": 2, "7": 1, "6": 0}
        assert branches(trace)[0].mm_token_type_ids == [0, 2, 1, 0, 0]

    def test_types_are_none_without_media(self) -> None:
        for found in (None, {}, {"9": 1}, {"5": 0}):
            trace = Trace(nodes=[node(token_ids=[5], mask=[False])], mm_token_type_id_map=found)
            assert branches(trace)[0].mm_token_type_ids is None

    def test_sidecar_is_a_copy(self) -> None:
        trace = with_images()
        first = branches(trace)[0].multi_modal_data
        assert first is not None
        first.mm_items["image"][0].payload.clear()
        first.mm_hashes.clear()
        assert branches(trace)[0].multi_modal_data == sidecar((0, 1, 2), (1, 7, 3))

    def test_sidecars_with_different_lists_are_refused(self) -> None:
        """A node without hashes would get the hashes of the next node."""
        span = PlaceholderRange(offset=0, length=1)
        bare = MultiModalData(mm_items={"image": [item(0)]}, mm_placeholders={"image": [span]})
        trace = Trace(
            nodes=[
                MessageNode(message=user(url(0)), multi_modal_data=bare),
                MessageNode(parent=0, message=user(url(1)), multi_modal_data=sidecar((1, 1, 1))),
            ]
        )
        with pytest.raises(ContractError) as caught:
            _ = branches(trace)[0].multi_modal_data
        assert (caught.value.code, caught.value.path) == ("count_mismatch", "$.mm_hashes.image")


class TestBrokenGraphs:
    """A trace that was changed in place may hold what its constructor refuses."""

    @pytest.mark.parametrize(
        ("parents", "at"),
        [
            ([None, 1], 1),  # its own parent, so no leaf leads to it
            ([None, 0, 3, 2], 2),  # two nodes that are each other's parents
            ([1, 0, 1], 0),  # a leaf on a cycle
            ([None, 2, 0], 1),  # a parent with a higher index
            ([None, 9], 1),
            ([None, -1], 1),
            ([0], 0),
        ],
    )
    def test_parent_that_is_not_earlier_is_refused(
        self, parents: list[int | None], at: int
    ) -> None:
        trace = Trace(nodes=[node() for _ in parents])
        for one, parent in zip(trace.nodes, parents, strict=True):
            one.parent = parent
        with pytest.raises(ContractError) as caught:
            branches(trace)
        assert str(caught.value) == (
            f"$.nodes[{at}].parent: expected an earlier node, got {parents[at]} [parent_order]"
        )
