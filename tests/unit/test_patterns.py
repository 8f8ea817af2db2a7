"""The lint of patterns: backtracking engines match accepted patterns in linear time."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from codegen.patterns import AmbiguousError, check_linear
from rawmm import ContractError, decode_json, iter_errors, schemas
from rawmm.model.types import TYPES
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Iterator

AMBIGUOUS = [
    "^(a+)+$", "^(a*)*$", "^(a+)*$", "^(a|a)*$", "^(a|aa)*$", "^(a?)+$", "^(a?b?)*$",
    "^a*a*$", "^a+a+$", "^a*ba*|a*$", "^a*b?a*$", "^[a-c]*[b-d]*$", r"^\.{3,}[a.]*$",
    "^(a?){25}a{25}$", "^(x+x+)+y$", "^([a-z]+,?)*$", "^(ab|a)(bc|c)*$", "^(a|b|ab)*c$",
    "^[^a]*[^b]*$", "^(a|())*$", "^((a{1,2}){1,2})+$", "^a?[ab]?[abc]*$",
    "^(a?|b?){25}c$", "^(|){25}c$", "^(a|b?|)c$",
    r"^(\.{0,2}[A-Za-z0-9_-][A-Za-z0-9_.-]*|\.{3,}[A-Za-z0-9_.-]*)$",
]  # fmt: skip
OUTSIDE = [
    "^a|b$",
    "^a**$",
    "^+a$",
    "^(a$",
    "^a)$",
    "^(?:a)$",
    "^a{2,1}$",
    "^.$",
    r"^\n$",
    r"^\u0061$",
    r"^[\u0100-\u0200]$",
    "^a{999}$",
]
LINEAR = [
    "^$", "^a$", "^a*$", "^(ab)+$", "^(a|b)*$", "^a*b*$", "^(a,)*a?$", "^[^a]*a[^a]*$",
    "^(a{2}){3,}$", "^(aa|b)*(ab)?$", r"^[\]\\a-]+$", "^a{0,9}b{2,3}c{0,}$", "^x(y|)z$",
    r"^[^\u0000-\u001f\u007f]+$",
]  # fmt: skip


@each("pattern", AMBIGUOUS)
def test_ambiguous_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(AmbiguousError):
        check_linear(pattern)


@pytest.mark.parametrize("pattern", OUTSIDE)
def test_unsupported_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(AmbiguousError):
        check_linear(pattern)


@pytest.mark.parametrize("pattern", LINEAR)
def test_unambiguous_pattern_is_accepted(pattern: str) -> None:
    check_linear(pattern)


# A pattern as data for the counting engine: a set of characters, or an operator and its parts.
Node = Any
CHARACTERS = st.sampled_from(["a", "b", "ab"])
BOUNDS = st.sampled_from([(0, 1), (0, None), (1, None), (2, 2), (0, 2), (1, 3), (2, None)])
NODES: st.SearchStrategy[Node] = st.recursive(
    CHARACTERS,
    lambda inner: (
        st.tuples(st.just("then"), inner, inner)
        | st.tuples(st.just("or"), inner, inner)
        | st.tuples(st.just("times"), inner, BOUNDS)
    ),
    max_leaves=5,
)


def written(node: Node) -> str:
    if isinstance(node, str):
        return f"[{node}]"
    operator, left, right = node
    if operator == "times":
        low, high = right
        return f"({written(left)}){{{low},{'' if high is None else high}}}"
    joined = {"then": "", "or": "|"}[operator].join(map(written, (left, right)))
    return f"({joined})"


class Engine:
    """Matches like backtracking engines: alternatives in order, repetitions greedily."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = 0

    def ends(self, node: Node, at: int) -> Iterator[int]:
        self.steps += 1
        if isinstance(node, str):
            if at < len(self.text) and self.text[at] in node:
                yield at + 1
            return
        operator, left, right = node
        if operator == "then":
            for end in self.ends(left, at):
                yield from self.ends(right, end)
        elif operator == "or":
            yield from self.ends(left, at)
            yield from self.ends(right, at)
        else:
            yield from self.repeated(left, at, *right)

    def repeated(self, node: Node, at: int, low: int, high: int | None) -> Iterator[int]:
        self.steps += 1
        enough = not low
        if high != 0:
            for end in self.ends(node, at):
                if end > at:
                    rest = None if high is None else high - 1
                    yield from self.repeated(node, end, max(low - 1, 0), rest)
                else:  # an empty part may repeat any number of times
                    enough = True
        if enough:
            yield at


