"""The class `HistoricalForm`: the name of a form, how to recognize it, and how to upgrade it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.images import ImageDecoding, PreparedImage
    from rawmm.layouts import Layout
    from rawmm.store import Store

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root of the document."""

REBUILD_ITEM = "write it again with raw_mm_item()"
REBUILD_REFS = "build it again from its sidecar"


class Step(NamedTuple):
    """The result of one upgrade.

    Attributes:
        value: the newer form, in new containers. The old value is unchanged.
        change: what changed, for a note. It never quotes an image.
        images: images that `value` refers to. They are stored after the whole document passed.
    """

    value: Any
    change: str
    images: tuple[PreparedImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What an upgrade may need besides the value.

    Attributes:
        path: where the value stands.
        store: where inline images will be stored; None leaves them inline.
        layout: the model's image layout, if given.
        decoding: how the engine decoded images.
        modality: the key of the list that holds an item, if any.
        sha256: the hash recorded beside an item, if any. It is not validated.
        upgrade_part: upgrades a part of the value, given its type, the part and its path.
    """

    path: Path
    store: Store | None
    layout: Layout | None
    decoding: ImageDecoding
    modality: str | None
    sha256: Any
    upgrade_part: Callable[[str, Any, Path], Any]


@dataclass(frozen=True, slots=True)
class HistoricalForm:
    """A wire form from before the contract.

    A value may have several forms, and each is upgraded in its turn, the oldest first.

    Attributes:
        name: the value of `Upgraded.form`.
        since: when it was first written.
        of: the type of the contract that replaced it.
        description: what it looks like.
        matches: tells whether a value has this form. It must accept any object.
        upgrade: returns the value in the form of the contract, or in a newer one, or raises a
            `RawMMError`.
        rebuild: what to do if the data cannot be upgraded. None if every reader still accepts
            the form or reports what it lacks, so that no error names it.
        matches_with: the same as `matches`, for a form that only the model's layout shows.
    """

    name: str
    since: str
    of: str
    description: str
    matches: Callable[[Any], bool]
    upgrade: Callable[[Any, Context], Step]
    rebuild: str | None = None
    matches_with: Callable[[Any, Layout], bool] | None = None

    def __str__(self) -> str:
        """``name (since): description``."""
        return f"{self.name} ({self.since}): {self.description}"
