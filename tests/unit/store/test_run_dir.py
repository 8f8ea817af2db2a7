"""The image directory of a run, from arguments and variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawmm.errors import OffloadError
from rawmm.offload import offload_images_inplace
from rawmm.store import raw_image_path, run_image_dir
from tests.unit.images.pictures import part, url_of

DIRECT, RUN_DIR, RUN_ID = "VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID"
ALL = {DIRECT: "/a/b", RUN_DIR: "/c/run", RUN_ID: "x1"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (ALL, "/a/b"),
        (ALL | {DIRECT: ""}, "/c/run/assets/images"),
        (ALL | {DIRECT: " \n", RUN_DIR: " /c/run/ "}, "/c/run/assets/images"),
        (ALL | {DIRECT: "", RUN_DIR: " "}, "/data/outputs/run_x1/assets/images"),
        ({RUN_ID: "run_x1"}, "/data/outputs/run_x1/assets/images"),
        ({RUN_ID: " run_x1 "}, "/data/outputs/run_x1/assets/images"),
        ({RUN_ID: "x1"}, "/data/outputs/run_x1/assets/images"),
        ({DIRECT: "/a/../b//c"}, "/b/c"),
        ({DIRECT: "//a"}, "/a"),
    ],
)
def test_first_variable_that_is_set_decides(variables: dict[str, str], expected: str) -> None:
    assert run_image_dir(variables) == Path(expected)


def test_links_are_resolved_and_relative_paths_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert run_image_dir({DIRECT: "link/x"}) == tmp_path.resolve() / "real" / "x"


def test_process_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECT, str(tmp_path))
    assert run_image_dir() == tmp_path.resolve()
    assert raw_image_path(raw_image_id="a.png") == tmp_path.resolve() / "a.png"


def test_unset_variables_are_named_in_the_error() -> None:
    with pytest.raises(OffloadError) as caught:
        run_image_dir({})
    assert caught.value.code == "no_image_dir"
    assert str(caught.value) == (
        "$: expected an image directory, got none; pass image_dir, or set "
        "VF_RENDERER_IMAGE_OFFLOAD_DIR, PRIME_RL_RUN_DIR or RUN_ID [no_image_dir]"
    )


@pytest.mark.parametrize("run_id", ["../x", "a/b", "/", "..", "run_..", "a\0b", "a\\b", "."])
def test_run_id_is_a_plain_name(run_id: str) -> None:
    with pytest.raises(OffloadError) as caught:
        run_image_dir({RUN_ID: run_id})
    assert caught.value.code == "path_escape"
    assert "RUN_ID" in str(caught.value)


@pytest.mark.parametrize(
    ("raw_image_id", "code"),
    [
        ("../x.png", "path_escape"),
        ("a/b.png", "path_escape"),
        ("..", "path_escape"),
        (".", "path_escape"),
        ("a\0.png", "path_escape"),
        ("a\\b.png", "path_escape"),
        ("", "bad_locator"),
        ("a b.png", "bad_locator"),
        ("a.png\n", "bad_locator"),
        ("é.png", "bad_locator"),
        ("file:a.png", "bad_locator"),
    ],
)
def test_id_is_a_plain_file_name(raw_image_id: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(OffloadError) as caught:
        raw_image_path(raw_image_id=raw_image_id, image_dir=tmp_path)
    assert caught.value.code == code


def test_id_is_joined_to_the_directory(tmp_path: Path) -> None:
    assert raw_image_path(raw_image_id="a-B_1.png", image_dir=str(tmp_path)) == (
        tmp_path.resolve() / "a-B_1.png"
    )


@pytest.mark.parametrize(("name", "code"), [("a\0b", "path_escape"), ("a\udcff", "bad_locator")])
def test_directory_that_no_url_can_name_is_refused(name: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(OffloadError) as caught:
        raw_image_path(raw_image_id="a.png", image_dir=f"{tmp_path}/{name}")
    assert caught.value.code == code


def test_environment_is_asked_only_for_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    assert offload_images_inplace([{"type": "text", "text": "x"}]).images_seen == 0
    assert offload_images_inplace([part(url_of())], mode="inline").images_seen == 1
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace({"content": [part(url_of())]})
    assert (caught.value.code, caught.value.path) == (
        "no_image_dir",
        "$.content[0].image_url.url",
    )
