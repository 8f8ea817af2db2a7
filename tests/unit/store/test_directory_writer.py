"""A call opens its directory once, and never writes into another one that took its place."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm.errors import OffloadError
from rawmm.offload import offload_images_inplace, offload_request
from rawmm.store import ImageStore
from rawmm.store.directory_writer import DirectoryWriter
from tests.unit.images.pictures import data_url, part, temporary_files, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from rawmm.images import PreparedImage

URLS = [url_of(seed=seed) for seed in range(4)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the directory was opened, and by it a file."""
    counted: Counter[str] = Counter()
    real = os.open

    def count(path: Any, *args: Any, **options: Any) -> int:
        counted["directory" if path == root else "file"] += 1
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", count)
    return counted


def descriptors() -> list[str]:
    return os.listdir("/dev/fd")  # noqa: PTH208


def body(urls: list[str]) -> bytes:
    return msgspec.json.encode([part(url) for url in urls])


@pytest.mark.parametrize("durable", [False, True])
def test_call_opens_the_directory_once(root: Path, opened: Counter[str], *, durable: bool) -> None:
    store = ImageStore(root, durable=durable)
    before = descriptors()
    for urls in (URLS[:2], URLS, URLS):  # new, some of them known, all known
        opened.clear()
        offload_request(body(urls), store=store)
        assert opened["directory"] == 1
        opened.clear()
        offload_images_inplace([part(url) for url in urls], store=ImageStore(root, durable=durable))
        assert opened["directory"] == 1
        opened.clear()
        store.put_data_url(urls[0])
        assert opened["directory"] == 1
    assert descriptors() == before


def test_call_without_images_opens_nothing(root: Path, opened: Counter[str]) -> None:
    offload_request(b'{"messages": []}', store=ImageStore(root))
    assert not opened


def test_failed_call_closes_what_it_opened(root: Path) -> None:
    store = ImageStore(root)
    before = descriptors()
    for urls in ([*URLS, data_url(b"GIF89a")], [data_url(b"x"), *URLS]):
        with pytest.raises(OffloadError):
            offload_request(body(urls), store=store)
        with pytest.raises(OffloadError):
            offload_images_inplace([part(url) for url in urls], store=store)
    assert descriptors() == before
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("change", ["removed", "moved away", "replaced", "replaced by a link"])
@pytest.mark.parametrize("durable", [False, True])
def test_directory_that_changes_meanwhile_has_the_images_or_is_refused(
    root: Path, change: str, monkeypatch: pytest.MonkeyPatch, *, durable: bool
) -> None:
    """The images are in the directory of that name in the end, or the call is refused."""
    moved = root.with_name("moved")
    stage = DirectoryWriter.stage
    done: list[str | None] = []

    def staged(writer: DirectoryWriter, image: PreparedImage) -> str | None:
        done.append(stage(writer, image))
        if len(done) == len(URLS):
            if change == "removed":
                for file in root.iterdir():
                    file.unlink()
                root.rmdir()
            else:
                root.rename(moved)
            if change == "replaced":
                root.mkdir()
            elif change == "replaced by a link":
                root.symlink_to(moved)
        return done[-1]

    monkeypatch.setattr(DirectoryWriter, "stage", staged)
    before = descriptors()
    store = ImageStore(root, durable=durable)
    if change == "replaced by a link":
        with pytest.raises(OffloadError) as caught:
            offload_request(body(URLS), store=store)
        assert caught.value.code == "path_escape"
    else:
        offload_request(body(URLS), store=store)
        assert store.verify() == []
        assert len(store.names()) == len(URLS)
        assert not temporary_files(root)
    assert descriptors() == before
