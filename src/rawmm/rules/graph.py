"""The rule of a message graph: parents, placeholder ranges and media tokens across nodes.

A trace records its media in one of two ways. If a node has items, each message with media and
tokens has them, and the tokens of a node are held to its ranges. If no node has items, as in
records of the released path, the tokens are held to the media parts: each has one run of tokens.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import UNSET

from rawmm.errors import contract_error, counted
from rawmm.media import IMAGE, IN_MESSAGES, TOKEN_TYPES, parts_of
from rawmm.model.types import ToolMessage
from rawmm.rules.media_checks import current_checks
from rawmm.rules.nodes import without_sidecar
from rawmm.rules.rule import Rule, reader
from rawmm.rules.runs import (
    both,
    flag_bytes,
    run_errors,
    runs_match,
    runs_of,
    sampled_error,
    search,
    typed_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from rawmm.errors import Path, RawMMError
    from rawmm.model.types import (
        MessageNode,
        MultiModalData,
        PackedTokenIds,
        PlaceholderRange,
        Trace,
    )


def graph_errors(
    nodes: Sequence[MessageNode | None],
    path: Path,
    token_types: Mapping[str, int] | None = None,
    *,
    one_trace: bool = True,
) -> Iterator[RawMMError]:
    """The errors between `nodes`.

    Args:
        nodes: the nodes of a graph, with None for each node whose shape is wrong.
        path: the path of the nodes.
        token_types: the trace's mm_token_type_id_map.
        one_trace: whether the nodes are those of one trace. Otherwise, one tree may have items and
            another none.
    """
    roots = [0] * len(nodes) if one_trace else _roots(nodes)
    strict = current_checks().require_sidecars
    described = {
        root
        for root, node in zip(roots, nodes, strict=True)
        if strict or (node and has_items(node))
    }
    by_items = {value: MediaOfNodes(token_types, with_items=value) for value in (False, True)}
    placed: list[Placed | None] = []
    for index, node in enumerate(nodes):
        before: Placed | None = None
        if node is not None:
            before = START
            if (parent := node.parent) is not None:
                before = placed[parent] if parent < index else None
                if parent >= index:
                    yield contract_error(
                        "parent_order",
                        (*path, index, "parent"),
                        expected=f"an earlier node, below {index}" if index else "null in the root",
                        got=str(parent),
                    )
        if node is None or before is None:
            placed.append(None)
            continue
        after, errors = by_items[roots[index] in described].check(node, before, (*path, index))
        placed.append(after)
        yield from errors
    for media in by_items.values():
        yield from media.unsettled()


def _roots(nodes: Sequence[MessageNode | None]) -> list[int]:
    """The root of each node's tree, as an index."""
    roots: list[int] = []
    for index, node in enumerate(nodes):
        parent = None if node is None else node.parent
        roots.append(index if parent is None or parent >= index else roots[parent])
    return roots


def lone_node_errors(node: MessageNode, path: Path) -> Iterator[RawMMError]:
    """The errors of the media tokens of a node that stands alone, if their ids are known.

    The messages before a node with a parent are unknown. Some of its runs may belong to them.
    """
    if has_items(node):
        return
    parts = parts_of(node.message)
    for modality, wanted in media_ids({}).items() if node.token_ids else ():
        runs = runs_of(node.token_ids, node.mask, wanted)
        expected = parts.get(modality, 0)
        if node.parent is not None:
            expected = max(expected, runs.number)
        yield from run_errors(
            modality,
            runs,
            expected,
            wanted,
            path,
            row_separators=current_checks().row_separators,
        )


def has_items(node: MessageNode) -> bool:
    """Whether a node has items, or hashes or ranges of items."""
    sidecar = node.multi_modal_data
    return sidecar is not None and _has_media(sidecar)


def _has_media(sidecar: MultiModalData) -> bool:
    for by_modality in (sidecar.mm_items, sidecar.mm_placeholders, sidecar.mm_hashes):
        if any(by_modality.values()):
            return True
    return False


class Owed(NamedTuple):
    """Items of messages without tokens, whose placeholders lie in the next node with tokens.

    A renderer that does not attribute tokens to messages gives all of them to the reply. The media
    of the earlier messages then lie in the reply's tokens.
    """

    end: int
    """The end of the last range."""
    sizes: dict[str, int]
    """The number of tokens by modality."""


