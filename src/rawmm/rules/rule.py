"""What a rule is: its name, its errors, and a fast check beside them."""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from rawmm.model.types import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.errors import RawMMError
    from rawmm.model.types import Contract

    Path = tuple[str | int, ...]


class Rule(NamedTuple):
    """A rule of one struct beyond its shape.

    Rules run wherever a struct comes to be. They do nothing per token in Python: lengths, counts
    and sums are loops in C.
    """

    name: str
    """As the schemas list it under ``x-rawmm-rules``."""
    errors: Callable[[Any, Path], Iterator[RawMMError]]
    """Every place where a struct breaks the rule, by its path from the value checked."""
    holds: Callable[[Any], bool] | None = None
    """Fast check without paths. It may be stricter than `errors`, never laxer.

    Only the common shape of a struct has to pass. If it fails, call `errors` for details. A rule
    without a fast check is asked for its errors.
    """

    def fast(self) -> Callable[[Any], bool]:
        """The fast check, or `errors` in its place."""
        if self.holds is not None:
            return self.holds
        errors = self.errors
        return lambda struct: not any(True for _ in errors(struct, ()))


def reader(*names: str) -> Callable[[Contract], tuple[Any, ...]]:
    """What reads these fields of a struct as they are held, at the speed of C.

    An absent one is UNSET, which is false like null and the empty list.
    """
    return _reader(lambda _: names)


def list_reader(attribute: str) -> Callable[[Contract], tuple[Any, ...]]:
    """A `reader` of the fields that the struct's class lists in a class variable."""
    return _reader(attrgetter(attribute))


def _reader(names: Callable[[Any], tuple[str, ...]]) -> Callable[[Contract], tuple[Any, ...]]:
    # By class: a subclass may have its own fields before those it inherits.
    picks: dict[type[Contract], Callable[[tuple[Any, ...]], tuple[Any, ...]]] = {}
    astuple = msgspec.structs.astuple

    def read(struct: Contract) -> tuple[Any, ...]:
        try:
            pick = picks[type(struct)]
        except KeyError:
            kind = type(struct)
            pick = picks[kind] = _pick(tuple(map(kind.__struct_fields__.index, names(kind))))
        return pick(astuple(struct))

    return read


def _pick(places: tuple[int, ...]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    # `itemgetter` of one place makes no tuple, and of none it is an error.
    (place,) = places or (None,)
    return itemgetter(slice(place, place + 1) if place is not None else slice(0))


def definition_of(kind: type[Contract]) -> str:
    """The name of the schema's definition that a struct class, or one that it extends, has."""
    return next(base.__name__ for base in kind.__mro__ if TYPES.get(base.__name__) is base)
