"""Prints to the terminal: messages, errors and the progress bar on standard error.

`--quiet` and `--color` hold for a whole process, so they are kept here.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rawmm.errors import printable
from rawmm.locators import scheme_of, without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_PROGRESS_DELAY: Final = 0.5
"""Seconds before a command shows a progress bar."""


Colors: TypeAlias = Literal["auto", "always", "never"]


class UsageError(Exception):
    """Wrong usage or unreadable input. The command prints the message and exits with code 2."""


class MissingExtraError(UsageError):
    """A format of files needs a package that is not installed."""


class Settings(NamedTuple):
    """The options of every command.

    Attributes:
        quiet: whether errors alone are printed: no summary, no notes and no progress.
        color: when colours and styles are written; ``auto`` writes them to a terminal, unless the
            environment variable ``NO_COLOR`` is set.
    """

    quiet: bool = False
    color: Colors = "auto"


_settings = Settings()


def set_up(settings: Settings) -> None:
    """Set the options of every command for this process."""
    global _settings  # noqa: PLW0603  (a terminal is one for the process, too)
    _settings = settings


def split_settings(argv: Sequence[str]) -> tuple[Settings, list[str]]:
    """The options of every command, which may stand anywhere before ``--``, and the other words.

    Raises:
        UsageError: ``--color`` has no value, or another than `Colors`.
    """
    settings, rest, words = Settings(), [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if word in ("--quiet", "-q"):
            settings = settings._replace(quiet=True)
        elif name == "--color":
            color: Any = value if equals else next(words, "")
            if color not in get_args(Colors):
                raise UsageError("--color takes auto, always or never")
            settings = settings._replace(color=color)
        else:
            rest.append(word)
            if word == "--":
                break
    return settings, [*rest, *words]


def color_options() -> dict[str, Any]:
    """What a console needs for ``--color``."""
    if _settings.color == "always":
        return {"color_system": "standard", "no_color": False}
    # Without a system of colours, rich writes no styles, either: NO_COLOR alone leaves bold.
    plain = _settings.color == "never" or os.environ.get("NO_COLOR")
    return {"color_system": None} if plain else {}


def console(*, stderr: bool = True, for_errors: bool = False) -> Console:
    """A console on the current standard error or output.

    Args:
        stderr: whether it is standard error.
        for_errors: whether ``--quiet`` leaves it on. It silences standard error only.
    """
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        quiet=_settings.quiet and stderr and not for_errors,
        **color_options(),
    )


def info(*parts: str | tuple[str, str]) -> None:
    """Print a line on standard error, unless quiet. A part may be a pair of text and style."""
    console().print(Text.assemble(*parts))


def note_memory(location: str) -> None:
    """Say that what is written to ``memory://`` is gone when the command ends."""
    if scheme_of(location) == "memory":
        shown = printable(without_credentials(location))
        info(f"{shown} ends with this command, and what is written to it")


def error(message: str) -> None:
    """Print ``rawmm: message`` on standard error."""
    line = Text.assemble(("rawmm:", "bold red"), f" {message}")
    console(for_errors=True).print(line)


def summary_table() -> Table:
    """An empty table for a summary on a terminal: name, count and explanation."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    return table


def counted(number: int, thing: str) -> str:
    """``1 file``, ``2 files``, ``no files``."""
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """A number of bytes with a unit, in powers of 1024."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show progress over `total` bytes; call the result with the number of bytes read so far.

    The bar appears only on a terminal, and only if the command takes a while.
    """
    if _settings.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import progress as columns  # slow to import

    bar = columns.Progress(
        columns.TextColumn("{task.description}"),
        columns.BarColumn(),
        columns.DownloadColumn(binary_units=True),
        columns.TimeRemainingColumn(),
        console=Console(stderr=True, **color_options()),
        transient=True,
        # Standard output may carry the data.
        redirect_stdout=False,
    )
    task = bar.add_task(Text(what).markup, total=total)
    begin = time.monotonic() + _PROGRESS_DELAY

    def advance(done: int) -> None:
        bar.update(task, completed=done)
        if not bar.live.is_started and time.monotonic() >= begin:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


@contextmanager
def run_progress(what: str, total: int) -> Iterator[Callable[[int, int, int], None]]:
    """Show the progress of a long run; call the result with bytes, records and errors so far.

    Shows bytes a minute and the time left, too. Appears when `progress` does.
    """
    if _settings.quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich import progress as columns  # slow to import

    bar = columns.Progress(
        columns.TextColumn("{task.description}"),
        columns.BarColumn(),
        columns.TextColumn("{task.fields[counts]}"),
        columns.TimeRemainingColumn(),
        console=Console(stderr=True, **color_options()),
        transient=True,
        redirect_stdout=False,
    )
    task = bar.add_task(Text(what).markup, total=total or None, counts="")
    first = time.monotonic()

    def advance(done: int, records: int, errors: int) -> None:
        seconds = time.monotonic() - first
        rate = size(round(done * 60 / seconds)) if seconds else "-"
        counts = f"{records:,} records, {errors:,} errors, {rate} a minute"
        bar.update(task, completed=done, counts=counts)
        if not bar.live.is_started and seconds >= _PROGRESS_DELAY:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()
