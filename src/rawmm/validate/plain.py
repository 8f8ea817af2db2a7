"""What a Python object is, seen as JSON: a mapping, a sequence, an array, or nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import msgspec

from rawmm._contract import wire_fields
from rawmm.structs import MAX_FREE_VALUES, Contract

_ARRAY_PROTOCOLS: Final = (
    "__array__",
    "__array_interface__",
    "__array_struct__",
    "__cuda_array_interface__",
    "__dlpack__",
    "__arrow_c_array__",
)
_RECORD_DEPTH: Final = 256
SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def is_array(value: object) -> bool:
    """Whether `value` is an array, tensor, image object or buffer, by protocol alone.

    Nothing is imported for it: numpy, torch and PIL objects all have one of the protocols.
    """
    kind = type(value)
    if kind in SCALARS or kind is dict or kind is list or kind is tuple:
        return False
    if isinstance(value, Contract):  # numpy can read some, which are objects all the same
        return False
    if isinstance(value, (bytes, bytearray, memoryview)):
        return True
    if any(hasattr(kind, name) for name in _ARRAY_PROTOCOLS):
        return True
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    except (ValueError, BufferError):  # a closed or exported buffer is one all the same
        return True
    return True


def as_mapping(value: object) -> Mapping[Any, Any] | None:
    """`value` as key and value pairs, one level deep; None where it has none.

    Structs come under their wire names, without the fields that are absent.
    """
    if isinstance(value, Mapping):
        return value
    kind = type(value)
    if isinstance(value, Contract):
        return None if value.__struct_config__.array_like else dict(wire_fields(value))
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if hasattr(kind, "model_fields") and callable(getattr(kind, "model_dump", None)):
        dumped: dict[str, Any] = value.model_dump()  # type: ignore[attr-defined]
        return dumped
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def as_sequence(value: object) -> Sequence[Any] | None:
    """`value` as a sequence of values; None for text, bytes, sets and all else.

    Array-like structs are sequences of their fields.
    """
    if isinstance(value, (str, bytes, bytearray, memoryview, AbstractSet)):
        return None
    if isinstance(value, Contract) and value.__struct_config__.array_like:
        return [field for _, field in wire_fields(value)]
    return value if isinstance(value, Sequence) else None


def contains(root: Any, kinds: tuple[type, ...]) -> bool:
    """Whether an object of `kinds` stands in the dicts, lists and tuples of `root`.

    Each container is looked at once, with no recursion. An array that begins with a scalar is
    taken for one of scalars: tokens are not looked through.
    """
    stack = [root]
    seen: dict[int, Any] = {}
    while stack and len(seen) < MAX_FREE_VALUES:
        value = stack.pop()
        if isinstance(value, kinds):
            return True
        if not isinstance(value, (dict, list, tuple)) or not value or id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, dict):
            stack.extend(item for item in value.values() if type(item) not in SCALARS)
        elif type(value[0]) not in SCALARS:
            stack.extend(value)
    return False


def to_plain(value: Any) -> Any:
    """`value` with every struct, model, dataclass, mapping and sequence as dict or list.

    Other objects stay as they are, and so does what lies deeper than any record goes; the
    checks name them. What is shared stays shared, so the work is linear.
    """
    return _to_plain(value, 0, {})


def _to_plain(value: Any, depth: int, done: dict[int, tuple[Any, Any]]) -> Any:
    if type(value) in SCALARS or depth > _RECORD_DEPTH or is_array(value):
        return value
    if id(value) in done:
        return done[id(value)][1]
    # The source is kept beside its copy: an id is only its own while the object lives.
    done[id(value)] = (value, value)
    plain = value
    if (pairs := as_mapping(value)) is not None:
        plain = {key: _to_plain(child, depth + 1, done) for key, child in pairs.items()}
    elif (items := as_sequence(value)) is not None:
        plain = [_to_plain(child, depth + 1, done) for child in items]
    else:
        for base in (str, int, float):
            if isinstance(value, base):
                return base(value)
    done[id(value)] = (value, plain)
    return plain
