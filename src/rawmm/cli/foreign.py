"""Names logs of other programs, and says how to get records from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.cli.documents import decode_plain
from rawmm.cli.record_types import TYPE_HINT
from rawmm.errors import RawMMError

if TYPE_CHECKING:
    from rawmm.cli.records import Format

_AS_LINES: Final = 'write its messages as {"messages": [...]}, one conversation a line'
_LOGS: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (frozenset({"eval", "samples"}), f"this is a log of inspect_ai; of each sample, {_AS_LINES}"),
    (frozenset({"input", "messages", "epoch"}), f"this is a sample of inspect_ai; {_AS_LINES}"),
    (frozenset({"conversations"}), f"this looks like ShareGPT; of each conversation, {_AS_LINES}"),
    (frozenset({"custom_id", "body"}), "this is a line of a batch; its body is the chat request"),
    (frozenset({"custom_id", "response"}), "this is an answer of a batch, which has no images"),
    (
        frozenset({"input_ids", "loss_mask"}),
        "this is a micro-batch, which is no type of the contract; check the traces before packing",
    ),
    (
        frozenset({"token_ids", "mask", "env_name"}),
        "this is a training sample, which is no type of the contract; check the trace it is from",
    ),
)
"""Keys of a document, and what to do with it."""


def type_hint(value: Any) -> str:
    """What to do about a record of unknown type."""
    keys = value.keys() if isinstance(value, dict) else ()
    return next((hint for marks, hint in _LOGS if marks <= set(keys)), TYPE_HINT)


def type_hint_of(data: bytes, form: Format) -> str:
    """The same, for the bytes of a record."""
    try:
        return type_hint(decode_plain(data, form))
    except RawMMError:
        return TYPE_HINT
