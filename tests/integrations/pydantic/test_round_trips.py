"""Every type round-trips through a model: both dump modes, JSON text and MessagePack."""

from __future__ import annotations

import copy
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import encode_json, encode_msgpack, to_builtins
from tests.integrations.pydantic.models import NAMES, box, value_of, values


@pytest.mark.parametrize("name", NAMES)
class TestRoundTrips:
    @given(st.data())
    def test_dumps_round_trip(self, name: str, data: st.DataObject) -> None:
        """Mode "python", by itself and as verifiers sends it; mode "json" and JSON text."""
        value = data.draw(values(name))
        model = box(name)(value=value)
        assert value_of(model) is value
        dumped = model.model_dump()
        assert dumped == {"value": to_builtins(value)}
        for again in (dumped, msgspec.msgpack.decode(msgspec.msgpack.encode(dumped))):
            read = box(name).model_validate(again)
            assert read == model == copy.deepcopy(read)
            assert encode_msgpack(value_of(read)) == encode_msgpack(value)
        written = {"value": json.loads(encode_json(value))}
        in_json = model.model_dump(mode="json")
        assert in_json == written
        text = model.model_dump_json()
        assert json.loads(text) == written
        for read in (box(name).model_validate(in_json), box(name).model_validate_json(text)):
            assert read == model
            assert encode_json(value_of(read)) == encode_json(value)
