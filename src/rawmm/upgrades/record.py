"""What one upgrade found and did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.errors import json_path

if TYPE_CHECKING:
    from rawmm.upgrades.step import Path

CANONICAL: Final = "canonical"

FORMS: Final[dict[str, str]] = {
    "descriptor_only": "a sidecar item without envelope: a grid and an image id",
    "descriptor_and_uris": "trainer references as a sidecar and URLs",
    "mmraw_v2": "a reference of nine fields between colons",
    "mmraw_v3": "a reference in base64, with raw_uri",
    "uri": "a sidecar item without version, with raw_image_uri",
    "inline": "a sidecar item without version, with the image in it",
    "mmraw_base64": "a reference in base64",
    "mmraw_json": "a reference in JSON, with raw_image_data or in another spelling",
    "inline_urls": "trainer references that are URLs and ranges",
    "envelope_v1": "nothing to change: the sidecar items of the contract",
    "image_refs": "nothing to change: the trainer references of the contract",
    "mmraw": "nothing to change: the references of the contract",
    "released": "nothing to change: no sidecar, the images are inline in the messages",
    CANONICAL: "nothing to change: no media, or a type that had no other form",
}
"""What `Upgraded.form` can be, and what it means. Old forms first, by age."""


class Note(NamedTuple):
    """One change: where it was made, of which form, and what it was."""

    path: str
    form: str
    change: str

    def __str__(self) -> str:
        """``path: change [form]``."""
        return f"{self.path}: {self.change} [{self.form}]"


class Record:
    """Forms and changes, as they are met.

    Attributes:
        notes: one for each change, in document order.
    """

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._seen: set[str] = set()

    def saw(self, form: str) -> None:
        """A value of this form was met."""
        self._seen.add(form)

    def changed(self, path: Path, form: str, change: str) -> None:
        """A value of this form was met, and upgraded."""
        self.saw(form)
        self.notes.append(Note(json_path(path), form, change))

    @property
    def form(self) -> str:
        """The oldest form that was met."""
        return next((form for form in FORMS if form in self._seen), CANONICAL)
