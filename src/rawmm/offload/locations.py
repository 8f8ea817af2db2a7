"""Replace the locators of stored images in plain data, wherever a record has them.

A locator stands in a content part, in a descriptor or reference, inside a reference string, or in
the array of a trainer reference. Text is never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.engine import is_raw_mm_ref, raw_mm_ref, split_raw_mm_ref
from rawmm.errors import RawMMError, contract_error
from rawmm.locators import scheme_of, stored_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    Path = tuple[str | int, ...]

_ID: Final = "raw_image_id"
_URI: Final = "raw_image_uri"
_URL_FIELDS: Final = frozenset({_URI, "url", "image_url", "image"})
"""Fields whose value is a locator, whatever the name of the file."""
_TEXT_FIELDS: Final = frozenset({"text", "content", "reasoning_content", "arguments", _ID})
_NUMBERS: Final = frozenset({int, float, bool, type(None)})


class FoundLocator(NamedTuple):
    """A locator of a stored image: a ``raw_image_id`` or a URL that is not a data URL.

    Attributes:
        path: its keys and indices.
        locator: its text.
        takes_id: whether its place may hold a ``raw_image_id``.
        takes_data: whether its place may hold a data URL.
    """

    path: Path
    locator: str
    takes_id: bool
    takes_data: bool


def replace_locators(value: Any, replace: Callable[[FoundLocator], str]) -> int:
    """Replace each locator of a record, in place; return how many have changed.

    Args:
        value: a record as dicts and lists.
        replace: returns the new locator: a ``raw_image_id`` or a URL. A descriptor gets the field
            for what is returned.

    Raises:
        ContractError: ``historical_form`` for a reference string of an earlier form that has a
            locator; and what `replace` raises, with the path of the locator.
    """
    changed = 0
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, current = stack.pop()
        if isinstance(current, dict):
            changed += _in_dict(current, path, replace)
            children: Any = current.items()
        elif isinstance(current, list) and not _NUMBERS.issuperset(map(type, current)):
            for index, text in enumerate(current):
                if isinstance(text, str):
                    current[index] = new = _in_text(text, (*path, index), None, replace)
                    changed += new != text
            children = enumerate(current)
        else:
            continue
        stack += [
            ((*path, key), child) for key, child in children if isinstance(child, dict | list)
        ]
    return changed


def _in_dict(fields: dict[Any, Any], path: Path, replace: Callable[[FoundLocator], str]) -> int:
    changed = 0
    given = fields.get(_ID)
    if isinstance(given, str):
        new = _replaced(FoundLocator((*path, _ID), given, takes_id=True, takes_data=True), replace)
        changed += _put(fields, _ID, new)
    for key, text in list(fields.items()):
        if isinstance(text, str) and key not in _TEXT_FIELDS:
            new = _in_text(text, (*path, key), key, replace)
            changed += _put(fields, key, new)
    return changed


def _put(fields: dict[Any, Any], key: Any, new: str) -> bool:
    """Put a locator into the field for it, which is another one if an id becomes a URL."""
    if fields[key] == new:
        return False
    place = key
    if key in {_ID, _URI}:
        place = _URI if scheme_of(new) else _ID
    if place != key:
        del fields[key]
    fields[place] = new
    return True


def _in_text(text: str, path: Path, field: Any, replace: Callable[[FoundLocator], str]) -> str:
    if is_raw_mm_ref(text):
        return _in_reference(text, path, replace)
    scheme = scheme_of(text)
    if scheme == "data" or (scheme and "://" not in text and scheme != "file"):
        return text
    known = field in _URL_FIELDS
    if scheme and not (known or stored_hash(text)):
        return text
    if not scheme and not (known and "/" not in text and stored_hash(text)):
        return text
    if field is None and not scheme:
        return text
    return _replaced(FoundLocator(path, text, takes_id=known, takes_data=known), replace)


def _in_reference(text: str, path: Path, replace: Callable[[FoundLocator], str]) -> str:
    fault = None
    try:
        ref = split_raw_mm_ref(text)
    except RawMMError as error:
        fault = error
    if fault is not None:
        raise fault.at(path)
    locator = ref.raw_image_id if ref.raw_image_id is not None else ref.raw_image_uri
    if locator is None or scheme_of(locator) == "data":
        return text
    new = _replaced(FoundLocator(path, locator, takes_id=True, takes_data=True), replace)
    if new == locator:
        return text
    if not text.startswith("mmraw:{") or ref.fingerprint is None:
        raise contract_error(
            "historical_form",
            path,
            expected="a reference in the form of the contract",
            got="one of an earlier form",
            hint="convert the record with rawmm upgrade first",
        )
    return raw_mm_ref(
        family=ref.family,
        fingerprint=ref.fingerprint,
        modality=ref.modality,
        mm_hash=ref.mm_hash,
        payload=ref.payload,
        **{_URI if scheme_of(new) else _ID: new},
    )


def _replaced(found: FoundLocator, replace: Callable[[FoundLocator], str]) -> str:
    try:
        return replace(found)
    except RawMMError as error:
        fault = error
    raise fault.at(path="$").at(found.path)
