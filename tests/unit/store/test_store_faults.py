"""Real faults of the operating system, in a separate process where necessary."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rawmm.errors
from rawmm.errors import MaterializeError, OffloadError
from rawmm.offload import offload_images_inplace
from rawmm.store import ImageStore
from tests.unit.images.pictures import part, picture, temporary_files, url_of

SOURCES = os.pathsep.join(
    str(path) for path in (Path(rawmm.errors.__file__).parents[1], Path(__file__).parents[3])
)
PRELUDE = """
import os, resource, signal, sys
from pathlib import Path
from rawmm.errors import OffloadError
from rawmm.store import (ImageStore)
from rawmm.offload import (offload_images_inplace)
from tests.unit.images.pictures import part, picture, temporary_files, url_of

root = Path(sys.argv[1])
url_of("PNG"), ImageStore(root.with_name("warm")).put(picture())

def fails(n=3):
    value = [part(url_of(seed=seed)) for seed in range(n)]
    before = [part(url_of(seed=seed)) for seed in range(n)]
    try:
        offload_images_inplace(value, image_dir=root)
    except OffloadError as error:
        assert value == before
        assert not root.is_dir() or not temporary_files(root), os.listdir(root)
        assert error.__cause__ is error.__context__ is None
        print(error)
    else:
        print("no error", os.listdir(root))
"""


def run(code: str, root: Path, *prefix: str) -> str:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(root)],
        env=os.environ | {"PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def mounting(options: str, root: Path) -> list[str] | None:
    """A command line that mounts a small file system at `root`, for its process only."""
    root.mkdir(exist_ok=True)
    mount = f'mount -t tmpfs -o {options} none "{root}" && exec "$@"'
    unshare = shutil.which("unshare")
    for flags in (["-m"], ["-r", "-m"]):
        command = [unshare or "unshare", *flags, "sh", "-c", mount, "sh"]
        if unshare and not subprocess.run([*command, "true"], capture_output=True).returncode:  # noqa: PLW1510
            return command
    return None


def test_full_disk_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "images"
    command = mounting("size=64k", root)
    if command is None:
        pytest.skip("no file system can be mounted here; the size limit below is tested instead")
    said = run(
        """
        filler = root / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while file.write(bytes(4096)): pass
        except OSError: pass
        fails()
        """,
        root,
        *command,
    )
    assert said.startswith("$[0].image_url.url: expected to write ")
    assert said.endswith(
        "got no space left on the device; free space, or choose another directory [store_failed]"
    )


def test_full_disk_at_the_last_image_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "images"
    command = mounting("size=64k", root)
    if command is None:
        pytest.skip("no file system can be mounted here; the size limit below is tested instead")
    said = run(
        """
        import random
        def noise(seed):
            from PIL import Image
            import base64, io
            out = io.BytesIO()
            pixels = random.Random(seed).randbytes(90 * 90 * 3)
            Image.frombytes("RGB", (90, 90), pixels).save(out, "PNG")
            return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
        url_of = lambda seed: noise(seed)
        fails(4)
        print(len(os.listdir(root)))
        """,
        root,
        *command,
    )
    assert "no space left" in said
    # What was written before stays: the next call finds it.
    assert 1 <= int(said.splitlines()[-1]) <= 3


def test_read_only_file_system_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "images"
    command = mounting("ro", root)
    if command is None:
        said = run("root = Path('/proc/self/images'); fails()", root)
        assert "[store_failed]" in said
        return
    assert run("fails()", root, *command).endswith(
        "got a read-only file system; choose a directory that can be written [store_failed]"
    )


def test_file_size_limit_is_reported(tmp_path: Path) -> None:
    said = run(
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
        fails()
        """,
        tmp_path / "images",
    )
    assert said.endswith(
        "got a file over the size limit of the process; raise the limit (ulimit -f) [store_failed]"
    )


