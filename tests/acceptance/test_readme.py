"""The commands of the README, and the tables of the guides."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rawmm
from rawmm.cli.app import COMMANDS
from rawmm.offload.forms import FORMS
from rawmm.offload.image_parts import ImageParts
from tests.unit.images.pictures import data_url, picture

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMAND_LINE = (ROOT / "docs" / "command-line.md").read_text("utf-8")


def fenced(text: str, language: str) -> Sequence[re.Match[str]]:
    return list(re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("marker", ["main", "tests"])
def test_command_of_the_readme_is_one_line_after_its_marker(marker: str) -> None:
    # .ci/run cuts out the line between the fences.
    assert re.search(rf"^<!-- {marker} -->\n```sh\n[^\n]+\n```$", README, re.MULTILINE)


def test_readme_has_exactly_two_commands() -> None:
    assert len(fenced(README, "sh")) == 2


def test_every_command_is_documented() -> None:
    documented = set(re.findall(r"^\| `rawmm ([a-z-]+)", COMMAND_LINE, re.MULTILINE))
    assert documented == set(COMMANDS)


IMAGE_FORMS = ROOT / "docs/image-forms.md"
FORM_ROW = re.compile(r"^\| [^|]+ \| ([^|]+) \| `(\{.+\})` \| `(\{.+\})` \|$", re.MULTILINE)


def test_table_of_image_forms_is_what_offload_does(tmp_path: Path) -> None:
    store = rawmm.ImageStore(tmp_path / "images")
    raw = picture()
    stored = store.put(raw)
    words = {
        "DATA": data_url(raw),
        "BASE64": data_url(raw).partition(",")[2],
        "REF": stored.uri,
        "NAME": stored.path.name,
    }
    found = set()
    for name, *row in FORM_ROW.findall(IMAGE_FORMS.read_text("utf-8")):
        before, after = ([json.loads(_filled(text, words))] for text in row)
        body = {"messages": [{"role": "user", "content": before}]}
        assert {part.form.name for part in ImageParts(body).parts if part.form} == {name}
        rawmm.offload_images_inplace(body, store=store)
        assert before == after, name
        found.add(name)
    assert found == {form.name for form in FORMS}


def _filled(text: str, words: dict[str, str]) -> str:
    for word, new in words.items():
        text = text.replace(f'"{word}"', json.dumps(new))
    return text
