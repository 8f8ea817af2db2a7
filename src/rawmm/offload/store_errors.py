"""The errors of a store: what the operating system said, and locators that it refuses."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeAlias

from rawmm.errors import MaterializeError, OffloadError
from rawmm.offload.image_file import reason_and_hint

if TYPE_CHECKING:
    from rawmm.locators import Problem

ErrorClass: TypeAlias = type[OffloadError | MaterializeError]
"""Whether an image is to be stored or to be read back."""


def refused(problem: Problem, error_class: ErrorClass) -> OffloadError | MaterializeError:
    """The error of a locator that names no image of a store."""
    return error_class(
        problem.code,
        expected=problem.expected,
        got=problem.got,
        hint="pass a file name in the image directory, or a file:// URL inside it",
    )


def failed(
    error: OSError, what: str, error_class: ErrorClass = OffloadError, path: str = "$"
) -> OffloadError | MaterializeError:
    """What an error of the operating system kept a store from doing."""
    reason, hint = reason_and_hint(error)
    code = "path_escape" if error.errno == errno.ELOOP else "store_failed"
    return error_class(code, path, expected=what, got=reason, hint=hint)
