"""Odd rollouts of verifiers 0.4.0 with a Qwen3-VL renderer, recorded by its TrainClient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from rawmm import Trace, iter_errors

FOLDER: Final = Path(__file__).parents[1] / "data/wire/flow_odd"
VERDICTS: Final[dict[str, tuple[str, list[str]]]] = {
    "adjacent_parts": ("marks stand between two adjacent images", []),
    "two_parts_one_message": ("text stands between two images", []),
    "tool_image": ("the template shows images of tool messages", []),
    "assistant_image": ("the chat dialect removed the part before the graph saw it", []),
    "system_image": ("the template dropped the image; the engine refused the turn: no nodes", []),
    "pad_in_text": ("text with the placeholder; the client refused the turn: no nodes", []),
    "sampled_pad": ("the policy sampled it", ["sampled_image_token $.nodes[1].token_ids"]),
}


def test_each_recorded_trace_has_a_verdict() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == VERDICTS.keys()


@pytest.mark.parametrize("name", VERDICTS)
def test_recorded_trace_has_its_verdict(name: str) -> None:
    document = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    _, expected = VERDICTS[name]
    assert [f"{error.code} {error.path}" for error in iter_errors(document, Trace)] == expected
