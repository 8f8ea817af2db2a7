"""Decoding and encoding a rollout of 20 turns, with all checks."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec

import rawmm
from benchmarks import baseline, data, reference
from benchmarks.growth import growth
from benchmarks.harness import at_least, at_most, race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Row, Settings

_STREAMS = ("token_ids", "mask", "is_content", "logprobs")
NAMES = {"json": "JSON", "msgpack": "MessagePack"}


def run(settings: Settings) -> Iterator[Row]:
    """Decode and encode both formats, at several sizes."""
    turns = settings.pick(20, 2)
    document = data.trace(turns)
    for form in ("msgpack", "json"):
        wire: Any = getattr(msgspec, form)
        encoded = wire.encode(document)
        yield from _decode(form, encoded, settings)
        yield from _encode(form, encoded, settings)
    sizes = settings.pick((5, 20, 80), (1, 2, 4))
    yield growth(
        "decode", "time over turns, MessagePack", sizes, _decoding, settings, at_most(1.05)
    )
    what = "time over turns, bare typed msgspec, MessagePack"
    yield growth("decode", what, sizes, _decoding_bare, settings)
    yield growth("encode", "time over turns, MessagePack", sizes, _encoding, settings, at_most(1.1))


def _decoding(turns: int) -> Callable[[], object]:
    encoded = msgspec.msgpack.encode(data.trace(turns))
    return partial(rawmm.decode_msgpack, encoded, rawmm.Trace)


def _decoding_bare(turns: int) -> Callable[[], object]:
    decoder = msgspec.msgpack.Decoder(baseline.bare(rawmm.Trace))
    return partial(decoder.decode, msgspec.msgpack.encode(data.trace(turns)))


def _encoding(turns: int) -> Callable[[], object]:
    return partial(rawmm.encode_msgpack, rawmm.convert(data.trace(turns), rawmm.Trace))


def _decode(form: str, encoded: bytes, settings: Settings) -> Iterator[Row]:
    wire: Any = getattr(msgspec, form)
    typed = wire.Decoder(baseline.bare(rawmm.Trace))
    variants = {
        "rawmm": partial(getattr(rawmm, f"decode_{form}"), encoded, rawmm.Trace),
        "msgspec, typed": partial(typed.decode, encoded),
        "msgspec, untyped": partial(wire.decode, encoded),
        "baseline": partial(_counted, typed.decode, encoded),
        "reference": partial(getattr(reference, f"decode_{form}"), encoded),
    }
    if form == "json":
        other = "pydantic's own parser"
        variants[other] = partial(reference.decode_json_at_once, encoded)
    elif find_spec("msgpack"):
        other = "msgpack and pydantic, as verifiers reads"
        variants[other] = partial(reference.decode_as_verifiers, encoded)
    else:
        other = ""
    timed = race(variants, settings)
    name = NAMES[form]
    what = f"{name}: rawmm's time over bare typed msgspec's"
    yield timed.row("decode", what, "rawmm", "msgspec, typed", at_most(1))
    what = f"{name}: the same where the image's tokens are counted, and no other rule is checked"
    yield timed.row("decode", what, "baseline", "msgspec, typed")
    what = f"{name}: rawmm's time over msgspec's without types"
    yield timed.row("decode", what, "rawmm", "msgspec, untyped")
    what = f"{name}: times as fast as the pydantic reference"
    target = at_least(4 if form == "json" else 3)
    yield timed.row("decode", what, "reference", "rawmm", target)
    if other:
        target = at_least(2 if form == "json" else 2.5)
        yield timed.row("decode", f"{name}: times as fast as {other}", other, "rawmm", target)


def _without_tokens(trace: rawmm.Trace) -> rawmm.Trace:
    """The trace without its per-token streams: 220 structs."""
    nodes = [
        {name: value for name, value in node.items() if name not in _STREAMS}
        for node in rawmm.to_builtins(trace)["nodes"]
    ]
    return rawmm.convert({"nodes": nodes}, rawmm.Trace)


def _counted(decode: Callable[[bytes], Any], encoded: bytes) -> int:
    return baseline.counted(decode(encoded), data.IMAGE_PAD)


def _elements_and(encode: Callable[[Any], bytes], structs: Any) -> bytes:
    baseline.check_elements(structs)
    baseline.counted(structs, data.IMAGE_PAD)
    return encode(structs)


def _encode(form: str, encoded: bytes, settings: Settings) -> Iterator[Row]:
    wire: Any = getattr(msgspec, form)
    ours = getattr(rawmm, f"decode_{form}")(encoded, rawmm.Trace)
    theirs = getattr(reference, f"decode_{form}")(encoded)
    structs = wire.decode(encoded, type=baseline.bare(rawmm.Trace))
    if form == "json":
        other, unchecked = "pydantic's own writer", reference.encode_json_at_once
    elif find_spec("msgpack"):
        other, unchecked = (
            "msgpack and pydantic, as verifiers writes",
            reference.encode_as_verifiers,
        )
    else:
        other, unchecked = "pydantic without checks", reference.encode_msgpack_unchecked
    timed = race(
        {
            "rawmm": partial(getattr(rawmm, f"encode_{form}"), ours),
            "msgspec, typed": partial(wire.Encoder().encode, structs),
            "baseline": partial(_elements_and, wire.Encoder().encode, structs),
            "structs": partial(getattr(rawmm, f"encode_{form}"), _without_tokens(ours)),
            "reference": partial(getattr(reference, f"encode_{form}"), theirs),
            other: partial(unchecked, theirs),
        },
        settings,
    )
    name = NAMES[form]
    what = f"{name}: times as fast as the pydantic reference, which checks too"
    target = at_least(14 if form == "json" else 9)
    yield timed.row("encode", what, "reference", "rawmm", target)
    what = f"{name}: the same where types of tokens are checked, images' counted, and no more"
    yield timed.row("encode", what, "reference", "baseline")
    what = f"{name}: rawmm's time on the same structs without their tokens, over that with them"
    yield timed.row("encode", what, "structs", "rawmm")
    what = f"{name}: times as fast as {other}, which checks nothing"
    yield timed.row("encode", what, other, "rawmm", None if form == "json" else at_least(3))
    what = f"{name}: rawmm's time over msgspec's, which checks nothing"
    yield timed.row("encode", what, "rawmm", "msgspec, typed")