class Placed(NamedTuple):
    """What the nodes of a path leave to the next node."""

    end: int = 0
    """The number of tokens."""
    owed: Owed | None = None
    """Items whose tokens are to come."""
    parts: Mapping[str, int] = MappingProxyType({})
    """The number of media parts without items, by modality, whose tokens are to come."""
    surplus: Mapping[str, int] = MappingProxyType({})
    """The number of runs, by modality, that may belong to the tool messages to come."""
    holders: tuple[Path, ...] = ()
    """The nodes with these runs."""


START: Final = Placed()
"""Before the first node."""


class MediaOfNodes:
    """Checks the media of nodes: parents first, each with what its path left.

    Args:
        token_types: the trace's mm_token_type_id_map.
        with_items: whether nodes of the trace have items.

    Attributes:
        ids: the placeholder token ids by modality.
    """

    def __init__(self, token_types: Mapping[Any, int] | None, *, with_items: bool) -> None:
        self.ids = media_ids(token_types or {})
        self._untyped = untyped(token_types or {}, self.ids)
        self._with_items = with_items
        # A template may reorder consecutive tool results. The first in the prompt then holds the
        # tokens of those that follow it in the conversation, and these have none. So the errors of
        # a tool message's additional runs wait for the tool messages that follow.
        self._waiting: dict[Path, list[RawMMError]] = {}

    def check(
        self, node: MessageNode, before: Placed, path: Path
    ) -> tuple[Placed, list[RawMMError]]:
        """What a node leaves to the next one, and its errors.

        Args:
            node: the node.
            before: what its parent left; `START` for a root.
            path: the path of the node.
        """
        own = {} if has_items(node) else parts_of(node.message)
        if not node.token_ids:
            return self._without_tokens(node, before, own), []
        end = before.end + len(node.token_ids)
        if self._with_items:
            return Placed(end), list(self._item_errors(node, before, own, path))
        parts = _sum(before.parts, own)
        errors = list(self._untyped_errors(parts, path))
        surplus, holders = _open_surplus(node, before)
        for modality, wanted in self.ids.items():
            expected = parts.get(modality, 0)
            if runs_match(node.token_ids, node.mask, wanted, expected):
                continue
            runs = runs_of(node.token_ids, node.mask, wanted)
            rows = current_checks().row_separators
            errors += run_errors(modality, runs, expected, wanted, path, row_separators=rows)
            if runs.number > expected and isinstance(node.message, ToolMessage) and not rows:
                self._waiting.setdefault(path, []).append(errors.pop())
                surplus, holders = (
                    _sum(surplus, {modality: runs.number - expected}),
                    (*holders, path),
                )
        return Placed(end, surplus=surplus, holders=holders), errors

    def passed(self, node: MessageNode, before: Placed, path: Path) -> Placed:
        """`check` of a node that was checked before: only what it leaves."""
        if node.token_ids and not isinstance(node.message, ToolMessage):
            return Placed(before.end + len(node.token_ids))
        placed, _ = self.check(node, before, path)
        self._waiting.pop(path, None)
        return placed

    def unsettled(self) -> Iterator[RawMMError]:
        """The errors that waited for nodes which did not come."""
        for errors in self._waiting.values():
            yield from errors

    def _without_tokens(self, node: MessageNode, before: Placed, own: Mapping[str, int]) -> Placed:
        surplus, holders = _open_surplus(node, before)
        if surplus and own:
            paid = {name: min(number, surplus.get(name, 0)) for name, number in own.items()}
            own = _sum(own, paid, -1)
            surplus = _sum(surplus, paid, -1)
            if not surplus:
                for holder in holders:
                    self._waiting.pop(holder, None)
                holders = ()
        return Placed(
            before.end, owed_after(before.owed, node), _sum(before.parts, own), surplus, holders
        )

    def _item_errors(
        self, node: MessageNode, before: Placed, own: Mapping[str, int], path: Path
    ) -> Iterator[RawMMError]:
        """The errors of a node with tokens in a trace with items."""
        if own:
            # The rule of the node reports it where each node must have its sidecar.
            if node.multi_modal_data is None and not current_checks().require_sidecars:
                yield without_sidecar(own, path, "other messages of the trace have their items")
            return
        start, size, owed = before.end, len(node.token_ids), before.owed
        sidecar = node.multi_modal_data
        ranges = sidecar.mm_placeholders if sidecar is not None else {}
        if sidecar is not None:
            yield from _ranges(sidecar, start, start + size, path)
        if owed is not None and owed.end > start + size:
            yield contract_error(
                "placeholder_order",
                (*path, "token_ids"),
                expected=f"tokens up to {owed.end}, where a range of an earlier message ends",
                got=f"tokens up to {start + size}",
                hint="the media of messages without tokens lie in the tokens of the next node",
            )
        sizes = {name: len(of) for name, of in ranges.items()}
        yield from self._untyped_errors(_sum(sizes, owed.sizes if owed else {}), path)
        if self.ids and (owed or not placeholders_match(node.token_ids, sidecar, start, self.ids)):
            yield from image_token_errors(node, start, self.ids, path, owed.sizes if owed else {})

    def _untyped_errors(self, media: Mapping[str, int], path: Path) -> Iterator[RawMMError]:
        """An error for media whose tokens the map does not name: one per trace and modality."""
        if not self._untyped:
            return
        for modality in sorted(self._untyped & media.keys()):
            self._untyped -= {modality}
            yield contract_error(
                "orphan_image",
                (*path, "token_ids"),
                expected=f"{modality}-typed tokens for {counted(media[modality], modality)}",
                got=f"an mm_token_type_id_map that names no {modality} token",
                hint="the map is that of another model, or incomplete",
            )


