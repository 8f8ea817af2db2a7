"""Which images of a directory a record names, in whatever form it was written.

`locators` is exact: what a reader would look for. `Referenced` is generous, because it decides
what may be deleted: every file name, URL, hash or reference string in a record, under any key and
inside of any text, keeps the images whose hash begins with the same 16 digits.
"""

from __future__ import annotations

import datetime as dt
import numbers
import re
from base64 import urlsafe_b64decode
from contextlib import suppress
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec

from rawmm.errors import RawMMError, contract_error, shown
from rawmm.locators import scheme_of, stored_hash
from rawmm.offload.containers import container_of
from rawmm.refs import is_raw_mm_ref, split_raw_mm_ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rawmm.structs import RawMMRef

    Path = tuple[str | int, ...]

_ID: Final = "raw_image_id"
_SHORTEST: Final = 16
"""Digits of a hash in the shortest file name that a store gave."""
_DIGITS: Final = re.compile(r"[0-9a-f]{16,}", re.IGNORECASE)
_ENCODED: Final = re.compile(r"mmraw:(?:v[0-9]+:)?([A-Za-z0-9_-]{16,})")

_NO_TEXT: Final = frozenset({int, float, bool, type(None)})
_SCALARS: Final = (
    numbers.Number, type(None), msgspec.UnsetType,
    dt.date, dt.time, dt.timedelta,  # of MessagePack, and of models
)  # fmt: skip
# Of a reference that cannot be read, nobody knows what it names. In all other errors it is
# refused for what it says, and what it says was seen.
_UNREADABLE: Final = frozenset(
    {"unsupported_version", "bad_format", "bad_base64", "malformed", "too_deep", "duplicate_key"}
)


class _Place(NamedTuple):
    """Where a value stands: a key of what stands at `above`. Deep documents share these."""

    above: _Place | None
    key: str | int


class Text(NamedTuple):
    """A string of a record: where it stands, and the field of which it is the value, if any."""

    text: str
    place: _Place | None
    field: str | None

    @property
    def path(self) -> Path:
        """Keys and indices from the record."""
        keys: list[str | int] = []
        place = self.place
        while place is not None:
            keys.append(place.key)
            place = place.above
        return tuple(reversed(keys))


class Locator(NamedTuple):
    """An image as a record names it: a ``raw_image_id`` or a ``file://`` URL."""

    path: Path
    locator: str


def texts(value: Any) -> Iterator[Text]:
    """Every string of a value, keys and bytes included. An object that is met again is passed.

    Raises:
        ProcessedPayloadError: ``not_json`` for an object that cannot be looked into.
    """
    stack: list[tuple[Any, _Place | None, str | None]] = [(value, None, None)]
    seen: dict[int, Any] = {}  # kept, so that no other object gets the same id meanwhile
    while stack:
        current, place, field = stack.pop()
        text = _text(current)
        if text is not None:
            yield Text(text, place, field)
            continue
        if isinstance(current, _SCALARS) or id(current) in seen:
            continue
        seen[id(current)] = current
        below: list[tuple[Any, _Place | None, str | None]]
        if isinstance(current, list | tuple | set | frozenset):
            if _NO_TEXT.issuperset(map(type, current)):
                continue
            below = [(each, _Place(place, i), None) for i, each in enumerate(current)]
        else:
            container = container_of(current)
            if container is None:
                raise contract_error(
                    "not_json",
                    Text("", place, None).path,
                    expected="plain data, structs, models or dataclasses",
                    got=shown(current),
                    hint="convert the record first: what it names in there cannot be known",
                )
            below = []
            for key, each in container.items(current):
                name = container.path_key(current, key)
                at = place if name is None else _Place(place, name)
                if isinstance(current, dict):
                    below.append((key, at, None))
                below.append((each, at, str(name)))
        stack += reversed(below)


def locators(value: Any) -> Iterator[Locator]:
    """Every ``raw_image_id`` and ``file://`` URL of a value, those in references included.

    Raises:
        ContractError: a reference that cannot be read, at its path.
        ProcessedPayloadError: as `texts`.
    """
    for found in texts(value):
        uri: str | None = found.text
        if is_raw_mm_ref(found.text):
            ref = _read(found)
            uri = ref.raw_image_uri if ref else None
            if ref and ref.raw_image_id is not None:
                yield Locator(found.path, ref.raw_image_id)
        elif found.field == _ID:
            yield Locator(found.path, found.text)
        if uri is not None and scheme_of(uri) == "file":
            yield Locator(found.path, uri)


class Referenced:
    """The images of a directory that records name.

    Args:
        names: file names that stores gave.

    Attributes:
        names: those of them that were named so far.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names: set[str] = set()
        self._by_digits: dict[str, list[str]] = {}
        for name in names:
            digits = stored_hash(name)
            if digits is not None:
                self._by_digits.setdefault(digits[:_SHORTEST], []).append(name)

    def add(self, record: Any) -> None:
        """Look through one record.

        Raises:
            ContractError, ProcessedPayloadError: as `locators`.
        """
        for found in texts(record):
            if is_raw_mm_ref(found.text):
                _read(found)
            self._look(found.text)
            for match in _ENCODED.finditer(found.text):
                self._look(_decoded(match[1]))

    def _look(self, text: str) -> None:
        if text[:5].lower() == "data:":
            return  # the image itself
        for form in {text, unquote(text)}:
            for run in _DIGITS.findall(form):
                # What stands before a hash may be a digit, too: an escape, or a name's end.
                digits = run.lower()
                for start in range(len(digits) - _SHORTEST + 1):
                    self.names.update(self._by_digits.get(digits[start : start + _SHORTEST], ()))


def _text(value: Any) -> str | None:
    """A value that is text, or may hold text, as a string."""
    if isinstance(value, str):
        return value
    if isinstance(value, msgspec.msgpack.Ext):
        value = value.data
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("latin-1")
    return str(fspath(value)) if isinstance(value, PathLike) else None


def _read(found: Text) -> RawMMRef | None:
    """What a reference says, or None if it is refused for what it says."""
    try:
        return split_raw_mm_ref(found.text)
    except RawMMError as error:
        # Inside of it, a path leads to what was read.
        if error.code in _UNREADABLE and error.path == "$":
            raise error.under(found.path) from None
        return None


def _decoded(encoded: str) -> str:
    """The text of base64url, as far as it is; for looking only."""
    whole = encoded[: len(encoded) - (len(encoded) % 4 == 1)]
    with suppress(ValueError):
        return urlsafe_b64decode(whole + "=" * (-len(whole) % 4)).decode("latin-1")
    return ""
