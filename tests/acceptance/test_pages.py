"""The snippets of the documentation run as they are shown, and none is left out."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from rawmm import layouts
from rawmm.cli.app import COMMANDS, make_app
from rawmm.store import registry
from tests import snippets
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.snippets import Page


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a page. Forgets the layouts and schemes that it registers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_SCHEMES", dict(registry._SCHEMES))
    families = dict(layouts._families)
    yield tmp_path
    layouts._families.clear()
    layouts._families.update(families)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.is_slow() else [])
        for page in snippets.pages_of("")
    ],
)
def test_snippets_of_the_page_run(page: Page, folder: Path) -> None:
    check = CHECKS.get(page.name)
    names = snippets.run(page, folder)
    if check is not None:
        check(names, folder)


def check_readme(names: dict[str, Any], folder: Path) -> None:
    (sample,) = names["samples"]
    assert len(sample.mm_refs.images) == len(list((folder / "out" / "images").iterdir())) == 4


CHECKS = {"README.md": check_readme}


def test_every_page_with_snippets_is_run_by_a_test() -> None:
    for page in snippets.pages():
        assert page.needs in snippets.RUN_BY, f"{page.name} needs {page.needs}"
    for needs, path in snippets.RUN_BY.items():
        assert snippets.pages_of(needs), f"no page needs {needs}"
        assert f'pages_of("{needs}")' in (snippets.ROOT / path).read_text("utf-8"), path


@pytest.mark.parametrize("path", [path for needs, path in snippets.RUN_BY.items() if needs])
def test_ci_runs_the_test_of_pages_that_need_more(path: str) -> None:
    script = (snippets.ROOT / ".ci" / "run").read_text("utf-8")
    run = re.sub(r"--ignore \S+", "", script)
    project = (snippets.ROOT / "pyproject.toml").read_text("utf-8")
    part = path.removeprefix("tests/integrations/").partition("/")[0]
    in_ci = re.search(rf"tests/integrations/(\{{[^}}]*\b)?{re.escape(part)}\b", run)
    assert in_ci or path in project, path


@each("page", snippets.documents(), ids=lambda page: page.name)
def test_blocks_of_the_page_are_snippets_or_data(page: Page) -> None:
    for language, text in page.fences():
        assert language in (*snippets.RUN, *snippets.SHOWN)
        match language:
            case "json":
                json.loads(text)
            case "toml":
                tomllib.loads(text)
            case "yaml":
                YAML(typ="safe").load(text)
            case "python":
                compile(text, page.name, "exec")
            case "console":
                assert list(snippets.commands(text)), "no command after $"
            case "sh":
                check_commands(text)


def check_commands(text: str) -> None:
    """Commands of rawmm that are not run have a name and options that exist."""
    text = text.replace("\\\n", " ")
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["rawmm"] and words[1] in COMMANDS:
            argv = [word for word in words[1:] if word not in {">", "|"}]
            make_app(argv[:1]).parse_args(argv, exit_on_error=False, print_error=False)


def test_command_that_does_not_exist_is_found() -> None:
    with pytest.raises(Exception, match="--no-such"):
        check_commands("rawmm check --no-such 3 a.json")


def test_output_that_differs_is_found(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text("```console\n$ echo one two\none ...\n$ echo three\nfour\n```\n")
    with pytest.raises(AssertionError, match=r"echo three prints\n  three"):
        snippets.run(snippets.Page(page), folder)
