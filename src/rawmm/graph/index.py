"""An index of a trace's nodes by message, which lives as long as the trace."""

from __future__ import annotations

import weakref
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rawmm.codec import convert
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.graph.hashing import message_hash, tools_hash
from rawmm.graph.streams import elements
from rawmm.model.types import MessageNode, Trace
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rawmm.model.types import Message, PackedTokenIds

Key: TypeAlias = tuple[int | None, str | None, str]
"""A node's parent, the hash of its tools if it is a root, and the hash of its message's view."""

ReplayView: TypeAlias = "Callable[[Message], Message]"
"""From a message to the message as the harness sends it again."""

_message_of: Final[Callable[[Any], Any]] = attrgetter("message")
_parent_of: Final[Callable[[Any], Any]] = attrgetter("parent")


class GraphIndex:
    """The nodes of one trace by key.

    Nodes with the same key have the same message in different tokens; a lookup tries the latest
    first. Nodes that others appended to the trace are indexed on the next use. If indexed nodes
    were replaced or removed, or got another message, parent or tools, the index is rebuilt:
    `is_current` compares identities, which takes 0.1 microseconds per node.

    Args:
        trace: the trace.
        view: see `rawmm.graph.prepare_turn`.
    """

    def __init__(self, trace: Trace, view: ReplayView | None = None) -> None:
        self._nodes = trace.nodes
        self.view = view
        self._indexed: list[MessageNode] = []
        self._messages: list[Message] = []
        self._parents: list[int | None] = []
        self._roots: list[tuple[MessageNode, Any]] = []
        self._keys: list[Key] = []
        self._variants: dict[Key, list[int]] = {}
        self._children: dict[tuple[int | None, str | None], list[int]] = {}
        self._logical: dict[int, tuple[MessageNode, Any, list[int]]] = {}

    def is_current(self, trace: Trace, view: ReplayView | None) -> bool:
        """Whether the trace's nodes begin with the indexed nodes, unchanged, in the same view."""
        nodes, indexed = trace.nodes, self._indexed
        return (
            (view is self.view or view == self.view)
            and nodes is self._nodes
            and len(nodes) >= len(indexed)
            and all(map(is_, indexed, nodes))
            and all(map(is_, self._messages, map(_message_of, indexed)))
            and all(map(is_, self._parents, map(_parent_of, indexed)))
            and all(node.tools is tools for node, tools in self._roots)
        )

    def catch_up(self) -> None:
        """Index the nodes that were appended since the last use.

        Raises:
            ContractError: one violates the contract; ``path`` begins with ``$.trace.nodes``.
        """
        for node_id in range(len(self._keys), len(self._nodes)):
            node, path = self._nodes[node_id], ("trace", "nodes", node_id)
            if not is_a(node, MessageNode):
                raise contract_error(
                    "wrong_type",
                    path,
                    expected="a struct: MessageNode",
                    got=shown(node),
                    hint="append the result of rawmm.convert",
                )
            try:
                convert(node, MessageNode)
            except RawMMError as error:
                refusal = error.at(path)
            else:
                parent = node.parent
                if parent is None or parent < node_id:
                    root = tools_hash(node.tools or []) if parent is None else None
                    self.add(self.key(parent, root, node.message))
                    continue
                refusal = contract_error(
                    "parent_order",
                    (*path, "parent"),
                    expected=f"an earlier node, below {node_id}" if node_id else "null in the root",
                    got=shown(parent),
                )
            raise refusal

    def key(self, parent: int | None, tools: str | None, message: Message) -> Key:
        """The key of a message under `parent`; `tools` is the hash of the tools of a root.

        Raises:
            ContractError: the view returned something else than a message; ``path`` begins with
                ``$.replay_view``.
        """
        tools = tools if parent is None else None
        if self.view is None:
            return parent, tools, message_hash(message)
        viewed = self.view(message)
        try:
            return parent, tools, message_hash(viewed)
        except RawMMError as error:
            refusal = error.at(("replay_view",))
        raise refusal

    def add(self, key: Key, logical: list[int] | None = None) -> None:
        """Index the next node of the trace under its key.

        Args:
            key: its key.
            logical: its tokens before the engine expanded media, if different.
        """
        node_id = len(self._keys)
        node = self._nodes[node_id]
        if logical is not None:
            self._logical[node_id] = node, node.token_ids, logical
        self._keys.append(key)
        self._indexed.append(node)
        self._messages.append(node.message)
        self._parents.append(node.parent)
        if node.parent is None:
            self._roots.append((node, node.tools))
        self._variants.setdefault(key, []).append(node_id)
        self._children.setdefault(key[:2], []).append(node_id)

    def holds(self, path: Sequence[int], keys: Sequence[Key]) -> bool:
        """Whether the nodes of a path have these keys."""
        size = len(self._keys)
        return all(i < size and self._keys[i] == key for i, key in zip(path, keys, strict=True))

    def latest(self, key: Key) -> int | None:
        """The latest node with this key."""
        variants = self._variants.get(key)
        return variants[-1] if variants else None

    def variants(self, key: Key) -> Sequence[int]:
        """All nodes with this key, latest first."""
        return self._variants.get(key, ())[::-1]

    def same_child(self, parent: int | None, tools: str | None, message: Any) -> int | None:
        """The only child of `parent`, if it holds this message object."""
        child = self._only_child(parent, tools)
        return child if child is not None and self._messages[child] is message else None

    def equal_child(self, parent: int | None, tools: str | None, message: Message) -> int | None:
        """The only child of `parent`, if it holds an equal message.

        Comparing is cheaper than hashing. A message with provider state is not compared, because
        1 equals true but has another hash.
        """
        child = self._only_child(parent, tools)
        if child is None or getattr(message, "provider_state", None):
            return None
        return child if self._messages[child] == message else None

    def _only_child(self, parent: int | None, tools: str | None) -> int | None:
        children = self._children.get((parent, tools), ())
        return children[0] if len(children) == 1 else None

    def logical_ids(self, node_id: int) -> list[int] | PackedTokenIds:
        """A node's tokens as the renderer wrote them."""
        node = self._nodes[node_id]
        own, entry = node.token_ids, self._logical.get(node_id)
        if entry is None:
            return own
        if entry[1] is not own:
            # The stream was replaced. The entry is still valid for the same tokens in another form.
            if list(entry[1]) != list(elements(own)):
                return own
            self._logical[node_id] = node, own, entry[2]
        return entry[2]

    def keep_logical(self, other: GraphIndex) -> None:
        """Take over the logical tokens of remaining nodes from a previous index of the trace."""
        node_ids = {id(node): node_id for node_id, node in enumerate(self._nodes)}
        for entry in other._logical.values():
            node_id = node_ids.get(id(entry[0]))
            if node_id is not None:
                self._logical[node_id] = entry


