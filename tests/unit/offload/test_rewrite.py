"""`offload_images_inplace`: shapes of image parts, modes, directories and errors."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rawmm.errors import ContractError, OffloadError
from rawmm.images import Limits
from rawmm.offload import (
    ImageOffloadStats,
    offload_image_to_run_assets,
    offload_images_async,
    offload_images_inplace,
    offload_request,
)
from rawmm.store import ImageStore
from rawmm.store.directory_writer import DirectoryWriter
from tests.unit.images.pictures import (
    assert_silent,
    data_url,
    huge_png,
    part,
    picture,
    temporary_files,
    url_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rawmm.images.prepare import ImageInfo, PreparedImage


def reference(root: Path, seed: int = 0, kind: str = "PNG") -> str:
    return ImageStore(root).put(picture(kind, seed=seed)).uri


# --- shapes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"type": "image_url", "image_url": {"url": "URL"}},
            {"type": "image_url", "image_url": {"url": "REF"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "URL", "detail": "low", "x": None}},
            {"type": "image_url", "image_url": {"url": "REF", "detail": "low", "x": None}},
        ),
        (
            {"type": "image_url", "image_url": "URL", "text": None},
            {"type": "image_url", "image_url": {"url": "REF"}, "text": None},
        ),
        (
            {"type": "image", "image": "URL"},
            {"type": "image_url", "image_url": {"url": "REF"}},
        ),
        (
            {"type": "image", "image": "URL", "image_url": None, "text": None},
            {"type": "image_url", "image_url": {"url": "REF"}, "text": None},
        ),
        (
            {"type": "image_url", "image": None, "image_url": {"url": "URL"}, "c": {"d": 1}},
            {"type": "image_url", "image": None, "image_url": {"url": "REF"}, "c": {"d": 1}},
        ),
        (
            {"type": "image", "image_url": {"url": "URL"}},
            {"type": "image_url", "image_url": {"url": "REF"}},
        ),
        (
            {"type": "image", "image_url": "URL"},
            {"type": "image_url", "image_url": {"url": "REF"}},
        ),
        (
            {"type": "image_url", "image": "URL", "image_url": None},
            {"type": "image_url", "image_url": {"url": "REF"}},
        ),
    ],
)
def test_every_shape_gives_the_same_result(
    before: dict[str, Any], after: dict[str, Any], root: Path
) -> None:
    def filled(value: Any, text: str, url: str) -> Any:
        if isinstance(value, dict):
            return {key: filled(item, text, url) for key, item in value.items()}
        return url if value == text else value

    uri = reference(root)
    expected = filled(after, "REF", uri)
    # From a data URL and, in shape only, from a reference.
    for url, rewritten in ((url_of(), 1), (uri, 0)):
        given = filled(before, "URL", url)
        messages = [{"role": "user", "content": [given]}]
        stats = offload_images_inplace(messages, image_dir=root)
        assert messages == [{"role": "user", "content": [expected]}]
        assert messages[0]["content"][0] is given
        assert (stats.images_seen, stats.images_rewritten) == (1, rewritten)


def test_inner_object_is_the_same_object(root: Path) -> None:
    given = part(url_of(), detail="high")
    inner = given["image_url"]
    offload_images_inplace(given, image_dir=root)
    assert given["image_url"] is inner
    assert list(inner) == ["url", "detail"]


@pytest.mark.parametrize(
    "value",
    [
        {"type": "text", "text": "x", "image_url": None, "image": None},
        {"type": "image_url", "text": "x", "image_url": None},
        {"type": "image_url", "image_url": None, "image": None},
        {"type": "image", "image": None},
        {"type": "text", "image_url": {"url": "https://x.y/z"}},
        {"image_url": {"url": "https://x.y/z"}},
        {"type": None, "image": "https://x.y/z"},
        {"type": 3, "image": "https://x.y/z"},
        {"type": np.array(["image", "image"]), "image": 1},
        {"type": ["image"], "image": 1},
        {"role": "user", "content": "https://x.y/z"},
        {"content": None},
        [],
        ["x", None, 3, b"x", dict, ImageOffloadStats, np.zeros(3)],
    ],
    ids=str,
)
def test_other_parts_are_left_alone(value: Any, root: Path) -> None:
    before = repr(value)
    assert offload_images_inplace(value, image_dir=root) == ImageOffloadStats()
    assert repr(value) == before
    assert not root.exists()


@pytest.mark.parametrize(
    ("given", "path", "got"),
    [
        ({"type": "image_url"}, ".image_url", "neither key"),
        ({"type": "image"}, ".image_url", "neither key"),
        ({"type": "image", "image": "x", "image_url": "y"}, ".image_url", "both keys"),
        ({"type": "image_url", "image_url": {}}, ".image_url.url", "null"),
        ({"type": "image_url", "image_url": {"url": None}}, ".image_url.url", "null"),
        ({"type": "image_url", "image_url": {"url": 3}}, ".image_url.url", "3"),
        ({"type": "image_url", "image_url": ["x"]}, ".image_url.url", "null"),
        ({"type": "image_url", "image_url": 3}, ".image_url", "3"),
        ({"type": "image", "image": {"url": url_of()}}, ".image", "an object with url"),
        ({"type": "image", "image": np.zeros((2, 2))}, ".image", "a numpy.ndarray"),
        (
            {"type": "image_url", "image_url": {"url": io.BytesIO(b"x")}},
            ".image_url.url",
            "a _io.BytesIO",
        ),
    ],
    ids=range(11),
)
def test_image_part_without_a_url_is_refused(
    given: dict[str, Any], path: str, got: str, root: Path
) -> None:
    keys = list(given)
    for mode in ("offload", "inline"):
        with pytest.raises(OffloadError) as caught:
            offload_images_inplace([part(url_of()), given], image_dir=root, mode=mode)
        assert caught.value.code == "wrong_type"
        assert caught.value.path == f"$[1]{path}"
        assert caught.value.got == got
        assert '{"type": "image_url", "image_url": {"url": ...}}' in str(caught.value)
        assert_silent(caught.value, url_of())
    assert list(given) == keys
    assert not root.exists()


# --- sources

NOISE = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


@pytest.mark.parametrize(
    ("url", "code", "got"),
    [
        (f"data:image/png,{NOISE}", "bad_locator", "'data:image/png,' (43 characters)"),
        (f"data:text/plain;base64,{NOISE}", "bad_locator", None),
        (url_of()[:-1], "bad_base64", None),
        ("data:image/png;base64,aGVs*bG8=", "bad_base64", "characters outside the"),
        ("data:image/png;base64,", "bad_base64", "no text"),
        (url_of().replace("+", "-").replace("/", "_"), "bad_locator", None),
        (data_url(picture()[:-20]), "not_an_image", "a truncated or damaged file"),
        (data_url(picture("JPEG")[:-2], "image/jpeg"), "not_an_image", None),
        (data_url(picture("GIF")[:-2], "image/gif"), "not_an_image", None),
        (data_url(picture("WEBP")[:-1], "image/webp"), "not_an_image", None),
        (data_url(b"hello", "image/svg+xml"), "not_an_image", "5 bytes of something else"),
        (data_url(huge_png(30_000, 30_000)), "image_limit", "900000000 (30000 x 30000 pixels)"),
        (f"https://user:{NOISE}@x.y/{NOISE}", "bad_locator", "the scheme 'https'"),
        (f"s3://bucket/{NOISE}", "bad_locator", "the scheme 's3'"),
        (f"HTTP://x.y/{NOISE}", "bad_locator", "the scheme 'http'"),
        (f"images/{NOISE}.png", "bad_locator", "a string without a scheme"),
        (f"/images/{NOISE}.png", "bad_locator", "a string without a scheme"),
        (NOISE, "bad_locator", "a string without a scheme"),
        ("", "bad_locator", "a string without a scheme"),
        (f" {url_of()}", "bad_locator", "white space around the URL"),
        ("file://host/x.png", "bad_locator", None),
        ("file:///etc/passwd", "path_escape", None),
        ("file://ROOT/../secret.png", "path_escape", None),
        ("file://ROOT/%2e%2e/secret.png", "path_escape", None),
        ("file://ROOT/way.png", "path_escape", "a symbolic link"),
        ("file://ROOT/dir/x.png", "path_escape", None),
        ("file://ROOT/none.png", "missing_image", "no file named 'none.png'"),
        ("file://ROOT/fifo.png", "missing_image", "a FIFO"),
        ("file://ROOT/sub", "missing_image", "a directory"),
        ("file://ROOT/x.png?q=1", "bad_locator", None),
    ],
)
@pytest.mark.parametrize("mode", ["offload", "inline"])
def test_source_that_is_no_image_is_refused(
    url: str, code: str, got: str | None, mode: str, root: Path
) -> None:
    import os

    outside = root.parent / "outside"
    outside.mkdir()
    (root / "sub").mkdir(parents=True)
    for place in (root.parent / "secret.png", outside / "x.png"):
        place.write_bytes(picture())
    (root / "way.png").symlink_to("../secret.png")
    (root / "dir").symlink_to("../outside")
    os.mkfifo(root / "fifo.png")
    here = sorted(root.rglob("*"))
    value = [
        {"content": "x"},
        {"content": [{"type": "text", "text": "x"}, part(url.replace("ROOT", str(root)))]},
        {"content": [part("https://never.seen/")]},
    ]
    before = copy.deepcopy(value)
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=root, mode=mode)
    error = caught.value
    assert error.code == code
    assert error.path == "$[1].content[1].image_url.url"
    assert error.args[1] == error.path
    assert str(error).startswith(error.path)
    assert error.got.startswith(got or "")
    assert error.hint
    assert NOISE not in str(error)
    assert_silent(error, url if url.startswith("data:") else "")
    assert value == before
    assert sorted(root.rglob("*")) == here


def test_https_url_is_refused_with_advice(root: Path) -> None:
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(part("https://x.y/z"), image_dir=root)
    assert str(caught.value) == (
        "$.image_url.url: expected a data:image/...;base64, URL, or a URL of an image in the "
        "store (az://, file://, gs://, memory://, s3://), got the scheme 'https'; encode the image "
        'as a data:image/...;base64, URL, or have it fetched: ImageStore(..., fetcher=HttpsFetcher(["host"])), '
        "rawmm offload --fetch HOST [bad_locator]"
    )


def test_reference_stays(root: Path) -> None:
    uri = reference(root)
    value = [part(uri, detail="low"), {"type": "image", "image": uri}]
    stats = offload_images_inplace(value, image_dir=root)
    assert value == [part(uri, detail="low"), part(uri)]
    assert stats == ImageOffloadStats(images_seen=2)
    inline: list[Any] = [{"type": "image", "image": uri}]
    assert offload_images_inplace(inline, image_dir=root, mode="inline").images_seen == 1
    assert inline == [{"type": "image", "image": uri}]


def test_image_jpg_is_accepted(root: Path) -> None:
    value = part(data_url(picture("JPEG"), "image/jpg"))
    offload_images_inplace(value, image_dir=root)
    assert value["image_url"]["url"].endswith(".jpg")


# --- numbers, limits, modes, stores


def test_stats_count_images_and_bytes(root: Path) -> None:
    sizes = [len(picture(seed=seed)) for seed in range(3)]
    stored = reference(root, 2)
    # The same bytes in other text: the media type is written in capitals.
    other_text = url_of(seed=0).replace("image/png", "image/PNG")
    urls = [url_of(seed=0), url_of(seed=1), other_text, url_of(seed=0), url_of(seed=2), stored]
    value = [part(url) for url in urls]
    stats = offload_images_inplace(value, image_dir=root)
    assert stats == ImageOffloadStats(
        images_seen=6,
        images_rewritten=5,
        images_deduplicated=3,
        bytes_in=3 * sizes[0] + sizes[1] + sizes[2],
        bytes_written=sizes[0] + sizes[1],
    )
    assert len({each["image_url"]["url"] for each in value}) == 3
    total = ImageOffloadStats()
    total.add(stats)
    total.add(offload_images_inplace([part(url_of(seed=0))], image_dir=root))
    assert total == stats + ImageOffloadStats(1, 1, 1, sizes[0], 0)


def test_inline_mode_checks_and_counts_and_writes_nothing(root: Path) -> None:
    value = [part(url_of()), part(url_of()), {"type": "image", "image": url_of(seed=1)}]
    before = copy.deepcopy(value)
    stats = offload_images_inplace(value, image_dir=root, mode="inline")
    assert stats == ImageOffloadStats(
        images_seen=3, bytes_in=2 * len(picture()) + len(picture(seed=1))
    )
    assert value == before
    assert not root.exists()


@pytest.mark.parametrize("mode", ["Offload", "", None, 3, ["inline"]])
def test_other_modes_are_refused(mode: Any) -> None:
    with pytest.raises(ContractError) as caught:
        offload_images_inplace([], mode=mode)
    assert caught.value.code == "bad_value"
    assert isinstance(caught.value, ValueError)
    assert "expected the mode 'offload' or 'inline'" in str(caught.value)


@pytest.mark.parametrize("mode", ["offload", "inline"])
def test_number_of_parts_is_limited_before_any_is_read(mode: str, root: Path) -> None:
    value = [part("not even a url") for _ in range(4)]
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=root, mode=mode, limits=Limits(max_images=3))
    assert str(caught.value) == (
        "$[3].image_url.url: expected at most 3 image parts in a call, got 4; offload fewer "
        "messages at a time, or raise Limits.max_images [image_limit]"
    )
    exact = [part(url_of()) for _ in range(3)]
    assert offload_images_inplace(exact, image_dir=root, limits=Limits(max_images=3)).images_seen


def test_limits_are_the_arguments_then_the_stores(root: Path) -> None:
    store = ImageStore(root, limits=Limits(min_edge=100))
    for limits in (None, Limits(min_edge=17)):
        with pytest.raises(OffloadError) as caught:
            offload_images_inplace([part(url_of())], store=store, limits=limits)
        assert caught.value.code == "image_limit"
    value = [part(url_of())]
    assert offload_images_inplace(value, store=store, limits=Limits()).images_rewritten == 1


def test_store_and_image_dir_together_are_a_type_error(root: Path) -> None:
    store = ImageStore(root)
    body = json.dumps([part(url_of())]).encode()
    for action in (
        lambda: offload_images_inplace([part(url_of())], store=store, image_dir=root),
        lambda: offload_images_inplace([], store=store, image_dir=root, mode="inline"),
        lambda: asyncio.run(
            offload_images_async([part(url_of())], store=store, image_dir=str(root))
        ),
        lambda: offload_request(body, store=store, image_dir=root),
        lambda: offload_request(b"[]", store=store, image_dir=root),
    ):
        with pytest.raises(TypeError, match="not both: a store has"):
            action()
    assert not root.exists()


def test_file_with_the_wrong_size_is_replaced(root: Path) -> None:
    store = ImageStore(root)
    stored = store.put(picture())
    stored.path.write_bytes(b"cut")
    value = [part(url_of())]
    stats = offload_images_inplace(value, store=store)
    assert (stats.images_deduplicated, stats.bytes_written) == (0, stored.size)
    assert store.read(value[0]["image_url"]["url"]) == picture()


def test_one_image_is_stored_or_refused(root: Path) -> None:
    answer = offload_image_to_run_assets(url_of(), root)
    assert answer == (reference(root), len(picture()))
    assert offload_image_to_run_assets(url_of(), str(root)) == answer
    for other in (None, 3, b"data:image/png", "file:///x", "https://x.y", "data:text/plain,x", ""):
        assert offload_image_to_run_assets(other, root) is None
    for wrong, code in (
        ("data:image/png,x", "bad_locator"),
        ("data:image/png;base64,####", "bad_base64"),
        (data_url(b"hello"), "not_an_image"),
    ):
        with pytest.raises(OffloadError) as caught:
            offload_image_to_run_assets(wrong, root)
        assert caught.value.code == code


def test_one_image_is_stored_in_the_directory_of_the_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VF_RENDERER_IMAGE_OFFLOAD_DIR", str(root))
    answer = offload_image_to_run_assets(url_of())
    assert answer is not None
    assert answer[0].startswith(f"file://{root}/")
    value = [part(url_of())]
    offload_images_inplace(value)
    assert value == [part(answer[0])]
    monkeypatch.delenv("VF_RENDERER_IMAGE_OFFLOAD_DIR")
    monkeypatch.delenv("PRIME_RL_RUN_DIR", raising=False)
    monkeypatch.delenv("RUN_ID", raising=False)
    with pytest.raises(OffloadError) as caught:
        offload_image_to_run_assets(url_of())
    assert caught.value.code == "no_image_dir"


def test_importing_loads_no_heavy_library() -> None:
    code = (
        "import rawmm.offload, sys; "
        "print([m for m in ('PIL', 'pybase64', 'pydantic', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_temporary_file_is_left(root: Path) -> None:
    offload_images_inplace([part(url_of(seed=seed)) for seed in range(20)], image_dir=root)
    assert not temporary_files(root)
    assert len(list(root.iterdir())) == 20


# --- a disk with room for some of the images


class SmallStore(ImageStore):
    """A store on a disk that has room for two files, temporary ones included.

    The first image that is staged finds no room, as others were faster.
    """

    def writer(self) -> DirectoryWriter:
        return SmallWriter(self.root, self._counters, durable=True)


class SmallWriter(DirectoryWriter):
    def stage(self, image: PreparedImage) -> str | None:
        if image.raw == picture(seed=0):
            raise full
        self._check_room()
        return super().stage(image)

    def place(
        self,
        info: ImageInfo,
        load: Callable[[], bytes],
        *,
        staged: str | None = None,
        verify: bool = False,
    ) -> bool:
        if staged is None or not (self.root / staged).exists():
            self._check_room()
        return super().place(info, load, staged=staged, verify=verify)

    def _check_room(self) -> None:
        if len(list(self.root.iterdir())) >= 2:
            raise full


full = OffloadError("store_failed", expected="to write", got="no space left")


def test_on_a_full_disk_the_first_images_get_the_room_of_later_ones(root: Path) -> None:
    store = SmallStore(root)
    value = [part(url_of(seed=seed)) for seed in range(3)]
    before = copy.deepcopy(value)
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, store=store)
    # Those staged for the last two made room for the first, so it is the last that has none.
    assert (caught.value.code, caught.value.path) == ("store_failed", "$[2].image_url.url")
    assert value == before
    assert sorted(path.name for path in root.iterdir()) == sorted(
        store.prepare(picture(seed=seed)).raw_image_id for seed in range(2)
    )
