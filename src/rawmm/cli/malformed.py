"""Locates the fault in a malformed JSON record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.cli.records import is_json_lines
from rawmm.errors import ContractError
from rawmm.values.json_fault import JsonFault, find_fault

if TYPE_CHECKING:
    from rawmm.cli.records import Format
    from rawmm.errors import RawMMError

JSON_LINES_HINT = "if it is JSON Lines, give --input-format jsonl"


class MalformedJsonError(ContractError):
    """A record that is not one JSON document.

    Attributes:
        fault: its first fault. Lines are counted from the first line of the record.
    """

    def __init__(
        self, fault: JsonFault, path: str = "$", *, expected: str, hint: str | None
    ) -> None:
        super().__init__("malformed", path, expected=expected, got=fault.cause, hint=hint)
        self.fault = fault

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the fault when a worker process sends the error."""
        return _rebuild, (self.fault, self.path, self.expected, self.hint)


def _rebuild(fault: JsonFault, path: str, expected: str, hint: str | None) -> MalformedJsonError:
    return MalformedJsonError(fault, path, expected=expected, hint=hint)


def with_fault(error: RawMMError, data: bytes, form: Format) -> RawMMError:
    """`error`; if it reports malformed JSON, with the location, cause and hint of the fault."""
    if error.code != "malformed" or form == "msgpack":
        return error
    fault = find_fault(data)
    if fault is None:
        return error
    hint = JSON_LINES_HINT if form == "json" and is_json_lines(data) else fault.hint
    return MalformedJsonError(fault, error.path, expected=error.expected, hint=hint)
