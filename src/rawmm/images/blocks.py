"""Block structure of image files: read the size, check completeness, and enforce block budgets.

Blocks are chunks (PNG, WebP), segments and scans (JPEG), or extensions, frames and sub-blocks
(GIF). A file of many tiny blocks is slow to walk, and far slower to open in Pillow. Files over
these budgets are refused before Pillow sees them:

- `MAX_BLOCKS`, plus one for every `BYTES_PER_BLOCK` bytes. Encoders write pixels in blocks of
  255 bytes (GIF) to 64 KiB, so ordinary files stay far below.
- `MAX_METADATA` blocks without pixels. This many full JPEG segments are 64 MiB, the default of
  `Limits.max_bytes`.
- `MAX_COMPRESSED` compressed metadata chunks in a PNG. Pillow inflates each to up to 1 MiB.
- `MAX_EXIF_BYTES` bytes of EXIF in a JPEG, because Pillow joins the segments one by one.
- `MAX_STRAY_BYTES` bytes of padding between JPEG segments, which Pillow reads byte by byte.
- `MAX_SCANS` scans in a progressive JPEG. Each costs a decoder one pass over the pixels.

Sources: PNG (W3C, third edition) 5.2, 5.3, 11.2.1; JPEG (ITU T.81) B.1.1, B.2.2;
GIF89a 17 to 27; WebP (RFC 9649) 2.3 to 2.7 and RFC 6386 9.1.
"""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.errors import OffloadError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BLOCKS: Final = 65_536
BYTES_PER_BLOCK: Final = 128
MAX_METADATA: Final = 1024
MAX_COMPRESSED: Final = 64
MAX_EXIF_BYTES: Final = 8 * 1024 * 1024
MAX_STRAY_BYTES: Final = 65_536
MAX_SCANS: Final = 500

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS: Final = frozenset({b"IDAT", b"fdAT", b"fcTL"})
_PNG_COMPRESSED: Final = frozenset({b"iCCP", b"zTXt", b"iTXt"})
_JPEG_MARKER: Final = re.compile(rb"[^\xff]*+\xff++(?=.)", re.DOTALL)
_JPEG_IN_SCAN: Final = re.compile(rb"\xff++[^\x00\xff\xd0-\xd7]")
_JPEG_EXIF: Final = b"Exif\0\0"
_JPEG_RESOURCES: Final = b"Photoshop 3.0\0"
_JPEG_NO_FRAME: Final = frozenset({0xC4, 0xC8, 0xCC})
_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


def incomplete(media_type: str, got: str) -> OffloadError:
    """Return the error for an incomplete file."""
    return OffloadError(
        "not_an_image",
        expected=f"a complete {media_type} file",
        got=got,
        hint="write the image again from its source",
    )


class _Budget:
    """Counts down the blocks, bytes or scans that a file may still have."""

    def __init__(self, media_type: str, maximum: int, unit: str) -> None:
        self.left = maximum
        self._expected = f"at most {maximum} {unit} in an {media_type} file"

    def spend(self, number: int = 1) -> None:
        """Take `number` from the budget.

        Raises:
            OffloadError: ``image_limit``.
        """
        self.left -= number
        if self.left < 0:
            raise OffloadError(
                "image_limit",
                expected=self._expected,
                got="more",
                hint="write the image again from its pixels, without metadata",
            )


