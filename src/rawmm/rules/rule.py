"""The class `Rule`: a name, a function that yields errors, and an optional fast check."""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.errors import Path, RawMMError
    from rawmm.model.types import Contract


class Rule(NamedTuple):
    """A rule of one struct that no schema can express.

    Rules run whenever a struct is built or decoded. They never loop over tokens in Python: lengths,
    counts and sums run in C.
    """

    name: str
    """Its name in ``x-rawmm-rules`` of the schemas."""
    errors: Callable[[Any, Path], Iterator[RawMMError]]
    """Yields an error for each place where a struct breaks the rule."""
    holds: Callable[[Any], bool] | None = None
    """Fast check. If it fails, call `errors` for details.

    It may be stricter than `errors`, but never laxer. Only the common shape of a struct has to
    pass. Without a fast check, `errors` always runs.
    """

    def fast(self) -> Callable[[Any], bool]:
        """`holds`, or an equivalent check by `errors`."""
        if self.holds is not None:
            return self.holds
        errors = self.errors
        return lambda struct: not any(True for _ in errors(struct, ()))


def reader(*names: str) -> Callable[[Contract], tuple[Any, ...]]:
    """A function that reads these fields of a struct in C.

    An absent field is UNSET, which is falsy like null and the empty list.
    """
    return _reader(lambda _: names)


def list_reader(attribute: str) -> Callable[[Contract], tuple[Any, ...]]:
    """A `reader` of the fields that a class variable of the struct's class lists."""
    return _reader(attrgetter(attribute))


def _reader(names: Callable[[Any], tuple[str, ...]]) -> Callable[[Contract], tuple[Any, ...]]:
    # By class, as a subclass may have its own fields before the inherited ones.
    getters: dict[type[Contract], Callable[[tuple[Any, ...]], tuple[Any, ...]]] = {}
    astuple = msgspec.structs.astuple

    def read(struct: Contract) -> tuple[Any, ...]:
        try:
            getter = getters[type(struct)]
        except KeyError:
            kind = type(struct)
            getter = getters[kind] = _getter(tuple(map(kind.__struct_fields__.index, names(kind))))
        return getter(astuple(struct))

    return read


def _getter(indices: tuple[int, ...]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    if len(indices) > 1:
        return itemgetter(*indices)
    # `itemgetter` returns no tuple for one index, and accepts no fewer.
    (index,) = indices or (None,)
    return itemgetter(slice(index, index + 1) if index is not None else slice(0))
