"""What works where the system lacks POSIX operations that a store relies on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import rawmm
from tests.unit.images.pictures import chat_request, data_url, part, picture, url_of

ROOT: Final = Path(__file__).parents[2]

NO_FLAGS: Final = """
import os, sys, signal
for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK"):
    delattr(os, name)
sys.modules["fcntl"] = None
"""
"""Neither flags that refuse links, nor locks of files."""

NO_DESCRIPTORS: Final = (
    NO_FLAGS
    + """
del os.O_DIRECTORY, signal.pthread_sigmask
os.supports_dir_fd.clear()
os.supports_follow_symlinks.clear()
def without_dir_fd(call):
    def wrapped(*args, **options):
        if any(options.pop(name, None) is not None for name in ("dir_fd", "src_dir_fd", "dst_dir_fd")):
            raise NotImplementedError("dir_fd unavailable on this platform")
        return call(*args, **options)
    return wrapped
for name in ("open", "stat", "unlink", "rename", "replace", "mkdir", "rmdir", "link", "access"):
    setattr(os, name, without_dir_fd(getattr(os, name)))
"""
)
"""As on Windows: also no descriptors of directories."""

NO_SYNC: Final = """
import errno, os, stat
sync = os.fsync
def fsync(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    sync(descriptor)
os.fsync = fsync
"""
"""A file system whose directories cannot be synced."""


def run(prelude: str, code: str, folder: Path, *argv: str) -> tuple[int, str, str]:
    """Run code in a process that lacks something: exit code, output, messages."""
    paths = [str(Path(rawmm.__file__).parents[1]), str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-c", prelude + code, *argv],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


COMMAND: Final = "\nfrom rawmm.cli import main\nraise SystemExit(main())"
COMMANDS: Final = """
from rawmm.cli import main
for argv in [
    ["check", "trace.json", "request.jsonl"],
    ["check", "trace.json", "request.jsonl", "--jobs", "2"],
    ["upgrade", "trace.json", "-o", "upgraded.json"],
    ["convert", "trace.json", "-o", "converted.msgpack"],
    ["view", "trace.json", "-o", "page.html"],
    ["explain", "store_failed"],
]:
    assert main(argv) == 0, argv
"""

CODEC: Final = """
import pathlib, rawmm
document = pathlib.Path("trace.json").read_bytes()
trace = rawmm.decode_json(document, rawmm.Trace)
again = rawmm.decode_msgpack(rawmm.encode_msgpack(trace), rawmm.Trace)
assert again == trace
rawmm.validate(trace)
raw = pathlib.Path("image.png").read_bytes()
assert rawmm.images.decode_image(raw).size
print("fine")
"""

STORE: Final = """
import os, pathlib, rawmm
raw = pathlib.Path("image.png").read_bytes()
store = rawmm.ImageStore("images")
stored = store.put(raw)
assert store.read(stored.uri) == raw
body = {"messages": [{"role": "user", "content": [PART]}]}
assert rawmm.offload_images_inplace(body, store=store).images_rewritten == 1
assert rawmm.store.fsck(store.root, [body]) == []
os.rename("images", "real")
os.symlink("real", "images")
try:
    store.read(stored.raw_image_id)
except rawmm.MaterializeError as error:
    print(error.code)
os.unlink("images")
os.rename("real", "images")
os.rename(stored.path, "elsewhere.png")
os.symlink("../elsewhere.png", stored.path)
try:
    store.read(stored.raw_image_id)
except rawmm.MaterializeError as error:
    print(error.code)
os.unlink(stored.path)
store.put(raw)
cached = rawmm.CachedStore("cache", store, max_bytes=1 << 20)
assert cached.read(stored.raw_image_id) == raw == cached.read(stored.raw_image_id)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a trace, a request and an image."""
    (tmp_path / "trace.json").write_bytes((ROOT / "examples" / "trace.json").read_bytes())
    (tmp_path / "image.png").write_bytes(picture())
    body = chat_request(url_of())
    (tmp_path / "request.jsonl").write_text(json.dumps(body))
    return tmp_path


@pytest.mark.parametrize(
    "prelude", [pytest.param(NO_FLAGS, marks=pytest.mark.slow), NO_DESCRIPTORS, NO_SYNC]
)
def test_codec_and_commands_on_records_work(prelude: str, folder: Path) -> None:
    code, out, err = run(prelude, CODEC + COMMANDS, folder)
    assert (code, out.partition("\n")[0]) == (0, "fine"), err
    rawmm.decode_json((folder / "upgraded.json").read_bytes(), rawmm.Trace)
    assert (folder / "page.html").stat().st_size > 1000


def test_store_refuses_links_without_the_flag_for_it(folder: Path) -> None:
    code = STORE.replace("PART", repr(part(data_url(picture()))))
    status, out, err = run(NO_FLAGS, code, folder)
    assert (status, out.splitlines()) == (0, ["path_escape"] * 2), err


def test_store_in_a_directory_needs_descriptors_and_says_so(folder: Path) -> None:
    argv = ("offload", "request.jsonl", "-o", "out.jsonl", "--image-dir", "images")
    code, out, err = run(NO_DESCRIPTORS, COMMAND, folder, *argv)
    assert (code, out) == (2, "")
    assert "a system without descriptors of directories" in err
    assert "use a store in a bucket" in err
    assert not (folder / "out.jsonl").exists()
    code, _, err = run(NO_DESCRIPTORS, COMMAND, folder, *argv[:4], "--image-dir", "memory://b/x")
    assert code == 0, err


def test_directory_that_cannot_be_synced_needs_a_store_that_is_not_durable(folder: Path) -> None:
    argv = ("offload", "request.jsonl", "-o", "out.jsonl", "--image-dir", "images")
    code, _, err = run(NO_SYNC, COMMAND, folder, *argv)
    assert code != 0
    assert "a file system that cannot sync a directory" in err
    assert "--no-durable" in err
    assert not (folder / "out.jsonl").exists()
    code, _, err = run(NO_SYNC, COMMAND, folder, *argv, "--no-durable")
    assert (code, "1 image seen" in err) == (0, True)
