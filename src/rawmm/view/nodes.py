"""One rollout as the page shows it: its messages with images, tokens, descriptors and errors."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import RawMMError
from rawmm.locators import Problem
from rawmm.media import IMAGE
from rawmm.offload import inline_url, record_parts
from rawmm.view.accounts import Accounts, item_facts
from rawmm.view.lanes import lanes_of
from rawmm.view.lenient import as_json, dict_of, int_of, list_of, text_of
from rawmm.view.rollouts import nearest
from rawmm.view.tokens import spans_of, tokens_of

if TYPE_CHECKING:
    from rawmm.layouts import Layout
    from rawmm.view.pictures import Found, Pictures
    from rawmm.view.rollouts import Place, Rollout
    from rawmm.view.tokens import Span, Tokens

TEXT_SHOWN: Final = 20_000
"""Characters of one text in the page. The page says how many there are."""
_VALUE_SHOWN: Final = 400
_MAX_ERRORS: Final = 1_000
_MAX_ITEMS: Final = 1_000
_DRAWN: Final = frozenset(
    {
        "parent", "message", "sampled", "token_ids", "mask", "is_content", "logprobs",
        "finish_reason", "multi_modal_data", "semantic_parents",
    }
)  # fmt: skip
"""Fields of a node that have a place of their own."""
_SAID: Final = frozenset({"role", "content", "parts", "reasoning_content", "tool_calls"})
"""The same for a message."""
_PART: Final = re.compile(r"(?:\.message)?\.(?:content|parts)\[(\d+)\]")


@dataclass(slots=True)
class _Images:
    """The images of the messages of a record, by the path of their node."""

    of: dict[str, list[tuple[int | None, Found]]] = field(default_factory=lambda: defaultdict(list))
    errors: list[RawMMError] = field(default_factory=list)


def shown_rollout(
    rollout: Rollout,
    record: Any,
    errors: list[RawMMError],
    pictures: Pictures,
    layout: Layout | None,
) -> dict[str, Any]:
    """A rollout as JSON for the page.

    Args:
        rollout: the rollout.
        record: the record that has it.
        errors: the violations of the record.
        pictures: the images of the page; those of the rollout are added.
        layout: the layout of the model, if the user named one.
    """
    images = _images_of(rollout, record, pictures)
    accounts = Accounts(layout, rollout.model)
    types = dict_of(rollout.fields.get("mm_token_type_id_map"))
    lanes = lanes_of([place.parent for place in rollout.places])
    begins: list[int] = []
    nodes: list[dict[str, Any]] = []
    for place, lane in zip(rollout.places, lanes.of, strict=True):
        parent = place.parent
        begin = 0 if parent is None else begins[parent] + nodes[parent]["tokens"]
        begins.append(begin)
        spans = spans_of(place.node.get("multi_modal_data"), begin)
        tokens = tokens_of(place.node, types, spans)
        nodes.append(
            {"lane": lane, "begin": begin}
            | _node(place, tokens)
            | _media(place, images.of[place.path], spans, tokens, begin, accounts, pictures)
        )
    known = {(error.path, error.code) for error in errors}  # the check of a bundle reads images
    of_images = (error for error in images.errors if (error.path, error.code) not in known)
    shown, more = _pinned([*errors, *of_images], rollout)
    return {
        "path": rollout.path,
        "name": rollout.name[:_VALUE_SHOWN],
        "model": rollout.model and rollout.model[:_VALUE_SHOWN],
        "facts": rollout.facts,
        "lanes": lanes.width,
        "leaves": lanes.leaves,
        "forks": lanes.forks,
        "errors": shown,
        "moreErrors": more,
        "nodes": nodes,
        # What has no message is shown as it is.
        "plain": None if nodes or record is None else _cut(as_json(record), TEXT_SHOWN),
    }


def _pinned(errors: list[RawMMError], rollout: Rollout) -> tuple[list[dict[str, Any]], int]:
    """The violations of a rollout with the index of their node, and the number of further ones."""
    at = {place.path: index for index, place in enumerate(rollout.places)}
    shown = [
        {
            "path": error.path,
            "code": error.code,
            "expected": error.expected,
            "got": error.got,
            "hint": error.hint,
            "node": at.get(nearest(error.path, at) or ""),
        }
        for error in errors[:_MAX_ERRORS]
    ]
    return shown, max(0, len(errors) - _MAX_ERRORS)


def _images_of(rollout: Rollout, record: Any, pictures: Pictures) -> _Images:
    images = _Images()
    try:
        found = record_parts(record)
    except RawMMError as error:
        images.errors.append(error)
        return images
    paths = {place.path for place in rollout.places}
    for part in found.parts:
        path = found.path(part)
        node = nearest(path, paths)
        if node is None or isinstance(part.fault, Problem):
            continue
        match = _PART.match(path, len(node))
        one = pictures.find(inline_url(part))
        images.of[node].append((int(match[1]) if match else None, one))
        if one.error is not None:
            images.errors.append(one.error.at(path=path))
    return images


def _node(place: Place, tokens: Tokens) -> dict[str, Any]:
    node, message = place.node, place.message
    return {
        "path": place.path,
        "parent": place.parent,
        "role": str(message.get("role", "?"))[:24],
        "sampled": node.get("sampled") is True,
        "finish": (text_of(node.get("finish_reason")) or "")[:_VALUE_SHOWN] or None,
        "reasoning": _text(message.get("reasoning_content")),
        "calls": [_call(dict_of(call)) for call in list_of(message.get("tool_calls"))],
        "links": [
            [str(dict_of(link).get("type"))[:_VALUE_SHOWN], int_of(dict_of(link).get("node"))]
            for link in list_of(node.get("semantic_parents"))
        ],
        "other": [*_others(message, _SAID), *_others(node, _DRAWN)],
        "tokens": tokens.total,
        "sampledTokens": tokens.sampled,
        "runs": tokens.runs,
        "ids": tokens.ids,
        "logprobs": tokens.logprobs,
        "odd": None if place.message else _cut(as_json(place.value), _VALUE_SHOWN),
    }


def _call(call: dict[Any, Any]) -> list[Any]:
    """Name and arguments of a tool call, of the contract or of a chat request."""
    fields = dict_of(call.get("function")) or call
    return [str(fields.get("name") or "")[:_VALUE_SHOWN], _text(fields.get("arguments"))]


def _others(fields: dict[Any, Any], drawn: frozenset[str]) -> list[list[str]]:
    """The fields that have no place of their own, with their values, shortened."""
    return [
        [str(name)[:_VALUE_SHOWN], _summary(value)]
        for name, value in fields.items()
        if name not in drawn and value is not None and value != []
    ]


def _media(
    place: Place,
    found: list[tuple[int | None, Found]],
    spans: list[Span],
    tokens: Tokens,
    begin: int,
    accounts: Accounts,
    pictures: Pictures,
) -> dict[str, Any]:
    """The content with its images, and the items of the sidecar with their accounts."""
    by_part: dict[int, list[Found]] = defaultdict(list)
    loose: list[Found] = []
    for position, one in found:
        (loose if position is None else by_part[position]).append(one)
    message = place.message
    content = message.get("content", message.get("parts"))
    parts: list[dict[str, Any]] = []
    if type(content) is list:
        for position, part in enumerate(content):
            if position in by_part:
                parts += map(_picture, by_part[position])
            elif type(text := dict_of(part).get("text")) is str:
                parts.append(_cut(text, TEXT_SHOWN))
            else:
                parts.append(_cut(as_json(part), _VALUE_SHOWN) | {"isJson": True})
    elif content is not None:
        parts.append(_cut(_as_text(content), TEXT_SHOWN))
    parts += map(_picture, loose)
    items = _items(place, found, spans, begin, accounts, pictures)
    if not items:
        items = _runs(found, tokens, begin, accounts, pictures)
    return {"content": parts, "items": items}


def _items(
    place: Place,
    found: list[tuple[int | None, Found]],
    spans: list[Span],
    begin: int,
    accounts: Accounts,
    pictures: Pictures,
) -> list[dict[str, Any]]:
    sidecar = dict_of(place.node.get("multi_modal_data"))
    names = ("mm_items", "mm_hashes", "mm_placeholders")
    by = [dict_of(sidecar.get(name)) for name in names]
    by_modality: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_modality[span.modality].append(span)
    shown = []
    for modality in dict.fromkeys(key for of in by for key in of):
        items, hashes = (list_of(of.get(modality)) for of in by[:2])
        ranges = by_modality[str(modality)]
        for index in range(min(_MAX_ITEMS, max(len(items), len(hashes), len(ranges)))):
            item, sha256 = _at(items, index), _at(hashes, index)
            placed = _at(ranges, index)
            at = None if placed is None else (placed.begin + begin, placed.length)
            fields = dict_of(item)
            number = _number(fields, sha256, found, index, pictures)
            header = None if number is None else pictures.header(number)
            shown.append(
                item_facts(str(modality), item, sha256, at)
                | {
                    "image": number,
                    "locator": _shown_locator(fields),
                    "account": accounts.of_item(fields, header, at and at[1]),
                }
            )
    return shown


def _runs(
    found: list[tuple[int | None, Found]],
    tokens: Tokens,
    begin: int,
    accounts: Accounts,
    pictures: Pictures,
) -> list[dict[str, Any]]:
    """The images of a node without descriptors beside its runs of image tokens."""
    if len(found) != len(tokens.images):
        return []
    return [
        {
            "modality": IMAGE.name,
            "hash": None if one.number is None else pictures.sha256(one.number),
            "offset": begin + position,
            "length": length,
            "derived": True,
            "image": one.number,
            "account": None
            if one.number is None
            else accounts.of_run(pictures.header(one.number), length),
        }
        for (_, one), (position, length) in zip(found, tokens.images, strict=True)
    ]


def _number(
    item: dict[Any, Any],
    sha256: Any,
    found: list[tuple[int | None, Found]],
    index: int,
    pictures: Pictures,
) -> int | None:
    """The image of a descriptor: what its hash or locator names, among those of the message."""
    if type(sha256) is str and sha256:
        for _, one in found:
            if one.number is not None and pictures.sha256(one.number).startswith(sha256):
                return one.number
    locator = _locator(item)
    if locator is not None:
        return pictures.find(locator).number
    one = _at(found, index)
    return None if one is None or sha256 else one[1].number


def _locator(item: dict[Any, Any]) -> str | None:
    return text_of(item.get("raw_image_id")) or text_of(item.get("raw_image_uri"))


def _shown_locator(item: dict[Any, Any]) -> str | None:
    locator = _locator(item)
    return None if locator is None else locator[:_VALUE_SHOWN]


def _picture(found: Found) -> dict[str, Any]:
    return {"image": found.number, "where": found.where, "note": found.note}


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else None


def _as_text(value: Any) -> str:
    return value if type(value) is str else as_json(value)


def _text(value: Any) -> dict[str, Any] | None:
    return None if value is None or value == "" else _cut(_as_text(value), TEXT_SHOWN)


def _cut(text: str, limit: int) -> dict[str, Any]:
    """A text, and its length if it is cut."""
    return {"text": text} if len(text) <= limit else {"text": text[:limit], "of": len(text)}


def _summary(value: Any) -> str:
    if type(value) is list and len(value) > 8:
        return f"{len(value)} values"
    if type(value) is dict and "__nd__" in value:
        return f"array {value.get('dtype')} {value.get('shape')}"[:_VALUE_SHOWN]
    return as_json(value)[:_VALUE_SHOWN]
