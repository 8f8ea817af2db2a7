"""`rawmm offload` of JSON changes the URLs of images, and no other byte."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.unit.images.pictures import picture, url_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

URL: Final = url_of("PNG", 1)
RAW: Final = picture("PNG", seed=1)
NAME: Final = f"{hashlib.sha256(RAW).hexdigest()}.png"
RECORD: Final = (
    '{ "z" : 3.14159265358979323846,\t"a": [1E5, -0.0, 1.10, 123456789012345678901234567890],'
    '"\\u00e9\\/": "\\ud83d\\ude00 \\u003c", "messages": [ {"role":"user",  "content":[\r\n'
    '{"image_url":{"url":"@", "detail":"low"},"type":"image_url"} ]}], "a2": {} } '
)
LINE: Final = RECORD.replace("\r\n", " ")
FILES: Final = {
    "document": ("a.json", RECORD + "\n"),
    "document without a newline": ("a.json", RECORD),
    "lines": ("a.jsonl", f"{LINE}\n{LINE}\n"),
    "last line without a newline": ("a.jsonl", f"{LINE}\n{LINE}"),
    "lines of Windows and blank lines": ("a.jsonl", f"\n{LINE}\r\n \r\n{LINE}\r\n\r\n"),
    "record without images": ("a.jsonl", '{ "messages" : [ ],"x":1.0e2}\n'),
}


@pytest.mark.parametrize("name", FILES)
def test_only_the_urls_change(name: str, rawmm: Run, tmp_path: Path) -> None:
    file, text = FILES[name]
    path, out = tmp_path / file, tmp_path / f"out-{file}"
    path.write_bytes(text.replace("@", URL).encode())
    assert rawmm("offload", path, "-o", out, "--image-dir", tmp_path / "im").code == 0
    stored = (tmp_path / "im" / NAME).as_uri()
    assert out.read_bytes() == text.replace("@", stored).encode()


@pytest.mark.parametrize("name", FILES)
def test_inline_mode_changes_nothing(name: str, rawmm: Run, tmp_path: Path) -> None:
    file, text = FILES[name]
    path, out = tmp_path / file, tmp_path / f"out-{file}"
    path.write_bytes(text.replace("@", URL).encode())
    assert rawmm("offload", path, "-o", out, "--mode", "inline").code == 0
    assert out.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
def test_images_of_another_directory_get_a_place_and_nothing_else_changes(
    rawmm: Run, tmp_path: Path, *, escaped: bool
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / NAME).write_bytes(RAW)
    old = (tmp_path / "old" / NAME).as_uri()
    path, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    both = f"{LINE}\n{LINE}\n"
    given = both.replace("@", old.replace("/", "\\/") if escaped else old, 1).replace("@", URL)
    path.write_text(given)
    assert rawmm("offload", path, "-o", out, "--image-dir", tmp_path / "im").code == 0
    new = (tmp_path / "im" / NAME).as_uri()
    assert out.read_text() == both.replace("@", new)
    assert (tmp_path / "im" / NAME).read_bytes() == RAW


def test_refused_record_leaves_files_as_they_were(rawmm: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    path.write_text(f"{LINE}\n".replace("@", "file:///gone/image.png"))
    out.write_text("before")
    code, report, err = rawmm("offload", path, "-o", out, "--image-dir", tmp_path / "im")
    assert code == 1
    assert "[path_escape]" in report + err
    assert out.read_text() == "before"


def test_another_format_writes_records_anew(rawmm: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "a.json", tmp_path / "out.jsonl"
    path.write_text(RECORD.replace("@", URL))
    assert rawmm("offload", path, "-o", out, "--image-dir", tmp_path / "im").code == 0
    (line,) = out.read_bytes().splitlines()
    assert json.loads(line)["a"][3] == 123456789012345678901234567890
