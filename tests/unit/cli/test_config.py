"""``[tool.rawmm]`` of a project's ``pyproject.toml`` says how its records are checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import layouts
from rawmm.cli.app import run
from rawmm.cli.config import KEYS, find_config
from rawmm.images import STORED
from tests.builders import item_document
from tests.unit.images.pictures import picture

if TYPE_CHECKING:
    from collections.abc import Callable

    Said = Callable[..., tuple[int, str, str]]

VECTORS = Path(__file__).parents[3] / "schemas" / "conformance" / "v1"
ORPHAN = json.loads((VECTORS / "Trace/invalid/packed_orphan_image.json").read_text())
"""A trace with one error: its image tokens have no image."""


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    """Runs a command in the folder of the project: exit code, output and messages."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> tuple[int, str, str]:
        code = run(argv)
        return code, *capsys.readouterr()

    return call


def configure(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)


def write(path: Path, value: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)


def test_ignored_code_is_counted_and_no_error(said: Said, tmp_path: Path) -> None:
    file = write(tmp_path / "trace.json", ORPHAN)
    code, out, _ = said("check", file)
    assert (code, out.count("[orphan_image]")) == (1, 1)
    configure(tmp_path, '[tool.rawmm.ignore]\norphan_image = "recorded before 1.1"\n')
    code, out, err = said("check", file, "--summary", "s.json")
    assert (code, out) == (0, "")
    assert "no errors, 1 ignored (orphan_image)" in err
    assert json.loads(Path("s.json").read_text())["ignored"] == {"orphan_image": 1}
    assert said("check", file, "--jobs", "2")[0] == 0
    assert said("check", "--no-config", file)[0] == 1
    other = write(tmp_path / "bad.json", {**ORPHAN, "nodes": 1})
    assert said("check", other)[0] == 1


def test_type_is_that_of_the_first_pattern_that_fits(said: Said, tmp_path: Path) -> None:
    refs = [
        write(tmp_path / "data" / "deep" / "er" / "refs.json", {}),
        write(tmp_path / "data" / "refs.json", {}),
        write(tmp_path / "messages" / "one.json", {}),
    ]
    assert said("check", *refs)[1].count("[unknown_type]") == 3
    configure(
        tmp_path,
        '[tool.rawmm.types]\n"data/**/refs.json" = "MessageNode"\n"data/*" = "Trace"\n'
        '"messages/?ne.json" = "GenerateFeatures"\n',
    )
    out = said("check", *refs)[1]
    assert out.count("[missing_field]") == 4, out
    assert "[unknown_type]" not in out
    assert out.count("the field 'message'") == 2
    assert out.count("the field 'mm_hashes'") == 1
    assert "'nodes'" in said("check", "--type", "Trace", refs[0])[1]


