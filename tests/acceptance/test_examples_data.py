"""The example files are what their generator writes, and hold the images they should."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.errors import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
IMAGES = {path.read_bytes(): path for path in EXAMPLES.glob("images/*.[jpw]*")}
MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``examples/make_examples.py`` as a module."""
    path = EXAMPLES / "make_examples.py"
    spec = importlib.util.spec_from_file_location("make_examples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec.loader.exec_module(module)
    return module


def requests() -> list[dict[str, Any]]:
    """The chat requests of ``rollout.jsonl``."""
    lines = (EXAMPLES / "rollout.jsonl").read_bytes().splitlines()
    return [json.loads(line) for line in lines]


def image_urls(messages: list[dict[str, Any]]) -> Iterator[str]:
    """The URL of every image part, in order."""
    for message in messages:
        if isinstance(message["content"], list):
            for part in message["content"]:
                if part["type"] == "image_url":
                    yield part["image_url"]["url"]


def test_generator_output_equals_the_committed_files(generator: ModuleType, tmp_path: Path) -> None:
    """Every file is written again, byte for byte, and no other JSON file is in the folder."""
    written = {path.relative_to(tmp_path) for path in generator.write(tmp_path)}
    committed = {path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.json*")}
    assert written == committed
    for name in sorted(written):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes(), name


def test_each_request_repeats_the_previous_messages() -> None:
    """The messages of a request begin with all those of the request before it."""
    sent = [request["messages"] for request in requests()]
    for earlier, later in pairwise(sent):
        assert len(later) > len(earlier)
        assert later[: len(earlier)] == earlier
    assert [len(list(image_urls(messages))) for messages in sent] == [1, 2, 3, 4, 4]


def test_inline_images_equal_the_image_files() -> None:
    """Each data URL declares the type of a file in ``images/`` and decodes to its bytes."""
    seen = set()
    for request in requests():
        for url in image_urls(request["messages"]):
            head, _, text = url.partition(",")
            path = IMAGES[base64.b64decode(text, validate=True)]
            assert head == f"data:{MEDIA_TYPES[path.suffix]};base64"
            seen.add(path)
    assert seen == set(IMAGES.values())
    assert len(seen) == 4


def test_trace_holds_the_same_images() -> None:
    """The record's messages carry the images of the last request, in the same order."""
    trace = json.loads((EXAMPLES / "trace.json").read_bytes())
    messages = [node["message"] for node in trace["nodes"]]
    assert list(image_urls(messages)) == list(image_urls(requests()[-1]["messages"]))


def test_placeholders_cover_the_image_tokens() -> None:
    """In ``nodes.json`` the ranges of the path are exactly its image tokens."""
    nodes = json.loads((EXAMPLES / "nodes.json").read_bytes())
    tokens = [token for node in nodes for token in node["token_ids"]]
    covered: list[int] = []
    for node in nodes:
        if node["multi_modal_data"]:
            for held in node["multi_modal_data"]["mm_placeholders"]["image"]:
                covered += range(held["offset"], held["offset"] + held["length"])
    assert covered == [index for index, token in enumerate(tokens) if token == 151655]


def test_broken_files_are_named_after_error_codes() -> None:
    """The name of each file is a code of `rawmm.errors.CODES`."""
    names = {path.stem for path in EXAMPLES.glob("broken/*.json")}
    assert len(names) == 8
    assert names <= set(CODES)
