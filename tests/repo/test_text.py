"""Checks of the repository's texts: forbidden words, links, tables and versions."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import rawmm
from rawmm.errors import CODES
from tests.cases import each
from tests.repo.test_layers import ORDER

ROOT = Path(__file__).parent.parent.parent


def tracked() -> list[Path]:
    """Files of the project: git's, or in an unpacked sdist every file there is."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0 and (ROOT / ".git").exists():
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    ignored = {"__pycache__", ".hypothesis", ".pytest_cache", ".venv"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not ignored & set(path.relative_to(ROOT).parts)
        and not any(part.startswith(".venv") for part in path.relative_to(ROOT).parts)
    ]


def texts() -> list[tuple[Path, str]]:
    binary = {".xz", ".png", ".jpg", ".webp", ".msgpack", ".gif", ".so"}
    return [
        (path, path.read_bytes().decode("utf-8"))
        for path in tracked()
        if path.is_file() and path.suffix not in binary
    ]


def documents() -> list[Path]:
    return sorted(path for path in tracked() if path.suffix == ".md" and path.is_file())


def test_no_registry_host_and_no_path_of_a_machine() -> None:
    hosts = ["py" + "pi.org", "pythonhosted" + ".org", "npm" + "js.org", "debian" + ".org"]
    places = ["/wo" + "rk/", "/ro" + "ot/", "/home/" + "runner"]
    for path, text in texts():
        for word in (*hosts, *places):
            assert word not in text, f"{path.relative_to(ROOT)} holds {word}"


def test_files_have_unix_line_ends() -> None:
    for path, text in texts():
        if "schemas/conformance" not in str(path) and "_generated" not in str(path):
            assert "\r" not in text, path


def anchors(document: str) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```$", "", document, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", path.read_text("utf-8"))
    for target, anchor in links:
        if "://" in target:
            continue
        linked = path.parent / target if target else path
        assert linked.exists(), f"links to {target}"
        if anchor:
            assert anchor in anchors(linked.read_text("utf-8")), f"links to {target}#{anchor}"


def test_every_document_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop().resolve()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8"))
        waiting += [path.parent / target for target in links if "://" not in target]
    assert set(documents()) - seen <= {ROOT / "examples" / "images" / "LICENSES.md"}


def test_architecture_shows_every_part_in_order() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    table = "".join(re.findall(r"^\|.*\n", text, re.MULTILINE))
    shown = [name for name in re.findall(r"`(\w+)`", table) if name in ORDER]
    private = {"_version", "__main__"}
    assert shown == [part for part in ORDER if part not in private]
    for part in shown:
        assert re.search(rf"^  {part}(?:/|\.py) ", text, re.MULTILINE), part


def test_architecture_shows_every_folder() -> None:
    """Those of the repository, of the tests, and the modules of `rawmm.values`."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    tree = text[text.index("## Tree") : text.index("## Layers")]
    paths = [path.relative_to(ROOT).parts for path in tracked()]
    top = {folder for folder, *rest in paths if rest and not folder.startswith(".")}
    tests = {rest[0] for folder, *rest in paths if folder == "tests" and len(rest) > 1}
    values = {path.stem for path in (ROOT / "src" / "rawmm" / "values").glob("[a-z]*.py")}
    assert top <= set(re.findall(r"^([a-z]+)/", tree, re.MULTILINE))
    assert tests <= set(re.findall(r"^  (\w+)/ ", tree[tree.index("\ntests/") :], re.MULTILINE))
    assert values <= set(
        re.findall(r"[\w]+", tree[tree.index("  values/") : tree.index("  rules/")])
    )


def test_decisions_are_numbered_and_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    listed = re.findall(
        r"^\| (\d+) \| \[(.+)\]\((\S+)\) \| (\d{4}-\d\d-\d\d) \|$", index, re.MULTILINE
    )
    assert [int(number) for number, *_ in listed] == list(range(1, len(listed) + 1))
    assert [name for _, _, name, _ in listed] == sorted(p.name for p in folder.glob("0*.md"))
    for number, title, name, date in listed:
        text = (folder / name).read_text("utf-8")
        assert text.startswith(f"# {number}. {title}\n\nDate: {date}\n\n## Context\n")
        assert [*re.findall(r"^## (.+)$", text, re.MULTILINE)] == [
            "Context",
            "Decision",
            "Alternatives",
        ]


def test_version_is_stated_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" in project["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", rawmm.__version__)


def test_there_are_three_core_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]}
    assert names == {"msgspec", "pillow", "pybase64"}


def test_table_of_error_codes_equals_the_codes() -> None:
    text = (ROOT / "schemas" / "README.md").read_text("utf-8")
    table = text[text.index("## Error codes") :]
    assert re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE) == [*CODES.items()]


def test_changelog_has_an_unreleased_section() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
