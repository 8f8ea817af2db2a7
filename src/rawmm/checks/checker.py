"""Checks one record, given as plain data: every error, and what was not checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from rawmm.checks.chat_requests import request_errors
from rawmm.checks.images import ImageChecker, NotChecked, ambiguous_items, foreign_layouts
from rawmm.checks.kinds import CHAT_REQUEST, detect_type
from rawmm.errors import RawMMError
from rawmm.model.types import SCHEMA_VERSION
from rawmm.rules import BY_ITSELF, MediaChecks
from rawmm.validation import checking, iter_errors_by
from rawmm.versions import DeprecatedField, deprecated_fields, version_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rawmm.store import Store

Note: TypeAlias = NotChecked | DeprecatedField
"""What a check says of a record beside its errors."""


class RecordChecker:
    """Checks records.

    Args:
        kind: the type of every record, or None to detect it.
        store: where stored images must be; None checks no files.
        require_images: whether an image that cannot be checked is an error.
        checks: how to judge messages with media.
        refuse_ambiguous: whether an item whose image is ambiguous is an error.
        layouts: the layouts that items may have, as in `foreign_layouts`; None allows all.
        version: the version of the contract that judges.
    """

    def __init__(
        self,
        kind: Any,
        store: Store | None,
        *,
        require_images: bool = False,
        checks: MediaChecks = BY_ITSELF,
        refuse_ambiguous: bool = False,
        layouts: Mapping[str, frozenset[str] | None] | None = None,
        version: str = SCHEMA_VERSION,
    ) -> None:
        self._kind = kind
        self._checks = checks
        self._images = ImageChecker(store, required=require_images)
        self._refuse_ambiguous = refuse_ambiguous
        self._layouts = layouts
        self._version = version

    def findings(
        self, plain: Any, structs: Callable[[Any, Any], Any]
    ) -> Iterator[RawMMError | Note]:
        """Every error of one record, its deprecated fields, the number of unchecked images.

        Args:
            plain: the record as dicts and lists.
            structs: called with `plain` and its type; returns it as structs, or raises a
                `RawMMError`.

        Raises:
            ContractError: ``unknown_type``.
        """
        kind = detect_type(plain) if self._kind is None else self._kind
        if kind == CHAT_REQUEST:
            yield from request_errors(plain)
            yield from self._images.findings(plain, is_request=True)
            return
        if self._version != SCHEMA_VERSION:
            refused = False
            for error in version_errors(plain, kind, self._version, self._checks):
                refused = True
                yield error
            if refused:
                return
        try:
            with checking(self._checks):
                value = structs(plain, kind)
        except RawMMError as refusal:
            if self._version == SCHEMA_VERSION:
                yield from _all_errors(plain, kind, refusal, self._checks)
            return  # an earlier version accepts it; images of such a record are not found
        yield from self.notes(value)

    def notes(self, value: Any) -> Iterator[RawMMError | Note]:
        """What there is to say about a record that is valid: its images and deprecated fields."""
        yield from deprecated_fields(value)
        yield from self._images.findings(value, is_request=False)
        if self._refuse_ambiguous:
            yield from ambiguous_items(value)
        if self._layouts is not None:
            yield from foreign_layouts(value, self._layouts)


def _all_errors(
    value: Any, kind: Any, refusal: RawMMError, checks: MediaChecks
) -> Iterator[RawMMError]:
    """Every error of a record that the decoder refused; at least the decoder's."""
    found = False
    for error in iter_errors_by(checks, value, kind):
        found = True
        yield error
    if not found:
        yield refusal