def _open_surplus(node: MessageNode, before: Placed) -> tuple[Mapping[str, int], tuple[Path, ...]]:
    """The surplus before a node that the node may take up."""
    if isinstance(node.message, ToolMessage):
        return before.surplus, before.holders
    return START.surplus, ()


def _sum(one: Mapping[str, int], other: Mapping[str, int], sign: int = 1) -> Mapping[str, int]:
    """Numbers by modality of both, without zeros."""
    if not other:
        return one
    names = one.keys() | other.keys()
    total = {name: one.get(name, 0) + sign * other.get(name, 0) for name in names}
    return {name: number for name, number in total.items() if number}


def owed_after(before: Owed | None, node: MessageNode) -> Owed | None:
    """What is owed after a node without tokens, given what is owed before it."""
    if node.multi_modal_data is None:
        return before
    end, sizes = before or (0, {})
    sizes = dict(sizes)
    for modality in TOKEN_TYPES.values():
        for one in node.multi_modal_data.mm_placeholders.get(modality, ()):
            end = max(end, one.offset + one.length)
            sizes[modality] = sizes.get(modality, 0) + one.length
    return Owed(end, sizes) if sizes else None


def media_ids(token_types: Mapping[Any, int]) -> dict[str, AbstractSet[int]]:
    """The placeholder token ids by modality.

    Args:
        token_types: a trace's mm_token_type_id_map. If it names no image token, images have the
            ids of `MediaChecks`.
    """
    ids: dict[str, AbstractSet[int]] = {}
    for token, kind in token_types.items():
        if kind in TOKEN_TYPES:
            name = TOKEN_TYPES[kind]
            ids[name] = ids.get(name, frozenset()) | {int(token)}
    if (given := current_checks().image_token_ids) and IMAGE.name not in ids:
        ids[IMAGE.name] = given
    return ids


def untyped(
    token_types: Mapping[Any, int], ids: Mapping[str, AbstractSet[int]]
) -> AbstractSet[str]:
    """The modalities of content parts that a trace's mm_token_type_id_map names no token of.

    None if the map is empty: writers leave it so where they do not know it.
    """
    return IN_MESSAGES.keys() - ids.keys() if token_types else frozenset()


def _ranges(sidecar: MultiModalData, start: int, end: int, path: Path) -> Iterator[RawMMError]:
    """An error for each range outside the tokens that the node adds to its branch."""
    for modality, ranges in sidecar.mm_placeholders.items():
        for index, one in enumerate(ranges):
            if one.offset < start or one.offset + one.length > end:
                yield contract_error(
                    "placeholder_order",
                    (*path, "multi_modal_data", "mm_placeholders", modality, index),
                    expected=f"a range inside the node's own tokens, {start} to {end}",
                    got=f"{one.offset} to {one.offset + one.length}",
                    hint="offsets count from the first token of the branch",
                )


def placeholders_match(
    tokens: list[int] | PackedTokenIds,
    sidecar: MultiModalData | None,
    start: int,
    ids: Mapping[str, AbstractSet[int]],
) -> bool:
    """Fast check that the tokens typed as media are those in the sidecar's ranges.

    `start` is the offset of the first token in its branch, and `ids` the result of `media_ids`.
    """
    for modality, wanted in ids.items():
        ranges = sidecar.mm_placeholders.get(modality, ()) if sidecar is not None else ()
        found = search(tokens, wanted)
        if found is None:
            if ranges:
                return False
        elif not _exactly_in(*found, ranges, start):
            return False
    return True


