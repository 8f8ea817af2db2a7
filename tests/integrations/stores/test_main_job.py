"""The README's main job runs unchanged with its images in each cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.main_job import do_main_job

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_main_job_with_images_in_a_bucket_completes(
    tmp_path: Path, any_bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    do_main_job(any_bucket, tmp_path, capsys)
