"""The sidecars of a recorded trace, from its messages and the image tokens that it shows.

A record of the released path has no sidecars and no ranges, but the engine's expanded tokens. With
the token-type map and the model's layout, each image's range and descriptor follow.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from operator import gt
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from rawmm.codec import convert
from rawmm.describe.geometry import wrong_length
from rawmm.describe.image import layout_from
from rawmm.describe.messages import MessageImages
from rawmm.describe.prompt import image_urls
from rawmm.errors import contract_error, counted, shown
from rawmm.graph import Branch, read, stream_of
from rawmm.images import ENGINE, ImageDecoding
from rawmm.media import IMAGE
from rawmm.model.types import (
    MessageNode,
    MultiModalData,
    PackedStream,
    PlaceholderRange,
    Trace,
)
from rawmm.real_class import is_a

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from rawmm.describe.messages import FoundImage
    from rawmm.errors import Path
    from rawmm.layouts import Layout
    from rawmm.store import ImageReader

T = TypeVar("T", Trace, Branch)

_MAP: Final = "mm_token_type_id_map"


def describe_trace(
    trace: T,
    layout: str | Layout,
    *,
    image_token_ids: int | Iterable[int] | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    store: ImageReader | None = None,
    decoding: ImageDecoding = ENGINE,
) -> T:
    """Return a trace or branch with the sidecars that its record lacks.

    The range of an image begins at its first token in the node, or in the next node with tokens,
    and is as long as the layout computes. The images of a node must account for all of its image
    tokens. Media that lie in tokens before their message, as with templates that move tool
    results, cannot be described.

    Args:
        trace: a `Trace`, or a branch of one. It stays unchanged, and is returned if it has
            sidecars already.
        layout: the model's image layout, or its family for the default parameters.
        image_token_ids: placeholder tokens of images, if the trace's ``mm_token_type_id_map``
            names none. The map of the result names them.
        image_dir: the image directory; see `describe_prompt`.
        store: a store to use instead of `image_dir`.
        decoding: how the engine decoded images, as for `describe_image`; vLLM's by default.

    Returns:
        A copy that shares messages and streams with `trace`. If the family puts marks between
        the tokens of an image that the map does not name, the map of the copy names them.

    Raises:
        TypeError: both `image_dir` and `store` are given.
        ContractError: ``missing_field`` if neither map nor `image_token_ids` name an image token;
            ``orphan_image`` if images and image tokens do not match, or if an image has line feeds
            or digits, which no map can name; ``geometry_mismatch`` if
            an image has another number of tokens than the layout computes; and any violation of
            the contract in the trace.
        MaterializeError, OffloadError: an image cannot be read or is invalid, as in
            `describe_prompt`.
    """
    images = MessageImages(layout_from(layout), image_dir, store, decoding=decoding)
    ids = checked_token_ids(image_token_ids)
    if is_a(trace, Branch):
        return _branch(trace, images, ids)
    return with_sidecars(convert(trace, Trace), images, ids)


def with_sidecars(trace: Trace, images: MessageImages, image_token_ids: frozenset[int]) -> Trace:
    """`describe_trace`, for a checked trace."""
    graph = [(node.parent, node) for node in trace.nodes]
    found = _Sidecars(images, _ids(trace.mm_token_type_id_map, image_token_ids))
    nodes = found.nodes(graph, lambda index: ("nodes", index))
    if nodes is None:
        return trace
    described = copy(trace)
    described.nodes = nodes
    described.mm_token_type_id_map = _typed(trace.mm_token_type_id_map, found.ids)
    return convert(described, Trace)


def _branch(branch: Branch, images: MessageImages, image_token_ids: frozenset[int]) -> Branch:
    graph: list[tuple[int | None, MessageNode]] = [
        (place - 1 if place else None, read(node, MessageNode, "nodes", index))
        for place, (index, node) in enumerate(zip(branch.node_ids, branch.nodes, strict=True))
    ]
    found = _Sidecars(images, _ids(branch.mm_token_type_id_map, image_token_ids))
    nodes = found.nodes(graph, lambda place: ("nodes", branch.node_ids[place]))
    if nodes is None:
        return branch
    types = _typed(branch.mm_token_type_id_map, found.ids)
    return replace(branch, nodes=nodes, mm_token_type_id_map=types)


def checked_token_ids(given: int | Iterable[int] | None) -> frozenset[int]:
    """The argument `image_token_ids` as a set."""
    path = ("image_token_ids",)
    if given is None:
        return frozenset()
    if is_a(given, set | frozenset):
        given = list(given)
    return frozenset(stream_of([given] if type(given) is int else given, "TokenIds", path))


def _ids(types: Mapping[Any, int] | None, given: frozenset[int]) -> frozenset[int]:
    own = (int(token) for token, kind in (types or {}).items() if kind == IMAGE.token_type)
    return frozenset(own) or given


def _typed(types: Mapping[Any, int] | None, ids: Iterable[int]) -> dict[str, int]:
    """A token-type map that also names `ids`."""
    assert IMAGE.token_type is not None
    own = {str(token): kind for token, kind in (types or {}).items()}
    return own | {str(token): IMAGE.token_type for token in sorted(ids) if str(token) not in own}


class _Image(NamedTuple):
    """An image of a node: the node's place, the path of its URL, and the URL."""

    place: int
    path: Path
    url: str


