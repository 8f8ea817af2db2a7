"""Decoding and encoding a rollout of 20 turns, with everything checked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

import rawmm
from benchmarks import data, floor, reference
from benchmarks.harness import at_least, at_most, growth, race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Row, Settings

NAMES = {"json": "JSON", "msgpack": "MessagePack"}


def run(settings: Settings) -> Iterator[Row]:
    """Decode and encode, both formats, and how both grow."""
    turns = settings.pick(20, 2)
    document = data.trace(turns)
    for form in ("msgpack", "json"):
        wire: Any = getattr(msgspec, form)
        encoded = wire.encode(document)
        yield from _decode(form, encoded, settings)
        yield from _encode(form, encoded, settings)
    sizes = settings.pick((5, 20, 80), (1, 2, 4))
    yield growth("decode", "time over turns, MessagePack", sizes, _decoding, settings, at_most(1.1))
    yield growth("encode", "time over turns, MessagePack", sizes, _encoding, settings, at_most(1.1))


def _decoding(turns: int) -> Callable[[], object]:
    encoded = msgspec.msgpack.encode(data.trace(turns))
    return partial(rawmm.decode_msgpack, encoded, rawmm.Trace)


def _encoding(turns: int) -> Callable[[], object]:
    return partial(rawmm.encode_msgpack, rawmm.convert(data.trace(turns), rawmm.Trace))


def _decode(form: str, encoded: bytes, settings: Settings) -> Iterator[Row]:
    wire: Any = getattr(msgspec, form)
    typed = wire.Decoder(floor.bare(rawmm.Trace))
    variants = {
        "rawmm": partial(getattr(rawmm, f"decode_{form}"), encoded, rawmm.Trace),
        "msgspec, typed": partial(typed.decode, encoded),
        "msgspec, untyped": partial(wire.decode, encoded),
        "reference": partial(getattr(reference, f"decode_{form}"), encoded),
    }
    if form == "json":
        variants["model_validate_json"] = partial(reference.decode_json_at_once, encoded)
    timed = race(variants, settings)
    what = f"{NAMES[form]}: "
    yield timed.row(
        "decode", f"{what}rawmm's time over bare typed msgspec's",
        "rawmm", "msgspec, typed", at_most(1.15),
    )  # fmt: skip
    yield timed.row(
        "decode", f"{what}rawmm's time over msgspec's without types", "rawmm", "msgspec, untyped"
    )
    yield timed.row(
        "decode", f"{what}times as fast as the pydantic reference",
        "reference", "rawmm", at_least(1.6 if form == "json" else 2),
    )  # fmt: skip
    if form == "json":
        yield timed.row(
            "decode",
            f"{what}times as fast as pydantic's own parser",
            "model_validate_json",
            "rawmm",
        )


def _encode(form: str, encoded: bytes, settings: Settings) -> Iterator[Row]:
    wire: Any = getattr(msgspec, form)
    ours = getattr(rawmm, f"decode_{form}")(encoded, rawmm.Trace)
    theirs = getattr(reference, f"decode_{form}")(encoded)
    structs = wire.decode(encoded, type=floor.bare(rawmm.Trace))
    unchecked = (
        reference.encode_json_at_once if form == "json" else reference.encode_msgpack_unchecked
    )
    timed = race(
        {
            "rawmm": partial(getattr(rawmm, f"encode_{form}"), ours),
            "msgspec, typed": partial(wire.Encoder().encode, structs),
            "reference": partial(getattr(reference, f"encode_{form}"), theirs),
            "reference, unchecked": partial(unchecked, theirs),
        },
        settings,
    )
    what = f"{NAMES[form]}: "
    yield timed.row(
        "encode", f"{what}times as fast as the pydantic reference, which checks too",
        "reference", "rawmm", at_least(5),
    )  # fmt: skip
    yield timed.row(
        "encode", f"{what}times as fast as pydantic without checks", "reference, unchecked", "rawmm"
    )
    yield timed.row(
        "encode", f"{what}rawmm's time over msgspec's, which checks nothing",
        "rawmm", "msgspec, typed",
    )  # fmt: skip
