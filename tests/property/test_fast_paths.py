"""Fast checks and revalidation agree with the errors of the rules."""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rawmm import RawMMError, convert, decode_json, encode_msgpack, schemas, to_builtins
from rawmm.model.types import TYPES, Contract
from rawmm.rules.registry import RULES, rules_hold
from rawmm.testing import strategies
from rawmm.validation import errors as collect
from rawmm.validation.convert import to_struct
from rawmm.validation.revalidate import revalidate
from tests.builders import structs_in
from tests.cases import each

RULED = sorted(name for name, kind in TYPES.items() if kind.__rules__)
VECTORS = schemas.conformance_vectors()
ODD = [
    None, True, False, 0, -1, 2**64, 1.5, float("nan"), "", "x", "..", "\ud800", b"x",
    (), (1, 2), [], [1], [True], [1.0], {}, {"image": []}, {"url": "x"}, {1: 2}, {"a": [object]},
    {"role": "user", "content": "x"}, {"type": "text", "text": "x"}, object(), Contract,
]  # fmt: skip


def with_a_dict_in_it(value: Any) -> Any:
    """A field whose first struct is replaced by plain data."""
    if isinstance(value, Contract):
        return to_builtins(value)
    if isinstance(value, list) and value:
        return [with_a_dict_in_it(value[0]), *value[1:]]
    if isinstance(value, dict) and value:
        first = next(iter(value))
        return value | {first: with_a_dict_in_it(value[first])}
    return value


def with_an_odd_element(value: Any, odd: Any) -> Any:
    """A field whose list or dict holds an odd value."""
    if isinstance(value, list):
        return [*value[:-1], odd]
    if isinstance(value, dict) and value:
        key, first = next(iter(value.items()))
        below = with_an_odd_element(first, odd) if isinstance(first, list) else odd
        return value | {key: below}
    return odd


def check_fast(document: Any, name: str) -> None:
    """For any document of the right shape, no fast check is laxer than its rule."""
    with collect._pause():
        try:
            value = to_struct(document, TYPES[name])
        except (msgspec.ValidationError, RecursionError):
            return
    for one in structs_in(value):
        broken = []
        for rule in type(one).__rules__:
            errors = list(RULES[rule].errors(one, ()))
            broken += errors
            holds = RULES[rule].holds
            if holds is not None and holds(one):
                assert errors == []
        if type(one).__rules__ and rules_hold(one):
            assert broken == []


@pytest.mark.parametrize("name", RULED)
class TestFastChecks:
    @given(st.data())
    def test_fast_check_never_accepts_what_its_rule_refuses(
        self, name: str, data: st.DataObject
    ) -> None:
        drawn = strategies.documents(name) | strategies.shaped(name) | strategies.mutated(name)
        check_fast(data.draw(drawn), name)

    def test_common_structs_pass(self, name: str) -> None:
        valid = [vector for vector in VECTORS if "code" not in vector and vector["type"] == name]
        assert any(rules_hold(decode_json(vector["document"], TYPES[name])) for vector in valid)


@each("vector", VECTORS, ids=lambda vector: str(vector["case"]))
def test_fast_checks_refuse_invalid_vectors(vector: schemas.Vector) -> None:
    try:
        document = json.loads(vector["document"])
    except ValueError:
        return
    check_fast(document, vector["type"])


def check_revalidation(name: str, data: st.DataObject) -> None:
    """Change a field of a struct: revalidation agrees with the errors of the rules."""
    value = convert(data.draw(strategies.documents(name)), TYPES[name])
    one = data.draw(st.sampled_from(list(structs_in(value))))
    if type(one).__struct_config__.frozen:
        return
    field = data.draw(st.sampled_from(type(one).__struct_fields__))
    old = getattr(one, field)
    new = data.draw(
        st.sampled_from(ODD).map(lambda odd: odd if odd is Contract else copy.deepcopy(odd))
        | st.just(old[:-1] if isinstance(old, (list, str)) else old)
        | st.just(old).map(with_a_dict_in_it)
        | st.sampled_from(ODD).map(lambda odd: with_an_odd_element(old, odd))
    )
    setattr(one, field, new)
    refused = any(True for _ in collect.errors_at(value, TYPES[name], ()))
    try:
        revalidate(value)
    except (msgspec.ValidationError, RecursionError):
        assert refused
    else:
        assert not refused or collect.has_bad_text(value)
    if refused:
        with pytest.raises(RawMMError):
            encode_msgpack(value)


@pytest.mark.parametrize("name", sorted(TYPES))
class TestRevalidation:
    @given(st.data())
    @settings(phases=[Phase.generate])
    def test_changed_struct_is_refused_if_it_has_errors(
        self, name: str, data: st.DataObject
    ) -> None:
        check_revalidation(name, data)

    @pytest.mark.slow
    @given(st.data())
    @settings(max_examples=60, phases=[Phase.generate])
    def test_struct_with_any_change_is_refused_if_it_has_errors(
        self, name: str, data: st.DataObject
    ) -> None:
        check_revalidation(name, data)


@each("vector", [one for one in VECTORS if "code" not in one], ids=lambda one: str(one["case"]))
def test_decoded_structs_are_revalidated_without_the_schema(
    vector: schemas.Vector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(struct: Contract) -> None:
        pytest.fail(f"{type(struct).__name__} is checked slowly")

    module = sys.modules[revalidate.__module__]
    monkeypatch.setattr(module, "_check_slowly", fail)
    monkeypatch.setattr(module, "_CHECKS", type(module._CHECKS)())  # compiled with `fail`
    revalidate(decode_json(vector["document"], TYPES[vector["type"]]))
