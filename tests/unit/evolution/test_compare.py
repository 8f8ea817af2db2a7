"""The verdict on every pair of the table, and what a comparison says about each difference."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from rawmm import ContractError, RawMMError
from rawmm.evolution import compare
from rawmm.evolution.documents import Document
from rawmm.evolution.prover import Prover
from tests.unit.evolution.pairs import INT, PAIRS, STR, Pair, closed, defs, opened, ref, text

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_REFUTED = {("pattern that implies a length", "forward")}
"""Refused without a proof that it breaks: the search finds no counterexample."""


def name_of(pair: Pair) -> str:
    return pair.name


@pytest.mark.parametrize("pair", PAIRS, ids=name_of)
def test_pair_has_its_verdict_in_both_directions(pair: Pair) -> None:
    found = compare(pair.old, pair.new, definitions=False)
    for direction in ("backward", "forward"):
        wanted = "yes" if getattr(pair, direction) else "no"
        if (pair.name, direction) in NOT_REFUTED:
            wanted = "unknown"
        assert getattr(found, direction) == wanted, direction


@pytest.mark.parametrize("pair", [p for p in PAIRS if not p.backward], ids=name_of)
def test_break_has_a_rule_and_a_counterexample(pair: Pair) -> None:
    found = compare(pair.old, pair.new, definitions=False)
    shown = [one for one in found.breaking if one.has_counterexample]
    assert shown
    for one in shown:
        at_root = one.definition is None
        old, new = pair.old, pair.new
        if not at_root:
            old, new = (
                {**s, **ref(str(one.definition))}
                for s in ({"$defs": old["$defs"]}, {"$defs": new["$defs"]})
            )
        assert jsonschema_rs.is_valid(old, one.counterexample)
        assert not jsonschema_rs.is_valid(new, one.counterexample)
        assert one.rule
        assert one.pointer.startswith("#")


def test_table_has_distinct_pairs() -> None:
    assert len({pair.name for pair in PAIRS}) == len(PAIRS) >= 60


SCALARS: list[Any] = [
    None, True, False, 0, 1, 2, 5, 6, 9, 10, -1, 1.5, 0.5, "", "a", "b", "aa", "ab", "ac", "abc", "é", "\r", "\n",
    "0" * 16, "f" * 32, "x" * 9, [], [1], [1, 1], [1, 2], [1, "a"], ["a", 1], [1, 2, 3], [1.5], [[1]], [[]], {},
]  # fmt: skip
NAMES = ("a", "b", "k", "p", "pa", "pq", "v", "x", "y", "next", "left")


def documents() -> Iterator[Any]:
    yield from SCALARS
    for name, value in itertools.product(NAMES, SCALARS):
        yield {name: value}
    for one, two in itertools.combinations(NAMES, 2):
        for values in itertools.product(("a", "b", "c", 1, 0.5, 50), repeat=2):
            yield dict(zip((one, two), values, strict=True))
    for name in ("next", "left"):
        yield from ({"v": 1, name: {"v": value}} for value in (1, 50, 1.5, "a"))


@pytest.mark.slow
def test_no_pair_of_all_schemas_is_wrongly_compatible() -> None:
    """Every schema of the table against every other: no document contradicts a proof."""
    listed = list(
        {json.dumps(s, sort_keys=True): s for p in PAIRS for s in (p.old, p.new)}.values()
    )
    every = list(documents())
    read = [Document(schema) for schema in listed]
    accepted = []
    for schema in listed:
        validator = jsonschema_rs.Draft202012Validator(schema)
        accepted.append({i for i, document in enumerate(every) if validator.is_valid(document)})
    prover = Prover()
    proved = 0
    for (one, inner), (two, outer) in itertools.product(zip(read, accepted, strict=True), repeat=2):
        if inner - outer:
            wrong = prover.proves(one.node(one.root), two.node(two.root))
            assert not wrong, (one.source, two.source, every[min(inner - outer)])
        else:
            proved += 1
    assert proved > len(listed)


@pytest.mark.parametrize(
    ("old", "new", "rule", "pointer"),
    [
        (closed(a=INT), closed(["a"], a=INT), "required_property_added", "#/required"),
        (closed(a=INT, b=INT), closed(a=INT), "property_removed_from_closed_object", "#/properties/b"),
        (opened(a=INT), closed(a=INT), "object_closed", "#/additionalProperties"),
        (opened(), opened(a=INT), "property_added_to_open_object", "#/properties/a"),
        ({"enum": [1, 2]}, {"enum": [1]}, "enum_value_removed", "#/enum"),
        ({"const": 1}, {"const": 2}, "const_changed", "#/const"),
        ({"type": ["string", "null"]}, STR, "type_narrowed", "#/type"),
        ({"pattern": "^[ab]$"}, {"pattern": "^a$"}, "pattern_narrowed", "#/pattern"),
        ({"minimum": 1}, {"minimum": 2}, "minimum_raised", "#/minimum"),
        ({"maxLength": 3}, {"maxLength": 2}, "max_length_lowered", "#/maxLength"),
        ({"type": "array"}, {"type": "array", "minItems": 1}, "min_items_added", "#/minItems"),
        ({"anyOf": [STR, INT]}, {"anyOf": [STR]}, "union_member_removed", "#/anyOf/1"),
        ({"not": {"const": 1}}, {"not": INT}, "not_narrowed", "#/not"),
        (closed(a=closed(b=INT)), closed(a=closed(["b"], b=INT)), "required_property_added", "#/properties/a/required"),
    ],
)  # fmt: skip
def test_difference_names_rule_and_place(old: Any, new: Any, rule: str, pointer: str) -> None:
    (one,) = compare(old, new).breaking
    assert (one.rule, one.pointer, one.has_counterexample) == (rule, pointer, True)


def test_optional_property_raises_the_minor_version() -> None:
    found = compare(closed(a=INT), closed(a=INT, b=STR))
    assert (found.backward, found.forward, found.bump) == ("yes", "no", "minor")
    assert [one.rule for one in found.differences] == ["property_added_to_closed_object"]


def test_break_is_reported_at_its_definition() -> None:
    old = {"$defs": {"A": closed(x=ref("B")), "B": closed(y=INT)}}
    new = {"$defs": {"A": closed(x=ref("B")), "B": closed(["y"], y=INT)}}
    found = compare(old, new)
    assert [(one.rule, one.definition) for one in found.breaking] == [
        ("required_property_added", "B")
    ]
    assert found.parts["A"].backward != "yes"


def test_definition_that_only_one_has_is_reported() -> None:
    old, new = ({"$defs": {name: closed(a=INT)}} for name in ("A", "B"))
    assert [(one.rule, one.definition, one.breaks) for one in compare(old, new).differences] == [
        ("definition_removed", "A", True),
        ("definition_added", "B", False),
    ]


def test_type_that_a_bundle_no_longer_lists_is_reported_at_its_root() -> None:
    types = {"A": closed(["a"], a=INT), "B": closed(["b"], b=INT)}
    old, new = ({"$defs": types, "anyOf": [ref(n) for n in names]} for names in ("AB", "A"))
    (one,) = compare(old, new).breaking
    assert one.has_counterexample
    assert list(one.counterexample) == ["b"]
    assert compare(new, old).backward == "yes"


def test_wider_definition_that_narrows_another_is_reported_there() -> None:
    old = {"$defs": {"K": {"enum": ["a"]}, "O": {"propertyNames": {"not": ref("K")}}}}
    new = {"$defs": {"K": {"enum": ["a", "b"]}, "O": {"propertyNames": {"not": ref("K")}}}}
    (one,) = compare(old, new).breaking
    assert (one.definition, one.rule) == ("O", "schema_narrowed")
    assert one.has_counterexample
    assert list(one.counterexample) == ["b"]


@pytest.mark.parametrize(
    ("old", "new", "rule", "breaks"),
    [
        ({}, {"x-rawmm-rules": ["r"]}, "rule_added", True),
        ({"x-rawmm-rules": ["r"]}, {}, "rule_removed", False),
        ({"x-rawmm-max-values": 9}, {"x-rawmm-max-values": 8}, "max_values_lowered", True),
        ({}, {"x-rawmm-max-depth": 8}, "max_depth_lowered", True),
        ({"x-rawmm-max-text": 8}, {"x-rawmm-max-text": 9}, "max_text_raised", False),
        ({"x-rawmm-items": {"type": "number"}}, {"x-rawmm-items": INT}, "elements_narrowed", True),
        ({"x-rawmm-items": INT}, {"x-rawmm-items": {"type": "number"}}, "elements_widened", False),
        ({"x-rawmm-code": "a"}, {"x-rawmm-code": "b"}, "code_changed", False),
        ({"x-rawmm-tag": "a"}, {"x-rawmm-tag": "b"}, "tag_changed", False),
        ({"default": 1}, {"default": 2}, "default_changed", False),
    ],
)  # fmt: skip
def test_annotation_is_compared(old: Any, new: Any, rule: str, *, breaks: bool) -> None:
    found = compare({"$defs": {"A": old}}, {"$defs": {"A": new}})
    assert [(one.rule, one.breaks) for one in found.differences] == [(rule, breaks)]
    assert (found.backward != "yes") is breaks


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"}, {"$ref": "other.json"}, {"$ref": "#/$defs/gone"}, {"pattern": "("}, 3, None, "x", [],
        {"$schema": "http://json-schema.org/draft-07/schema#"}, {"properties": {"a": {"$id": "b"}}}, {"const": object()},
        {"required": {"a"}},
    ],
    ids=lambda schema: str(schema).partition(" object at")[0],  # without addresses
)  # fmt: skip
def test_value_that_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(RawMMError):
        compare(schema, {})
    with pytest.raises(RawMMError):
        compare({}, schema)


def test_dialect_is_named() -> None:
    with pytest.raises(ContractError, match="draft 2020-12") as caught:
        compare({"$schema": "http://json-schema.org/draft-07/schema#"}, {})
    assert caught.value.code == "bad_schema"


def test_keyword_that_the_prover_does_not_know_is_never_assumed() -> None:
    old = {**opened(a=INT), "unevaluatedProperties": False}
    assert compare(old, old).backward == "yes"
    assert compare(opened(a=INT), old).backward != "yes"
    both = {"allOf": [opened(a=INT)], "unevaluatedProperties": False}
    assert compare(both, {**both, "allOf": [opened(b=INT)]}).backward != "yes"


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("string", "minLength", "maxLength"),
        ("array", "minItems", "maxItems"),
        ("object", "minProperties", "maxProperties"),
    ],
)
def test_size_that_is_written_as_a_float_counts_as_an_integer(
    kind: str, least: str, most: str
) -> None:
    floats, ints = ({"type": kind, least: a, most: b} for a, b in ((1.0, 2.0), (1, 2)))
    assert compare(floats, ints)[:2] == ("yes", "yes")
    assert compare({"type": kind}, floats).breaking[0].has_counterexample


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({}, {"x-rawmm-rules": ["r"]}),
        ({"x-rawmm-max-values": 10}, {"x-rawmm-max-values": 5}),
        ({"x-rawmm-items": INT}, {"x-rawmm-items": {**INT, "minimum": 0}}),
    ],
)
def test_annotation_of_a_plain_file_is_compared(was: Any, now: Any) -> None:
    for old, new in (
        (was, now),
        ({"properties": {"a": was}}, {"properties": {"a": now}}),
        (defs(ref("A"), A=was), defs(ref("A"), A=now)),
    ):
        assert compare(old, new)[:2] == ("no", "yes")
        assert compare(old, old)[:2] == compare(new, new)[:2] == ("yes", "yes")


@pytest.mark.parametrize("flagged", ["(?i)abc", "(?m)^abc$", "(?x)a b c", "(?s)abc", "(?P<n>abc)"])
def test_pattern_that_regular_expressions_of_json_schema_lack_proves_nothing(flagged: str) -> None:
    plain = flagged.partition(")")[2] or "abc"
    assert compare(text(flagged), text(plain)).backward != "yes"
    assert compare(text(plain), text(flagged)).backward != "yes"


@pytest.mark.parametrize("unread", ["a(?=b)", "(a)\\1", "(?:ab)*+c", "^(?![\\d])a", "\\bab"])
def test_pattern_that_is_not_read_proves_nothing(unread: str) -> None:
    assert compare(text(unread), text("abc")).backward != "yes"
    assert compare(text("abc"), text(unread)).backward != "yes"


@pytest.mark.parametrize("no_pattern", ["^(?!a", "^(?![a", "(a", "[a"])
def test_pattern_without_its_end_is_refused(no_pattern: str) -> None:
    with pytest.raises(ContractError) as caught:
        compare(text("abc"), text(no_pattern))
    assert caught.value.code == "bad_schema"


def test_escaped_bracket_does_not_close_a_lookahead() -> None:
    assert compare(text(r"^(?!\))a"), text("^a")).backward == "yes"
    assert compare(text(r"^(?!\))"), text("^[^)]")).backward != "yes"  # also an empty text


@pytest.mark.parametrize(
    ("old", "new"),
    [("^(?!a)b|c", "^[^a]"), ("^(?!a)b|c", "^(?!a)"), ("^(?!a|b)c|a", "^[^ab]")],
)
def test_lookahead_of_one_branch_does_not_hold_for_the_others(old: str, new: str) -> None:
    assert compare(text(old), text(new)).backward != "yes"  # "ac" or "a"


def test_hard_goal_is_unknown_not_endless() -> None:
    many = {"anyOf": [closed([f"p{i}"], **{f"p{i}": INT, "q": {"minimum": i}}) for i in range(40)]}
    document = Document({**many, "oneOf": many["anyOf"]})
    assert not Prover(500).proves(
        Document(many).node(Document(many).root), document.node(document.root)
    )


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["a{2000}", "(a{90}){90}"])
def test_pattern_with_too_many_states_is_unknown_not_endless(pattern: str) -> None:
    assert compare(text(pattern), text("b")).backward == "unknown"
    assert compare(text("^a{0,255}$"), text("b")).backward == "no"


def test_comparison_leaves_its_arguments_unchanged() -> None:
    old, new = defs(ref("A"), A=closed(a=INT)), defs(ref("A"), A=closed(["a"], a=INT))
    before = json.dumps([old, new])
    compare(old, new)
    assert json.dumps([old, new]) == before
