"""Image files that programs may decode differently: modes, transparency, orientations, damage.

`ODD` is compared with the engine's loader in ``tests/integrations/vllm/test_images.py``.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from tests.unit.images.pictures import exif_of, png_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE: Final = (7, 5)
ORIENTED: Final = ("PNG", "JPEG", "WEBP")
XMP: Final = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{}"/></x:xmpmeta>'
)


def gradient(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Every pixel has a colour of its own. The alpha of a mode that has one is a gradient, too."""
    width, height = size
    image = Image.new("RGBA", size)
    image.putdata(
        [
            (35 * x % 256, 50 * y % 256, (7 * x + 11 * y) % 256, (21 * (x + y)) % 256)
            for y in range(height)
            for x in range(width)
        ]
    )
    if mode == "RGBA":
        return image
    if mode == "I;16":
        return image.convert("L").convert("I").point(lambda grey: grey * 257).convert("I;16")
    return image.convert(mode if mode in {"LA", "L", "1"} else "RGB").convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(depth: int, colour: int, row: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one colour type that Pillow reads and does not write; all of its rows are `row`."""
    header = struct.pack(">IIBBBBB", *SIZE, depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for _ in range(SIZE[1])))
    found = ((b"IHDR", header), *chunks, (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*one) for one in found)


def with_chunk(raw: bytes, kind: bytes, body: bytes, before: bytes = b"IEND") -> bytes:
    """A PNG with one more chunk before the first `before`."""
    place = raw.index(before) - 4
    return raw[:place] + png_chunk(kind, body) + raw[place:]


def _wide(channels: int) -> bytes:
    return b"".join(
        struct.pack(">H", (9001 * x + 13007 * c) % 65536)
        for x in range(SIZE[0])
        for c in range(channels)
    )


def _modes() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield f"PNG {mode}", saved(gradient(mode))
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            raw = saved(gradient(mode), "JPEG", progressive=progressive, subsampling=0)
            yield f"JPEG {mode}, progressive={progressive}", raw
    for mode in ("RGB", "RGBA", "L", "P"):
        for lossless in (False, True):
            yield (
                f"WEBP {mode}, lossless={lossless}",
                saved(gradient(mode), "WEBP", lossless=lossless),
            )
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"GIF {mode}", saved(gradient(mode), "GIF")
    yield "PNG 16-bit RGB", png(16, 2, _wide(3))
    yield "PNG 16-bit RGBA", png(16, 6, _wide(4))
    yield "PNG 16-bit LA", png(16, 4, _wide(2))
    yield "PNG 16-bit RGB, tRNS", png(16, 2, _wide(3), (b"tRNS", _wide(1)[:2] * 3))
    for depth in (1, 2, 4):
        row = bytes(range(7, 7 + (SIZE[0] * depth + 7) // 8))
        yield f"PNG {depth}-bit grey", png(depth, 0, row)
        yield f"PNG {depth}-bit grey, tRNS", png(depth, 0, row, (b"tRNS", b"\0\0"))


def _transparent() -> Iterator[tuple[str, bytes]]:
    palette = gradient().quantize(8)
    yield "PNG P, a transparent index", saved(palette, transparency=3)
    yield "PNG P, alpha", saved(palette, transparency=bytes([0, 128, 255]))
    yield "PNG P, opaque alpha", saved(palette, transparency=bytes([255] * 8))
    yield "PNG RGB, a transparent colour", saved(gradient(), transparency=(35, 0, 7))
    yield "PNG L, a transparent grey", saved(gradient("L"), transparency=0)
    yield "PNG I;16, a transparent grey", saved(gradient("I;16"), transparency=0)
    yield "PNG 1, a transparent grey", saved(gradient("1"), transparency=0)
    yield "PNG P, tRNS after the pixels", with_chunk(saved(palette), b"tRNS", b"\0\x80")
    yield "PNG RGB, tRNS after the pixels", with_chunk(saved(gradient()), b"tRNS", bytes(6))
    yield "GIF, a transparent index", saved(palette, "GIF", transparency=2)
    clear = Image.new("RGBA", SIZE, (10, 20, 30, 0))
    for kind in ("PNG", "WEBP"):
        yield f"{kind}, all transparent", saved(clear, kind)


def _animated() -> Iterator[tuple[str, bytes]]:
    frames = [gradient("RGBA"), Image.new("RGBA", SIZE, (9, 8, 7, 128))]
    for kind in ("PNG", "GIF", "WEBP"):
        yield f"{kind}, animated", saved(frames[0], kind, save_all=True, append_images=frames[1:])
    default = {"save_all": True, "append_images": frames[1:], "default_image": True}
    yield "PNG, animated, with a default image", saved(frames[0], **default)
    raw = saved(frames[0].convert("RGB"), save_all=True, append_images=[Image.new("RGB", SIZE)])
    yield "PNG, animated, EXIF at its end", with_chunk(raw, b"eXIf", exif_of(6)[6:])
    yield "PNG, animated, EXIF before the second frame", _exif_before_second_frame(raw)


def _exif_before_second_frame(raw: bytes) -> bytes:
    second = raw.rindex(b"fcTL") - 4
    return raw[:second] + png_chunk(b"eXIf", exif_of(6)[6:]) + raw[second:]


def _oriented() -> Iterator[tuple[str, bytes]]:
    for kind in ORIENTED:
        for value in range(10):
            yield f"{kind} of orientation {value}", saved(gradient(), kind, exif=exif_of(value))
        yield f"{kind} of orientation 6 by XMP", saved(gradient(), kind, xmp=XMP.format(6).encode())
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        yield f"PNG {mode} of orientation 8", saved(gradient(mode), exif=exif_of(8))
    yield "JPEG CMYK of orientation 5", saved(gradient("CMYK"), "JPEG", exif=exif_of(5))
    yield "WEBP RGBA of orientation 7", saved(gradient("RGBA"), "WEBP", exif=exif_of(7))
    palette = gradient().quantize(8)
    turned = saved(palette, exif=exif_of(6), transparency=bytes([0, 99]))
    yield "PNG P with alpha of orientation 6", turned
    raw = saved(gradient())
    for chunk in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
        body = {
            b"eXIf": exif_of(6)[6:],
            b"tEXt": b"Raw profile type exif\0" + _raw_profile(exif_of(6)),
            b"zTXt": b"Raw profile type exif\0\0" + zlib.compress(_raw_profile(exif_of(6))),
            b"iTXt": b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.format(6).encode(),
        }[chunk]
        for before in (b"IDAT", b"IEND"):
            name = f"PNG turned by {chunk.decode()} before {before.decode()}"
            yield name, with_chunk(raw, chunk, body, before)
    late = with_chunk(raw, b"eXIf", exif_of(6)[6:])
    place = late.index(b"eXIf") + len(exif_of(6)[6:]) + 4
    yield "PNG turned by EXIF with a wrong checksum", late[:place] + bytes(4) + late[place + 4 :]
    both = saved(gradient(), exif=exif_of(3))
    yield "PNG with EXIF twice", with_chunk(both, b"eXIf", exif_of(6)[6:])


def _raw_profile(exif: bytes) -> bytes:
    return f"\nexif\n{len(exif):8}\n{exif.hex()}\n".encode()


def ifd(*entries: tuple[int, int, int, bytes], order: str = ">") -> bytes:
    """EXIF with entries of tag, type, count and value or offset."""
    head = b"MM\0*" if order == ">" else b"II*\0"
    body = b"".join(struct.pack(f"{order}HHL4s", *entry) for entry in entries)
    count = struct.pack(f"{order}H", len(entries))
    return b"Exif\0\0" + head + struct.pack(f"{order}L", 8) + count + body + bytes(4)


def malformed_exif() -> dict[str, bytes]:
    """EXIF that is damaged or unusual; some of it states an orientation that Pillow applies."""
    six = struct.pack(">HH", 6, 0)
    good = ifd((0x112, 3, 1, six))
    found = {
        "no EXIF at all": b"Exif\0\0",
        "an unknown byte order": b"Exif\0\0XX\0*\0\0\0\x08" + good[14:],
        "a cut head": b"Exif\0\0MM\0*\xff",
        "a directory outside": b"Exif\0\0MM\0*\0\0\xff\xff" + good[14:],
        "little endian": ifd((0x112, 3, 1, struct.pack("<HH", 6, 0)), order="<"),
        "a byte": ifd((0x112, 1, 1, b"\6\0\0\0")),
        "a long": ifd((0x112, 4, 1, struct.pack(">L", 6))),
        "text": ifd((0x112, 2, 2, b"6\0\0\0")),
        "two values": ifd((0x112, 3, 2, struct.pack(">HH", 6, 8))),
        "no value": ifd((0x112, 3, 0, six)),
        "a value outside": ifd((0x112, 5, 1, struct.pack(">L", 60_000))),
        "an unknown type": ifd((0x112, 99, 1, six)),
        "a rational": ifd((0x112, 5, 1, struct.pack(">L", 26)))[:-4] + struct.pack(">LL", 6, 1),
        "a rational by zero": ifd((0x112, 5, 1, struct.pack(">L", 26)))[:-4] + bytes(8),
        "twice": ifd((0x112, 3, 1, six), (0x112, 3, 1, struct.pack(">HH", 8, 0))),
        "too few entries": good[:14] + b"\0\x09" + good[16:],
        "a damaged entry after it": ifd((0x112, 3, 1, six), (0x9286, 5, 9, b"\xff\xff\xff\xff")),
        "an entry that cannot be written again": ifd((0x112, 3, 1, six), (0x8769, 3, 1, six)),
        "a signed long in front": ifd((0x100, 9, 1, struct.pack(">l", -5)), (0x112, 3, 1, six)),
        "a negative byte": ifd((0x112, 6, 1, b"\xfa\0\0\0"), (0x13C, 3, 1, six)),
    }
    chosen = random.Random(5)
    for number in range(300):
        data = bytearray(
            ifd(
                (0x112, chosen.choice([1, 3, 4, 5, 9, 12]), 1, six),
                (chosen.randrange(65536), chosen.randrange(14), chosen.randrange(3), six),
            )
        )
        for _ in range(chosen.randrange(3)):
            data[chosen.randrange(6, len(data))] = chosen.choice([0, 1, 2, 3, 6, 255])
        found[f"random {number}"] = bytes(data[: chosen.choice([None, None, -4, -9])])
    return found


def _malformed() -> Iterator[tuple[str, bytes]]:
    for kind in ORIENTED:
        for name, exif in malformed_exif().items():
            yield f"{kind} with EXIF: {name}", with_exif(kind, exif)
    both = saved(gradient(), "JPEG", xmp=XMP.format(6).encode(), exif=b"Exif\0\0XX")
    yield "JPEG with malformed EXIF and XMP", both


def with_exif(kind: str, exif: bytes) -> bytes:
    """An image file with EXIF that Pillow need not be able to write."""
    if kind == "PNG":
        return with_chunk(saved(gradient()), b"eXIf", exif[6:], b"IDAT")
    return saved(gradient(), kind, exif=exif)


ODD: Final[dict[str, bytes]] = {
    name: raw
    for group in (_modes, _transparent, _animated, _oriented, _malformed)
    for name, raw in group()
}
"""Image files by what is odd about them."""
