"""What a step is: one old form in, the newer form out, and a word on what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from rawmm.images import PreparedImage

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in the document: keys and indices from its root."""


class Step(NamedTuple):
    """What a step made.

    Attributes:
        value: the newer form, in new containers; the old one is as it was.
        change: what changed, for a note. Nothing of an image ever stands in it.
        images: images that the value refers to, to be stored once the whole document is good.
    """

    value: Any
    change: str
    images: tuple[PreparedImage, ...] = ()
