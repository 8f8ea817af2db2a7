"""The options of every command, ``--quiet`` and ``--color``, and the completion of shells."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from rawmm.cli import output
from rawmm.cli.app import COMMANDS, run
from rawmm.cli.output import Settings, UsageError, split_settings
from tests.unit.cli.test_process import each_on_terminal
from tests.unit.images.pictures import part, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    output.set_up(Settings())


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.jsonl"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": [part(url_of())]}]}))
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"nodes": 1}\n')
    return file


@pytest.mark.parametrize("words", [["-q", "check"], ["check", "--quiet"]])
def test_quiet_prints_errors_only(
    words: list[str], good: Path, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, str(good)]) == 0
    assert capsys.readouterr() == ("", "")
    assert run([*words, str(bad)]) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{bad}:1::$.nodes")
    assert said.err == ""
    assert run([*words, str(bad.with_name("none.jsonl"))]) == 2
    assert capsys.readouterr().err.startswith("rawmm: ")


def test_quiet_offload_and_upgrade_write_what_they_write_otherwise(
    good: Path, bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    for name, words in (("loud", []), ("quiet", ["-q"])):
        out = tmp_path / f"{name}.jsonl"
        images = ["--image-dir", str(tmp_path / "images")]
        assert run(["offload", str(good), "-o", str(out), *images, *words]) == 0
        written.append(out.read_bytes())
        assert bool(capsys.readouterr().err) is not bool(words)
    assert written[0] == written[1]
    for command in ("offload", "upgrade"):
        assert run([command, "-q", str(bad), "-o", str(tmp_path / "no.jsonl")]) in (1, 2)
        assert capsys.readouterr().err


@pytest.mark.parametrize("words", [["--color", "always"], ["--color=always"]])
def test_color_is_written_on_demand(
    words: list[str],
    good: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["check", *words, str(good)]) == 0
    assert "\x1b[" in capsys.readouterr().err
    for other in (["--color", "never"], ["--color=auto"], []):
        assert run(["check", *other, str(good)]) == 0
        assert "\x1b[" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--color"], ["--color", "red"], ["--color="], ["--color=ALWAYS"]]
)
def test_other_color_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", *words]) == 2
    assert capsys.readouterr().err == "rawmm: --color takes auto, always or never\n"


def test_words_after_two_dashes_are_no_options() -> None:
    words = ["check", "-q", "--", "--quiet", "--color", "-q"]
    assert split_settings(words) == (
        Settings(quiet=True),
        ["check", "--", "--quiet", "--color", "-q"],
    )
    with pytest.raises(UsageError):
        split_settings(["check", "--color", "--", "always"])


def test_no_command_has_an_option_of_these_names(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert run([command, "--help"]) == 0
        shown, epilogue, _ = capsys.readouterr().out.partition("Every command takes --quiet (-q)")
        assert epilogue
        assert "--quiet" not in shown
        assert "--color" not in shown
        assert " -q" not in shown


def test_completion_of_bash_completes_commands_options_and_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bash = shutil.which("bash")
    assert bash
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert run(["--install-completion", "--shell", "bash"]) == 0
    (script,) = tmp_path.glob("**/completions/rawmm")
    assert str(script) in (tmp_path / ".bashrc").read_text()
    ask = (
        'source "$0"; function=$(complete -p rawmm | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); $function; echo "${COMPREPLY[@]}"'
    )
    for words, expected in (
        (["rawmm", "ch"], "check"),
        (["rawmm", "check", "--require-s"], "--require-sidecars"),
        (["rawmm", "check", "--format", "sa"], "sarif"),
    ):
        done = subprocess.run(
            [bash, "-c", ask, str(script), *words], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [expected]


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        pytest.param(["--color", "never"], {}, marks=pytest.mark.slow),
        ([], {"NO_COLOR": "1"}),
        pytest.param([], {"TERM": "dumb"}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_output_without_colors_has_no_styles_either(
    words: list[str], variables: dict[str, str], good: Path
) -> None:
    commands = [["check", str(good)], ["stats", str(good)], ["--help"], ["check", "none"]]
    argvs = [[*argv, *words] for argv in commands]
    for argv, shown in zip(
        argvs, each_on_terminal(argvs, {"COLUMNS": "80", **variables}), strict=True
    ):
        assert shown.strip()
        assert "\x1b[" not in shown, argv


def test_home_directory_is_known_within_quotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    (home / "a.json").write_text('{"nodes": []}')
    assert run(["convert", "~/a.json", "--output=~/out/b.json"]) == 0
    assert run(["convert", "~/out/b.json", "-o", "~/out/c.json"]) == 0
    assert run(["check", "~/out/*.json", "--summary=~/s"]) == 0
    assert capsys.readouterr().err.endswith("2 files, 2 records, no errors\n")
    assert (home / "s").is_file()
    assert not list(work.iterdir())
    (work / "~").mkdir()
    (work / "~/x.json").write_text("none")
    assert run(["check", "~/x.json"]) == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["check", "GOOD", "--jobs", "1.5"], "--jobs takes a whole number, not 1.5"),
        (["check", "GOOD", "-j", "x"], "-j takes a whole number, not x"),
        (["check", "GOOD", "-j", "-"], "-j takes a whole number, not -"),
        (["check", "GOOD", "--image-token", "1", "--image-token=2.7"], "--image-token takes a"),
        (["view", "GOOD", "--max-records", "1e3"], "--max-records takes a whole number"),
        (["offload", "GOOD", "--dry-run", "--max-errors", "0.4"], "--max-errors takes a whole"),
        (["upgrade", "GOOD", "--dry-run", "--max-errors="], "--max-errors takes a whole"),
    ],
)
def test_number_is_never_rounded(
    argv: list[str], says: str, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([word.replace("GOOD", str(good)) for word in argv]) == 2
    assert says in capsys.readouterr().err


def test_size_of_images_may_have_a_fraction(good: Path, tmp_path: Path) -> None:
    assert run(["view", str(good), "--image-megabytes", "0.5", "-o", str(tmp_path / "p")]) == 0


@pytest.mark.parametrize(
    "argv",
    [
        ["check", "GOOD", "--config", "-"],
        ["check", "GOOD", "--column", "-"],
        ["check", "GOOD", "--config="],
        ["check", "GOOD", "--column="],
        ["upgrade", "GOOD", "-o", "OUT", "--manifest", "-"],
        ["upgrade", "GOOD", "-o", "OUT", "--manifest="],
        ["bundle", "GOOD", "-o", "-"],
        ["compat", "-", "1.0"],
        ["explain", "-"],
    ],
)
def test_dash_and_nothing_are_no_names(
    argv: list[str], good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"GOOD": str(good), "OUT": str(tmp_path / "out.jsonl")}
    assert run([names.get(word, word) for word in argv]) == 2
    err = capsys.readouterr().err
    assert "internal error" not in err
    assert "\\x00" not in err
    assert "standard input" in err or "is empty" in err
