"""Writers warn of deprecated fields, and `check` counts them, in a contract that has some.

The contract has none yet; `tests.repo.test_deprecation` deprecates fields in the schemas.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm.cli import main
from rawmm.versions import deprecation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def deprecated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deprecate an optional field, and one that is always written."""
    monkeypatch.setattr(deprecation, "_ANY", True)
    monkeypatch.setattr(deprecation, "_warned", set())
    monkeypatch.setattr(rawmm.MessageNode, "__deprecated__", {"timestamp": "1.3"})
    monkeypatch.setattr(rawmm.MultiModalData, "__deprecated__", {"mm_hashes": "1.2"})


def warned(call: Callable[[], object]) -> list[str]:
    """The deprecated fields that a call warns of."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    assert {one.category for one in found} <= {rawmm.DeprecatedFieldWarning}
    assert {one.filename for one in found} <= {__file__}
    return [str(one.message) for one in found]


def node(**fields: Any) -> rawmm.MessageNode:
    return rawmm.MessageNode(message=rawmm.UserMessage(content="a"), **fields)


def test_field_is_warned_of_once_for_each_place() -> None:
    def write() -> object:
        return rawmm.encode_json([node(timestamp=1.0), node(timestamp=2.0)])

    assert warned(write) == ["MessageNode.timestamp is deprecated since contract 1.3"]
    assert warned(write) == []
    assert len(warned(lambda: rawmm.encode_msgpack(node(timestamp=1.0)))) == 1
    assert len(warned(lambda: rawmm.to_builtins(node(timestamp=1.0)))) == 1


def test_field_that_is_absent_or_has_its_default_is_not_warned_of() -> None:
    assert warned(lambda: rawmm.encode_json(node())) == []
    assert warned(lambda: rawmm.encode_json(rawmm.MultiModalData())) == []
    filled = rawmm.MultiModalData(mm_hashes={"image": []})
    assert warned(lambda: rawmm.encode_json(filled)) == [
        "MultiModalData.mm_hashes is deprecated since contract 1.2"
    ]


@pytest.mark.parametrize("style", ["text", "json"])
def test_check_counts_the_records_that_have_it(
    style: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [node(), node(timestamp=1.0), node(timestamp=2.0)]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(plain(one)) + "\n" for one in records))
    assert main(["check", str(file), "--format", style]) == 0
    told = capsys.readouterr()
    note = "2 records have MessageNode.timestamp, deprecated since 1.3"
    assert note in (told.err if style == "text" else json.loads(told.out)["message"])


def plain(value: rawmm.MessageNode) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rawmm.to_builtins(value)
