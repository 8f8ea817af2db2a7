"""Errors that stores raise: operating system errors, refused locators, missing images."""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from rawmm.errors import (
    MaterializeError,
    OffloadError,
    RawMMError,
    raise_alone,
    shown,
    shown_path,
    shown_text,
    type_name,
)
from rawmm.model.types import PATTERNS
from rawmm.real_class import is_a
from rawmm.store.files import reason_and_hint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.locators import Problem

ErrorClass: TypeAlias = type[OffloadError | MaterializeError]
"""`OffloadError` where an image is written, `MaterializeError` where it is read."""

STORE_FAILURES: Final = frozenset(
    {
        "store_failed",
        "store_denied",
        "store_missing",
        "store_throttled",
        "store_changed",
        "torn_read",
    }
)
"""Codes of errors after which nothing is known about an image: it may be there and good."""

_HASH: Final = re.compile(PATTERNS["ImageHash"])


def refused(problem: Problem, error_class: ErrorClass) -> OffloadError | MaterializeError:
    """Return the error for a locator that cannot name an image of a store."""
    return error_class(
        problem.code,
        expected=problem.expected,
        got=problem.got,
        hint="pass a file name in the image directory, or a file:// URL inside it",
    )


def missing_image(
    root: object, name: str, error_class: ErrorClass = OffloadError, path: str = "$"
) -> OffloadError | MaterializeError:
    """Return the error for an image that does not exist."""
    return error_class(
        "missing_image",
        path,
        expected=f"an image in {shown_path(root)}",
        got=f"no file named {shown_text(name)}",
        hint="offload the image again, or copy it into the image directory",
    )


def failed(
    error: OSError, what: str, error_class: ErrorClass = OffloadError, path: str = "$"
) -> OffloadError | MaterializeError:
    """Return the error for an operation that the operating system refused."""
    reason, hint = reason_and_hint(error)
    code = "path_escape" if error.errno == errno.ELOOP else "store_failed"
    return error_class(code, path, expected=what, got=reason, hint=hint)


class FailedRequestError(Exception):
    """A request that an object store did not answer. Quotes nothing of the store or its client.

    Attributes:
        code, got, hint: as in `RawMMError`.
    """

    def __init__(self, code: str, got: str, hint: str) -> None:
        super().__init__(code, got, hint)
        self.code = code
        self.got = got
        self.hint = hint


@contextmanager
def requesting(what: str, error_class: ErrorClass = OffloadError) -> Iterator[None]:
    """Translate the failures of requests to an object store.

    Raises:
        RawMMError: an error with one of `STORE_FAILURES`.
    """
    try:
        yield
    except FailedRequestError as error:
        raise_alone(error_class(error.code, expected=what, got=error.got, hint=error.hint))


@contextmanager
def calling(method: str, what: str, error_class: ErrorClass = OffloadError) -> Iterator[None]:
    """Call the code of a store, whose client may raise anything.

    The text of its exception is left out because it may quote an image.

    Raises:
        RawMMError: those of the store; ``store_failed`` for any other exception.
    """
    try:
        yield
    except RawMMError:
        raise
    except Exception as error:  # noqa: BLE001  (code of other libraries raises anything)
        raise_alone(
            error_class(
                "store_failed",
                expected=what,
                got=f"{type_name(type(error))} from its method {method}",
                hint=f"call {method} directly to see the whole error",
            )
        )


def check_hash(expected: object) -> None:
    """Check the format of an expected hash.

    Raises:
        MaterializeError: ``wrong_type`` or ``bad_format``.
    """
    if is_a(expected, str) and _HASH.match(expected):
        return
    raise MaterializeError(
        "bad_format" if is_a(expected, str) else "wrong_type",
        expected="a hash of 16 to 128 lowercase hex digits",
        got=shown(expected),
        hint="pass the mm_hash of the item",
    )


def stated_hash(name: str) -> str | None:
    """Return the hash that a file name states in its stem, or None. Hidden names state none."""
    stem = name.partition(".")[0]
    return stem if _HASH.match(stem) else None