def test_directory_without_permission_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    root = tmp_path / "images"
    root.mkdir(mode=0o555)
    # What the offload loads is loaded before: another user may not read this environment.
    load = "import concurrent.futures.thread, pybase64; from PIL import Image; Image.preinit(); "
    drop = f"{load}os.setgid(65534); os.setuid(65534)" if os.geteuid() == 0 else ""
    open_up = "\n".join(
        f"os.chmod({str(path)!r}, os.stat({str(path)!r}).st_mode | 0o111)"
        for path in tmp_path.parents
        if os.geteuid() == 0 and "pytest" in str(path)
    )
    said = run(f"{open_up}\n{drop}\nfails()", root)
    assert said.endswith(
        "got permission denied; give this user access, or choose another directory [store_failed]"
    )
    assert not list(root.iterdir())


def test_too_many_open_files_are_reported(tmp_path: Path) -> None:
    said = run(
        """
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        held = []
        try:
            while True: held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError: pass
        os.close(held.pop())
        fails()
        """,
        tmp_path / "images",
    )
    assert "got too many open files; close some" in said


@pytest.mark.parametrize("root", ["file", "file/below", "file/below/that"])
def test_file_in_place_of_the_directory_is_store_failed(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").write_text("x")
    value = [part(url_of())]
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=tmp_path / root)
    assert value == [part(url_of())]
    assert caught.value.code == "store_failed"
    assert str(caught.value).endswith(
        "got a file where a directory should be; remove it, or choose another directory "
        "[store_failed]"
    )
    with pytest.raises(MaterializeError) as read:
        ImageStore(tmp_path / root).read("a.png")
    assert read.value.code == "store_failed"


@pytest.mark.parametrize("root", ["/proc/rawmm/images", "/sys/rawmm", "/dev/null/images"])
def test_directory_that_nobody_can_make_is_store_failed(root: str) -> None:
    with pytest.raises(OffloadError) as caught:
        ImageStore(root).put(picture())
    assert caught.value.code == "store_failed"
    assert caught.value.hint
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OffloadError) as caught:
        ImageStore(tmp_path / ("x" * 300)).put(picture())
    assert "got a path that is too long; choose a shorter directory" in str(caught.value)


@pytest.mark.parametrize("stopped_by", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_interrupted_write_leaves_nothing(
    tmp_path: Path,
    step: str,
    stopped_by: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ImageStore(tmp_path / "images")
    kept = store.put(picture(seed=1))

    def stop(*_: object, **__: object) -> None:
        raise stopped_by

    monkeypatch.setattr(os, step, stop)
    with pytest.raises(stopped_by):
        store.put(picture())
    assert [path.name for path in store.root.iterdir()] == [kept.raw_image_id]


def test_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    assert ImageStore(tmp_path).put(picture()).path.read_bytes() == picture()


def test_durable_store_syncs_the_file_then_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(file: int) -> None:
        steps.append("directory" if os.path.isdir(f"/dev/fd/{file}") else "file")  # noqa: PTH112
        fsync(file)

    def spy_replace(*args: object, **options: object) -> None:
        steps.append("replace")
        replace(*args, **options)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    ImageStore(tmp_path / "a" / "b").put(picture())
    assert steps == ["directory", "directory", "file", "replace", "directory"]
    steps.clear()
    ImageStore(tmp_path / "c" / "d", durable=False).put(picture())
    assert steps == ["replace"]
    assert not temporary_files(tmp_path)


@pytest.mark.parametrize("step", ["another user's file", "and directory", "a read-only disk"])
def test_file_whose_time_cannot_be_set_is_replaced_or_left(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(tmp_path)
    first = store.put(picture())
    inode = first.path.stat().st_ino
    number = errno.EROFS if step == "a read-only disk" else errno.EPERM

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "utime", refuse)
    if step == "and directory":
        monkeypatch.setattr(os, "access", lambda path, *_, **__: path != ".")
    again = store.put(picture())
    # Where it can be replaced, it is: the new one is this user's, and young.
    assert again.written == (step == "another user's file")
    assert (first.path.stat().st_ino != inode) == again.written
    assert store.exists(first.uri, renew=True)
