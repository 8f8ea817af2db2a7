"""Recognizes wire forms that are older than the contract, so that an error can name them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from rawmm.values.views import as_mapping, as_sequence


class Form(NamedTuple):
    """A historical form.

    Attributes:
        name: its name in `rawmm.upgrade`.
        since: when it was first written.
        look: its shape.
        instead: the alternative to an upgrade.
    """

    name: str
    since: str
    look: str
    instead: str

    def __str__(self) -> str:
        """``name (since): look``."""
        return f"{self.name} ({self.since}): {self.look}"


_ITEM: Final = "write it again with raw_mm_item()"
_REFS: Final = "build it again from its sidecar"

DESCRIPTOR_ONLY: Final = Form(
    "descriptor_only", "2026-06-18", "a bare grid without the envelope", _ITEM
)
URI: Final = Form("uri", "2026-08", "an envelope without version, with raw_image_uri", _ITEM)
INLINE: Final = Form("inline", "2026-08", "an envelope without version, with raw_image_data", _ITEM)
DESCRIPTOR_AND_URIS: Final = Form("descriptor_and_uris", "June 2026", "[descriptors, uris]", _REFS)
INLINE_URLS: Final = Form(
    "inline_urls", "late August 2026", "[url, offset, length] for each image", _REFS
)


def historical_form(name: str, value: Any) -> Form | None:
    """The historical form of definition `name` that `value` has; None if it has none."""
    if name == "RawMMItem":
        return _item_form(as_mapping(value) or {})
    if name == "MMRefs":
        return _refs_form(as_sequence(value) or ())
    return None


def _item_form(item: Any) -> Form | None:
    if item.get("kind") == "prime_raw_mm_item":
        if "version" in item:
            return None
        return INLINE if "raw_image_data" in item else URI if "raw_image_uri" in item else None
    return DESCRIPTOR_ONLY if "image_layout_fingerprint" in item and "kind" not in item else None


def _refs_form(refs: Any) -> Form | None:
    if len(refs) == 2 and as_mapping(refs[0]) is not None and as_sequence(refs[1]) is not None:
        return DESCRIPTOR_AND_URIS
    if len(refs) == 1 and (images := as_sequence(refs[0])):
        first = as_sequence(images[0])
        if first is not None and len(first) == 3 and isinstance(first[0], str):
            return INLINE_URLS
    return None
