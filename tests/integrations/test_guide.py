"""The examples of ``docs/adopting.md`` run in order, as they are shown."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "adopting.md").read_text("utf-8")


def test_examples_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    logging.getLogger("rawmm").setLevel(logging.ERROR)
    names: dict[str, object] = {"__name__": "guide"}
    examples = list(re.finditer(r"```python\n(.*?)```", GUIDE, re.DOTALL))
    assert len(examples) == 16
    for example in examples:
        line = GUIDE[: example.start(1)].count("\n")
        code = "\n" * line + example[1]
        exec(compile(code, "docs/adopting.md", "exec"), names)
