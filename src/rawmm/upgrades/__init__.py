"""Data in the wire forms from before the contract, in the form of the contract.

`upgrade` tells the form from the data itself. Each old form has a module here, with one pure
step to the canonical form, and `FORMS` says what they look like. Two cannot be upgraded:
``processed`` sidecars and ``mmfile:`` references, whose images are gone. What had no other
form, and what is canonical, stays as it is.

Payloads are kept as they came. Their grids are ``[t, h, w]`` and ``[[t, h, w]]``, both of them
in the canonical form as well: payloads are the family's, references carry them, and engines
compare references as strings. Messages are kept, too, with the images in them; `rawmm.offload`
is for those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from rawmm.codec import convert
from rawmm.model.kinds import schema_of
from rawmm.model.types import MessageNode
from rawmm.real_class import is_a
from rawmm.upgrades.kinds import TRAINING_SAMPLE as TRAINING_SAMPLE
from rawmm.upgrades.kinds import kind_of as kind_of
from rawmm.upgrades.kinds import reference_kind as reference_kind
from rawmm.upgrades.record import FORMS, Note
from rawmm.upgrades.walk import Walk as Walk
from rawmm.values.plain import to_plain

if TYPE_CHECKING:
    import os

    from rawmm.layouts import Layout

__all__ = ["FORMS", "Note", "Upgraded", "upgrade"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upgraded(Generic[T]):
    """A value in its canonical form.

    Attributes:
        value: structs, as `rawmm.convert` makes them. It shares nothing with the input.
        form: the form that the input has, a key of `FORMS`; of several, the oldest.
        notes: a `Note` for each change, in document order; none where nothing changed.
    """

    value: T
    form: str
    notes: list[Note]

    @property
    def changed(self) -> bool:
        """Whether the input was in an old form."""
        return bool(self.notes)


@overload
def upgrade(
    value: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    layout: str | Layout | None = None,
) -> Upgraded[MessageNode]: ...
@overload
def upgrade(
    value: Any,
    type: type[T],
    *,
    image_dir: str | os.PathLike[str] | None = None,
    layout: str | Layout | None = None,
) -> Upgraded[T]: ...
@overload
def upgrade(
    value: Any,
    type: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    layout: str | Layout | None = None,
) -> Upgraded[Any]: ...
def upgrade(
    value: Any,
    type: Any = MessageNode,  # noqa: A002
    *,
    image_dir: str | os.PathLike[str] | None = None,
    layout: str | Layout | None = None,
) -> Upgraded[Any]:
    """A value of any form that `type` ever had, as `type` is today.

    The input is not changed. What it upgrades to is checked as `rawmm.convert` checks it, so an
    error may be about data that breaks the contract in any form. Images are stored last of all.

    Args:
        value: dicts and lists, as decoded from JSON or MessagePack; models, dataclasses, structs;
            for `RawMMRef` a reference string.
        type: a type of the contract, or a list, ``dict[str, ...]`` or optional of one; None to
            tell it from the value. What is told to be a training sample, an array as prime-rl's
            transport writes it, comes back as that array, with other references.
        image_dir: where images that an old form has inline are stored; their descriptors get a
            ``raw_image_id``. Without it they stay inline, as a ``data:`` URL in
            ``raw_image_uri``. Either way each is checked against its hash.
        layout: the model's image layout, or its family for the default parameters. Only references
            of the form ``inline_urls`` need it, and `image_dir` for the images in them.

    Raises:
        ContractError: ``historical_form`` or ``no_image_dir`` for ``inline_urls`` without,
            ``unsupported_version`` for one of a later version, ``hash_mismatch``, and what
            `rawmm.convert` raises.
        ProcessedPayloadError: the form is ``processed``: run again from the source images.
        OffloadError: an inline image is none, or cannot be stored.
        MaterializeError: an image file that ``inline_urls`` refers to cannot be read.
    """
    # `import rawmm` loads this module, as the function has its name; what it takes loads here.
    from rawmm import layouts
    from rawmm.store import ImageStore
    from rawmm.upgrades.kinds import TRAINING_SAMPLE, kind_of, told_type
    from rawmm.upgrades.walk import Walk

    store = None if image_dir is None else ImageStore(image_dir)
    walk = Walk(store, layouts.get(layout) if is_a(layout, str) else layout)
    document = to_plain(value, told_type(value) if type is None else type, open_structs=True)
    kind = kind_of(document) if type is None else type
    if kind is TRAINING_SAMPLE:
        upgraded = walk.upgraded_sample(document)
    else:
        upgraded = convert(walk.upgraded(document, schema_of(kind)), kind)
    walk.store_images()
    return Upgraded(upgraded, walk.record.form, walk.record.notes)
