"""The errors of a store: what the operating system said, and arguments that it refuses."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from rawmm.errors import MaterializeError, OffloadError, contract_error, shown
from rawmm.offload.image_file import reason_and_hint
from rawmm.real_class import is_a
from rawmm.structs import PATTERNS

if TYPE_CHECKING:
    from rawmm.locators import Problem

ErrorClass: TypeAlias = type[OffloadError | MaterializeError]
"""Whether an image is to be stored or to be read back."""

_HASH: Final = re.compile(PATTERNS["ImageHash"])


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


def check_one_place(image_dir: object, store: object) -> None:
    """Check that a caller has not named two places for images.

    Raises:
        ContractError: ``bad_value``.
    """
    if image_dir is not None and store is not None:
        raise contract_error(
            "bad_value",
            ("image_dir",),
            expected="store or image_dir",
            got="both",
            hint="leave out one of them: a store has a directory of its own",
        )


def check_hash(expected: object) -> None:
    """Check the form of a hash that a file shall have.

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
    """The hash that a file name states: its stem, if that is one. Hidden names have none."""
    stem = name.partition(".")[0]
    return stem if _HASH.match(stem) else None