def _exactly_in(data: bytes, token: bytes, ranges: Sequence[PlaceholderRange], start: int) -> bool:
    """Whether `token` fills the ranges and occurs nowhere else in `data`."""
    size, done = len(token), 0
    for one in ranges:
        first = (one.offset - start) * size
        end = first + one.length * size
        if (
            first < done
            or end > len(data)
            or data.find(token, done, first) >= 0
            or not data.startswith(token * one.length, first)
        ):
            return False
        done = end
    return data.find(token, done) < 0


def image_token_errors(
    node: MessageNode,
    start: int,
    ids: Mapping[str, AbstractSet[int]],
    path: Path,
    owed: Mapping[str, int],
) -> Iterator[RawMMError]:
    """An error for each range with other tokens, and for media tokens outside the ranges."""
    sidecar = node.multi_modal_data
    for modality, wanted in ids.items():
        ranges = sidecar.mm_placeholders.get(modality, []) if sidecar is not None else []
        typed = typed_tokens(node.token_ids, wanted)
        sampled = both(typed, flag_bytes(node.mask)) if 1 in typed else b""
        # Prefix sums, so that each range takes constant time.
        before = array("Q", accumulate(typed, initial=0))
        size = len(before) - 1
        in_ranges = outside = sampled_outside = done = 0
        first_sampled = -1
        for first, end, index in (*_clipped(ranges, start, size), (size, size, -1)):
            if first > done:
                outside += before[first] - before[done]
                if number := sampled.count(1, done, first):
                    first_sampled = first_sampled if sampled_outside else sampled.find(1, done)
                    sampled_outside += number
            done = max(done, end)
            found = before[end] - before[first]
            in_ranges += found
            if index >= 0 and found != ranges[index].length:
                yield contract_error(
                    "orphan_image",
                    (*path, "multi_modal_data", "mm_placeholders", modality, index),
                    expected=f"{counted(ranges[index].length, f'{modality}-typed token')} in the "
                    "range",
                    got=str(found),
                    hint="the range is that of another prompt, or the tokens were cut",
                )
        outside -= sampled_outside
        if sampled_outside:
            yield sampled_error(modality, sampled_outside, first_sampled, path)
        if outside != (missing := owed.get(modality, 0)):
            wanted_in_all = counted(in_ranges + missing, f"{modality}-typed token")
            yield contract_error(
                "orphan_image",
                (*path, "token_ids"),
                expected=f"{wanted_in_all}, as in the items' ranges",
                got=str(in_ranges + outside),
                hint=f"{modality} tokens outside all ranges have lost their items",
            )


def _clipped(
    ranges: Iterable[PlaceholderRange], start: int, size: int
) -> Iterator[tuple[int, int, int]]:
    """Start and end of each range in a node's `size` tokens, and the number of the range."""
    for index, one in enumerate(ranges):
        first = min(max(0, one.offset - start), size)
        yield first, min(max(first, one.offset - start + one.length), size), index


def _graph(trace: Trace, path: Path) -> Iterator[RawMMError]:
    yield from graph_errors(trace.nodes, (*path, "nodes"), trace.mm_token_type_id_map)


_read_trace = reader("nodes", "mm_token_type_id_map")
_read_node = reader("parent", "message", "token_ids", "mask", "multi_modal_data")


def _graph_holds(trace: Trace) -> bool:
    nodes, token_types = _read_trace(trace)
    strict = current_checks().require_sidecars
    ids = media_ids(token_types or {})
    missing = untyped(token_types or {}, ids)
    ends: list[int] = []
    owed: list[Mapping[str, int]] = []
    with_items = without_items = False
    for index, node in enumerate(nodes):
        parent, message, tokens, mask, sidecar = _read_node(node)
        start, parts = 0, START.parts
        if parent is not None and parent is not UNSET:
            if parent >= index:
                return False
            start, parts = ends[parent], owed[parent]
        end = start + len(tokens)
        ends.append(end)
        if sidecar and _has_media(sidecar):
            if parts or not tokens:
                return False  # another node has the tokens of its media
            for ranges in sidecar.mm_placeholders.values():
                for one in ranges:
                    if one.offset < start or one.offset + one.length > end:
                        return False
            if missing or not placeholders_match(tokens, sidecar, start, ids):
                return False
            with_items = True
        else:
            if type(message.content) is list:
                parts = _sum(parts, parts_of(message))
            if tokens and parts:
                if missing or strict:
                    return False
                without_items = True
            for modality, wanted in ids.items() if tokens else ():
                if not runs_match(tokens, mask, wanted, parts.get(modality, 0)):
                    return False
            if tokens:
                parts = START.parts
        owed.append(parts)
    return not (with_items and without_items)


RULES: Final = (Rule("graph", _graph, _graph_holds),)
