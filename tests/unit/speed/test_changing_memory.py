"""Reading memory that another process changes meanwhile stays within buffers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

PROGRAM: Final = """
import ctypes, mmap, os, signal, sys
import msgspec
from rawmm import MessageNode, RawMMError, UserMessage, native
from rawmm.values.wire_classes import Streams, wire_type

def at_the_end(text):
    # The page after the text cannot be read.
    pages = -(-len(text) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, pages + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + pages), mmap.PAGESIZE, 0) == 0
    view = memoryview(memory)[pages - len(text) : pages]
    view[:] = text
    return view

kind = wire_type(MessageNode, Streams.PACKED)
given = {"message": UserMessage(content="x"), "token_ids": [], "mask": []}

def read(view):
    # As a decoder does when it has found the end of the stream.
    streams = {sys.argv[1].partition(",")[0]: msgspec.Raw(view)}
    try:
        msgspec.StructMeta.__call__(kind, **given | streams)
    except (RawMMError, msgspec.DecodeError, native.Unsure):
        pass

def hashed(view):
    for width in (16, 32, 64):
        if width <= native.TEXT_HASH_WIDTH:
            native.keyed_digest(bytes(1040), width, view, 0, 1)

text, at, others, function, times = {
    "token_ids": (b"[" + b"1," * 3_000 + b"1]", -1, b"1", read, 1_000),
    "logprobs": (b"[" + b"1e-5," * 3_000 + b"1e-5]", -1, b"5", read, 1_000),
    "mask": (b"[" + b"true," * 3_000 + b"true]", -1, b"e", read, 1_000),
    # Without the commas, the list has room for one flag in place of the last nine.
    "mask, shorter": (
        b"[" + b"true," * 3_000 + b"true," * 8 + b"true]", -45, b"x" * 40, read, 10_000
    ),
    "text": (b"A" * 900 + b'"' + b"A" * 60_000, 900, b"A", hashed, 60_000),
}[sys.argv[1]]
view = at_the_end(text)
place = slice(at, at + len(others) or None)
before = bytes(view[place])
parent = os.getpid()
child = os.fork()
while not child and os.getppid() == parent:
    for _ in range(1000):
        view[place] = others
        view[place] = before
if not child:
    os._exit(0)
for _ in range(times):
    function(view)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize("name", ["token_ids", "logprobs", "mask", "mask, shorter", "text"])
def test_changing_memory_is_not_read_or_written_beyond_its_end(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        env={**os.environ, "PYTHONMALLOC": "debug"},  # ends the process after a write beyond
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
