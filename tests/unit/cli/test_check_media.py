"""``rawmm check`` on records without sidecars."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import rawmm
from rawmm.cli import main
from tests.unit.images.pictures import exif_of, picture

if TYPE_CHECKING:
    from pathlib import Path


def run_check(*arguments: str) -> int:
    return main(["check", *arguments])


class TestRecordsWithoutSidecars:
    def trace(self, tmp_path: Path, **fields: object) -> str:
        part = {"type": "image_url", "image_url": {"url": "file:///images/a.png"}}
        node = {
            "message": {"role": "user", "content": [part]},
            "token_ids": [1, 7, 2, 7, 3],
            "mask": [False] * 5,
        }
        path = tmp_path / "trace.json"
        path.write_text(json.dumps({"nodes": [node], **fields}), "utf-8")
        return str(path)

    def test_stored_image_without_items_is_accepted(self, tmp_path: Path) -> None:
        assert run_check(self.trace(tmp_path)) == 0

    def test_required_sidecar_is_missing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_check(self.trace(tmp_path), "--require-sidecars") == 1
        assert "$.nodes[0].multi_modal_data: " in capsys.readouterr().out

    def test_given_image_tokens_are_counted(self, tmp_path: Path) -> None:
        file = self.trace(tmp_path)
        assert run_check(file, "--image-token", "7") == 1
        assert run_check(file, "--image-token", "7", "--image-token", "2") == 0
        assert run_check(file, "--image-token", "7", "--layout", "pixtral") == 0
        assert run_check(file, "--image-token", "7", "--layout", "qwen_vl") == 1

    def test_layout_with_row_separators_allows_several_runs(self, tmp_path: Path) -> None:
        file = self.trace(tmp_path, mm_token_type_id_map={"7": 1})
        assert run_check(file) == 1
        assert run_check(file, "--layout", "pixtral", "--jobs", "2") == 0

    @pytest.mark.parametrize("option", [("--layout", "x"), ("--image-token", "-1")])
    def test_invalid_option_is_wrong_usage(self, tmp_path: Path, option: tuple[str, str]) -> None:
        assert run_check(self.trace(tmp_path), *option) == 2


class TestAmbiguousImages:
    def sidecar(self, tmp_path: Path, *, exif: bytes) -> str:
        raw = picture("JPEG", size=(64, 64), exif=exif)
        found = rawmm.describe_image(raw, "qwen_vl")
        sidecar = rawmm.MultiModalData(
            mm_items={"image": [found.item]},
            mm_hashes={"image": [found.mm_hash]},
            mm_placeholders={
                "image": [rawmm.PlaceholderRange(offset=0, length=found.placeholder_length)]
            },
        )
        path = tmp_path / "sidecar.json"
        path.write_bytes(rawmm.encode_json(sidecar))
        return str(path)

    @pytest.mark.parametrize("jobs", ["1", "2"])
    def test_turned_image_is_listed_on_demand(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], jobs: str
    ) -> None:
        file = self.sidecar(tmp_path, exif=exif_of(6))
        assert run_check(file) == 0
        assert run_check(file, "--refuse-ambiguous", "--jobs", jobs) == 1
        out = capsys.readouterr().out
        assert out.endswith("[ambiguous_image]\n")
        assert "$.mm_items.image[0].ambiguous: expected an image that all programs" in out

    def test_plain_image_is_accepted(self, tmp_path: Path) -> None:
        assert run_check(self.sidecar(tmp_path, exif=exif_of(1)), "--refuse-ambiguous") == 0
