"""The promise: strict parse and schema and integer lexemes <=> decode and rules between fields.

For every type, over valid data, mutated structure and mutated spelling, against jsonschema
and jsonschema-rs.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import RawMMError, convert, decode_json, decode_msgpack, iter_errors
from rawmm.model.types import TYPES
from rawmm.testing import strategies
from tests.property import oracle

NAMES = sorted(TYPES)

RULES_ONLY = {
    "array_size",
    "bad_base64",
    "bad_locator",
    "count_mismatch",
    "hash_mismatch",
    "historical_form",
    "locator_conflict",
    "modality_mismatch",
    "not_json",
    "orphan_image",
    "out_of_range",
    "parent_order",
    "path_escape",
    "placeholder_order",
    "processed_payload",
    "stream_length",
    "too_deep",
    "too_large",
    "unsupported_modality",
}
"""Codes of errors in documents that their schema accepts."""

OPAQUE = re.compile(r"\.data\[\d+\]$|^\$\.kwargs_data\b.*\[\d+\]$")
"""Paths of values that are plain text to the schema: elements of packed streams, references."""


def verdict(data: bytes, name: str) -> str | None:
    """The code of the first error; None if the decoder accepts the document."""
    error = refusal(data, name)
    return None if error is None else error.code


def refusal(data: bytes, name: str) -> RawMMError | None:
    try:
        decode_json(data, TYPES[name])
    except RawMMError as error:
        return error
    return None


def check_law(data: bytes, name: str) -> None:
    error = refusal(data, name)
    code = None if error is None else error.code
    try:
        document = oracle.strict_parse(data)
    except oracle.DuplicateKeyError:
        return  # implementation-defined; `rawmm check` refuses it
    except oracle.NotStrictJsonError:
        assert code is not None
        return
    schema_accepts = oracle.python_accepts(document, name)
    if not oracle.has_integral_float(document):
        assert oracle.rust_accepts(document, name) == schema_accepts
    if error is None:
        assert schema_accepts, "the decoder accepts what the schema refuses"
    elif schema_accepts:
        beyond = code in RULES_ONLY or OPAQUE.search(error.path)
        assert beyond, f"the schema accepts what the decoder refuses with {code}"
    codes = {one.code for one in iter_errors(document, TYPES[name])}
    assert bool(codes) == (code is not None), "the validator and the decoder disagree"
    assert convert_verdict(document, name) == (code is not None)
    check_messagepack(document, name, refused=code is not None)


def convert_verdict(document: Any, name: str) -> bool:
    try:
        convert(document, TYPES[name])
    except RawMMError:
        return True
    return False


def check_messagepack(document: Any, name: str, *, refused: bool) -> None:
    """Both formats agree, except for values that only one of them can encode."""
    try:
        packed = msgspec.msgpack.encode(document)
    except OverflowError:
        return
    try:
        decode_msgpack(packed, TYPES[name])
    except RawMMError:
        assert refused
    else:
        assert not refused


@pytest.mark.parametrize("name", NAMES)
class TestStrictParseAndSchemaEqualsDecodeAndRules:
    @given(st.data())
    def test_valid_documents_agree(self, name: str, data: st.DataObject) -> None:
        document = data.draw(strategies.documents(name))
        encoded = json.dumps(document).encode()
        assert verdict(encoded, name) is None
        check_law(encoded, name)

    @given(st.data())
    def test_documents_of_the_right_shape_agree(self, name: str, data: st.DataObject) -> None:
        document = data.draw(strategies.shaped(name))
        assert oracle.python_accepts(document, name)
        check_law(json.dumps(document).encode(), name)

    @given(st.data())
    def test_documents_with_changed_structure_agree(self, name: str, data: st.DataObject) -> None:
        document = data.draw(strategies.mutated(name))
        check_law(json.dumps(document).encode(), name)

    @given(st.data())
    def test_documents_with_changed_lexemes_agree(self, name: str, data: st.DataObject) -> None:
        check_law(data.draw(strategies.lexemes(name)), name)


@pytest.mark.parametrize("name", NAMES)
@given(st.binary(max_size=64))
def test_any_bytes_give_a_value_or_an_error(name: str, data: bytes) -> None:
    for decode in (decode_json, decode_msgpack):
        try:
            decode(data, TYPES[name])
        except RawMMError as error:
            assert error.code  # noqa: PT017
