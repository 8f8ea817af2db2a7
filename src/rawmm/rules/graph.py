"""The rule of a message graph: parents, placeholder ranges and media tokens across nodes."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import UNSET

from rawmm.errors import contract_error, counted
from rawmm.media import TOKEN_TYPES, media_urls
from rawmm.model.packed import token_bytes
from rawmm.model.types import PackedStream
from rawmm.rules.rule import Rule, reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rawmm.errors import Path, RawMMError
    from rawmm.model.types import (
        MessageNode,
        MultiModalData,
        PackedTokenIds,
        PlaceholderRange,
        Trace,
    )


def graph_errors(
    nodes: Sequence[MessageNode | None], path: Path, token_types: Mapping[str, int] | None = None
) -> Iterator[RawMMError]:
    """The errors between `nodes`.

    Args:
        nodes: the nodes of a graph, with None for each node whose shape is wrong.
        path: the path of the nodes.
        token_types: the trace's mm_token_type_id_map.
    """
    ids = media_ids(token_types or {})
    ends: list[int | None] = []
    inline: list[bool | None] = []
    owed: list[Owed | None] = []
    for index, node in enumerate(nodes):
        if node is None:
            ends.append(None)
            inline.append(None)
            owed.append(None)
            continue
        start: int | None = 0
        above: bool | None = None
        before: Owed | None = None
        parent = node.parent
        if parent is not None:
            if parent >= index:
                yield contract_error(
                    "parent_order",
                    (*path, index, "parent"),
                    expected=f"an earlier node, below {index}" if index else "null in the root",
                    got=str(parent),
                )
                start = None
            else:
                start, above, before = ends[parent], inline[parent], owed[parent]
        ends.append(None if start is None else start + len(node.token_ids))
        inline.append(all_inline(above, node))
        owed.append(owed_after(before, node))
        if start is not None:
            here = (*path, index)
            yield from placement_errors(node, start, ids, here, inline=inline[-1], owed=before)


class Owed(NamedTuple):
    """Media of messages without tokens, whose placeholders lie in the next node with tokens.

    A renderer that does not attribute tokens to messages gives all of them to the reply. The media
    of the earlier messages then lie in the reply's tokens.
    """

    end: int
    """The end of the last range."""
    sizes: dict[str, int]
    """The number of tokens by modality."""


def owed_after(before: Owed | None, node: MessageNode) -> Owed | None:
    """What is owed after a node, given what is owed before it; None if nothing is."""
    if len(node.token_ids):
        return None
    if node.multi_modal_data is None:
        return before
    end, sizes = before or (0, {})
    sizes = dict(sizes)
    for modality in TOKEN_TYPES.values():
        for one in node.multi_modal_data.mm_placeholders.get(modality, ()):
            end = max(end, one.offset + one.length)
            sizes[modality] = sizes.get(modality, 0) + one.length
    return Owed(end, sizes) if sizes else None


def all_inline(above: bool | None, node: MessageNode) -> bool | None:  # noqa: FBT001
    """Whether all images of a path are inline in its messages, as in released verifiers records.

    The whole path counts, as a renderer that does not attribute tokens to messages gives all of
    them to the reply.

    Args:
        above: the result for the node's parent; None for a root.
        node: the last node of the path.

    Returns:
        None if the path has no image.
    """
    if above is False or node.multi_modal_data is not None:
        return False
    urls = media_urls(node.message)
    return all(url.startswith("data:") for url in urls) if urls else above


def media_ids(token_types: Mapping[Any, int]) -> dict[str, set[int]]:
    """The placeholder token ids by modality, from a trace's mm_token_type_id_map."""
    ids: dict[str, set[int]] = {}
    for token, kind in token_types.items():
        if kind in TOKEN_TYPES:
            ids.setdefault(TOKEN_TYPES[kind], set()).add(int(token))
    return ids


def placement_errors(
    node: MessageNode,
    start: int,
    ids: Mapping[str, set[int]],
    path: Path,
    *,
    inline: bool | None,
    owed: Owed | None = None,
) -> Iterator[RawMMError]:
    """The errors in the placement of a node's placeholders.

    Args:
        node: the node.
        start: the offset of its first token in its branch.
        ids: the result of `media_ids`.
        path: the path of the node.
        inline: the result of `all_inline`.
        owed: the result of `owed_after` for the node's parent.
    """
    size = len(node.token_ids)
    if size:
        sidecar = node.multi_modal_data
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
        if (
            ids
            and not inline
            and (owed or not placeholders_match(node.token_ids, sidecar, start, ids))
        ):
            yield from _image_tokens(node, start, ids, path, owed.sizes if owed else {})


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
    ids: Mapping[str, set[int]],
) -> bool:
    """Fast check that the tokens typed as media are those in the sidecar's ranges.

    `start` and `ids` are as in `placement_errors`.
    """
    for modality, wanted in ids.items():
        ranges = sidecar.mm_placeholders.get(modality, ()) if sidecar is not None else ()
        if not (
            (len(wanted) == 1 and _one_id_matches(tokens, ranges, start, *wanted))
            or _exactly_in(_typed(tokens, wanted), b"\1", ranges, start)
        ):
            return False
    return True


