"""`retry_on`: further errors that the caller takes for a cache miss."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest

from rawmm import ContractError
from tests.cases import each
from tests.unit.engine.engine import DONE, REQUESTS, CacheMissError, Engine, generate, is_retried

BARE = REQUESTS["descriptor-only"]


def error(text: str = "Internal server error", **attributes: Any) -> Exception:
    raised = RuntimeError(text)
    vars(raised).update(attributes)
    return raised


def caused_by(cause: Exception) -> Exception:
    raised = error("provider")
    raised.__cause__ = cause
    return raised


BARE_500: dict[str, Any] = {
    "status_code of openai": lambda: error(status_code=500),
    "response of httpx": lambda: error(response=SimpleNamespace(status_code=500)),
    "status of aiohttp": lambda: error(status=500),
    "an enum": lambda: error(status=HTTPStatus.INTERNAL_SERVER_ERROR),
    "code of a body": lambda: error(code=500),
    "cause": lambda: caused_by(error(status_code=500)),
}


@each("case", BARE_500)
@each("retry_on", [500, {500, 503}, [503, 500], HTTPStatus(500), range(500, 600)])
def test_status_is_retried_if_asked_for(case: str, retry_on: Any) -> None:
    assert is_retried(BARE_500[case](), **BARE, retry_on=retry_on)


@each("case", BARE_500)
@each("retry_on", [None, (), 503, {502, 504}])
def test_status_that_is_not_asked_for_is_raised(case: str, retry_on: Any) -> None:
    assert not is_retried(BARE_500[case](), **BARE, retry_on=retry_on)


def test_error_without_a_status_is_raised() -> None:
    assert not is_retried(error(), **BARE, retry_on={500})
    assert not is_retried(error(status_code="500", status=True), **BARE, retry_on={500, 1})


def test_function_decides() -> None:
    """An engine in the same process raises errors without a status."""

    def is_bare(error: Exception) -> bool:
        return str(error) == "Internal server error"

    assert is_retried(error(), **BARE, retry_on=is_bare)
    assert not is_retried(error("The engine is dead."), **BARE, retry_on=is_bare)


def test_named_miss_is_retried_without_asking_the_function() -> None:
    asked: list[Exception] = []
    assert is_retried(CacheMissError(), **BARE, retry_on=asked.append)
    assert asked == []


@pytest.mark.parametrize("name", ["raw", "no images"])
def test_request_without_descriptor_only_images_is_not_retried(name: str) -> None:
    assert not is_retried(error(status=500), **REQUESTS[name], retry_on=500)


def test_second_failure_is_raised() -> None:
    first, second = error(status=500), error(status=500)
    engine = Engine(first, second, DONE)
    with pytest.raises(RuntimeError) as caught:
        generate(engine, **BARE, retry_on=500)
    assert caught.value is second
    assert second.__cause__ is first
    assert engine.modes == [False, True]


def test_cancellation_is_raised() -> None:
    engine = Engine(asyncio.CancelledError(), DONE)
    with pytest.raises(asyncio.CancelledError):
        generate(engine, **BARE, retry_on=lambda _: True)
    assert engine.modes == [False]


def test_argument_is_not_passed_on() -> None:
    engine = Engine(DONE)
    generate(engine, **BARE, retry_on=500)
    assert "retry_on" not in engine.calls[0]


def test_log_says_that_the_miss_is_possible(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        generate(Engine(error(status=500), DONE), **BARE, retry_on=500)
    (record,) = caplog.records
    assert record.getMessage().startswith("possible engine cache miss, 1 of ")


@pytest.mark.parametrize(
    "retry_on", [True, "500", {"500"}, 5.0, [True], RuntimeError, (RuntimeError,), object()]
)
def test_other_value_is_refused_before_the_call(retry_on: Any) -> None:
    engine = Engine(DONE)
    with pytest.raises(ContractError) as caught:
        generate(engine, **BARE, retry_on=retry_on)
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$.retry_on")
    assert engine.calls == []


PARTS: dict[str, tuple[list[Any], bool]] = {
    "uuid alone": ([{"type": "image_url", "uuid": "a"}], True),
    "null URL": ([{"type": "image_url", "url": None, "uuid": "a"}], True),
    "object": ([SimpleNamespace(type="image_url", url=None)], True),
    "URL": ([{"type": "image_url", "url": "file:///a.png", "uuid": "a"}], False),
    "no image": ([{"type": "video_url", "uuid": "a"}], False),
    "none": ([], False),
}


@pytest.mark.parametrize("case", PARTS)
def test_content_part_without_url_is_descriptor_only(case: str) -> None:
    parts, wanted = PARTS[case]
    assert is_retried(CacheMissError(), content_parts=parts) is wanted


def test_unawaited_json_of_aiohttp_is_closed() -> None:
    class Response:
        status = 500

        async def json(self) -> Any:
            """As of aiohttp; a coroutine that nothing awaits warns."""

    assert not is_retried(error(response=Response()), **BARE)
    assert is_retried(error(response=Response()), **BARE, retry_on=500)
