"""The wire forms of a sample: fields and references of each revision of prime-rl's transport.

The three forms differ in the order of the fields and in what ``mm_refs`` holds. `rawmm.upgrades`
reads the forms that are not the contract's own.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from rawmm.codec import to_builtins
from rawmm.errors import MaterializeError, RawMMError, contract_error, shown, shown_hash
from rawmm.images import Limits, prepare_image
from rawmm.media import IMAGE
from rawmm.real_class import is_a
from rawmm.store import read_bytes, store_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rawmm.model.types import MMImageRef
    from rawmm.store import ImageReader

    Path = tuple[str | int, ...]

_SAMPLE: Final = ("token_ids", "mask", "logprobs", "temperatures", "env_name")
_WEIGHTS: Final = ("rl_weights", "ce_weights", "ref_kl_weights", "advantages")


@dataclass(frozen=True, slots=True)
class SampleForm:
    """One wire form.

    Attributes:
        name: the argument ``form`` of `encode_sample` and `decode_sample`.
        refs: the name of its references in `rawmm.upgrades.FORMS`.
        fields: the fields of a sample, in order.
        write: the value of ``mm_refs`` for the images of a sample.
        defaults: values of fields that are not null if the sample lacks them.
    """

    name: str
    refs: str
    fields: tuple[str, ...]
    write: Callable[[list[MMImageRef]], Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _image_refs(images: list[MMImageRef]) -> Any:
    """``[[[item, hash, uri, offset, length], ...]]``.

    The transport has no image directory, so an item's ``raw_image_id`` becomes a ``raw_image_uri``.
    """
    return [[image if image.item.raw_image_id is None else _located(image) for image in images]]


def _located(image: MMImageRef) -> list[Any]:
    item, *others = to_builtins(image)
    del item["raw_image_id"]
    return [{**item, "raw_image_uri": image.uri}, *others]


def _urls(images: list[MMImageRef]) -> Any:
    """``[[[url, offset, length], ...]]``."""
    return [[[image.uri, image.offset, image.length] for image in images]]


def _descriptor_and_uris(images: list[MMImageRef]) -> Any:
    """``[descriptor, uris]``, where the descriptor is a sidecar.

    Its readers require a version, and take the URL of an image from the second list.
    """
    items = [{**to_builtins(image.item), "version": 1} for image in images]
    for item, image in zip(items, images, strict=True):
        if item.get("raw_image_uri") == image.uri:
            del item["raw_image_uri"]
    spans = [{"offset": image.offset, "length": image.length} for image in images]
    descriptor = {
        "mm_items": {IMAGE.name: items},
        "mm_hashes": {IMAGE.name: [image.hash for image in images]},
        "mm_placeholders": {IMAGE.name: spans},
    }
    return [descriptor, [image.uri for image in images]]


IMAGE_REFS: Final = SampleForm(
    name="image_refs",
    refs="image_refs",
    fields=(
        *_SAMPLE,
        "ref_logprobs",
        "mm_kwargs",
        "mm_refs",
        "routed_experts",
        "mm_token_type_ids",
        *_WEIGHTS,
    ),
    write=_image_refs,
)
URLS: Final = SampleForm(
    name="urls",
    refs="inline_urls",
    fields=(
        *_SAMPLE,
        "ref_logprobs",
        "mm_refs",
        "routed_experts",
        "mm_token_type_ids",
        *_WEIGHTS,
    ),
    write=_urls,
)
DESCRIPTOR_AND_URIS: Final = SampleForm(
    name="descriptor_and_uris",
    refs="descriptor_and_uris",
    fields=(
        *_SAMPLE,
        "teacher_logprobs",
        "advantage",
        "reward",
        "mm_kwargs",
        "mm_refs",
        "routed_experts",
        "mm_token_type_ids",
        "training_mode",
    ),
    write=_descriptor_and_uris,
    defaults={"training_mode": "rl"},
)

FORMS: Final = {form.name: form for form in (DESCRIPTOR_AND_URIS, IMAGE_REFS, URLS)}
"""Every form by name, the oldest first."""

SAMPLE_FORMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {form.name: form.fields for form in FORMS.values()}
)
"""The fields of a sample in each wire form, in order."""

SAMPLE_FIELDS: Final = IMAGE_REFS.fields
"""The fields of a sample in the form ``image_refs``, in order."""


def form_named(name: Any) -> SampleForm:
    """The form of this name.

    Raises:
        ContractError: ``bad_value`` for another name, ``wrong_type`` if it is not a string.
    """
    if not is_a(name, str):
        raise contract_error("wrong_type", ("form",), expected="a name", got=shown(name))
    if name not in FORMS:
        raise contract_error(
            "bad_value", ("form",), expected=f"one of {', '.join(FORMS)}", got=shown(name)
        )
    return FORMS[name]


def form_of_refs(name: str) -> str:
    """The name of the form with these references, as `rawmm.upgrades.FORMS` calls them."""
    return next(form.name for form in FORMS.values() if form.refs == name)


def inlined(images: list[MMImageRef], reader: ImageReader | None, path: Path) -> Any:
    """References in the form ``urls`` that hold the images themselves, as ``data:`` URLs.

    Raises:
        MaterializeError, OffloadError: an image is missing, changed or invalid.
    """
    written = []
    for index, image in enumerate(images):
        try:
            url = _data_url(image, reader)
        except RawMMError as error:
            raise error.at((*path, 0, index, 0), path="$") from None
        written.append([url, image.offset, image.length])
    return [written]


def _data_url(image: MMImageRef, reader: ImageReader | None) -> str:
    raw = read_bytes(store_for(image.uri) if reader is None else reader, image.uri)
    prepared = prepare_image(raw, Limits())
    if not prepared.sha256.startswith(image.hash):
        raise MaterializeError(
            "hash_mismatch",
            expected=f"the image of hash {shown_hash(image.hash)}",
            got=f"the image of hash {shown_hash(prepared.sha256)}",
        )
    return f"data:{prepared.header.media_type};base64,{b64encode(raw).decode()}"
