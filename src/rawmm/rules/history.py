"""What rules of earlier versions refused, and what they did not yet refuse.

A released bundle names the rules of its version. Some rules changed under their name. This module
has these changes, each with the version that made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.media import media_urls, parts_of
from rawmm.model.kinds import name_of
from rawmm.model.schemas import annotated, released
from rawmm.model.types import MessageNode, Trace
from rawmm.rules.graph import (
    Owed,
    image_token_errors,
    media_ids,
    owed_after,
    placeholders_match,
)
from rawmm.rules.nodes import without_sidecar
from rawmm.rules.registry import REGISTRY
from rawmm.values.errors import inexact_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.errors import Path, RawMMError

_IMPLIED: Final = frozenset({"payload", "free_json", "wire_values", "finite", "packed"})
"""Rules that follow from the fields of a type. Bundles since 1.1 do not list them."""
_PLACES: Final = frozenset({"parent_order", "placeholder_order"})
_INEXACT: Final = inexact_number(0, ()).expected


def before(version: str, other: str) -> bool:
    """Whether a version is lower than another."""
    return _number(version) < _number(other)


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


class _Since(NamedTuple):
    """Errors that a rule has reported since a version; `path` of an error is that in the struct."""

    version: str
    rules: tuple[str, ...]
    errors: Callable[[RawMMError], bool]


_ADDED: Final = (
    _Since(
        "1.1",
        ("features",),
        lambda error: error.path.startswith("$.kwargs_data") and error.code != "count_mismatch",
    ),
    _Since(
        "1.1",
        ("image_ref",),
        lambda error: error.code in ("locator_conflict", "unsupported_modality"),
    ),
    _Since("1.1", ("sampling_mask",), lambda error: error.code == "out_of_range"),
    _Since("1.1", ("graph",), lambda error: error.expected.startswith("tokens up to ")),
    _Since("1.2", ("free_json", "wire_values"), lambda error: error.code == "processed_payload"),
    _Since(
        "1.2",
        ("sidecar", "features"),
        lambda error: error.code == "processed_payload" and "[" not in error.path,
    ),
    _Since(
        "1.2",
        ("features",),
        lambda error: (
            error.expected.startswith("the modality ") or " where a range of " in error.expected
        ),
    ),
    # Until then, `_tokens_outside_ranges` judged the media of a trace.
    _Since("1.2", ("graph",), lambda error: error.code not in _PLACES),
)


def rules_of(version: str, struct: Any, path: Path) -> Iterator[RawMMError]:
    """The errors of one struct by the rules of a released version."""
    schema = released(version)["$defs"].get(name_of(type(struct)), {})
    listed = _IMPLIED.union(schema.get("x-rawmm-rules", ()))
    for rule in REGISTRY.of(type(struct)):
        if rule.name in listed:
            for error in rule.errors(struct, ()):
                if not came_later(version, rule.name, error):
                    yield error.at(path)
    yield from stricter_errors(version, struct, path)


def came_later(version: str, rule: str, error: RawMMError) -> bool:
    """Whether a rule did not report this error yet in a released version."""
    if rule == "payload":
        return payload_error_came_later(version, error)
    return any(
        rule in since.rules and before(version, since.version) and since.errors(error)
        for since in _ADDED
    )


def payload_error_came_later(version: str, error: RawMMError, *, free: bool = False) -> bool:
    """Whether a payload, or free JSON, was not refused for this yet in a released version."""
    defs = released(version)["$defs"]
    if error.code == "processed_payload":
        if free:
            return "ProcessedKey" not in defs
        keys = defs["DescriptorObject"]["propertyNames"]["not"]
        keys = defs.get(keys.get("$ref", "").rpartition("/")[2], keys)["enum"]
        # Since 1.2, case does not matter. Before, these were keys of descriptors as they stand.
        key = error.path.rpartition(".")[2]
        return "ProcessedKey" not in defs and key not in keys
    if error.code == "too_large":
        name = "JsonValue" if free else "DescriptorObject"
        return _bounds(defs[name]) != _bounds(annotated()["$defs"][name])
    return False


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key.startswith("x-rawmm-max-")}


def shape_error_came_later(version: str, error: RawMMError) -> bool:
    """Whether a version accepted a value that the checks of its schema refuse today."""
    # Until 1.1, readers rounded such an integer.
    return before(version, "1.1") and error.expected == _INEXACT


def stricter_errors(version: str, struct: Any, path: Path) -> Iterator[RawMMError]:
    """The errors of one struct that only a released version reports."""
    if not before(version, "1.2"):
        return
    if isinstance(struct, MessageNode):
        yield from _stored_without_sidecar(struct, path)
    elif isinstance(struct, Trace):
        yield from _tokens_outside_ranges(version, struct, path)


def _stored_without_sidecar(node: MessageNode, path: Path) -> Iterator[RawMMError]:
    """Until 1.2, a node with tokens had items for its media, unless all are inline."""
    if node.multi_modal_data is None and node.token_ids:
        urls = media_urls(node.message)
        if not all(url.startswith("data:") for url in urls):
            yield without_sidecar(parts_of(node.message), path, "stored media had their items")


def _tokens_outside_ranges(version: str, trace: Trace, path: Path) -> Iterator[RawMMError]:
    """Until 1.2, media tokens were those of items, unless all media of a path are inline."""
    ids = media_ids(trace.mm_token_type_id_map or {})
    if not ids:
        return
    placed: list[tuple[int, bool | None, Owed | None] | None] = []
    for index, node in enumerate(trace.nodes):
        parent = node.parent
        before_it = (
            (0, None, None) if parent is None else (placed[parent] if parent < index else None)
        )
        if before_it is None:  # the parent is not an earlier node, which is another error
            placed.append(None)
            continue
        start, inline, owed = before_it
        inline = _all_inline(node, above=inline)
        if node.token_ids:
            if not inline:
                # In 1.0, a node had the tokens of its own items only.
                sizes = owed.sizes if owed and not before(version, "1.1") else {}
                here = (*path, "nodes", index)
                sidecar = node.multi_modal_data
                if sizes or not placeholders_match(node.token_ids, sidecar, start, ids):
                    yield from image_token_errors(node, start, ids, here, sizes)
            owed = None
        else:
            owed = owed_after(owed, node)
        placed.append((start + len(node.token_ids), inline, owed))


def _all_inline(node: MessageNode, *, above: bool | None) -> bool | None:
    """Whether all media up to a node are inline in their messages; None if there are none."""
    if above is False or node.multi_modal_data is not None:
        return False
    urls = media_urls(node.message)
    return all(url.startswith("data:") for url in urls) if urls else above