def steps(node: Node, text: str) -> int:
    """The work of a match that fails at the end of `text`."""
    engine = Engine(text)
    for _ in engine.ends(node, 0):
        engine.steps += 1
    return engine.steps


@given(NODES, st.sampled_from(["a", "b", "ab", "ba", "aab"]))
def test_accepted_pattern_takes_linear_work(node: Node, word: str) -> None:
    try:
        check_linear(f"^{written(node)}$")
    except AmbiguousError:
        assume(False)
    short, long = (steps(node, (word * 120)[:size]) for size in (40, 80))
    assert long <= 2.5 * short + 100


@given(NODES, st.lists(st.sampled_from("ab"), max_size=8).map("".join))
def test_counting_engine_matches_like_re(node: Node, text: str) -> None:
    found = any(end == len(text) for end in Engine(text).ends(node, 0))
    assert found == bool(re.fullmatch(written(node), text))


def test_counting_engine_detects_backtracking() -> None:
    """The property above can fail: these patterns are refused and take more than linear work."""
    squares: Node = ("then", ("times", "a", (0, None)), ("times", "a", (0, None)))
    assert steps(squares, "a" * 80) > 3.5 * steps(squares, "a" * 40)
    powers: Node = ("times", ("times", "a", (1, None)), (1, None))
    assert steps(powers, "a" * 14) > 15 * steps(powers, "a" * 10)


BEFORE = re.compile(r"^(\.{0,2}[A-Za-z0-9_-][A-Za-z0-9_.-]*|\.{3,}[A-Za-z0-9_.-]*)\Z")
"""The former pattern of a raw image id, which was not linear."""


def id_pattern() -> re.Pattern[str]:
    pattern = schemas.bundle()["$defs"]["RawImageId"]["pattern"]
    return re.compile(pattern.removesuffix("$") + r"\Z")


def test_raw_image_id_accepts_what_it_did_before() -> None:
    now = id_pattern()
    for length in range(8):
        for letters in itertools.product(".a-!\n", repeat=length):
            text = "".join(letters)
            assert bool(now.search(text)) == bool(BEFORE.search(text)), repr(text)


@given(st.text(alphabet=st.sampled_from("..._-aZ9!é/\n\0"), max_size=30))
def test_raw_image_id_accepts_what_it_did_before_on_any_text(text: str) -> None:
    expected = bool(re.fullmatch(r"[A-Za-z0-9_.-]+", text)) and text not in {".", ".."}
    assert bool(id_pattern().search(text)) == bool(BEFORE.search(text)) == expected


MEGABYTE = 1_000_000
HOSTILE = {
    "Name": "." * MEGABYTE + "!",
    "LayoutFingerprint": "0" * MEGABYTE + "!",
    "ImageHash": "0" * MEGABYTE + "!",
    "MediaId": "a" * MEGABYTE + "\t!",
    "RawImageId": "." * MEGABYTE + "!",
    "RawImageUri": "data:image/" + "a" * MEGABYTE,
    "ArrayData": "A" * MEGABYTE + "!",
}


def test_every_named_pattern_has_hostile_text() -> None:
    named = {name for name, schema in schemas.bundle()["$defs"].items() if "pattern" in schema}
    assert named == set(HOSTILE)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_text_is_refused_by_its_pattern(name: str) -> None:
    """On a megabyte of text, a backtracking pattern would take days."""
    pattern = {"pattern": schemas.bundle()["$defs"][name]["pattern"]}
    assert not jsonschema.Draft202012Validator(pattern).is_valid(HOSTILE[name])
    assert not jsonschema_rs.is_valid(pattern, HOSTILE[name])


PLACES = {
    "Name": ("RawMMItem", "family"),
    "LayoutFingerprint": ("RawMMItem", "layout_fingerprint"),
    "RawImageId": ("RawMMItem", "raw_image_id"),
    "RawImageUri": ("RawMMItem", "raw_image_uri"),
    "ImageHash": ("RawMMRef", "mm_hash"),
    "MediaId": ("ContentPart", "uuid"),
    "ArrayData": ("EncodedArray", "data"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_text_is_refused_in_a_document(name: str) -> None:
    kind, field = PLACES[name]
    document = {field: HOSTILE[name]}
    with pytest.raises(ContractError):
        decode_json(json.dumps(document).encode(), TYPES[kind])
    assert f"$.{field}" in [error.path for error in iter_errors(document, TYPES[kind])]
