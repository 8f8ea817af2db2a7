"""Fields of structs cannot be deleted: no entry point meets a struct without one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm
from rawmm.model.types import TYPES, Contract
from rawmm.testing import strategies

STRUCTS = sorted(
    name for name, kind in TYPES.items() if isinstance(kind, type) and issubclass(kind, Contract)
)


@pytest.mark.parametrize("name", STRUCTS)
@given(data=st.data())
def test_deleting_a_field_is_an_error_and_changes_nothing(data: st.DataObject, name: str) -> None:
    kind: Any = TYPES[name]
    value = data.draw(strategies.instances(kind))
    before = rawmm.to_builtins(value)
    for field in kind.__struct_fields__:
        with pytest.raises(AttributeError, match=r"cannot be deleted|immutable"):
            delattr(value, field)
    assert rawmm.to_builtins(value) == before
