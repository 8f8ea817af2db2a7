"""Recognizes files of other types by their first bytes."""

from __future__ import annotations

from typing import Final

from rawmm.cli.msgpack_stream import CONTAINERS

_SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"%PDF-", "a PDF file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x7fELF", "an executable"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
)
_COMPRESSED: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x1f\x8b\x08", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"PK\x03\x04", "a ZIP file"),
)
_MARKS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)


def looks_like(head: bytes, *, binary: bool) -> tuple[str, str | None] | None:
    """What the first bytes of a file are, if not JSON (or, if `binary`, MessagePack).

    Returns a name for the type and a hint, or None if the bytes fit the format.
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name, None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image", None
    for signature, name in _COMPRESSED:
        if head.startswith(signature):
            return name, "decompress it first"
    if binary:
        # In MessagePack these bytes are the numbers 123 and 91, which are not documents.
        text = head.lstrip()[:1] in (b"{", b"[")
        return ("what looks like JSON", "give --input-format json or jsonl") if text else None
    for signature, name in _MARKS:
        if head.startswith(signature):
            return name, "write it as UTF-8"
    if head[0] in CONTAINERS:
        return "what looks like MessagePack", "give --input-format msgpack"
    return None
