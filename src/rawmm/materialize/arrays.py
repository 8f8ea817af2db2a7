"""Measure and join arrays of any library, without importing one."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rawmm.errors import MaterializeError, raise_alone, shown, shown_name, shown_text, type_name
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def nbytes(value: Any) -> int:
    """The size in bytes of an array, or of a list with arrays at any depth."""
    total, todo, seen = 0, [value], set()
    while todo:
        one = todo.pop()
        if not is_a(one, list | tuple):
            size = None
            with suppress(Exception):  # properties of other libraries raise anything
                size = getattr(one, "nbytes", None)
            total += size if is_a(size, int) else sys.getsizeof(one)
        elif id(one) not in seen:
            seen.add(id(one))
            todo += one
    return total


def joined(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arrays of several outputs by key, joined along their first axis.

    Raises:
        MaterializeError: ``geometry_mismatch`` if they cannot be joined.
    """
    keys = dict.fromkeys(key for one in outputs for key in one)
    return {key: _join(key, [one.get(key) for one in outputs]) for key in keys}


def _join(key: str, parts: list[Any]) -> Any:
    if all(is_a(one, list) for one in parts):
        return [entry for one in parts for entry in one]
    shapes = [tuple(getattr(one, "shape", ())) for one in parts]
    for index, shape in enumerate(shapes):
        if not shape or shape[1:] != shapes[0][1:]:
            raise MaterializeError(
                "geometry_mismatch",
                f"$[{index}]",
                expected=f"{shown_name(key)} of shape {_shape(('*', *shapes[0][1:]))}, as for "
                "the first image",
                got=_shape(shape),
                hint="the image processor pads the images of one call to one size; use the "
                "outputs of each image",
            )
    namespace = _namespace(parts[0])
    join = getattr(namespace, "concat", None) or getattr(namespace, "concatenate", None)
    if join is None:
        raise _not_joinable(key, parts[0])
    try:
        return join(parts)
    except Exception as error:  # noqa: BLE001  (libraries raise their own, such as for two devices)
        raise_alone(
            MaterializeError(
                "geometry_mismatch",
                expected=f"{shown_name(key)} of all images in arrays that can be joined",
                got=f"{type_name(type(error))} from {shown_text(namespace.__name__)}",
                hint="the arrays are of several kinds; use the outputs of each image",
            )
        )


def _namespace(array: Any) -> Any:
    """The namespace of an array's functions, by the array API standard, or its package."""
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    return sys.modules.get(type(array).__module__.partition(".")[0])


def _not_joinable(key: str, value: Any) -> MaterializeError:
    return MaterializeError(
        "geometry_mismatch",
        expected=f"{shown_name(key)} as arrays of a library that can join them",
        got=shown(value),
        hint="use the outputs of each image",
    )


def _shape(shape: tuple[Any, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
