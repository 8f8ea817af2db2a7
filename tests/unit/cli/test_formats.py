"""Format names: of file types that rawmm does not read or write, and of the options."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm.cli.app import make_app, run
from rawmm.cli.extensions import unreadable, unwritable
from rawmm.cli.records import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

COMMANDS = ("check", "offload", "upgrade", "fsck", "gc", "schema")
FOREIGN = [
    "x.tgz", "x.bz2", "x.xz", "x.zip", "x.tar", "x.7z",
    "x.lz4", "x.arrow", "x.feather", "x.csv", "x.tsv", "x.yaml", "x.h5",
    "x.npy", "x.npz", "x.pkl", "x.pt", "x.safetensors", "x.sqlite",
]  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text('{"nodes": []}\n')
    return path


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("command", ["offload", "upgrade"])
def test_name_that_promises_another_format_is_not_written(
    command: str, name: str, rawmm: Run, source: Path
) -> None:
    out = source.with_name(name)
    for more in ((), ("--output-format", "jsonl")):
        images = source.with_name("images")
        code, stdout, err = rawmm(command, source, "-o", out, "--image-dir", images, *more)
        assert (code, stdout) == (2, "")
        assert err.startswith(f"rawmm: {out}: rawmm does not write ")
        assert err.count("\n") == 1
        assert [path.name for path in source.parent.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("name", [name for name in FOREIGN if name != "x.zip"])  # may be a bundle
@pytest.mark.parametrize("command", ["check", "offload", "upgrade"])
def test_name_that_promises_another_format_is_not_read(
    command: str, name: str, rawmm: Run, source: Path
) -> None:
    source = source.rename(source.with_name(name))
    more = () if command == "check" else ("-o", source.with_name("out.jsonl"))
    code, stdout, err = rawmm(command, source, *more)
    assert (code, stdout) == (2, "")
    assert f"rawmm: {source}: rawmm does not read " in err
    assert "first" in err
    if command == "check":
        code, *_ = rawmm("check", source, "--input-format", "jsonl")
        assert code == 0  # it says who knows better


def test_hint_is_a_command_if_one_exists() -> None:
    assert unreadable("a.jsonl.xz") == (
        "rawmm does not read .xz files; decompress it first: "
        "xz -dc FILE | rawmm COMMAND - --input-format jsonl"
    )
    assert unwritable("a.jsonl.xz") == (
        "rawmm does not write .xz files; write JSON Lines and compress them: "
        "-o - --output-format jsonl | xz -c > FILE"
    )
    assert unwritable("a.arrow") == (
        "rawmm does not write Arrow files; write JSON Lines, e.g. to a .jsonl file"
    )
    for name in (*EXTENSIONS, "a", "a.", "xz", ".xz", "a.xz/b", "a.xz.jsonl"):
        assert unreadable(f"x{name}" if name in EXTENSIONS else name) is None
        assert unwritable(f"x{name}" if name in EXTENSIONS else name) is None


@pytest.mark.parametrize("name", ["x.txt", "x.jsonl.bak", "x.2024"])
def test_unknown_file_extension_needs_a_format(name: str, rawmm: Run, source: Path) -> None:
    out = source.with_name(name)
    code, _, err = rawmm("upgrade", source, "-o", out)
    assert code == 2
    assert err.startswith(f"rawmm: {out}: the extension is not one")
    assert err.endswith(", or .parquet; give --output-format json, jsonl or msgpack\n")
    assert rawmm("upgrade", source, "-o", out, "--output-format", "msgpack").code == 0
    assert out.read_bytes() == msgspec.msgpack.encode({"nodes": []})
    source.rename(out)
    assert rawmm("upgrade", out, "--input-format", "jsonl", "-o", out).code == 0


def test_name_without_an_extension_gets_the_format_of_in(rawmm: Run, source: Path) -> None:
    out = source.with_name("out")
    assert rawmm("upgrade", source, "-o", out).code == 0
    assert out.read_bytes() == b'{"nodes":[]}\n'


@pytest.mark.parametrize("command", ["check", "offload", "upgrade"])
def test_empty_name_is_wrong_usage(command: str, rawmm: Run, source: Path) -> None:
    more = () if command == "check" else ("-o", source)
    code, _, err = rawmm(command, "", *more)
    assert code == 2
    assert err.startswith("rawmm: a file name is empty; is a variable unset?\n")
    if command != "check":
        code, _, err = rawmm(command, source, "-o", "")
        assert code == 2
        assert err.startswith("rawmm: the name after --output is empty")


def options(command: str) -> set[str]:
    """The long names of the options of a command."""
    return {
        name
        for argument in make_app()[command].assemble_argument_collection()
        for name in argument.names
        if name.startswith("--")
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_format_is_the_report_s_and_no_data_s(command: str) -> None:
    function = inspect.unwrap(make_app()[command].default_command)
    reports = "style" in inspect.signature(function).parameters
    names = options(command)
    assert ("--format" in names) == reports
    reads = command != "schema"
    assert ("--input-format" in names) == reads
    assert ("--output-format" in names) == (command in {"offload", "upgrade"})


@pytest.mark.parametrize("command", ["offload", "upgrade"])
def test_old_name_of_the_option_points_at_the_new_one(
    command: str, rawmm: Run, source: Path
) -> None:
    code, _, err = rawmm(command, source, "-o", source, "--format", "jsonl")
    assert code == 2
    assert "--input-format" in err


@pytest.mark.parametrize("style", ["json", "github"])
def test_reports_for_programs_are_not_cut(style: str, rawmm: Run, source: Path) -> None:
    source.write_text('{"nodes": 1}\n' * 30)
    code, out, err = rawmm("check", source, "--format", style)
    assert code == 1
    assert out.count("\n") == 30
    assert err == "1 file, 30 records, 30 errors\n"
    assert rawmm("check", source, "--format", style, "--max-errors", "7").out.count("\n") == 7


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (
            ("nope",),
            '"nope". Available commands: check, offload, upgrade, convert, ',
        ),
        (("--nope=1",), "Unknown option --nope. The command comes first. (see rawmm --help)"),
        (("gc", ".", "--grace", "0"), "--grace takes a time such as 0s, 90m, 12h or 2w. (see "),
        (("check", "--nope"), "(see rawmm check --help)"),
        (
            ("offload", "a.json", "b.json", "-o", "c.json"),
            "Unexpected argument: b.json. (see rawmm",
        ),
        (("upgrade",), "parameter IN requires an argument. (see rawmm upgrade --help)"),
    ],
)
def test_wrong_usage_names_the_help_of_its_command(
    argv: tuple[str, ...], says: str, rawmm: Run
) -> None:
    code, out, err = rawmm(*argv)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["schema", "-"], "has no type '-'"),
        (["check", "--format", "-", "a.json"], 'Invalid value "-" for --format'),
        (["upgrade", "a.jsonl", "-o", "b.jsonl", "--layout", "-"], "got '-'"),
        (["-"], 'Unknown command "-"'),
    ],
)
def test_dash_elsewhere_is_shown_as_a_dash(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())


CONTENT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR42mP8z8AARIQB46hC"


@pytest.mark.parametrize(
    "arguments",
    [
        [CONTENT],
        [f"--{CONTENT}"],
        ["check", f"--{CONTENT}=1", "a.json"],
        ["check", "a.json", "--format", CONTENT],
        ["check", "a.json", f"--max-errors={CONTENT}"],
        ["check", CONTENT],
        ["offload", CONTENT, "-o", "b.jsonl"],
        ["offload", f"{CONTENT}.jsonl", "-o", "b.jsonl"],
        ["offload", "a.jsonl", "-o", "b.jsonl", CONTENT],
        ["offload", "a.jsonl", "-o", f"b/{CONTENT * 9}"],
        ["schema", "Trace", CONTENT],
        ["gc", "images", "--refs", "a.jsonl", "--grace", CONTENT],
    ],
)
def test_no_usage_error_shows_an_image(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    said = "".join(capsys.readouterr().err.split())
    assert all(CONTENT[at : at + 17] not in said for at in range(len(CONTENT) - 16))


def test_layout_of_too_many_digits_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["upgrade", "a.jsonl", "--dry-run", "--layout", f"qwen_vl,patch_size={'9' * 5000}"])
        == 2
    )
    assert "--layout takes FAMILY,NAME=INTEGER" in " ".join(capsys.readouterr().err.split())