def _blocks(raw: bytes, media_type: str) -> _Budget:
    return _Budget(media_type, MAX_BLOCKS + len(raw) // BYTES_PER_BLOCK, "blocks")


def _metadata(media_type: str) -> _Budget:
    return _Budget(media_type, MAX_METADATA, "metadata blocks")


def _png_size(raw: bytes) -> tuple[int, int]:
    length, kind, width, height = struct.unpack_from(">I4sII", raw, 8)
    if (length, kind) != (13, b"IHDR"):
        raise incomplete("image/png", "a file that does not begin with IHDR")
    return width, height


def _png_ends(raw: bytes) -> bool:
    blocks, metadata = _blocks(raw, "image/png"), _metadata("image/png")
    compressed = _Budget("image/png", MAX_COMPRESSED, "compressed metadata blocks")
    position, has_data = len(PNG_MAGIC), False
    while True:
        length, kind = struct.unpack_from(">I4s", raw, position)
        position += 12 + length
        if position > len(raw):
            return False
        if kind == b"IEND":
            return has_data
        blocks.spend()
        if kind not in _PNG_PIXELS:
            metadata.spend()
            compressed.spend(kind in _PNG_COMPRESSED)
        has_data = has_data or kind == b"IDAT"


class _JpegSegment(NamedTuple):
    """A marker, and the position after it."""

    marker: int
    start: int


def _jpeg_segments(raw: bytes) -> Iterator[_JpegSegment]:
    """Yield segments up to and including the first scan."""
    metadata = _metadata("image/jpeg")
    stray = _Budget("image/jpeg", MAX_STRAY_BYTES, "bytes between segments")
    position = 2
    while True:
        # Readers skip any bytes before a marker, and fill bytes (0xFF) before its code.
        found = _JPEG_MARKER.match(raw, position, position + stray.left + 3)
        if found is None:
            stray.spend(len(raw) - position)
            raise IndexError
        stray.spend(found.end() - position - 1)
        metadata.spend()
        marker, position = raw[found.end()], found.end() + 1
        if marker == 0xD9:
            raise IndexError
        if marker == 0 or marker in _JPEG_ALONE or marker == 0xD8:
            continue
        yield _JpegSegment(marker, position)
        if marker == 0xDA:
            return
        position += struct.unpack_from(">H", raw, position)[0]


def _jpeg_size(raw: bytes) -> tuple[int, int]:
    for marker, start in _jpeg_segments(raw):
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_NO_FRAME:
            height, width = struct.unpack_from(">HH", raw, start + 3)
            return width, height
    return 0, 0


def _jpeg_ends(raw: bytes) -> bool:
    exif = _Budget("image/jpeg", MAX_EXIF_BYTES, "bytes of EXIF")
    resources = _Budget("image/jpeg", MAX_BLOCKS, "Photoshop resources")
    scan = 0
    for _, start in _jpeg_segments(raw):
        scan = start
        size = struct.unpack_from(">H", raw, start)[0]
        if raw.startswith(_JPEG_EXIF, start + 2):
            exif.spend(size)
        elif raw.startswith(_JPEG_RESOURCES, start + 2):
            resources.spend(raw.count(b"8BIM", start, start + size))
    # EXIF thumbnails have end markers of their own, so search after the first scan only.
    start = scan + struct.unpack_from(">H", raw, scan)[0]
    if raw.count(b"\xff\xda", start) >= MAX_SCANS:
        _jpeg_count_scans(raw, start)
    return raw.rfind(b"\xff\xd9", start) >= 0


def _jpeg_count_scans(raw: bytes, position: int) -> None:
    """Count the scans after the first, without mistaking other bytes for scans."""
    metadata = _metadata("image/jpeg")
    scans = _Budget("image/jpeg", MAX_SCANS - 1, "scans")
    while (found := _JPEG_IN_SCAN.search(raw, position)) is not None:
        marker = raw[found.end() - 1]
        if marker == 0xD9:
            return
        (scans if marker == 0xDA else metadata).spend()
        position = found.end() + struct.unpack_from(">H", raw, found.end())[0]


def _gif_skip_table(position: int, flags: int) -> int:
    return position + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)


def _gif_skip_blocks(raw: bytes, position: int, *budgets: _Budget) -> int:
    count, maximum = 0, min(budget.left for budget in budgets)
    size = 1
    while size and count <= maximum:
        size = raw[position]
        position += 1 + size
        count += 1
    for budget in budgets:
        budget.spend(count)
    return position


def _gif_next_frame(
    raw: bytes, position: int, blocks: _Budget, comments: _Budget | None = None
) -> int:
    """Return the position of the next image descriptor, or -1 at the trailer."""
    while raw[position] == 0x21:
        budgets = [blocks]
        if comments is not None and raw[position + 1] == 0xFE:
            budgets.append(comments)
        position = _gif_skip_blocks(raw, position + 2, *budgets)
    if raw[position] == 0x2C:
        return position
    if raw[position] == 0x3B:
        return -1
    raise IndexError


def _gif_first_frame(raw: bytes, blocks: _Budget) -> int:
    # Pillow joins the comments before the first frame block by block.
    comments = _metadata("image/gif")
    return _gif_next_frame(raw, _gif_skip_table(13, raw[10]), blocks, comments)


