"""Records that are decoded straight from their bytes have the report of their plain data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import data as rollouts
from rawmm import MessageNode, Trace, native, schemas
from rawmm.cli.commands.check import Checker
from rawmm.cli.record_types import named_type
from rawmm.cli.records import Record
from rawmm.errors import RawMMError
from rawmm.testing import strategies
from rawmm.values.strict_json import duplicate_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Run = Callable[..., Any]

EXAMPLES: Final = Path(__file__).resolve().parents[3] / "examples"
VECTORS: Final = schemas.conformance_vectors()
STYLES: Final = ("text", "json", "github", "sarif")


def findings(records: Iterable[bytes], kind: Any = None, **options: Any) -> list[str]:
    """What a checker says about records, one after the other."""
    checker = Checker(kind, None, **options)
    return [
        f"{line}: {type(one).__name__} {one} {getattr(one, 'hint', None)}"
        for line, record in enumerate(records)
        for one in checker.findings(Record(record, line), "jsonl")
    ]


def from_plain_data(records: Iterable[bytes], kind: Any = None, **options: Any) -> list[str]:
    """The same, without an answer from C, so that nothing is decoded at once."""
    native.enable(False)
    try:
        return findings(records, kind, **options)
    finally:
        native.enable(True)


def check_both(records: list[bytes], kind: Any = None, **options: Any) -> None:
    assert findings(records, kind, **options) == from_plain_data(records, kind, **options)


@pytest.mark.parametrize("kind", sorted({vector["type"] for vector in VECTORS}))
def test_vectors_have_the_same_findings(kind: str) -> None:
    records = [one["document"].encode() for one in VECTORS if one["type"] == kind]
    check_both(records)
    check_both(records, named_type(kind))
    check_both(records, require_images=True, refuse_ambiguous=True)


@pytest.mark.parametrize(
    "style",
    ["text", *(pytest.param(one, marks=pytest.mark.slow) for one in STYLES if one != "text")],
)
def test_report_of_files_is_the_same_byte_for_byte(style: str, rawmm: Run, tmp_path: Path) -> None:
    lines = tmp_path / "vectors.jsonl"
    documents = [one["document"].replace("\n", " ") for one in VECTORS]
    lines.write_text("\n".join(documents), "utf-8")
    files = [lines, *sorted(EXAMPLES.glob("*.json*")), *sorted(EXAMPLES.glob("broken/*"))]
    at_once = rawmm("check", *files, "--format", style)
    native.enable(False)
    try:
        assert rawmm("check", *files, "--format", style) == at_once
    finally:
        native.enable(True)


def test_rollout_is_decoded_at_once() -> None:
    record = msgspec.json.encode(rollouts.trace(2))
    value = Checker(None, None)._decoded_at_once(record)
    assert isinstance(value, Trace) == (native.unique_keys is not None)


@pytest.mark.parametrize("name", ["Trace", "Episode", "MessageNode"])
@given(data=st.data())
def test_drawn_records_have_the_same_findings(name: str, data: st.DataObject) -> None:
    drawn = strategies.documents(name) | strategies.mutated(name)
    text = drawn.map(json.dumps).map(str.encode) | strategies.lexemes(name)
    records = data.draw(st.lists(text, min_size=1, max_size=3))
    check_both(records)
    check_both(records, Trace if name == "Trace" else MessageNode)


def test_types_that_take_turns_have_the_same_findings() -> None:
    trace = rollouts.trace(1)
    node = trace["nodes"][0]
    chat = {"messages": [{"role": "user", "content": "x"}]}
    every = [trace, node, chat, {"traces": [trace]}, node, [node], trace, {**trace, "other": 1},
             {"nodes": [], "messages": []}, {"nodes": []}, {"message": node["message"]}, [], {}]  # fmt: skip
    check_both([msgspec.json.encode(one) for one in (*every, *reversed(every))])


@pytest.mark.parametrize(
    "text",
    [
        b'{"nodes":[],"nodes":[]}',
        b'{"nodes":[],"\\u006eodes":[]}',
        b'{"nodes":[],"task":{"a":1,"b":{"a":1},"a":2}}',
        b'{"nodes":[],"task":{"a":1,"b":"\\"","a":2,"c":"\\""}}',
        b'{"nodes":[],"task":[{"a":1},{"a":1}]}',
        b'{"nodes":[],"task":"{\\"a\\":1,\\"a\\":2}"}',
        b'{"nodes":[] , "task" : {"a" : "}" , "b":"\\\\" , "a" : 1}}',
        b'{"nodes":[],"task":' + b'{"a":' * 200 + b"1" + b"}" * 201,
        b'{"nodes":[],"task":{' + b",".join(b'"%d":1' % n for n in range(80)) + b',"7":1}}',
    ],
)  # fmt: skip
def test_repeated_keys_are_reported_at_once(text: bytes) -> None:
    check_both([text, text])


KEYS: Final = st.sampled_from(["a", "b", "", 'q"', "\\", "{", "}", ":", "é", "a" * 9])
TREES: Final = st.recursive(
    KEYS | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(KEYS, inner), max_size=4).map(lambda pairs: ("object", pairs))
    ),
    max_leaves=12,
)


def written(tree: Any, gap: str) -> str:
    """A tree as JSON. Objects are lists of pairs, so that keys can occur twice."""
    if isinstance(tree, tuple):
        pairs = (f"{json.dumps(key)}{gap}:{gap}{written(one, gap)}" for key, one in tree[1])
        return "{" + f",{gap}".join(pairs) + "}"
    if isinstance(tree, list):
        return f"[{f'{gap},'.join(written(one, gap) for one in tree)}]"
    return json.dumps(tree)


@given(TREES, st.sampled_from(["", " ", "\n\t"]))
def test_keys_are_called_unique_only_if_they_are(tree: Any, gap: str) -> None:
    text = written(tree, gap).encode()
    if native.unique_keys is not None and native.unique_keys(text):
        assert not list(duplicate_keys(text))


@given(st.binary(max_size=40) | st.text('{}":\\ a,', max_size=40).map(str.encode))
def test_keys_of_other_texts_are_read_within_bounds(text: bytes) -> None:
    if native.unique_keys is not None:
        assert native.unique_keys(text) in (True, False)


def test_keys_of_a_usual_record_are_called_unique() -> None:
    if native.unique_keys is not None:
        assert native.unique_keys(msgspec.json.encode(rollouts.trace(1)) + b"\n")
        assert not native.unique_keys(b'{"a":1,"a":1}')
        assert not native.unique_keys(b'{"a":{"b":1,"c":[{"b":2},{"x":1,"x":1}]}}')


def test_findings_are_errors_with_their_hints() -> None:
    (only,) = Checker(None, None).findings(Record(b'{"nodes":1}', 1), "jsonl")
    assert isinstance(only, RawMMError)
    assert only.path == "$.nodes"
