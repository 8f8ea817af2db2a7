"""``rawmm explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rawmm.cli.remedies import REMEDIES, SITUATIONS
from rawmm.errors import CODES
from rawmm.model import schemas

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

    Run = Callable[..., Outcome]


def test_every_code_is_explained_with_an_example(rawmm: Run) -> None:
    for code, meaning in CODES.items():
        result, out, err = rawmm("explain", code)
        assert (result, err) == (0, ""), code
        title, remedy, example = out.split("\n\n", 2)
        assert title == f"{code}: {meaning}"
        assert remedy.startswith("What to do\n  "), code
        assert example.startswith("Example\n  "), code
        assert len(out.splitlines()) < 80, code
        assert (f"[{code}]" in out) != (code in SITUATIONS)


def test_tables_have_the_codes_and_no_others() -> None:
    assert list(REMEDIES) == list(CODES)
    shown = {vector.get("code") for vector in schemas.conformance_vectors()}
    assert set(CODES) - shown <= set(SITUATIONS) <= set(CODES)


def test_brackets_of_a_message_may_be_copied(rawmm: Run) -> None:
    assert rawmm("explain", "[array_size]") == rawmm("explain", "array_size")


def test_without_a_code_all_are_listed(rawmm: Run) -> None:
    code, out, err = rawmm("explain")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(CODES)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("array_sise", "did you mean array_size?"), ("zzz", "`rawmm explain` lists them")],
)
def test_unknown_code_is_wrong_usage(rawmm: Run, name: str, hint: str) -> None:
    code, out, err = rawmm("explain", name)
    assert (code, out) == (2, "")
    assert hint in " ".join(err.split())