def test_image_directory_is_relative_to_the_file(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rawmm

    configure(tmp_path, '[tool.rawmm]\nimage-dir = "run/images"\n')
    stored = rawmm.ImageStore(tmp_path / "run" / "images").put(picture())
    body = {"messages": [{"role": "user", "content": [_part(stored.uri)]}]}
    file = write(tmp_path / "deep" / "body.json", body)
    (tmp_path / "deep" / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    monkeypatch.chdir(tmp_path / "deep")
    code, _, err = said("check", file)
    assert (code, "not checked" in err) == (0, False)
    stored.path.unlink()
    assert said("check", file)[0] == 1
    assert said("check", file, "--image-dir", str(tmp_path / "other"))[0] == 1
    assert said("check", "--no-config", file)[0] == 0


def _part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize("by", ["configuration", "option"])
def test_items_of_other_layouts_are_errors(said: Said, tmp_path: Path, by: str) -> None:
    item = item_document()
    layout = layouts.get("qwen_vl")
    files = {
        "own": {**item, "layout_fingerprint": layout.fingerprint()},
        "stored": {**item, "layout_fingerprint": layout.fingerprint(STORED)},
        "other parameters": {
            **item,
            "layout_fingerprint": layouts.get("qwen_vl", patch_size=12).fingerprint(),
        },
        "unstated": {key: item[key] for key in item if key != "layout_fingerprint"},
    }
    paths = {name: write(tmp_path / f"{name}.json", one) for name, one in files.items()}

    def refused(*names: str) -> set[str]:
        options = [word for name in names for word in ("--require-layout", name)]
        if by == "configuration":
            configure(tmp_path, f"[tool.rawmm]\nlayouts = {json.dumps(names)}\n")
            options = []
        found = set()
        for name, path in paths.items():
            code, out, err = said("check", "--type", "RawMMItem", path, *options)
            assert code == ("[mixed_layouts]" in out), (out, err)
            if code:
                found.add(name)
        return found

    assert refused("qwen_vl") == set()
    assert refused("pixtral") == set(paths)
    exact = "qwen_vl,patch_size=16"
    assert refused(exact) == {"other parameters"}
    assert refused("pixtral", exact, "qwen_vl,patch_size=12") == set()
    assert refused("qwen_vl", exact) == set()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.rawmm]\nimages = 1\n", "tool.rawmm has no key images; it has image-dir"),
        ("[tool.rawmm]\nimage-dir = 1\n", "image-dir takes a directory or a URL"),
        ("[tool.rawmm]\nlayouts = 'qwen_vl'\n", "layouts takes a list"),
        ("[tool.rawmm]\nlayouts = ['qwen']\n", "tool.rawmm.layouts: expected"),
        ("[tool.rawmm.types]\n'a' = 'Trac'\n", "the contract has no type 'Trac'"),
        ("[tool.rawmm.types]\n'a' = 1\n", "the name of a type for each pattern"),
        ("[tool.rawmm]\ntypes = ['Trace']\n", "types takes patterns"),
        ("[tool.rawmm.ignore]\norphans = 'x'\n", "no error has the code orphans"),
        ("[tool.rawmm.ignore]\norphan_image = ' '\n", "ignore.orphan_image takes the reason"),
        ("[tool.rawmm]\nignore = ['orphan_image']\n", "ignore takes error codes, each with"),
        ("[tool]\nrawmm = 1\n", "tool.rawmm is not a table"),
        ("[tool.rawmm\n", "is not TOML"),
    ],
)
def test_wrong_table_is_a_usage_error(text: str, says: str, said: Said, tmp_path: Path) -> None:
    configure(tmp_path, text)
    file = write(tmp_path / "trace.json", ORPHAN)
    code, out, err = said("check", file)
    assert (code, out) == (2, "")
    assert err.startswith(f"rawmm: {tmp_path}/pyproject.toml: ")
    assert says in err
    assert err.count("\n") == 1
    assert said("check", "--no-config", file)[0] == 1


def test_named_file_is_read_and_must_have_the_table(said: Said, tmp_path: Path) -> None:
    file = write(tmp_path / "trace.json", ORPHAN)
    other = tmp_path / "checks.toml"
    other.write_text('[tool.rawmm.ignore]\norphan_image = "x"\n')
    assert said("check", file, "--config", str(other))[0] == 0
    assert said("check", file, "--config", str(other), "--no-config")[0] == 2
    other.write_text("[tool.other]\n")
    assert "has no table [tool.rawmm]" in said("check", file, "--config", str(other))[2]
    other.write_bytes(b"\xff\xfe")
    assert "is not TOML" in said("check", file, "--config", str(other))[2]
    assert "no such file" in said("check", file, "--config", "none.toml")[2]


def test_every_key_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "ci.md").read_text("utf-8")
    assert all(f"`{key}`" in page for key in KEYS)


def test_own_configuration_is_empty() -> None:
    """It has only the table of the consumers that CI tests."""
    assert find_config(Path(__file__).parent).ignored == ()
