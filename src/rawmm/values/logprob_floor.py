"""Replaces -inf in log-probabilities by a floor, for readers that request it.

JSON does not have -inf, and a loss of it is infinite, so the contract refuses it. For impossible
tokens, vLLM writes a large negative number, but SGLang writes -inf. A warning names each stream
that is changed.
"""

from __future__ import annotations

import struct
import sys
import warnings
from binascii import b2a_base64
from math import inf
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import NonFiniteLogprobWarning, contract_error, counted, json_path, shown
from rawmm.model.packed import elements_of
from rawmm.model.types import MessageNode, PackedFloats, TopLogprobs
from rawmm.real_class import is_a
from rawmm.values.fields import Slot, field_slots, slot_of
from rawmm.values.processed import ND

if TYPE_CHECKING:
    from rawmm.errors import Path

LOGPROBS: Final = ("logprobs", "reference_logprobs", "trainer_logprobs")
"""The streams of a node with log-probabilities. `TopLogprobs` has others."""


_LEAST: Final = -(2 - 2**-23) * 2.0**127
"""The least number that a float32 holds."""


def checked_floor(floor: object) -> float:
    """A valid floor, as a float.

    Raises:
        ContractError: ``bad_value`` if it is not a finite negative number.
    """
    if is_a(floor, bool) or not is_a(floor, (int, float)) or not -sys.float_info.max <= floor < 0:
        raise contract_error(
            "bad_value", (), expected="a finite negative number as logprob_floor", got=shown(floor)
        )
    return float(floor)


def floored_document(document: Any, kind: Any, floor: float) -> Any:
    """A plain document of type `kind` with -inf in log-probabilities replaced by `floor`.

    Changed parts are copies; the rest is shared. A `NonFiniteLogprobWarning` names each changed
    stream.
    """
    return _floored(document, slot_of(kind), (), floor)


def floored_stream(values: list[Any], floor: float, path: Path) -> list[Any]:
    """`values` with -inf replaced by `floor`, with a warning; `values` itself if it has none."""
    found = values.count(-inf)
    if not found:
        return values
    message = (
        f"{json_path(path)}: {counted(found, 'log-probability', 'log-probabilities')} of "
        f"{len(values)} were -inf and are read as {floor}"
    )
    warnings.warn(message, NonFiniteLogprobWarning, stacklevel=2)
    return [floor if value == -inf else value for value in values]


def _floored(value: Any, slot: Slot, path: Path, floor: float) -> Any:
    if is_a(value, dict):
        slots = {name: own for kind in slot.structs for name, own in field_slots(kind).items()}
        node = any(issubclass(kind, MessageNode) for kind in slot.structs)
        names = LOGPROBS if node else ("logprobs",) if TopLogprobs in slot.structs else ()
        changed = {
            key: _floored_stream(child, floor, (*path, key), widen=node)
            if key in names
            else _floored(child, slots.get(key) or slot_of(slot.values), (*path, key), floor)
            for key, child in value.items()
        }
        return changed if any(changed[key] is not value[key] for key in value) else value
    if is_a(value, (list, tuple)) and slot.items is not None and not slot.stream:
        below = slot_of(slot.items)
        if not (below.structs or below.items or below.values):
            return value
        items = [_floored(one, below, (*path, i), floor) for i, one in enumerate(value)]
        same = all(one is other for one, other in zip(items, value, strict=True))
        return value if same else items
    return value


def _elements_in(data: Any) -> bytes | None:
    """The bytes of a packed stream, which are base64 in JSON; None for other data."""
    if type(data) is not str:
        return data if type(data) is bytes else None
    from base64 import b64decode  # slow to import

    try:
        return b64decode(data, validate=True)
    except ValueError:
        return None


def _floored_stream(value: Any, floor: float, path: Path, *, widen: bool) -> Any:
    """`value` with -inf replaced. `widen` says whether its elements may become float64."""
    if is_a(value, dict) and value.get(ND) is True:
        dtype, data = value.get("dtype"), value.get("data")
        size = {"float32": 4, "float64": 8}.get(str(dtype))
        elements = _elements_in(data)
        if elements is None or size is None or len(elements) % size:
            return value
        values = elements_of(str(dtype), elements).tolist()
        replaced = floored_stream(values, floor if widen else max(floor, _LEAST), path)
        if replaced is values:
            return value
        if widen:
            packed = PackedFloats.pack(replaced)
            dtype, elements = packed.dtype, packed.data
        else:
            elements = struct.pack(f"<{len(replaced)}{'f' if size == 4 else 'd'}", *replaced)
        written = elements if type(data) is bytes else b2a_base64(elements, newline=False).decode()
        return {**value, "dtype": dtype, "data": written}
    return floored_stream(value, floor, path) if type(value) is list else value