class _Owed(NamedTuple):
    """Images of nodes without tokens, whose tokens lie in the next node with tokens."""

    before: _Owed | None
    images: list[_Image]

    def all(self) -> list[_Image]:
        """All images, in order."""
        parts: list[list[_Image]] = []
        owed: _Owed | None = self
        while owed is not None:
            parts.append(owed.images)
            owed = owed.before
        return [image for part in reversed(parts) for image in part]


class _Sidecars:
    """Makes the sidecars of the nodes of one graph.

    Attributes:
        ids: placeholder tokens of images, and of the marks in them that `nodes` found.
    """

    def __init__(self, images: MessageImages, ids: frozenset[int]) -> None:
        self.ids = ids
        self._map_ids = ids
        self._images = images
        self._layout = images.layout
        self._placed: dict[int, list[tuple[_Image, FoundImage, PlaceholderRange]]] = {}

    def nodes(
        self, graph: Sequence[tuple[int | None, MessageNode]], at: Any
    ) -> list[MessageNode] | None:
        """The nodes with their sidecars; None if they have no images, or sidecars already.

        Args:
            graph: each node with the place of its parent.
            at: returns the path of the node at a place.
        """
        if any(_has_items(node) for _, node in graph):
            return None
        ends: list[int] = []
        counts: list[int] = []
        owed: list[_Owed | None] = []
        for place, (parent, node) in enumerate(graph):
            start = 0 if parent is None else ends[parent]
            before = None if parent is None else owed[parent]
            path = at(place)
            own = [
                _Image(place, (*path, "message", *inside), url)
                for (_, *inside), url in image_urls([node.message])
            ]
            ends.append(start + len(node.token_ids))
            counts.append(len(own) + (0 if parent is None else counts[parent]))
            if len(node.token_ids):
                owed.append(None)
                images = [*(before.all() if before else ()), *own]
                self._place(images, node, start, counts[-1] - len(images), path)
            else:
                owed.append(_Owed(before, own) if own else before)
        if not self._placed:
            return None
        return [self._node(place, node) for place, (_, node) in enumerate(graph)]

    def _node(self, place: int, node: MessageNode) -> MessageNode:
        entries = self._placed.get(place)
        if entries is None:
            return node
        node = copy(node)
        node.multi_modal_data = MultiModalData(
            mm_hashes={IMAGE.name: [found.described.mm_hash for _, found, _ in entries]},
            mm_placeholders={IMAGE.name: [one for _, _, one in entries]},
            mm_items={IMAGE.name: [found.described.item for _, found, _ in entries]},
        )
        return node

    def _place(
        self, images: list[_Image], node: MessageNode, start: int, before: int, path: Path
    ) -> None:
        """Find the images in a node's tokens.

        Args:
            images: of the node, and of the nodes without tokens before it.
            node: the node.
            start: the offset of its first token.
            before: the number of images before these.
            path: of the node.
        """
        if images and not self._map_ids:
            raise contract_error(
                "missing_field",
                (_MAP,),
                expected="the placeholder token of images, with type 1",
                got="none",
                hint="give the ids of the model's image tokens",
            )
        typed = _image_flags(node, self._map_ids)
        count = typed.count(b"\0\1") + typed.startswith(b"\1")
        found = [
            self._images.describe(one.url, one.path, index)
            for index, one in enumerate(images, before)
        ]
        # Every image has as many tokens as its placeholder, or all were expanded.
        collapsed = typed.count(1) == sum(one.described.placeholder_length for one in found)
        done = 0
        places: dict[int, list[tuple[_Image, FoundImage, PlaceholderRange]]] = {}
        for number, (image, one) in enumerate(zip(images, found, strict=True)):
            length = one.described.placeholder_length if collapsed else one.described.num_tokens
            first = typed.find(1, done)
            if first < 0:
                raise _wrong_count(len(images), count, path)
            begin = self._begin(typed, first, done, length, one, before + number, node, path)
            run = _end_of_run(typed, first) - first
            # Images may share a run only if there are fewer runs than images.
            alone = number == len(images) - 1 or count == len(images)
            if begin is None or (begin == first and alone and run > length):
                name = f"image {number} of the node's tokens"
                raise wrong_length(one, name, run, self._layout, (*path, "token_ids"))
            done = begin + length
            entry = image, one, PlaceholderRange(offset=start + begin, length=length)
            places.setdefault(image.place, []).append(entry)
        if typed.find(1, done) >= 0:
            raise _wrong_count(len(images), count, path)
        for place, entries in places.items():
            known = self._placed.setdefault(place, entries)
            if [one for *_, one in known] != [one for *_, one in entries]:
                raise contract_error(
                    "placeholder_order",
                    (*path, "token_ids"),
                    expected="the images of earlier messages at the same positions as in the other "
                    "nodes after them",
                    got="other positions",
                )

    def _begin(
        self,
        typed: bytes,
        first: int,
        done: int,
        length: int,
        image: FoundImage,
        index: int,
        node: MessageNode,
        path: Path,
    ) -> int | None:
        """Where an image begins whose first typed token is at `first`; None if it is not there.

        Only the marks of the family may lie between its typed tokens.
        """
        if typed.startswith(b"\1" * length, first):
            return first
        geometry = self._layout.describe(image.width, image.height, index=index)
        marks = self._layout.marks(geometry)
        if not marks or length != geometry.num_tokens:
            return None
        if self._layout.has_text(geometry):
            raise contract_error(
                "orphan_image",
                (*path, "token_ids"),
                expected="images of tokens that a map of token types can name",
                got=f"an image of {self._layout.family} with line feeds or digits",
                hint="describe prompts with the engine's ranges, in traces without a map",
            )
        pattern = bytearray(b"\1" * length)
        for mark in marks:
            pattern[mark] = 0
        begin = first - pattern.find(1)
        if begin < done or not typed.startswith(bytes(pattern), begin):
            return None
        if begin + length > len(typed):
            return None
        tokens = node.token_ids
        own = tokens.memoryview() if isinstance(tokens, PackedStream) else tokens
        self.ids |= {own[begin + mark] for mark in marks}
        return begin


def _has_items(node: MessageNode) -> bool:
    sidecar = node.multi_modal_data
    return sidecar is not None and any(
        by_modality
        for by_modality in (sidecar.mm_items, sidecar.mm_placeholders, sidecar.mm_hashes)
    )


def _image_flags(node: MessageNode, ids: frozenset[int]) -> bytes:
    """One byte per token: 1 if it is an image token that the model did not sample."""
    tokens, mask = (
        one.memoryview() if isinstance(one, PackedStream) else one
        for one in (node.token_ids, node.mask)
    )
    typed = bytes(map(ids.__contains__, tokens))
    return bytes(map(gt, typed, mask)) if 1 in typed else typed


def _end_of_run(typed: bytes, first: int) -> int:
    end = typed.find(0, first)
    return len(typed) if end < 0 else end


def _wrong_count(images: int, runs: int, path: Path) -> Any:
    dropped = runs < images
    return contract_error(
        "orphan_image",
        (*path, "token_ids"),
        expected=f"{counted(images, 'run')} of image-typed tokens, one for each image of the "
        "message and of those without tokens before it",
        got=shown(runs),
        hint="the chat template dropped or moved an image, or the tokens were cut"
        if dropped
        else "the message has lost an image, the template moved one here, or a text has the token",
    )
