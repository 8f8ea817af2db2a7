"""Views of a message graph: its leaves, and the path to each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error
from rawmm.sidecar import merge

if TYPE_CHECKING:
    from rawmm.structs import Message, MessageNode, MultiModalData, Tool, Trace

_ATTEMPT: Final = "compaction_attempt"
_ACCEPTED: Final = "compaction"


@dataclass(frozen=True, slots=True)
class Branch:
    """A root-to-leaf path; its concatenated tokens are one training sample.

    Attributes:
        index: number of the branch among the trace's leaves.
        node_ids: indices of its nodes in the trace, root first.
        nodes: the nodes themselves, not copies.
        trainable: false for a compaction attempt that the harness did not go on from.
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
        return [node.message for node in self.nodes]

    @property
    def tools(self) -> list[Tool]:
        """Tools rendered into its prompt."""
        return self.nodes[0].tools or []

    @property
    def token_ids(self) -> list[int]:
        """All tokens of the path, as the model saw and sampled them."""
        return list(chain.from_iterable(node.token_ids for node in self.nodes))

    @property
    def mask(self) -> list[bool]:
        """For each token whether the model sampled it."""
        return list(chain.from_iterable(node.mask for node in self.nodes))

    @property
    def logprobs(self) -> list[float]:
        """For each token its sampling log-probability in nats; 0.0 where it was not sampled."""
        return self.spread("logprobs")

    @property
    def multi_modal_data(self) -> MultiModalData | None:
        """The sidecar of the whole path, as its renderer returned it; None without media."""
        return merge(node.multi_modal_data for node in self.nodes)

    @property
    def mm_token_type_ids(self) -> list[int] | None:
        """For each token 0 for text, 1 for an image, 2 for a video; None without media."""
        kinds = {int(token): kind for token, kind in self.mm_token_type_id_map.items()}
        types = list(map(kinds.get, self.token_ids, repeat(0)))
        return types if any(types) else None

    def spread(self, name: str) -> list[float]:
        """A stream of one number per sampled token, with 0.0 for all other tokens.

        Args:
            name: the node's field: ``logprobs``, ``advantages``, ``reference_logprobs``,
                ``trainer_logprobs`` or ``entropies``. A node without it counts as zeros.

        Raises:
            ContractError: ``stream_length`` if a node has another number than sampled tokens.
        """
        out: list[float] = []
        for node_id, node in zip(self.node_ids, self.nodes, strict=True):
            values: list[float] = getattr(node, name) or []
            mask = node.mask
            if not values:
                out += [0.0] * len(mask)
            elif len(values) != mask.count(True):
                # A struct that grew may hold what its constructor would have refused.
                raise contract_error(
                    "stream_length",
                    ("nodes", node_id, name),
                    expected=f"none or {mask.count(True)}, one per sampled token",
                    got=str(len(values)),
                )
            elif all(mask[-len(values) :]):
                # A sampled message is a scaffold and then its completion.
                out += [0.0] * (len(mask) - len(values))
                out += values
            else:
                one_by_one = iter(values)
                out += [next(one_by_one) if sampled else 0.0 for sampled in mask]
        return out


def leaves(trace: Trace) -> list[int]:
    """Indices of the nodes that are no node's parent, one per branch, in order."""
    parents = {node.parent for node in trace.nodes}
    return [index for index in range(len(trace.nodes)) if index not in parents]


def branches(trace: Trace) -> list[Branch]:
    """Every branch of a trace, in the order of its leaves.

    Raises:
        ContractError: ``parent_order`` if a node's parent is not an earlier node.
    """
    nodes = trace.nodes
    for index, node in enumerate(nodes):
        # Those of a cycle may have no leaf, so each is asked.
        if node.parent is not None and not 0 <= node.parent < index:
            raise contract_error(
                "parent_order",
                ("nodes", index, "parent"),
                expected="an earlier node",
                got=str(node.parent),
            )
    links: list[Any] = [node.semantic_parents or [] for node in nodes]
    accepted = {link.node for of in links for link in of if link.type == _ACCEPTED}
    out = []
    for number, leaf in enumerate(leaves(trace)):
        ids = _path_to(nodes, leaf)
        attempt = any(link.type == _ATTEMPT for link in links[leaf])
        out.append(
            Branch(
                index=number,
                node_ids=ids,
                nodes=[nodes[i] for i in ids],
                trainable=not attempt or leaf in accepted,
                mm_token_type_id_map=trace.mm_token_type_id_map or {},
            )
        )
    return out


def _path_to(nodes: list[MessageNode], leaf: int) -> list[int]:
    """Indices from the root to `leaf`."""
    path = [leaf]
    while (parent := nodes[path[-1]].parent) is not None:
        path.append(parent)
    path.reverse()
    return path
