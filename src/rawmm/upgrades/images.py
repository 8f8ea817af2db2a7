"""Images inside historical forms: validates them and makes locators, without storing yet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import OffloadError, contract_error, shown, shown_hash
from rawmm.images import Limits, PreparedImage, parse_data_url, prepare_image
from rawmm.model.types import PATTERNS

if TYPE_CHECKING:
    from rawmm.store import Store
    from rawmm.upgrades.form import Path

_HASH: Final = re.compile(PATTERNS["ImageHash"])


class InlineImage(NamedTuple):
    """An image from a data URL, and its locator in the newer form.

    Attributes:
        image: the validated image.
        locator: the descriptor's field: ``raw_image_id`` with a store, else ``raw_image_uri`` with
            the data URL.
        uri: a complete URL in either case.
        to_store: the image if there is a store, else empty.
    """

    image: PreparedImage
    locator: dict[str, str]
    uri: str
    to_store: tuple[PreparedImage, ...]

    @property
    def whereabouts(self) -> str:
        """Where the image is, for a note."""
        (name,) = self.locator
        return f"stored, under its {name}" if self.to_store else f"still inline, in {name}"


def read_inline(url: Any, sha256: Any, path: Path, store: Store | None) -> InlineImage:
    """Read the image of a data URL and compare it with the hash recorded beside it.

    Args:
        url: the value at `path`.
        sha256: the recorded hash. Anything else is ignored here; validation reports it.
        path: the path for errors.
        store: where the image will be stored; None leaves it inline.

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
            expected=f"the image of hash {shown_hash(sha256)}, as recorded beside it",
            got=f"the image of hash {shown_hash(image.sha256)}",
            hint="images and hashes are in different orders, or one was replaced",
        )
    if store is not None:
        from rawmm.store import urls_of  # an error that only names a form skips this import

        (uri,) = urls_of(store, [image.info])
        return InlineImage(image, {"raw_image_id": image.raw_image_id}, uri, (image,))
    # Readers ignore case, parameters and wrong types in the head; the contract has none of them.
    uri = f"data:{image.header.media_type};base64,{parse_data_url(url).text}"
    return InlineImage(image, {"raw_image_uri": uri}, uri, ())
