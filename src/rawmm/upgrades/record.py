"""The notes of an upgrade: the forms that it found and the changes that it made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawmm.errors import json_path
from rawmm.upgrades.forms import CANONICAL, FORMS

if TYPE_CHECKING:
    from rawmm.upgrades.form import Path


class Note(NamedTuple):
    """One change: its path, the form that was upgraded, and what changed."""

    path: str
    form: str
    change: str

    def __str__(self) -> str:
        """``path: change [form]``."""
        return f"{self.path}: {self.change} [{self.form}]"


class Record:
    """Collects the forms and changes of one document.

    Attributes:
        notes: one for each change, in document order.
    """

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._seen: set[str] = set()

    def saw(self, form: str) -> None:
        """Record a value of this form."""
        self._seen.add(form)

    def has_seen(self, form: str) -> bool:
        """Whether a value of this form was seen."""
        return form in self._seen

    def changed(self, path: Path, form: str, change: str) -> None:
        """Record a value of this form that was upgraded."""
        self.saw(form)
        self.notes.append(Note(json_path(path), form, change))

    @property
    def form(self) -> str:
        """The oldest form seen."""
        return next((form for form in FORMS if form in self._seen), CANONICAL)
