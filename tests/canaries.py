"""An image in every encoding that values may contain, and a search for leaks of it in texts."""

from __future__ import annotations

import base64
import json
import random
import re
import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tests.unit.images.pictures import png_chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _png(width: int = 9, height: int = 7) -> bytes:
    noise = random.Random(7)
    rows = b"".join(b"\0" + noise.randbytes(3 * width) for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            png_chunk(b"IDAT", zlib.compress(rows)),
            png_chunk(b"IEND", b""),
        )
    )


IMAGE: Final = _png()
"""A valid file of about 250 bytes."""

ENCODINGS: Final[dict[str, Callable[[bytes], str]]] = {
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
    "hex": bytes.hex,
    "upper hex": lambda raw: raw.hex().upper(),
    "percent": lambda raw: "".join(f"%{byte:02X}" for byte in raw),
    "quoted": quote,
    "escapes": lambda raw: "".join(f"\\x{byte:02x}" for byte in raw),
    "json escapes": lambda raw: "".join(f"\\u{byte:04x}" for byte in raw),
    "repr": repr,
    "latin-1": lambda raw: raw.decode("latin-1"),
    "base32": lambda raw: base64.b32encode(raw).decode(),
    "decimals": lambda raw: ", ".join(map(str, raw)),
    "bits": lambda raw: "".join(f"{byte:08b}" for byte in raw),
}

_RUN: Final = 17
_NO_CONTENT: Final = re.compile(r"[\W_]+")


def _dense(text: str) -> str:
    """The text without separators."""
    return _NO_CONTENT.sub("", text)


def _runs(text: str) -> Iterator[str]:
    for at in range(len(text) - _RUN + 1):
        yield text[at : at + _RUN]


_CONTENT: Final = frozenset(
    run
    for encode in ENCODINGS.values()
    for start in (0, 1, 2)
    for text in [encode(IMAGE[start:])]
    for whole in (text, json.dumps(text), repr(text))
    for run in _runs(_dense(whole))
)


@lru_cache(maxsize=1000)  # texts are searched several times
def leaked(text: str) -> list[str]:
    """The runs of 17 characters of the image in a text, ignoring separators."""
    # A shortened text is followed by its length.
    found = []
    for part in re.split(r"…|\.\.\. \(|\\u2026", text):
        dense = _dense(part)  # the loop without a call for each run takes half the time
        found += [
            run for at in range(len(dense) - _RUN + 1) if (run := dense[at : at + _RUN]) in _CONTENT
        ]
    return found
