"""The pages on Ray Data and Hugging Face datasets run as they are shown, on a few records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.batch import check_batch
from tests import snippets

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.xdist_group("ray"),  # one cluster at a time
    pytest.mark.filterwarnings("ignore"),  # of the libraries
]

NODE = {"message": {"role": "user", "content": "hi"}, "token_ids": [1, 2], "mask": [False, False]}
BROKEN = {"nodes": [{**NODE, "mask": [False]}]}
RECORDS: list[Any] = [{"nodes": [NODE]}, BROKEN, {"nodes": []}, {"nodes": 7}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "records").mkdir()
    for number in range(2):
        lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
        (tmp_path / f"records/{number}.jsonl").write_text(lines)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PAGES = {page.path.name: page for page in snippets.pages_of("servers")}


def test_the_tests_below_run_all_pages() -> None:
    assert PAGES.keys() == {"hugging-face-datasets.md", "ray-data.md"}


def test_page_on_datasets_finds_each_error(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names = snippets.run(PAGES["hugging-face-datasets.md"], folder)
    rows = [(row["row"], row["code"], row["path"]) for row in names["errors"]]
    expected = [(1, "stream_length", "$.nodes[0].mask"), (3, "wrong_type", "$.nodes")]
    assert rows == expected + [(row + 4, *rest) for row, *rest in expected]
    assert capsys.readouterr().out.endswith("4 of 8 records are valid\n")


def test_page_on_ray_data_finds_each_error(
    ray: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = snippets.run(PAGES["ray-data.md"], folder)
    rows = sorted((row["code"], row["path"]) for row in names["errors"].take_all())
    assert rows == [("stream_length", "$.nodes[0].mask")] * 2 + [("wrong_type", "$.nodes")] * 2
    assert capsys.readouterr().out.endswith("4 errors\n")


def test_arrow_tables_are_checked_as_their_records_are() -> None:
    import pyarrow as pa

    records = [
        {"nodes": [NODE]},
        BROKEN,
        {"nodes": [{"message": {"role": "user", "content": "a"}}]},
    ]
    table = pa.Table.from_pylist(records)
    assert table.to_pylist()[2] != records[2]
    errors = check_batch(records)
    assert [error.row for error in errors] == [1]
    assert check_batch(table) == errors
    assert check_batch(table.to_batches()[0]) == errors
    assert check_batch(table.to_pandas()) == errors
