"""The Hypothesis entry point: ``st.from_type`` draws structs that obey the contract."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm
from rawmm.model.types import TYPES, Contract

STRUCTS = [kind for kind in TYPES.values() if isinstance(kind, type) and issubclass(kind, Contract)]


def test_registration_is_an_entry_point() -> None:
    (found,) = entry_points(group="hypothesis", name="rawmm")
    assert found.value == "rawmm.integrations.hypothesis:register"


@pytest.mark.parametrize("kind", STRUCTS)
@given(data=st.data())
def test_drawn_struct_obeys_the_contract(data: st.DataObject, kind: type[Contract]) -> None:
    value = data.draw(st.from_type(kind))
    assert type(value) is kind
    rawmm.validate(value, kind)


@given(data=st.data())
def test_members_of_a_union_are_drawn(data: st.DataObject) -> None:
    union: Any = rawmm.UserMessage | rawmm.ToolMessage
    assert isinstance(data.draw(st.from_type(union)), union)
