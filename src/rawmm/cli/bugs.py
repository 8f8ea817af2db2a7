"""Reports unexpected exceptions as bugs of rawmm, apart from errors in the data."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.cli.output import UsageError
from rawmm.errors import RawMMError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE: Final = Path(__file__).resolve().parents[1]


class Bug(NamedTuple):
    """An unexpected exception, without its text, which may quote the data."""

    name: str
    where: str

    def __str__(self) -> str:
        """``internal error: KeyError at rawmm/refs.py:17; ...``."""
        return (
            f"internal error: {self.name} at {self.where}; "
            "this is a bug in rawmm, not an error in the data; please report it"
        )


class InternalError(Exception):
    """A bug that stopped reading or writing a file."""

    def __init__(self, bug: Bug) -> None:
        super().__init__(str(bug))
        self.bug = bug


def bug_of(error: BaseException) -> Bug:
    """The class of an unexpected exception, and the innermost place in rawmm that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    frame = (own or frames)[-1]
    path = Path(frame.filename)
    name = path.relative_to(_PACKAGE.parent) if own else path.name
    return Bug(type(error).__name__, f"{name}:{frame.lineno}")


@contextmanager
def report_bugs() -> Iterator[None]:
    """Raise an `InternalError` in place of an unexpected exception."""
    bug = None
    try:
        yield
    except (RawMMError, UsageError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  (any other exception is a bug)
        bug = bug_of(error)
    if bug is not None:
        raise InternalError(bug)
