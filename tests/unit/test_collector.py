"""The cyclic garbage collector is paused while a large document is decoded, and never left off."""

from __future__ import annotations

import gc
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import rawmm
from rawmm.collector import LARGE, without_collector

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATES: list[bool] = []


@contextmanager
def _disabled() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _note(argument: object) -> object:
    _STATES.append(gc.isenabled())
    return argument


def test_enabled_collector_is_paused_and_enabled_again() -> None:
    _STATES.clear()
    assert without_collector(_note, 5) == 5
    assert _STATES == [False]
    assert gc.isenabled()


def test_disabled_collector_stays_disabled() -> None:
    with _disabled():
        without_collector(_note, 5)
        assert not gc.isenabled()


def test_exception_enables_the_collector() -> None:
    def fail(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        without_collector(fail, 5)
    assert gc.isenabled()


@pytest.mark.parametrize("ending", [b"", b"x"], ids=["valid", "malformed"])
def test_large_document_is_decoded_during_a_pause(
    monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    calls: list[bool] = []

    def noted(function: object, data: object) -> object:
        calls.append(True)
        return without_collector(function, data)

    monkeypatch.setattr("rawmm.codec.without_collector", noted)
    text = b'{"role": "user", "content": "' + b"a" * LARGE + b'"}'
    if ending:
        with pytest.raises(rawmm.ContractError):
            rawmm.decode_json(text + ending, rawmm.UserMessage)
    else:
        rawmm.decode_json(text, rawmm.UserMessage)
    rawmm.decode_json(b'{"role": "user", "content": "a"}', rawmm.UserMessage)
    assert calls == [True]
    assert gc.isenabled()


def test_threads_leave_the_collector_enabled() -> None:
    text = b'{"role": "user", "content": "' + b"a" * LARGE + b'"}'
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                rawmm.decode_json(text, rawmm.UserMessage)
                without_collector(sum, range(1000))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert gc.isenabled()


def test_thread_that_ends_first_enables_the_collector() -> None:
    inside, leave = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        inside.set()
        leave.wait()

    thread = threading.Thread(target=without_collector, args=(wait, None))
    thread.start()
    inside.wait()
    assert not gc.isenabled()
    without_collector(_note, 5)
    assert not gc.isenabled()  # the first thread's pause goes on
    leave.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_child_that_is_forked_during_a_pause_has_the_collector_enabled() -> None:
    inside, leave = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        inside.set()
        leave.wait()

    thread = threading.Thread(target=without_collector, args=(wait, None))
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        os._exit(0 if gc.isenabled() else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    leave.set()
    thread.join()
    assert status == 0
