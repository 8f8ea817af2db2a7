"""Find the images of any value, and plan the changes that put references in their place.

The walk uses an explicit stack, so nesting is not limited. It visits each object once, so cycles
end and shared parts are changed once. `rawmm.offload.forms` says what an image looks like.

What no form explains is judged: a string that begins as an image is an error, unless it is text, a
tool's arguments or schema, or a field of a record around its messages.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import OffloadError, counted, json_path, shown
from rawmm.images import (
    HEAD_SHOWN,
    is_image,
    is_mislabelled,
    looks_like_base64,
    read_head,
    signs_before,
)
from rawmm.locators import Problem, stored_hash
from rawmm.media import IMAGE
from rawmm.offload.containers import NUMBERS, REMOVED, SCALARS, Container, container_of
from rawmm.offload.forms import (
    ARGUMENTS,
    CALLS,
    CHAT,
    DECLARATIONS,
    FORM_KEYS,
    FORMS,
    FORMS_BY_KEY,
    OTHER_MEDIA,
    PART_KEYS,
    PARTS,
    SIDECARS,
    TEXT,
    Fill,
    Holds,
    ImageForm,
    Moved,
    Within,
    form_names,
)
from rawmm.offload.opaque import (
    first_bytes,
    has_attributes,
    is_binary,
    is_picture,
    may_yield_values,
)
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_WANTED: Final = (
    '{"type": "image_url", "image_url": {"url": ...}}, a string as "image_url", '
    'or {"type": "image", "image": url}'
)
_URL_WANTED: Final = "a data:image/...;base64, URL, or the URL of a stored image"
_SOURCES: Final = frozenset({str, bytes})
_ONE_IMAGE: Final = "make two parts of two images, or rename the field that is no image"
_ROOT: Final = -1
_IMAGE_TYPE: Final = "image/"
_IMAGE_STARTS: Final = frozenset("dDiIRuUSTQA")
"""First letters of what `read_head` recognizes, and of a media type. It passes over signs."""
_LONG: Final = 100
"""Characters from which a string without a blank may be base64."""
_SHORTEST: Final = 16
"""Characters of the shortest string that can be an image."""
_MAX_NULLS: Final = 4
"""Depth of the objects of a table whose fields are all null."""
_OTHER_TYPES: Final = ("audio/", "video/", "application/", "font/", "model/")
_PART_LISTS: Final = frozenset({"parts", "contents"})
_BRANCHES: Final = ("chosen", "rejected")
"""Lists of messages that are alternatives: each has the images beside them."""
_OF_MESSAGES: Final = ("role", "messages", "prompt", "conversations", *_BRANCHES)
_OTHER_KEYS: Final = frozenset(
    {*OTHER_MEDIA, "data", "url", "base64", "source", "file_id", "file_data", "file_url", "uri"}
)


class Strings:
    """Reads the strings of a value.

    Attributes:
        mark: what the strings begin with that stand for others, if any.
    """

    mark: str = ""

    def is_candidate(self, text: str) -> bool:
        """Fast check that a string may begin as an image."""
        return len(text) >= _SHORTEST and (text[0] in _IMAGE_STARTS or not text[0].isalnum())

    def head(self, text: str) -> str:
        """The first characters of a string."""
        first = max(0, signs_before(text) - 1)
        return text[first : first + HEAD_SHOWN]

    def whole(self, text: str) -> str:
        """The whole string."""
        return text


# The surroundings of a value, as bits, because the walk makes one for each value.
_FREE: Final = 1
"""Nothing here is an image: text, tool arguments and schemas."""
_RECORD: Final = 2
"""A field of a record around its messages: there are images, and anything else."""
_IN_OTHER: Final = 4
"""The value belongs to audio, video or a document that is counted."""
_IN_CONTENT: Final = 8
"""The value is a list of content parts, or an entry of one."""
_IS_SOURCE: Final = 16
"""The value is in an image part."""
_IN_MESSAGE: Final = 32
"""The value belongs to a message. Nothing in it is a record, whatever its keys are."""
_IN_LIST: Final = 64
"""The value is an entry of a list of images."""
_LIST: Final = 7
"""Above these bits: the number of the list of images beside the messages, from 1."""
_UNJUDGED: Final = _FREE | _RECORD
_MAY_BE_FREE: Final = ARGUMENTS | DECLARATIONS | {"input"}


class _Edge(NamedTuple):
    """A link from a parent node to a child, by its key in the parent."""

    parent: int
    key: Any


class _Node(NamedTuple):
    value: Any
    container: Container
    edges: list[_Edge]


class ImagePart(NamedTuple):
    """One image and its location.

    Attributes:
        source: a URL, base64, the bytes of a file, or a picture of Pillow; meaningless if there is
            a ``fault``.
        fault: why it is refused, or None.
        keys: keys from the object of the form to the source.
        nodes: indices of the objects that have these keys.
        form: the form; None if there is a fault.
        declared: the media type that the form declares, in lower case, or an empty string.
        hint: how to avoid the fault, if it does not follow from its code.
    """

    source: Any
    fault: Problem | None
    keys: tuple[Any, ...]
    nodes: tuple[int, ...]
    form: ImageForm | None = None
    declared: str = ""
    hint: str | None = None


class StoredAt(NamedTuple):
    """The URL, media type and file name of a stored image; None for what was not read."""

    url: str
    media_type: str | None = None
    name: str | None = None


@dataclass(slots=True)
class _ImageList:
    """A list of images beside messages, and the placeholders for them.

    Attributes:
        node: index of the object that has the list.
        size: images in the list.
        placeholders: indices of the placeholders.
    """

    node: int
    size: int
    placeholders: list[int]


class _Found(NamedTuple):
    """The objects of a form, with their fields and the keys that are explained."""

    node: int
    fields: Mapping[str, Any]
    keys: tuple[str, ...]


class _Match(NamedTuple):
    """The image of a form: its objects below the first one, and the media type it declares."""

    source: Any
    chain: Sequence[tuple[Any, Container, Mapping[str, Any]]]
    declared: str


_PLACEHOLDER: Final = ImageForm(name="placeholder", at=(), types=("image",), written=CHAT)


class ImageParts:
    """The images of a value, in document order. Finding them changes nothing.

    Null keys are ignored, because dataset libraries fill in missing keys with null.

    Args:
        value: the value.
        strings: reads its strings.
        images: images for the placeholders ``{"type": "image"}``, in order.
        as_chat: whether the value is a list of chat messages whose reader knows ``image_url`` parts
            only. Other parts become such parts, and other images are refused.

    Attributes:
        parts: the images, and what looks like one but is in no known form.
        other: audio, video and documents.
        text_data_urls: data URLs of images in text and in other strings that stay as they are.
    """

    def __init__(
        self,
        value: Any,
        strings: Strings | None = None,
        images: Sequence[Any] | None = None,
        *,
        as_chat: bool = False,
    ) -> None:
        self.parts: list[ImagePart] = []
        self.other: list[ImagePart] = []
        self.text_data_urls = 0
        self._strings = Strings() if strings is None else strings
        self._nodes: list[_Node] = []
        self._seen: dict[int, int] = {}
        self._free: set[int] = set()
        self._lists: list[_ImageList] = []
        self._given = images
        self._as_chat = as_chat
        self._filled = 0
        self._stack: list[tuple[Any, Container, _Edge, int]] = []
        self._walk(value)

    def path(self, part: ImagePart) -> str:
        """Return the JSON path of an image from the root value."""
        # MessagePack has keys of other types.
        keys: list[str | int | None] = [
            key if is_a(key, (str, int)) else str(key) for key in reversed(part.keys)
        ]
        index = part.nodes[0]
        while (edge := self._nodes[index].edges[0]).parent != _ROOT:
            parent = self._nodes[edge.parent]
            keys.append(parent.container.path_key(parent.value, edge.key))
            index = edge.parent
        return json_path(key for key in reversed(keys) if key is not None)

    def same_sources(self, other: ImageParts) -> bool:
        """Whether the images of another walk are the same, in the same order."""
        return len(self.parts) == len(other.parts) and all(
            mine.source is theirs.source
            or (type(mine.source) is str and mine.source == theirs.source)
            for mine, theirs in zip(self.parts, other.parts, strict=True)
        )

    # --- the walk

    def _walk(self, root: Any) -> None:
        container = container_of(root)
        if container is None:
            return
        self._stack.append((root, container, _Edge(_ROOT, None), 0))
        while self._stack:
            value, container, edge, where = self._stack.pop()
            index = self._enter(value, container, edge, where)
            if index is None:
                continue
            fields = value if type(value) is dict else container.fields(value)
            if fields is None:
                self._entries(index, value, container, where)
            else:
                self._object(index, fields, where)
        if self._as_chat:
            self.parts = [self._chat_part(part) for part in self.parts]
        for images in self._lists:
            for number in self._placeholders(images):
                if number != images.size:
                    got = f"{number}, and {counted(images.size, 'image')}"
                    self._fault(images.node, ("images",), _mismatch(got))
                    break
        if self._given is not None and self._filled != len(self._given):
            got = f"{self._filled}, and {counted(len(self._given), 'image')}"
            self._fault(0, (), _mismatch(got))

    def _enter(self, value: Any, container: Container, edge: _Edge, where: int) -> int | None:
        """Return the index of a new node, or None for a visited one, which gets another parent.

        What was visited where nothing is an image is visited again where something is.
        """
        new = len(self._nodes)
        index = self._seen.setdefault(id(value), new)
        if index == new:
            self._nodes.append(_Node(value, container, [edge]))
        else:
            self._nodes[index].edges.append(edge)
            if where & _FREE or index not in self._free:
                return None
            self._free.remove(index)
        if where & _FREE:
            self._free.add(index)
        return index

    def _entries(self, index: int, value: Any, container: Container, where: int) -> None:
        """Visit the entries of a list."""
        below = []
        for key, child in enumerate(value) if type(value) is list else container.items(value):
            if type(child) is not str:
                if type(child) in NUMBERS:
                    continue
                if not is_a(child, str):
                    below.append((key, child))
                    continue
            text = str.__str__(child)
            if where & (_FREE | _IN_CONTENT):
                self._count_text(text)
            elif self._strings.is_candidate(text):
                self._judge(index, key, text, where)
        self._push(index, below, where)

    def _object(self, index: int, fields: Mapping[str, Any], where: int) -> None:
        """Find the image of an object, and visit everything else in it."""
        if where & _FREE:
            self._children(index, fields, where)
            return
        kind = fields.get("type")
        if type(kind) is not str and kind is not None:
            kind = _kind(kind)
        if _is_message(fields):
            where = where & ~_RECORD | _IN_MESSAGE
        elif not where & _IN_MESSAGE and not SIDECARS.isdisjoint(fields):
            where |= _RECORD
        found: list[_Found] = []
        if not FORM_KEYS.isdisjoint(fields):
            found, where = self._find(index, fields, kind, where)
        if not found and kind in PARTS:
            self._part_without_image(index, fields, kind, where)
        if kind in OTHER_MEDIA and not found and not where & _IN_OTHER and _is_other(fields):
            self.other.append(ImagePart(None, None, (), (index,)))
            where |= _IN_OTHER
        where = where | _IS_SOURCE if kind in PARTS else where & ~_IS_SOURCE
        if not found:
            self._children(index, fields, where)
        for node, inner, keys in found:
            if len(inner) > len(keys):
                self._children(node, inner, where, keys)

    def _children(
        self, index: int, fields: Mapping[str, Any], where: int, skip: tuple[str, ...] = ()
    ) -> None:
        """Judge the strings of an object, and put what is below it on the stack."""
        below: list[tuple[str, Any]] = []
        label = ""
        long: list[tuple[str, str]] = []
        for name, child in fields.items():
            if type(child) is not str:
                if type(child) in NUMBERS or name in skip:
                    continue
                if not is_a(child, str):
                    below.append((name, child))
                    continue
                child = str.__str__(child)  # noqa: PLW2901  (ignore what a subclass overrides)
            if len(child) < 7 or name in skip:
                continue
            if child[5] == "/" and child[:6].lower() == _IMAGE_TYPE:
                label = child
            elif child.startswith(_OTHER_TYPES):
                label = label or child
            elif len(child) >= _SHORTEST:
                long.append((name, child))
        core = _core(fields) if below and not where & (_UNJUDGED | _IN_MESSAGE) else ""
        own = where | _RECORD if core else where
        if long:
            self._texts(index, fields, long, label, own)
        if below:
            self._push_fields(index, fields, below, own, core)

    def _texts(
        self,
        index: int,
        fields: Mapping[str, Any],
        texts: list[tuple[str, str]],
        label: str,
        where: int,
    ) -> None:
        kind = _kind(fields.get("type"))
        all_text = bool(where & _UNJUDGED)
        # The AI SDK writes {"type": "text", "value": ...}, and Anthropic "data".
        is_text_part = type(kind) is str and kind.endswith("text")
        is_image = label[:6].lower() == _IMAGE_TYPE
        for name, text in texts:
            is_text = name == "text" or (name in TEXT and not is_image)
            is_text |= (name in ARGUMENTS or name in DECLARATIONS) and _is_free(name, fields, where)
            if all_text or is_text or (is_text_part and name in ("value", "data")):
                self._count_text(text)
            elif self._strings.is_candidate(text) and self._judge(index, name, text, where):
                continue
            elif label and name != "text" and looks_like_base64(self._strings.whole(text)):
                if is_image:
                    self._hidden(index, name, f"base64 beside the media type {label[:32]!r}")
                elif not where & _IN_OTHER:
                    self.other.append(ImagePart(None, None, (name,), (index,)))
            else:
                self._count_text(text)

    def _judge(self, index: int, key: Any, text: str, where: int) -> bool:
        """Refuse a string that begins as an image. Returns whether it begins as some medium."""
        head = read_head(self._strings.head(text))
        if where & _UNJUDGED:
            self._count_text(text)
        elif head.is_image:
            what = "a data URL" if head.is_data_url else "the base64"
            self._hidden(index, key, f"{what} of an image")
        elif head.is_data_url and not where & _IN_OTHER:
            self.other.append(ImagePart(None, None, (key,), (index,)))
        return head.is_image or head.is_data_url

    def _count_text(self, text: str) -> None:
        whole = self._strings.whole(text)
        if "data:" in whole or whole[:5].lower() == "data:":
            self.text_data_urls += max(
                whole.count("data:image/"), int(whole[:11].lower() == "data:image/")
            )

    def _push_fields(
        self,
        index: int,
        fields: Mapping[str, Any],
        below: list[tuple[str, Any]],
        where: int,
        core: str,
    ) -> None:
        """Put the fields of an object that are not scalars on the stack."""
        if where & _FREE or "__nd__" in fields:
            self._push(index, below, where | _FREE)
            return
        for name, child in reversed(below):
            inside = where & ~(_IN_CONTENT | _IN_LIST)
            if name in _MAY_BE_FREE and _is_free(name, fields, where, child):
                inside |= _FREE
            elif name == core:
                inside &= ~_RECORD
            elif name == "choices" and not where & _RECORD:
                inside |= _IN_MESSAGE
            if name in TEXT or name in _PART_LISTS:
                inside |= _IN_CONTENT
            if name != "source":
                inside &= ~_IS_SOURCE
            self._put(index, name, child, inside, self._stack)

    def _push(self, index: int, below: Sequence[tuple[Any, Any]], where: int) -> None:
        """Put values in the same surroundings on the stack."""
        found: list[tuple[Any, Container, _Edge, int]] = []
        for name, child in below:
            self._put(index, name, child, where, found)
        found.reverse()
        self._stack += found

    def _put(
        self,
        index: int,
        name: Any,
        child: Any,
        where: int,
        stack: list[tuple[Any, Container, _Edge, int]],
    ) -> None:
        kind = type(child)
        if kind is dict:
            if self._is_plain(child):
                return
        elif kind is list and NUMBERS.issuperset(map(type, child)):
            return
        inner = None if kind is bytes else container_of(child)
        if inner is not None:
            value, container, _ = self._nodes[index]
            key = name if type(value) is dict else container.key_of(value, name)
            stack.append((child, inner, _Edge(index, key), where))
        elif not where & _UNJUDGED:
            self._judge_object(index, name, child, where)

    def _is_plain(self, value: dict[Any, Any]) -> bool:
        """Fast check that no value of a dict is an image or looks like one, as in most dicts."""
        if not FORM_KEYS.isdisjoint(value):
            return False
        mark = self._strings.mark
        for item in value.values():
            if type(item) is not str:
                if type(item) not in NUMBERS:
                    return False
            elif len(item) >= _SHORTEST and (
                item[0] in _IMAGE_STARTS
                or not item[0].isalnum()
                or "data:" in item
                or (mark and item.startswith(mark))
                or (len(item) >= _LONG and " " not in item[:_LONG])
            ):
                return False
        kind = value.get("type")
        return type(kind) is not str or (kind not in PARTS and kind not in OTHER_MEDIA)

    def _judge_object(self, index: int, name: Any, child: Any, where: int) -> None:
        """Refuse bytes and pictures that are images, and what may hold images unseen."""
        if is_picture(child):
            self._hidden(index, name, "a picture of Pillow")
        elif is_image(first_bytes(child)):
            self._hidden(index, name, "the bytes of an image")
        elif not is_binary(child) and (
            may_yield_values(child) or (where & _IN_MESSAGE and has_attributes(child))
        ):
            fault = Problem(
                "wrong_type", "a JSON value, or a container of a known kind", shown(child)
            )
            hint = "pass a list of its items, or convert it to dicts and lists"
            self.parts.append(ImagePart(None, fault, (name,), (index,), hint=hint))

    def _hidden(self, index: int, key: Any, what: str) -> None:
        expected = f"an image in a form that rawmm knows: {form_names()}"
        self._fault(index, (key,), Problem("unknown_image_form", expected, f"{what} elsewhere"))

    # --- forms

    def _find(
        self, index: int, fields: Mapping[str, Any], kind: str | None, where: int
    ) -> tuple[list[_Found], int]:
        """Find the image of an object by the first form that fits."""
        names = [name for name in fields if name in FORMS_BY_KEY and not _is_null(fields[name])]
        forms: Sequence[ImageForm] = ()
        if len(names) == 1:
            forms = FORMS_BY_KEY[names[0]]
        elif names:
            if kind in IMAGE.wire_types and all(name in names for name in IMAGE.wire_types):
                self._fault(index, ("image_url",), _not_one_url("both keys"))
                return [_Found(index, fields, IMAGE.wire_types)], where
            every = (form for name in names for form in FORMS_BY_KEY[name])
            forms = sorted(every, key=FORMS.index)
        for form in forms:
            if (form.types and kind not in form.types) or (form.in_list and not where & _IN_LIST):
                continue
            if form.holds is Holds.EACH:
                found = self._find_list(index, fields, form, kind, where)
            else:
                found = self._find_one(index, fields, form, kind, where)
            if found:
                if form.at == ("images",) and any(fields.get(name) for name in _OF_MESSAGES):
                    size = sum(entry is not None for entry in fields["images"])
                    self._lists.append(_ImageList(index, size, []))
                    where = where & ((1 << _LIST) - 1) | len(self._lists) << _LIST
                return found, where
        return [], where

    def _find_one(
        self,
        index: int,
        fields: Mapping[str, Any],
        form: ImageForm,
        kind: str | None,
        where: int,
    ) -> list[_Found]:
        match = self._match(fields, form, kind, where)
        if match is None:
            return []
        if beside := _value_beside(form, fields) or self._other_image(fields, form, kind, where):
            problem = _two_images(form.at, beside)
            self.parts.append(ImagePart(None, problem, beside, (index,), hint=_ONE_IMAGE))
            return [_Found(index, fields, form.at[:1])]
        source, chain, declared = match
        nodes = [index]
        found = [_Found(index, fields, form.at[:1])]
        for depth, (child, inner, below) in enumerate(chain):
            parent = self._nodes[nodes[-1]]
            edge = _Edge(nodes[-1], parent.container.key_of(parent.value, form.at[depth]))
            self._enter(child, inner, edge, where)
            nodes.append(self._seen[id(child)])
            found.append(_Found(nodes[-1], below, form.at[depth + 1 : depth + 2]))
        self.parts.append(ImagePart(source, None, form.at, tuple(nodes), form, declared.lower()))
        return found

    def _match(
        self, fields: Mapping[str, Any], form: ImageForm, kind: str | None, where: int
    ) -> _Match | None:
        """The image of an object if a form fits it."""
        chain: list[tuple[Any, Container, Mapping[str, Any]]] = []
        holder = fields
        for key in form.at[:-1]:
            child = holder.get(key)
            inner = None if type(child) in SCALARS else container_of(child)
            below = None if inner is None else inner.fields(child)
            if inner is None or below is None:
                return None
            chain.append((child, inner, below))
            holder = below
        source = holder.get(form.at[-1])
        if type(source) is not str and not _is_source(source):
            return None
        for keys, wanted in form.having.items():
            if not _has(fields, keys, wanted):
                return None
        declared = ""
        for name in form.media_type:
            if type(holder.get(name)) is str:
                declared = holder[name]
                break
        if form.labelled:
            sure = declared[:5].lower() == "image" or bool(where & _IS_SOURCE)
        else:
            sure = kind is not None or bool(where & _IN_CONTENT) or not form.types
        sure &= not where & _UNJUDGED or kind in PARTS
        if not sure and not self._is_shown(source):
            return None
        return _Match(source, chain, declared)

    def _other_image(
        self, fields: Mapping[str, Any], form: ImageForm, kind: str | None, where: int
    ) -> tuple[str, ...] | None:
        """The keys of what would be read as the image after the form's image has moved."""
        if form.in_place:
            return None
        names = [name for name in fields if name in FORMS_BY_KEY and name != form.at[0]]
        others = (one for name in names for one in FORMS_BY_KEY[name])
        for other in others:
            if form.written.get(other.at[0]) is REMOVED or other.holds is Holds.EACH:
                continue
            if (not other.types or kind in other.types) and self._match(fields, other, kind, where):
                return other.at
        return None

    def _find_list(
        self,
        index: int,
        fields: Mapping[str, Any],
        form: ImageForm,
        kind: str | None,
        where: int,
    ) -> list[_Found]:
        (name,) = form.at
        entries = fields[name]
        if not is_a(entries, list | tuple):
            return []
        sure = not where & _UNJUDGED and (
            kind is not None or bool(where & _IN_CONTENT)
            if form.types
            else any(fields.get(one) for one in _OF_MESSAGES)
        )
        if not sure and not any(self._is_shown(entry) for entry in entries):
            return []
        inner = container_of(entries)
        assert inner is not None, "lists and tuples are containers"
        parent = self._nodes[index]
        edge = _Edge(index, parent.container.key_of(parent.value, name))
        if self._enter(entries, inner, edge, where) is None:
            return [_Found(index, fields, (name,))]
        node = self._seen[id(entries)]
        objects: list[tuple[Any, Any]] = []
        for number, entry in enumerate(entries):
            if _is_source(entry):
                if sure or self._is_shown(entry):
                    part = ImagePart(entry, None, (name, number), (index, node), form)
                    self.parts.append(part)
            elif entry is not None and container_of(entry) is not None:
                objects.append((number, entry))
            elif entry is not None and sure:
                problem = Problem("wrong_type", "the URL or base64 of an image", shown(entry))
                self._fault(index, (name, number), problem)
        inside = where & ~(_IN_CONTENT | _IS_SOURCE)
        self._push(node, objects, inside | _IN_LIST if sure else inside)
        return [_Found(index, fields, (name,))]

    def _placeholders(self, images: _ImageList) -> list[int]:
        """The numbers of placeholders for a list of images, of each branch if there are some."""
        if not images.placeholders:
            return []
        fields = self._nodes[images.node].container.fields(self._nodes[images.node].value) or {}
        branches = [name for name in _BRANCHES if fields.get(name)]
        if len(branches) < len(_BRANCHES):
            return [len(images.placeholders)]
        below = [self._keys_above(index, images.node) for index in images.placeholders]
        return [
            sum(name in keys or keys.isdisjoint(branches) for keys in below) for name in branches
        ]

    def _keys_above(self, index: int, top: int) -> set[Any]:
        """The fields of an object in which another one is. Parts may be shared between them."""
        keys, rising, seen = set(), [index], {index}
        while rising:
            for parent, key in self._nodes[rising.pop()].edges:
                if parent == top:
                    keys.add(key)
                elif parent != _ROOT and parent not in seen:
                    seen.add(parent)
                    rising.append(parent)
        return keys

    def _chat_part(self, part: ImagePart) -> ImagePart:
        """The part as it is written for a reader of chat messages, or with a fault."""
        form, nodes, keys = part.form, part.nodes, part.keys
        if form is None:
            return part
        if not self._is_chat_entry(nodes[0]) and form.at[0] in ("data", "value"):
            # The form is the source of a part.
            edge = self._nodes[nodes[0]].edges[0]
            nodes, keys = (edge.parent, *nodes), (edge.key, *keys)
        if form.holds is Holds.EACH or not self._is_chat_entry(nodes[0]):
            expected = "an image in a content part of a system, user or tool message"
            fault = Problem("unknown_image_form", expected, f"{form.name} elsewhere")
            return part._replace(fault=fault, form=None)
        if form.written.get("type") == "image_url":
            return part
        removed = {*form.written, *form.media_type, *(one[0] for one in form.having), keys[0]}
        removed.discard("type")
        written = {**dict.fromkeys(removed, REMOVED), **CHAT}
        chat = ImageForm(name=form.name, at=keys, holds=form.holds, written=written)
        node = self._nodes[nodes[0]]
        beside = _value_beside(chat, node.container.fields(node.value) or {})
        if beside is not None:
            fault = _two_images(keys, beside)
            return part._replace(
                fault=fault, keys=beside, nodes=nodes[:1], form=None, hint=_ONE_IMAGE
            )
        return part._replace(nodes=nodes, keys=keys, form=chat)

    def _is_chat_entry(self, index: int) -> bool:
        """Whether an object is a content part of a message that may have images."""
        edge = self._nodes[index].edges[0]
        if edge.parent == _ROOT:
            return False
        content = self._nodes[edge.parent].edges[0]
        if content.key != "content" or content.parent == _ROOT:
            return False
        message = self._nodes[content.parent]
        fields = message.container.fields(message.value) or {}
        return message.edges[0].parent == 0 and fields.get("role") != "assistant"

    def _is_shown(self, source: Any) -> bool:
        """Whether a value is an image by itself: its data, or the name of a stored image."""
        if is_a(source, str):
            text = str.__str__(source)
            if self._strings.is_candidate(text) and read_head(self._strings.head(text)).is_image:
                return True
            whole = self._strings.whole(text)
            return len(whole) <= HEAD_SHOWN and stored_hash(whole) is not None
        return is_image(first_bytes(source)) if is_binary(source) else is_picture(source)

    def _part_without_image(
        self, index: int, fields: Mapping[str, Any], kind: str | None, where: int
    ) -> None:
        """Refuse a part that should hold an image, or find the image of a placeholder."""
        there = [name for name in fields if name in PART_KEYS]
        filled = [name for name in there if not _is_null(fields[name])]
        if filled:
            self._refuse_part(index, fields, filled[0])
        elif fields.get("file_id") is not None or fields.get("source_type") is not None:
            got = "the id of a file that a provider keeps"
            self._fault(index, ("image_url",), Problem("bad_locator", _URL_WANTED, got))
        elif kind == "image" and where >> _LIST:
            self._lists[(where >> _LIST) - 1].placeholders.append(index)
        elif kind == "image" and self._given is not None:
            self._fill(index)
        elif not there:
            self._fault(index, ("image_url",), _not_one_url("neither key"))
        elif empty := [name for name in there if fields[name] is not None]:
            self._refuse_part(index, fields, empty[0])

    def _refuse_part(self, index: int, fields: Mapping[str, Any], name: str) -> None:
        value = fields[name]
        keys: tuple[Any, ...] = (name,)
        inner = None if type(value) in SCALARS else container_of(value)
        below = None if inner is None else inner.fields(value)
        if inner is not None and name == "image_url":
            keys, value = (name, "url"), None if below is None else below.get("url")
        elif below is not None and name == "source":
            if any(type(below.get(key)) in _SOURCES for key in ("data", "value")):
                return  # the source has a form of its own
            got = f"a source of type {shown(below.get('type'))}"
            self._fault(index, keys, Problem("bad_locator", _URL_WANTED, got))
            return
        problem = Problem("wrong_type", f"the URL of an image, in {_WANTED}", shown(value))
        self._fault(index, keys, problem)

    def _fill(self, index: int) -> None:
        """Find the image that was given for a placeholder."""
        images, number = self._given or (), self._filled
        self._filled += 1
        if number >= len(images):
            return  # the numbers are compared at the end
        source = images[number]
        if is_a(source, dict) and dict.get(source, "bytes") is not None:
            source = dict.get(source, "bytes")
        if _is_source(source):
            self.parts.append(ImagePart(source, None, (), (index,), _PLACEHOLDER))
        else:
            expected = "a URL, base64, bytes or a picture of Pillow for this placeholder"
            self._fault(index, (), Problem("wrong_type", expected, shown(source)))

    def _fault(self, index: int, keys: tuple[Any, ...], fault: Problem) -> None:
        self.parts.append(ImagePart(None, fault, keys, (index,)))

    # --- changes

    def plan(self, stored: Sequence[StoredAt | None]) -> Changes:
        """Plan the changes that put references in the place of the images. None leaves an image.

        Copies frozen containers, but does not change the value.

        Raises:
            OffloadError: ``wrong_type`` if a part is of a class that has no place for a reference,
                or is frozen and has no parent that can be changed.
        """
        changes: dict[int, dict[Any, Any]] = {}
        causes: dict[int, ImagePart] = {}
        for part, one in zip(self.parts, stored, strict=True):
            for node, key, new in () if one is None else self._wanted(part, one):
                changes.setdefault(node, {})[key] = new
                causes.setdefault(node, part)
        self._rebuild_frozen(changes, causes)
        return Changes(
            self, [Change(self._nodes[index], new, causes[index]) for index, new in changes.items()]
        )

    def patch(self, part: ImagePart, stored: StoredAt) -> dict[str, Any]:
        """What changes in the object of a form, besides a URL that stands where the image was.

        Values are plain, `REMOVED`, or `Within` with changes of an inner object.
        """
        assert part.form is not None, "parts with a fault are not planned"
        return self._patch(part, part.form.written, 0, stored)

    def has_shape(self, part: ImagePart) -> bool:
        """Fast check that only the URL of a part changes."""
        form = part.form
        if form is None or not form.in_place or part.declared:
            return False
        kind = form.written.get("type")
        node = self._nodes[part.nodes[0]].value
        return kind is None or (type(node) is dict and node.get("type") == kind)

    def _patch(
        self, part: ImagePart, template: Mapping[str, Any], depth: int, stored: StoredAt
    ) -> dict[str, Any]:
        node = self._nodes[part.nodes[depth]]
        fields = node.container.fields(node.value) or {}
        patch: dict[str, Any] = {}
        if part.form is not None and depth == len(part.nodes) - 1:
            template = _with_type(template, part.form, fields)
        for key, wanted in template.items():
            if isinstance(wanted, Within):
                inner = self._patch(part, wanted.changes, depth + 1, stored)
                if wanted.unless_empty and _is_emptied(fields[key], inner):
                    patch[key] = REMOVED
                elif inner or wanted.name:
                    patch[key] = Within(inner, wanted.name)
                continue
            if wanted is Fill.URL and part.keys == (*part.keys[:depth], key):
                continue
            new = self._filled_in(wanted, fields, key, stored)
            if new is _SAME or (new is REMOVED and key not in fields):
                continue
            if key not in fields or type(fields[key]) is not type(new) or fields[key] != new:
                patch[key] = new
        return patch

    def _filled_in(self, wanted: Any, fields: Mapping[str, Any], key: str, stored: StoredAt) -> Any:
        url, media_type, _ = stored
        if isinstance(wanted, dict):
            return {name: self._filled_in(one, {}, name, stored) for name, one in wanted.items()}
        if isinstance(wanted, Moved):
            found: Any = fields
            for name in wanted.keys:
                found = dict.get(found, name) if is_a(found, dict) else None
            return found if is_a(found, str) else self._filled_in(wanted.otherwise, {}, key, stored)
        if wanted is Fill.URL:
            return url
        if wanted is Fill.FILE_NAME:
            return stored.name or url.rpartition("/")[2]
        if wanted in (Fill.MEDIA_TYPE, Fill.FORMAT):
            now = fields.get(key)
            if media_type is None:
                return _SAME
            is_format = wanted is Fill.FORMAT
            declared = (_IMAGE_TYPE if is_format else "") + now.lower() if is_a(now, str) else "-"
            if not is_mislabelled(declared, media_type):
                return _SAME
            return media_type.removeprefix(_IMAGE_TYPE) if is_format else media_type
        return wanted

    def _wanted(self, part: ImagePart, stored: StoredAt) -> Iterator[tuple[int, Any, Any]]:
        """Yield nodes, keys and new values. Typed parts keep their fields."""
        form = part.form
        assert form is not None, "parts with a fault are not planned"
        patch = {} if self.has_shape(part) else self.patch(part, stored)
        dicts = [is_a(self._nodes[index].value, dict) for index in part.nodes]
        in_place = form.in_place
        if patch and not _fits(patch, dicts):
            if form.holds is Holds.BASE64 or not part.keys:
                raise cannot_change(self._nodes[part.nodes[0]].value, self.path(part))
            in_place, patch = True, _prefix(patch, dicts)
        if in_place and stored.url != part.source:
            holder, container, _ = self._nodes[part.nodes[-1]]
            key = part.keys[-1]
            yield part.nodes[-1], container.key_of(holder, key), stored.url
        yield from self._changes(part, patch, 0)

    def _changes(
        self, part: ImagePart, patch: Mapping[str, Any], depth: int
    ) -> Iterator[tuple[int, Any, Any]]:
        node = part.nodes[depth]
        for key, new in patch.items():
            if not isinstance(new, Within):
                yield node, key, new
                continue
            yield from self._changes(part, new.changes, depth + 1)
            if new.name:
                yield node, new.name, self._nodes[part.nodes[depth + 1]].value
                yield node, key, REMOVED

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


