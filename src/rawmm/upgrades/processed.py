"""``processed``: what an image processor wrote. There is no way back to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.values.payload import Mode, payload_errors

if TYPE_CHECKING:
    from rawmm.errors import RawMMError
    from rawmm.upgrades.step import Path

_CODES: Final = frozenset({"processed_payload", "array_payload"})
_ADVICE: Final = (
    "the wire form processed cannot be upgraded, as its images are gone: run the rollout again "
    "from the source images"
)


def refuse(item: dict[Any, Any], path: Path) -> None:
    """Refuse an item that holds what no descriptor of any form may hold.

    Raises:
        ProcessedPayloadError, ContractError: as a descriptor with it would.
    """
    for error in payload_errors(item, path, Mode.DESCRIPTOR, depth=0):
        raise advised(error)


def advised(error: RawMMError) -> RawMMError:
    """`error`; if it is about processed data, with what to do about that."""
    if error.code not in _CODES:
        return error
    return error.at(hint=_ADVICE)
