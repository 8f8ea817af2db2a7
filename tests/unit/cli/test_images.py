"""The reports of `check` on images, checked and unchecked."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm import raw_mm_ref
from tests.builders import FINGERPRINT
from tests.unit.images.pictures import FORMATS, data_url, part, picture
from tests.unit.upgrades.forms import SHA, envelope, sidecar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

NAME = f"{SHA}.png"


def user(*urls: str) -> dict[str, Any]:
    return {"role": "user", "content": [part(url) for url in urls]}


def request(*urls: str) -> dict[str, Any]:
    return {"messages": [user(*urls)]}


def trace(*urls: str) -> dict[str, Any]:
    return {"nodes": [{"message": user(*urls)}]}


def written(path: Path, value: Any) -> Path:
    encode = msgspec.msgpack.encode if path.suffix == ".msgpack" else msgspec.json.encode
    path.write_bytes(encode(value))
    return path


@pytest.fixture
def offloaded(rawmm: Run, examples: Path, tmp_path: Path) -> Path:
    """The output of the README's first command."""
    out = tmp_path / "rollout.jsonl"
    images = tmp_path / "images"
    source = examples / "rollout.jsonl"
    assert rawmm("offload", source, "-o", out, "--image-dir", images).code == 0
    return out


class TestMissingImages:
    @pytest.fixture(autouse=True)
    def _gone(self, offloaded: Path) -> None:
        shutil.rmtree(offloaded.with_name("images"))

    def test_missing_images_are_not_checked_without_an_image_dir(
        self, rawmm: Run, offloaded: Path
    ) -> None:
        assert rawmm("check", offloaded) == (
            0,
            "",
            "1 file, 5 records, no errors, 14 images not checked (give --image-dir)\n",
        )

    def test_missing_images_are_errors_with_an_image_dir(self, rawmm: Run, offloaded: Path) -> None:
        images = offloaded.with_name("images")
        code, out, err = rawmm("check", offloaded, "--image-dir", images, "--max-errors=0")
        assert code == 1
        assert out.count("[missing_image]\n") == 14
        assert err == "1 file, 5 records, 14 errors\n"

    def test_missing_images_are_errors_if_required(self, rawmm: Run, offloaded: Path) -> None:
        code, out, err = rawmm("check", offloaded, "--require-images", "--max-errors=0")
        assert code == 1
        assert out.count("[no_image_dir]\n") == 14
        assert out.startswith(
            f"{offloaded}:1::$.messages[1].content[1].image_url.url: expected an image directory "
            "to look for the image in, got none; give --image-dir [no_image_dir]\n"
        )
        assert err == "1 file, 5 records, 14 errors\n"

    def test_missing_images_are_in_the_json_report(self, rawmm: Run, offloaded: Path) -> None:
        code, out, err = rawmm("check", offloaded, "--format", "json")
        assert code == 0
        told = json.loads(out)
        assert (told["level"], told["message"]) == (
            "notice",
            "14 images not checked (give --image-dir)",
        )
        assert "14 images not checked" in err
        code, out, _ = rawmm("check", offloaded, "--format", "github")
        assert code == 0
        assert out == "::notice title=rawmm check::14 images not checked (give --image-dir)\n"


def test_existing_images_are_not_reported(rawmm: Run, offloaded: Path) -> None:
    summary = "1 file, 5 records, no errors\n"
    where = ("--image-dir", offloaded.with_name("images"))
    for style in ("text", "json", "github"):
        for more in ((), ("--require-images",)):
            assert rawmm("check", offloaded, *where, "--format", style, *more) == (0, "", summary)


