"""Engines of two workers give the serial report of compressed files and of objects in S3."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import scale
from rawmm.cli.compressed import Decompressed

pytestmark = pytest.mark.xdist_group("ray")  # not beside the other cluster's tests

RECORDS = 4_000
ERRORS = RECORDS // 1_000


def test_reports_of_all_engines_are_equal() -> None:
    with scale.set_up(RECORDS) as setup:
        taken: dict[Any, Any] = {
            (place, engine): setup.run("all", place, options)
            for place in setup.places("all")
            for engine, options in setup.engines().items()
        }
        reports = {(one.code, scale._report(one.out, setup)) for one in taken.values()}
        ((code, report),) = reports
        assert code == 1
        assert report.count(b"[parent_order]") == report.count(b"\n") == ERRORS
        assert all(one.cpu > 0 for one in taken.values())
        assert all(taken["S3", engine].server > 0 for engine in setup.engines())
        with (setup.folder / "all" / "7.jsonl.zst").open("rb") as file:
            lines = Decompressed(file, "zstd").readall().splitlines()
        assert len(lines) == RECORDS // 8
        assert len({line[:100] for line in lines}) == len(lines)
