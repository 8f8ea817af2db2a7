"""Find the image parts of any value, and plan the changes of their URLs.

The walk uses an explicit stack, so nesting is not limited. It visits each object once, so cycles
end and shared parts are changed once.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import OffloadError, json_path, shown
from rawmm.locators import Problem
from rawmm.media import IMAGE
from rawmm.offload.containers import REMOVED, SCALARS, Container, container_of
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMAGE_TYPES: Final = IMAGE.wire_types
_WANTED: Final = (
    '{"type": "image_url", "image_url": {"url": ...}}, a string as "image_url", '
    'or {"type": "image", "image": url}'
)
_ROOT: Final = -1


class _Edge(NamedTuple):
    """A link from a parent node to a child, by its key in the parent."""

    parent: int
    key: Any


class _Node(NamedTuple):
    value: Any
    container: Container
    edges: list[_Edge]


@dataclass(frozen=True, slots=True)
class ImagePart:
    """One image part and the location of its URL.

    Attributes:
        url: the URL; meaningless if there is a ``fault``.
        fault: what is wrong with the shape of the part, or None.
        node: index of the part.
        holder: index of the node that has the URL under ``key``.
    """

    url: Any
    fault: Problem | None
    node: int
    holder: int
    key: str


def _has_null_image(container: Container, value: Any) -> bool:
    """Whether a part has image keys and all of them are null, so that it holds no image."""
    urls = [child for key, child in container.items(value) if key in _IMAGE_TYPES]
    return bool(urls) and all(url is None for url in urls)


def _is_leaf(value: Any) -> bool:
    """Whether a dict or list holds only scalars and is not an image part. Most values are."""
    kind = type(value)
    if kind is list:
        return SCALARS.issuperset(map(type, value))
    if kind is dict and SCALARS.issuperset(map(type, value.values())):
        return value.get("type") not in _IMAGE_TYPES
    return False


class ImageParts:
    """The image parts of a value, in document order. Finding them changes nothing.

    A part is an object whose ``type`` (a field, or the tag of a Struct) is ``image_url`` or
    ``image``. Null keys are ignored, because dataset libraries fill in missing keys with null.
    """

    def __init__(self, value: Any) -> None:
        self.parts: list[ImagePart] = []
        self._nodes: list[_Node] = []
        self._seen: dict[int, int] = {}
        self._walk(value)

    def path(self, part: ImagePart) -> str:
        """Return the JSON path of a part's URL from the root value."""
        keys: list[str | int | None] = [part.key]
        if part.holder != part.node:
            keys.append("image_url")
        index = part.node
        while (edge := self._nodes[index].edges[0]).parent != _ROOT:
            parent = self._nodes[edge.parent]
            keys.append(parent.container.path_key(parent.value, edge.key))
            index = edge.parent
        return json_path(key for key in reversed(keys) if key is not None)

    def plan(self, urls: list[str]) -> Changes:
        """Plan the changes that give the parts these URLs, in the shape of the contract.

        Copies frozen containers, but does not change the value.

        Raises:
            OffloadError: ``wrong_type`` if a frozen part has no parent that can be changed.
        """
        changes: dict[int, dict[Any, Any]] = {}
        causes: dict[int, ImagePart] = {}
        for part, url in zip(self.parts, urls, strict=True):
            for node, new in self._wanted(part, url):
                changes.setdefault(node, {}).update(new)
                causes.setdefault(node, part)
        self._rebuild_frozen(changes, causes)
        return Changes(
            self, [Change(self._nodes[index], new, causes[index]) for index, new in changes.items()]
        )

    def _walk(self, root: Any) -> None:
        container = container_of(root)
        if container is None:
            return
        stack: list[tuple[Any, Container, _Edge]] = [(root, container, _Edge(_ROOT, None))]
        while stack:
            value, container, edge = stack.pop()
            index = self._enter(value, container, edge)
            if index is None:
                continue
            kind = container.get(value, "type")
            # Check the class first, because comparing an array compares its elements.
            if (
                issubclass(type(kind), str)
                and kind in _IMAGE_TYPES
                and not _has_null_image(container, value)
            ):
                self.parts.append(self._part(index))
                continue
            children = [
                (child, inner, _Edge(index, key))
                for key, child in container.items(value)
                if type(child) not in SCALARS
                and not _is_leaf(child)
                and (inner := container_of(child)) is not None
            ]
            stack.extend(reversed(children))

    def _enter(self, value: Any, container: Container, edge: _Edge) -> int | None:
        """Return the index of a new node, or None for a visited one, which gets another parent."""
        new = len(self._nodes)
        index = self._seen.setdefault(id(value), new)
        if index != new:
            self._nodes[index].edges.append(edge)
            return None
        self._nodes.append(_Node(value, container, [edge]))
        return index

    def _part(self, node: int) -> ImagePart:
        value, container, _ = self._nodes[node]
        found = [name for name in _IMAGE_TYPES if container.get(value, name) is not None]
        if len(found) != 1:
            got = "both keys" if found else "neither key"
            fault = Problem("wrong_type", f"an image part with one URL: {_WANTED}", got)
            return ImagePart(None, fault, node, node, "image_url")
        key = found[0]
        source = container.get(value, key)
        inner = container_of(source)
        if key == "image" or inner is None:
            return self._checked(source, node, node, key)
        self._enter(source, inner, _Edge(node, container.key_of(value, key)))
        url = inner.get(source, "url")
        return self._checked(url, node, self._seen[id(source)], "url")

    def _checked(self, url: Any, node: int, holder: int, key: str) -> ImagePart:
        fault = None
        if not is_a(url, str):
            fault = Problem("wrong_type", f"the URL of an image, in {_WANTED}", shown(url))
        return ImagePart(url, fault, node, holder, key)

    def _wanted(self, part: ImagePart, url: str) -> Iterator[tuple[int, dict[Any, Any]]]:
        """Yield nodes and their changes. Typed parts keep their fields."""
        value = self._nodes[part.node].value
        if part.key == "url" or not is_a(value, dict):
            if url != part.url:
                holder, container, _ = self._nodes[part.holder]
                yield part.holder, {container.key_of(holder, part.key): url}
        else:
            yield part.node, {"image_url": {"url": url}}
            if part.key == "image":
                yield part.node, {"image": REMOVED}
        if is_a(value, dict) and value["type"] != "image_url":
            yield part.node, {"type": "image_url"}

    def _rebuild_frozen(
        self, changes: dict[int, dict[Any, Any]], causes: dict[int, ImagePart]
    ) -> None:
        """Move the changes of frozen nodes up to their nearest parents that can be changed."""
        sorter: TopologicalSorter[int] = TopologicalSorter()
        frozen: set[int] = set()
        rising = [index for index in changes if self._is_frozen(index, changes[index])]
        while rising:
            index = rising.pop()
            if index in frozen:
                continue
            frozen.add(index)
            sorter.add(index)
            for parent, key in self._nodes[index].edges:
                if parent == _ROOT:
                    raise self._cannot_change(index, causes[index])
                causes.setdefault(parent, causes[index])
                if self._is_frozen(parent, (key,)):
                    rising.append(parent)
                    sorter.add(parent, index)
        order: list[int] = []
        fixed = None
        try:
            order.extend(sorter.static_order())
        except CycleError as error:
            fixed = error.args[1][0]
        for index in order if fixed is None else ():
            value, container, edges = self._nodes[index]
            rebuilt = None
            with suppress(TypeError, ValueError, AttributeError, copy.Error):
                rebuilt = container.rebuilt(value, changes.pop(index))
            if rebuilt is None:
                fixed = index
                break
            for parent, key in edges:
                changes.setdefault(parent, {})[key] = rebuilt
        if fixed is not None:
            # Raised outside of the handlers, so that a constructor's exception is not its context.
            raise self._cannot_change(fixed, causes[fixed])

    def _is_frozen(self, index: int, keys: Any) -> bool:
        value, container, _ = self._nodes[index]
        return any(container.is_frozen(value, key) for key in keys)

    def _cannot_change(self, index: int, part: ImagePart) -> OffloadError:
        return cannot_change(self._nodes[index].value, self.path(part))


