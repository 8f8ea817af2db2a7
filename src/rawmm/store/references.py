"""Find the images that a record names.

`Referenced` errs on the side of keeping, because it decides what may be deleted. Every file name,
URL, hash or reference string, under any key and inside any text, keeps the images whose hash begins
with the same 16 digits. It reads every form that a reader of rawmm accepts, in any nesting: escapes
of JSON and URLs, and base64url in references. Anything that cannot be read is an error. Encodings
in which no reader looks for names, such as UTF-16 or gzip, are not searched.

`locators` is exact: it yields what a reader would look up.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec

from rawmm.engine import is_raw_mm_ref
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.locators import scheme_of, stored_hash
from rawmm.real_class import claims_another, is_a
from rawmm.rules import ref_fields
from rawmm.store.object_state import (
    SCALARS,
    Member,
    UnreadableError,
    buffer_bytes,
    members,
    url_text,
)
from rawmm.store.text_forms import decoded_forms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Path = tuple[str | int, ...]

_ID: Final = "raw_image_id"
_URI: Final = "raw_image_uri"
_SHORTEST: Final = 16
"""Digits of the hash in the shortest file names that stores gave."""
_DIGITS: Final = re.compile(r"[0-9a-f]{16,}", re.IGNORECASE)
_LONG: Final = 1024
"""Length from which two passes in C are faster than a search for digits."""
_AS_DIGIT: Final = bytes(
    ord("x") if chr(byte) in "0123456789abcdefABCDEF" else 0 for byte in range(256)
)
_RUN: Final = b"x" * _SHORTEST

_NO_TEXT: Final = frozenset({int, float, bool, type(None)})
_TIMESTAMP: Final = -1
"""The extension type of MessagePack's times."""
_MAX_COMPUTED: Final = 100_000
"""Maximum number of computed values in one record, as some objects compute more without end."""
# Codes of references that cannot be read, so that what they name is unknown. A reference with any
# other error was read, and is only refused.
_UNREADABLE: Final = frozenset(
    {"unsupported_version", "bad_format", "bad_base64", "malformed", "too_deep", "duplicate_key"}
)


class _Place(NamedTuple):
    """The position of a value: a key of the value at `above`. Siblings share their ancestors."""

    above: _Place | None
    key: str | int


class Text(NamedTuple):
    """A string of a record, its position, and the name of the field whose value it is, if any."""

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
    """The name of an image in a record: a ``raw_image_id`` or a URL, not a data URL."""

    path: Path
    locator: str


def each_record(references: object) -> Iterator[Any]:
    """Return an iterator over the records that a caller passed.

    Raises:
        ContractError: ``wrong_type`` if `references` is not an iterable of records. A single
            record is refused, as iterating over it would yield its keys, fields or characters.
    """
    records: Iterator[Any] | None = None
    is_one = is_a(references, (Mapping, str, bytes, bytearray, memoryview, msgspec.Struct))
    is_one |= hasattr(type(references), "model_fields")
    if not is_one and not claims_another(references):  # a mock of a list yields no elements
        with suppress(TypeError):
            records = iter(references)  # type: ignore[call-overload]
    if records is None:
        raise contract_error(
            "wrong_type",
            (),
            expected="a list of records, or an iterator of them",
            got=shown(references),
            hint="pass a single record in a list",
        )
    return records


def texts(value: Any) -> Iterator[Text]:
    """Yield every string of a value, including keys and bytes. Visits each object once.

    Raises:
        ProcessedPayloadError: ``not_json`` for an object whose state cannot be read.
        ContractError: ``too_large`` if objects compute more of them without end.
    """
    stack: list[tuple[Any, _Place | None, str | None]] = [(value, None, None)]
    seen: dict[int, Any] = {}  # keeps objects alive, so that ids stay unique
    computed = 0
    while stack:
        current, place, field = stack.pop()
        kind = type(current)
        if kind is str:
            yield Text(current, place, field)
            continue
        if kind in _NO_TEXT or id(current) in seen:
            continue
        seen[id(current)] = current
        if kind is list and _NO_TEXT.issuperset(map(type, current)):
            continue
        if kind is dict:  # the common case
            for key, each in reversed(current.items()):
                name = key if type(key) is str else shown(key)
                at = _Place(place, name)
                if type(each) not in _NO_TEXT:
                    stack.append((each, at, name))
                stack.append((key, at, None))
            continue
        fault = None
        below: list[Member] = []
        try:
            text = _text(current)
            if text is not None:
                yield Text(text, place, field)
            if kind is not bytes and kind is not msgspec.msgpack.Ext:
                below = list(members(current, is_text=text is not None))
        except UnreadableError as error:
            fault = error
        if fault is not None:
            raise _unreadable(current, place, fault)
        computed += sum(member.computed for member in below)
        if computed > _MAX_COMPUTED:
            raise contract_error(
                "too_large",
                (),  # the path of the value would be very long
                expected=f"at most {_MAX_COMPUTED} computed values in a record",
                got="more",
                hint="convert the record first",
            )
        stack += [
            (each, place if name is None else _Place(place, name), of)
            for each, name, of, _ in reversed(below)
        ]


def locators(value: Any) -> Iterator[Locator]:
    """Yield every ``raw_image_id`` and image URL of a value, including those in references.

    URLs of other schemes than ``file`` are included if they are a ``raw_image_uri``, or if their
    file name is a hash.

    Raises:
        ContractError: a reference that cannot be read, at its path.
        ProcessedPayloadError: as `texts`.
    """
    return Referenced(()).read(value)


