"""Finding a node by its message: a table beside each trace, kept as long as the trace lives."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final, TypeAlias

from rawmm.graph.hashing import message_hash, tools_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawmm.structs import Message, MessageNode, PackedTokenIds, Trace

Key: TypeAlias = tuple[int | None, str | None, str]
"""A node's parent, the hash of its tools if it is a root, and the hash of its message."""


class GraphIndex:
    """The nodes of one trace by key.

    Nodes with the same key say the same message in other tokens; a lookup tries the latest
    first. Nodes appended to the trace by others are taken up at the next use; a list that was
    replaced or cut is indexed anew.
    """

    def __init__(self, trace: Trace) -> None:
        self._nodes = trace.nodes
        self._last: MessageNode | None = None
        self._keys: list[Key] = []
        self._variants: dict[Key, list[int]] = {}
        self._children: dict[tuple[int | None, str | None], list[int]] = {}
        self._logical: dict[int, tuple[MessageNode, list[int]]] = {}

    def follows(self, trace: Trace) -> bool:
        """Whether the trace's nodes begin with those that are indexed."""
        nodes, size = trace.nodes, len(self._keys)
        if nodes is not self._nodes or len(nodes) < size:
            return False
        return not size or nodes[size - 1] is self._last

    def catch_up(self) -> None:
        """Take up nodes that were appended since."""
        for node_id in range(len(self._keys), len(self._nodes)):
            node = self._nodes[node_id]
            root = tools_hash(node.tools or []) if node.parent is None else None
            self.add((node.parent, root, message_hash(node.message)))

    def add(self, key: Key, logical: list[int] | None = None) -> None:
        """Take up the next node of the trace under its key.

        Args:
            key: its key.
            logical: its tokens before the engine expanded media, where these differ.
        """
        node_id = len(self._keys)
        if logical is not None:
            self._logical[node_id] = self._nodes[node_id], logical
        self._keys.append(key)
        self._last = self._nodes[node_id]
        self._variants.setdefault(key, []).append(node_id)
        self._children.setdefault(key[:2], []).append(node_id)

    def latest(self, key: Key) -> int | None:
        """The node with this key, the latest of several."""
        variants = self._variants.get(key)
        return variants[-1] if variants else None

    def variants(self, key: Key) -> Sequence[int]:
        """All nodes with this key, the latest first."""
        return self._variants.get(key, ())[::-1]

    def only_child(self, parent: int | None, tools: str | None, message: Message) -> int | None:
        """The one child of `parent`, if it holds exactly this message.

        Comparing is cheaper than hashing, most of all for a re-sent message object. Provider
        state is left to the hash, for which 1 and true are two things.
        """
        children = self._children.get((parent, tools), ())
        if len(children) != 1:
            return None
        child = children[0]
        own = self._nodes[child].message
        if own is message:
            return child
        if getattr(message, "provider_state", None):
            return None
        return child if own == message else None

    def logical_ids(self, node_id: int) -> list[int] | PackedTokenIds:
        """A node's tokens as the renderer wrote them."""
        known = self._logical.get(node_id)
        return self._nodes[node_id].token_ids if known is None else known[1]

    def keep_logical(self, other: GraphIndex) -> None:
        """Take over what only another index of the trace knows of the nodes that still stand."""
        for node_id, known in other._logical.items():
            if node_id < len(self._nodes) and self._nodes[node_id] is known[0]:
                self._logical[node_id] = known


_INDEXES: Final[dict[int, tuple[weakref.ref[Trace], GraphIndex]]] = {}


def index_of(trace: Trace) -> GraphIndex:
    """The index of a trace, up to date with its list of nodes."""
    key = id(trace)
    entry = _INDEXES.get(key)
    if entry is None or entry[0]() is not trace or not entry[1].follows(trace):
        reindex(trace)
        entry = _INDEXES[key]
    entry[1].catch_up()
    return entry[1]


def reindex(trace: Trace) -> None:
    """Forget what is known of a trace's messages.

    Needed only after the message of a committed node was changed in place: the graph would go
    on knowing it by what it said before.
    """
    key = id(trace)

    def forget(_: object) -> None:
        _INDEXES.pop(key, None)

    index, entry = GraphIndex(trace), _INDEXES.get(key)
    if entry is not None and entry[0]() is trace:
        index.keep_logical(entry[1])
    _INDEXES[key] = (weakref.ref(trace, forget), index)
