"""Limits of a payload: the number of its values and the size of its text."""

from __future__ import annotations

import json
from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm import (
    AssistantMessage,
    ContractError,
    MMImageItem,
    RawMMItem,
    RawMMRef,
    Trace,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
    raw_mm_item,
    validate,
)
from rawmm.model.types import MAX_FREE_VALUES, MAX_TEXT, MAX_VALUES
from rawmm.values.payload import Mode, _Walk, is_clean, payload_errors
from rawmm.values.plain import contains_struct
from tests.builders import FINGERPRINT, item_document
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HASH = "a07e50973f7c13761a4022033440544e"

# The payload and the list in it count as values.
MOST: dict[str, Any] = {"a": [0] * (MAX_VALUES - 2)}
MORE: dict[str, Any] = {"a": [0] * (MAX_VALUES - 1)}
LONGEST: dict[str, Any] = {"a": "x" * (MAX_TEXT - 1)}
LONGER: dict[str, Any] = {"a": "x" * MAX_TEXT}

WITHIN = {
    "values": MOST,
    "text": LONGEST,
    "text of two bytes": {"ab": "ä" * (MAX_TEXT // 2 - 1)},
    "values in many lists": {"a": [[0] * 126] * 128},
    "keys": {"x" * (MAX_TEXT - 2): "yz"},
    "both": {"a": [0] * (MAX_VALUES - 3), "b": "x" * (MAX_TEXT - 2)},
}
OVER = {
    "values": MORE,
    "text": LONGER,
    "text of two bytes": {"abc": "ä" * (MAX_TEXT // 2 - 1)},
    "values in many lists": {"a": [[0] * 126] * 129},
    "keys": {"x" * (MAX_TEXT - 1): "yz"},
    "5 MB of text": {"a": "x" * 5_000_000},
    "600,000 numbers": {"a": list(range(600_000))},
    "600,000 floats below": {"vision": {"a": [[0.5] * 600_000]}},
    "many keys": {f"k{number}": None for number in range(MAX_VALUES)},
    "many short texts": {"a": ["x" * 32] * 10_000},
}


def document(payload: Any) -> dict[str, Any]:
    return item_document(payload=payload)


def assigned(payload: Any) -> bytes:
    item = RawMMItem(**document({}))
    item.payload = payload
    return encode_json(item)


ENTRY_POINTS: dict[str, Callable[[Any], Any]] = {
    "construct": lambda payload: RawMMItem(**document(payload)),
    "convert": lambda payload: convert(document(payload), RawMMItem),
    "validate": lambda payload: validate(document(payload)),
    "decode_json": lambda payload: decode_json(json.dumps(document(payload)), RawMMItem),
    "decode_msgpack": lambda payload: decode_msgpack(
        msgspec.msgpack.encode(document(payload)), RawMMItem
    ),
    "encode_json": assigned,
    "raw_mm_item": lambda payload: raw_mm_item(
        modality="image", family="qwen_vl", layout_fingerprint=FINGERPRINT, payload=payload
    ),
    "MMImageItem": lambda payload: MMImageItem(**document(payload)),
    "RawMMRef": lambda payload: RawMMRef(
        family="qwen_vl", fingerprint=FINGERPRINT, modality="image", mm_hash=HASH, payload=payload
    ),
}


@each("entry", ENTRY_POINTS)
@each("payload", WITHIN.values(), ids=WITHIN)
def test_payload_within_the_limits_is_accepted(entry: str, payload: Any) -> None:
    ENTRY_POINTS[entry](payload)


@each("entry", ENTRY_POINTS)
@each("payload", OVER.values(), ids=OVER)
def test_payload_over_a_limit_is_too_large(entry: str, payload: Any) -> None:
    with pytest.raises(ContractError) as caught:
        ENTRY_POINTS[entry](payload)
    assert (caught.value.code, caught.value.path) == ("too_large", "$.payload")
    assert "raw image" in (caught.value.hint or "")
    assert len(str(caught.value)) < 400


class CountingWalk(_Walk):
    """The walk with paths, counting the values that it visits."""

    seen = 0

    def errors(self, *args: Any) -> Iterator[Any]:
        self.seen += 1
        yield from super().errors(*args)


@pytest.mark.parametrize(
    "value",
    [(0,) * 1_000_000, OrderedDict.fromkeys(map(str, range(100_000))), ("x" * 64,) * 100_000],
    ids=["tuple", "mapping", "text"],
)
def test_walk_stops_at_the_limit(value: Any) -> None:
    """A larger payload takes no more work than the largest valid one."""
    walk = CountingWalk(Mode.DESCRIPTOR, owner=False)
    (error,) = walk.errors({"a": value}, ("payload",), 1, ())
    assert (error.code, error.path) == ("too_large", "$.payload")
    assert walk.seen <= MAX_VALUES + 1


@pytest.mark.parametrize("convert_to", [tuple, MappingProxyType], ids=["tuple", "mapping"])
@pytest.mark.parametrize(
    ("payload", "code"), [(MOST, None), (MORE, "too_large"), (LONGEST, None), (LONGER, "too_large")]
)
def test_both_passes_have_the_same_limits(payload: Any, code: str | None, convert_to: Any) -> None:
    """The fast pass reads dicts and lists; the walk reads other containers, too."""
    slow = MappingProxyType(payload) if convert_to is not tuple else payload
    if convert_to is tuple and isinstance(payload["a"], list):
        slow = {"a": tuple(payload["a"])}
    assert is_clean(payload, Mode.DESCRIPTOR) == (code is None)
    for value in (payload, slow):
        found = [error.code for error in payload_errors(value, (), Mode.DESCRIPTOR)]
        assert found == ([] if code is None else [code])


def test_offender_before_the_limit_is_reported_first() -> None:
    payload = {"a": {"pixel_values": [0.5] * 600_000}}
    found = [error.code for error in iter_errors(document(payload), RawMMItem)]
    assert found == ["processed_payload"]


def test_each_payload_has_its_own_limits() -> None:
    """Other fields of the item, and other items, do not count."""
    url = "data:image/png;base64," + "A" * 1_000_000
    item = {**document(MOST), "raw_image_uri": url}
    assert convert([item, item], list[RawMMItem])
    wrong = {**item, "version": 2}
    assert [error.code for error in iter_errors(wrong, RawMMItem)] == ["unsupported_version"]
    wrong = {**item, "payload": MORE, "family": "!"}
    assert [error.code for error in iter_errors(wrong, RawMMItem)] == ["too_large"]


def test_free_json_has_its_own_limit() -> None:
    state = [{"a": MORE["a"], "b": LONGER["a"]}]
    message = AssistantMessage(content="x", provider_state=state)
    assert decode_msgpack(encode_msgpack(message), AssistantMessage) == message
    trace = Trace(nodes=[], info=state)
    assert decode_json(encode_json(trace), Trace) == trace


@pytest.mark.parametrize("mode", [Mode.JSON, Mode.WIRE])
def test_free_json_over_its_limit_is_refused(mode: Mode) -> None:
    shared = [0] * 999
    wide = [shared] * (MAX_FREE_VALUES // 1000)
    assert is_clean(wide[:-1], mode)
    (error,) = payload_errors([*wide, shared], ("info",), mode)
    assert (error.code, error.path) == ("too_large", "$.info")


def test_structs_are_found_in_many_containers() -> None:
    """The limits of payloads do not apply to documents."""
    item = RawMMItem(**document({}))
    assert contains_struct([item, *([[]] for _ in range(2 * MAX_VALUES))])
