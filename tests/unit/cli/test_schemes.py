"""Commands and functions that take an image directory take the URL of any registered store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import MMRefs, OffloadError, build_mm_refs, layouts, upgrade
from rawmm.store import register_scheme, registry
from tests.unit.images.pictures import url_of
from tests.unit.store.test_registry import PLACE, MemoryStore
from tests.unit.upgrades.forms import PNG, SHA, STORED, URL, envelope, node, without_version
from tests.unit.upgrades.forms import sidecar as sidecar_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., Any]

LOCATION = f"{PLACE}/{STORED}"


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The images of an empty store at `PLACE`."""
    monkeypatch.setattr(registry, "_SCHEMES", dict(registry._SCHEMES))
    register_scheme("mem", MemoryStore)
    yield MemoryStore.buckets.setdefault(PLACE, {})
    MemoryStore.buckets.clear()


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    part = {"type": "image_url", "image_url": {"url": URL}}
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": [part]}]}))
    return path


def test_offload_writes_into_the_store(
    rawmm: Run, request_file: Path, bucket: dict[str, bytes]
) -> None:
    out = request_file.with_name("out.json")
    outcome = rawmm("offload", request_file, "-o", out, "--image-dir", PLACE)
    assert outcome.code == 0
    assert "1 image seen, 1 stored" in outcome.err
    assert bucket == {STORED: PNG}
    (message,) = json.loads(out.read_bytes())["messages"]
    assert message["content"][0]["image_url"]["url"] == LOCATION
    assert rawmm("check", out, "--image-dir", PLACE).code == 0


def test_check_looks_for_images_in_the_store(
    rawmm: Run, tmp_path: Path, bucket: dict[str, bytes]
) -> None:
    source = tmp_path / "node.json"
    record = node(sidecar_of(envelope(raw_image_id=STORED), hashes=[SHA[:32]]))
    record["message"]["content"][0]["image_url"]["url"] = LOCATION
    source.write_text(json.dumps(record))
    outcome = rawmm("check", source, "--image-dir", PLACE)
    assert (outcome.code, "missing_image" in outcome.out) == (1, True)
    bucket[STORED] = PNG
    assert rawmm("check", source, "--image-dir", PLACE).code == 0


def test_upgrade_stores_images_in_the_store(
    rawmm: Run, tmp_path: Path, bucket: dict[str, bytes]
) -> None:
    old = without_version(raw_image_data=URL)
    source, out = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps(old))
    outcome = rawmm("upgrade", source, "-o", out, "--image-dir", PLACE)
    assert (outcome.code, outcome.err) == (0, "1 record (1 inline), 1 change, 1 image stored\n")
    assert json.loads(out.read_bytes()) == envelope(raw_image_id=STORED)
    assert bucket == {STORED: PNG}


@pytest.mark.parametrize("command", ["offload", "upgrade", "check"])
def test_scheme_without_a_store_is_a_usage_error(
    rawmm: Run, request_file: Path, command: str
) -> None:
    output = () if command == "check" else ("-o", request_file.with_name("out.json"))
    outcome = rawmm(command, request_file, *output, "--image-dir", "ftp://host/images")
    assert outcome.code == 2
    assert "ftp" in outcome.out + outcome.err


@pytest.mark.parametrize("command", ["offload", "check", "stats", "fsck", "gc", "upgrade"])
@pytest.mark.parametrize("engine", ["--jobs=2", "--engine=ray"])
@pytest.mark.parametrize("place", [PLACE, "memory://bucket/images"])
def test_other_processes_are_refused_for_a_store_of_this_one(
    command: str, engine: str, place: str, rawmm: Run, request_file: Path
) -> None:
    argv: dict[str, tuple[object, ...]] = {
        "fsck": (place,),
        "gc": (place, "--refs", request_file),
        "check": (request_file, "--image-dir", place),
        "stats": (request_file, "--image-dir", place),
    }
    writes = (request_file, "-o", request_file.with_name("out.json"), "--image-dir", place)
    found = rawmm(command, *argv.get(command, writes), engine)
    assert found.code == 2
    assert f"{place}: is a store of this process" in found.err


def test_option_that_the_store_lacks_is_a_usage_error(rawmm: Run, request_file: Path) -> None:
    out = request_file.with_name("out.json")
    outcome = rawmm("offload", request_file, "-o", out, "--image-dir", PLACE, "--no-durable")
    assert outcome.code == 2
    assert "mem" in outcome.out + outcome.err
    assert not out.exists()


def test_upgrade_of_values_stores_images_in_the_store(bucket: dict[str, bytes]) -> None:
    layout = layouts.get("qwen_vl", min_pixels=1024)
    result = upgrade([[[URL, 0, 2]]], MMRefs, image_dir=PLACE, layout=layout)
    (ref,) = result.value.images
    assert (ref.uri, ref.item.raw_image_id) == (LOCATION, STORED)
    assert bucket == {STORED: PNG}


def test_failure_of_the_store_is_reported_at_the_item() -> None:
    class FullStore(MemoryStore):
        def put(self, *_: Any, **__: Any) -> Any:
            msg = "the quota is used up"
            raise ValueError(msg)

    register_scheme("full", FullStore)
    old = [without_version(raw_image_data=url_of(seed=seed)) for seed in (0, 1)]
    with pytest.raises(OffloadError) as caught:
        upgrade(sidecar_of(*old), None, image_dir="full://bucket")
    assert (caught.value.code, caught.value.path) == ("store_failed", "$.mm_items.image[0]")
    assert "quota" not in str(caught.value)


def test_mm_refs_have_urls_of_the_store() -> None:
    data = sidecar_of(envelope(raw_image_id=STORED), hashes=[SHA[:32]])
    refs = build_mm_refs(data, image_dir=PLACE)
    assert refs is not None
    assert refs.images[0].uri == LOCATION
