"""``rawmm convert --to`` and ``rawmm check --schema-version``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from rawmm import MessageNode, decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Outcome

NODE = {
    "parent": None,
    "message": {"role": "user", "content": "hello"},
    "sampled": False,
    "token_ids": [1, 2],
    "mask": [False, False],
    "is_content": [],
    "logprobs": [],
}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """One node with packed streams."""
    path = tmp_path / "in.json"
    path.write_bytes(encode_json(decode_json(msgspec.json.encode(NODE), MessageNode), packed=True))
    return path


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.msgpack"])
def test_file_is_written_for_a_version(
    rawmm: Callable[..., Outcome], packed: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    result = rawmm("convert", packed, "-o", out, "--to", "1.0")
    assert (result.code, result.err.strip()) == (0, "1 record for contract 1.0")
    decode = msgspec.msgpack.decode if name.endswith("msgpack") else msgspec.json.decode
    assert decode(out.read_bytes()) == NODE
    assert rawmm("check", out, "--schema-version", "1.0").code == 0
    again = tmp_path / "again.json"
    assert rawmm("convert", out, "-o", again, "--packed").code == 0
    assert again.read_bytes().strip() == packed.read_bytes()


def test_check_judges_as_the_version_did(rawmm: Callable[..., Outcome], packed: Path) -> None:
    assert rawmm("check", packed).code == 0
    assert rawmm("check", packed, "--schema-version", "1.1").code == 0
    result = rawmm("check", packed, "--schema-version", "1.0", "--format", "json")
    assert result.code == 1
    assert [json.loads(line)["path"] for line in result.out.splitlines()] == [
        "$.token_ids", "$.mask", "$.is_content", "$.logprobs",
    ]  # fmt: skip


def test_check_of_a_version_accepts_what_later_ones_refuse(
    rawmm: Callable[..., Outcome], tmp_path: Path
) -> None:
    item = {"kind": "prime_raw_mm_item", "version": 1, "modality": "image", "family": "f" * 300}
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item | {"payload": {"pixel_values_videos": 1}}), "utf-8")
    assert rawmm("check", path).code == 1
    assert rawmm("check", path, "--schema-version", "1.1").code == 1
    assert rawmm("check", path, "--schema-version", "1.0").code == 0
    path.write_text(json.dumps(item | {"payload": {"pixel_values": 1}}), "utf-8")
    assert "[processed_payload]" in rawmm("check", path, "--schema-version", "1.0").out


def test_value_without_a_place_leaves_the_output(
    rawmm: Callable[..., Outcome], tmp_path: Path
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [NODE, NODE | {"staleness": 1}]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    out.write_text("before", "utf-8")
    result = rawmm("convert", source, "-o", out, "--to", "1.1")
    assert result.code == 1
    assert "in.jsonl:2::$.staleness" in result.err.replace("\n", "")
    assert out.read_text("utf-8") == "before"


def test_type_that_a_version_does_not_have_is_an_error(
    rawmm: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = tmp_path / "episode.json"
    path.write_text('{"traces": []}', "utf-8")
    assert rawmm("check", path).code == 0
    result = rawmm("check", path, "--schema-version", "1.1")
    assert "contract 1.1 has no Episode [not_in_version]" in result.out


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("convert", "{}", "-o", "-", "--to", "0.9"), "--to takes one of 1.0, 1.1, "),
        (("check", "{}", "--schema-version", "2"), "--schema-version takes one of 1.0, 1.1, "),
        (("convert", "{}", "-o", "-", "--type", "ChatRequest"), "not a type of"),
        (("convert", "{}", "-o", "out.toml"), "does not write TOML"),
    ],
)
def test_wrong_usage_is_told(
    rawmm: Callable[..., Outcome], packed: Path, argv: tuple[str, ...], problem: str
) -> None:
    result = rawmm(*(word.format(packed) if word == "{}" else word for word in argv))
    assert result.code == 2
    assert problem in result.err.replace("\n", " ")


def test_chat_request_has_no_version(rawmm: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text('{"model": "m", "messages": [{"role": "user", "content": "a"}]}', "utf-8")
    result = rawmm("convert", path, "-o", "-", "--to", "1.0")
    assert result.code == 1
    assert "it has no version" in result.err.replace("\n", " ")
