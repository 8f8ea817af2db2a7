"""`ImageStore.probe`: finds an unusable directory and leaves nothing behind."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.errors import OffloadError
from rawmm.store import ImageStore
from tests.unit.images.pictures import picture
from tests.unit.store.test_store_faults import mounting, run

if TYPE_CHECKING:
    from pathlib import Path


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize("root", ["", "images", "a/b/c"])
@pytest.mark.parametrize("durable", [True, False])
def test_probe_leaves_nothing(tmp_path: Path, root: str, durable: bool) -> None:  # noqa: FBT001
    ImageStore(tmp_path / root, durable=durable).probe()
    assert everything(tmp_path) == []


def test_probe_uses_the_existing_directory(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    store.put(picture())
    before = everything(tmp_path)
    store.probe()
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("file", "got a file where a directory"),
        ("file/below", "got a file where a directory"),
        ("x" * 300, "got a path that is too"),
    ],
)
def test_obstacle_is_named(tmp_path: Path, root: str, says: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OffloadError) as caught:
        ImageStore(tmp_path / root).probe()
    assert caught.value.code == "store_failed"
    assert says in str(caught.value)
    assert everything(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("step", "number"),
    [("write", errno.ENOSPC), ("fsync", errno.EDQUOT), ("open", errno.EACCES)],
)
@pytest.mark.parametrize("root", ["", "images"])
def test_probe_that_fails_leaves_nothing(
    tmp_path: Path, step: str, number: int, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(os, step)

    def fail(*args: Any, **options: Any) -> Any:
        if step == "open" and not args[1] & os.O_CREAT:
            return real(*args, **options)
        raise OSError(number, os.strerror(number))

    store = ImageStore(tmp_path / root)
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OffloadError) as caught:
            store.probe()
    assert caught.value.code == "store_failed"
    assert caught.value.hint
    assert everything(tmp_path) == []


def test_real_file_systems_refuse_a_probe(tmp_path: Path) -> None:
    code = """
    try:
        ImageStore(root / "images").probe()
    except OffloadError as error:
        print(error)
    """
    root = tmp_path / "ro"
    command = mounting("ro", root)
    if command is None:
        said = run("root = Path('/proc/self')\n" + code.replace("\n    ", "\n"), root)
        assert "[store_failed]" in said
        return
    assert "got a read-only file system; choose" in run(code, root, *command)
    full = tmp_path / "full"
    command = mounting("size=64k", full)
    fill = """
    try:
        with (root / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(4096)): pass
    except OSError: pass
    """
    assert "got no space left" in run(fill + code, full, *(command or ()))
