"""A family of one's own: `register` and `check_layout`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import ContractError, layouts
from rawmm.testing import check_layout
from tests.unit.materialize.processor import QWEN, PatchProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator

GUIDE = (Path(__file__).parents[3] / "docs" / "layouts.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def families(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forgets the families that a test registers."""
    before = dict(layouts._families)
    yield
    layouts._families.clear()
    layouts._families.update(before)


def test_table_of_the_guide_lists_every_family_its_processors_and_parameters() -> None:
    rows = dict(re.findall(r"^\| `([a-z0-9_]+)` \| (.*)$", GUIDE, re.MULTILINE))
    assert rows.keys() == layouts.FAMILIES.keys()
    for family, cls in layouts.FAMILIES.items():
        assert set(cls.processors) <= set(re.findall(r"`(\w+)`", rows[family]))
        if "those of" not in rows[family]:
            for name in cls.defaults():
                assert f"`{name}`" in rows[family], family


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole(layouts.Layout):
    """One token for an image."""

    family = "whole"
    image_token = "<image>"

    patch_size: int = 14

    def _lay_out(self, width: int, height: int) -> layouts.Geometry:
        return layouts.Geometry([1, 1, 1], 1, {"size": [width, height]}, 1)


class TestRegister:
    def test_registered_family_is_known_everywhere(self) -> None:
        assert layouts.register(Whole) is Whole
        assert layouts.get("whole") == Whole()
        assert layouts.layout_of(print, "whole") == Whole()
        assert layouts.FAMILIES["whole"] is Whole
        layouts.register(Whole)  # again

    def test_name_of_another_family_is_refused(self) -> None:
        cls = type("Other", (Whole,), {"family": "qwen_vl"})
        with pytest.raises(ContractError) as caught:
            layouts.register(cls)
        assert (caught.value.code, caught.value.path) == ("bad_value", "$.family")

    def test_image_processor_of_another_family_is_refused(self) -> None:
        cls = type("Other", (Whole,), {"processors": ("Qwen2VLImageProcessor",)})
        with pytest.raises(ContractError) as caught:
            layouts.register(cls)
        assert (caught.value.code, caught.value.path) == ("bad_value", "$.processors")

    @pytest.mark.parametrize("odd", [None, 3, int, layouts.Layout, Whole(), "whole"])
    def test_what_is_no_layout_class_is_refused(self, odd: Any) -> None:
        with pytest.raises(ContractError) as caught:
            layouts.register(odd)
        assert caught.value.code == "wrong_type"

    def test_parameter_without_a_default_is_refused(self) -> None:
        @dataclass(frozen=True, kw_only=True)
        class Bare(Whole):
            family = "bare"
            side: int

        with pytest.raises(ContractError) as caught:
            layouts.register(Bare)
        assert (caught.value.code, caught.value.path) == ("wrong_type", "$.side")

    @pytest.mark.parametrize("name", ["a b", "", None])
    def test_invalid_name_is_refused(self, name: Any) -> None:
        with pytest.raises(ContractError) as caught:
            layouts.register(type("Odd", (Whole,), {"family": name}))
        assert (caught.value.code, caught.value.path) == ("bad_format", "$.family")


class TestCheckLayout:
    def test_layout_of_the_processor_agrees(self) -> None:
        assert check_layout(QWEN, PatchProcessor()) > 200

    def test_first_mismatch_is_shown_with_both_sides(self) -> None:
        other = layouts.get("qwen_vl", **QWEN.parameters | {"max_pixels": 200_000})
        with pytest.raises(AssertionError) as caught:
            check_layout(other, PatchProcessor(), sizes=[(56, 56), (640, 480)])
        assert str(caught.value) == (
            "640 x 480: the processor returns image_grid_thw=[[1, 34, 46]], "
            "the layout says [[1, 26, 36]]"
        )

    def test_drawn_sizes_find_another_limit(self) -> None:
        other = layouts.get("qwen_vl", **QWEN.parameters | {"min_pixels": 3_137})
        with pytest.raises(AssertionError, match="the processor returns image_grid_thw="):
            check_layout(other, PatchProcessor())

    def test_image_that_only_the_layout_refuses_is_a_mismatch(self) -> None:
        with pytest.raises(AssertionError, match=r"^7 x 1401: the layout refuses the image"):
            check_layout(QWEN, lambda **_: {"image_grid_thw": 1}, sizes=[(7, 1401)])

    def test_image_that_only_the_processor_refuses_is_a_mismatch(self) -> None:
        def refuse(**_: Any) -> Any:
            raise ValueError

        with pytest.raises(AssertionError, match=r"^56 x 56: the processor raises ValueError"):
            check_layout(QWEN, refuse, sizes=[(56, 56)])

    def test_other_number_of_tokens_is_a_mismatch(self) -> None:
        with pytest.raises(AssertionError, match=r"^56 x 56: the prompt has 5 tokens, the layout"):
            check_layout(QWEN, PatchProcessor(), sizes=[(56, 56)], num_tokens=lambda _: 5)
