"""A sentence that users read is quoted in one test file, that of its subject."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
LONG = 6
"""So many words in a row are a quotation. A shorter fragment may stand in several files."""
_SEAM = re.compile(r'"\s*\n\s*[rf]{0,2}"(?!"")')
_TOKEN = re.compile(
    r'"""[\s\S]*?"""|"((?:[^"\\\n]|\\.)*)"|\'(?:[^\'\\\n]|\\.)*\'|#[^\n]*'
)  # fmt: skip


def literals(code: str) -> Iterator[str]:
    """The words of each line of each string literal, adjacent literals joined.

    Docstrings and comments are left out. An ``ast`` of every file would take seconds.
    """
    for token in _TOKEN.finditer(_SEAM.sub("", code)):
        for line in (token[1] or "").split("\\n"):
            yield " ".join(re.findall(r"[\w'.$-]+", line))


def quotations(code: str) -> set[str]:
    """Every run of `LONG` words in a literal."""
    return {
        " ".join(words[start : start + LONG])
        for words in map(str.split, literals(code))
        for start in range(len(words) - LONG + 1)
    }


def quoted_twice(tests: dict[str, str], source: str) -> dict[str, list[str]]:
    """Quotations of the source in several files of tests, and these files."""
    files: dict[str, list[str]] = defaultdict(list)
    for name, code in tests.items():
        for quotation in quotations(code):
            files[quotation].append(name)
    said = "\n".join(literals(source))
    return {
        quotation: sorted(names)
        for quotation, names in files.items()
        if len(names) > 1 and quotation in said
    }


def python_files(folder: str) -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_text("utf-8")
        for path in (ROOT / folder).rglob("*.py")
    }


def test_each_sentence_of_the_source_is_quoted_in_one_test_file() -> None:
    """In other files, assert the code, the path, `got` or a shorter fragment."""
    assert quoted_twice(python_files("tests"), "\n".join(python_files("src").values())) == {}


def test_quotation_in_two_files_is_found() -> None:
    source = 'raise E(\n    "expected one image, got two; leave "\n    f"out all but {n}"\n)'
    whole = '"one image, got two; leave out all but 3"'
    part = 'assert (\n    "image, got two; leave "\n    "out all")'
    fragment = '"got two; leave out"'
    shared = "image got two leave out all"
    assert quoted_twice({"a": whole, "b": part, "c": fragment}, source) == {shared: ["a", "b"]}


def test_comments_docstrings_and_other_texts_are_no_quotations() -> None:
    sentence = "expected one image, got two; leave out all but one"
    documented = f'"""{sentence}"""  # {sentence}'
    assert quoted_twice({"a": f'"{sentence}"', "b": documented}, f'"{sentence}"') == {}
    assert quoted_twice({"a": f'"{sentence}"', "b": f'"{sentence}"'}, documented) == {}
