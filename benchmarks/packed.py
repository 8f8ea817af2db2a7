"""Packed token streams compared with lists of the same rollout."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

import rawmm
from benchmarks import baseline, data, reference
from benchmarks.growth import growth
from benchmarks.harness import at_least, at_most, race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Row, Settings


def run(settings: Settings) -> Iterator[Row]:
    """Decode and encode packed streams, compared with the reference on lists."""
    turns, tokens = settings.pick((20, 1200), (2, 1200))
    lists, packed = _wire(turns, tokens)
    unpacked = rawmm.decode_msgpack(packed, rawmm.Trace)
    bare = msgspec.msgpack.Decoder(baseline.bare(rawmm.Trace))
    timed = race(
        {
            "packed": partial(rawmm.decode_msgpack, packed, rawmm.Trace),
            "bare, packed": partial(bare.decode, packed),
            "lists": partial(rawmm.decode_msgpack, lists, rawmm.Trace),
            "lists, packed": partial(rawmm.decode_msgpack, lists, rawmm.Trace, packed=True),
            "bare, lists": partial(bare.decode, lists),
            "reference": partial(reference.decode_msgpack, lists),
            "encode packed": partial(rawmm.encode_msgpack, unpacked, packed=True),
            "encode reference": partial(reference.encode_msgpack, reference.decode_msgpack(lists)),
        },
        settings,
    )
    what = "decode: times as fast as the reference on lists"
    yield timed.row("packed", what, "reference", "packed", at_least(20))
    what = "decode: the same of bare typed msgspec on the packed form, the baseline"
    yield timed.row("packed", what, "reference", "bare, packed")
    yield timed.row("packed", "decode: times as fast as rawmm on lists", "lists", "packed")
    what = "encode: times as fast as the reference on lists"
    yield timed.row("packed", what, "encode reference", "encode packed", at_least(40))
    what = "lists on the wire, packed in memory: rawmm's time over bare typed msgspec's"
    yield timed.row("packed", what, "lists, packed", "bare, lists", at_most(0.6))
    lists, packed = _wire(turns, 10 * tokens)
    timed = race(
        {
            "packed": partial(rawmm.decode_msgpack, packed, rawmm.Trace),
            "reference": partial(reference.decode_msgpack, lists),
        },
        settings,
    )
    what = "decode, 12,000 tokens a turn: times as fast as the reference on lists"
    yield timed.row("packed", what, "reference", "packed", at_least(60))
    sizes = settings.pick((5, 20, 80), (1, 2, 4))
    yield growth("packed", "decode: time over turns", sizes, _decoding, settings, at_most(1.1))


def _wire(turns: int, tokens: int) -> tuple[bytes, bytes]:
    """A rollout as MessagePack, with lists and packed."""
    lists = msgspec.msgpack.encode(data.trace(turns, tokens))
    return lists, rawmm.encode_msgpack(rawmm.decode_msgpack(lists, rawmm.Trace), packed=True)


def _decoding(turns: int) -> Callable[[], object]:
    return partial(rawmm.decode_msgpack, _wire(turns, 1200)[1], rawmm.Trace)
