"""Identifies the contract type of a value by its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import contract_error, shown
from rawmm.model.types import (
    MAX_DEPTH,
    ContentPart,
    Contract,
    EncodedArray,
    Episode,
    GenerateFeatures,
    ImageUrlContentPart,
    Message,
    MessageNode,
    MMRefs,
    MultiModalData,
    PlaceholderRange,
    RawMMItem,
    RawMMRef,
    SystemMessage,
    TextContentPart,
    Tool,
    ToolCall,
    Trace,
    Usage,
)
from rawmm.real_class import is_a
from rawmm.values.views import as_mapping, as_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARKS: tuple[tuple[frozenset[str], Any], ...] = tuple(
    (frozenset(keys), kind)
    for keys, kind in (
        (("nodes",), Trace),
        (("traces",), Episode),
        (("message",), MessageNode),
        (("role",), Message),
        (("family", "mm_hash"), RawMMRef),
        (("kind",), RawMMItem),
        (("family", "payload"), RawMMItem),
        (("image_layout_fingerprint",), RawMMItem),  # a form without an envelope
        (("mm_hashes", "kwargs_data"), GenerateFeatures),
        (("mm_hashes", "mm_metadata"), GenerateFeatures),
        (("mm_items",), MultiModalData),
        (("mm_hashes",), MultiModalData),
        (("mm_placeholders",), MultiModalData),
        (("__nd__",), EncodedArray),
        (("offset", "length"), PlaceholderRange),
        (("prompt_tokens",), Usage),
        (("arguments", "name"), ToolCall),
        (("parameters", "name"), Tool),
    )
)


def detect(value: Any) -> Any:
    """The type of `value`: the class of a struct; for plain data, the type with its keys.

    Raises:
        ContractError: ``unknown_type``. Give the type instead.
    """
    return _detected(value, 0)


def _detected(value: Any, depth: int) -> Any:
    if issubclass(type(value), Contract):
        return type(value)
    pairs = as_mapping(value)
    if pairs is not None:
        keys = {key for key in pairs if is_a(key, str)}
        for marks, kind in _MARKS:
            if marks <= keys:
                return kind
        part = pairs.get("type")
        if is_a(part, str) and part in ("text", "image_url"):
            if part == "text":
                return TextContentPart
            for_engine = "url" in keys and "image_url" not in keys
            return ContentPart if for_engine else ImageUrlContentPart
    items = as_sequence(value) if pairs is None else None
    if items and depth < MAX_DEPTH:
        if _is_image_refs(items):
            return MMRefs
        member = _detected(items[0], depth + 1)
        # A list of messages may begin with any role.
        return list[Message] if _is_message(member) else list[member]  # type: ignore[valid-type]
    raise contract_error(
        "unknown_type",
        (),
        expected="an episode, trace, node, message, sidecar, descriptor or reference",
        got=shown(value),
        hint="give its type",
    )


def _is_image_refs(items: Sequence[Any]) -> bool:
    """Whether `items` is ``[[reference, ...]]``, or ``[descriptors, uris]`` of June 2026."""
    first = as_sequence(items[0])
    if len(items) == 1 and first is not None:
        return all(as_sequence(image) is not None for image in first)
    return (
        len(items) == 2 and as_mapping(items[0]) is not None and as_sequence(items[1]) is not None
    )


def _is_message(kind: Any) -> bool:
    return getattr(getattr(kind, "__struct_config__", None), "tag_field", None) == (
        SystemMessage.__struct_config__.tag_field
    )
