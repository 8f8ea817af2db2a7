"""`ImageStore`: storing, reading and verifying images."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rawmm.errors import MaterializeError, OffloadError
from rawmm.images import Limits
from rawmm.store import ImageStore, StoredImage, raw_image_path
from rawmm.store.stored_image import StoreCounters
from tests.unit.images.pictures import (
    FORMATS,
    assert_silent,
    data_url,
    picture,
    temporary_files,
    url_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.mark.parametrize("kind", FORMATS)
def test_image_is_stored_under_its_hash(store: ImageStore, kind: str) -> None:
    raw = picture(kind)
    sha256 = hashlib.sha256(raw).hexdigest()
    name = f"{sha256}.{FORMATS[kind]}"
    stored = store.put_data_url(data_url(raw, f"image/{kind.lower()}"))
    assert stored == StoredImage(
        raw_image_id=name,
        uri=f"file://{store.root}/{name}",
        path=store.root / name,
        sha256=sha256,
        media_type=f"image/{kind.lower()}",
        width=24,
        height=16,
        size=len(raw),
        written=True,
        bytes_written=len(raw),
    )
    assert stored.path.read_bytes() == raw
    assert store.read(name) == store.read(stored.uri) == raw
    assert raw_image_path(raw_image_id=name, image_dir=store.root) == stored.path
    assert store.path(name) == stored.path
    assert os.listdir(store.root) == [name]  # noqa: PTH208


@pytest.mark.parametrize("root", ["/", "/with space", "/über/%41"])
def test_url_of_an_image_is_that_of_its_path(root: str) -> None:
    store = ImageStore(root)
    info = store.prepare(picture()).info
    assert store.uri(info) == (Path(root) / info.raw_image_id).as_uri()


def test_second_time_nothing_is_written(store: ImageStore) -> None:
    raw = picture()
    first = store.put(raw)
    os.utime(first.path, ns=(0, 0))
    before = first.path.stat()
    for again in (store.put(bytearray(raw)), store.put(memoryview(raw), verify=True)):
        assert (again.written, again.bytes_written, again.uri) == (False, 0, first.uri)
    after = first.path.stat()
    assert before.st_ino == after.st_ino
    # As young as a new one, so that no garbage collection takes it away.
    assert after.st_mtime_ns > 10**18
    assert store.counters == StoreCounters(
        seen=3,
        stored=1,
        deduplicated=2,
        bytes_in=3 * len(raw),
        bytes_written=len(raw),
        verify_failures=0,
    )


def test_preparing_does_no_io(store: ImageStore) -> None:
    image = store.prepare(url_of())
    assert not store.root.exists()
    assert store.put(image).raw_image_id == image.raw_image_id
    assert store.root.is_dir()


def test_directory_is_made_with_its_parents_and_again(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "a" / "b" / "c")
    stored = store.put(picture())
    stored.path.unlink()
    store.root.rmdir()
    store.root.parent.rmdir()
    assert store.put(picture()).written
    assert stored.path.exists()


def test_non_durable_store_stores_the_same(tmp_path: Path) -> None:
    assert ImageStore(tmp_path / "x", durable=False).put(picture()).path.read_bytes() == picture()


def test_file_mode_follows_the_umask(store: ImageStore) -> None:
    before = os.umask(0o027)
    try:
        assert store.put(picture()).path.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_root_with_odd_characters_is_percent_encoded(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "a b#c?d%20é\n")
    stored = store.put(picture())
    assert stored.uri.startswith(f"file://{tmp_path.resolve()}/a%20b%23c%3Fd%2520%C3%A9%0A/")
    assert store.read(stored.uri) == picture()


def test_root_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    store = ImageStore("link")
    monkeypatch.chdir("/")
    stored = store.put(picture())
    assert stored.path.parent == (tmp_path / "real").resolve()
    # A URL through the link is a file in the root all the same.
    assert store.read(f"file://{tmp_path}/link/{stored.raw_image_id}") == picture()
    assert store.read(f"file://localhost{stored.path}") == picture()
    assert repr(store) == f"ImageStore({str(stored.path.parent)!r})"


@pytest.mark.parametrize("damage", [b"", b"short", picture() + b"x"])
def test_file_of_the_wrong_size_is_replaced(store: ImageStore, damage: bytes) -> None:
    stored = store.put(picture())
    stored.path.write_bytes(damage)
    assert store.put(picture()).written
    assert stored.path.read_bytes() == picture()
    assert store.counters.verify_failures == 1
    assert not temporary_files(store.root)


def test_verify_replaces_wrong_bytes_of_the_right_size(store: ImageStore) -> None:
    stored = store.put(picture())
    damage = bytes(stored.size)
    stored.path.write_bytes(damage)
    assert not store.put(picture()).written
    assert stored.path.read_bytes() == damage
    assert store.put(picture(), verify=True).written
    assert stored.path.read_bytes() == picture()
    stored.path.write_bytes(damage)
    assert store.put_data_url(url_of(), verify=True).written


def test_limits_are_those_of_the_store(tmp_path: Path) -> None:
    store = ImageStore(tmp_path, limits=Limits(min_edge=20))
    with pytest.raises(OffloadError) as caught:
        store.put(picture())
    assert caught.value.code == "image_limit"
    assert not os.listdir(tmp_path)  # noqa: PTH208


# --- what may stand in an image's place


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    # The path of a socket is short, so it is bound by a relative name.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name[:90])
    finally:
        os.chdir(before)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _outside(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _inside(path: Path) -> None:
    other = path.with_name("0" * 64 + ".png")
    other.write_bytes(picture())
    path.symlink_to(other.name)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("place", "code_of_put", "code_of_read"),
    [
        (_directory, "store_failed", "missing_image"),
        (_fifo, "store_failed", "missing_image"),
        (_socket, "store_failed", "store_failed"),
        (_dangling, "path_escape", "path_escape"),
        (_outside, "path_escape", "path_escape"),
        (_inside, "path_escape", "path_escape"),
    ],
)
def test_only_a_regular_file_is_an_image(
    store: ImageStore, place: Callable[[Path], None], code_of_put: str, code_of_read: str
) -> None:
    stored = store.put(picture())
    stored.path.unlink()
    place(stored.path)
    for verify in (False, True):
        with pytest.raises(OffloadError) as put:
            store.put(picture(), verify=verify)
        assert put.value.code == code_of_put
        assert put.value.hint
        assert put.value.__cause__ is put.value.__context__ is None
    with pytest.raises(MaterializeError) as read:
        store.read(stored.raw_image_id)
    assert read.value.code == code_of_read
    assert [fault.code for fault in store.verify() if stored.raw_image_id in fault.path] == [
        code_of_read
    ]
    assert os.path.lexists(stored.path)
    assert not temporary_files(store.root)


def test_obstructed_path_is_named_in_the_error(store: ImageStore) -> None:
    stored = store.put(picture())
    stored.path.unlink()
    _fifo(stored.path)
    with pytest.raises(OffloadError) as caught:
        store.put(picture())
    assert str(caught.value) == (
        f"$: expected to write {stored.raw_image_id} into '{store.root}', got a FIFO; remove it "
        "[store_failed]"
    )
    stored.path.unlink()
    _outside(stored.path)
    with pytest.raises(OffloadError) as caught:
        store.put(picture())
    assert str(caught.value) == (
        f"$: expected to write {stored.raw_image_id} into '{store.root}', got a symbolic link; "
        "replace the link by what it points to [path_escape]"
    )


def test_link_in_place_of_the_root_is_not_followed(store: ImageStore, tmp_path: Path) -> None:
    stored = store.put(picture())
    store.root.rename(tmp_path / "elsewhere")
    store.root.symlink_to("elsewhere")
    with pytest.raises(MaterializeError):
        store.read(stored.raw_image_id)
    for write in (lambda: store.put(picture()), store.probe):
        with pytest.raises(OffloadError) as caught:
            write()
        assert caught.value.code == "path_escape"


# --- reading


def test_expected_hash_is_a_prefix_of_the_digest(store: ImageStore) -> None:
    stored = store.put(picture())
    for length in (16, 32, 63, 64):
        assert store.read(stored.uri, stored.sha256[:length]) == picture()
    for wrong in (
        "0" * 16,
        stored.sha256[:-1] + ("0" if stored.sha256[-1] != "0" else "1"),
        stored.sha256 + "0" * 64,
        stored.sha256[1:33],
    ):
        with pytest.raises(MaterializeError) as caught:
            store.read(stored.raw_image_id, wrong)
        assert caught.value.code == "hash_mismatch"
        assert str(caught.value) == (
            f"$: expected bytes whose SHA-256 begins with {wrong[:16]}{'…' * (len(wrong) > 16)}, got {stored.size} bytes "
            "with another hash; delete the file and offload the image again [hash_mismatch]"
        )
    assert store.counters.verify_failures == 4


@pytest.mark.parametrize("wrong", ["", "abc", "0" * 15, "A" * 32, "g" * 32, "0" * 129, "0x" * 8])
def test_invalid_hash_is_refused(store: ImageStore, wrong: str) -> None:
    stored = store.put(picture())
    with pytest.raises(MaterializeError) as caught:
        store.read(stored.raw_image_id, wrong)
    assert caught.value.code == "bad_format"


def test_file_name_states_the_hash_by_default(store: ImageStore) -> None:
    stored = store.put(picture())
    short = store.root / f"{stored.sha256[:16]}.png"
    short.write_bytes(picture())
    assert store.read(short.name) == picture()
    short.write_bytes(picture(seed=1))
    with pytest.raises(MaterializeError) as caught:
        store.read(short.as_uri())
    assert caught.value.code == "hash_mismatch"
    assert_silent(caught.value, url_of(seed=1))
    named = store.root / "cat.png"
    named.write_bytes(picture(seed=1))
    assert store.read("cat.png") == picture(seed=1)
    with pytest.raises(MaterializeError):
        store.read("cat.png", stored.sha256)


def test_truncated_file_is_reported(store: ImageStore) -> None:
    stored = store.put(picture())
    stored.path.write_bytes(picture()[:-1])
    with pytest.raises(MaterializeError) as caught:
        store.read(stored.raw_image_id)
    assert caught.value.code == "hash_mismatch"


@pytest.mark.parametrize(
    ("locator", "code"),
    [
        ("nothing.png", "missing_image"),
        ("../x.png", "path_escape"),
        ("a/b.png", "path_escape"),
        ("..", "path_escape"),
        ("", "bad_locator"),
        ("a b.png", "bad_locator"),
        ("https://host/x.png", "bad_locator"),
        ("s3://bucket/x.png", "bad_locator"),
        ("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA", "bad_locator"),
        ("file:///etc/passwd", "path_escape"),
        ("file://{root}", "path_escape"),
        ("file://{root}/", "path_escape"),
        ("file://{root}/../secret.png", "path_escape"),
        ("file://{root}/%2e%2e/secret.png", "path_escape"),
        ("file://{root}2/x.png", "path_escape"),
        ("file://{root}/x.png%00", "path_escape"),
        ("file://{root}/x.png", "missing_image"),
        ("file://{root}/sub/x.png", "missing_image"),
        ("file://host{root}/x.png", "bad_locator"),
        ("file:{root}/x.png", "bad_locator"),
    ],
)
def test_locator_that_names_no_image_of_the_store_is_refused(
    store: ImageStore, locator: str, code: str
) -> None:
    store.put(picture())
    (store.root.parent / "secret.png").write_bytes(picture())
    with pytest.raises(MaterializeError) as caught:
        store.read(locator.format(root=store.root))
    assert caught.value.code == code
    assert caught.value.hint
    assert "iVBOR" not in str(caught.value)


def test_link_below_the_root_is_refused(store: ImageStore, tmp_path: Path) -> None:
    stored = store.put(picture())
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.png").write_bytes(picture())
    (store.root / "way").symlink_to(outside)
    with pytest.raises(MaterializeError) as caught:
        store.read(f"file://{store.root}/way/x.png")
    assert caught.value.code == "path_escape"
    (store.root / "sub").mkdir()
    stored.path.rename(store.root / "sub" / stored.path.name)
    assert store.read(f"file://{store.root}/sub/{stored.path.name}") == picture()


@pytest.mark.parametrize("raw_image_id", ["a/b", "..", "a\0", ""])
def test_path_checks_its_id(store: ImageStore, raw_image_id: str) -> None:
    with pytest.raises(MaterializeError):
        store.path(raw_image_id)


# --- verify


def test_verify_names_every_bad_file(store: ImageStore) -> None:
    assert store.verify() == []
    good, bad, cut = (store.put(picture(seed=seed)) for seed in range(3))
    bad.path.write_bytes(bytes(bad.size))
    cut.path.write_bytes(picture(seed=2)[:10])
    (store.root / "notes.txt").write_text("no hash in the name")
    (store.root / f".tmp-1-2-{'0' * 16}").write_bytes(b"being written")
    (store.root / f".{good.sha256}.png").write_bytes(b"hidden")
    faults = store.verify()
    assert {fault.code for fault in faults} == {"hash_mismatch"}
    assert [fault.path for fault in faults] == sorted(
        f'$["{image.raw_image_id}"]' for image in (bad, cut)
    )
    assert all(isinstance(fault, MaterializeError) for fault in faults)
    assert store.counters.verify_failures == 2
    assert store.verify()[0].args == faults[0].args


def test_verify_reports_an_unreadable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (fault,) = ImageStore(tmp_path / "file").verify()
    assert fault.code == "store_failed"
    assert re.match(r"\$: expected to list '.*/file', got a file where", str(fault))
