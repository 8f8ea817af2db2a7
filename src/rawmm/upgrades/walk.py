"""Finds historical forms in a document by its schema, and upgrades them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from rawmm.errors import OffloadError, counted
from rawmm.images import ENGINE
from rawmm.model.schemas import definition
from rawmm.model.types import TYPES, MMRefs
from rawmm.upgrades.form import Context
from rawmm.upgrades.forms import CURRENT_FORMS, RELEASED, forms_of, has_form, has_forms
from rawmm.upgrades.kinds import refs_field
from rawmm.upgrades.mmraw import is_canonical, read_reference, write_reference
from rawmm.upgrades.processed import refuse_processed
from rawmm.upgrades.record import Record
from rawmm.validation import errors_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rawmm.images import ImageDecoding, PreparedImage
    from rawmm.layouts import Layout
    from rawmm.store import Store
    from rawmm.upgrades.form import HistoricalForm, Path

    Schema = Mapping[str, Any]


class Walk:
    """One pass over one document. The document is plain data and stays unchanged.

    Args:
        store: where inline images will be stored; None leaves them inline.
        layout: the model's image layout, if known.
        decoding: how the engine decoded images.
        keep_strings: whether reference strings stay strings. Otherwise a string in place of a
            `RawMMRef` becomes its fields.

    Attributes:
        record: the forms found and the changes made.
    """

    def __init__(
        self,
        store: Store | None,
        layout: Layout | None,
        decoding: ImageDecoding = ENGINE,
        *,
        keep_strings: bool = False,
    ) -> None:
        self.record = Record()
        self._images: dict[str, tuple[PreparedImage, Path]] = {}
        self._store = store
        self._layout = layout
        self._decoding = decoding
        self._keep_strings = keep_strings

    def upgraded(self, value: Any, schema: Schema, path: Path = ()) -> Any:
        """`value` in the form of the contract, as far as its shape follows `schema`.

        Other values stay as they are; validation reports them.

        Raises:
            RawMMError: an upgrade failed. The path is that in the document.
        """
        if not _leads_to_history(schema):
            return value
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            handler = self.handlers.get(name)
            if handler is not None:
                return handler(self, value, path)
            return self.upgraded(self._upgraded_as(name, value, path), definition(name), path)
        for member in schema.get("anyOf", ()):  # the members differ by type, so one fits at most
            value = self.upgraded(value, member, path)
        if isinstance(value, list) and "items" in schema:
            return [self.upgraded(one, schema["items"], (*path, i)) for i, one in enumerate(value)]
        if isinstance(value, dict) and schema.get("type") == "object":
            return self._object(value, schema, path)
        return value

    def upgraded_sample(self, value: list[Any]) -> list[Any]:
        """A training sample with upgraded references. Its other fields stay as they are.

        Only the references are validated; the rest is not part of the contract.

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

    def described(self, value: Any, image_token_ids: Iterable[int] | None = None) -> Any:
        """`value` with a sidecar for each message of the form ``released``, if there is a layout.

        Args:
            value: the upgraded document.
            image_token_ids: see `rawmm.describe_trace`.

        Raises:
            RawMMError: as `rawmm.describe_trace`.
        """
        if self._layout is None or not self.record.has_seen(RELEASED):
            return value
        from rawmm.describe import describe_document  # loads the image code only when needed

        value, nodes = describe_document(
            value,
            self._layout,
            image_token_ids=image_token_ids,
            store=self._store,
            keep=None if self._store is None else self._kept,
            decoding=self._decoding,
        )
        for node in nodes:
            change = f"sidecar of {counted(node.images, 'image')} computed with the layout"
            self.record.changed(node.path, RELEASED, f"{change} {self._layout.family}")
        return value

    def _kept(self, image: PreparedImage) -> dict[str, str]:
        """The locator of an inline image of a message, which will be stored."""
        self._images.setdefault(image.sha256, (image, ()))
        return {"raw_image_id": image.raw_image_id}

    def store_images(self) -> int:
        """Store the images that were inline; return how many the store did not have.

        Raises:
            OffloadError: ``store_failed`` or ``path_escape``, at a value that needs the image.
        """
        from rawmm.store import put_image  # an error that only names a form skips this import

        written = 0
        for image, path in self._images.values():
            assert self._store is not None  # without a store, no step returns images
            try:
                written += put_image(self._store, image).written
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
            self.record.saw(RELEASED)
        return self._object(value, definition("MessageNode"), path)

    def _sidecar(self, value: Any, path: Path) -> Any:
        def item(one: Any, modality: str, index: int) -> Any:
            hashes = _list_at(value.get("mm_hashes"), modality)
            sha256 = hashes[index] if index < len(hashes) else None
            return self._item(one, (*path, "mm_items", modality, index), modality, sha256)

        return _with_each(value, "mm_items", item)

    def _item(self, value: Any, path: Path, modality: str | None = None, sha256: Any = None) -> Any:
        if not isinstance(value, dict):
            return value
        refuse_processed(value, path)
        return self._upgraded_as("RawMMItem", value, path, modality, sha256)

    def _refs(self, value: Any, path: Path) -> Any:
        value = self._upgraded_as("MMRefs", value, path)
        if not (isinstance(value, list) and value and isinstance(value[0], list)):
            return value
        images = [self._image_ref(ref, (*path, 0, index)) for index, ref in enumerate(value[0])]
        return [images, *value[1:]]

    def _image_ref(self, value: Any, path: Path) -> Any:
        if not (isinstance(value, list) and value):
            return value
        return [self._upgraded_as("MMImageItem", value[0], (*path, 0)), *value[1:]]

    def _reference(self, value: Any, path: Path) -> Any:
        if not isinstance(value, str):
            return self._upgraded_as("RawMMRef", value, path)
        fields = self._reference_fields(value, path)
        return write_reference(fields) if self._keep_strings else fields

    def _reference_fields(self, ref: str, path: Path) -> Any:
        fields = read_reference(ref, path)
        return self._upgraded_as("RawMMRef", fields if is_canonical(ref, fields) else ref, path)

    def _features(self, value: Any, path: Path) -> Any:
        def slot(one: Any, modality: str, index: int) -> Any:
            if not isinstance(one, str) or ":" not in one:
                return one  # null, or an item of the engine in base64
            at = (*path, "kwargs_data", modality, index)
            return write_reference(self._reference_fields(one, at))

        return _with_each(value, "kwargs_data", slot)

    def _upgraded_as(
        self,
        name: str,
        value: Any,
        path: Path,
        modality: str | None = None,
        sha256: Any = None,
    ) -> Any:
        """`value` in the contract's form of type `name`."""
        context = Context(
            path, self._store, self._layout, self._decoding, modality, sha256, self._upgraded_part
        )
        old = value
        for form in forms_of(name):
            if has_form(value, form, self._layout):
                value = self._apply(form, value, context)
        if value is old and name in CURRENT_FORMS:
            self.record.saw(CURRENT_FORMS[name])
        return value

    def _apply(self, form: HistoricalForm, value: Any, context: Context) -> Any:
        step = form.upgrade(value, context)
        self.record.changed(context.path, form.name, step.change)
        for image in step.images:
            self._images.setdefault(image.sha256, (image, context.path))
        return step.value

    def _upgraded_part(self, name: str, value: Any, path: Path) -> Any:
        return self.upgraded(value, {"$ref": f"#/$defs/{name}"}, path)

    handlers: ClassVar[dict[str, Callable[[Any, Any, Path], Any]]] = {
        "MessageNode": _node,
        "MultiModalData": _sidecar,
        "RawMMItem": _item,
        "MMRefs": _refs,
        "MMImageRef": _image_ref,
        "RawMMRef": _reference,
        "GenerateFeatures": _features,
    }
    """Definitions that need more than their forms, for example the hash beside an item."""


def _leads_to_history(schema: Schema) -> bool:
    """Whether a value of `schema` can contain a type with historical forms."""
    if "$ref" in schema:
        return _has_history(schema["$ref"].rpartition("/")[2])
    below = [*schema.get("anyOf", ()), *schema.get("properties", {}).values()]
    below += [schema[key] for key in ("items", "additionalProperties") if schema.get(key)]
    return any(map(_leads_to_history, below))


@cache
def _has_history(name: str) -> bool:
    return (
        name in Walk.handlers
        or has_forms(name)
        or (name in TYPES and _leads_to_history(definition(name)))
    )


def _with_each(value: Any, name: str, change: Callable[[Any, str, int], Any]) -> Any:
    """`value` with `change` applied to every entry of the lists by modality in field `name`."""
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
    # Comparing an array with a string gives an array, so check the class first.
    return isinstance(kind, str) and kind == "image_url"
