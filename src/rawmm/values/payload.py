"""Free values: no processed payload, no array, nothing that JSON has no form for.

`is_clean` is the fast pass. It answers for decoded values and builds no paths. If it fails,
`payload_errors` walks the value again, reads every kind of container, and reports each offender
with its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Final, Literal

from rawmm.errors import contract_error, shown
from rawmm.model.base import own_fields
from rawmm.model.types import (
    MAX_DEPTH,
    MAX_FREE_VALUES,
    MAX_TEXT,
    MAX_VALUES,
    PROCESSED_KEYS,
    EncodedArray,
)
from rawmm.values.errors import (
    bad_key,
    lone_surrogate,
    not_finite,
    not_json,
    processed_key,
    too_many_levels,
)
from rawmm.values.open_arrays import array_data, encoded_array
from rawmm.values.plain import MAX_INT
from rawmm.values.processed import KEY_SIZES, ND, holds_numbers, is_processed_key
from rawmm.values.views import (
    as_mapping,
    as_sequence,
    base_value,
    is_array,
    is_text,
    utf8_size,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rawmm.errors import Path, RawMMError


class Mode(Enum):
    """How strict a place is."""

    DESCRIPTOR = 1
    """Raw media data: JSON, no processed keys, no encoded arrays, integers within 2^53."""
    JSON = 2
    """Any JSON. The contract does not define its content."""
    WIRE = 3
    """Free values of an open record. MessagePack also allows bytes and non-finite numbers."""
    TEXT = 4
    """Free values of an open record that JSON can represent: bytes only in encoded arrays."""


_OPEN: Final = (Mode.WIRE, Mode.TEXT)
_ARRAY_HINT: Final = "a descriptor holds numbers as JSON lists, and never pixels"
_OPEN_HINT: Final = "pass a numpy array of numbers or a rawmm.EncodedArray"
# The most values, and bytes of text in keys and strings together.
_PAYLOAD: Final[tuple[int, float]] = (MAX_VALUES, MAX_TEXT)
# Free JSON may be large. This limit stops shared containers that would never end.
_FREE: Final[tuple[int, float]] = (MAX_FREE_VALUES, inf)


def is_clean(value: Any, mode: Mode, depth: int = 1) -> bool:
    """Fast check that `value` is plain, allowed JSON. If it fails, call `payload_errors`.

    Also fails for the text of an encoded array in an open record, which is read as bytes.
    """
    return _judge(value, mode, MAX_DEPTH + 1 - depth) == "clean"


def _is_clean_scalar(value: Any, kind: type, mode: Mode) -> bool:
    if kind is str:
        return is_text(value)
    if kind is int:
        return mode is not Mode.DESCRIPTOR or -MAX_INT <= value <= MAX_INT
    if kind is float:
        return isfinite(value)
    return kind is bool or value is None


def _judge(
    value: Any, mode: Mode, deepest: int = MAX_DEPTH
) -> Literal["clean", "unclear", "too_large"]:
    """The fast pass. Stops at the first unclear value or exceeded limit."""
    descriptor = mode is Mode.DESCRIPTOR
    most, longest = _PAYLOAD if descriptor else _FREE
    values, text = 1, 0
    levels: list[Iterator[Any]] = []
    children: Iterator[Any] = iter((value,))
    while True:
        for child in children:
            kind = type(child)
            if kind is int:  # first, as most values of descriptors are integers
                if descriptor and not -MAX_INT <= child <= MAX_INT:
                    return "unclear"
            elif kind is list or kind is dict:
                values += len(child)
                if values > most:
                    return "too_large"
                levels.append(children)
                if len(levels) > deepest:
                    return "unclear"
                if kind is list:
                    children = iter(child)
                    break
                for key in child:
                    if type(key) is not str or (size := utf8_size(key)) < 0:
                        return "unclear"
                    text += size
                    # Only text outside of ASCII changes its length when it is folded.
                    if (
                        (size in KEY_SIZES or size != len(key))
                        and key.casefold() in PROCESSED_KEYS
                        and (descriptor or holds_numbers(child[key]))
                    ):
                        return "unclear"
                if ND in child and (descriptor or type(child.get("data")) is str):
                    return "unclear"
                children = iter(child.values())
                break
            elif kind is str:
                if (size := utf8_size(child)) < 0:
                    return "unclear"
                text += size
            elif kind is bytes and mode is Mode.WIRE:
                continue
            elif not _is_clean_scalar(child, kind, mode):
                return "unclear"
        else:
            if not levels:
                return "clean"
            children = levels.pop()
        if text > longest:
            return "too_large"


def payload_errors(value: Any, path: Path, mode: Mode, depth: int = 1) -> Iterator[RawMMError]:
    """Every offender in `value`, in document order.

    Args:
        value: any value.
        path: its path.
        mode: how strict its place is.
        depth: the level of `value`: 1 for a payload, 0 for the object that has one. The limits are
            those of one payload, as other fields of the object may be long, such as a data URL.
    """
    if depth:
        verdict = _judge(value, mode)
        if verdict == "too_large":
            yield _too_large(path, mode)
        if verdict != "unclear":
            return
    yield from _Walk(mode, owner=not depth).errors(value, path, depth, ())


class _Walk:
    """The second pass, with paths. Depth, cycles and the number of values are bounded."""

    def __init__(self, mode: Mode, *, owner: bool) -> None:
        self.mode = mode
        self.owner = owner
        self.most, self.longest = _PAYLOAD if mode is Mode.DESCRIPTOR else _FREE
        self.values = 0
        self.text = 0
        self.payload: Path = ()

    def within_limits(self) -> bool:
        """Whether the current payload has not exceeded its limits so far."""
        return self.values <= self.most and self.text <= self.longest

    def errors(
        self, value: Any, path: Path, depth: int, above: tuple[int, ...]
    ) -> Iterator[RawMMError]:
        kind = type(value)
        if depth == 1:
            self.values, self.text, self.payload = 0, 0, path
        self.values += 1
        if issubclass(kind, str) and not (self.owner and depth == 1):
            self.text += max(utf8_size(base_value(value)), 0)
        if not self.within_limits():
            yield _too_large(self.payload, self.mode)
            return
        if _is_clean_scalar(value, kind, self.mode):
            return
        pairs: Mapping[Any, Any] | None = None
        items: Sequence[Any] | None = None
        if kind is dict:
            pairs = value
        elif kind is list or kind is tuple:
            items = value
        elif is_array(value):
            yield from self._array(value, path)
            return
        elif issubclass(kind, EncodedArray) and self.mode in _OPEN:
            if array_data(own_fields(value)) is None:
                yield _array(value, path)
            return
        elif (pairs := as_mapping(value)) is None:
            items = as_sequence(value)
        if pairs is None and items is None:
            yield from self._scalar(value, path)
            return
        if id(value) in above:
            yield too_many_levels(MAX_DEPTH, path, "a container that contains itself")
            return
        if depth > MAX_DEPTH:
            yield too_many_levels(MAX_DEPTH, path)
            return
        above = (*above, id(value))
        if pairs is not None:
            yield from self._mapping(value, pairs, path, depth, above)
        for index, child in enumerate(items or ()):
            if depth and not self.within_limits():
                return
            yield from self.errors(child, (*path, index), depth + 1, above)

    def _array(self, value: Any, path: Path) -> Iterator[RawMMError]:
        """The errors of an array. Open records hold numeric ones, and bytes in MessagePack."""
        if self.mode is Mode.WIRE and type(value) is bytes:
            return
        encoded = encoded_array(value) if self.mode in _OPEN else None
        if encoded is None:
            hint = _OPEN_HINT if self.mode in _OPEN else _ARRAY_HINT
            yield _array(value, path, hint=hint)
        elif type(encoded) is float:
            yield from self._scalar(encoded, path)

    def _mapping(
        self, value: Any, pairs: Mapping[Any, Any], path: Path, depth: int, above: tuple[int, ...]
    ) -> Iterator[RawMMError]:
        descriptor = self.mode is Mode.DESCRIPTOR
        if descriptor and (mark := pairs.get(ND)) is not None and _truthy(mark):
            yield _array(value, path, "an encoded array (__nd__)")
            return
        in_text = self.mode is Mode.TEXT and array_data(pairs) is not None
        found = False
        for given, child in pairs.items():
            if depth and not self.within_limits():
                return
            key = base_value(given)  # a subclass may override equality and hash
            if type(key) is not str:
                found = True
                yield bad_key(given, path)
            elif is_processed_key(key) and (descriptor or holds_numbers(child)):
                found = True
                yield processed_key(key, child, path)
            elif in_text and key == "data":
                continue  # base64 in JSON
            else:
                if (size := utf8_size(key)) < 0:
                    found = True
                    yield lone_surrogate(path, "a key with a lone surrogate")
                self.text += max(size, 0)
                for error in self.errors(child, (*path, key), depth + 1, above):
                    found = True
                    yield error
        # A record may hide an offender, which is the better error. The record itself is not JSON.
        if not found and not issubclass(type(value), Mapping):
            yield contract_error(
                "not_json",
                path,
                expected="a JSON value",
                got=shown(value),
                hint="convert it to a dict first",
            )

    def _scalar(self, given: Any, path: Path) -> Iterator[RawMMError]:
        value = base_value(given)
        kind = type(value)
        if kind is str:
            if not is_text(value):
                yield lone_surrogate(path, "a string with a lone surrogate")
        elif kind is int:
            if self.mode is Mode.DESCRIPTOR and not -MAX_INT <= value <= MAX_INT:
                yield contract_error(
                    "not_json", path, expected="an integer within +-(2^53-1)", got=shown(value)
                )
        elif kind is float:
            if not isfinite(value) and self.mode is not Mode.WIRE:
                yield not_finite(value, path)
        elif kind is not bool and value is not None:
            yield not_json(value, path)


def _too_large(path: Path, mode: Mode) -> RawMMError:
    if mode is Mode.DESCRIPTOR:
        expected = f"at most {MAX_VALUES} values and {MAX_TEXT} bytes of text in a payload"
        hint = "a payload holds the image's geometry; pixels belong in the raw image file"
    else:
        expected = f"at most {MAX_FREE_VALUES} values"
        hint = "a shared container counts each time it occurs"
    return contract_error("too_large", path, expected=expected, got="more", hint=hint)


def _truthy(value: Any) -> bool:
    return True if is_array(value) else bool(value)


def _array(value: Any, path: Path, what: str | None = None, hint: str = _ARRAY_HINT) -> RawMMError:
    return contract_error(
        "array_payload", path, expected="plain JSON values", got=what or shown(value), hint=hint
    )
