"""The form ``processed``: the output of an image processor. It cannot be upgraded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.values.payload import Mode, payload_errors

if TYPE_CHECKING:
    from rawmm.errors import RawMMError
    from rawmm.upgrades.form import Path

_CODES: Final = frozenset({"processed_payload", "array_payload"})
_ADVICE: Final = (
    "the wire form processed cannot be upgraded, as its images are gone: run the rollout again "
    "from the source images"
)


def refuse_processed(item: dict[Any, Any], path: Path) -> None:
    """Refuse an item that holds what no descriptor may hold.

    Raises:
        ProcessedPayloadError, ContractError: as for a descriptor with the same content.
    """
    for error in payload_errors(item, path, Mode.DESCRIPTOR, depth=0):
        raise with_advice(error)


def with_advice(error: RawMMError) -> RawMMError:
    """`error`, with a hint if it reports processed data."""
    return error.at(hint=_ADVICE) if error.code in _CODES else error
