"""Records in each cloud: commands find, read and write them, and go on where a run stopped."""

from __future__ import annotations

import gzip
import http.client
import json
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.store import from_url

from rawmm.cli import main
from tests.integrations.stores import clouds
from tests.unit.images.pictures import chat_request, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integrations.stores.proxy import Proxy

RECORDS = 200


def lines(count: int, first: int = 0) -> bytes:
    return b"".join(
        json.dumps(chat_request(url_of(seed=first + i % 7))).encode() + b"\n" for i in range(count)
    )


@pytest.fixture
def run(any_bucket: str) -> str:
    """The URL of a folder with three objects of records, one of which has an error."""
    url = any_bucket.removesuffix("/images")
    store = from_url(url)
    obstore.put(store, "a/traces.jsonl", lines(RECORDS))
    obstore.put(store, "b/c/traces.jsonl.gz", gzip.compress(lines(RECORDS, 3)))
    obstore.put(store, "b/bad.jsonl", lines(2) + b'{"nodes": 1}\n' + lines(1))
    return url


@pytest.mark.parametrize("options", [(), ("--jobs", "2")])
def test_check_reads_objects_by_pattern(
    run: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"{run}/**/*.jsonl*", *options]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith(f"{run}/b/bad.jsonl:3::$.nodes")
    assert f"3 files, {2 * RECORDS + 4} records, 1 error" in said.err
    assert main(["check", f"{run}/**/traces.jsonl*", *options]) == 0


def test_offload_goes_on_where_it_stopped(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, manifest = f"{run}/images", str(tmp_path / "manifest.jsonl")
    argv = ["offload", f"{run}/**/*.jsonl*", "-o", f"{run}-out", "--image-dir", images]
    argv += ["--manifest", manifest]
    obstore.put(from_url(run), "b/bad.jsonl", lines(2) + b'{"nodes": [')
    assert main(argv) == 1
    assert "[malformed]" in capsys.readouterr().err
    obstore.put(from_url(run), "b/bad.jsonl", lines(3))
    assert main(argv) == 0
    assert "3 files (2 by an earlier run)" in capsys.readouterr().err
    assert main(["check", f"{run}-out/**", "--image-dir", images, "--require-images"]) == 0
    assert main(["stats", f"{run}-out/**", "--image-dir", images, "--json"]) == 0
    total = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (total["records"], total["images"]) == (2 * RECORDS + 3, 2 * RECORDS + 3)


def test_input_is_fetched_once(
    bucket: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.removesuffix("/images")
    obstore.put(from_url(url), "in/a.jsonl", lines(20))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    argv = [
        "offload",
        f"{url}/in/*",
        "-o",
        str(tmp_path / "out"),
        "--image-dir",
        str(tmp_path / "i"),
    ]
    assert main([*argv, "--manifest", str(tmp_path / "manifest")]) == 0
    assert proxy.counts["GET"] == 2  # the listing and the object


def test_objects_that_stand_for_folders_are_no_files(
    server: str, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = bucket.removesuffix("/images")
    connection = http.client.HTTPConnection(server)
    for name, body in (("", b""), ("a/", b""), ("b.jsonl/", b""), ("c.jsonl", b"")):
        path = f"/{url.removeprefix('s3://')}/in/{name}"
        connection.request("PUT", path, body, clouds.SIGNED)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()
    obstore.put(from_url(url), "in/a/0.jsonl", lines(1))
    for pattern in ("in/**", "in/"):
        assert main(["check", f"{url}/{pattern}", "--input-format", "jsonl"]) == 0
        said = capsys.readouterr().err
        assert "2 files, 1 record, no errors" in said
        assert f"{url}/in/c.jsonl: no records" in said


def test_name_that_obstore_refuses_is_an_error_that_says_so(
    server: str, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = bucket.removesuffix("/images")
    obstore.put(from_url(url), "in/a.jsonl", lines(1))
    connection = http.client.HTTPConnection(server)
    path = f"/{url.removeprefix('s3://')}/in/b//c.jsonl"
    connection.request("PUT", path, lines(1), clouds.SIGNED)
    assert connection.getresponse().status == 200
    connection.close()
    assert main(["check", f"{url}/in/*.jsonl"]) == 2
    assert "an empty folder, '.' or '..' in its name" in capsys.readouterr().err
    assert main(["check", f"{url}/in/a.jsonl"]) == 0


def test_missing_bucket_is_named_without_credentials(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server
    assert main(["check", "s3://no-such-bucket/run/**/*.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "no-such-bucket" in said
    assert "CANARY" not in said.upper()
