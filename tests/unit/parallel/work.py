"""Functions that engines run in the tests of engines."""

from __future__ import annotations

import os
import signal
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rawmm.cli.commands.check import checker_of
from rawmm.cli.output import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

POISON = 13


def make_square(folder: str) -> Callable[[Any], tuple[Any, Any]]:
    """Squares numbers. Dies once at 5, always at 13; raises at 7; and halves lists."""

    def square(piece: Any) -> tuple[Any, Any]:
        if isinstance(piece, list):
            return piece[0] ** 2, piece[1:] or None
        if piece == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        if piece == 5:
            try:
                (Path(folder) / "died").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        if piece == 7:
            raise ZeroDivisionError("a secret")
        return piece**2, None

    return square


def make_stopped_in_a_callback() -> Callable[[Any], tuple[Any, Any]]:
    """Is told to stop where Python ignores exceptions."""

    class Target:
        pass

    def stop(_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)

    def stopped(piece: Any) -> tuple[Any, Any]:
        target = Target()
        kept = weakref.ref(target, stop)
        del target
        return kept() is None, None

    return stopped


def make_slow(
    folder: str, *, others: int = 2, deaf: bool = False
) -> Callable[[Any], tuple[Any, Any]]:
    """Works until it is stopped, with a file there meanwhile; at 0, until others do.

    Args:
        folder: of the files.
        others: how many.
        deaf: whether it does not listen when it is told to stop.
    """

    def slow(piece: Any) -> tuple[Any, Any]:
        if piece == 0:
            while len(list(Path(folder).iterdir())) < others:
                time.sleep(0.005)
            return None, None
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        path = Path(folder) / f"{piece}.tmp"
        path.touch()
        try:
            while True:  # Ray does not interrupt a call
                time.sleep(0.005)
        finally:
            time.sleep(0.05)
            path.unlink()

    return slow


def make_dying_check(folder: str, *args: Any) -> Any:
    """The check of the command. Its process dies once, at the second record of a piece."""
    check = checker_of(*args)

    def dying(record: Any, form: Any) -> Any:
        if record.line == 2:
            with suppress(FileExistsError):
                (Path(folder) / "died").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return check(record, form)

    return dying


def make_no_pass(*_: Any) -> Any:
    """The pass of a command whose store cannot be opened in a worker."""
    raise UsageError("no permission here")


def make_poisoned_check(*args: Any) -> Any:
    """The check of the command. Its process dies whenever a record has the word poison."""
    check = checker_of(*args)

    def poisoned(record: Any, form: Any) -> Any:
        if b"poison" in record.data:
            os.kill(os.getpid(), signal.SIGKILL)
        return check(record, form)

    return poisoned
