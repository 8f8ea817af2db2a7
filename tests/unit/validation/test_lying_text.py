"""Assigned text whose class compares as it likes is judged by its base value, or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import RawMMError, convert, decode_json, encode_json, schemas, to_builtins, validate
from rawmm.model.types import TYPES, Contract, PackedStream

if TYPE_CHECKING:
    from collections.abc import Iterator


class Raising(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise OSError

    __hash__ = str.__hash__


class Lying(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


DOCUMENTS = [
    (vector["type"], vector["document"])
    for vector in schemas.conformance_vectors()
    if "code" not in vector
]


def texts(value: Any) -> Iterator[tuple[Any, Any]]:
    """The holder and key of each text in the structs, dicts and lists of a value."""
    if isinstance(value, PackedStream):
        return
    if isinstance(value, Contract):
        pairs: Any = [(name, getattr(value, name)) for name in value.__struct_fields__]
    elif isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return
    for key, child in pairs:
        if type(child) is str:
            yield value, key
        else:
            yield from texts(child)


def with_text(name: str, document: str, index: int, kind: type[str], text: str | None) -> Any:
    struct = convert(json.loads(document), TYPES[name])
    holder, key = list(texts(struct))[index]
    value = getattr(holder, key) if isinstance(holder, Contract) else holder[key]
    new = kind(value if text is None else text)
    if isinstance(holder, Contract):
        setattr(holder, key, new)
    else:
        holder[key] = new
    return struct


def verdict(call: Any, *given: Any) -> str | None:
    try:
        call(*given)
    except RawMMError as error:
        return error.code
    return None


@pytest.mark.parametrize("kind", [str, Raising, Lying])
@pytest.mark.parametrize("text", [None, "video"])
@pytest.mark.parametrize("name", sorted({name for name, _ in DOCUMENTS}))
def test_text_of_a_subclass_is_judged_by_its_base_value(
    name: str, text: str | None, kind: type[str]
) -> None:
    for own, document in DOCUMENTS:
        if own != name:
            continue
        for index in range(len(list(texts(convert(json.loads(document), TYPES[name]))))):
            same = with_text(name, document, index, str, text)
            struct = with_text(name, document, index, kind, text)
            for call in (validate, encode_json, to_builtins):
                assert verdict(call, struct) == verdict(call, same)
            if verdict(encode_json, same) is None:
                assert decode_json(encode_json(struct), TYPES[name]) == same
