"""The registry of rules; mutation shows that no fast check is laxer than its rule."""

from __future__ import annotations

import copy
import itertools
import json
import struct
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

import rawmm
from rawmm import (
    EncodedArray,
    MessageNode,
    PackedFlags,
    PackedFloats,
    PackedTokenIds,
    RawMMError,
    Trace,
    native,
    schemas,
)
from rawmm.errors import contract_error
from rawmm.model.types import TYPES, Contract
from rawmm.rules import MediaChecks, checking, graph, runs
from rawmm.rules import numbers as finite
from rawmm.rules.registry import REGISTRY, RULES, Registry
from rawmm.rules.rule import Rule, reader
from rawmm.validation import errors as collect
from rawmm.validation.convert import to_struct
from rawmm.values import arrays
from tests.builders import item_document, structs_in
from tests.cases import each
from tests.unit.rules.mutants import mutants
from tests.unit.rules.test_fast_checks import CHANGES, packed, rollout, text_only, without_sidecars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.model.packed import PackedStream

HELPERS: Final[dict[str, tuple[Any, ...]]] = {
    "graph": (
        graph.placeholders_match,
        graph._exactly_in,
        runs.runs_match,
        runs.search,
    ),
    "finite": (finite._is_finite,),
    "array_size": (arrays.size_error, arrays._byte_count),
}
"""Functions that only fast checks call, or that rules call, too."""
FAST: Final = [rule for rule in RULES.values() if rule.holds is not None]
PATH = tuple[str | int, ...]


def unchecked(document: Any, kind: Any) -> list[Contract]:
    """The structs of a document, without checking rules; none if its shape is wrong."""
    with collect._pause():
        try:
            return list(structs_in(to_struct(document, kind)))
        except (msgspec.ValidationError, RecursionError):
            return []