def _gif_size(raw: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", raw, 6)
    frame = _gif_first_frame(raw, _blocks(raw, "image/gif"))
    if frame < 0:
        raise incomplete("image/gif", "a file without a frame")
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", raw, frame + 1)
    # Pillow and browsers enlarge the screen if the first frame exceeds it.
    return max(width, left + frame_width), max(height, top + frame_height)


def _gif_ends(raw: bytes) -> bool:
    blocks = _blocks(raw, "image/gif")
    frame = _gif_first_frame(raw, blocks)
    while frame >= 0:
        data = _gif_skip_table(frame + 10, raw[frame + 9])
        frame = _gif_next_frame(raw, _gif_skip_blocks(raw, data + 1, blocks), blocks)
    return True


def _webp_size(raw: bytes) -> tuple[int, int]:
    kind = raw[12:16]
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", raw, 24)
        return (low_width | high_width << 16) + 1, (low_height | high_height << 16) + 1
    if kind == b"VP8L" and raw[20] == 0x2F:
        bits: int = struct.unpack_from("<I", raw, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and raw[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", raw, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise incomplete("image/webp", "a file without a VP8, VP8L or VP8X header")


def _webp_ends(raw: bytes) -> bool:
    end = 8 + struct.unpack_from("<I", raw, 4)[0]
    if end > len(raw):
        return False
    blocks, position = _blocks(raw, "image/webp"), 12
    while position + 8 <= end:
        blocks.spend()
        size: int = struct.unpack_from("<I", raw, position + 4)[0]
        position += 8 + size + size % 2
    return True


SIZES: Final = {
    "image/png": _png_size,
    "image/jpeg": _jpeg_size,
    "image/gif": _gif_size,
    "image/webp": _webp_size,
}
"""Functions that read width and height, by media type.

On a truncated file they raise `struct.error`, `IndexError` or `OffloadError`, as does `ENDS`.
"""

ENDS: Final = {
    "image/png": _png_ends,
    "image/jpeg": _jpeg_ends,
    "image/gif": _gif_ends,
    "image/webp": _webp_ends,
}
"""Functions that check whether a file reaches its end marker, by media type."""


def has_all_frames(raw: bytes, media_type: str, width: int, height: int) -> bool:
    """Whether a PNG or GIF that does not reach its end marker has every frame that it declares.

    A PNG must end between two chunks or within IEND, after the end of its compressed pixels and
    all frames of its animation; a GIF after a frame.
    """
    with suppress(struct.error, IndexError):
        if media_type == "image/png":
            return _png_has_all_frames(raw, width, height)
        if media_type == "image/gif":
            return _gif_has_all_frames(raw)
    return False


def _png_has_all_frames(raw: bytes, width: int, height: int) -> bool:
    view = memoryview(raw)
    # The most that the rows can take: 8 bytes a pixel, and a filter byte a row for each pass.
    most = 8 * width * height + 8 * height + 64
    image = _Inflater(most)
    frames: list[_Inflater] = []
    declared, position = 0, len(PNG_MAGIC)
    while position < len(raw):
        if len(raw) - position < 8 or raw[position + 4 : position + 8] == b"IEND":
            if not _IEND.startswith(raw[position:]):
                return False
            break  # cut within IEND, whose bytes are always the same
        length, kind = struct.unpack_from(">I4s", raw, position)
        begin, end = position + 8, position + 8 + length
        position = end + 4
        if position > len(raw):
            return False
        if kind == b"IDAT":
            image.feed(view[begin:end])
        elif kind == b"fdAT":
            frames[-1].feed(view[begin + 4 : end])
        elif kind == b"acTL":
            declared = struct.unpack_from(">I", raw, begin)[0]
            _Budget("image/png", MAX_BLOCKS, "frames").spend(declared)
        elif kind == b"fcTL":
            # The first frame is the image itself if its control comes before the pixels.
            frames.append(_Inflater(most) if image.begun else image)
    return image.ended and len(frames) == declared and all(frame.ended for frame in frames)


_IEND: Final = b"\0\0\0\0IEND\xaeB`\x82"


class _Inflater:
    """Reads a zlib stream to its end without keeping what it holds."""

    def __init__(self, maximum: int) -> None:
        self._stream = zlib.decompressobj()
        self._left = maximum
        self.begun = self.ended = False

    def feed(self, piece: memoryview) -> None:
        """Read the next piece. Damaged data, or more than the maximum, never end."""
        self.begun = True
        data: bytes | memoryview = piece
        with suppress(zlib.error):
            while data and self._left > 0 and not self._stream.eof:
                self._left -= len(self._stream.decompress(data, _INFLATED))
                data = self._stream.unconsumed_tail
            self.ended = self._stream.eof


_INFLATED: Final = 1 << 20


def _gif_has_all_frames(raw: bytes) -> bool:
    blocks = _blocks(raw, "image/gif")
    frame = _gif_first_frame(raw, blocks)
    while True:
        data = _gif_skip_table(frame + 10, raw[frame + 9])
        end = _gif_skip_blocks(raw, data + 1, blocks)
        if end == len(raw):
            return True
        frame = _gif_next_frame(raw, end, blocks)
