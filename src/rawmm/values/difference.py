"""Where two JSON values differ, by path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import Path, json_path, shown

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = _Missing()
"""The side of a difference that has no value at the path."""


class Difference(NamedTuple):
    """A path, and what each side has there; `MISSING` if it has nothing."""

    path: Path
    old: Any
    new: Any

    def __str__(self) -> str:
        """``$.path: old became new``, without content."""
        return f"{json_path(self.path)}: {_shown(self.old)} became {_shown(self.new)}"


def differences(old: Any, new: Any) -> Iterator[Difference]:
    """Each smallest difference between two values of JSON types, in document order.

    Lists are compared by position. Values of different types differ, so 1, 1.0 and true are three
    values; of two infinities or NaN the text decides.
    """
    # A place is its parent and its key; paths are built for differences only.
    stack: list[tuple[Any, Any, Any]] = [(None, old, new)]
    while stack:
        place, first, second = stack.pop()
        if isinstance(first, dict) and isinstance(second, dict):
            keys = [*first, *(key for key in second if key not in first)]
            stack += [
                ((place, key), first.get(key, MISSING), second.get(key, MISSING))
                for key in reversed(keys)
            ]
        elif isinstance(first, list) and isinstance(second, list):
            longest = max(len(first), len(second))
            stack += [
                ((place, index), _at(first, index), _at(second, index))
                for index in reversed(range(longest))
            ]
        elif type(first) is not type(second) or repr(first) != repr(second):
            yield Difference(_path(place), first, second)


def _path(place: Any) -> Path:
    parts: list[str | int] = []
    while place is not None:
        place, part = place
        parts.append(part)
    return tuple(reversed(parts))


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else MISSING


def _shown(value: Any) -> str:
    return repr(value) if value is MISSING else shown(value)
