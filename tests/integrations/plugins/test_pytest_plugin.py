"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import textwrap
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rawmm.cli import file_errors
from tests import snippets
from tests.canaries import IMAGE, leaked

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str]]

pytest_plugins = ["pytester"]

EXAMPLE = (Path(__file__).parents[3] / "examples/trace.json").read_bytes()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run pytest in the test's folder."""

    def run(*argv: str, test: str = "") -> tuple[int, str]:
        if test:
            (tmp_path / "test_it.py").write_text(textwrap.dedent(test))
        environment = {k: v for k, v in os.environ.items() if k not in ("CI", "PYTEST_ADDOPTS")}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *argv],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The modules that the plugin loads when it is used."""
    for name in ("rawmm.integrations.pytest", "rawmm.upgrades", "rawmm.values.difference"):
        import_module(name)
    folder = tmp_path_factory.mktemp("records")
    (folder / "a.jsonl").write_bytes(EXAMPLE.replace(b"\n", b"") + b"\n{\n" + broken_node())
    assert list(file_errors(str(folder / "a.jsonl"), str(folder), str(folder)))


@pytest.fixture
def run_here(
    loaded: None, tmp_path: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run pytest in the test's folder, in this process."""
    for name in ("CI", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)

    def run(*argv: str, test: str = "") -> tuple[int, str]:
        if test:
            (tmp_path / "test_it.py").write_text(textwrap.dedent(test))
        monkeypatch.chdir(tmp_path)
        modules = Modules()
        options = ("-q", "-p", "no:cacheprovider")
        done = pytester.runpytest_inprocess(*options, *argv, plugins=[modules])
        # Those that are loaded within are gone afterwards, and other tests would load them twice.
        assert not modules.loaded
        return int(done.ret), f"{done.stdout}{done.stderr}"

    return run


class Modules:
    """A plugin that lists the modules of rawmm that are loaded while pytest runs."""

    def __init__(self) -> None:
        self._before = set(sys.modules)
        self.loaded: list[str] = []

    def pytest_unconfigure(self) -> None:
        new = set(sys.modules) - self._before
        self.loaded = sorted(name for name in new if name.partition(".")[0] == "rawmm")


def broken_node() -> bytes:
    node = json.loads(EXAMPLE)["nodes"][0]
    return json.dumps({**node, "mask": []}).encode()


def test_plugin_is_an_entry_point() -> None:
    (found,) = entry_points(group="pytest11", name="rawmm")
    assert found.value == "rawmm.integrations.pytest"


def test_clean_records_pass_and_broken_records_fail(
    run: Run, run_here: Run, tmp_path: Path
) -> None:
    data = tmp_path / "data" / "more"
    data.mkdir(parents=True)
    (data / "good.json").write_bytes(EXAMPLE)
    (data / "notes.txt").write_text("no record")
    code, out = run_here("--rawmm-check", "data")
    assert (code, "1 passed" in out) == (0, True), out
    (data / "bad.jsonl").write_bytes(broken_node() + b"\n\n" + broken_node() + b"\n")
    (data / "cut.json").write_bytes(EXAMPLE[:-9])
    code, out = run("--rawmm-check", "data/more")
    assert code == 1
    assert "2 failed, 1 passed" in out
    assert "bad.jsonl:1::$.mask: " in out
    assert "bad.jsonl:3::$.mask: " in out
    assert "[stream_length]" in out
    assert "[malformed]" in out
    assert "Traceback" not in out


