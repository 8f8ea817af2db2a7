"""Whether one struct breaks no rule, told at a glance: without paths, and without generators.

Only for structs that a rollout has many of, in the shapes that they mostly have. The rules
themselves are in `rawmm.validate.rules`: where a glance does not say yes, they are asked. So it
may be stricter than they are, and never laxer, which a test holds it to.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from rawmm._contract import reader
from rawmm.locators import locator_of, names_image
from rawmm.structs import (
    AssistantMessage,
    Contract,
    MessageNode,
    MultiModalData,
    RawMMItem,
    Trace,
    Usage,
)
from rawmm.validate.graph import covered, inline_so_far, media_ids
from rawmm.validate.node_rules import PER_SAMPLED, image_urls
from rawmm.validate.payload import Mode, is_clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_streams = reader(
    MessageNode,
    # Seldom there; the rules look at them.
    "loss_weights", "routed_experts", "sampling_mask", "kept_tokens",
    "token_ids", "mask", "is_content", "timestamp", "message", "multi_modal_data",
    *PER_SAMPLED,
)  # fmt: skip
_SELDOM: Final = 4


def _node(node: MessageNode) -> bool:
    values = _streams(node)
    if any(values[:_SELDOM]):
        return False
    ids, mask, content, timestamp, message, sidecar, *sampled = values[_SELDOM:]
    size = len(ids)
    if len(mask) != size or (content and len(content) != size):
        return False
    if timestamp and not isfinite(timestamp):
        return False
    if any(sampled) and not _same_length(sampled, mask.count(True)):
        return False
    urls = image_urls(message)
    if not urls or not sidecar:
        return not urls and not sidecar
    hashes = sidecar.mm_hashes.get("image", ())
    return len(urls) == len(hashes) == len(sidecar.mm_items.get("image", ())) and _name(
        urls, hashes
    )


def _same_length(streams: Iterable[Any], size: int) -> bool:
    for stream in streams:
        if stream:
            if len(stream) != size:
                return False
            # Numbers of a packed stream are its own to check.
            if type(stream) is list and not isfinite(sum(stream)):
                return False
    return True


def _name(locators: Sequence[str], hashes: Sequence[str]) -> bool:
    for locator, sha256 in zip(locators, hashes, strict=True):
        if not names_image(locator, sha256):
            return False
    return True


def _sidecar(sidecar: MultiModalData) -> bool:
    items, ranges, hashes = sidecar.mm_items, sidecar.mm_placeholders, sidecar.mm_hashes
    if not items.keys() == ranges.keys() == hashes.keys():
        return False
    for modality, found in items.items():
        spans, shas = ranges[modality], hashes[modality]
        if not len(found) == len(spans) == len(shas):
            return False
        end = 0
        for item, span, sha256 in zip(found, spans, shas, strict=True):
            locator = locator_of(item)
            if (
                item.modality != modality
                or span.offset < end
                or not (locator is None or names_image(locator, sha256))
            ):
                return False
            end = span.offset + span.length
    return True


_item_values = reader(RawMMItem, "payload", "raw_image_uri")


def _item(item: RawMMItem) -> bool:
    payload, uri = _item_values(item)
    return not uri and is_clean(payload, Mode.DESCRIPTOR)


_reply_values = reader(AssistantMessage, "provider_state")


def _reply(message: AssistantMessage) -> bool:
    return not _reply_values(message)[0]


_usage_values = reader(Usage, "cost")


def _usage(usage: Usage) -> bool:
    (cost,) = _usage_values(usage)
    return not cost or isfinite(cost)


_trace_values = reader(Trace, "nodes", "mm_token_type_id_map", *Trace.__json_fields__)
_placed_values = reader(MessageNode, "parent", "message", "token_ids", "multi_modal_data")


def _trace(trace: Trace) -> bool:
    nodes, token_types, *free = _trace_values(trace)
    for value in free:
        if value is not UNSET and value is not None and not is_clean(value, Mode.WIRE):
            return False
    ids = media_ids(token_types or {})
    ends: list[int] = []
    inline: list[bool | None] = []
    for index, node in enumerate(nodes):
        parent, message, tokens, sidecar = _placed_values(node)
        start, above = 0, None
        if parent is not None:
            if parent >= index:
                return False
            start, above = ends[parent], inline[parent]
        end = start + len(tokens)
        ends.append(end)
        if sidecar:
            if not tokens and sidecar.mm_placeholders:
                return False  # the tokens of its media are those of another node
            for ranges in sidecar.mm_placeholders.values():
                for one in ranges:
                    if one.offset < start or one.offset + one.length > end:
                        return False
            within: bool | None = False
        elif above is False or type(message.content) is not list:
            within = above
        else:
            within = inline_so_far(above, node)
        inline.append(within)
        if ids and end > start and not within and not covered(tokens, sidecar or None, start, ids):
            return False
    return True


_GLANCES: Final[dict[type[Contract], Callable[[Any], bool]]] = {
    Trace: _trace,
    MessageNode: _node,
    MultiModalData: _sidecar,
    RawMMItem: _item,
    AssistantMessage: _reply,
    Usage: _usage,
}


def looks_fine(struct: Contract) -> bool:
    """Whether `struct` breaks no rule of its own, and holds free values as they are decoded.

    False says nothing.
    """
    glance = _GLANCES.get(type(struct))
    return glance is not None and glance(struct)
