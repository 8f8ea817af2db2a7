"""Odd errors and arguments: reading them never replaces the error of the call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cases import each
from tests.unit.engine.engine import DONE, REQUESTS, CacheMissError, Engine, generate, is_retried
from tests.unit.graph.zoo import MAKERS

PLACES = ("body", "response", "message")
# asyncio itself cannot print an exception that holds one of these.
NAMES = [name for name in MAKERS if not name.startswith("deep") and name != "hostile object"]


class OddError(Exception):
    """An exception with any attributes."""


class MislabelledError(CacheMissError):
    """An exception whose cause is not an exception."""

    __cause__ = "a text"  # type: ignore[assignment]


@each("name", NAMES)
def test_odd_errors_pass(name: str) -> None:
    for place in PLACES:
        error = OddError()
        setattr(error, place, MAKERS[name]())
        assert not is_retried(error)
    assert not is_retried(OddError(MAKERS[name]()))


@each("name", NAMES)
def test_odd_requests_pass(name: str) -> None:
    for argument in ("multi_modal_data", "prompt_attribution", "features", "more"):
        error = CacheMissError()
        with pytest.raises(CacheMissError) as caught:
            generate(Engine(error), **{argument: MAKERS[name]()})
        assert caught.value is error
        # Other arguments of the request still count.
        request: Any = {argument: MAKERS[name](), **REQUESTS["descriptor-only"]}
        assert generate(Engine(CacheMissError(), DONE), **request) is DONE


def test_second_error_with_an_odd_cause_is_raised() -> None:
    first, second = CacheMissError(), MislabelledError()
    with pytest.raises(MislabelledError) as caught:
        generate(Engine(first, second), **REQUESTS["descriptor-only"])
    assert caught.value is second
