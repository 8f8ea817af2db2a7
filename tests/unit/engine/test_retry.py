"""`generate_with_image_ref_retry`: its calls, errors and log."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from contextlib import suppress
from typing import Any

import pytest

from rawmm.engine.retry import generate_with_image_ref_retry
from tests.builders import item, sidecar
from tests.unit.engine.engine import DONE, REQUESTS, CacheMissError, Engine, generate

BARE = REQUESTS["descriptor-only"]


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_first_result_is_returned_unchanged(request_: Any) -> None:
    engine = Engine(DONE)
    assert generate(engine, model="m", **request_) is DONE
    assert engine.calls == [{"model": "m", **request_, "materialize_all_image_refs": False}]


def test_miss_is_retried_once_with_all_references() -> None:
    engine = Engine(CacheMissError(), DONE)
    assert generate(engine, **BARE) is DONE
    assert engine.modes == [False, True]


def test_both_calls_get_the_same_objects() -> None:
    request: dict[str, Any] = {"messages": [{"role": "user"}], "prompt_ids": [1], **BARE}
    engine = Engine(CacheMissError(), DONE)
    generate(engine, **request)
    for call in engine.calls:
        assert call.keys() == {*request, "materialize_all_image_refs"}
        assert all(call[name] is value for name, value in request.items())


def test_generate_that_raises_before_awaiting_is_retried() -> None:
    engine = Engine(DONE)

    def late(**kwargs: Any) -> Any:
        if kwargs["materialize_all_image_refs"]:
            return engine(**kwargs)
        raise CacheMissError

    assert generate(late, **BARE) is DONE


@pytest.mark.parametrize("name", ["raw", "no images"])
def test_miss_without_descriptor_only_images_passes(name: str) -> None:
    error = CacheMissError()
    engine = Engine(error)
    with pytest.raises(CacheMissError) as caught:
        generate(engine, **REQUESTS[name])
    assert caught.value is error
    assert error.__cause__ is error.__context__ is None
    assert engine.modes == [False]


@pytest.mark.parametrize(
    "error", [ValueError("no"), RuntimeError(), ExceptionGroup("", [OSError()]), TimeoutError()]
)
def test_other_errors_are_raised_unchanged(error: Exception) -> None:
    engine = Engine(error)
    with pytest.raises(type(error)) as caught:
        generate(engine, **BARE)
    assert caught.value is error
    assert error.__cause__ is error.__context__ is None
    assert engine.modes == [False]


INTERRUPTIONS = [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit]


@pytest.mark.parametrize("kind", INTERRUPTIONS)
@pytest.mark.parametrize("misses", [0, 1])
def test_interruptions_pass_through_both_calls(kind: type[BaseException], misses: int) -> None:
    error = kind()
    error.body = CacheMissError().body  # type: ignore[attr-defined]  # not even then
    engine = Engine(*[CacheMissError() for _ in range(misses)], error)

    async def run() -> None:
        with pytest.raises(kind) as caught:
            await generate_with_image_ref_retry(engine, **BARE)
        assert caught.value is error

    asyncio.run(run())
    assert error.__cause__ is error.__context__ is None
    assert len(engine.calls) == misses + 1


def test_cancelled_task_is_cancelled_in_the_second_call() -> None:
    reached: list[bool] = []
    waits = asyncio.Event()

    async def stuck(**kwargs: Any) -> None:
        reached.append(kwargs["materialize_all_image_refs"])
        if not reached[-1]:
            raise CacheMissError
        waits.set()
        await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.ensure_future(generate_with_image_ref_retry(stuck, **BARE))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(run())
    assert reached == [False, True]


class TestSecondFailure:
    def test_second_miss_is_raised(self) -> None:
        first, second = CacheMissError("first"), CacheMissError("second")
        engine = Engine(first, second, DONE)
        with pytest.raises(CacheMissError) as caught:
            generate(engine, **BARE)
        assert caught.value is second
        assert second.__cause__ is first
        assert engine.modes == [False, True]

    def test_any_error_has_the_first_as_cause(self) -> None:
        first, second = CacheMissError(), OSError("gone")
        with pytest.raises(OSError, match="gone") as caught:
            generate(Engine(first, second), **BARE)
        assert caught.value is second
        assert second.__cause__ is first
        assert second.__context__ is None

    def test_own_cause_becomes_context(self) -> None:
        first, second, own = CacheMissError(), OSError("gone"), KeyError("why")
        second.__cause__ = own
        with pytest.raises(OSError, match="gone") as caught:
            generate(Engine(first, second), **BARE)
        assert caught.value.__cause__ is first
        assert caught.value.__context__ is own

    def test_context_is_kept_without_a_cause(self) -> None:
        second, before = OSError("gone"), KeyError("before")
        second.__context__ = before
        with pytest.raises(OSError, match="gone"):
            generate(Engine(CacheMissError(), second), **BARE)
        assert second.__context__ is before

    def test_same_object_is_not_its_own_cause(self) -> None:
        error = CacheMissError()
        with pytest.raises(CacheMissError) as caught:
            generate(Engine(error, error), **BARE)
        assert caught.value is error
        assert error.__cause__ is error.__context__ is None

    def test_causes_form_no_cycle(self) -> None:
        second = OSError("deep")
        first = CacheMissError()
        first.__cause__ = ValueError("between")
        first.__cause__.__cause__ = second
        with pytest.raises(OSError, match="deep"):
            generate(Engine(first, second), **BARE)
        assert second.__cause__ is None

    def test_unreadable_cause_masks_nothing(self) -> None:
        class OddError(Exception):
            @property
            def __cause__(self) -> Any:  # type: ignore[override]
                raise LookupError

        first, second = CacheMissError(), OddError()
        with pytest.raises(OddError) as caught:
            generate(Engine(first, second), **BARE)
        assert caught.value is second
        assert BaseException.__dict__["__cause__"].__get__(second) is first

    def test_argument_cannot_be_given_twice(self) -> None:
        engine = Engine(DONE)
        with pytest.raises(TypeError, match="materialize_all_image_refs"):
            generate(engine, **BARE, materialize_all_image_refs=True)
        assert engine.calls == []


class TestLog:
    def test_one_warning_before_the_second_call(self, caplog: pytest.LogCaptureFixture) -> None:
        secret = "data:image/png;base64,iVBORw0KGgo="  # an engine may quote the request
        request = {"multi_modal_data": sidecar(item(), item(raw_image_id="0.png"), item())}
        seen: list[int] = []

        async def engine(**kwargs: Any) -> Any:
            seen.append(len(caplog.records))
            if not kwargs["materialize_all_image_refs"]:
                raise CacheMissError(f"engine says {secret}")
            return DONE

        generate(engine, **request)
        assert seen == [0, 1]
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("rawmm.engine.retry", logging.WARNING)
        assert record.getMessage() == (
            "engine cache miss, 2 of the request's images descriptor-only: "
            "retrying with all image references"
        )
        assert record.exc_info is None
        assert secret not in caplog.text
        assert "engine says" not in caplog.text

    @pytest.mark.parametrize("name", ["raw", "no images"])
    def test_no_warning_without_a_retry(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="rawmm")
        with pytest.raises(CacheMissError):
            generate(Engine(CacheMissError()), **REQUESTS[name])
        with pytest.raises(ValueError, match="other"):
            generate(Engine(ValueError("other")), **BARE)
        generate(Engine(DONE), **BARE)
        assert caplog.records == []


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_keeps_the_arguments_alive(*, fails: bool) -> None:
    """A traceback with its own frame would keep the messages until a garbage collection."""

    class Messages:
        pass

    async def engine(**kwargs: Any) -> Any:
        if not kwargs["materialize_all_image_refs"]:
            raise CacheMissError
        if fails:
            raise OSError
        return DONE

    messages = Messages()
    gone = weakref.ref(messages)
    gc.disable()
    try:
        # Without an event loop, which keeps the exceptions of tasks.
        with suppress(OSError, StopIteration):
            generate_with_image_ref_retry(engine, messages=messages, **BARE).send(None)
        del messages
        assert gone() is None
    finally:
        gc.enable()
