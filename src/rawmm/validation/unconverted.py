"""Unconverted values: objects assigned to a field where rules expect a struct or a list.

Building and decoding convert them. An assignment does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from rawmm.errors import contract_error, shown
from rawmm.model.types import Contract
from rawmm.values.errors import missing_field
from rawmm.values.fields import (
    ASSIGNABLE,
    NO_STRUCTS,
    FieldInfo,
    iter_children,
    only_numbers,
    struct_fields,
    typed_fields,
)
from rawmm.values.views import LEAVES, as_mapping, is_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import Path, RawMMError


def unconverted_values(value: Any, path: Path) -> Iterator[RawMMError]:
    """An error for each unconverted value in the structs of `value`."""
    kind: Any = type(value)
    if issubclass(kind, Contract):
        fields = msgspec.structs.astuple(value)
        infos = {info.position: info for info in struct_fields(kind)}
        for name, key, index in typed_fields(kind):
            child, info = fields[index], infos.get(index)
            if child is UNSET and name is not None:
                yield missing_field(name, path)
            elif type(child) in NO_STRUCTS:
                continue
            elif info is None:
                yield from _in_plain_field(child, (*path, key))
            elif type(child) not in info.skipped_types:
                yield from _in_struct_field(child, info, (*path, key), keyed=info.keyed)
    else:
        for key, child in iter_children(value):
            if type(child) not in LEAVES:
                yield from unconverted_values(child, (*path, key))


def _in_plain_field(value: Any, path: Path) -> Iterator[RawMMError]:
    kind = type(value)
    if issubclass(kind, Mapping) and (pairs := as_mapping(value)) is not None:
        for key, child in pairs.items():
            if type(child) not in LEAVES:
                yield from _in_plain_field(child, (*path, key))
    elif issubclass(kind, (list, tuple)):
        for index, child in () if only_numbers(value) else enumerate(value):
            if type(child) not in LEAVES:
                yield from _in_plain_field(child, (*path, index))
    elif issubclass(kind, Contract):
        yield contract_error(
            "wrong_type",
            path,
            expected="no struct",
            got=shown(value),
            hint="assign the result of rawmm.to_builtins",
        )
    elif issubclass(kind, Mapping) or not issubclass(kind, (*ASSIGNABLE, bytearray, memoryview)):
        yield _not_a_list(value, path)


def _in_struct_field(
    value: Any, info: FieldInfo, path: Path, *, keyed: bool
) -> Iterator[RawMMError]:
    kind = type(value)
    pairs = as_mapping(value) if keyed and issubclass(kind, Mapping) else None
    if issubclass(kind, Contract):
        yield from unconverted_values(value, path)
    elif issubclass(kind, (str, int, float)):
        return  # a scalar of a subclass, which has the right shape here
    elif pairs is not None or issubclass(kind, (list, tuple)):
        for key, child in iter_children(value) if pairs is None else pairs.items():
            if type(child) not in LEAVES:
                yield from _in_struct_field(child, info, (*path, key), keyed=False)
    elif info.stream:
        yield _not_a_list(value, path)
    else:
        yield contract_error(
            "wrong_type",
            path,
            expected=f"a struct: {info.struct_names}",
            got=shown(value),
            hint="assign the result of rawmm.convert",
        )


def _not_a_list(value: Any, path: Path) -> RawMMError:
    return contract_error(
        "array_payload" if is_array(value) else "wrong_type",
        path,
        expected="a list",
        got=shown(value),
        hint="assign its elements as a list",
    )