_SAME: Final = object()
"""No change."""


def _is_source(value: object) -> bool:
    """Whether a value is of a class that can hold an image."""
    return is_a(value, str) or is_binary(value) or is_picture(value)


def _kind(value: Any) -> str | None:
    """The ``type`` of an object: None if absent, and a string that is no type if not a string."""
    # Check the class first, because comparing an array compares its elements.
    if value is None or type(value) is str:
        return value
    return str.__str__(value) if issubclass(type(value), str) else "\0"


def _is_null(value: Any, depth: int = 0) -> bool:
    """Whether a value is null, or a dict of nulls, as tables write a missing object."""
    if value is None:
        return True
    if not is_a(value, dict) or not value or depth > _MAX_NULLS:
        return False
    return all(_is_null(item, depth + 1) for item in dict.values(value))


def _is_message(fields: Mapping[str, Any]) -> bool:
    """Whether an object is a message, or the output of a tool in Responses."""
    if type(fields.get("role")) is str:
        return "content" in fields or "parts" in fields
    return "call_id" in fields and "output" in fields


def _is_free(name: str, fields: Mapping[str, Any], where: int, child: Any = None) -> bool:
    """Whether a field holds the arguments of a tool call, or declares tools or a schema.

    The output of a tool is in a message, and its keys are those of anyone.
    """
    if name in DECLARATIONS:
        # Some chat templates read the tools from the system message.
        return not where & _IN_MESSAGE or type(fields.get("role")) is str
    is_call = not CALLS.isdisjoint(fields)
    return is_call and (name in ARGUMENTS or (name == "input" and is_a(child, dict)))


