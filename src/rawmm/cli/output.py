"""Talking to people: complaints, sizes, names, a progress bar. All of it on standard error."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE: Final = 0.5
"""Seconds a command may take before it shows a progress bar."""


class UsageError(Exception):
    """Wrong usage or unreadable input: exit code 2, with this one line on standard error."""


def console(*, stderr: bool = True) -> Console:
    """A console on the present standard error or output; colours only on a terminal."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(*parts: str | tuple[str, str]) -> None:
    """A line on standard error; a part with a style has it only on a terminal."""
    console().print(Text.assemble(*parts))


def complain(message: str) -> None:
    """``rawmm: message`` on standard error."""
    say(("rawmm:", "bold red"), f" {message}")


def printable(name: str) -> str:
    """A file name without characters that would move the cursor or end the line."""
    if name.isprintable():
        return name
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in name
    )


def counted(number: int, thing: str) -> str:
    """``1 file``, ``2 files``, ``no files``."""
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """Bytes for people, in powers of 1024."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar over `total` bytes; call the result with the number read so far.

    Shown only on a terminal, and only when the work takes a while.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # Standard output may be the data.
        redirect_stdout=False,
    )
    task = bar.add_task(Text(what).markup, total=total)
    begin = time.monotonic() + _PATIENCE

    def advance(done: int) -> None:
        bar.update(task, completed=done)
        if not bar.live.is_started and time.monotonic() >= begin:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()
