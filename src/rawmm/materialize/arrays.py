"""Arrays of whatever library they are of; none is imported here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rawmm.errors import MaterializeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def as_lists(value: Any) -> Any:
    """An array, or a list of arrays at any depth, as lists."""
    if isinstance(value, list | tuple):
        return [as_lists(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def nbytes(value: Any) -> int:
    """The memory of an array, or of a list with arrays at any depth, in bytes."""
    if isinstance(value, list | tuple):
        return sum(map(nbytes, value))
    size = getattr(value, "nbytes", None)
    return size if isinstance(size, int) else sys.getsizeof(value)


def joined(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arrays of several outputs, by key, joined along their first axis.

    Raises:
        MaterializeError: ``geometry_mismatch`` if they cannot be.
    """
    keys = dict.fromkeys(key for one in outputs for key in one)
    return {key: _join(key, [one.get(key) for one in outputs]) for key in keys}


def _join(key: str, parts: list[Any]) -> Any:
    if all(isinstance(one, list) for one in parts):
        return [entry for one in parts for entry in one]
    shapes = [tuple(getattr(one, "shape", ())) for one in parts]
    for index, shape in enumerate(shapes):
        if not shape or shape[1:] != shapes[0][1:]:
            raise MaterializeError(
                "geometry_mismatch",
                f"$[{index}]",
                expected=f"{key} of shape {_shape(('*', *shapes[0][1:]))}, as of the first image",
                got=_shape(shape),
                hint="the image processor pads the images of one call to one size; take the "
                "outputs of each image",
            )
    namespace = _namespace(parts[0])
    join = getattr(namespace, "concat", None) or namespace.concatenate
    return join(parts)


def _namespace(array: Any) -> Any:
    """The functions of an array's library: as the array API standard has it, or its package."""
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    return sys.modules[type(array).__module__.partition(".")[0]]


def _shape(shape: tuple[Any, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