_INDEXES: Final[dict[int, tuple[weakref.ref[Trace], GraphIndex]]] = {}


def index_of(trace: Trace, view: ReplayView | None = None) -> GraphIndex:
    """The up-to-date index of a trace in a view. The index in another view is replaced.

    Raises:
        ContractError: it is not a trace, or a node that others added or changed violates the
            contract; ``path`` begins with ``$.trace``.
    """
    if not issubclass(type(trace), Trace):
        raise contract_error("wrong_type", ("trace",), expected="a Trace", got=shown(trace))
    key = id(trace)
    entry = _INDEXES.get(key)
    if entry is None or entry[0]() is not trace or not entry[1].is_current(trace, view):
        _rebuild(trace, view)
        entry = _INDEXES[key]
    entry[1].catch_up()
    return entry[1]


def reindex(trace: Trace) -> None:
    """Rebuild the index of a trace.

    Needed only after the message of a committed node was changed in place. The index still has
    the hash of the old content.

    Raises:
        ContractError: it is not a trace, or its nodes are not a list.
    """
    if not issubclass(type(trace), Trace):
        raise contract_error("wrong_type", ("trace",), expected="a Trace", got=shown(trace))
    entry = _INDEXES.get(id(trace))
    _rebuild(trace, None if entry is None or entry[0]() is not trace else entry[1].view)


def _rebuild(trace: Trace, view: ReplayView | None) -> None:
    key = id(trace)

    def forget(_: object) -> None:
        _INDEXES.pop(key, None)

    if not is_a(trace.nodes, list):
        raise contract_error(
            "wrong_type", ("trace", "nodes"), expected="a list of nodes", got=shown(trace.nodes)
        )
    index, entry = GraphIndex(trace, view), _INDEXES.get(key)
    if entry is not None and entry[0]() is trace:
        index.keep_logical(entry[1])
    _INDEXES[key] = (weakref.ref(trace, forget), index)
