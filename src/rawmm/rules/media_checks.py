"""What a caller of `validate` knows about a record's media beyond the record itself."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class SeparatesRows(Protocol):
    """What `validate` reads of a `Layout`."""

    row_separators: ClassVar[bool]


class MediaChecks(NamedTuple):
    """How to judge messages with media. The default is what a record alone shows."""

    image_token_ids: frozenset[int] = frozenset()
    """The image token ids of records whose token-type map names none."""
    require_sidecars: bool = False
    """Whether each message with media and tokens must have its items."""
    row_separators: bool = False
    """Whether other tokens separate the rows of an image. See `Layout.row_separators`."""


BY_ITSELF: Final = MediaChecks()
CHECKS: ContextVar[MediaChecks] = ContextVar("rawmm_media_checks", default=BY_ITSELF)
current_checks: Final = CHECKS.get


@contextmanager
def checking(checks: MediaChecks) -> Iterator[None]:
    """Judge media by `checks`, also in structs that are built meanwhile."""
    token = CHECKS.set(checks)
    try:
        yield
    finally:
        CHECKS.reset(token)
