"""What a check of an image directory finds, and what it has looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from rawmm.errors import RawMMError

Kind: TypeAlias = Literal["missing", "corrupt", "outside", "orphaned", "stale", "foreign"]

WRONG: Final[frozenset[Kind]] = frozenset({"missing", "corrupt"})
"""What costs a rollout its images. Of what is outside nothing is known; the rest costs space."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one file of an image directory.

    Attributes:
        kind: ``missing``, a record names it and it is not there; ``corrupt``, its bytes are not
            those of its name, or no image, or it is no regular file; ``outside``, a record names
            it, and it is not of this directory, so nothing looked for it; ``orphaned``, no record
            names it; ``stale``, a process left it behind when it died; ``foreign``, no store
            gives such names.
        file: where it is, or would be; for ``outside``, the directory.
        error: the same as an error, with its code.
        record: for a missing or outside file, the first record that names it, counted from 0;
            ``error.path`` is the place in it.
        repaired: whether this call set it right.
    """

    kind: Kind
    file: Path
    error: RawMMError
    record: int | None = None
    repaired: bool = False


@dataclass(slots=True)
class Looked:
    """What a check has looked at so far.

    Attributes:
        images: files of the directory.
        references: places of the records that refer to an image, in the directory or outside.
        outside: those of them whose images are not of the directory.
    """

    images: int = 0
    references: int = 0
    outside: int = 0
