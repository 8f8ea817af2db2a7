"""Rules of fields with free values: descriptors' payloads, free JSON, fields of open records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from rawmm.rules.rule import Rule, list_reader
from rawmm.values.open_arrays import with_array_bytes
from rawmm.values.payload import Mode, is_clean, payload_errors
from rawmm.values.plain import plain_copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import Path, RawMMError


def _rule(name: str, attribute: str, mode: Mode) -> Rule:
    """The rule of the fields that a class variable lists."""
    read = list_reader(attribute)

    def errors(struct: Any, path: Path) -> Iterator[RawMMError]:
        fields = getattr(struct, attribute)
        for field, value in zip(fields, read(struct), strict=True):
            if value is not UNSET and value is not None:
                yield from payload_errors(value, (*path, field), mode)

    def holds(struct: Any) -> bool:
        for value in read(struct):
            if value is not UNSET and value is not None and not is_clean(value, mode):
                return False
        return True

    return Rule(name, errors, holds)


RULES: Final = (
    _rule("payload", "__descriptor_fields__", Mode.DESCRIPTOR),
    _rule("free_json", "__json_fields__", Mode.JSON),
    _rule("wire_values", "__wire_fields__", Mode.WIRE),
)


def normalize(struct: Any) -> None:
    """Replace the free values of a valid struct by what decoding them would return.

    Constructors also accept tuples, mappings and subclasses of scalars, which become lists, dicts
    and plain scalars. In the values of open records, only the text of encoded arrays is replaced,
    by its bytes.
    """
    for name in struct.__wire_fields__:
        value = getattr(struct, name)
        if (copy := with_array_bytes(value)) is not value:
            setattr(struct, name, copy)
    for names, mode in (
        (struct.__descriptor_fields__, Mode.DESCRIPTOR),
        (struct.__json_fields__, Mode.JSON),
    ):
        for name in names:
            value = getattr(struct, name)
            if value is not None and not is_clean(value, mode):
                setattr(struct, name, plain_copy(value))
