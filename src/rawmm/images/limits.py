"""Limits on offloaded images, checked against lengths and headers before a pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from rawmm.errors import OffloadError, contract_error, shown
from rawmm.real_class import is_a

_CHOICES: Final = frozenset({"mislabelled", "truncated", "other_media"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for one image, and for what one call may contain.

    Attributes:
        max_bytes: size of one encoded image file in bytes. The default of 64 MiB is far above
            any screenshot.
        max_pixels: width times height. The default of 89,478,485 is the size above which Pillow
            warns of a decompression bomb.
        max_edge: the longer side in pixels. The default of 32,768 fits a full-page screenshot.
        min_edge: the shorter side in pixels. The default of 1 accepts everything. Set it to the
            patch size of the model (28 for Qwen2-VL) to refuse images that are too small for it.
        max_images: images in one call of `offload_images_inplace`.
        mislabelled: ``accept`` stores an image whose declared media type is wrong under its own
            type; ``refuse`` raises ``image_type_mismatch``.
        truncated: ``accept`` stores a PNG without IEND and a GIF without trailer if their frames
            are complete, because every decoder reads them; ``refuse`` raises ``not_an_image``.
        other_media: ``accept`` leaves audio, video and documents as they are; ``refuse`` raises
            ``other_media``.
        decode: decode the pixels of each image, to find a file whose header is good and whose
            body is damaged: a PNG with a wrong checksum, and what Pillow cannot decode. For a
            screenshot of 1024 x 768 this takes 4 ms (JPEG), 8 ms (PNG) or 25 ms (WebP) instead of
            0.2 to 0.4 ms, for a photo of 4032 x 3024 (JPEG) 300 ms instead of 23 ms.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 89_478_485
    max_edge: int = 32_768
    min_edge: int = 1
    max_images: int = 10_000
    mislabelled: Literal["accept", "refuse"] = "accept"
    truncated: Literal["accept", "refuse"] = "accept"
    other_media: Literal["accept", "refuse"] = "accept"
    decode: bool = False

    def __post_init__(self) -> None:
        """Check the limits themselves.

        Raises:
            ContractError: ``wrong_type`` if a number is not an integer or `decode` not a boolean,
                ``out_of_range`` if a number is negative, ``bad_value`` for another word than
                ``accept`` or ``refuse``.
        """
        for name in self.__slots__:
            value = getattr(self, name)
            if name in _CHOICES:
                if type(value) is not str or value not in {"accept", "refuse"}:
                    raise contract_error(
                        "bad_value", (name,), expected="'accept' or 'refuse'", got=shown(value)
                    )
            elif name == "decode":
                if type(value) is not bool:
                    raise contract_error(
                        "wrong_type", (name,), expected="true or false", got=shown(value)
                    )
            elif type(value) is not int or value < 0:
                raise contract_error(
                    "out_of_range" if type(value) is int else "wrong_type",
                    (name,),
                    expected="an integer, at least 0",
                    got=shown(value),
                )

    def check_bytes(self, size: int) -> None:
        """Check the size of an image file in bytes.

        Raises:
            OffloadError: ``image_limit``.
        """
        if size > self.max_bytes:
            raise _over_limit(
                f"at most {self.max_bytes} bytes in an image",
                f"{size} bytes",
                "compress or resize the image, or raise Limits.max_bytes",
            )

    def check_dimensions(self, width: int, height: int) -> None:
        """Check width and height in pixels.

        Raises:
            OffloadError: ``image_limit``.
        """
        shorter, longer = (width, height) if width < height else (height, width)
        if self.min_edge <= shorter and longer <= self.max_edge:
            if width * height <= self.max_pixels:
                return
            raise _over_limit(
                f"at most {self.max_pixels} pixels in an image",
                f"{width * height} ({width} x {height} pixels)",
                "resize the image, or raise Limits.max_pixels",
            )
        got = f"{width} x {height} pixels"
        if shorter < self.min_edge:
            raise _over_limit(
                f"sides of at least {self.min_edge} pixels",
                got,
                "leave the image out or enlarge it, or lower Limits.min_edge",
            )
        raise _over_limit(
            f"sides of at most {self.max_edge} pixels",
            got,
            "resize the image, or raise Limits.max_edge",
        )

    def check_count(self, images: int) -> None:
        """Check the number of image parts in a call.

        Raises:
            OffloadError: ``image_limit``.
        """
        if images > self.max_images:
            raise _over_limit(
                f"at most {self.max_images} image parts in a call",
                str(images),
                "offload fewer messages at a time, or raise Limits.max_images",
            )


def checked_limits(limits: Any) -> Limits | None:
    """Return a `limits` argument if it is `Limits` or None.

    Raises:
        ContractError: ``wrong_type``.
    """
    if limits is None or is_a(limits, Limits):
        return limits
    raise contract_error(
        "wrong_type",
        ("limits",),
        expected="rawmm.Limits",
        got=shown(limits),
        hint="pass Limits(max_bytes=...)",
    )


def _over_limit(expected: str, got: str, hint: str) -> OffloadError:
    return OffloadError("image_limit", expected=expected, got=got, hint=hint)
