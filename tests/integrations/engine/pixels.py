"""Reads and decodes images as vLLM 0.33 does. ``tests/integrations/vllm`` compares the pixels."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from PIL import Image, ImageOps

from tests.integrations.engine.protocol import EngineError, bad_request, internal_error

if TYPE_CHECKING:
    from collections.abc import Callable


def read_image(url: str, allowed: Path | None) -> bytes:
    """The raw bytes of a data URL, or of a file below `allowed`.

    Raises:
        EngineError: as vLLM answers.
    """
    if url[:5].lower() == "data:":
        return _read_data_url(url)
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise bad_request("The URL must be either a HTTP, data or file URL.")
    if allowed is None:
        raise internal_error("Cannot load local files without `--allowed-local-media-path`.")
    path = Path(url2pathname(parts.netloc + parts.path))
    if allowed.resolve() not in path.resolve().parents:
        raise bad_request(
            "The file path <path> must be a subpath of `--allowed-local-media-path <path>`."
        )
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise internal_error("[Errno 2] No such file or directory: '<path>'") from error


def _read_data_url(url: str) -> bytes:
    about, comma, data = url[5:].partition(",")
    if not comma:
        raise bad_request("Invalid data URL: missing ',' separator.")
    if about.rpartition(";")[2] != "base64":
        raise EngineError(
            HTTPStatus.NOT_IMPLEMENTED,
            "NotImplementedError",
            "Only base64 data URLs are supported for now.",
        )
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise bad_request(str(error)) from error


def decode_image(
    raw: bytes, open_image: Callable[[io.BytesIO], Image.Image] = Image.open
) -> Image.Image:
    """RGB pixels: upright by EXIF, transparency on white.

    Raises:
        EngineError: as vLLM answers to what Pillow cannot read.
    """
    try:
        image = open_image(io.BytesIO(raw))
        with contextlib.suppress(Exception):  # a broken EXIF block leaves the image as it is
            image = ImageOps.exif_transpose(image)
        image.load()
        if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
            image = image.convert("RGBA")
            upon = Image.new("RGB", image.size, (255, 255, 255))
            upon.paste(image, mask=image.getchannel("A"))
            return upon
        return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise bad_request(f"Failed to load image: {error}") from error
