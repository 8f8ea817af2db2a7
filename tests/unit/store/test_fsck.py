"""`fsck`: missing, corrupt, stale and unexpected files."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.errors import ContractError, OffloadError
from rawmm.store import Finding, ImageStore, fsck
from rawmm.store.fsck import Progress, iter_findings
from tests.unit.images.pictures import picture

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600
REF = (
    f'"family":"f","fingerprint":"{"0" * 32}","mm_hash":"{"0" * 32}","modality":"image",'
    '"payload":{}'
)


def told(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.file.name, one.error.code) for one in found]


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


def test_valid_directory_has_no_findings(store: ImageStore) -> None:
    image = store.put(picture())
    assert fsck(store.root) == []
    assert fsck(store.root, [{"raw_image_id": image.raw_image_id}, [image.uri]]) == []


def test_missing_image_is_reported_once_at_its_first_place(store: ImageStore) -> None:
    image = store.put(picture())
    image.path.unlink()
    records: list[Any] = [
        {"url": "file:///elsewhere/x.png", "raw_image_id": "../x"},
        {"a": [{"raw_image_id": image.raw_image_id}]},
        [image.uri, {"raw_image_id": "cat.png"}],
    ]
    found = [one for one in fsck(store.root, records) if one.kind != "outside"]
    assert told(found) == [
        ("missing", image.raw_image_id, "missing_image"),
        ("missing", "cat.png", "missing_image"),
    ]
    assert [(one.record, one.error.path) for one in found] == [
        (1, "$.a[0].raw_image_id"),
        (2, "$[1].raw_image_id"),
    ]
    assert image.raw_image_id in found[0].error.got
    assert fsck(store.root) == []


def test_corrupt_files_have_other_bytes_or_no_image(store: ImageStore) -> None:
    import hashlib

    image, good = store.put(picture()), store.put(picture(seed=1))
    image.path.write_bytes(b"other")
    text = b"no image"
    named = store.root / f"{hashlib.sha256(text).hexdigest()}.png"
    named.write_bytes(text)
    link = store.root / f"{'a' * 64}.png"
    link.symlink_to(good.path.name)
    found = fsck(store.root, quarantine=False)
    assert sorted(told(found)) == sorted(
        [
            ("corrupt", image.raw_image_id, "hash_mismatch"),
            ("corrupt", named.name, "not_an_image"),
            ("corrupt", link.name, "path_escape"),
        ]
    )
    before = {path.name for path in store.root.iterdir()}
    assert told(fsck(store.root, repair=True)) == told(found)
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


def test_file_that_was_replaced_meanwhile_is_put_back(
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
    found = fsck(store.root, [f"see {image.sha256[:32]}"], repair=True, quarantine=True)
    assert told(found) == [("orphaned", other.raw_image_id, "unreferenced_image")]
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
def test_temporary_file_is_stale_when_its_writer_must_be_dead(
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


def test_file_of_a_pid_that_no_process_can_have_is_stale(store: ImageStore) -> None:
    store.put(picture())
    path = temporary(store, 9_999_999_999, 2 * HOUR)
    (finding,) = fsck(store.root)
    assert finding.error.got == "one of process 9999999999, unchanged for 2 hours"
    assert finding.file == path
    old(path, 49 * HOUR)
    assert fsck(store.root)[0].error.got.endswith("for 2 days")


def test_image_that_a_collector_left_gets_its_name_back(store: ImageStore) -> None:
    image = store.put(picture())
    away = store.root / f".gc-{'0' * 16}-{image.raw_image_id}"
    image.path.rename(away)
    record = {"raw_image_id": image.raw_image_id}
    assert [one.kind for one in fsck(store.root, [record])] == ["stale", "missing"]
    found = fsck(store.root, [record], repair=True)
    assert [(one.kind, one.repaired) for one in found] == [("stale", True)]
    assert image.path.read_bytes() == picture()
    assert fsck(store.root, [record]) == []
    image.path.rename(away)
    # It is looked at like any other.
    assert [one.kind for one in fsck(store.root, [], repair=True)] == ["stale", "orphaned"]


def test_foreign_names_are_reported_and_left_alone(store: ImageStore) -> None:
    store.put(picture())
    (store.root / "sub").mkdir()
    (store.root / "notes.txt").write_text("x")
    found = fsck(store.root, repair=True, quarantine=True)
    assert told(found) == [
        ("foreign", "notes.txt", "foreign_file"),
        ("foreign", "sub", "foreign_file"),
    ]
    assert found[1].error.got == "a directory"
    assert len(list(store.root.iterdir())) == 3


def test_unreadable_directory_is_an_error(store: ImageStore) -> None:
    with pytest.raises(OffloadError) as failed:
        fsck(store.root)
    assert failed.value.code == "store_failed"
    store.put(picture())
    with pytest.raises(ContractError):
        fsck(store.root, [["mmraw:v9:x"]])


def test_references_outside_are_named_once_and_counted_each_time(store: ImageStore) -> None:
    store.put(picture())
    elsewhere = f"file:///elsewhere/{'a' * 64}.png"
    records: list[Any] = [
        {"url": elsewhere, "raw_image_id": "../x"},
        [elsewhere, {"raw_image_uri": "s3://bucket/x.png"}, "file://host/x.png"],
        [f'mmraw:{{{REF},"raw_image_uri":"{elsewhere}"}}'],
    ]
    progress = Progress()
    found = [
        one
        for one in iter_findings(store.root, records, progress=progress)
        if one.kind == "outside"
    ]
    assert [(one.record, one.error.path, one.error.code) for one in found] == [
        (0, "$.url", "path_escape"),
        (0, "$.raw_image_id", "path_escape"),
        (1, "$[1].raw_image_uri", "bad_locator"),
        (1, "$[2]", "bad_locator"),
    ]
    assert elsewhere.removeprefix("file://") in found[0].error.got
    assert (progress.references, progress.outside, progress.images) == (6, 6, 1)
    assert {one.kind for one in fsck(store.root, records)} == {"outside", "orphaned"}


def test_url_by_another_path_to_the_directory_is_inside(store: ImageStore, tmp_path: Path) -> None:
    image = store.put(picture())
    link = tmp_path / "link"
    link.symlink_to(store.root)
    here, gone = f"file://{link}/{image.raw_image_id}", f"file://{link}/{'a' * 64}.png"
    assert told(fsck(store.root, [[here, gone]])) == [
        ("missing", f"{'a' * 64}.png", "missing_image")
    ]


def test_images_of_a_moved_directory_are_missing(store: ImageStore, tmp_path: Path) -> None:
    image, gone = store.put(picture()), f"{'a' * 64}.png"
    old = tmp_path / "old"
    record = [f"file://{old}/{image.raw_image_id}", f"file://{old}/{gone}", f"s3://b/{gone}"]
    found = fsck(store.root, [record])
    assert [(one.kind, one.error.code) for one in found] == [
        ("outside", "path_escape"),
        ("missing", "missing_image"),
        ("outside", "bad_locator"),
    ]
    assert found[1].error.path == "$[1]"
    assert "the run may have moved" in str(found[0].error)
    old.mkdir()  # the directory of another run, which has an image in common
    assert [one.kind for one in fsck(store.root, [record])] == ["outside"] * 3


def test_id_of_a_moved_run_is_looked_for_here(store: ImageStore) -> None:
    store.put(picture())
    record = [f'mmraw:{{{REF},"raw_image_id":"{"a" * 64}.png"}}']
    assert told(fsck(store.root, [record]))[0] == (
        "missing", f"{'a' * 64}.png", "missing_image",
    )  # fmt: skip