def stream(kind: type[PackedStream[Any]], dtype: str, data: bytes, shape: Any = None) -> Contract:
    """A packed stream whose rules were not checked."""
    document = {"__nd__": True, "dtype": dtype, "data": data}
    size = {"bool": 1, "uint8": 1, "int32": 4, "float32": 4}.get(dtype, 8)
    (found,) = unchecked(document | {"shape": shape or [len(data) // size]}, kind)
    return found


NAN, INF = float("nan"), float("inf")
WRONG_STREAMS = [
    stream(PackedTokenIds, "int32", bytes(8), [1, 2]),
    stream(PackedTokenIds, "int32", bytes(8), [1]),
    stream(PackedTokenIds, "int32", bytes(8), [3]),
    stream(PackedTokenIds, "int32", struct.pack("<3i", 1, -1, 2)),
    stream(PackedTokenIds, "int64", struct.pack("<2q", 7, -1)),
    *(stream(PackedTokenIds, "int64", struct.pack("<2q", 7, 1 << bit)) for bit in range(32, 63)),
    stream(PackedFloats, "float32", struct.pack("<2f", NAN, 0.0)),
    *(
        stream(PackedFlags, dtype, b"\0\1" + bytes([byte]))
        for dtype in ("bool", "uint8")
        for byte in (2, 3, 128, 255)
    ),
    *(
        stream(PackedFloats, dtype, struct.pack(f"<2{code}", 0.5, value))
        for dtype, code in (("float32", "f"), ("float64", "d"))
        for value in (NAN, -NAN, INF, -INF)
    ),
]
RIGHT_STREAMS = [
    stream(PackedTokenIds, "int32", struct.pack("<2i", 0, 2**31 - 1)),
    stream(PackedTokenIds, "int64", struct.pack("<2q", 0, 2**32 - 1)),
    stream(PackedFlags, "bool", b"\0\1"),
    stream(PackedFlags, "uint8", b"\1\0"),
    stream(PackedFloats, "float32", struct.pack("<3f", -0.0, 3.4028234663852886e38, -1e38)),
    stream(PackedFloats, "float64", struct.pack("<3d", 1.7976931348623157e308, -1e308, 5e-324)),
]


def numbers(value: Any) -> list[Contract]:
    """Structs with `value` in each number field."""
    node = {"message": {"role": "user", "content": "x"}, "token_ids": [1], "mask": [True]}
    wrong = [node | {"timestamp": value}, node | {"loss_weights": {"a": [1.0], "b": [value]}}]
    names = ("logprobs", "advantages", "reference_logprobs", "trainer_logprobs", "entropies")
    wrong += [node | {name: [value]} for name in names]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "cost": value}
    return [one for each in wrong for one in unchecked(each, MessageNode)] + unchecked(
        usage, rawmm.Usage
    )


ITEM: Final = item_document()


def sidecars() -> Iterator[Any]:
    """Sidecars whose lists differ in length, by modality."""
    whole: dict[str, Any] = {
        "mm_hashes": {"image": ["a1" * 16]},
        "mm_placeholders": {"image": [{"offset": 0, "length": 2}]},
        "mm_items": {"image": [ITEM]},
    }
    yield whole
    for modality in ("audio", "video"):  # sorted before and after the right one
        yield whole | {"mm_items": {"image": [ITEM | {"modality": modality}]}}
    for name in whole:
        other = copy.deepcopy(whole)
        other[name]["image"] *= 2
        if name == "mm_placeholders":
            other[name]["image"][1] = {"offset": 5, "length": 1}
        yield other
        for absent in whole:
            if absent != name:
                yield {**other, absent: {}}
                yield {**other, absent: {"video": []}}
    yield {name: {"pixel_values": by["image"]} for name, by in whole.items()} | {
        "mm_items": {"pixel_values": [ITEM | {"modality": "pixel_values"}]}
    }
    yield whole | {"mm_items": {}, "mm_placeholders": {"image": [
        {"offset": 2, "length": 2}, {"offset": 0, "length": 1}]}, "mm_hashes": {}}  # fmt: skip


def nodes() -> Iterator[Any]:
    """Nodes with too many or too few arrays, flags or images."""
    array = {"__nd__": True, "dtype": "int32", "data": bytes(8)}
    masks = {"ids": array | {"shape": [2]}, "counts": array | {"shape": [2]}}
    node = {"message": {"role": "user", "content": "x"}, "token_ids": [1, 2], "mask": [True] * 2}
    for rows in (1, 2, 3):
        experts = {"__nd__": True, "dtype": "uint8", "shape": [rows, 2], "data": bytes(2 * rows)}
        yield node | {"routed_experts": experts}
        yield node | {"is_content": [True] * rows}
        floats = {"__nd__": True, "dtype": "float32", "shape": [0], "data": b""}
        counts = array | {"shape": [rows], "data": bytes(4 * rows)}
        empty = array | {"shape": [0], "data": b""}
        yield node | {"top_logprobs": {"ids": empty, "logprobs": floats, "counts": counts}}
        yield node | {"weight_versions": [{"version": "a", "start": 0, "end": rows}]}
        few = node | {"mask": [True] * rows, "token_ids": [1] * rows}
        yield few | {"sampling_mask": masks}
        yield few | {"kept_tokens": masks}
    url = {"type": "image_url", "image_url": {"url": "file:///images/x.png"}}
    hashes = {"mm_hashes": {"image": ["a1" * 16] * 2}}
    for parts in (1, 2, 3):
        for items in range(4):
            yield node | {
                "message": {"role": "user", "content": [url] * parts},
                "multi_modal_data": hashes | {"mm_items": {"image": [ITEM] * items}},
            }


def corpus() -> list[Contract]:
    """Structs that obey or break rules: vectors, changed rollouts, and hand-written ones."""
    found: list[Contract] = []
    for vector in schemas.conformance_vectors():
        try:
            document = json.loads(vector["document"])
        except ValueError:
            continue
        found += unchecked(document, TYPES[vector["type"]])
    for change, _ in CHANGES:
        for form in (lambda document: document, packed):
            document = rollout()
            change(document["nodes"])
            found += unchecked(form(document), Trace)
    for one in sidecars():
        found += unchecked(one, rawmm.MultiModalData)
    found += [one for value in (NAN, INF, -INF, 0.5) for one in numbers(value)]
    for node in nodes():
        found += unchecked(node, MessageNode)
    one_token = {"message": {"role": "user", "content": "x"}, "token_ids": [5], "mask": [False]}
    found += unchecked({"nodes": [one_token], "mm_token_type_id_map": {"5": 1}}, Trace)
    for document in other_maps():
        found += unchecked(document, Trace)
    for token in (2**31, 2**32 - 1, 2**32, 2**33):
        found += unchecked(text_only(token), Trace)
    early = rollout()
    early["nodes"][3]["multi_modal_data"] = {
        "mm_placeholders": {"image": [{"offset": 11, "length": 1}]}
    }
    found += unchecked(early, Trace)
    found += unchecked({"nodes": early["nodes"]}, Trace)
    odd: Any = {"a": NAN}
    found += unchecked({"nodes": [], "info": {"a": [NAN]}}, Trace)
    found += unchecked({"role": "assistant", "provider_state": [odd]}, rawmm.AssistantMessage)
    found += unchecked({"name": "x", "parameters": odd}, rawmm.Tool)
    for shape in ([], [0, 2], [3], [2, 2], [5], [2**53 - 1] * 40, [3, 2**40, 0]):
        for dtype in ("bool", "uint8", "int32"):
            array = {"__nd__": True, "dtype": dtype, "shape": shape, "data": b"abcd"}
            found += unchecked(array, EncodedArray)
    return [*found, *WRONG_STREAMS, *RIGHT_STREAMS]


def other_maps() -> Iterator[dict[str, Any]]:
    """Rollouts with other maps of token types, with and without sidecars."""
    maps = (
        {"4": 2},
        {"5": 1, "4": 1},
        {"5": 1, "9999999999": 1},
        {"9999999999": 1},
        {"4": 1, "3": 1},
    )
    for change, types in itertools.product((lambda _: None, without_sidecars), maps):
        document = rollout()
        change(document["nodes"])
        yield document | {"mm_token_type_id_map": types}
        yield packed(document | {"mm_token_type_id_map": types})
    document = rollout()
    for node in document["nodes"]:
        node["multi_modal_data"] = {"mm_items": {"image": []}}
    yield document | {"mm_token_type_id_map": {"4": 1}}


CORPUS: Final = corpus()
CHECKS: Final = (
    MediaChecks(),
    MediaChecks(require_sidecars=True),
    MediaChecks(row_separators=True),
)


@cache
def ruled(name: str) -> list[Contract]:
    return [one for one in CORPUS if name in type(one).__rules__]


@cache
def judged(name: str) -> list[tuple[MediaChecks, list[tuple[Contract, bool]]]]:
    """The structs of the corpus, each with whether the rule refuses it, for all checks.

    Those that the rule refuses come first, because they expose most mutants.
    """
    found = []
    for checks in CHECKS:
        with checking(checks):
            judgements = [
                (one, any(True for _ in RULES[name].errors(one, ()))) for one in ruled(name)
            ]
        found.append((checks, sorted(judgements, key=lambda one: not one[1])))
    return found


def refuted(rule: Rule, holds: Callable[[Any], bool]) -> bool:
    """Whether a struct of the corpus exposes a lax or broken fast check."""
    for checks, judgements in judged(rule.name):
        with checking(checks):
            for one, refused in judgements:
                try:
                    passed = holds(one)
                except Exception:  # noqa: BLE001  (whatever it is, the check is broken)
                    return True
                if passed and refused:
                    return True
    return False


def mutants_of(rule: Rule) -> Iterator[tuple[str, Callable[[Any], bool]]]:
    """The mutants of a fast check and of its helpers."""
    holds: Any = rule.holds
    if not holds.__closure__:  # the check of free values has no condition of its own
        yield from mutants(holds)
    for helper in HELPERS.get(rule.name, ()):
        for what, mutant in mutants(helper):
            yield what, partial(_with, helper, mutant, holds)


def _with(helper: Any, mutant: Any, holds: Callable[[Any], bool], one: Any) -> bool:
    """The result of the fast check with `mutant` in place of its helper."""
    homes = [helper.__globals__, holds.__globals__]
    users = [home for home in homes if helper.__name__ in home]
    for home in users:
        home[helper.__name__] = mutant
    try:
        return holds(one)
    finally:
        for home in users:
            home[helper.__name__] = helper


@pytest.mark.parametrize("rule", FAST, ids=lambda rule: rule.name)
class TestFastCheck:
    def test_fast_check_is_never_laxer_than_its_rule(self, rule: Rule) -> None:
        assert not refuted(rule, rule.fast())

    def test_fast_check_passes_a_valid_struct(self, rule: Rule) -> None:
        assert any(map(rule.fast(), ruled(rule.name)))

    def test_corpus_refutes_a_check_that_always_passes(self, rule: Rule) -> None:
        assert refuted(rule, lambda _: True)

    def test_corpus_refutes_each_weaker_mutant(self, rule: Rule) -> None:
        survivors = {what for what, holds in mutants_of(rule) if not refuted(rule, holds)}
        assert survivors - NOT_WEAKER == set()


NOT_WEAKER: Final = {
    # Stricter or equivalent: if the check fails, the rule decides.
    "_holds: value is None or value is None",
    "_holds: value is UNSET or value is UNSET",
    "_holds: not _is_finite(value) and (not _is_finite(value))",
    "_holds: (kind is not list or value) and (kind is not list or value)",
    "_holds: value or value",
    "_is_finite: kind is list or kind is list",
    "_is_finite: kind is tuple or kind is tuple",
    "_is_finite: value is UNSET or isinstance(value, Contract)",
    "_is_finite: value is None or value is UNSET",
    "_is_finite: value is None or isinstance(value, Contract)",
    "_sidecar_holds: locator is None or locator is None",
    "_outputs_hold: not top or not top",
    "_streams_hold: not experts or not experts",
    "_streams_hold: len(content) != size and len(content) != size",
    "_streams_hold: content and content",
    "_streams_hold: stream and stream",
    "_images_hold: not ids or not media_urls(message)",
    "_images_hold: not ids or not current_checks().require_sidecars",
    "_images_hold: not media_urls(message) or not current_checks().require_sidecars",
    "_images_hold: not urls and (not urls)",
    "_images_hold: name in sidecar.mm_placeholders and name in sidecar.mm_placeholders",
    "_graph_holds: token_types or token_types",
    "_graph_holds: tokens and tokens",
    "_graph_holds: parts and parts",
    "_graph_holds: with_items and with_items",
    "_graph_holds: without_items and without_items",
    "runs_match: data.find(token, done) < 0 - 1",
    # The ranges of a node without tokens are outside of them, and the parts of such nodes before
    # a node with items lie in its ranges, or `placeholders_match` fails.
    "_graph_holds: False and (parts or not tokens)",
    "_graph_holds: parts or parts",
    "_graph_holds: not tokens or not tokens",
    "_exactly_in: data.find(token, done) < 0 - 1",
    # A set of ids is never empty.
    "search: len(wanted) <= 1",
    # Hashes without items agree with everything.
    "_sidecar_holds: items.keys() == ranges.keys() <= hashes.keys()",
    # Sizes are 1, 4 and 8, and no type compared here sorts before "bool" or after "int64".
    "holds: size <= 1",
    "holds: size >= 1",
    "holds: dtype >= 'int64'",
    "_byte_count: dtype <= 'bool'",
    "_byte_count: total > _MAX_BYTES + 1",
    # Shapes hold integers and tokens are ids; the shape is checked before the rules.
    "holds: len(shape) != 1 or len(data) != shape[0] * size",
    # Earlier checks compare ranges with the node and with each other.
    "_exactly_in: end > len(data) or data.find(token, done, first) >= 0 or "
    "(not data.startswith(token * one.length, first))",
    "_exactly_in: first < done or data.find(token, done, first) >= 0 or "
    "(not data.startswith(token * one.length, first))",
    "_exactly_in: first < done - 1",
    "_exactly_in: end > len(data) + 1",
}
"""Mutants that are not laxer than their rule."""


@each("one", WRONG_STREAMS)
def test_illegal_packed_stream_is_refused(one: Any) -> None:
    assert not one.holds()
    assert list(RULES["packed"].errors(one, ()))
    document = {name: getattr(one, name) for name in ("dtype", "shape", "data")} | {"__nd__": True}
    with pytest.raises(RawMMError):
        rawmm.convert(document, type(one))


@pytest.mark.parametrize("one", RIGHT_STREAMS)
def test_legal_packed_stream_passes_the_fast_check(one: Any) -> None:
    assert one.holds()
    assert list(RULES["packed"].errors(one, ())) == []


def test_fast_check_of_token_ids_has_the_bounds_of_the_schema() -> None:
    bounds = schemas.bundle()["$defs"]["TokenId"]
    low, high = bounds["minimum"], bounds["maximum"]
    for value in (low, high):
        assert stream(PackedTokenIds, "int64", struct.pack("<q", value)).holds()  # type: ignore[attr-defined]
    for value in (low - 1, high + 1):
        assert not stream(PackedTokenIds, "int64", struct.pack("<q", value)).holds()  # type: ignore[attr-defined]


def refuse(_: Any, path: PATH) -> Iterator[RawMMError]:
    yield contract_error("bad_value", path, expected="nothing at all", got="a struct")


PROBES: Final = [
    Rule("probe", refuse),
    Rule("probe", refuse, holds=lambda _: False),
]


@pytest.fixture(params=PROBES, ids=["slow", "fast"])
def probe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rule]:
    """A rule that refuses every struct, registered but listed by no class."""
    rule: Rule = request.param
    monkeypatch.setitem(REGISTRY.rules, rule.name, rule)
    monkeypatch.setattr(REGISTRY, "_fast", {})
    native.enable(False)  # C knows the rules that the schemas list
    yield rule
    native.enable(True)


RULED: Final = sorted(name for name, kind in TYPES.items() if kind.__rules__)


@pytest.mark.parametrize("name", RULED)
def test_new_rule_runs_at_every_entry_point(
    name: str, probe: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = [one for one in schemas.conformance_vectors() if one["type"] == name]
    document = next(one["document"] for one in vectors if "code" not in one)
    kind: Any = TYPES[name]
    value = rawmm.decode_json(document, kind)
    monkeypatch.setattr(kind, "__rules__", (*kind.__rules__, probe.name))
    REGISTRY._fast.clear()
    for act in (
        lambda: rawmm.decode_json(document, kind),
        lambda: rawmm.convert(json.loads(document), kind),
        lambda: kind(*msgspec.structs.astuple(value)) if kind.__struct_config__.array_like
        else rawmm.convert(rawmm.to_builtins(value), kind),
        lambda: rawmm.validate(value),
        lambda: rawmm.encode_msgpack(value),
    ):  # fmt: skip
        with pytest.raises(RawMMError) as caught:
            act()
        assert caught.value.expected == "nothing at all"


class TestRegistry:
    def test_rule_that_no_type_lists_is_refused(self) -> None:
        with pytest.raises(LookupError, match="no type lists the rules probe"):
            Registry([*RULES.values(), PROBES[0]], TYPES.values())

    def test_type_with_an_undefined_rule_is_refused(self) -> None:
        rules = [rule for rule in RULES.values() if rule.name != "streams"]
        with pytest.raises(LookupError, match="MessageNode lists the rules streams"):
            Registry(rules, TYPES.values())

    def test_registry_has_each_rule_of_each_type(self) -> None:
        for kind in TYPES.values():
            assert tuple(rule.name for rule in REGISTRY.of(kind)) == kind.__rules__


class Streams(PackedTokenIds, frozen=True):  # type: ignore[misc]  # the common base is mutable
    """A consumer's subclass."""


class Sidecar(rawmm.MultiModalData):
    """A consumer's subclass, whose field comes before the inherited ones."""

    label: str = ""


class TestSubclasses:
    def test_rules_are_inherited(self) -> None:
        short = {"__nd__": True, "dtype": "int32", "shape": [2], "data": bytes(4)}
        with pytest.raises(msgspec.ValidationError, match="array_size"):
            msgspec.convert(short, Streams)
        with collect._pause():
            negative = short | {"shape": [1], "data": b"\xff" * 4}
            built = msgspec.convert(negative, Streams)
        assert not REGISTRY.hold(built)
        assert [error.path for error in REGISTRY.errors(built, ())] == ["$.data[0]"]

    def test_fields_are_read_by_name(self) -> None:
        assert Sidecar.__struct_fields__[0] == "label"
        read = reader("mm_items", "mm_hashes")
        for kind in (rawmm.MultiModalData, Sidecar, rawmm.MultiModalData):
            built = msgspec.convert({"mm_hashes": {"image": []}}, kind)
            assert read(built) == ({}, {"image": []})
