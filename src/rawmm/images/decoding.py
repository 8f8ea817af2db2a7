"""Which pixels a raw image stands for, and how to decode them.

An image file may say that it is to be shown turned, and its pixels may be transparent. Programs
differ in what they make of that, so pixels may differ although hash, grid and token count agree.
`ImageDecoding` states it; the two sides of a run must use the same one.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from rawmm.errors import OffloadError, contract_error, shown
from rawmm.images.blocks import PNG_MAGIC
from rawmm.images.header import FORMATS
from rawmm.images.metadata import is_transparent, orientation_of
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from PIL import Image

    from rawmm.images.header import ImageHeader

_FIRST_SIDEWAYS: Final = 5
"""The first orientation that swaps width and height."""

_TRANSPOSITIONS: Final = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""Names of ``PIL.Image.Transpose`` by orientation."""

_DECODER_ERRORS: Final = (
    OSError,
    IndexError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    Warning,
)
"""Exceptions of Pillow's decoders for damaged files, and warnings that a filter may raise."""


@dataclass(frozen=True, slots=True)
class ImageDecoding:
    """How the pixels of an image file are decoded. The default is that of the engine, vLLM 0.33.

    Attributes:
        orientation: ``exif`` turns an image by its EXIF orientation, as far as Pillow's
            ``exif_transpose`` does; ``stored`` leaves the pixels as they are.
        background: the colour on which transparent pixels are put, as red, green and blue from 0
            to 255; None drops the alpha channel, so that a transparent pixel has the colour that
            the file happens to have for it, often black.
    """

    orientation: Literal["exif", "stored"] = "exif"
    background: tuple[int, int, int] | None = (255, 255, 255)

    def __post_init__(self) -> None:
        """Check the values. A list as background becomes a tuple.

        Raises:
            ContractError: ``bad_value``, ``wrong_type`` or ``out_of_range``.
        """
        if not is_a(self.orientation, str) or self.orientation not in {"exif", "stored"}:
            raise contract_error(
                "bad_value",
                ("orientation",),
                expected="'exif' or 'stored'",
                got=shown(self.orientation),
            )
        if self.background is not None:
            object.__setattr__(self, "background", _colour(self.background))

    @property
    def differences(self) -> dict[str, Any]:
        """What is not as in `ENGINE`, for `Layout.fingerprint`, which hashes it."""
        values: dict[str, Any] = {}
        if self.orientation != ENGINE.orientation:
            values["decoding_orientation"] = self.orientation
        if self.background != ENGINE.background:
            values["decoding_background"] = self.background and list(self.background)
        return values

    def size_of(self, header: ImageHeader) -> tuple[int, int]:
        """Width and height of the decoded pixels of an image with this header."""
        if self.orientation == "exif" and header.orientation >= _FIRST_SIDEWAYS:
            return header.height, header.width
        return header.width, header.height


def _colour(value: object) -> tuple[int, int, int]:
    if not is_a(value, tuple | list) or len(value) != 3 or any(type(v) is not int for v in value):
        code = "wrong_type"
    elif any(not 0 <= v <= 255 for v in value):
        code = "out_of_range"
    else:
        red, green, blue = value
        return red, green, blue
    raise contract_error(
        code,
        ("background",),
        expected="red, green and blue from 0 to 255, or None",
        got=shown(value),
    )


ENGINE: Final = ImageDecoding()
"""What vLLM 0.33 does: orientation by EXIF, transparency on white. The default everywhere."""

STORED: Final = ImageDecoding(orientation="stored", background=None)
"""What ``PIL.Image.open(...).convert("RGB")`` does: renderers 0.1.12 and bare image processors."""


def checked_decoding(decoding: Any) -> ImageDecoding:
    """Return a `decoding` argument.

    Raises:
        ContractError: ``wrong_type``.
    """
    if is_a(decoding, ImageDecoding):
        return decoding
    raise contract_error(
        "wrong_type",
        ("decoding",),
        expected="an ImageDecoding",
        got=shown(decoding),
        hint="pass rawmm.ENGINE, rawmm.STORED or ImageDecoding(...)",
    )


def decode_pixels(
    raw: bytes, decoding: ImageDecoding, *, at_least: int | None = None
) -> Image.Image:
    """The pixels of a checked PNG, JPEG, WebP or GIF file in RGB; of an animation the first frame.

    The result has no metadata, so that no image processor turns it again.

    Args:
        raw: the file.
        decoding: what to make of orientation and transparency.
        at_least: a side in pixels that is enough. A JPEG is then decoded at a fraction of its
            size, which is faster.

    Raises:
        OffloadError: ``not_an_image``, or ``image_limit`` for a decompression bomb.
    """

    def decoded(image: Image.Image) -> Image.Image:
        if decoding.orientation == "exif":
            image = _upright(image)
        return _rgb(image, decoding.background)

    return _loaded(raw, decoded, at_least)


def _upright(image: Image.Image) -> Image.Image:
    from PIL import Image

    name = _TRANSPOSITIONS.get(orientation_of(image.info))
    return image if name is None else image.transpose(Image.Transpose[name])


def _rgb(image: Image.Image, background: tuple[int, int, int] | None) -> Image.Image:
    from PIL import Image

    if background is None or not is_transparent(image):
        image.info.clear()
        return image.convert("RGB")
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    pixels = Image.new("RGB", layer.size, background)
    pixels.paste(layer, mask=layer.getchannel("A"))
    return pixels


def check_body(raw: bytes, header: ImageHeader) -> None:
    """Decode the pixels of a file whose header is good, and check the checksums of a PNG.

    Pillow, and so the engine, ignores the checksums of pixel data; other readers do not. Pillow
    fills missing pixels of a JPEG with grey, so not every damaged JPEG is found.

    Raises:
        OffloadError: as `decode_pixels`.
    """
    if header.media_type == "image/png" and not _png_checksums_match(raw):
        raise _damaged(raw)
    _loaded(raw, lambda image: image)


def _png_checksums_match(raw: bytes) -> bool:
    view, position, kind = memoryview(raw), len(PNG_MAGIC), b""
    # The last chunk may be missing, see `Limits.truncated`.
    while position + 12 <= len(raw) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", raw, position)
        end = position + 8 + length
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", raw, end)[0]:
            return False
        position = end + 4
    return True


def _loaded(raw: bytes, result: Any, at_least: int | None = None) -> Image.Image:
    """`result` of the image with its pixels loaded.

    Raises:
        OffloadError: as `decode_pixels`.
    """
    from PIL import Image

    try:
        # Other decoders of Pillow, some of which start programs, are not tried.
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            image.load()
            loaded: Image.Image = result(image)
            return loaded
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        code, expected = "image_limit", f"at most {Image.MAX_IMAGE_PIXELS} pixels"
        error = OffloadError(
            code,
            expected=expected,
            got="more",
            hint="raise PIL.Image.MAX_IMAGE_PIXELS to Limits.max_pixels",
        )
    except _DECODER_ERRORS:
        # Decoders may quote the file in their messages, so these are dropped.
        error = _damaged(raw)
    raise error


def _damaged(raw: bytes) -> OffloadError:
    return OffloadError(
        "not_an_image",
        expected="an image file that can be decoded",
        got=f"{len(raw)} damaged bytes",
        hint="write the image again from its source, or leave it out",
    )
