"""Runs calls in threads, one step at a time, in an order that the test chooses.

A step is a call of `os` that looks at, or changes, what the test watches. Before each the thread
waits until it is chosen.
"""

from __future__ import annotations

import os
import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Choose = Callable[[Sequence[str]], str]

STEPS = ("open", "stat", "access", "utime", "rename", "replace", "link", "unlink")


class Stopped(BaseException):
    """Raised at the step where the test ends a call, like a signal."""


class Stage:
    """The threads of one run.

    Args:
        watched: whether a call with these arguments is a step.
    """

    def __init__(self, watched: Callable[[tuple[Any, ...]], bool]) -> None:
        self._watched = watched
        self._change = threading.Condition()
        self._waiting: set[str] = set()
        self._chosen: str | None = None
        self._names: dict[int, str] = {}
        self._stop: tuple[str, int] | None = None
        self.steps: list[tuple[str, str]] = []

    @contextmanager
    def patched(self) -> Iterator[None]:
        real = {name: getattr(os, name) for name in STEPS}
        try:
            for name, function in real.items():
                setattr(os, name, self._gated(name, function))
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)

    def _gated(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            who = self._names.get(threading.get_ident())
            if who is not None and (step == "utime" or self._watched(args)):
                self._wait(who, step)
            return function(*args, **options)

        return call

    def _wait(self, who: str, step: str) -> None:
        with self._change:
            self._waiting.add(who)
            self._change.notify_all()
            self._change.wait_for(lambda: self._chosen == who)
            self._chosen = None
            self._waiting.discard(who)
            self.steps.append((who, step))
            if self._stop == (who, sum(name == who for name, _ in self.steps)):
                raise Stopped

    def run(
        self,
        calls: dict[str, Callable[[], Any]],
        choose: Choose,
        stop: tuple[str, int] | None = None,
    ) -> dict[str, Any]:
        """The answer, or the exception, of each call. `stop` ends one before its nth step."""
        self._stop = stop
        answers: dict[str, Any] = {}

        def play(who: str) -> None:
            self._names[threading.get_ident()] = who
            try:
                answer = calls[who]()
            except BaseException as error:  # noqa: BLE001  (the test looks at it)
                answer = error
            with self._change:
                answers[who] = answer
                self._change.notify_all()

        threads = [threading.Thread(target=play, args=(who,)) for who in calls]
        with self.patched():
            for thread in threads:
                thread.start()
            while True:
                with self._change:
                    # No thread is running: each waits for its turn, or has ended.
                    ready = self._change.wait_for(
                        lambda: (
                            self._chosen is None
                            and self._waiting | set(answers) == set(calls)
                            and not self._waiting & set(answers)
                        ),
                        timeout=600,
                    )
                    assert ready, "a thread hangs"
                    if len(answers) == len(calls):
                        break
                    self._chosen = choose(sorted(self._waiting))
                    self._change.notify_all()
            for thread in threads:
                thread.join()
        return answers


def every_order(run: Callable[[Choose], None]) -> int:
    """Call `run` once for every order of the steps. Returns the number of orders."""
    todo: list[list[str]] = [[]]
    runs = 0
    while todo:
        prefix = todo.pop()
        made: list[str] = []

        def choose(
            waiting: Sequence[str], prefix: list[str] = prefix, made: list[str] = made
        ) -> str:
            if len(made) < len(prefix):
                made.append(prefix[len(made)])
            else:
                todo.extend([*made, other] for other in waiting[1:])
                made.append(waiting[0])
            return made[-1]

        run(choose)
        runs += 1
    return runs


def some_orders(run: Callable[[Choose], None], number: int) -> None:
    """Call `run` for some orders, the same ones each time."""
    for seed in range(number):
        run(random.Random(seed).choice)
