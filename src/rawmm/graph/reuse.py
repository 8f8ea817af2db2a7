"""Which nodes of the graph a turn goes on from: the same messages in the same tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rawmm.errors import contract_error, counted
from rawmm.graph.hashing import message_hash, tools_hash
from rawmm.validate.node_rules import image_urls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawmm.graph.alignment import Alignment
    from rawmm.graph.index import GraphIndex, Key
    from rawmm.graph.turn import PendingTurn
    from rawmm.structs import Message

    Span = tuple[int, int] | None


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A position in a prompt: in the engine's tokens, and in the renderer's."""

    engine: int = 0
    renderer: int = 0


class Reuse:
    """The path of nodes that a turn goes on from.

    Attributes:
        path: their indices, root first.
        at: where their tokens end.

    Args:
        turn: the prepared turn; its prefix matches by message only.
        index: the index of its trace.
        prompt_ids: the engine's tokens; None if the turn has none, and messages decide alone.
        rendered: the renderer's tokens; the same list where they do not differ.
        described: whether the turn describes the media of the whole prompt.
    """

    def __init__(
        self,
        turn: PendingTurn,
        index: GraphIndex,
        prompt_ids: list[int] | None,
        rendered: list[int],
        *,
        described: bool,
    ) -> None:
        self.path = list(turn.prefix_node_ids)
        self.at = Cursor(turn.path_len, turn.renderer_path_len)
        self._turn = turn
        self._index = index
        self._nodes = turn.trace.nodes
        self._prompt_ids = prompt_ids
        self._rendered = rendered
        self._described = described
        self._root = tools_hash(turn.tools)

    def key(self, parent: int | None, message: Message) -> Key:
        """The index key of a message under `parent`."""
        return parent, self._root if parent is None else None, message_hash(message)

    def keep_equal(self, *, bridged: bool) -> None:
        """Cut the path where the turn's tokens are no longer those of its nodes.

        Raises:
            ContractError: ``token_mismatch`` if the renderer says that it extended the path.
        """
        if self._prompt_ids is None:
            return
        path, self.path, self.at = self.path, [], Cursor()
        for node_id in path:
            if (end := self._match(node_id)) is None:
                break
            self.path.append(node_id)
            self.at = end
        if bridged and len(self.path) < len(path):
            raise contract_error(
                "token_mismatch",
                ("tokens", "prompt_ids"),
                expected=f"the {counted(self._turn.path_len, 'token')} of the stored prefix, which "
                "the renderer extended",
                got=f"other tokens than those of node {path[len(self.path)]}, which begins at "
                f"position {self.at.engine}",
                hint="the engine tokenized or cut the prompt by itself",
            )

    def extend(self, spans: Sequence[Span], alignment: Alignment) -> None:
        """Take up nodes that other turns committed since this one was prepared.

        With tokens a node must hold exactly the message's tokens. Where the renderer does not
        say which these are, the longest node counts that ends before the next message.
        """
        prompt = self._turn.prompt
        bounds = _bounds(spans, len(prompt), alignment, self._end)
        while (i := len(self.path)) < len(prompt):
            variants = self._index.variants(
                self.key(self.path[-1] if self.path else None, prompt[i])
            )
            if self._prompt_ids is None:
                found = next(iter(variants), None)
                end: Cursor | None = self.at
            else:
                span = spans[i] if i < len(spans) else None
                wanted = None
                if span is not None:
                    wanted = max(self.at, Cursor(alignment.at(span[1]), span[1]))
                found, end = self._best(variants, wanted, bounds[i])
            if found is None or end is None:
                return
            self.path.append(found)
            self.at = end

    def _best(
        self, variants: Sequence[int], wanted: Cursor | None, bound: Cursor
    ) -> tuple[int | None, Cursor | None]:
        """The variant that ends at `wanted`, or the longest within `bound`."""
        best: tuple[int | None, Cursor | None] = (None, None)
        for node_id in variants:
            end = self._match(node_id)
            if end is None:
                continue
            if wanted is not None:
                if end == wanted:
                    return node_id, end
                continue
            fits = end.engine <= bound.engine and end.renderer <= bound.renderer
            if fits and (best[1] is None or end.engine > best[1].engine):
                best = node_id, end
        return best

    def _match(self, node_id: int) -> Cursor | None:
        """Where a node's tokens end if the prompt goes on with them."""
        prompt_ids, at, node = self._prompt_ids or [], self.at, self._nodes[node_id]
        own, logical = node.token_ids, self._index.logical_ids(node_id)
        undescribed = not own and node.multi_modal_data is None and image_urls(node.message)
        if self._described and undescribed:
            # It was recorded without a renderer, and cannot be given its descriptors now.
            return None
        end = Cursor(at.engine + len(own), at.renderer + len(logical))
        if prompt_ids[at.engine : end.engine] != own:
            return None
        if self._rendered is prompt_ids and logical is own:
            return end
        return end if self._rendered[at.renderer : end.renderer] == logical else None

    @property
    def _end(self) -> Cursor:
        return Cursor(len(self._prompt_ids or ()), len(self._rendered))


def _bounds(
    spans: Sequence[Span], messages: int, alignment: Alignment, end: Cursor
) -> list[Cursor]:
    """For each message where the next one with a span begins."""
    out = [end] * messages
    for i in range(min(messages, len(spans)) - 1, 0, -1):
        span = spans[i]
        if span is not None:
            end = Cursor(alignment.at(span[0]), span[0])
        out[i - 1] = end
    return out
