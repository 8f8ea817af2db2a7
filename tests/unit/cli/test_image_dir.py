"""``--image-dir`` and the variables name a local directory, or the command says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rawmm.cli.app import run
from tests.unit.images.pictures import chat_request, url_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of one record, in the working directory, which is the home directory."""
    for name in ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(chat_request(url_of())))
    return file


@pytest.mark.parametrize(
    "given",
    [
        "hdfs://bucket/x",
        "swift://b/x",
        "http://host/x",
        "file://host/x",
        " hdfs://bucket/x",
        '"hdfs://bucket/x"',
        "$BUCKET://x",
        "dir hdfs://x",
    ],
)
@pytest.mark.parametrize("place", ["option", "variable"])
def test_scheme_without_a_store_is_refused(
    given: str,
    place: str,
    body: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--image-dir", given]
    if place == "variable":
        options = []
        monkeypatch.setenv("VF_RENDERER_IMAGE_OFFLOAD_DIR", given)
    assert run(["offload", str(body), "-o", "out.jsonl", *options]) == 2
    assert "expected a" in capsys.readouterr().err
    assert [path.name for path in body.parent.iterdir()] == [body.name]


@pytest.mark.parametrize("given", ["", "-"])
@pytest.mark.parametrize("command", ["check", "offload", "upgrade", "fsck", "gc"])
def test_invalid_directory_name_is_wrong_usage(
    command: str, given: str, body: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {
        "check": [str(body), "--image-dir", given],
        "fsck": [given],
        "gc": [given, "--refs", str(body)],
    }.get(command, [str(body), "-o", "out.jsonl", "--image-dir", given])
    assert run([command, *arguments]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert ("write ./- for a directory of that name" if given else "is a variable unset?") in said
    assert [path.name for path in body.parent.iterdir()] == [body.name]


@pytest.mark.parametrize("command", ["check", "fsck", "upgrade"])
def test_other_commands_refuse_it_too(
    command: str, body: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {
        "check": ["check", str(body), "--image-dir", "hdfs://bucket/x"],
        "fsck": ["fsck", "hdfs://bucket/x"],
        "upgrade": ["upgrade", str(body), "-o", "out.jsonl", "--image-dir", "hdfs://bucket/x"],
    }[command]
    assert run(arguments) == 2
    assert "got the scheme 'hdfs'" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in body.parent.iterdir()] == [body.name]


@pytest.mark.parametrize("given", ["images", "~/images", "{}/images", "file://{}/images"])
def test_local_directory_is_accepted(given: str, body: Path) -> None:
    home = body.parent
    arguments = ["--image-dir", given.format(home), "-o", "out.jsonl"]
    assert run(["offload", str(body), *arguments]) == 0
    assert sorted(path.name for path in home.iterdir()) == ["images", "in.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("hosts", "code", "says"),
    [
        ([], 1, "[bad_locator]"),
        (["localhost:9"], 1, "[fetch_refused]"),
        (["*.example.org", "example.org"], 1, "got the host 'localhost', port 9"),
        (["https://localhost:9"], 2, "leave scheme and path out"),
    ],
)
def test_web_image_is_fetched_from_allowed_public_hosts_only(
    hosts: list[str], code: int, says: str, body: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "https://localhost:9/a.png?X-Amz-Signature=4f5e9c1d2b"
    body.write_text(json.dumps(chat_request(url)))
    options = [word for host in hosts for word in ("--fetch", host)]
    assert run(["offload", str(body), "-o", "out.jsonl", "--image-dir", "i", *options]) == code
    written = capsys.readouterr().err
    assert says in written
    assert "Signature" not in written
