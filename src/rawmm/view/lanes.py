"""The message graph as lanes, as ``git log --graph`` draws a history: a branch keeps its lane."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Lanes(NamedTuple):
    """Where the nodes of a graph are drawn.

    Attributes:
        of: the lane of each node, from 0.
        width: the number of lanes.
        leaves: nodes without children, in order.
        forks: the number of nodes with more than one child.
    """

    of: list[int]
    width: int
    leaves: list[int]
    forks: int


def lanes_of(parents: Sequence[int | None]) -> Lanes:
    """Draw a forest, given the parent of each node: an earlier node or None.

    The first child takes the lane of its parent. Others take the first lane that is free from
    their parent on, so that no line crosses another node.
    """
    children: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if parent is not None:
            children[parent].append(node)
    free: list[int] = []
    width = 0

    def first_free() -> int:
        nonlocal width
        if free:
            return heappop(free)
        width += 1
        return width - 1

    of = [-1] * len(parents)
    for node, parent in enumerate(parents):
        if parent is None:
            of[node] = first_free()
        if not children[node]:
            heappush(free, of[node])
            continue
        of[children[node][0]] = of[node]
        for child in children[node][1:]:
            of[child] = first_free()
    leaves = [node for node, below in enumerate(children) if not below]
    return Lanes(of, width, leaves, sum(len(below) > 1 for below in children))
