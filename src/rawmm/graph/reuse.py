"""Choose the nodes that a turn continues: those of the same messages in the same tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rawmm.errors import contract_error, counted
from rawmm.graph.hashing import tools_hash
from rawmm.graph.sidecar import media_count
from rawmm.graph.streams import elements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawmm.graph.alignment import Alignment
    from rawmm.graph.index import GraphIndex, Key
    from rawmm.graph.turn import PendingTurn
    from rawmm.model.types import Message, MessageNode, MultiModalData

    Span = tuple[int, int] | None


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A position in a prompt, as an index of the engine's tokens and of the renderer's."""

    engine: int = 0
    renderer: int = 0


class Reuse:
    """The path of nodes that a turn continues.

    Attributes:
        path: the indices of the nodes, root first.
        at: the end of their tokens.

    Args:
        turn: the prepared turn, whose prefix matches by message only.
        index: the index of its trace.
        prompt_ids: the engine's tokens; None for a turn without tokens, which matches by message
            only.
        rendered: the renderer's tokens; the same list if they do not differ.
    """

    def __init__(
        self,
        turn: PendingTurn,
        index: GraphIndex,
        prompt_ids: list[int] | None,
        rendered: list[int],
    ) -> None:
        self.path = list(turn.prefix_node_ids)
        self.at = Cursor(turn.path_len, turn.renderer_path_len)
        self._turn = turn
        self._index = index
        self._nodes = turn.trace.nodes
        self._prompt_ids = prompt_ids
        self._rendered = rendered
        self._root = tools_hash(turn.tools)
        self._sidecar: MultiModalData | None = None
        self._media: Counter[str] = Counter()

    def key(self, parent: int | None, message: Message) -> Key:
        """The index key of a message under `parent`."""
        return self._index.key(parent, self._root, message)

    def keep_extended(self) -> None:
        """Keep the whole path, which the renderer extended.

        Raises:
            ContractError: ``token_mismatch`` if the turn's tokens differ from those of the nodes.
        """
        path = self._keep()
        if len(self.path) < len(path):
            raise contract_error(
                "token_mismatch",
                ("tokens", "prompt_ids"),
                expected=f"the {counted(self._turn.path_len, 'token')} of the stored prefix, which "
                "the renderer extended",
                got=f"tokens that differ from those of node {path[len(self.path)]}, which begins "
                f"at position {self.at.engine}",
                hint="the engine tokenized or truncated the prompt itself",
            )

    def keep_equal(self, sidecar: MultiModalData | None) -> None:
        """Cut the path at the first node whose tokens or placeholder ranges differ.

        Args:
            sidecar: the sidecar of the whole prompt, with ranges in the engine's tokens.
        """
        self._sidecar = sidecar
        self._keep()

    def _keep(self) -> list[int]:
        """Cut the path at the first node that does not match. Returns the uncut path."""
        if self._prompt_ids is None:
            return self.path
        path, self.path, self.at = self.path, [], Cursor()
        for node_id in path:
            if (end := self._match(node_id)) is None:
                break
            self._advance(node_id, end)
        return path

    def _advance(self, node_id: int, end: Cursor) -> None:
        self.path.append(node_id)
        self.at = end
        if self._sidecar is not None:
            self._media.update(media_count(self._nodes[node_id].message))

    def extend(self, spans: Sequence[Span], alignment: Alignment) -> None:
        """Add nodes that other turns committed since this one was prepared.

        With tokens, a node must hold exactly the tokens of its message. If the renderer gave no
        span for the message, the longest node that ends before the next message is taken.
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
            self._advance(found, end)

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
        """The end of a node's tokens if the prompt continues with them, else None."""
        prompt_ids, at, node = self._prompt_ids or [], self.at, self._nodes[node_id]
        own, logical = elements(node.token_ids), elements(self._index.logical_ids(node_id))
        if self._sidecar is not None and not own and not self._same_places(node, self._sidecar):
            return None
        end = Cursor(at.engine + len(own), at.renderer + len(logical))
        if prompt_ids[at.engine : end.engine] != own:
            return None
        if self._rendered is prompt_ids and logical is own:
            return end
        return end if self._rendered[at.renderer : end.renderer] == logical else None

    def _same_places(self, node: MessageNode, sidecar: MultiModalData) -> bool:
        """Whether a node without tokens has the same placeholder ranges as this turn.

        A renderer that gives no spans leaves all tokens to the reply. Different ranges then show,
        as different tokens do elsewhere, that the message was rendered differently.
        """
        stored, counts = node.multi_modal_data, media_count(node.message)
        if stored is None:
            # Recorded without a renderer. It cannot get its descriptors now.
            return not any(counts.values())
        for modality, count in counts.items():
            given = sidecar.mm_placeholders.get(modality)
            ranges = stored.mm_placeholders.get(modality)
            start = self._media[modality]
            if given and ranges and ranges != given[start : start + count]:
                return False
        return True

    @property
    def _end(self) -> Cursor:
        return Cursor(len(self._prompt_ids or ()), len(self._rendered))


def _bounds(
    spans: Sequence[Span], messages: int, alignment: Alignment, end: Cursor
) -> list[Cursor]:
    """For each message the beginning of the next message with a span."""
    out = [end] * messages
    for i in range(min(messages, len(spans)) - 1, 0, -1):
        span = spans[i]
        if span is not None:
            end = Cursor(alignment.at(span[0]), span[0])
        out[i - 1] = end
    return out