def _one_id_matches(
    tokens: list[int] | PackedTokenIds, ranges: Sequence[PlaceholderRange], start: int, wanted: int
) -> bool:
    """`placeholders_match` for one id. Also False if the bytes of two tokens look like the id."""
    found = token_bytes(tokens)
    if found is None:
        return False
    data, size = found
    if wanted.bit_length() > 8 * size:
        return not ranges
    return _exactly_in(data, wanted.to_bytes(size, "little"), ranges, start)


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


def _typed(tokens: list[int] | PackedTokenIds, wanted: set[int]) -> bytes:
    """One byte per token: 1 if it is one of `wanted`, else 0."""
    one_by_one = tokens.memoryview() if isinstance(tokens, PackedStream) else tokens
    return bytes(map(wanted.__contains__, one_by_one))


def _image_tokens(
    node: MessageNode,
    start: int,
    ids: Mapping[str, set[int]],
    path: Path,
    owed: Mapping[str, int],
) -> Iterator[RawMMError]:
    """An error for each range with other tokens, and for media tokens outside the ranges."""
    sidecar = node.multi_modal_data
    for modality, wanted in ids.items():
        ranges = sidecar.mm_placeholders.get(modality, []) if sidecar is not None else []
        # Prefix sums, so that each range takes constant time.
        before = array("Q", accumulate(_typed(node.token_ids, wanted), initial=0))
        size = len(before) - 1
        in_ranges = outside = done = 0
        for index, one in enumerate(ranges):
            first = min(max(0, one.offset - start), size)
            end = min(max(0, one.offset - start + one.length), size)
            outside += max(0, before[first] - before[done])
            typed = before[end] - before[first]
            in_ranges, done = in_ranges + typed, max(done, end)
            if typed != one.length:
                yield contract_error(
                    "orphan_image",
                    (*path, "multi_modal_data", "mm_placeholders", modality, index),
                    expected=f"{counted(one.length, f'{modality}-typed token')} in the range",
                    got=str(typed),
                )
        outside += before[size] - before[done]
        if outside != (missing := owed.get(modality, 0)):
            wanted_in_all = counted(in_ranges + missing, f"{modality}-typed token")
            yield contract_error(
                "orphan_image",
                (*path, "token_ids"),
                expected=f"{wanted_in_all}, as in the items' ranges",
                got=str(in_ranges + outside),
                hint=f"{modality} tokens outside all ranges have lost their items",
            )


def _graph(trace: Trace, path: Path) -> Iterator[RawMMError]:
    yield from graph_errors(trace.nodes, (*path, "nodes"), trace.mm_token_type_id_map)


_read_trace = reader("nodes", "mm_token_type_id_map")
_read_node = reader("parent", "message", "token_ids", "multi_modal_data")


def _graph_holds(trace: Trace) -> bool:
    nodes, token_types = _read_trace(trace)
    ids = media_ids(token_types or {})
    ends: list[int] = []
    inline: list[bool | None] = []
    for index, node in enumerate(nodes):
        parent, message, tokens, sidecar = _read_node(node)
        start, above = 0, None
        if parent is not None and parent is not UNSET:
            if parent >= index:
                return False
            start, above = ends[parent], inline[parent]
        end = start + len(tokens)
        ends.append(end)
        if sidecar:
            if not tokens and sidecar.mm_placeholders:
                return False  # another node has the tokens of its media
            for ranges in sidecar.mm_placeholders.values():
                for one in ranges:
                    if one.offset < start or one.offset + one.length > end:
                        return False
            within: bool | None = False
        elif above is False or type(message.content) is not list:
            within = above
        else:
            within = all_inline(above, node)
        inline.append(within)
        if (
            ids
            and end > start
            and not within
            and not placeholders_match(tokens, sidecar or None, start, ids)
        ):
            return False
    return True


RULES: Final = (Rule("graph", _graph, _graph_holds),)
