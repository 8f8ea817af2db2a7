"""Round trips of every type through JSON, MessagePack and both."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from rawmm import (
    MessageNode,
    Tool,
    Trace,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    to_builtins,
    validate,
)
from rawmm.model.types import TYPES, Contract
from rawmm.testing import strategies
from rawmm.values.extras import open_objects
from tests.property.oracle import without_defaults

KINDS = [TYPES[name] for name in sorted(TYPES)]


@pytest.mark.parametrize("kind", KINDS)
class TestRoundTrips:
    @given(st.data())
    def test_every_round_trip_is_equal(self, kind: type[Contract], data: st.DataObject) -> None:
        """Through JSON, MessagePack, both, plain objects, copies and pickles."""
        value = data.draw(strategies.instances(kind))
        validate(value)
        encoded, packed = encode_json(value), encode_msgpack(value)
        from_json, from_msgpack = decode_json(encoded, kind), decode_msgpack(packed, kind)
        assert from_json == value
        assert encode_json(from_json) == encoded
        assert from_msgpack == value
        assert encode_msgpack(from_msgpack) == packed
        assert encode_json(decode_msgpack(encode_msgpack(from_json), kind)) == encoded
        assert convert(to_builtins(value), kind) == value
        assert copy.deepcopy(value) == value
        assert pickle.loads(pickle.dumps(value)) == value

    @given(st.data())
    def test_document_is_equal_after_a_round_trip(
        self, kind: type[Contract], data: st.DataObject
    ) -> None:
        """All properties are kept; only defaults of the schema are added."""
        document = data.draw(strategies.documents(kind.__name__))
        back = json.loads(encode_json(decode_json(json.dumps(document), kind)))
        assert without_defaults(back, document) == document


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.__open__])
@given(st.data())
def test_unknown_fields_are_kept_unchanged(kind: Any, data: st.DataObject) -> None:
    value = data.draw(strategies.instances(kind))
    assert not (value.extra or {}).keys() & kind.__known__
    document = to_builtins(value)
    document["future_field"] = {"deep": [1, None, {"x": 1.5}]}
    encoded = msgspec.json.encode(document)
    again = json.loads(encode_json(decode_json(encoded, kind)))
    assert again == json.loads(encoded)


@pytest.mark.parametrize("kind", [Tool, MessageNode, Trace])
def test_strategies_draw_unknown_fields(kind: Any) -> None:
    def has_extra(value: Any) -> bool:
        return any(one.extra for path, one in open_objects(value) if kind is not Trace or path)

    found = settings(max_examples=1000, phases=[Phase.generate], database=None)
    find(strategies.instances(kind), has_extra, settings=found)
