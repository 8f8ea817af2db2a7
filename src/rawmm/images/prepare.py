"""Check and hash one image, given as a data URL or as bytes, before it is written. No I/O."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rawmm.errors import OffloadError, shown
from rawmm.images.data_url import DataUrl, decode_data_url, parse_data_url
from rawmm.images.decoding import check_body
from rawmm.images.header import (
    ImageHeader,
    check_complete,
    check_declared_type,
    check_end,
    is_mislabelled,
    read_header,
)
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from rawmm.images.limits import Limits

ImageSource: TypeAlias = str | bytes | bytearray | memoryview | DataUrl
"""A ``data:image/...;base64,`` URL, as text or parsed, or the bytes of an image file."""


class CheckedImage(NamedTuple):
    """An image file that passed every check."""

    raw: bytes
    header: ImageHeader
    has_end: bool = True


class ImageInfo(NamedTuple):
    """What is known of a checked image but its bytes.

    Attributes:
        sha256: 64 hex digits.
        header: type, width, height, orientation and transparency.
        size: bytes of the file.
        has_end: whether the file reaches its end marker, see `Limits.truncated`.
    """

    sha256: str
    header: ImageHeader
    size: int
    has_end: bool = True

    @property
    def raw_image_id(self) -> str:
        """The file name in a store: ``<sha256>.<extension>``."""
        return f"{self.sha256}.{self.header.extension}"

    def mislabelled(self, declared: str) -> bool:
        """Whether a declared media type, in lower case, is not that of the image."""
        return is_mislabelled(declared, self.header.media_type)

    def check(self, limits: Limits, declared: str) -> None:
        """Check against limits that may be lower than those the image was checked with.

        Raises:
            OffloadError: ``image_limit``, ``image_type_mismatch`` or ``not_an_image``.
        """
        if limits.mislabelled == "refuse":
            check_declared_type(declared, self.header)
        if limits.truncated == "refuse":
            check_end(self.header, has_end=self.has_end)
        limits.check_bytes(self.size)
        limits.check_dimensions(self.header.width, self.header.height)


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A checked and hashed image. ``raw`` is the whole file; ``sha256`` has 64 hex digits."""

    raw: bytes = field(repr=False)
    header: ImageHeader
    sha256: str
    has_end: bool = True

    @property
    def raw_image_id(self) -> str:
        """The file name in a store: ``<sha256>.<extension>``."""
        return self.info.raw_image_id

    @property
    def info(self) -> ImageInfo:
        """Everything but the bytes."""
        return ImageInfo(self.sha256, self.header, len(self.raw), self.has_end)


def check_image(source: ImageSource, limits: Limits) -> CheckedImage:
    """Decode a source, and check its type, limits and completeness.

    Raises:
        OffloadError: ``bad_locator``, ``bad_base64``, ``wrong_type``, ``image_limit``,
            ``not_an_image`` or ``image_type_mismatch``.
    """
    declared = None
    if is_a(source, str | DataUrl):
        data_url = parse_data_url(source) if is_a(source, str) else source
        # Check the length first, so that a gigabyte of text is refused without decoding it.
        limits.check_bytes(data_url.max_bytes - 2)
        declared = data_url.media_type
        raw = decode_data_url(data_url)
    elif (frozen := frozen_bytes(source, limits)) is not None:
        raw = frozen
    else:
        raise OffloadError(
            "wrong_type",
            expected="the bytes of an image file, or its data URL",
            got=shown(source),
            hint="encode the image first, e.g. with PIL.Image.Image.save",
        )
    limits.check_bytes(len(raw))
    header = read_header(raw)
    if declared is not None and limits.mislabelled == "refuse":
        check_declared_type(declared, header)
    limits.check_dimensions(header.width, header.height)
    header, has_end = check_complete(raw, header)
    if limits.truncated == "refuse":
        check_end(header, has_end=has_end)
    if limits.decode:
        check_body(raw, header)
    return CheckedImage(raw, header, has_end)


def frozen_bytes(source: object, limits: Limits | None = None) -> bytes | None:
    """Return immutable bytes for a bytes-like object, or None for any other object.

    Bytes are returned as they are. Data over the limits is refused before it is copied.

    Raises:
        OffloadError: ``image_limit``.
    """
    if type(source) is bytes:
        return source
    if not is_a(source, bytes | bytearray | memoryview):
        return None
    # A memoryview ignores what a subclass overrides. A released view raises ValueError.
    with suppress(ValueError), memoryview(source) as view:
        if limits is not None:
            limits.check_bytes(view.nbytes)
        return view.tobytes()
    return None


def prepare_image(source: ImageSource, limits: Limits) -> PreparedImage:
    """Check a source and hash its bytes.

    Raises:
        OffloadError: as `check_image`.
    """
    raw, header, has_end = check_image(source, limits)
    return PreparedImage(raw, header, hashlib.sha256(raw).hexdigest(), has_end)
