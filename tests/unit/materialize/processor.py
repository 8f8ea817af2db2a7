"""An image processor for tests: Qwen's call protocol, attributes and arrays, in Pillow and numpy."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rawmm import MMImageRef, StoredImage, layouts
from rawmm.describe import describe_image

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from rawmm import ImageStore

SIZE = {"shortest_edge": 3_136, "longest_edge": 1_003_520}
QWEN = layouts.get("qwen_vl", patch_size=14, min_pixels=3_136, max_pixels=1_003_520)


@dataclass
class PatchProcessor:
    """Cuts images into patches like ``Qwen2VLImageProcessor``, and records its arguments."""

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    size: dict[str, int] = field(default_factory=SIZE.copy)
    seen: list[Image.Image] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __call__(
        self, *, images: list[Image.Image], return_tensors: str | None = None
    ) -> dict[str, Any]:
        with self._lock:
            self.seen += images
            self.asked.append(return_tensors)
        layout = layouts.get(
            "qwen_vl",
            patch_size=self.patch_size,
            merge_size=self.merge_size,
            temporal_patch_size=self.temporal_patch_size,
            min_pixels=self.size["shortest_edge"],
            max_pixels=self.size["longest_edge"],
        )
        grids, patches = [], []
        for image in images:
            _, rows, columns = grid = layout.describe(*image.size).grid
            side = self.patch_size
            resized = image.resize((columns * side, rows * side))
            pixels = np.asarray(resized, dtype=np.float32).reshape(rows, side, columns, side, 3)
            patches.append(pixels.swapaxes(1, 2).reshape(rows * columns, -1))
            grids.append(grid)
        return {"pixel_values": np.concatenate(patches), "image_grid_thw": np.array(grids)}


def ref_to(
    image: StoredImage | bytes, uri: str | None = None, offset: int = 0, **other: Any
) -> MMImageRef:
    """A reference to an image, as the trainer gets it; `other` replaces fields.

    The item of a stored image has the locator of `uri`; that of bytes has none.
    """
    described = describe_image(image, QWEN)
    fields = {
        "item": described.item,
        "hash": described.mm_hash,
        "uri": image.uri if isinstance(image, StoredImage) else uri,
        "offset": offset,
        "length": described.placeholder_length,
    }
    return MMImageRef(**fields | other)


def refs_to(store: ImageStore, *raw: bytes, gap: int = 2) -> list[MMImageRef]:
    """Stores images and returns references to them, with `gap` other tokens before each."""
    refs: list[MMImageRef] = []
    for one in raw:
        end = refs[-1].offset + refs[-1].length if refs else 0
        refs.append(ref_to(store.put(one), offset=end + gap))
    return refs


def file_of(ref: MMImageRef, store: ImageStore) -> Path:
    """The file of a reference."""
    return store.root / ref.uri.rpartition("/")[2]
