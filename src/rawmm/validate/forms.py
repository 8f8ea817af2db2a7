"""Wire forms from before the contract, recognised so that an error can name them."""

from __future__ import annotations

from typing import Any, NamedTuple

from rawmm.validate.plain import as_mapping, as_sequence


class Form(NamedTuple):
    """An old form: its name, date and look; and what to do where data cannot be upgraded."""

    name: str
    instead: str


def historical_form(name: str, value: Any) -> Form | None:
    """The old form of definition `name` that `value` has, or None."""
    if name == "RawMMItem":
        look, instead = _item_form(as_mapping(value) or {}), "write it again with raw_mm_item()"
    elif name == "MMRefs":
        look, instead = _refs_form(as_sequence(value) or ()), "build it again from its sidecar"
    else:
        return None
    return Form(look, instead) if look else None


def _item_form(item: Any) -> str | None:
    if item.get("kind") == "prime_raw_mm_item":
        if "version" in item:
            return None
        if "raw_image_data" in item:
            return "inline (2026-08): an envelope without version, with raw_image_data"
        if "raw_image_uri" in item:
            return "uri (2026-08): an envelope without version, with raw_image_uri"
        return None
    if "image_layout_fingerprint" in item and "kind" not in item:
        return "descriptor_only (2026-06-18): a bare grid without the envelope"
    return None


def _refs_form(refs: Any) -> str | None:
    if len(refs) == 2 and as_mapping(refs[0]) is not None and as_sequence(refs[1]) is not None:
        return "descriptor_and_uris (June 2026): [descriptors, uris]"
    if len(refs) == 1 and (images := as_sequence(refs[0])):
        first = as_sequence(images[0])
        if first is not None and len(first) == 3 and isinstance(first[0], str):
            return "inline (late August 2026): [url, offset, length] for each image"
    return None