def test_paths_of_the_configuration_are_checked(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nrawmm_check = data\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/good.json").write_bytes(EXAMPLE)
    code, out = run_here(test="def test_other(): pass")
    assert (code, "2 passed" in out) == (0, True), out


@pytest.mark.slow
def test_files_that_a_pattern_names_are_checked(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data" / "run 1"
    data.mkdir(parents=True)
    (data / "good.json").write_bytes(EXAMPLE)
    (data / "good too.json").write_bytes(EXAMPLE)
    (data / "bad.jsonl").write_bytes(broken_node() + b"\n")
    (data / "notes.txt").write_text("no record")
    code, out = run("--rawmm-check", "data/**/*.jso*")
    assert (code, "1 failed, 2 passed" in out) == (1, True), out
    code, out = run("--rawmm-check", "data/*/good[.]*", "--rawmm-check", "data/run 1/g*", "-n2")
    assert (code, "2 passed" in out) == (0, True), out
    code, out = run("--rawmm-check", "data/**/*.txt")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "no such file of records" in out


@pytest.mark.slow
def test_workers_check_each_file_once(run: Run, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(EXAMPLE)
    code, out = run("--rawmm-check", ".", "-n2")
    assert (code, "2 passed" in out) == (0, True), out


def test_missing_images_fail(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    part = {"type": "image_url", "image_url": {"url": f"file://{tmp_path}/images/{'0' * 64}.png"}}
    (tmp_path / "a.jsonl").write_text(json.dumps({"role": "user", "content": [part]}) + "\n")
    assert run_here("--rawmm-check", "a.jsonl")[0] == 0
    code, out = run_here("--rawmm-check", "a.jsonl", "--rawmm-image-dir", "images")
    assert (code, "[missing_image]" in out) == (1, True), out


def test_path_that_does_not_exist_is_wrong_usage(run_here: Run) -> None:
    code, out = run_here("--rawmm-check", "nothing")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "--rawmm-check: no such file or directory" in out


def test_check_fixture_lists_every_path(run_here: Run) -> None:
    test = """
        import json, rawmm
        NODE = json.loads(%r)
        def test_good(rawmm_check):
            rawmm_check(NODE)
            rawmm_check(rawmm.convert(NODE, rawmm.MessageNode), rawmm.MessageNode)
        def test_bad(rawmm_check):
            rawmm_check({**NODE, "mask": [], "logprobs": []})
        def test_type(rawmm_check):
            rawmm_check(NODE, rawmm.RawMMItem)
    """
    node = json.loads(EXAMPLE)["nodes"][0]
    code, out = run_here(test=test % json.dumps(node))
    assert code == 1
    assert "2 failed, 1 passed" in out
    assert "$.mask: " in out
    assert "$.logprobs: " in out
    assert "test_it.py:" not in out.partition("short test summary")[0]


SNAPSHOT = """
    import rawmm
    def item(**fields):
        return rawmm.RawMMItem(modality="image", family="qwen_vl", raw_image_id="a.png",
                               payload={"image_grid_thw": [[1, 4, %d]]}, **fields)
    def test_item(rawmm_snapshot):
        rawmm_snapshot(item())
        rawmm_snapshot([item()], "as/list")
"""


def test_snapshot_shows_the_paths_that_differ(run_here: Run, tmp_path: Path) -> None:
    code, out = run_here(test=SNAPSHOT % 4)
    assert (code, "run pytest with --rawmm-update" in out) == (1, True), out
    assert run_here("--rawmm-update")[0] == 0
    names = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    assert names == ["test_it.test_item.as-list.json", "test_it.test_item.json"]
    assert run_here()[0] == 0
    code, out = run_here(test=SNAPSHOT % 6)
    assert code == 1
    assert "$.payload.image_grid_thw[0][2]: 4 became 6" in out


def test_failures_show_no_image_data(run_here: Run) -> None:
    url = f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}"
    test = f"""
        MESSAGE = {{"role": "user", "content": [{{"type": "image_url", "image_url": {url!r}}}]}}
        def test_it(rawmm_check): rawmm_check(MESSAGE)
    """
    code, out = run_here("--tb=short", test=test)
    assert (code, "1 failed" in out) == (1, True)
    assert not leaked(out)


@pytest.mark.slow
@pytest.mark.parametrize("page", snippets.pages_of("pytest"), ids=lambda page: page.name)
def test_tests_of_the_guide_pass(run: Run, page: snippets.Page) -> None:
    examples = [example.parsed for example in snippets.document(page).examples()]
    code, out = run("--rawmm-update", test="\n".join(examples))
    assert (code, "2 passed" in out) == (0, True), out
    code, out = run()
    assert (code, "2 passed" in out) == (0, True), out
