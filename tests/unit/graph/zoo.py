"""Odd objects, and the places they can be assigned to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm import PlaceholderRange, TextContentPart, Trace, UserMessage
from rawmm.model.types import Contract
from tests.zoo import ZOO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAKERS: Final[dict[str, Callable[[], Any]]] = {label: odd.make for label, odd in ZOO.items()} | {
    "a struct": lambda: UserMessage(content="x"),
    "another struct": lambda: PlaceholderRange(offset=0, length=1),
    "a part": lambda: TextContentPart(text="x"),
    "a trace": lambda: Trace(nodes=[]),
    "list of structs": lambda: [UserMessage(content="x")],
}
"""At least one of each kind of object, made anew for each case."""


def places(value: Any, path: str = "$") -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Every place in a value that can be assigned to: its path, and a function that assigns."""
    if isinstance(value, Contract):
        for name in value.__struct_fields__:
            yield f"{path}.{name}", lambda new, name=name: setattr(value, name, new)  # type: ignore[misc]
            yield from places(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for key in value:
            yield f"{path}[{key!r}]", lambda new, key=key: value.__setitem__(key, new)  # type: ignore[misc]
            yield from places(value[key], f"{path}[{key!r}]")
    elif isinstance(value, list):
        for index in range(min(len(value), 2)):
            yield f"{path}[{index}]", lambda new, index=index: value.__setitem__(index, new)  # type: ignore[misc]
            yield from places(value[index], f"{path}[{index}]")
