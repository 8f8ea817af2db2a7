"""The branches of a message graph: its leaves, and the path to each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, shown
from rawmm.graph.reading import read, token_types
from rawmm.graph.sidecar import merge
from rawmm.graph.streams import stream_of
from rawmm.model.types import Message, MessageNode, Tool, Trace
from rawmm.real_class import is_a
from rawmm.rules import PER_SAMPLED
from rawmm.validation import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.model.types import MultiModalData

_ATTEMPT: Final = "compaction_attempt"
_ACCEPTED: Final = "compaction"


@dataclass(frozen=True, slots=True)
class Branch:
    """A root-to-leaf path; its concatenated tokens are one training sample.

    Attributes:
        index: the index of the branch among the trace's leaves.
        node_ids: indices of its nodes in the trace, root first.
        nodes: the nodes themselves, not copies.
        trainable: false for a compaction attempt that the harness did not continue.
        mm_token_type_id_map: the trace's map of placeholder tokens.
    """

    index: int
    node_ids: list[int]
    nodes: list[MessageNode]
    trainable: bool
    mm_token_type_id_map: dict[str, int]

    @property
    def messages(self) -> list[Message]:
        """The conversation, root first."""
        return [read(node.message, Message, "nodes", i, "message") for i, node in self._numbered()]

    @property
    def tools(self) -> list[Tool]:
        """Tools rendered into its prompt."""
        for i, node in self._numbered():
            tools: list[Tool] = read(node.tools or [], list[Tool], "nodes", i, "tools")
            return tools
        return []

    @property
    def token_ids(self) -> list[int]:
        """All tokens of the path, as the model saw and sampled them."""
        return self._joined("token_ids", "TokenIds")

    @property
    def mask(self) -> list[bool]:
        """Whether the model sampled each token."""
        return self._joined("mask", "TokenFlags")

    @property
    def logprobs(self) -> list[float]:
        """The sampling log-probability of each token in nats; 0.0 for tokens not sampled."""
        return self.spread("logprobs")

    @property
    def multi_modal_data(self) -> MultiModalData | None:
        """The sidecar of the whole path, as the renderer returned it; None without media."""
        return merge([node.multi_modal_data for _, node in self._numbered()])

    @property
    def mm_token_type_ids(self) -> list[int] | None:
        """The type of each token: 0 for text, 1 for image, 2 for video; None without media."""
        kinds = {int(token): kind for token, kind in self.mm_token_type_id_map.items()}
        types = list(map(kinds.get, self.token_ids, repeat(0)))
        return types if any(types) else None

    def spread(self, name: str) -> list[float]:
        """A per-sampled-token stream as a per-token one, with 0.0 for tokens not sampled.

        Args:
            name: a field of nodes: ``logprobs``, ``advantages``, ``reference_logprobs``,
                ``trainer_logprobs`` or ``entropies``. A node without it has zeros.

        Raises:
            ContractError: ``stream_length`` if the length of a node's stream is not its number of
                sampled tokens, ``bad_value`` for another name, and any violation of the contract
                in the streams.
            ProcessedPayloadError: ``not_json`` for a number that is not finite.
        """
        if type(name) is not str or name not in PER_SAMPLED:
            raise contract_error(
                "bad_value",
                (),
                expected=f"the name of a stream: {', '.join(PER_SAMPLED)}",
                got=shown(name),
            )
        out: list[float] = []
        for node_id, node in self._numbered():
            mask = stream_of(node.mask, "TokenFlags", ("nodes", node_id, "mask"))
            given, path = getattr(node, name), ("nodes", node_id, name)
            values = [] if given is None else stream_of(given, "TokenStream", path)
            if not values:
                out += [0.0] * len(mask)
            elif len(values) != mask.count(True):
                # The node may have been assigned to since its construction.
                raise contract_error(
                    "stream_length",
                    path,
                    expected=f"none or {mask.count(True)}, one per sampled token",
                    got=str(len(values)),
                )
            elif all(mask[-len(values) :]):
                # The common case: a sampled message is a scaffold, then the completion.
                out += [0.0] * (len(mask) - len(values))
                out += values
            else:
                one_by_one = iter(values)
                out += [next(one_by_one) if sampled else 0.0 for sampled in mask]
        return out

    def _joined(self, name: str, definition_name: str) -> list[Any]:
        return list(
            chain.from_iterable(
                stream_of(getattr(node, name), definition_name, ("nodes", i, name))
                for i, node in self._numbered()
            )
        )

    def _numbered(self) -> Iterator[tuple[int, MessageNode]]:
        """The nodes with their indices in the trace."""
        for node_id, node in zip(self.node_ids, self.nodes, strict=True):
            if not is_a(node, MessageNode):
                raise contract_error(
                    "wrong_type", ("nodes", node_id), expected="a MessageNode", got=shown(node)
                )
            yield node_id, node


def leaves(trace: Trace) -> list[int]:
    """Indices of the nodes without children, one per branch, in order.

    Raises:
        ContractError, ProcessedPayloadError: a node violates the contract, such as
            ``parent_order`` for a parent that is not an earlier node.
    """
    return _leaves(_checked(trace))


def branches(trace: Trace) -> list[Branch]:
    """All branches of a trace, in the order of their leaves.

    Raises:
        ContractError, ProcessedPayloadError: a node violates the contract, such as
            ``parent_order`` for a parent that is not an earlier node.
    """
    nodes = _checked(trace)
    types = dict(token_types(trace.mm_token_type_id_map, ()) or {})
    links: list[Any] = [node.semantic_parents or [] for node in nodes]
    accepted = {link.node for of in links for link in of if link.type == _ACCEPTED}
    out = []
    for number, leaf in enumerate(_leaves(nodes)):
        ids = _path_to(nodes, leaf)
        attempt = any(link.type == _ATTEMPT for link in links[leaf])
        out.append(
            Branch(
                index=number,
                node_ids=ids,
                nodes=[nodes[i] for i in ids],
                trainable=not attempt or leaf in accepted,
                mm_token_type_id_map=types,
            )
        )
    return out


def _checked(trace: Trace) -> list[MessageNode]:
    """The nodes of a trace, each checked again, because it may have been assigned to."""
    if not issubclass(type(trace), Trace):
        raise contract_error("wrong_type", (), expected="a Trace", got=shown(trace))
    nodes = in_order(trace.nodes, ("nodes",), "a list of nodes")
    return [_checked_node(node, index) for index, node in enumerate(nodes)]


def _checked_node(node: Any, index: int) -> MessageNode:
    parent = node.parent if is_a(node, MessageNode) else None
    if is_a(parent, int) and not 0 <= parent < index:
        raise contract_error(
            "parent_order",
            ("nodes", index, "parent"),
            expected="an earlier node",
            got=shown(parent),
        )
    checked: MessageNode = read(node, MessageNode, "nodes", index)
    # A converted node shows its parent only now.
    return checked if checked is node else _checked_node(checked, index)


def _leaves(nodes: list[MessageNode]) -> list[int]:
    parents = {node.parent for node in nodes}
    return [index for index in range(len(nodes)) if index not in parents]


def _path_to(nodes: list[MessageNode], leaf: int) -> list[int]:
    """Indices from the root to `leaf`."""
    path = [leaf]
    while (parent := nodes[path[-1]].parent) is not None:
        path.append(parent)
    path.reverse()
    return path
