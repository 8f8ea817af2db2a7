"""``--layout`` of offload and upgrade, on records of the released path."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.describe import describe_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

    Run = Callable[..., Outcome]

FLOW = Path(__file__).resolve().parents[2] / "data/wire/flow-0.4.0"
LAYOUT = ("--layout", "qwen_vl")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The images of the recorded rollout, in another directory than its URLs name."""
    return Path(shutil.copytree(FLOW / "images", tmp_path / "images"))


def sidecars(path: Path) -> list[Any]:
    nodes = json.loads(path.read_bytes())["nodes"]
    return [node["multi_modal_data"] for node in nodes if node.get("multi_modal_data")]


def without_sidecars(path: Path) -> Any:
    document = json.loads(path.read_bytes())
    for node in document["nodes"]:
        node.pop("multi_modal_data", None)
        for part in (
            node["message"]["content"] if isinstance(node["message"]["content"], list) else ()
        ):
            if part["type"] == "image_url":
                part["image_url"]["url"] = ""
    return document


def test_offload_stores_the_images_and_makes_sidecars(rawmm: Run, tmp_path: Path) -> None:
    out, store = tmp_path / "out.json", tmp_path / "store"
    source = FLOW / "inline.trace.json"
    assert rawmm("offload", source, "-o", out, "--image-dir", store, *LAYOUT).code == 0
    assert rawmm("check", out, "--image-dir", store, "--require-images").code == 0
    items = [item for one in sidecars(out) for item in one["mm_items"]["image"]]
    assert {item["raw_image_id"] for item in items} == {path.name for path in store.iterdir()}
    assert all(item.get("raw_image_uri") is None for item in items)
    assert without_sidecars(out) == without_sidecars(source)


@pytest.mark.parametrize("source", ["inline.trace.json", "offloaded.trace.json"])
def test_upgrade_makes_sidecars(rawmm: Run, tmp_path: Path, images: Path, source: str) -> None:
    out = tmp_path / "out.json"
    args = ("-o", out, "--image-dir", images, *LAYOUT, "--notes")
    code, _, err = rawmm("upgrade", FLOW / source, *args)
    assert code == 0
    assert "$.nodes[0]: sidecar of 1 image computed with the layout qwen_vl [released]" in err
    assert rawmm("check", out).code == 0
    assert [len(one["mm_items"]["image"]) for one in sidecars(out)] == [1, 1, 1]
    assert without_sidecars(out) == without_sidecars(FLOW / source)


