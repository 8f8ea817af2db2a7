"""A form is one object in one list."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import ContractError, MessageNode, RawMMItem, Usage, convert
from rawmm.upgrades import FORMS, forms, upgrade, walk
from rawmm.upgrades.form import HistoricalForm, Step
from tests.unit.upgrades.forms import bare_grid, without_version

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD_USAGE = {"tokens_in": 3, "tokens_out": 4}
MADE_UP = HistoricalForm(
    name="made_up",
    since="2026-01-01",
    of="Usage",
    description="a usage with the fields tokens_in and tokens_out",
    matches=lambda usage: "tokens_in" in usage,
    upgrade=lambda usage, _: Step(
        {"prompt_tokens": usage["tokens_in"], "completion_tokens": usage["tokens_out"]},
        "fields renamed",
    ),
    rebuild="count again",
)


@pytest.fixture
def made_up_form(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(forms, "HISTORICAL_FORMS", (MADE_UP, *forms.HISTORICAL_FORMS))
    monkeypatch.setitem(FORMS, MADE_UP.name, MADE_UP.description)
    walk._has_history.cache_clear()
    yield
    walk._has_history.cache_clear()


@pytest.mark.usefixtures("made_up_form")
def test_form_in_the_list_is_upgraded_anywhere_in_a_document() -> None:
    node: dict[str, Any] = {
        "message": {"role": "assistant", "content": "x"},
        "token_ids": [1],
        "mask": [False],
        "usage": OLD_USAGE,
    }
    result = upgrade(node)
    assert result.value == convert(
        {**node, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}, MessageNode
    )
    assert (result.form, [str(note) for note in result.notes]) == (
        "made_up",
        ["$.usage: fields renamed [made_up]"],
    )


@pytest.mark.usefixtures("made_up_form")
def test_form_in_the_list_is_named_in_errors() -> None:
    with pytest.raises(ContractError) as caught:
        convert(OLD_USAGE, Usage)
    assert caught.value.code == "historical_form"
    assert caught.value.got == f"the wire form {MADE_UP}"
    assert caught.value.hint == "upgrade the data, or count again"


@pytest.mark.parametrize("value", [None, 7, "x", b"x", [], {}, [[]], [[[]]], [{}, 7], object()])
def test_forms_match_no_other_object(value: Any) -> None:
    assert not [form.name for form in forms.HISTORICAL_FORMS if form.matches(value)]


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (bare_grid(), "descriptor_only"),
        (without_version(raw_image_uri="file:///a.png"), "uri"),
        (without_version(raw_image_data="data:,"), "inline"),
        (without_version(raw_image_data="data:,", raw_image_uri="file:///a.png"), "inline"),
    ],
)
def test_forms_of_a_type_exclude_each_other(item: Any, name: str) -> None:
    of_items = [form for form in forms.HISTORICAL_FORMS if form.of == "RawMMItem"]
    assert [form.name for form in of_items if form.matches(item)] == [name]
    with pytest.raises(ContractError, match=rf"the wire form {name} \("):
        convert(item, RawMMItem)


@pytest.mark.parametrize(
    ("program", "loaded"),
    [
        ("rawmm.decode_json(b'{\"nodes\": []}', rawmm.Trace)", False),
        ("list(rawmm.iter_errors({'nodes': 1}, rawmm.Trace))", True),
    ],
)
def test_forms_load_with_the_first_error(program: str, *, loaded: bool) -> None:
    code = f"import sys, rawmm\n{program}\nprint('rawmm.upgrades' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{loaded}\n"
