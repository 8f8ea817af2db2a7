"""The application: the list of commands, and the exit code for every way a command can end."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from cyclopts import App, CycloptsError, UnusedCliTokensError
from rich.console import Console

from rawmm._version import __version__
from rawmm.cli import output
from rawmm.cli.bugs import bug_of
from rawmm.cli.output import UsageError
from rawmm.cli.records import STDIO
from rawmm.errors import printable, shown_name
from rawmm.model.types import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cyclopts import ArgumentCollection

COMMANDS: Final[dict[str, str]] = {
    "check": "[OPTIONS] FILE...",
    "offload": "[OPTIONS] IN --output OUT",
    "upgrade": "[OPTIONS] IN --output OUT",
    "convert": "[OPTIONS] IN --output OUT",
    "stats": "[OPTIONS] FILE...",
    "diff": "[OPTIONS] A B",
    "relocate": "[OPTIONS] IN --output OUT --from PLACE --to PLACE",
    "inline": "[OPTIONS] IN --output OUT",
    "bundle": "[OPTIONS] IN... --output OUT",
    "view": "[OPTIONS] FILE...",
    "fsck": "[OPTIONS] DIR [--refs FILE...]",
    "gc": "[OPTIONS] DIR --refs FILE...",
    "schema": "[--list] [NAME]",
    "explain": "[CODE]",
    "compat": "[OPTIONS] OLD NEW",
}
"""Every command and its usage. To add one, write `rawmm.cli.commands.<name>` and list it here."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,30}")
OK: Final = 0
USAGE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as in shells
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE


def make_app(names: Iterable[str] = COMMANDS) -> App:
    """The application with these commands, whose modules are loaded."""
    app = App(
        name="rawmm",
        help="The data contract for raw images in the rollouts of vision-language models.",
        help_epilogue="Every command takes --quiet (-q), which prints errors only, and "
        "--color auto|always|never.\n\nExit codes: 0 no errors, 1 the data breaks the contract, "
        "2 wrong usage or unreadable input.",
        console=Console(**output.color_options()),
        version=f"rawmm {__version__} (contract {SCHEMA_VERSION})",
        version_flags=["--version", "-V"],
        help_flags=["--help", "-h"],
        # `run` chooses exit codes and prints errors.
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        config=_check_numbers,
    )
    app.register_install_completion_command(
        help="Write completions for this shell, and load them when it starts.", help_flags=[]
    )
    for name in names:
        module = import_module(f"rawmm.cli.commands.{name}")
        app.command(getattr(module, name), usage=f"Usage: rawmm {name} {COMMANDS[name]}")
    return app


def _check_numbers(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse a number with a fraction for an integer, which the parser would round.

    Raises:
        UsageError: there is one.
    """
    for argument in arguments:
        if not _takes_integer(argument.hint):
            continue
        for token in argument.tokens:
            if not _INTEGER.fullmatch(token.value):
                given = printable(shown_name(token.value))
                raise UsageError(f"{token.keyword} takes a whole number, not {given}")


def _takes_integer(hint: Any) -> bool:
    return hint is int or any(map(_takes_integer, get_args(hint)))


def run(argv: Sequence[str]) -> int:
    """Run a command and return its exit code. Only the module of this command is loaded.

    Raises:
        ModuleNotFoundError: the command needs a package that is not installed.
    """
    # A stream that the caller closed is None.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  (open until exit)
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # Any file name must be printable on a terminal of any encoding.
            reconfigure(errors="backslashreplace")
    code: Any = None
    try:
        settings, argv = output.split_settings([_expanded(word) for word in argv])
        output.set_up(settings)
        # Help and errors that name all commands have another first word.
        app = make_app(argv[:1] if argv and argv[0] in COMMANDS else COMMANDS)
        code = app([STDIO if word == "-" else word for word in argv])
        sys.stdout.flush()
    except CycloptsError as error:
        output.error(_usage_text(error, argv))
        return USAGE
    except UsageError as error:
        output.error(_with_dash(str(error)))
        return USAGE
    except BrokenPipeError:
        _discard_stdout()
        return PIPE_CLOSED
    except OSError as error:
        # Commands report errors of files, so an error without a file name is that of stdout.
        _discard_stdout()
        what = error.filename or "standard output cannot be written"
        output.error(f"{what}: {(error.strerror or str(error)).lower()}")
        return USAGE
    except KeyboardInterrupt:
        _discard_stdout()
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  (a bug: report it in one line, without traceback)
        output.error(str(bug_of(error)))
        return USAGE
    return code if isinstance(code, int) else OK


def _expanded(word: str) -> str:
    """A word with the home directory for a leading ``~/``, which no shell expands within quotes.

    Without this, ``-o '~/out'`` would make a folder named ``~``. A file of that name counts first.
    """
    name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if (value != "~" and not value.startswith("~/")) or os.path.lexists(value):
        return word
    return f"{name}{equals}{os.path.expanduser(value)}"  # noqa: PTH111  (pathlib raises)


def _usage_text(error: CycloptsError, argv: Sequence[str]) -> str:
    what = _without_content(str(error), argv)
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        what = f"Unexpected argument: {printable(shown_name(error.unused_tokens[0]))}."
    command = " ".join(("rawmm", *(error.command_chain or ())))
    return _with_dash(f"{what} (see {command} --help)").replace("\n", " ")


def _without_content(text: str, argv: Sequence[str]) -> str:
    """The parser's message, with each argument shortened as in all messages."""
    words = {part for word in argv for part in (word, *word.split("=", 1))}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, shown_name(word)) if word else text
    return text


def _with_dash(text: str) -> str:
    """`text` with ``-`` in place of `STDIO`."""
    return text.replace(repr(STDIO), repr("-")).replace(STDIO, "-")


def _discard_stdout() -> None:
    """Redirect standard output to nowhere, so that the interpreter's last flush cannot fail."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
