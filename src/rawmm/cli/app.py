"""The application: the list of commands, and the exit code for every way a command can end."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from cyclopts import App, CoercionError, CycloptsError, UnknownCommandError, UnusedCliTokensError
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
_OTHER_FILES: Final = frozenset({"--config", "--manifest", "--column"})
"""Options with the name of a file or a column, which standard input has not."""
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
        config=_check_words,
    )
    app.register_install_completion_command(
        help="Write completions for this shell, and load them when it starts.", help_flags=[]
    )
    for name in names:
        module = import_module(f"rawmm.cli.commands.{name}")
        app.command(getattr(module, name), usage=f"Usage: rawmm {name} {COMMANDS[name]}")
    return app


def _check_words(_app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse what the parser would round, and ``-`` or nothing for the name of a file.

    Raises:
        UsageError: there is such a word.
    """
    for argument in arguments:
        is_integer = _takes_integer(argument.hint)
        for token in argument.tokens:
            name = token.keyword or argument.name
            if token.value == STDIO and not _takes_stream(commands[-1:], token.keyword):
                raise UsageError(f"{name} takes no standard input or output, which - is")
            if not token.value and token.keyword in _OTHER_FILES:
                raise UsageError(f"the name after {name} is empty; is a variable unset?")
            if is_integer and not _INTEGER.fullmatch(token.value):
                given = printable(shown_name(_with_dash(token.value)))
                raise UsageError(f"{name} takes a whole number, not {given}")


def _takes_stream(command: tuple[str, ...], option: str | None) -> bool:
    """Whether ``-`` is a value of an option, or of the arguments of a command (None).

    Image directories and types say themselves why they are not ``-``.
    """
    if option is None:
        return command not in {("compat",), ("explain",)}
    return option not in _OTHER_FILES and not (
        command == ("bundle",) and option in {"--output", "-o"}
    )


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
    word = (error.unused_tokens or [""])[0]
    if isinstance(error, UnusedCliTokensError) and word:
        what = f"Unexpected argument: {printable(shown_name(word))}."
    elif isinstance(error, UnknownCommandError) and word.startswith("-"):
        given = printable(shown_name(word.partition("=")[0]))
        what = f"Unknown option {given}. The command comes first."
    elif isinstance(error, CoercionError) and error.target_type is timedelta and error.token:
        what = f"{error.token.keyword} takes a time such as 0s, 90m, 12h or 2w."
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
