"""Historical wire forms: `upgrade` converts data from before the contract.

One module per form, listed in `forms`. `walk` finds forms in a document; `form` defines what a form
declares. ``processed`` sidecars and ``mmfile:`` references cannot be upgraded, because their images
are gone.

Payloads stay as they are. Both grid shapes, ``[t, h, w]`` and ``[[t, h, w]]``, are canonical:
payloads belong to the family, references carry them, and engines compare references as strings.
Images in messages stay as well; see `rawmm.offload`. Without a layout, messages without sidecars
have none afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from rawmm.codec import convert
from rawmm.images import ENGINE, checked_decoding
from rawmm.model.kinds import schema_of
from rawmm.model.types import MessageNode
from rawmm.real_class import is_a
from rawmm.upgrades.forms import FORMS
from rawmm.upgrades.forms import RELEASED as RELEASED
from rawmm.upgrades.forms import find_form as find_form
from rawmm.upgrades.kinds import TRAINING_SAMPLE as TRAINING_SAMPLE
from rawmm.upgrades.kinds import detected_type
from rawmm.upgrades.kinds import kind_of as kind_of
from rawmm.upgrades.kinds import reference_kind as reference_kind
from rawmm.upgrades.record import Note
from rawmm.upgrades.walk import Walk as Walk
from rawmm.values.plain import to_plain

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from rawmm.images import ImageDecoding
    from rawmm.layouts import Layout

__all__ = ["FORMS", "Note", "Upgraded", "upgrade"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upgraded(Generic[T]):
    """The result of `upgrade`.

    Attributes:
        value: structs, as from `rawmm.convert`. It shares nothing with the input.
        form: the form of the input, a key of `FORMS`. If there are several, the oldest.
        notes: a `Note` for each change, in document order.
    """

    value: T
    form: str
    notes: list[Note]

    @property
    def changed(self) -> bool:
        """Whether the input had a historical form."""
        return bool(self.notes)


@overload
def upgrade(
    value: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    layout: str | Layout | None = None,
    image_token_ids: Iterable[int] | None = None,
    decoding: ImageDecoding = ENGINE,
) -> Upgraded[MessageNode]: ...
@overload
def upgrade(
    value: Any,
    type: type[T],
    *,
    image_dir: str | os.PathLike[str] | None = None,
    layout: str | Layout | None = None,
    image_token_ids: Iterable[int] | None = None,
    decoding: ImageDecoding = ENGINE,
) -> Upgraded[T]: ...
@overload
def upgrade(
    value: Any,
    type: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    layout: str | Layout | None = None,
    image_token_ids: Iterable[int] | None = None,
    decoding: ImageDecoding = ENGINE,
) -> Upgraded[Any]: ...
def upgrade(
    value: Any,
    type: Any = MessageNode,  # noqa: A002
    *,
    image_dir: str | os.PathLike[str] | None = None,
    layout: str | Layout | None = None,
    image_token_ids: Iterable[int] | None = None,
    decoding: ImageDecoding = ENGINE,
) -> Upgraded[Any]:
    """Convert a value of any historical form of `type` to the form of the contract.

    The input is not changed. The result is validated as by `rawmm.convert`, so an error may be
    about data that breaks the contract in every form. Images are stored last.

    Args:
        value: dicts and lists, as decoded from JSON or MessagePack; models, dataclasses, structs;
            for `RawMMRef` a reference string.
        type: a type of the contract, or a list, ``dict[str, ...]`` or optional of one; None
            detects it from the value. A detected training sample, an array as prime-rl's transport
            writes it, stays an array with upgraded references.
        image_dir: where inline images are stored: a directory, or the URL of another store. Their
            descriptors get a ``raw_image_id``. Without it they stay inline, as a ``data:``
            URL in ``raw_image_uri``. Either way each image is compared with its hash.
        layout: the model's image layout, or its family for the default parameters. Descriptors
            and references of the family that lack their fingerprint, or have that of a text
            without ``v1``, get the fingerprint of the layout. The form ``inline_urls`` needs a
            layout, and `image_dir` for inline images. Messages of the
            form ``released`` get their sidecars with it; see `rawmm.describe_trace`.
        image_token_ids: placeholder tokens of images, for ``released`` records without a
            token-type map.
        decoding: how the engine decoded images, as for `describe_image`; vLLM's by default.

    Raises:
        ContractError: ``historical_form`` or ``no_image_dir`` for ``inline_urls`` without a layout
            or directory, ``unsupported_version`` for a later version, ``hash_mismatch``, and as
            `rawmm.convert`.
        ProcessedPayloadError: the form is ``processed``; run again from the source images.
        OffloadError: an inline image is invalid or cannot be stored.
        MaterializeError: an image file that ``inline_urls`` or, with a layout, a ``released``
            message refers to cannot be read.
    """
    # Loaded here, so that an error that only names a form does not load them.
    from rawmm import layouts
    from rawmm.store import open_store

    store = None if image_dir is None else open_store(image_dir)
    known = layouts.get(layout) if is_a(layout, str) else layout
    walk = Walk(store, known, checked_decoding(decoding))
    document = to_plain(value, detected_type(value) if type is None else type, open_structs=True)
    kind = kind_of(document) if type is None else type
    if kind is TRAINING_SAMPLE:
        upgraded = walk.upgraded_sample(document)
    else:
        canonical = walk.described(walk.upgraded(document, schema_of(kind)), image_token_ids)
        upgraded = convert(canonical, kind)
    walk.store_images()
    return Upgraded(upgraded, walk.record.form, walk.record.notes)