REFERENCE = raw_mm_ref(
    family="qwen_vl", fingerprint=FINGERPRINT, modality="image", mm_hash=SHA[:32],
    payload={}, raw_image_id=NAME,
)  # fmt: skip
FEATURES = {
    "mm_hashes": {"image": [SHA[:32]]},
    "mm_placeholders": {"image": [{"offset": 0, "length": 4}]},
}
REFERRING = {
    "id": sidecar(envelope(raw_image_id=NAME)),
    "uri": sidecar(envelope(raw_image_uri=f"file:///images/{NAME}")),
    "item": envelope(raw_image_id=NAME),
    "reference": json.loads(REFERENCE.partition(":")[2]),
    "features": {**FEATURES, "kwargs_data": {"image": [REFERENCE]}},
    "trainer": [[[envelope(raw_image_id=NAME), SHA, f"file:///images/{NAME}", 0, 4]]],
    "message": user(f"file:///images/{NAME}"),
    "trace": trace(f"file:///images/{NAME}"),
    "node with its item": {
        "message": user(f"file:///images/{NAME}"),
        "token_ids": [9] * 40,
        "mask": [False] * 40,
        "multi_modal_data": sidecar(envelope(raw_image_id=NAME)),
    },
    "open fields of a trace": {"nodes": [], "prompt": [user(f"file:///images/{NAME}")]},
}
NONE = {
    "no locator": sidecar(envelope()),
    "cached": {**FEATURES, "kwargs_data": {"image": [None]}},
    "text": {"role": "user", "content": "file:///images/a.png"},
    "other text": {"role": "user", "content": [{"type": "text", "text": REFERENCE}]},
}


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize("record", REFERRING.values(), ids=REFERRING)
def test_every_reference_to_an_image_is_checked_or_counted(
    record: Any, form: str, rawmm: Run, tmp_path: Path
) -> None:
    path = written(tmp_path / f"a.{form}", record)
    counted = "1 file, 1 record, no errors, 1 image not checked (give --image-dir)\n"
    assert rawmm("check", path) == (0, "", counted)
    code, out, _ = rawmm("check", path, "--require-images")
    assert (code, out.count("[no_image_dir]\n")) == (1, 1)
    code, out, _ = rawmm("check", path, "--image-dir", tmp_path / "none")
    assert code == 1
    assert out.count("\n") == 1
    assert out.endswith(("[missing_image]\n", "[path_escape]\n"))


@pytest.mark.parametrize("record", NONE.values(), ids=NONE)
def test_values_without_images_are_not_counted(record: Any, rawmm: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", record)
    for more in ((), ("--require-images",), ("--image-dir", tmp_path)):
        assert rawmm("check", path, *more) == (0, "", "1 file, 1 record, no errors\n")


def test_images_of_a_store_that_is_not_served_are_counted_apart(rawmm: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", sidecar(envelope(raw_image_uri="hdfs://bucket/a.png")))
    code, out, err = rawmm("check", path)
    assert (code, out) == (0, "")
    assert err.endswith(", 1 image not checked (neither inline nor a file:// URL)\n")
    code, out, _ = rawmm("check", path, "--require-images")
    assert code == 1
    assert "$.mm_items.image[0].raw_image_uri: expected an image that is inline or in the" in out


DAMAGE = {
    "cut": lambda raw: raw[: len(raw) * 2 // 3],
    "without its end": lambda raw: raw[:-14],
    "nothing but its signature": lambda raw: raw[:16],
    "no image": lambda raw: b"<html>" + raw[6:],
}


def holding(url: str, good: str) -> dict[str, Any]:
    """Records with an image, and another one in some of them, by the path of the image."""
    return {
        "$.messages[0].content[1].image_url.url": request(good, url),
        "$[0].content[0].image_url.url": [user(url)],
        "$.nodes[0].message.content[1].image_url.url": trace(good, url),
        "$.own[0].content[0].image_url.url": {"nodes": [], "own": [user(url)]},
        "$.mm_items.image[0].raw_image_uri": sidecar(envelope(raw_image_uri=url)),
    }


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize("kind", FORMATS)
def test_whole_inline_image_passes_in_any_record(
    kind: str, form: str, rawmm: Run, tmp_path: Path
) -> None:
    good = data_url(picture(kind), f"image/{kind.lower()}")
    for at, record in holding(good, good).items():
        assert rawmm("check", written(tmp_path / f"a.{form}", record)).code == 0, at


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_inline_image_that_is_damaged_is_found_in_any_record(
    damage: str, kind: str, rawmm: Run, tmp_path: Path
) -> None:
    raw = DAMAGE[damage](picture(kind))
    media_type = f"image/{kind.lower()}"
    url = data_url(raw, media_type)
    good = data_url(picture(kind), media_type)
    offloaded = written(tmp_path / "request.json", request(url))
    args = ("-o", tmp_path / "out.json", "--image-dir", tmp_path / "images")
    judgement = rawmm("offload", offloaded, *args).err.partition(": ")[2]
    assert judgement.endswith(("[not_an_image]\n", "[image_type_mismatch]\n"))
    for at, record in holding(url, good).items():
        for form in ("json", "msgpack"):
            path = written(tmp_path / f"a.{form}", record)
            code, out, _ = rawmm("check", path)
            assert (code, out) == (1, f"{path}::{at}: {judgement}"), at


def test_image_url_that_no_engine_reads_is_an_error_in_a_request_alone(
    rawmm: Run, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.json", request("https://example.com/a.png"))
    assert rawmm("check", path).code == 1
    path = written(tmp_path / "a.json", trace("https://example.com/a.png"))
    code, _, err = rawmm("check", path)
    assert code == 0
    assert "1 image not checked (neither inline" in err
    assert rawmm("check", path, "--image-dir", tmp_path).code == 1
