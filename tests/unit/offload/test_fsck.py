from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.errors import ContractError, OffloadError
from rawmm.offload import Finding, ImageStore, fsck
from tests.unit.offload.images import picture

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", durable=False)


def told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.file.name, one.error.code) for one in findings]


def old(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def temporary(store: ImageStore, pid: int, age: float) -> Path:
    path = store.root / f".tmp-{pid}-1-{'0' * 16}"
    path.write_bytes(b"half")
    old(path, age)
    return path


def test_a_directory_in_order_has_no_findings(store: ImageStore) -> None:
    image = store.put(picture())
    assert fsck(store.root) == []
    assert fsck(store.root, [{"raw_image_id": image.raw_image_id}, [image.uri]]) == []


def test_a_missing_image_is_told_once_with_its_first_place(store: ImageStore) -> None:
    image = store.put(picture())
    image.path.unlink()
    records: list[Any] = [
        {"url": "file:///elsewhere/x.png", "raw_image_id": "../x"},
        {"a": [{"raw_image_id": image.raw_image_id}]},
        [image.uri, {"raw_image_id": "cat.png"}],
    ]
    findings = fsck(store.root, records)
    assert told(findings) == [
        ("missing", image.raw_image_id, "missing_image"),
        ("missing", "cat.png", "missing_image"),
    ]
    assert [(one.record, one.error.path) for one in findings] == [
        (1, "$.a[0].raw_image_id"),
        (2, "$[1].raw_image_id"),
    ]
    assert image.raw_image_id in findings[0].error.got
    assert fsck(store.root) == []


def test_corrupt_files_are_those_with_other_bytes_and_no_images(store: ImageStore) -> None:
    import hashlib

    image, good = store.put(picture()), store.put(picture(seed=1))
    image.path.write_bytes(b"other")
    text = b"no image"
    named = store.root / f"{hashlib.sha256(text).hexdigest()}.png"
    named.write_bytes(text)
    link = store.root / f"{'a' * 64}.png"
    link.symlink_to(good.path.name)
    findings = fsck(store.root, quarantine=False)
    assert sorted(told(findings)) == sorted(
        [
            ("corrupt", image.raw_image_id, "hash_mismatch"),
            ("corrupt", named.name, "not_an_image"),
            ("corrupt", link.name, "path_escape"),
        ]
    )
    before = {path.name for path in store.root.iterdir()}
    assert told(fsck(store.root, repair=True)) == told(findings)
    assert {path.name for path in store.root.iterdir()} == before


def test_quarantine_moves_corrupt_files_aside_and_deletes_none(store: ImageStore) -> None:
    image, good = store.put(picture()), store.put(picture(seed=1))
    image.path.write_bytes(b"other")
    (finding,) = fsck(store.root, quarantine=True)
    assert (finding.kind, finding.repaired) == ("corrupt", True)
    left = {path.name for path in store.root.iterdir()} - {good.raw_image_id}
    (aside,) = left
    assert aside.startswith(".corrupt-")
    assert aside.endswith(image.raw_image_id)
    assert (store.root / aside).read_bytes() == b"other"
    assert store.put(picture()).written
    assert told(fsck(store.root, repair=True)) == [("foreign", aside, "foreign_file")]
    assert (store.root / aside).exists()


def test_a_file_that_was_replaced_meanwhile_is_put_back(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = store.put(picture())
    image.path.write_bytes(b"other")
    rename = os.rename

    def late(*args: Any, **options: Any) -> None:
        image.path.write_bytes(picture())
        rename(*args, **options)

    monkeypatch.setattr(os, "rename", late)
    (finding,) = fsck(store.root, quarantine=True)
    assert not finding.repaired
    assert [path.name for path in store.root.iterdir()] == [image.raw_image_id]


def test_orphans_are_what_no_record_names(store: ImageStore) -> None:
    image, other = store.put(picture()), store.put(picture(seed=1))
    findings = fsck(store.root, [f"see {image.sha256[:32]}"], repair=True, quarantine=True)
    assert told(findings) == [("orphaned", other.raw_image_id, "unreferenced_image")]
    assert len(fsck(store.root, [])) == 2
    assert other.path.exists()


@pytest.mark.parametrize(
    ("alive", "age", "stale"),
    [
        (False, 0, False),
        (False, 0.9 * HOUR, False),
        (False, 1.1 * HOUR, True),
        (True, 23 * HOUR, False),
        (True, 25 * HOUR, True),
        (False, -99 * HOUR, False),
    ],
)
def test_a_temporary_file_is_stale_when_its_writer_must_be_dead(
    store: ImageStore,
    alive: bool,  # noqa: FBT001
    age: float,
    stale: bool,  # noqa: FBT001
) -> None:
    store.put(picture())
    path = temporary(store, os.getpid() if alive else dead_pid(), age)
    assert told(fsck(store.root)) == [("stale", path.name, "stale_file")] * stale
    assert path.exists()
    assert [one.repaired for one in fsck(store.root, repair=True)] == [True] * stale
    assert path.exists() == (not stale)
    assert fsck(store.root) == []


def test_a_pid_that_no_process_can_have(store: ImageStore) -> None:
    store.put(picture())
    path = temporary(store, 9_999_999_999, 2 * HOUR)
    (finding,) = fsck(store.root)
    assert finding.error.got == "one of process 9999999999, unchanged for 2 hours"
    assert finding.file == path
    old(path, 49 * HOUR)
    assert fsck(store.root)[0].error.got.endswith("for 2 days")


def test_an_image_that_a_collector_left_gets_its_name_back(store: ImageStore) -> None:
    image = store.put(picture())
    away = store.root / f".gc-{'0' * 16}-{image.raw_image_id}"
    image.path.rename(away)
    record = {"raw_image_id": image.raw_image_id}
    assert [one.kind for one in fsck(store.root, [record])] == ["stale", "missing"]
    findings = fsck(store.root, [record], repair=True)
    assert [(one.kind, one.repaired) for one in findings] == [("stale", True)]
    assert image.path.read_bytes() == picture()
    assert fsck(store.root, [record]) == []
    image.path.rename(away)
    # It is looked at like any other.
    assert [one.kind for one in fsck(store.root, [], repair=True)] == ["stale", "orphaned"]


def test_foreign_names_are_told_and_left_alone(store: ImageStore) -> None:
    store.put(picture())
    (store.root / "sub").mkdir()
    (store.root / "notes.txt").write_text("x")
    findings = fsck(store.root, repair=True, quarantine=True)
    assert told(findings) == [
        ("foreign", "notes.txt", "foreign_file"),
        ("foreign", "sub", "foreign_file"),
    ]
    assert findings[1].error.got == "a directory"
    assert len(list(store.root.iterdir())) == 3


def test_what_cannot_be_checked_is_an_error(store: ImageStore) -> None:
    with pytest.raises(OffloadError) as failed:
        fsck(store.root)
    assert failed.value.code == "store_failed"
    store.put(picture())
    with pytest.raises(ContractError):
        fsck(store.root, [["mmraw:v9:x"]])
