"""Reference strings, in whichever form they were written. `rawmm.refs` reads them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.codec import to_builtins
from rawmm.engine import raw_mm_ref, split_raw_mm_ref
from rawmm.errors import RawMMError
from rawmm.locators import scheme_of
from rawmm.upgrades.images import read_inline
from rawmm.upgrades.processed import advised
from rawmm.upgrades.step import Step

if TYPE_CHECKING:
    from rawmm.store import ImageStore
    from rawmm.upgrades.step import Path

CANONICAL: Final = "mmraw"
_BASE64: Final = "mmraw_base64"
_FORMS: Final = {"mmraw:v2:": "mmraw_v2", "mmraw:v3:": "mmraw_v3", "mmraw:{": "mmraw_json"}
_OF_A_RUN: Final = frozenset({"mmraw_v2", "mmraw_v3"})


def upgraded(ref: str, path: Path, store: ImageStore | None) -> tuple[str, Step]:
    """The form of a reference, and its fields as `RawMMRef` has them.

    An image that stands inline in an old form is checked against the hash, and located.

    Raises:
        ContractError, ProcessedPayloadError: as `split_raw_mm_ref`; ``hash_mismatch``.
        OffloadError: the data URL is not one of an image.
    """
    try:
        fields: dict[str, Any] = to_builtins(split_raw_mm_ref(ref))
    except RawMMError as error:
        raise advised(error).at(path) from None
    if ref == written(fields):
        return CANONICAL, Step(fields, "")
    form = next((name for start, name in _FORMS.items() if ref.startswith(start)), _BASE64)
    change = "written as compact JSON"
    if form in _OF_A_RUN:
        change += ", without the id of a run"
    url = fields.get("raw_image_uri")
    if url is None or scheme_of(url) != "data":
        return form, Step(fields, change)
    found = read_inline(url, fields["mm_hash"], path, store)
    rest = {name: value for name, value in fields.items() if name != "raw_image_uri"}
    change += f"; the image is {found.whereabouts}"
    return form, Step({**rest, **found.locator}, change, found.to_store)


def written(fields: dict[str, Any]) -> str:
    """The canonical string of a reference."""
    return raw_mm_ref(**fields)
