"""Compressed files, by extension: gzip and Zstandard, read and written as streams.

Formats: RFC 1952 (gzip), RFC 8878 (Zstandard). A file may have several members or frames. Zstandard
is in the standard library from Python 3.14 on; before, the package backports.zstd has it.
"""

from __future__ import annotations

import re
import sys
import zlib
from io import RawIOBase
from pathlib import PurePath
from typing import Any, BinaryIO, Final, Literal, Protocol, TypeAlias, cast

from rawmm.cli.output import UsageError

Compression: TypeAlias = Literal["gzip", "zstd"]

COMPRESSIONS: Final[dict[str, Compression]] = {".gz": "gzip", ".zst": "zstd"}
"""Each extension that names a compression."""
TITLES: Final[dict[Compression, str]] = {"gzip": "gzip", "zstd": "Zstandard"}

_BEGINS: Final[dict[Compression, re.Pattern[bytes]]] = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),  # or a skippable frame
}
_CHUNK: Final = 1 << 17
_GZIP: Final = 31  # wbits of zlib: a gzip header, and the largest window
_LEVEL: Final[dict[Compression, int]] = {"gzip": 6, "zstd": 3}
"""What the programs gzip and zstd use by default."""


class DamagedStreamError(Exception):
    """A compressed file is cut off or damaged. The text says which, without content."""


class Compressor(Protocol):
    """What writes a compressed stream; zlib's and zstd's objects have these methods."""

    def compress(self, data: bytes, /) -> bytes:
        """Compress data; the result may come with a later call."""

    def flush(self) -> bytes:
        """End the stream."""


def compression_of(path: str) -> Compression | None:
    """The compression that the extension of a file names, or None."""
    return COMPRESSIONS.get(PurePath(path).suffix.lower())


def inner_name(path: str) -> str:
    """A name without the extension of a compression."""
    return path[: -len(PurePath(path).suffix)] if compression_of(path) else path


def compressor(compression: Compression) -> Compressor:
    """A new stream. The same data gives the same bytes: no name and no time are in it.

    Raises:
        UsageError: Zstandard is not installed.
    """
    level = _LEVEL[compression]
    if compression == "gzip":
        return zlib.compressobj(level, wbits=_GZIP)
    zstd = _zstd()
    options = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.checksum_flag: True,
    }
    return cast("Compressor", zstd.ZstdCompressor(options=options))


def check_installed(compression: Compression | None) -> None:
    """Check that files of a compression can be read and written.

    Raises:
        UsageError: Zstandard is not installed.
    """
    if compression == "zstd":
        _zstd()


class _Codec(Protocol):
    """One member of a compressed file; the decompressor of zstd has this interface."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, most: int, /) -> bytes: ...


class Decompressed(RawIOBase):
    """The content of a compressed stream, read as far as it is asked for.

    Args:
        file: the compressed stream; only ``read(n)`` is called.
        compression: its format.

    Attributes:
        consumed: bytes of the compressed stream read so far.

    Reading raises `DamagedStreamError`, after everything before the damage was returned.
    """

    def __init__(self, file: BinaryIO, compression: Compression) -> None:
        self._file = file
        self._compression = compression
        self._codec: _Codec | None = None
        self._input = b""
        self._ended = False
        self._is_compressed = True
        self.consumed = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a part of `buffer`; return its size, 0 at the end."""
        data = self._more(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _more(self, most: int) -> bytes:
        codec: _Codec | None = self._codec or self._begin_member()
        while codec is not None:
            if codec.eof:
                codec = self._next_member(codec)
                continue
            if codec.needs_input and not self._input:
                self._input = self._read()
            given, self._input = self._input, b""
            try:
                data = codec.decompress(given, most)
            except _failures(self._compression):
                data, damaged = b"", True
            else:
                damaged = False
            if damaged and not self._is_compressed:
                raise DamagedStreamError("another type of file")
            if damaged:
                raise DamagedStreamError(f"damaged data before byte {self.consumed:,}")
            if data:
                return data
            if self._ended and not codec.eof:
                raise DamagedStreamError(f"a file cut off after {self.consumed:,} bytes")
        return b""

    def _next_member(self, before: _Codec) -> _Codec | None:
        """Begin another member, unless the file ends here."""
        self._input = before.unused_data
        while not self._ended:
            if self._compression == "gzip":
                self._input = self._input.lstrip(b"\0")  # padding of tapes and blocks
            if self._input:
                return self._begin_member()
            self._input = self._read()
        return None

    def _begin_member(self) -> _Codec:
        zipped = self._compression == "gzip"
        self._codec = _Gunzip() if zipped else cast("_Codec", _zstd().ZstdDecompressor())
        return self._codec

    def _read(self) -> bytes:
        data = self._file.read(_CHUNK)
        self._ended = not data
        if not self.consumed:
            self._is_compressed = _BEGINS[self._compression].match(data) is not None
        self.consumed += len(data)
        return data


class _Gunzip:
    """zlib's decompressor with the interface of `_Codec`."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_GZIP)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, most)


def _failures(compression: Compression) -> type[Exception]:
    return zlib.error if compression == "gzip" else cast("type[Exception]", _zstd().ZstdError)


def _zstd() -> Any:
    """The module of Zstandard.

    Raises:
        UsageError: it is not installed.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise UsageError(
            "Zstandard needs the extra zstd: pip install 'rawmm[zstd]', or Python 3.14"
        ) from None
    return zstd
