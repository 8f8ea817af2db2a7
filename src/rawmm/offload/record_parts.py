"""Find the images of a valid trace quickly: they are in the content of its messages.

The general walk reads every field of every struct, token streams included. In most traces, only
messages hold images, and everything else is numbers and strings that the walk would pass over.
"""

from __future__ import annotations

from functools import cache
from operator import itemgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from rawmm.model.types import (
    AssistantMessage,
    Contract,
    ImageUrlContentPart,
    MessageNode,
    MultiModalData,
    PackedStream,
    SystemMessage,
    TextContentPart,
    ToolCall,
    ToolMessage,
    Trace,
    UserMessage,
)
from rawmm.offload.chat_parts import QuickParts
from rawmm.offload.containers import NUMBERS
from rawmm.offload.forms import DECLARATIONS, FORM_KEYS
from rawmm.offload.image_parts import ImageParts, Strings

_LEAVES: Final = NUMBERS | {str, bytes, UnsetType}
_JUDGED: Final = FORM_KEYS | {"type", "role", "nodes", "traces", "message"}
"""Keys of objects in which the general walk may find an image, though they are in a record."""
_MESSAGES: Final = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)
_TEXTS: Final = frozenset({"content", "reasoning_content", "arguments"})
_SKIPPED: Final = DECLARATIONS | {"nodes", "message"}
"""Fields of a trace and of a node that hold no image, or are read on their own."""
_MODALITIES: Final = frozenset({"image"})
_MAX_DEPTH: Final = 32
_STRINGS: Final = Strings()


def record_parts(record: Any) -> ImageParts:
    """The images that ``ImageParts(record)`` finds. Data URLs in text are not counted.

    Args:
        record: structs that a decoder has just made, or plain data.
    """
    urls: list[str] = []
    if type(record) is Trace and _is_plain(record, urls):
        return QuickParts(record, _STRINGS, urls)
    return ImageParts(record)


def _is_plain(trace: Trace, urls: list[str]) -> bool:
    """Whether only messages hold images. Adds their URLs."""
    fields = zip(trace.__struct_fields__, msgspec.structs.astuple(trace), strict=True)
    if not all(name in _SKIPPED or _is_harmless(value, 0) for name, value in fields):
        return False
    for node in trace.nodes:
        if type(node) is not MessageNode or not _adds(node.message, urls):
            return False
        for value in _others()(msgspec.structs.astuple(node)):
            if type(value) not in _LEAVES and not _is_harmless(value, 0):
                return False
    return True


def _is_harmless(value: Any, depth: int) -> bool:
    """Whether the general walk finds no image in a field of a record around its messages.

    It does not judge strings there.
    """
    kind = type(value)
    if kind in _LEAVES:
        return True
    if depth > _MAX_DEPTH:
        return False
    if kind is list:
        if NUMBERS.issuperset(map(type, value)):
            return True
    elif kind is dict:
        if not _JUDGED.isdisjoint(value):
            return False
        value = value.values()
    elif issubclass(kind, PackedStream):
        return True
    elif kind is MultiModalData:
        # A list under this key is not an image form, although a string is one.
        by_modality = [by for by in msgspec.structs.astuple(value) if by]
        if not all(_MODALITIES.issuperset(by) for by in by_modality):
            return False
        value = [entries for by in by_modality for entries in by.values()]
    elif issubclass(kind, Contract) and _is_harmless_class(kind):
        inner = _inner(kind)
        fields = msgspec.structs.astuple(value) if inner else ()
        value = [fields[position] for position in inner]
    else:
        return False
    for child in value:
        if type(child) not in _LEAVES and not _is_harmless(child, depth + 1):
            return False
    return True


@cache
def _is_harmless_class(kind: type[Contract]) -> bool:
    config = kind.__struct_config__
    named = _JUDGED.isdisjoint(kind.__struct_encode_fields__)
    return named and config.tag_field is None and not config.array_like


@cache
def _inner(kind: type[Contract]) -> list[int]:
    """Positions of the fields of a struct class that may hold containers."""
    return [
        position
        for position, field in enumerate(msgspec.structs.fields(kind))
        if not _holds_leaves(field.type)
    ]


def _holds_leaves(kind: Any) -> bool:
    """Whether all values of a type are numbers, strings, null or absent."""
    if get_origin(kind) is Literal:
        return True
    if get_origin(kind) is Annotated:
        return _holds_leaves(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return all(map(_holds_leaves, get_args(kind)))
    return kind in (int, float, bool, str, bytes, NoneType, UnsetType)


@cache
def _others() -> itemgetter[Any]:
    """Gets the fields of a node that may hold more than numbers, without its message."""
    return itemgetter(
        *(
            position
            for position, field in enumerate(msgspec.structs.fields(MessageNode))
            if field.name not in _SKIPPED and not _holds_numbers(field.type)
        )
    )


def _holds_numbers(kind: Any) -> bool:
    """Whether all values of a type are numbers, streams of numbers, null or absent."""
    if args := get_args(kind):
        return all(_holds_numbers(arg) for arg in args if not isinstance(arg, msgspec.Meta))
    return kind in (int, float, bool, NoneType, UnsetType) or (
        isinstance(kind, type) and issubclass(kind, PackedStream)
    )


def _adds(message: Any, urls: list[str]) -> bool:
    """Whether a message holds text, tool calls and chat images only. Adds the URLs of these."""
    if type(message) not in _MESSAGES:
        return False
    for name, value in zip(
        message.__struct_fields__, msgspec.structs.astuple(message), strict=True
    ):
        if name == "content" and type(value) is list:
            if not all(_adds_part(part, urls) for part in value):
                return False
        elif name == "tool_calls" and value:
            if not all(type(call) is ToolCall and _has_no_media(call) for call in value):
                return False
        elif name not in _TEXTS and not _is_unlike_media(value):
            return False
    return True


def _adds_part(part: Any, urls: list[str]) -> bool:
    if type(part) is TextContentPart:
        return _has_no_media(part)
    if type(part) is not ImageUrlContentPart or not _has_no_media(part):
        return False
    image = part.image_url
    url = image.url
    fields = zip(image.__struct_fields__, msgspec.structs.astuple(image), strict=True)
    if type(url) is not str or not all(n == "url" or _is_unlike_media(v) for n, v in fields):
        return False
    urls.append(url)
    return True


def _has_no_media(struct: Contract) -> bool:
    """Whether the other fields of a struct are absent, or strings that are not media."""
    fields = zip(struct.__struct_fields__, msgspec.structs.astuple(struct), strict=True)
    return all(
        name in ("text", "image_url", "arguments") or _is_unlike_media(value)
        for name, value in fields
    )


def _is_unlike_media(value: Any) -> bool:
    """Whether a field is empty, a number, or a string that is no medium and names none."""
    if type(value) is not str:
        return value is None or value is UNSET or type(value) in NUMBERS or value in ([], {})
    return "/" not in value and not _STRINGS.is_candidate(value)
