"""`describe_image`: the descriptor, hash and token count of an image."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import rawmm
from rawmm import (
    ENGINE,
    STORED,
    ContractError,
    ImageDecoding,
    ImageStore,
    Limits,
    MaterializeError,
    OffloadError,
    layouts,
)
from rawmm.describe import DescribedImage, describe_image
from tests.unit.images.pictures import FORMATS, data_url, exif_of, huge_png, picture

if TYPE_CHECKING:
    from rawmm.errors import RawMMError

SIZE = (640, 480)
QWEN2_VL = layouts.get("qwen_vl", patch_size=14, min_pixels=3_136, max_pixels=12_845_056)


@pytest.fixture
def raw() -> bytes:
    return picture(size=SIZE)


@pytest.fixture
def path(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "screenshot 1.png"
    path.write_bytes(raw)
    return path


def refusal(kind: type[RawMMError], *args: Any, **kwargs: Any) -> RawMMError:
    with pytest.raises(kind) as caught:
        describe_image(*args, **kwargs)
    assert type(caught.value) is kind
    return caught.value


def locators(described: DescribedImage) -> tuple[str | None, str | None]:
    return described.item.raw_image_id, described.item.raw_image_uri


def test_description_has_item_hash_and_counts(raw: bytes) -> None:
    described = describe_image(raw, "qwen_vl")
    assert described == DescribedImage(
        item=rawmm.raw_mm_item(
            modality="image",
            family="qwen_vl",
            layout_fingerprint=layouts.get("qwen_vl").fingerprint(),
            payload={"image_grid_thw": [[1, 30, 40]]},
        ),
        mm_hash=hashlib.sha256(raw).hexdigest()[:32],
        num_tokens=300,
        placeholder_length=300,
    )


def test_description_makes_a_valid_sidecar(path: Path) -> None:
    item, mm_hash, _, length = describe_image(path, "qwen_vl")
    node = rawmm.MessageNode(
        message={"role": "user", "content": [{"type": "image_url", "image_url": {"url": path.as_uri()}}]},
        token_ids=[151_655] * length,
        mask=[False] * length,
        multi_modal_data=rawmm.MultiModalData(
            mm_hashes={"image": [mm_hash]},
            mm_placeholders={"image": [rawmm.PlaceholderRange(offset=0, length=length)]},
            mm_items={"image": [item]},
        ),
    )  # fmt: skip
    rawmm.validate(node)


@pytest.mark.parametrize("family", layouts.FAMILIES)
def test_every_family_describes_an_image(raw: bytes, family: str) -> None:
    layout = layouts.get(family)
    geometry = layout.describe(*SIZE)
    described = describe_image(raw, family)
    assert described.item.payload == geometry.payload
    assert described.item.family == family
    assert described.item.layout_fingerprint == layout.fingerprint()
    assert described.item.vllm_modality == layout.vllm_modality
    assert described[2:] == (geometry.num_tokens, geometry.placeholder_length)


def test_parameters_of_the_layout_are_used(raw: bytes) -> None:
    described = describe_image(raw, QWEN2_VL)
    assert described.item.payload == {"image_grid_thw": [[1, 34, 46]]}
    assert described.item.layout_fingerprint == QWEN2_VL.fingerprint()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_described(kind: str) -> None:
    described = describe_image(picture(kind, SIZE), "qwen_vl")
    assert described.item.payload == {"image_grid_thw": [[1, 30, 40]]}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_size_is_that_after_decoding(kind: str, orientation: int, tmp_path: Path) -> None:
    raw = picture(kind, SIZE, exif=exif_of(orientation))
    stored = ImageStore(tmp_path).put(raw)
    for image in (raw, stored):
        engine, as_stored = (
            describe_image(image, "qwen_vl", decoding=one).item for one in (ENGINE, STORED)
        )
        upright = [1, 40, 30] if orientation >= 5 else [1, 30, 40]
        assert engine.payload == {"image_grid_thw": [upright]}
        assert as_stored.payload == {"image_grid_thw": [[1, 30, 40]]}
        assert describe_image(image, "qwen_vl").item == engine
        for item in (engine, as_stored):
            assert item.ambiguous == (None if orientation == 1 else ["orientation"])
        assert engine.layout_fingerprint == layouts.get("qwen_vl").fingerprint()
        assert as_stored.layout_fingerprint == layouts.get("qwen_vl").fingerprint(STORED)
        assert engine.layout_fingerprint != as_stored.layout_fingerprint


def test_transparent_image_is_ambiguous() -> None:
    out = io.BytesIO()
    exif = exif_of(3)
    for mode, options, ambiguous in (
        ("RGBA", {}, ["transparency"]),
        ("RGBA", {"exif": exif}, ["orientation", "transparency"]),
        ("LA", {}, ["transparency"]),
        ("P", {"transparency": 3}, ["transparency"]),
        ("RGB", {"transparency": (1, 2, 3)}, ["transparency"]),
        ("P", {}, None),
        ("RGB", {}, None),
    ):
        out.seek(0)
        out.truncate()
        Image.new(mode, (64, 64)).save(out, "PNG", **options)
        assert describe_image(out.getvalue(), "qwen_vl").item.ambiguous == ambiguous


def test_decoding_of_another_type_is_refused(raw: bytes) -> None:
    wrong: Any
    for wrong in (None, "exif", ImageDecoding):
        with pytest.raises(ContractError) as caught:
            describe_image(raw, "qwen_vl", decoding=wrong)
        assert (caught.value.code, caught.value.path) == ("wrong_type", "$.decoding")


class TestLocators:
    def test_bytes_have_no_locator(self, raw: bytes) -> None:
        for given in (raw, bytearray(raw), memoryview(raw)):
            assert locators(describe_image(given, "qwen_vl")) == (None, None)

    def test_stored_image_has_its_id_and_is_not_read(self, tmp_path: Path, raw: bytes) -> None:
        stored = ImageStore(tmp_path).put(raw)
        stored.path.unlink()
        described = describe_image(stored, "qwen_vl")
        assert locators(described) == (stored.raw_image_id, None)
        assert described.mm_hash == stored.sha256[:32]
        assert described.num_tokens == 300

    def test_path_has_its_url(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(path.parent)
        for given in (path, str(path), path.name, Path(path.name), f"./x/../{path.name}"):
            assert locators(describe_image(given, "qwen_vl")) == (None, path.as_uri())

    def test_file_url_is_unchanged(self, path: Path) -> None:
        for url in (path.as_uri(), path.as_uri().replace("file://", "file://localhost")):
            assert locators(describe_image(url, "qwen_vl")) == (None, url)

    def test_data_url_is_unchanged(self, raw: bytes) -> None:
        url = data_url(raw)
        described = describe_image(url, "qwen_vl")
        assert locators(described) == (None, url)
        assert described.mm_hash == hashlib.sha256(raw).hexdigest()[:32]

    def test_descriptions_differ_in_the_locator_only(
        self, tmp_path: Path, path: Path, raw: bytes
    ) -> None:
        stored = ImageStore(tmp_path).put(raw)
        found = [
            describe_image(given, "kimi_k25")
            for given in (raw, stored, stored.uri, path, data_url(raw))
        ]
        assert (
            len({(each.mm_hash, each.num_tokens, each.placeholder_length) for each in found}) == 1
        )
        assert all(each.item.payload == found[0].item.payload for each in found)


class TestImageDir:
    def test_name_of_a_file_in_it_is_the_id(self, tmp_path: Path, raw: bytes) -> None:
        stored = ImageStore(tmp_path).put(raw)
        for given in (stored.path, str(stored.path), stored.uri):
            described = describe_image(given, "qwen_vl", image_dir=str(tmp_path))
            assert locators(described) == (stored.raw_image_id, None)

    def test_links_above_are_followed(self, tmp_path: Path, raw: bytes) -> None:
        real = tmp_path / "real"
        stored = ImageStore(real).put(raw)
        link = tmp_path / "link"
        link.symlink_to(real)
        described = describe_image(link / stored.raw_image_id, "qwen_vl", image_dir=real)
        assert locators(described) == (stored.raw_image_id, None)

    def test_file_elsewhere_is_refused(self, tmp_path: Path, raw: bytes) -> None:
        stored = ImageStore(tmp_path / "other").put(raw)
        for image_dir in (tmp_path, tmp_path / "mine"):
            error = refusal(OffloadError, stored.path, "qwen_vl", image_dir=image_dir)
            assert error.code == "path_escape"

    def test_invalid_id_is_refused(self, path: Path) -> None:
        error = refusal(MaterializeError, path, "qwen_vl", image_dir=path.parent)
        assert error.code == "bad_locator"

    def test_other_source_is_refused(self, tmp_path: Path, raw: bytes) -> None:
        stored = ImageStore(tmp_path).put(raw)
        for given in (raw, data_url(raw), stored):
            error = refusal(OffloadError, given, "qwen_vl", image_dir=tmp_path)
            assert error.code == "bad_locator"
            assert "base64,i" not in str(error)


class TestErrors:
    @pytest.mark.parametrize(
        ("image", "code"),
        [
            (b"hello", "not_an_image"),
            (b"", "not_an_image"),
            (picture()[:-20], "not_an_image"),
            (huge_png(40_000, 1), "image_limit"),
            ("data:image/png;base64,aGVs*bG8=", "bad_base64"),
            ("data:text/plain;base64,aGVsbG8=", "bad_locator"),
            ("https://example.com/a.png", "bad_locator"),
            ("file://host/a.png", "bad_locator"),
            ("file:///a/../b.png", "path_escape"),
            ("a\0.png", "path_escape"),
            (None, "wrong_type"),
            (7, "wrong_type"),
            (["a.png"], "wrong_type"),
        ],
    )
    def test_other_bytes_are_refused(self, image: Any, code: str) -> None:
        assert refusal(OffloadError, image, "qwen_vl").code == code

    def test_unreadable_file_is_refused(self, tmp_path: Path, path: Path, raw: bytes) -> None:
        link = tmp_path / "link.png"
        link.symlink_to(path)
        os.mkfifo(tmp_path / "fifo.png")
        wrong = tmp_path / f"{'0' * 64}.png"
        wrong.write_bytes(raw)
        for given, code in (
            (tmp_path / "none.png", "missing_image"),
            (tmp_path / "no" / "none.png", "missing_image"),
            (tmp_path, "missing_image"),
            ("", "missing_image"),
            (tmp_path / "fifo.png", "missing_image"),
            (link, "path_escape"),
            (wrong, "hash_mismatch"),
        ):
            assert refusal(MaterializeError, given, "qwen_vl").code == code, given

    def test_unknown_family_and_refused_shape_are_errors(self, raw: bytes) -> None:
        assert refusal(ContractError, raw, "qwen").code == "bad_value"
        assert refusal(ContractError, raw, None).code == "bad_value"
        assert refusal(ContractError, huge_png(201, 1), "qwen_vl").code == "image_limit"

    def test_limits_are_enforced(self, path: Path) -> None:
        assert describe_image(path, "qwen_vl", limits=Limits(max_edge=640))
        error = refusal(OffloadError, path, "qwen_vl", limits=Limits(max_edge=639))
        assert error.code == "image_limit"


def test_no_pixel_is_decoded() -> None:
    """Only the pixels of this file are damaged."""
    raw = picture(size=SIZE)
    position = raw.index(b"IDAT") + 4
    damaged = raw[:position] + b"\xff" * 8 + raw[position + 8 :]
    with (
        Image.open(io.BytesIO(damaged)) as image,
        pytest.raises(OSError, match="broken data stream"),
    ):
        image.load()
    assert describe_image(damaged, "qwen_vl").num_tokens == 300