class Change(NamedTuple):
    """New values for keys of one container; ``part`` is a part that needs them."""

    node: _Node
    new: dict[Any, Any]
    part: ImagePart


class Changes:
    """Changes that are applied together or not at all."""

    def __init__(self, found: ImageParts, changes: list[Change]) -> None:
        self._found = found
        self._changes = changes

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes)

    def apply(self) -> None:
        """Apply every change. On failure, undo those that were applied.

        Raises:
            OffloadError: ``wrong_type`` if a container refuses a change.
        """
        undo: list[Any] = []
        try:
            for (value, container, _), new, part in self._changes:
                refused = True
                # Raised by setters and validators. Their texts may quote the value, so our
                # error is raised outside of the block and has no context.
                with suppress(TypeError, ValueError, AttributeError):
                    container.apply(value, new, undo)
                    refused = False
                if refused:
                    raise cannot_change(value, self._found.path(part))
        except BaseException:
            for restore in reversed(undo):
                restore()
            raise


def cannot_change(value: Any, path: str) -> OffloadError:
    """Return the error for a container that cannot take a new URL."""
    return OffloadError(
        "wrong_type",
        path,
        expected="an image part, or a container of it, that can be changed",
        got=shown(value),
        hint="pass it in a list or dict, or convert it to dicts first",
    )
