"""The forms ``mmraw_v2``, ``mmraw_v3``, ``mmraw_base64`` and ``mmraw_json`` of reference strings.

One parser reads all of them, so one upgrade serves all. Any of them may lack its fingerprint, see
`unversioned_fingerprint`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.codec import to_builtins
from rawmm.engine import split_raw_mm_ref, written_ref
from rawmm.errors import RawMMError
from rawmm.locators import scheme_of
from rawmm.real_class import is_a
from rawmm.upgrades.form import HistoricalForm, Step
from rawmm.upgrades.images import read_inline
from rawmm.upgrades.processed import with_advice

if TYPE_CHECKING:
    from rawmm.upgrades.form import Context, Path


def read_reference(ref: str, path: Path) -> dict[str, Any]:
    """The fields of a reference string of any form, as in `RawMMRef`.

    Raises:
        ContractError, ProcessedPayloadError: as `rawmm.split_raw_mm_ref`.
    """
    try:
        fields: dict[str, Any] = to_builtins(split_raw_mm_ref(ref))
    except RawMMError as error:
        raise with_advice(error).at(path) from None
    return fields


def write_reference(fields: dict[str, Any]) -> str:
    """The canonical string of a reference."""
    return written_ref(fields)


def _upgrade(ref: str, context: Context) -> Step:
    """The fields of the reference, with a locator in place of an inline image.

    Raises:
        ContractError: ``hash_mismatch``, and as `read_reference`.
        OffloadError: an inline image is not the data URL of an image.
    """
    return _canonical(ref, context, "written as compact JSON")


def _upgrade_of_run(ref: str, context: Context) -> Step:
    return _canonical(ref, context, "written as compact JSON, without the id of a run")


def _canonical(ref: str, context: Context, change: str) -> Step:
    fields = read_reference(ref, context.path)
    url = fields.get("raw_image_uri")
    if url is None or scheme_of(url) != "data":
        return Step(fields, change)
    found = read_inline(url, fields["mm_hash"], context.path, context.store)
    rest = {name: value for name, value in fields.items() if name != "raw_image_uri"}
    change += f"; the image is {found.whereabouts}"
    return Step({**rest, **found.locator}, change, found.to_store)


def is_canonical(ref: str, fields: dict[str, Any]) -> bool:
    """Whether a reference string is the canonical one of its fields."""
    return write_reference(fields) == ref


def _is_old_json(ref: str) -> bool:
    try:
        return not is_canonical(ref, read_reference(ref, ()))
    except RawMMError:
        return True


def _starts_with(prefix: str, value: Any) -> bool:
    return is_a(value, str) and value.startswith(prefix)


V2: Final = HistoricalForm(
    name="mmraw_v2",
    since="June to August 2026",
    of="RawMMRef",
    description="a reference of nine fields between colons",
    matches=lambda ref: _starts_with("mmraw:v2:", ref),
    upgrade=_upgrade_of_run,
)
V3: Final = HistoricalForm(
    name="mmraw_v3",
    since="June to August 2026",
    of="RawMMRef",
    description="a reference in base64, with raw_uri",
    matches=lambda ref: _starts_with("mmraw:v3:", ref),
    upgrade=_upgrade_of_run,
)
JSON: Final = HistoricalForm(
    name="mmraw_json",
    since="June to August 2026",
    of="RawMMRef",
    description="a reference in JSON, with raw_image_data or in another spelling",
    matches=lambda ref: _starts_with("mmraw:{", ref) and _is_old_json(ref),
    upgrade=_upgrade,
)
BASE64: Final = HistoricalForm(
    name="mmraw_base64",
    since="June to August 2026",
    of="RawMMRef",
    description="a reference in base64",
    matches=lambda ref: (
        _starts_with("mmraw:", ref)
        and not any(_starts_with(other, ref) for other in ("mmraw:v2:", "mmraw:v3:", "mmraw:{"))
    ),
    upgrade=_upgrade,
)
