"""Packed token streams against lists of the same rollout."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

import rawmm
from benchmarks import data, floor, reference
from benchmarks.harness import at_least, race

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness import Row, Settings


def run(settings: Settings) -> Iterator[Row]:
    """Decode and encode with packed streams, against the reference with lists."""
    document = data.trace(settings.pick(20, 2))
    lists = msgspec.msgpack.encode(document)
    trace = rawmm.decode_msgpack(lists, rawmm.Trace)
    packed = rawmm.encode_msgpack(trace, packed=True)
    unpacked = rawmm.decode_msgpack(packed, rawmm.Trace)
    model = reference.decode_msgpack(lists)
    bare = msgspec.msgpack.Decoder(floor.bare(rawmm.Trace))
    timed = race(
        {
            "packed": partial(rawmm.decode_msgpack, packed, rawmm.Trace),
            "bare": partial(bare.decode, packed),
            "lists": partial(rawmm.decode_msgpack, lists, rawmm.Trace),
            "reference": partial(reference.decode_msgpack, lists),
            "encode packed": partial(rawmm.encode_msgpack, unpacked, packed=True),
            "encode reference": partial(reference.encode_msgpack, model),
        },
        settings,
    )
    yield timed.row(
        "packed", "decode, MessagePack: times as fast as the reference on lists",
        "reference", "packed", at_least(30),
    )  # fmt: skip
    yield timed.row(
        "packed", "decode, MessagePack: times as fast as rawmm on lists", "lists", "packed"
    )
    yield timed.row(
        "packed", "encode, MessagePack: times as fast as the reference on lists",
        "encode reference", "encode packed",
    )  # fmt: skip
