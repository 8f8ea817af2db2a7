"""The application: the commands, and what becomes of every way they can end."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import App, CycloptsError, UnusedCliTokensError

from rawmm._version import __version__
from rawmm.cli.bugs import bug_of
from rawmm.cli.check import check
from rawmm.cli.fsck import fsck
from rawmm.cli.gc import gc
from rawmm.cli.offload import offload
from rawmm.cli.output import UsageError, complain, printable
from rawmm.cli.records import STDIO
from rawmm.cli.schema import schema
from rawmm.cli.upgrade import upgrade
from rawmm.errors import shown_name
from rawmm.model.types import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

OK: Final = 0
USAGE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE

app = App(
    name="rawmm",
    help="The data contract for raw images in the rollouts of vision-language models.",
    help_epilogue=(
        "Exit codes: 0 fine, 1 the data breaks the contract, 2 wrong usage or unreadable input."
    ),
    version=f"rawmm {__version__} (contract {SCHEMA_VERSION})",
    version_flags=["--version"],
    help_flags=["--help", "-h"],
    # The exit code is this module's business, and so is what a wrong option looks like.
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
app.command(check, usage="Usage: rawmm check [OPTIONS] FILE...")
app.command(offload, usage="Usage: rawmm offload [OPTIONS] IN --output OUT")
app.command(upgrade, usage="Usage: rawmm upgrade [OPTIONS] IN --output OUT")
app.command(fsck, usage="Usage: rawmm fsck [OPTIONS] DIR [--refs FILE...]")
app.command(gc, usage="Usage: rawmm gc [OPTIONS] DIR --refs FILE...")
app.command(schema, usage="Usage: rawmm schema [--list] [NAME]")


def run(argv: Sequence[str]) -> int:
    """Run a command; the exit code."""
    # A stream that the caller has closed is None; what would go there goes nowhere.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  (open to the end)
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A file name or a message must not fail to print because of a terminal's charset.
            reconfigure(errors="backslashreplace")
    try:
        code = app([STDIO if word == "-" else word for word in argv])
        sys.stdout.flush()
    except CycloptsError as error:
        complain(_usage_text(error, argv))
        return USAGE
    except UsageError as error:
        complain(_with_dash(str(error)))
        return USAGE
    except BrokenPipeError:
        _close_stdout()
        return PIPE_CLOSED
    except OSError as error:
        # Files report their own troubles; what is left without a name is standard output.
        _close_stdout()
        what = error.filename or "standard output cannot be written"
        complain(f"{what}: {(error.strerror or str(error)).lower()}")
        return USAGE
    except KeyboardInterrupt:
        _close_stdout()
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  (the last resort: one line, no traceback)
        complain(str(bug_of(error)))
        return USAGE
    return code if isinstance(code, int) else OK


def _usage_text(error: CycloptsError, argv: Sequence[str]) -> str:
    what = _without_content(str(error), argv)
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        what = f"Unexpected argument: {printable(shown_name(error.unused_tokens[0]))}."
    command = " ".join(("rawmm", *(error.command_chain or ())))
    return _with_dash(f"{what} (see {command} --help)").replace("\n", " ")


def _without_content(text: str, argv: Sequence[str]) -> str:
    """What the parser says of the words that it was given, each as it may be shown."""
    words = {part for word in argv for part in (word, *word.split("=", 1))}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, shown_name(word)) if word else text
    return text


def _with_dash(text: str) -> str:
    """A message about what the user gave: ``-`` where its stand-in is."""
    return text.replace(repr(STDIO), repr("-")).replace(STDIO, "-")


def _close_stdout() -> None:
    """Let the interpreter's last flush go nowhere, so that it cannot fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
