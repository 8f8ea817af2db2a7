"""Images that old forms carry inline: checked in full, located, and not written yet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import OffloadError, contract_error, shown, shown_hash
from rawmm.images import Limits, PreparedImage, parse_data_url, prepare_image
from rawmm.model.types import PATTERNS

if TYPE_CHECKING:
    from rawmm.store import ImageStore
    from rawmm.upgrades.step import Path

_HASH: Final = re.compile(PATTERNS["ImageHash"])


class InlineImage(NamedTuple):
    """An image out of a data URL, and how a newer form points at it.

    Attributes:
        image: the checked image.
        locator: the fields of a descriptor: ``raw_image_id`` where there is a store, else
            ``raw_image_uri`` with the data URL.
        uri: a complete URL, in either case.
        to_store: the image, where there is a store to write it to.
    """

    image: PreparedImage
    locator: dict[str, str]
    uri: str
    to_store: tuple[PreparedImage, ...]

    @property
    def whereabouts(self) -> str:
        """Where the image is now, for a note."""
        (name,) = self.locator
        return f"stored, under its {name}" if self.to_store else f"still inline, in {name}"


def read_inline(url: Any, sha256: Any, path: Path, store: ImageStore | None) -> InlineImage:
    """Check the image of a data URL against the hash beside it.

    Args:
        url: what stands in the document, at `path`.
        sha256: the hash; anything that is none says nothing, and is an error of its own.
        path: where, for errors.
        store: where the image will be; None to leave it inline.

    Raises:
        OffloadError: ``bad_locator``, ``bad_base64``, ``wrong_type``, ``image_limit``,
            ``not_an_image`` or ``image_type_mismatch``.
        ContractError: ``hash_mismatch``.
    """
    if not isinstance(url, str):
        raise contract_error("wrong_type", path, expected="a data URL", got=shown(url))
    try:
        image = prepare_image(url, store.limits if store else Limits())
    except OffloadError as error:
        raise error.at(path, path="$") from None
    if isinstance(sha256, str) and _HASH.match(sha256) and not image.sha256.startswith(sha256):
        raise contract_error(
            "hash_mismatch",
            path,
            expected=f"the image of hash {shown_hash(sha256)}",
            got=f"the image of hash {shown_hash(image.sha256)}",
            hint="the images and hashes are in different order, or one was replaced",
        )
    if store is not None:
        uri = store.uri(image.facts)
        return InlineImage(image, {"raw_image_id": image.raw_image_id}, uri, (image,))
    head = parse_data_url(url)
    # The head is the same to every reader in any case; the contract has it in lower case.
    uri = f"data:{head.media_type};base64,{head.text}"
    return InlineImage(image, {"raw_image_uri": uri}, uri, ())
