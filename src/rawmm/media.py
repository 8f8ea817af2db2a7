"""The table of modalities. All code that handles media iterates it.

To add a modality, `register` it here. Counting the media of a message, splitting and merging
sidecars, placeholder checks, engine references and trainer references all follow from its entry.
"""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rawmm.errors import contract_error, counted
from rawmm.model.types import ImageUrlContentPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rawmm.model.types import Message, MultiModalData, PlaceholderRange, RawMMItem

LISTS: Final = ("mm_hashes", "mm_placeholders", "mm_items")
"""The lists of a sidecar. Each has one entry per medium, by modality, in prompt order."""


class Modality(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of media.

    Attributes:
        name: the key of its lists in a sidecar, and the ``modality`` of its items.
        token_type: the type of its placeholder tokens in ``mm_token_type_id_map`` and
            ``mm_token_type_ids``; None if renderers define none.
        parts: types of the content parts that show it, each with the path of its URL.
        wire_types: the ``type`` of such parts in requests of all consumers.
        in_mm_refs: whether `MMRefs` carries references to it to the trainer.
    """

    name: str
    token_type: int | None = None
    parts: Mapping[type, tuple[str, ...]] = msgspec.field(default_factory=dict)
    wire_types: tuple[str, ...] = ()
    in_mm_refs: bool = False

    def url_readers(self) -> dict[type, Callable[[Any], str]]:
        """Functions that read the URL of a part, by type of part."""
        return {part_type: _reader(path) for part_type, path in self.parts.items()}

    def urls(self, message: Message) -> list[str]:
        """URLs of its media in a message, in order."""
        return _urls(message, self.url_readers())

    def url_paths(self, message: Message) -> Iterator[tuple[str | int, ...]]:
        """Where `urls` stand in the message."""
        for index, part in enumerate(message.content or ()):
            if (path := self.parts.get(type(part))) is not None:
                yield "content", index, *path


@cache
def _reader(path: tuple[str, ...]) -> Callable[[Any], str]:
    return attrgetter(".".join(path))


MODALITIES: Final[dict[str, Modality]] = {}
"""Every modality by name."""
IN_MESSAGES: Final[dict[str, Modality]] = {}
"""The modalities that content parts can have."""
TOKEN_TYPES: Final[dict[int, str]] = {}
"""Names of modalities by the type of their placeholder tokens."""
_URL_READERS: Final[dict[type, Callable[[Any], str]]] = {}

TEXT_TYPE: Final = 0
"""The type of a token that belongs to no medium."""


def register(modality: Modality) -> Modality:
    """Add a modality to the table, or replace the one of its name."""
    MODALITIES[modality.name] = modality
    if modality.parts:
        IN_MESSAGES[modality.name] = modality
        _URL_READERS.update(modality.url_readers())
    if modality.token_type is not None:
        TOKEN_TYPES[modality.token_type] = modality.name
    return modality


IMAGE: Final = register(
    Modality(
        name="image",
        token_type=1,
        parts={ImageUrlContentPart: ("image_url", "url")},
        wire_types=("image_url", "image"),
        in_mm_refs=True,
    )
)
# Renderers and engines know these two. No content part of the contract shows them.
register(Modality(name="video", token_type=2))
register(Modality(name="audio"))


def media_urls(message: Message) -> list[str]:
    """URLs of all media in a message, in order."""
    return _urls(message, _URL_READERS)


def _urls(message: Message, readers: Mapping[type, Callable[[Any], str]]) -> list[str]:
    content = message.content
    if type(content) is not list:
        return []
    return [read(part) for part in content if (read := readers.get(type(part)))]


def parts_of(message: Message) -> dict[str, int]:
    """The number of media parts of a message by modality, without zeros."""
    if type(message.content) is not list:
        return {}
    parts = {name: len(modality.urls(message)) for name, modality in IN_MESSAGES.items()}
    return {name: number for name, number in parts.items() if number}


def counted_items(counts: Mapping[str, int]) -> str:
    """Numbers of items by modality, for an error: ``2 image items and 1 video item``."""
    parts = [counted(count, f"{name} item") for name, count in counts.items() if count]
    return " and ".join(parts) or "no items"


def mm_refs_names() -> list[str]:
    """Names of the modalities that `MMRefs` can carry."""
    return [modality.name for modality in MODALITIES.values() if modality.in_mm_refs]


class Medium(NamedTuple):
    """One medium of a sidecar: its entry in each list, and its position there."""

    modality: str
    number: int
    item: RawMMItem
    sha256: str
    placeholder: PlaceholderRange

    @property
    def path(self) -> tuple[str | int, ...]:
        """Path of its item in the sidecar."""
        return "mm_items", self.modality, self.number

    @property
    def placeholder_path(self) -> tuple[str | int, ...]:
        """Path of its range in the sidecar."""
        return "mm_placeholders", self.modality, self.number


def iter_media(sidecar: MultiModalData) -> Iterator[Medium]:
    """Every medium of a sidecar, by modality, with its item, hash and range.

    Raises:
        ContractError: ``count_mismatch`` if one of the three lists is missing.
    """
    lists = [getattr(sidecar, name) for name in LISTS]
    sizes = {modality: len(entries) for by in lists for modality, entries in by.items() if entries}
    for modality, size in sizes.items():
        for name, by in zip(LISTS, lists, strict=True):
            if not by.get(modality):
                raise contract_error(
                    "count_mismatch",
                    (name, modality),
                    expected=counted(size, "entry", "entries"),
                    got="no list",
                    hint="every medium has one hash, one range and one item",
                )
        hashes, ranges, items = (by[modality] for by in lists)
        for number, (sha, one, item) in enumerate(zip(hashes, ranges, items, strict=True)):
            yield Medium(modality, number, item, sha, one)