def test_upgrade_without_a_layout_says_that_no_sidecar_is_made(rawmm: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    code, _, err = rawmm("upgrade", FLOW / "inline.trace.json", "-o", out, "--notes")
    assert code == 0
    assert "no sidecar made, as no --layout is given [released]" in err
    assert not sidecars(out)


def test_offload_of_stored_images_finds_them_by_name(
    rawmm: Run, tmp_path: Path, images: Path
) -> None:
    out = tmp_path / "out.json"
    args = ("-o", out, "--image-dir", images, *LAYOUT)
    assert rawmm("offload", FLOW / "offloaded.trace.json", *args).code == 0
    assert rawmm("check", out, "--image-dir", images, "--require-images").code == 0
    assert len(sidecars(out)) == 3


def test_offload_copies_readable_images_of_another_directory(
    rawmm: Run, tmp_path: Path, images: Path
) -> None:
    first, out, store = tmp_path / "first.json", tmp_path / "out.json", tmp_path / "store"
    args = ("--image-dir", images, *LAYOUT)
    assert rawmm("offload", FLOW / "offloaded.trace.json", "-o", first, *args).code == 0
    assert rawmm("offload", first, "-o", out, "--image-dir", store).code == 0
    assert len([*store.iterdir()]) == 3
    assert rawmm("check", out, "--image-dir", store, "--require-images").code == 0


@pytest.mark.parametrize(
    ("layout", "source", "code"),
    [
        ("qwen_vl,patch_size=14", "inline.trace.json", "geometry_mismatch"),
        ("qwen_vl", "offloaded.trace.json", "missing_image"),
    ],
)
def test_record_that_cannot_be_described_is_refused_and_nothing_written(
    rawmm: Run, tmp_path: Path, layout: str, source: str, code: str
) -> None:
    out, store = tmp_path / "out.json", tmp_path / "store"
    args = ("-o", out, "--image-dir", store, "--layout", layout)
    status, _, err = rawmm("offload", FLOW / source, *args)
    assert status == 1
    assert "::$.nodes[0]." in err
    assert err.endswith(f"[{code}]\n")
    assert not out.exists()
    assert not store.exists()


def test_offload_without_a_layout_leaves_a_valid_trace(rawmm: Run, tmp_path: Path) -> None:
    out, store = tmp_path / "out.json", tmp_path / "store"
    assert rawmm("offload", FLOW / "inline.trace.json", "-o", out, "--image-dir", store).code == 0
    assert rawmm("check", out, "--image-dir", store).code == 0


def test_nodes_need_the_image_token(rawmm: Run, tmp_path: Path) -> None:
    source, out, store = tmp_path / "in.json", tmp_path / "out.json", tmp_path / "store"
    trace = json.loads((FLOW / "inline.trace.json").read_bytes())
    source.write_text(json.dumps(trace["nodes"]))
    args = ("offload", source, "-o", out, "--image-dir", store, *LAYOUT)
    code, _, err = rawmm(*args)
    assert code == 1
    assert "[missing_field]" in err
    assert rawmm(*args, "--image-token", "375").code == 0
    assert rawmm("check", out).code == 0


def test_chat_request_has_nothing_to_describe(rawmm: Run, tmp_path: Path, examples: Path) -> None:
    args = ("-o", tmp_path / "out.jsonl", "--image-dir", tmp_path / "store", *LAYOUT)
    code, _, err = rawmm("offload", examples / "rollout.jsonl", *args)
    assert code == 1
    assert "[unknown_type]" in err


def test_inline_mode_takes_no_layout(rawmm: Run, tmp_path: Path) -> None:
    args = ("-o", tmp_path / "out.json", "--mode", "inline", *LAYOUT)
    code, _, err = rawmm("offload", FLOW / "inline.trace.json", *args)
    assert code == 2
    assert "--layout" in err


def test_episode_is_described_with_paths_of_its_traces() -> None:
    trace = json.loads((FLOW / "inline.trace.json").read_bytes())
    episode = {"id": "e", "env": "demo", "task": {}, "traces": [trace, trace]}
    described, nodes = describe_document(episode, "qwen_vl")
    assert [node.path for node in nodes[:1]] == [("traces", 0, "nodes", 0)]
    assert len(nodes) == 6
    assert {**described, "traces": []} == {**episode, "traces": []}
    assert trace == json.loads((FLOW / "inline.trace.json").read_bytes())


@pytest.mark.parametrize("command", ["upgrade", "offload"])
def test_decoding_of_the_engine_is_part_of_the_fingerprint(
    rawmm: Run, tmp_path: Path, command: str
) -> None:
    found = {}
    for decoding in ("engine", "stored"):
        out = tmp_path / f"{decoding}.json"
        args = ("-o", out, "--image-dir", tmp_path / "store", *LAYOUT, "--decoding", decoding)
        assert rawmm(command, FLOW / "inline.trace.json", *args).code == 0
        items = [item for one in sidecars(out) for item in one["mm_items"]["image"]]
        (found[decoding],) = {item["layout_fingerprint"] for item in items}
    assert found["engine"] != found["stored"]


def test_message_names_the_option_that_is_wrong(rawmm: Any, examples: Any) -> None:
    for layout in ("nothing", "qwen_vl,patch=3", "qwen_vl,patch_size"):
        err = rawmm("check", examples / "trace.json", "--require-layout", layout).err
        assert err.startswith("rawmm: --require-layout")
