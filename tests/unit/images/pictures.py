"""Real images, damaged images, and the check that errors contain no part of them."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from rawmm.errors import RawMMError

FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif"}
_DECODER_TEXTS = ("non-base64", "incorrect padding", "cannot identify", "truncated file read")


def picture(
    kind: str = "PNG", size: tuple[int, int] = (24, 16), seed: int = 0, **options: Any
) -> bytes:
    """An image file whose pixels depend on `seed`."""
    image = Image.new("RGB", size, (seed % 256, seed // 256 % 256, 7))
    image.putpixel((size[0] // 2, size[1] // 2), (255, 255 - seed % 256, 0))
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif_of(orientation: int) -> bytes:
    """EXIF of an image with an orientation (tag 274)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def data_url(raw: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(raw).decode()}"


def url_of(kind: str = "PNG", seed: int = 0) -> str:
    return data_url(picture(kind, seed=seed), f"image/{kind.lower()}")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@lru_cache  # 30,000 by 30,000 pixels take 0.4 s
def huge_png(width: int, height: int) -> bytes:
    """A valid one-bit PNG of zeros, small however large it says it is."""
    rows = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", body),
            png_chunk(b"IEND", b""),
        )
    )


def part(url: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def chat_request(*urls: Any) -> dict[str, Any]:
    """The body of a chat request whose one message has these images."""
    return {"messages": [{"role": "user", "content": [part(url) for url in urls]}]}


def temporary_files(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.name.startswith(".")]


def assert_silent(error: RawMMError, *urls: str) -> None:
    """The error and its chain contain no part of the image, its base64 or a decoder's text."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    said = " ".join(text for each in chain for text in (str(each), repr(each), repr(each.args)))
    for text in _DECODER_TEXTS:
        assert text not in said.lower()
    for url in urls:
        payload = url.partition(",")[2]
        for start in range(max(1, len(payload) - 12)):
            window = payload[start : start + 12]
            assert not window or window not in said
