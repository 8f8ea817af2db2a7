"""One call, some times, in a process whose instructions `benchmarks.instructions` counts.

``python -m benchmarks.counted NAME FILE TIMES``: the file is a rollout in MessagePack. This module
imports nothing but rawmm, because valgrind runs a process fifty times as slow.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rawmm

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = (
    "decode_msgpack",
    "decode_json",
    "decode_msgpack, packed",
    "decode_msgpack, lists to packed",
    "encode_msgpack",
    "encode_json",
    "encode_msgpack, packed",
    "encode_msgpack, lists to packed",
)


def _calls(wire: bytes) -> dict[str, Callable[[], object]]:
    trace = rawmm.decode_msgpack(wire, rawmm.Trace)
    text = rawmm.encode_json(trace)
    packed_wire = rawmm.encode_msgpack(trace, packed=True)
    packed = rawmm.decode_msgpack(packed_wire, rawmm.Trace)
    calls = (
        lambda: rawmm.decode_msgpack(wire, rawmm.Trace),
        lambda: rawmm.decode_json(text, rawmm.Trace),
        lambda: rawmm.decode_msgpack(packed_wire, rawmm.Trace),
        lambda: rawmm.decode_msgpack(wire, rawmm.Trace, packed=True),
        lambda: rawmm.encode_msgpack(trace),
        lambda: rawmm.encode_json(trace),
        lambda: rawmm.encode_msgpack(packed, packed=True),
        lambda: rawmm.encode_msgpack(trace, packed=True),
    )
    return dict(zip(NAMES, calls, strict=True))


def main(name: str, file: str, times: str) -> None:
    """Run all calls to warm up, then one of them `times` times."""
    calls = _calls(Path(file).read_bytes())
    for call in calls.values():
        call()
    call = calls[name]
    gc.collect()
    gc.freeze()
    for _ in range(int(times)):
        call()
    os._exit(0)  # the end of Python is not counted


if __name__ == "__main__":
    main(*sys.argv[1:])
