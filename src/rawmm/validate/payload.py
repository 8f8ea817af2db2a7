"""The recursive walk: no processed payload, no array, nothing JSON cannot say.

Two passes over the same rule set. `is_clean` answers for what decoders produce, fast and
without building paths; only when it does not answer yes, `payload_errors` walks again, sees
through every kind of container, and names each offender with its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, shown, shown_text
from rawmm.structs import MAX_DEPTH, MAX_VALUES, PROCESSED_KEYS
from rawmm.validate.plain import (
    LEAVES,
    MAX_INT,
    as_mapping,
    as_sequence,
    base_value,
    is_array,
    key_error,
    not_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rawmm.errors import RawMMError

    Path = tuple[str | int, ...]

ND: Final = "__nd__"
"""The key that marks an object as an encoded array."""
_NONE: Final[frozenset[str]] = frozenset()
_OVER: Final = -1


class Mode(Enum):
    """How strict a place is."""

    DESCRIPTOR = 1
    """Raw media data: JSON, no processed keys, no encoded arrays, integers within 2^53."""
    JSON = 2
    """Free JSON that others own."""
    WIRE = 3
    """Free values of an open record: on MessagePack also bytes and non-finite numbers."""


_LIMIT: Final = {
    Mode.DESCRIPTOR: MAX_VALUES,
    # Free values are others' business; the bound only stops what shares containers endlessly.
    Mode.JSON: 10 * MAX_VALUES,
    Mode.WIRE: 10 * MAX_VALUES,
}


def is_text(value: str) -> bool:
    """Whether `value` can be written as UTF-8: it has no lone surrogate."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_clean(value: Any, mode: Mode, depth: int = 1) -> bool:
    """Whether `value` is plain, allowed JSON. False may also mean: look closer."""
    banned = PROCESSED_KEYS if mode is Mode.DESCRIPTOR else _NONE
    return _count(value, depth, banned, _LIMIT[mode]) > 0


def _is_clean_scalar(value: Any, kind: type, banned: frozenset[str]) -> bool:
    if kind is str:
        return is_text(value)
    if kind is int:
        return not banned or -MAX_INT <= value <= MAX_INT
    if kind is float:
        return isfinite(value)
    return kind is bool or value is None


