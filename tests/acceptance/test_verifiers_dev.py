"""What verifiers 0.4.1.dev86 wrote decodes, is written back unchanged and passes ``rawmm check``.

``top_logprobs.node.msgpack`` is one node of a recorded trace.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from rawmm import (
    Episode,
    MessageNode,
    Trace,
    WeightVersion,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
)
from rawmm.cli import main

DATA: Final = Path(__file__).parent.parent / "data" / "verifiers-dev"
KINDS: Final[dict[str, Any]] = {
    "inline.trace.msgpack": Trace,
    "top_logprobs.node.msgpack": MessageNode,
    "trace.json": Trace,
    "trace.msgpack": Trace,
    "traces.jsonl": Episode,
    "weight_versions.trace.json": Trace,
}


def test_every_file_is_listed() -> None:
    assert {path.name for path in DATA.iterdir()} == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("named", [True, False], ids=["named", "identified"])
def test_file_is_written_back_unchanged(name: str, named: bool) -> None:  # noqa: FBT001
    data = (DATA / name).read_bytes()
    packed = name.endswith(".msgpack")
    kind = KINDS[name] if named else None
    document = msgspec.msgpack.decode(data) if packed else json.loads(data)
    value = decode_msgpack(data, kind) if packed else decode_json(data, kind)
    assert type(value) is KINDS[name]
    again = encode_msgpack(value) if packed else encode_json(value)
    assert (msgspec.msgpack.decode(again) if packed else json.loads(again)) == document
    assert convert(document, kind) == value
    assert decode_json(encode_json(value), kind) == value
    assert list(iter_errors(document, kind)) == []


@pytest.mark.parametrize("name", KINDS)
def test_file_passes_rawmm_check(name: str) -> None:
    assert main(["check", str(DATA / name)]) == 0


def test_outputs_of_the_engine_are_typed() -> None:
    trace = decode_json((DATA / "weight_versions.trace.json").read_bytes(), Trace)
    assert trace.nodes[1].weight_versions == [WeightVersion(version="step-12", start=0, end=2)]
    node = decode_msgpack((DATA / "top_logprobs.node.msgpack").read_bytes(), MessageNode)
    assert node.top_logprobs is not None
    assert (node.top_logprobs.counts.shape, node.top_logprobs.ids.shape) == ([6], [12])