class Referenced:
    """The images of a store that records name.

    Args:
        names: the images of the store.

    Attributes:
        names: the images that were named so far.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names: set[str] = set()
        self._by_digits: dict[str, list[str]] = {}
        for name in names:
            digits = stored_hash(name)
            if digits is not None:
                self._by_digits.setdefault(digits[:_SHORTEST], []).append(name)

    def add(self, record: Any) -> None:
        """Search one record.

        Raises:
            ContractError, ProcessedPayloadError: as `locators`; ``too_deep`` for a text with
                more layers of escapes than any writer produces.
        """
        for _ in self.read(record):
            pass

    def read(self, record: Any) -> Iterator[Locator]:
        """Search one record and yield its `locators`. Raises as `add`."""
        for found in texts(record):
            self._look(found)
            yield from _locators_of(found)

    def holds(self, locator: str) -> bool:
        """Whether the store has an image with the hash in a locator's file name."""
        digits = stored_hash(file_name(locator))
        return digits is not None and digits[:_SHORTEST] in self._by_digits

    def _look(self, found: Text) -> None:
        if not self._by_digits or len(found.text) < _SHORTEST:
            return
        fault = None
        try:
            for form in decoded_forms(found.text):
                for run in _runs(form):
                    self._keep(run.lower())
        except RawMMError as error:
            fault = error
        if fault is not None:
            raise fault.at(found.path)

    def _keep(self, digits: str) -> None:
        # Digits may precede the hash: part of an escape, or the end of another name.
        for start in range(len(digits) - _SHORTEST + 1):
            names = self._by_digits.get(digits[start : start + _SHORTEST])
            if names is not None:
                self.names.update(names)


class Mention(NamedTuple):
    """Where records name an image for the first time, and how often they do.

    Attributes:
        record: the index of the record.
        path: the place in it.
        times: the number of places in all records.
        line: where the record is in its file, if the search knows.
    """

    record: int
    path: Path
    times: int
    line: int | None = None


class Mentions(NamedTuple):
    """What records name.

    Attributes:
        names: images of the store that they name.
        locators: what a reader would look up, in the order of the records.
    """

    names: set[str]
    locators: dict[str, Mention]


class RecordSearch(ABC):
    """Records that are searched elsewhere, such as in other processes."""

    @abstractmethod
    def search(self, names: list[str], *, every: bool) -> Mentions:
        """Search all records.

        Args:
            names: the images of the store.
            every: whether to return locators of images with these names, too.
        """


def file_name(locator: str) -> str:
    """Return the file name in an id or a URL."""
    return unquote(locator).rpartition("/")[2]


def _runs(text: str) -> list[str]:
    """Return every run of hex digits that may contain a hash."""
    if len(text) >= _LONG:
        raw = text.encode("ascii" if text.isascii() else "utf-8", "surrogatepass")
        if _RUN not in raw.translate(_AS_DIGIT):
            return []
    return _DIGITS.findall(text)


def _text(value: Any) -> str | None:
    """Return a value that is or may contain text as a string, or None.

    Raises:
        UnreadableError: an extension type of MessagePack, because its encoding is unknown.
    """
    if is_a(value, str):
        return str.__str__(value)
    if is_a(value, bytes):
        return value.decode("latin-1")
    if is_a(value, msgspec.msgpack.Ext):
        if value.code == _TIMESTAMP and len(bytes(value.data)) < _SHORTEST:
            return ""
        raise UnreadableError
    if is_a(value, PathLike):
        path = fspath(value)
        return path.decode("latin-1") if isinstance(path, bytes) else path
    if is_a(value, (dict, list, tuple, *SCALARS)):
        return None
    if (url := url_text(value)) is not None:
        return url
    raw = buffer_bytes(value)
    return None if raw is None else raw.decode("latin-1")


def _unreadable(value: Any, place: _Place | None, error: UnreadableError) -> RawMMError:
    path = Text("", place, None).path
    return contract_error(
        "not_json",
        path if error.name is None else (*path, error.name),
        expected="plain data, or objects whose state can be read",
        got=shown(value) if error.name is None else "a computed field that raises an error",
        hint="convert the record first, because the images it names cannot be read",
    )


def _locators_of(found: Text) -> Iterator[Locator]:
    text, field = found.text, found.field
    if is_raw_mm_ref(text):
        fields = _read(found)
        if isinstance(raw_image_id := fields.get("raw_image_id"), str):
            yield Locator(found.path, raw_image_id)
        if not isinstance(uri := fields.get("raw_image_uri"), str):
            return
        text, field = uri, _URI
    elif field == _ID:
        yield Locator(found.path, text)
    scheme = scheme_of(text)
    if scheme == "file" or (
        scheme not in ("", "data")
        and (field == _URI or ("://" in text and stored_hash(unquote(text)) is not None))
    ):
        yield Locator(found.path, text)


def _read(found: Text) -> dict[str, Any]:
    """Return the fields of a reference, even if it breaks the contract; empty if it is none."""
    try:
        return ref_fields(found.text).fields
    except RawMMError as error:
        # A path other than "$" leads to a field, so the reference was read.
        unreadable = error.code in _UNREADABLE and error.path == "$"
        fault = error
    if unreadable:
        raise fault.at(found.path)
    return {}
