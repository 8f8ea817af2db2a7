"""Rules take time and memory proportional to their input.

CPU time is measured over three sizes. From the first to the last it may grow three times as much
as the input does; quadratic work grows with its square.
"""

from __future__ import annotations

import gc
import struct
import time
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from rawmm import (
    EncodedArray,
    GenerateFeatures,
    MessageNode,
    MultiModalData,
    PackedTokenIds,
    RawMMError,
    Trace,
    decode_json,
    decode_msgpack,
    generate_features,
    iter_errors,
    raw_mm_ref,
)
from tests.builders import encoded_array, item_document

if TYPE_CHECKING:
    from collections.abc import Callable

GROWTH: Final = 16
"""From the first size to the last."""
MARGIN: Final = 3
MIB: Final = 1 << 20
TOKEN: Final = 5
A, B = "a1" * 32, "b2" * 32


def ids(values: list[int]) -> dict[str, Any]:
    return encoded_array("int32", [len(values)], struct.pack(f"<{len(values)}i", *values))


def rollout(size: int, **node: Any) -> dict[str, Any]:
    """`size` images, a token each, behind two tokens in whose bytes it stands at an odd place."""
    url = {"type": "image_url", "image_url": {"url": f"file:///images/{A}.png"}}
    return {
        "nodes": [
            {
                "message": {"role": "user", "content": [url] * size},
                "token_ids": ids([TOKEN << 8, 256, TOKEN] * size),
                "mask": encoded_array("bool", [3 * size], bytes(3 * size)),
                "multi_modal_data": {
                    "mm_hashes": {"image": [A] * size},
                    "mm_placeholders": {
                        "image": [{"offset": 3 * at + 2, "length": 1} for at in range(size)]
                    },
                    "mm_items": {"image": [item_document(payload={})] * size},
                },
                **node,
            }
        ],
        "mm_token_type_id_map": {str(TOKEN): 1},
    }


def look_alikes(size: int) -> Callable[[], Any]:
    encoded = msgspec.msgpack.encode(rollout(size))
    return lambda: decode_msgpack(encoded, Trace)


def several_ids(size: int) -> Callable[[], Any]:
    document = rollout(size)
    document["mm_token_type_id_map"] = {str(TOKEN + 1000 * at): 1 for at in range(size)}
    encoded = msgspec.msgpack.encode(document)
    return lambda: decode_msgpack(encoded, Trace)


def listed(document: Any, kind: Any, count: int) -> Callable[[], Any]:
    def act() -> None:
        assert sum(1 for _ in iter_errors(document, kind)) == count

    return act


def mismatched(size: int) -> Callable[[], Any]:
    url = {"type": "image_url", "image_url": {"url": f"file:///images/{B}.png"}}
    document = rollout(size, message={"role": "user", "content": [url] * size})
    return listed(document, Trace, size)


def overlapping(size: int) -> Callable[[], Any]:
    document = rollout(size)
    ranges = [{"offset": 0, "length": 3 * size}] * size
    document["nodes"][0]["multi_modal_data"]["mm_placeholders"]["image"] = ranges
    return listed(document, Trace, 2 * size - 1)


def outside(size: int) -> Callable[[], Any]:
    document = rollout(size)
    ranges = [{"offset": 2**52 + at, "length": 2**51} for at in range(size)]
    document["nodes"][0]["multi_modal_data"]["mm_placeholders"]["image"] = ranges
    return listed(document, Trace, 3 * size)


def dimensions(length: int) -> Callable[[int], Callable[[], Any]]:
    def make(size: int) -> Callable[[], Any]:
        encoded = msgspec.msgpack.encode(encoded_array("uint8", [length] * size, b"a"))
        return lambda: decode_msgpack(encoded, EncodedArray)

    return make


def slots(size: int) -> Callable[[], Any]:
    ref = raw_mm_ref(
        family="f", fingerprint=A[:32], modality="image", mm_hash=A, raw_image_id="a.png"
    )
    document = {
        "mm_hashes": {"image": [A] * size},
        "mm_placeholders": {"image": [{"offset": at, "length": 1} for at in range(size)]},
        "kwargs_data": {"image": [ref] * size},
    }
    encoded = msgspec.msgpack.encode(document)
    return lambda: decode_msgpack(encoded, GenerateFeatures)


def cached_list(size: int) -> Callable[[], Any]:
    hashes = [f"{at:032x}" for at in range(size)]
    sidecar = msgspec.convert(
        {
            "mm_hashes": {"image": hashes},
            "mm_placeholders": {"image": [{"offset": at, "length": 1} for at in range(size)]},
            "mm_items": rollout(size)["nodes"][0]["multi_modal_data"]["mm_items"],
        },
        MultiModalData,
    )
    cached = [(one, None) for one in hashes]
    return lambda: generate_features(sidecar, cached=cached)


def places(size: int) -> Callable[[], Any]:
    """Every position of a token in order, and whether the token is there."""
    stream = PackedTokenIds.pack([TOKEN << 8, 256, TOKEN] * size)

    def act() -> None:
        at = -1
        for _ in range(size):
            at = stream.index(TOKEN, at + 1)
            assert stream.count(TOKEN, at, at + 1) == 1

    return act


CASES: Final[dict[str, tuple[Callable[[int], Callable[[], Any]], int]]] = {
    "tokens that look like an image's": (look_alikes, 200),
    "a token type for every token": (several_ids, 100),
    "mismatched images": (mismatched, 500),
    "ranges over all tokens": (overlapping, 200),
    "ranges beyond the tokens": (outside, 200),
    "dimensions of one": (dimensions(1), 5000),
    "large dimensions": (dimensions(2**53 - 1), 5000),
    "references": (slots, 200),
    "a list of cached hashes": (cached_list, 500),
    "places in a stream": (places, 1000),
}


def seconds(act: Callable[[], Any]) -> float:
    """CPU seconds of a call that gives a value or a `RawMMError`; short ones are called thrice."""
    taken: list[float] = []
    while not taken or (len(taken) < 3 and sum(taken) < 0.2):
        gc.collect()
        begin = time.process_time()
        with suppress(RawMMError):
            act()
        taken.append(time.process_time() - begin)
    return min(taken)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_rules_take_linear_time(name: str, counted: Callable[..., None]) -> None:
    make, size = CASES[name]
    taken = [seconds(make(factor * size)) for factor in (1, 4, GROWTH)]
    # What takes less than this is lost in the noise of the clock.
    floor = 0.002
    assert taken[2] < MARGIN * GROWTH * max(taken[0], floor), taken
    counted(sizes=len(taken))


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_refused_array_is_not_unpacked(form: str, counted: Callable[..., None]) -> None:
    size = 4 * MIB
    stream = encoded_array("int32", [size // 4], b"\xfe" * size)
    document = {"message": {"role": "user", "content": "x"}, "token_ids": stream}
    encoded: bytes = getattr(msgspec, form).encode(document)
    decode: Any = decode_json if form == "json" else decode_msgpack
    tracemalloc.start()
    with pytest.raises(RawMMError) as caught:
        decode(encoded, MessageNode)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.path == "$.token_ids.data[0]"
    # Texts, bytes and copies; a list of the elements alone takes 36 bytes for each of the four.
    assert peak < 6 * len(encoded)
    counted(peak=f"{peak / MIB:.0f} MiB", arrays=1)
