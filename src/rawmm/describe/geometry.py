"""The error of a placeholder whose length is not that of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawmm.errors import contract_error, counted, shown_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawmm.describe.messages import FoundImage
    from rawmm.errors import RawMMError
    from rawmm.layouts import Layout


def wrong_length(
    image: FoundImage, name: str, got: int, layout: Layout, path: Iterable[str | int]
) -> RawMMError:
    """The error of a range or run of `got` tokens.

    Args:
        image: the image.
        name: which one it is, for example ``image 2 of the prompt``.
        got: the number of tokens that the engine or the record has.
        layout: the layout that described it.
        path: the path of the range or tokens.
    """
    described, width, height = image
    turned = layout.describe(height, width)
    hint = "the model has other layout parameters or limits on pixels, or the image was resized"
    if got == turned.num_tokens and got != described.num_tokens:
        hint = (
            "the engine read the image turned by 90 degrees: pass the decoding that the engine has "
            "for EXIF orientation, or the layout has other parameters"
        )
    return contract_error(
        "geometry_mismatch",
        path,
        expected=f"{counted(described.num_tokens, 'token')} for {name} "
        f"({shown_hash(described.mm_hash)}, {width} x {height} pixels), as the layout "
        f"{layout.family} computes",
        got=str(got),
        hint=hint,
    )
