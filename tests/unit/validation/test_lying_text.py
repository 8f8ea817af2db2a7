"""Assigned text whose class compares as it likes is judged by its base value, or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rawmm import RawMMError, convert, encode_json, schemas, to_builtins, validate
from rawmm.model.types import TYPES, Contract, PackedStream
from tests.cases import each, every

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


def assign(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, Contract):
        setattr(holder, key, value)
    else:
        holder[key] = value


def verdict(call: Any, *given: Any) -> str | None:
    try:
        call(*given)
    except RawMMError as error:
        return error.code
    return None


CALLS = (validate, encode_json, to_builtins)


@every(3)
@each("name", sorted({name for name, _ in DOCUMENTS}))
def test_text_of_a_subclass_is_judged_by_its_base_value(name: str, step: int) -> None:
    """Each text of each document, or one of `step`; the next document's next ones."""
    for number, (own, document) in enumerate(DOCUMENTS):
        if own != name:
            continue
        struct = convert(json.loads(document), TYPES[name])
        for holder, key in list(texts(struct))[number % step :: step]:
            old = getattr(holder, key) if isinstance(holder, Contract) else holder[key]
            for text in (old, "video"):
                assign(holder, key, text)
                verdicts = [verdict(call, struct) for call in CALLS]
                encoded = encode_json(struct) if verdicts[1] is None else None
                for kind in (Raising, Lying):
                    assign(holder, key, kind(text))
                    where = (document, key, kind)
                    assert [verdict(call, struct) for call in CALLS] == verdicts, where
                    if encoded is not None:
                        assert encode_json(struct) == encoded, where
            assign(holder, key, old)