def _core(fields: Mapping[str, Any]) -> str:
    """The field of a record that holds its messages, or an empty string."""
    for name in ("nodes", "traces"):
        if name in fields and type(fields[name]) not in SCALARS:
            return name
    is_node = "message" in fields and "role" not in fields
    return "message" if is_node and type(fields["message"]) not in SCALARS else ""


def _is_other(fields: Mapping[str, Any]) -> bool:
    """Whether an object of such a type holds audio, video or a document."""
    source = fields.get("source")
    if is_a(source, dict) and _kind(dict.get(source, "type")) in ("text", "content"):
        return False
    return any(fields[name] is not None for name in fields if name in _OTHER_KEYS)


def _has(fields: Mapping[str, Any], keys: tuple[str, ...], wanted: Any) -> bool:
    value: Any = fields
    for key in keys:
        inner = container_of(value)
        below = None if inner is None else inner.fields(value)
        if below is None or key not in below:
            return False
        value = below[key]
    if wanted is True:
        return value is not None
    return any(
        is_a(value, one) if isinstance(one, type) else type(value) is str and value == one
        for one in wanted
    )


def _value_beside(form: ImageForm, fields: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The keys of a value that the reference would replace, or that would be a second image."""
    if form.written.get("type") == "image_url":
        for name in IMAGE.wire_types:
            is_own = name == form.at[0] or form.written.get(name) is REMOVED
            if not is_own and not _is_null(fields.get(name)):
                return (name,)
    return _replaced(form.written, fields, form)


def _replaced(
    template: Mapping[str, Any], fields: Mapping[str, Any], form: ImageForm, depth: int = 0
) -> tuple[str, ...] | None:
    """The keys of a value in whose place the form puts the URL, although it is not the image."""
    for key, wanted in template.items():
        if key == form.at[depth]:
            inner = container_of(fields.get(key)) if isinstance(wanted, Within) else None
            below = None if inner is None else inner.fields(fields[key])
            if below is not None and (keys := _replaced(wanted.changes, below, form, depth + 1)):
                return (key, *keys)
        elif key not in form.replaces and not _is_null(fields.get(key)):
            is_kept = isinstance(wanted, Moved) and wanted.keys == (key,)
            if _is_new(wanted) and not (is_kept and is_a(fields[key], str)):
                return (key,)
    return None


def _is_new(wanted: Any) -> bool:
    """Whether what a form writes has the URL of the stored image, or a name for it."""
    if isinstance(wanted, dict):
        return any(_is_new(one) for one in wanted.values())
    return wanted in (Fill.URL, Fill.FILE_NAME) or isinstance(wanted, Moved)


def _two_images(at: Sequence[Any], beside: tuple[str, ...]) -> Problem:
    names = [".".join(str(key) for key in keys) for keys in (at, beside)]
    got = f"an image under {names[0]}, and a value under {names[1]}"
    return Problem("wrong_type", "an object with one image", got)


def _is_emptied(value: Any, patch: Mapping[str, Any]) -> bool:
    """Whether changes leave nothing but nulls in a dict."""
    if not is_a(value, dict):
        return False
    return all(patch.get(key) is REMOVED or item is None for key, item in value.items())


def _with_type(
    template: Mapping[str, Any], form: ImageForm, fields: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The changes of the object that holds the image, its declared type included."""
    names = (name for name in form.media_type if is_a(fields.get(name), str))
    return {**dict.fromkeys(names, Fill.MEDIA_TYPE), **template}


def _fits(patch: Mapping[str, Any], dicts: Sequence[bool]) -> bool:
    """Whether all objects that a patch changes are dicts."""
    if not patch:
        return True
    inner = (new.changes for new in patch.values() if isinstance(new, Within))
    renamed = any(isinstance(new, Within) and new.name for new in patch.values())
    own = renamed or any(not isinstance(new, Within) for new in patch.values())
    return (dicts[0] or not own) and all(_fits(one, dicts[1:]) for one in inner)


def _prefix(patch: Mapping[str, Any], dicts: Sequence[bool]) -> dict[str, Any]:
    """The changes of the outer object if it is a dict: its type, which must fit the reference."""
    return {"type": patch["type"]} if dicts[0] and "type" in patch else {}


def _mismatch(got: str) -> Problem:
    return Problem("count_mismatch", "as many placeholders as images beside the messages", got)


def _not_one_url(got: str) -> Problem:
    return Problem("wrong_type", f"an image part with one URL: {_WANTED}", got)


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