def _count(value: Any, depth: int, banned: frozenset[str], limit: int) -> int:
    """The number of values in `value`; 0 when one is not plain and allowed; `_OVER` the limit."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return int(_is_clean_scalar(value, kind, banned))
    if depth > MAX_DEPTH:
        return 0
    total = 1
    children = value
    if kind is dict:
        for key in value:
            if type(key) is not str or key in banned or not is_text(key):
                return 0
        if banned and ND in value:
            return 0
        children = value.values()
    for child in children:
        kind = type(child)
        if kind is int:  # what descriptors are made of
            if banned and not -MAX_INT <= child <= MAX_INT:
                return 0
            total += 1
        elif kind is dict or kind is list:
            size = _count(child, depth + 1, banned, limit - total)
            if size <= 0:
                return size
            total += size
            if total > limit:
                return _OVER
        elif not _is_clean_scalar(child, kind, banned):
            return 0
        else:
            total += 1
    return total if total <= limit else _OVER


def payload_errors(value: Any, path: Path, mode: Mode, depth: int = 1) -> Iterator[RawMMError]:
    """Every offender below `value`, in document order.

    `depth` is the level that `value` itself stands at: 1 for a payload, 0 for its owner.
    """
    banned = PROCESSED_KEYS if mode is Mode.DESCRIPTOR else _NONE
    count = _count(value, depth, banned, _LIMIT[mode])
    if count == _OVER:
        yield _too_large(path, _LIMIT[mode])
    elif not count:
        yield from _Walk(mode).errors(value, path, depth, ())


class _Walk:
    """One walk with paths. It ends: depth, cycles and the number of values are bounded."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.banned = PROCESSED_KEYS if mode is Mode.DESCRIPTOR else _NONE
        self.seen = 0

    def errors(
        self, value: Any, path: Path, depth: int, above: tuple[int, ...]
    ) -> Iterator[RawMMError]:
        kind = type(value)
        if _is_clean_scalar(value, kind, self.banned):
            return
        self.seen += 1
        if self.seen > MAX_VALUES:
            if self.seen == MAX_VALUES + 1:
                yield _too_large(path, MAX_VALUES)
            return
        pairs: Mapping[Any, Any] | None = None
        items: Sequence[Any] | None = None
        if kind is dict:
            pairs = value
        elif kind is list or kind is tuple:
            items = value
        elif is_array(value):
            if not (self.mode is Mode.WIRE and kind is bytes):
                yield _array(value, path)
            return
        elif (pairs := as_mapping(value)) is None:
            items = as_sequence(value)
        if pairs is None and items is None:
            yield from self._scalar(value, path)
            return
        if depth > MAX_DEPTH or id(value) in above:
            yield contract_error(
                "too_deep",
                path,
                expected=f"at most {MAX_DEPTH} levels of nesting",
                got="a container that holds itself" if id(value) in above else "more",
            )
            return
        above = (*above, id(value))
        if pairs is not None:
            yield from self._mapping(value, pairs, path, depth, above)
        for index, child in enumerate(items or ()):
            if self.seen > MAX_VALUES:
                return
            yield from self.errors(child, (*path, index), depth + 1, above)

    def _mapping(
        self, value: Any, pairs: Mapping[Any, Any], path: Path, depth: int, above: tuple[int, ...]
    ) -> Iterator[RawMMError]:
        descriptor = self.mode is Mode.DESCRIPTOR
        if descriptor and (mark := pairs.get(ND)) is not None and _truthy(mark):
            yield _array(value, path, "an encoded array (__nd__)")
            return
        found = False
        for given, child in pairs.items():
            if self.seen > MAX_VALUES:
                return
            key = base_value(given)  # a subclass may compare and hash as it likes
            if type(key) is not str:
                found = True
                yield key_error(given, path)
            elif descriptor and key in PROCESSED_KEYS:
                found = True
                yield processed(key, child, path)
            else:
                if not is_text(key):
                    found = True
                    yield _surrogate(path, "a key")
                for error in self.errors(child, (*path, key), depth + 1, above):
                    found = True
                    yield error
        # A record type is looked through for what it hides, but it is not JSON itself.
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
                yield _surrogate(path, "a string")
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


def _too_large(path: Path, limit: int) -> RawMMError:
    return contract_error(
        "too_large",
        path,
        expected=f"at most {limit} values in a payload",
        got="more",
        hint="shared containers count each time they are met",
    )


def _truthy(value: Any) -> bool:
    return True if is_array(value) else bool(value)


def not_finite(value: float, path: Path) -> RawMMError:
    """NaN or an infinity, which JSON cannot say and msgspec would write as null."""
    floored = value < 0 and any(isinstance(key, str) and key.endswith("logprobs") for key in path)
    return contract_error(
        "not_json",
        path,
        expected="a finite number",
        got=repr(float(value)),
        hint="engines write -inf for tokens that cannot be sampled; read them with "
        "logprob_floor=-9999.0, or another number"
        if floored
        else None,
    )


def _surrogate(path: Path, what: str) -> RawMMError:
    return contract_error(
        "not_json", path, expected="text that UTF-8 can say", got=f"{what} with a lone surrogate"
    )


def processed(key: str, value: Any, path: Path) -> RawMMError:
    """A key that only an image processor writes, where raw data belongs."""
    return contract_error(
        "processed_payload",
        (*path, key),
        expected="raw media only",
        got=f"the key {shown_text(key)} with {shown(value)}",
        hint="keep the raw image and its locator; the processor runs in the engine and trainer",
    )


def _array(value: Any, path: Path, what: str | None = None) -> RawMMError:
    return contract_error(
        "array_payload",
        path,
        expected="plain JSON values",
        got=what or shown(value),
        hint="a descriptor holds numbers as JSON lists, and pixels never",
    )


def plain_copy(value: Any) -> Any:
    """A payload that passed, as dicts, lists and scalars of exactly those types."""
    if type(value) in LEAVES:
        return value
    if (pairs := as_mapping(value)) is not None:
        return {base_value(key): plain_copy(child) for key, child in pairs.items()}
    if (items := as_sequence(value)) is not None:
        return [plain_copy(child) for child in items]
    return base_value(value)
