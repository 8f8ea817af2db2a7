"""The main job of the README with another store in place of the image directory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rawmm
from rawmm.cli.app import run
from rawmm.materialize import materialize
from rawmm.store import open_store
from tests.unit.materialize.processor import QWEN, PatchProcessor

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent.parent


def do_main_job(url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Offload, check, fsck, gc and materialize, with the images at a URL."""
    out = folder / "rollout.jsonl"
    rollout = ROOT / "examples" / "rollout.jsonl"

    def rawmm_says(*arguments: object, code: int = 0) -> str:
        assert run([str(one) for one in arguments]) == code
        said = capsys.readouterr()
        return " ".join((said.out + said.err).split())

    said = rawmm_says("offload", rollout, "-o", out, "--image-dir", url)
    store = open_store(url)
    names = list(store.names())
    assert re.search(rf"{len(names)} stored", said)
    again = rawmm_says("offload", rollout, "-o", folder / "again.jsonl", "--image-dir", url)
    assert " 0 stored" in again
    assert (folder / "again.jsonl").read_bytes() == out.read_bytes()
    assert b";base64," not in out.read_bytes()
    rawmm_says("check", out, "--image-dir", url)
    assert "no missing" in rawmm_says("fsck", url, "--refs", out)
    assert f"{len(names)} referenced" in rawmm_says("gc", url, "--refs", out, "--grace", "0s")
    assert list(store.names()) == names

    _materialize(url, out.read_bytes().splitlines())

    store.delete(names[0])
    assert names[0][:16] in rawmm_says("check", out, "--image-dir", url, code=1)
    assert "1 missing" in rawmm_says("fsck", url, "--refs", out, code=1)


def _materialize(url: str, lines: list[bytes]) -> None:
    located: set[str] = set()
    for line in lines:
        located |= set(re.findall(re.escape(url) + r"/[0-9a-f]{64}\.[a-z]+", line.decode()))
    described = [rawmm.describe_image(one, QWEN, image_dir=url) for one in sorted(located)]
    offset, ranges = 0, []
    for one in described:
        ranges.append(rawmm.PlaceholderRange(offset=offset, length=one.num_tokens))
        offset += one.num_tokens
    sidecar = rawmm.MultiModalData(
        mm_hashes={"image": [one.mm_hash for one in described]},
        mm_placeholders={"image": ranges},
        mm_items={"image": [one.item for one in described]},
    )
    options: dict[str, Any] = {"image_processor": PatchProcessor(), "return_tensors": "np"}
    for where in ({"image_dir": url}, {"store": open_store(url)}):
        assert len(materialize(sidecar, **options, **where).images) == len(located) > 1
    # A URL of a store says itself where the image is.
    assert rawmm.describe_image(min(located), QWEN).item.raw_image_uri == min(located)
