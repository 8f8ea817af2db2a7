"""Valid and invalid image directories, as arguments and in variables."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm.errors import RawMMError
from rawmm.materialize import materialize
from rawmm.store.run_dir import resolved_dir, run_image_dir
from tests.unit.images.pictures import part, picture, url_of

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLES = ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID")

REFUSED: dict[Any, str] = {
    "hdfs://bucket/images": "bad_locator",
    "HDFS://bucket/images": "bad_locator",
    "swift://bucket/images": "bad_locator",
    "http://host/images": "bad_locator",
    "https://host/images": "bad_locator",
    "hdfs:///images": "bad_locator",
    "data:image/png;base64,AAAA": "bad_locator",
    Path("hdfs://bucket/images"): "bad_locator",
    Path("file:///images"): "bad_locator",
    "file://host/images": "bad_locator",
    "file:images": "bad_locator",
    "file:/images": "bad_locator",
    "file:///images?x=1": "bad_locator",
    "file:///images/../x": "path_escape",
    "~nobody-of-this-name/images": "bad_locator",
    "": "no_image_dir",
    " \n": "no_image_dir",
    "a\0b": "path_escape",
    "a\udcff": "bad_locator",
    "a" + "/a" * 3000: "bad_locator",
    b"/images": "wrong_type",
    3: "wrong_type",
    True: "wrong_type",
    ("a", "b"): "wrong_type",
}


def _offload_in_place(image_dir: Any) -> str:
    value = [part(url_of())]
    rawmm.offload_images_inplace(value, image_dir=image_dir)
    return str(value[0]["image_url"]["url"])


def _offload_async(image_dir: Any) -> str:
    value = [part(url_of())]
    asyncio.run(rawmm.offload_images_async(value, image_dir=image_dir))
    return str(value[0]["image_url"]["url"])


def _offload_request(image_dir: Any) -> str:
    body = json.dumps([part(url_of())]).encode()
    new = rawmm.offload_request(body, image_dir=image_dir).body
    return str(json.loads(new)[0]["image_url"]["url"])


def _run_assets(image_dir: Any) -> str:
    stored = rawmm.offload_image_to_run_assets(url_of(), image_dir)
    assert stored is not None
    return stored[0]


def _describe(image_dir: Any) -> str:
    stored = rawmm.ImageStore(image_dir).put(picture(size=(64, 64)))
    described = rawmm.describe_image(stored.path, "qwen_vl", image_dir=image_dir)
    return f"{stored.path.parent.as_uri()}/{described.item.raw_image_id}"


def _raw_image_path(image_dir: Any) -> str:
    return rawmm.raw_image_path(raw_image_id="a.png", image_dir=image_dir).as_uri()


TAKERS: dict[str, Callable[[Any], str]] = {
    "ImageStore": lambda image_dir: rawmm.ImageStore(image_dir).put(picture()).uri,
    "offload_images_inplace": _offload_in_place,
    "offload_images_async": _offload_async,
    "offload_request": _offload_request,
    "offload_image_to_run_assets": _run_assets,
    "describe_image": _describe,
    "raw_image_path": _raw_image_path,
}
"""Everything that takes a directory: where an image comes to be."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home and the working directory, with no variable set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


@pytest.mark.parametrize("taker", TAKERS)
class TestEveryFunction:
    @pytest.mark.parametrize(
        "spelled",
        [
            "images",
            "./images",
            "x/../images",
            "~/images",
            "{home}/images",
            "file://{home}/images",
            "file://{home}/images/",
            "FILE://localhost{home}/%69mages",
        ],
    )
    def test_every_function_accepts_the_same_directories(
        self, taker: str, spelled: str, home: Path
    ) -> None:
        uri = TAKERS[taker](spelled.format(home=home))
        assert uri.startswith(f"{home.as_uri()}/images/")
        assert [path.name for path in home.iterdir()] in ([], ["images"])

    @pytest.mark.parametrize("path", [Path("images"), Path("~/images")])
    def test_path_is_a_directory(self, taker: str, path: Path, home: Path) -> None:
        assert TAKERS[taker](path).startswith(f"{home.as_uri()}/images/")

    @pytest.mark.parametrize("image_dir", REFUSED, ids=lambda one: repr(one)[:40])
    def test_location_that_is_not_local_is_refused(
        self, taker: str, image_dir: Any, home: Path
    ) -> None:
        with pytest.raises(RawMMError) as caught:
            TAKERS[taker](image_dir)
        assert caught.value.code == REFUSED[image_dir]
        assert caught.value.__context__ is None
        assert not list(home.iterdir())


@pytest.mark.parametrize(
    "action",
    [
        lambda image_dir: rawmm.offload_images_inplace([], image_dir=image_dir),
        lambda image_dir: rawmm.offload_request(b"[]", image_dir=image_dir),
        lambda image_dir: materialize(None, image_processor=print, image_dir=image_dir),
    ],
)
def test_invalid_directory_is_refused_without_images(action: Callable[[str], object]) -> None:
    with pytest.raises(RawMMError) as caught:
        action("hdfs://bucket/images")
    assert str(caught.value) == (
        "$: expected a path, or a URL with a served scheme (az, file, gs, memory, s3), got the scheme 'hdfs'; "
        "pass a store that reads it, or a directory where it is mounted [bad_locator]"
    )


def test_name_with_a_colon_is_a_directory(home: Path) -> None:
    assert resolved_dir("run:1/images") == home / "run:1" / "images"
    assert resolved_dir("./s3:/images") == home / "s3:" / "images"
    assert resolved_dir("./~") == home / "~"


def test_relative_directory_is_resolved_when_it_is_given(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = rawmm.ImageStore("images")
    (home / "other").mkdir()
    monkeypatch.chdir(home / "other")
    assert store.put(picture()).path.parent == home / "images"


def test_missing_working_directory_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "gone").mkdir()
    monkeypatch.chdir(home / "gone")
    (home / "gone").rmdir()
    with pytest.raises(RawMMError) as caught:
        rawmm.ImageStore("images")
    assert caught.value.code == "bad_locator"
    assert caught.value.__context__ is None
    monkeypatch.chdir(home)


@pytest.mark.parametrize("name", VARIABLES[:2])
class TestVariables:
    @pytest.mark.parametrize("spelled", ["images", "~/images", "file://{home}/images"])
    def test_variables_are_read_like_arguments(self, name: str, spelled: str, home: Path) -> None:
        expected = home / "images"
        if name == "PRIME_RL_RUN_DIR":
            expected = expected / "assets" / "images"
        assert run_image_dir({name: spelled.format(home=home)}) == expected

    @pytest.mark.parametrize("value", ["hdfs://bucket/x", "http://host/x", "~nobody-of-this-name"])
    def test_location_that_is_not_a_directory_is_refused(self, name: str, value: str) -> None:
        with pytest.raises(RawMMError) as caught:
            run_image_dir({name: value})
        assert caught.value.code == "bad_locator"

    def test_empty_variable_counts_as_unset(self, name: str) -> None:
        with pytest.raises(RawMMError) as caught:
            run_image_dir({name: ""})
        assert caught.value.code == "no_image_dir"
