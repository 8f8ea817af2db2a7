"""The recursive walk: no processed payload, no array, nothing JSON cannot say.

Two passes over the same rule set. `is_clean` answers for what decoders produce, fast and
without building paths; only when it does not answer yes, `payload_errors` walks again, sees
through every kind of container, and names each offender with its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Final, Literal

from rawmm.errors import contract_error, shown, shown_text
from rawmm.model.types import MAX_DEPTH, MAX_FREE_VALUES, MAX_TEXT, MAX_VALUES, PROCESSED_KEYS
from rawmm.values.plain import (
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


class Mode(Enum):
    """How strict a place is."""

    DESCRIPTOR = 1
    """Raw media data: JSON, no processed keys, no encoded arrays, integers within 2^53."""
    JSON = 2
    """Free JSON that others own."""
    WIRE = 3
    """Free values of an open record: on MessagePack also bytes and non-finite numbers."""


# How many values, and bytes of text in keys and strings together, may be in one.
_PAYLOAD: Final[tuple[int, float]] = (MAX_VALUES, MAX_TEXT)
# Free values are others' business; the bound only stops what shares containers endlessly.
_FREE: Final[tuple[int, float]] = (MAX_FREE_VALUES, inf)


def is_text(value: str) -> bool:
    """Whether `value` can be written as UTF-8: it has no lone surrogate."""
    return _text_size(value) >= 0


def _text_size(value: str) -> int:
    """The bytes of `value` in UTF-8; -1 if it has a lone surrogate."""
    if value.isascii():
        return len(value)
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        return -1


def is_clean(value: Any, mode: Mode) -> bool:
    """Whether `value` is plain, allowed JSON. False may also mean: look closer."""
    return _judge(value, mode) == "clean"


def _is_clean_scalar(value: Any, kind: type, banned: frozenset[str]) -> bool:
    if kind is str:
        return is_text(value)
    if kind is int:
        return not banned or -MAX_INT <= value <= MAX_INT
    if kind is float:
        return isfinite(value)
    return kind is bool or value is None


def _judge(value: Any, mode: Mode) -> Literal["clean", "unclear", "too_large"]:
    """The fast pass: stops at the first doubt, and as soon as a limit is passed."""
    descriptor = mode is Mode.DESCRIPTOR
    banned = PROCESSED_KEYS if descriptor else _NONE
    most, longest = _PAYLOAD if descriptor else _FREE
    values, text = 1, 0
    levels: list[Iterator[Any]] = []
    children: Iterator[Any] = iter((value,))
    while True:
        for child in children:
            kind = type(child)
            if kind is int:  # what descriptors are made of
                if descriptor and not -MAX_INT <= child <= MAX_INT:
                    return "unclear"
            elif kind is list or kind is dict:
                values += len(child)
                if values > most:
                    return "too_large"
                levels.append(children)
                if len(levels) > MAX_DEPTH:
                    return "unclear"
                if kind is list:
                    children = iter(child)
                    break
                for key in child:
                    if type(key) is not str or key in banned or (size := _text_size(key)) < 0:
                        return "unclear"
                    text += size
                if descriptor and ND in child:
                    return "unclear"
                children = iter(child.values())
                break
            elif kind is str:
                if (size := _text_size(child)) < 0:
                    return "unclear"
                text += size
            elif not _is_clean_scalar(child, kind, banned):
                return "unclear"
        else:
            if not levels:
                return "clean"
            children = levels.pop()
        if text > longest:
            return "too_large"


def payload_errors(value: Any, path: Path, mode: Mode, depth: int = 1) -> Iterator[RawMMError]:
    """Every offender below `value`, in document order.

    `depth` is the level that `value` itself stands at: 1 for a payload, 0 for its owner. Limits
    are those of a payload; an owner may have a long field beside it, such as a data URL.
    """
    if depth:
        verdict = _judge(value, mode)
        if verdict == "too_large":
            yield _too_large(path, mode)
        if verdict != "unclear":
            return
    yield from _Walk(mode, owner=not depth).errors(value, path, depth, ())


class _Walk:
    """One walk with paths. It ends: depth, cycles and the number of values are bounded."""

    def __init__(self, mode: Mode, *, owner: bool) -> None:
        self.mode = mode
        self.owner = owner
        self.banned = PROCESSED_KEYS if mode is Mode.DESCRIPTOR else _NONE
        self.most, self.longest = _PAYLOAD if mode is Mode.DESCRIPTOR else _FREE
        self.values = 0
        self.text = 0
        self.payload: Path = ()

    def within(self) -> bool:
        """Whether the payload that is walked through is within its limits so far."""
        return self.values <= self.most and self.text <= self.longest

    def errors(
        self, value: Any, path: Path, depth: int, above: tuple[int, ...]
    ) -> Iterator[RawMMError]:
        kind = type(value)
        if depth == 1:
            self.values, self.text, self.payload = 0, 0, path
        self.values += 1
        if issubclass(kind, str) and not (self.owner and depth == 1):
            self.text += max(_text_size(base_value(value)), 0)
        if not self.within():
            yield _too_large(self.payload, self.mode)
            return
        if _is_clean_scalar(value, kind, self.banned):
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
            if depth and not self.within():
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
            if depth and not self.within():
                return
            key = base_value(given)  # a subclass may compare and hash as it likes
            if type(key) is not str:
                found = True
                yield key_error(given, path)
            elif descriptor and key in PROCESSED_KEYS:
                found = True
                yield processed(key, child, path)
            else:
                if (size := _text_size(key)) < 0:
                    found = True
                    yield _surrogate(path, "a key")
                self.text += max(size, 0)
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


def _too_large(path: Path, mode: Mode) -> RawMMError:
    if mode is Mode.DESCRIPTOR:
        expected = f"at most {MAX_VALUES} values and {MAX_TEXT} bytes of text in a payload"
        hint = "a payload is geometry, which is small; pixels belong in the raw image file"
    else:
        expected = f"at most {MAX_FREE_VALUES} values"
        hint = "shared containers count each time they are met"
    return contract_error("too_large", path, expected=expected, got="more", hint=hint)


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
