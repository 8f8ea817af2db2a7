"""What the children need, loaded once in the process that they are forked from."""

from __future__ import annotations

import pybase64
from PIL import Image

import rawmm
import rawmm.cli
import rawmm.offload

__all__ = ["Image", "pybase64", "rawmm"]

Image.init()
