"""Finds what has a history in a document, and takes it to the canonical form.

The schema says where to look, so a new type of the contract is looked through the day it is
written. The document is plain data and stays as it is; what changes is made anew.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.errors import OffloadError
from rawmm.model.schemas import definition
from rawmm.model.types import TYPES, MMRefs
from rawmm.upgrades import descriptor_and_uris, descriptor_only, inline, inline_urls, refs, uri
from rawmm.upgrades.kinds import refs_field
from rawmm.upgrades.processed import refuse
from rawmm.upgrades.record import Record
from rawmm.validation import (
    DESCRIPTOR_AND_URIS,
    DESCRIPTOR_ONLY,
    INLINE,
    errors_at,
    historical_form,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rawmm.images import PreparedImage
    from rawmm.layouts import Layout
    from rawmm.store import ImageStore
    from rawmm.upgrades.step import Path, Step

    Schema = Mapping[str, Any]


class Walk:
    """One pass over one document.

    Args:
        store: where inline images will be; None to leave them inline.
        layout: the model's layout, if it is known.
        keep_strings: whether references in strings stay strings, where their fields are as good.

    Attributes:
        record: what was found and done.
    """

    def __init__(
        self, store: ImageStore | None, layout: Layout | None, *, keep_strings: bool = False
    ) -> None:
        self.record = Record()
        self._images: dict[str, tuple[PreparedImage, Path]] = {}
        self._store = store
        self._layout = layout
        self._keep_strings = keep_strings

    def upgraded(self, value: Any, schema: Schema, path: Path = ()) -> Any:
        """`value` in its canonical form, as far as it has the shape that `schema` says.

        What has another shape stays, for validation to name.

        Raises:
            RawMMError: what a step raises, with the path in the document.
        """
        if not _leads(schema):
            return value
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            place = self.places.get(name)
            if place is not None:
                return place(self, value, path)
            return self.upgraded(value, definition(name), path)
        for member in schema.get("anyOf", ()):  # they differ by type: one at most fits
            value = self.upgraded(value, member, path)
        if isinstance(value, list) and "items" in schema:
            return [self.upgraded(one, schema["items"], (*path, i)) for i, one in enumerate(value)]
        if isinstance(value, dict) and schema.get("type") == "object":
            return self._object(value, schema, path)
        return value

    def upgraded_sample(self, value: list[Any]) -> list[Any]:
        """A training sample with its references in their canonical form, and all else as it was.

        The references are checked; the rest is not of the contract.

        Raises:
            RawMMError: as `upgraded`, and for references that break the contract.
        """
        at = refs_field(value)
        if at is None:
            return value
        canonical = self._refs(value[at], (at,))
        for error in errors_at(canonical, MMRefs, (at,)):
            raise error
        return [*value[:at], canonical, *value[at + 1 :]]

    def store_images(self) -> int:
        """Write the images that were inline; how many were not there before.

        Raises:
            OffloadError: ``store_failed`` or ``path_escape``, at a value that needs the image.
        """
        written = 0
        for image, path in self._images.values():
            assert self._store is not None  # steps name no image to store without it
            try:
                written += self._store.put(image).written
            except OffloadError as error:
                raise error.at(path, path="$") from error
        return written

    def _object(self, value: dict[Any, Any], schema: Schema, path: Path) -> dict[Any, Any]:
        known, other = schema.get("properties", {}), schema["additionalProperties"]
        return {
            key: self.upgraded(child, known.get(key) or other or {}, (*path, key))
            if isinstance(key, str)
            else child
            for key, child in value.items()
        }

    def _node(self, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return value
        if value.get("multi_modal_data") is None and _has_image(value.get("message")):
            self.record.saw("released")
        return self._object(value, definition("MessageNode"), path)

    def _sidecar(self, value: Any, path: Path) -> Any:
        def item(one: Any, modality: str, index: int) -> Any:
            hashes = _list_at(value.get("mm_hashes"), modality)
            sha256 = hashes[index] if index < len(hashes) else None
            return self._item(one, (*path, "mm_items", modality, index), sha256)

        return _with_each(value, "mm_items", item)

    def _item(self, value: Any, path: Path, sha256: Any = None) -> Any:
        if not isinstance(value, dict):
            return value
        refuse(value, path)
        form = historical_form("RawMMItem", value)
        if form is None:
            self.record.saw("envelope_v1")
            return value
        if form is DESCRIPTOR_ONLY:
            step = descriptor_only.upgraded(value, path)
        elif form is INLINE:
            step = inline.upgraded(value, sha256, path, self._store)
        else:
            step = uri.upgraded(value)
        return self._done(step, form.name, path)

    def _refs(self, value: Any, path: Path) -> Any:
        form = historical_form("MMRefs", value) if isinstance(value, list) else None
        if form is None:
            self.record.saw("image_refs")
            return value
        if form is DESCRIPTOR_AND_URIS:
            sidecar, uris = value
            step = descriptor_and_uris.upgraded(self._sidecar(sidecar, (*path, 0)), uris, path)
        else:
            step = inline_urls.upgraded(value[0], path, self._store, self._layout)
        return self._done(step, form.name, path)

    def _ref(self, value: Any, path: Path) -> Any:
        if not isinstance(value, str):
            self.record.saw(refs.CANONICAL)
            return value
        fields = self._ref_fields(value, path)
        return refs.written(fields) if self._keep_strings else fields

    def _ref_fields(self, ref: str, path: Path) -> Any:
        form, step = refs.upgraded(ref, path, self._store)
        if form == refs.CANONICAL:
            self.record.saw(form)
            return step.value
        return self._done(step, form, path)

    def _features(self, value: Any, path: Path) -> Any:
        def slot(one: Any, modality: str, index: int) -> Any:
            if not isinstance(one, str):
                return one
            return refs.written(self._ref_fields(one, (*path, "kwargs_data", modality, index)))

        return _with_each(value, "kwargs_data", slot)

    def _done(self, step: Step, form: str, path: Path) -> Any:
        self.record.changed(path, form, step.change)
        for image in step.images:
            self._images.setdefault(image.sha256, (image, path))
        return step.value

    places: ClassVar[dict[str, Callable[[Any, Any, Path], Any]]] = {
        "MessageNode": _node,
        "MultiModalData": _sidecar,
        "RawMMItem": _item,
        "MMRefs": _refs,
        "RawMMRef": _ref,
        "GenerateFeatures": _features,
    }
    """Definitions that had other forms or tell of one, and what becomes of a value of each."""


def _leads(schema: Schema) -> bool:
    """Whether a value of `schema` is, or may hold, one of `Walk.places`."""
    if "$ref" in schema:
        return _leads_from(schema["$ref"].rpartition("/")[2])
    below = [*schema.get("anyOf", ()), *schema.get("properties", {}).values()]
    below += [schema[key] for key in ("items", "additionalProperties") if schema.get(key)]
    return any(map(_leads, below))


@cache
def _leads_from(name: str) -> bool:
    return name in Walk.places or (name in TYPES and _leads(definition(name)))


def _with_each(value: Any, name: str, change: Callable[[Any, str, int], Any]) -> Any:
    """An object whose field `name` has lists by modality, with every entry of those changed."""
    by_modality = value.get(name) if isinstance(value, dict) else None
    if not isinstance(by_modality, dict):
        return value
    changed = {
        modality: [change(one, modality, index) for index, one in enumerate(found)]
        if isinstance(found, list) and isinstance(modality, str)
        else found
        for modality, found in by_modality.items()
    }
    return {**value, name: changed}


def _list_at(by_modality: Any, modality: str) -> list[Any]:
    found = by_modality.get(modality) if isinstance(by_modality, dict) else None
    return found if isinstance(found, list) else []


def _has_image(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and any(map(_is_image, content))


def _is_image(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    # An array compares element by element, so the class comes first.
    return isinstance(kind, str) and kind == "image_url"
