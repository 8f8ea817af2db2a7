"""Lines of verifiers' traces.jsonl at every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.store import ImageStore
from tests.unit.images.pictures import data_url, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

DEV = Path(__file__).parents[2] / "data" / "verifiers-dev" / "traces.jsonl"


def trace(seed: int, **more: Any) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": data_url(picture(seed=seed))}}
    return {"nodes": [{"message": {"role": "user", "content": [part]}, **more}]}


@pytest.fixture
def episodes(tmp_path: Path) -> Path:
    """Two lines: as verifiers writes them, and with three inline images."""
    path = tmp_path / "traces.jsonl"
    line = json.loads(DEV.read_bytes())
    line["traces"] = [trace(0), trace(1, staleness=2), trace(2)]
    line["messages"] = []  # an unknown field does not make it a chat request
    path.write_bytes(DEV.read_bytes().rstrip() + b"\n" + json.dumps(line).encode() + b"\n")
    return path


def test_episodes_are_checked(rawmm: Run, episodes: Path) -> None:
    assert rawmm("check", episodes)[:2] == (0, "")


def test_error_names_its_trace(rawmm: Run, episodes: Path) -> None:
    first, second = map(json.loads, episodes.read_bytes().splitlines())
    second["traces"][1]["nodes"][0]["mask"] = [True]
    second["traces"][2]["nodes"][0]["message"]["role"] = "x"
    episodes.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    code, out, _ = rawmm("check", episodes)
    assert code == 1
    where = [line.removeprefix(f"{episodes}:").split(": ")[0] for line in out.splitlines()]
    assert where == [
        "2::$.traces[2].nodes[0].message.role",
        "2::$.traces[1].nodes[0].mask",
    ]


def test_images_of_episodes_are_offloaded_and_found(
    rawmm: Run, episodes: Path, tmp_path: Path
) -> None:
    out, images = tmp_path / "out.jsonl", tmp_path / "images"
    assert rawmm("offload", episodes, "-o", out, "--image-dir", images).code == 0
    names = sorted(path.name for path in images.iterdir())
    assert len(names) == 3
    assert rawmm("check", out, "--image-dir", images).code == 0
    orphan = ImageStore(images, durable=False).put(picture(seed=3)).raw_image_id
    code, _, err = rawmm("fsck", images, "--refs", out)
    assert (code, "1 orphaned" in err) == (0, True)
    assert rawmm("gc", images, "--refs", out, "--grace", "0s").code == 0
    assert sorted(path.name for path in images.iterdir()) == names
    (images / names[1]).unlink()
    code, _, err = rawmm("fsck", images, "--refs", out)
    assert (code, "1 missing" in err) == (1, True)
    code, text, _ = rawmm("check", out, "--image-dir", images)
    assert code == 1
    assert "$.traces[" in text
    assert orphan not in names


def test_items_of_episodes_are_upgraded(rawmm: Run, tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "data" / "wire" / "descriptor_only" / "nodes.json"
    nodes = json.loads(source.read_bytes())
    path, out = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    path.write_text(json.dumps({"id": "e", "traces": [{"nodes": []}, {"nodes": nodes}]}) + "\n")
    code, text, _ = rawmm("check", path)
    assert (code, "$.traces[1].nodes[0].multi_modal_data" in text) == (1, True)
    assert rawmm("upgrade", path, "-o", out).code == 0
    assert rawmm("check", out).code == 0


def test_episode_without_images_is_upgraded_unchanged(rawmm: Run, tmp_path: Path) -> None:
    out = tmp_path / "new.jsonl"
    assert rawmm("upgrade", DEV, "-o", out).code == 0
    assert json.loads(out.read_bytes()) == json.loads(DEV.read_bytes())
