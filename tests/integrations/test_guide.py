"""The snippets of the guide run as they stand, one after the other."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "adopting.md").read_text("utf-8")


def test_snippets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    logging.getLogger("rawmm").setLevel(logging.ERROR)
    names: dict[str, object] = {"__name__": "guide"}
    snippets = list(re.finditer(r"```python\n(.*?)```", GUIDE, re.DOTALL))
    assert len(snippets) == 11
    for snippet in snippets:
        line = GUIDE[: snippet.start(1)].count("\n")
        code = "\n" * line + snippet[1]
        exec(compile(code, "docs/adopting.md", "exec"), names)
