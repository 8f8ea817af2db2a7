"""Rules of descriptors, sidecars and references: each names one image, consistently."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import RawMMError, contract_error, counted, shown, shown_hash, shown_text
from rawmm.locators import locator_of, names_image, scheme_of, stored_hash, unquoted, uri_problem
from rawmm.media import MODALITIES, mm_refs_names
from rawmm.model.types import PATTERNS
from rawmm.rules.ref_text import PREFIX, read_ref
from rawmm.rules.rule import Rule, reader
from rawmm.rules.scalars import is_base64
from rawmm.values.errors import processed_key
from rawmm.values.processed import is_processed_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rawmm.errors import Path
    from rawmm.model.types import (
        GenerateFeatures,
        MMImageItem,
        MMImageRef,
        MMRefs,
        MultiModalData,
        PlaceholderRange,
        RawMMItem,
        RawMMRef,
    )


_ORDER_HINT: Final = "the items and hashes are in different order, or one was replaced"


def _locator(item: RawMMItem, path: Path) -> Iterator[RawMMError]:
    uri = item.raw_image_uri
    if uri is None:
        return
    if item.raw_image_id is not None:
        yield contract_error(
            "locator_conflict",
            path,
            expected="at most one of raw_image_id and raw_image_uri",
            got="both",
            hint="the id names a file in the run's directory; the URI needs no directory",
        )
    yield from _uri(uri, (*path, "raw_image_uri"))


_read_uri = reader("raw_image_uri")


def _has_no_uri(item: RawMMItem) -> bool:
    return not _read_uri(item)[0]


def _uri(uri: str, path: Path) -> Iterator[RawMMError]:
    if problem := uri_problem(uri):
        yield contract_error(problem.code, path, expected=problem.expected, got=problem.got)


def _another_image(
    item: RawMMItem | MMImageItem | RawMMRef, sha256: str, path: Path
) -> RawMMError | None:
    """The error of a locator that names another image than `sha256`; None if it does not."""
    locator = locator_of(item)
    if locator is None or names_image(locator, sha256):
        return None
    name = "raw_image_uri" if item.raw_image_id is None else "raw_image_id"
    return contract_error(
        "hash_mismatch",
        (*path, name),
        expected=f"the image of hash {shown_hash(sha256)}",
        got=shown(locator),
        hint=_ORDER_HINT,
    )


def _same_counts(lists: dict[str, Any], path: Path) -> Iterator[RawMMError]:
    """An error for each list whose length is not the most common one of its modality."""
    first, *others = ({key: len(of) for key, of in by.items()} for by in lists.values())
    if all(sizes == first for sizes in others):
        return
    for modality in dict.fromkeys(key for by_modality in lists.values() for key in by_modality):
        sizes = {name: len(by[modality]) for name, by in lists.items() if modality in by}
        if len(set(sizes.values())) < 2:
            continue
        common = Counter(sizes.values()).most_common(1)[0][0]
        all_sizes = ", ".join(f"{name} {size}" for name, size in sizes.items())
        for name, size in sizes.items():
            if size != common:
                yield contract_error(
                    "count_mismatch",
                    (*path, name, modality),
                    expected=f"{counted(common, 'entry', 'entries')} ({all_sizes})",
                    got=str(size),
                    hint="every item has one hash and one range",
                )


def _sorted_ranges(
    ranges: Sequence[PlaceholderRange | MMImageRef], path: Path
) -> Iterator[RawMMError]:
    end = 0
    for index, one in enumerate(ranges):
        if one.offset < end:
            yield contract_error(
                "placeholder_order",
                (*path, index),
                expected=f"an offset of at least {end}, where the previous range ends",
                got=str(one.offset),
                hint="ranges must be sorted by offset and must not overlap",
            )
        end = max(end, one.offset + one.length)


def _modality(expected: str, got: str, path: Path) -> RawMMError:
    return contract_error(
        "modality_mismatch",
        path,
        expected=shown(expected),
        got=shown(got),
        hint="items are listed under their own modality",
    )


def _sidecar(sidecar: MultiModalData, path: Path) -> Iterator[RawMMError]:
    items, ranges, hashes = sidecar.mm_items, sidecar.mm_placeholders, sidecar.mm_hashes
    lists: dict[str, Any] = {
        "mm_hashes": hashes,
        "mm_placeholders": ranges,
        "mm_items": items,
    }
    yield from _processed_names(lists, path)
    yield from _same_counts(lists, path)
    for modality, found in items.items():
        at = (*path, "mm_items", modality)
        for index, item in enumerate(found):
            if item.modality != modality:
                yield _modality(modality, item.modality, (*at, index, "modality"))
        for index, (item, sha) in enumerate(zip(found, hashes.get(modality, ()), strict=False)):
            if error := _another_image(item, sha, (*at, index)):
                yield error
    for modality, spans in ranges.items():
        yield from _sorted_ranges(spans, (*path, "mm_placeholders", modality))


def _sidecar_holds(sidecar: MultiModalData) -> bool:
    items, ranges, hashes = sidecar.mm_items, sidecar.mm_placeholders, sidecar.mm_hashes
    if not items.keys() == ranges.keys() == hashes.keys():
        return False
    for modality, found in items.items():
        spans, shas = ranges[modality], hashes[modality]
        if is_processed_key(modality):
            return False
        if not len(found) == len(spans) == len(shas):
            return False
        end = 0
        for item, span, sha256 in zip(found, spans, shas, strict=True):
            locator = locator_of(item)
            if (
                item.modality != modality
                or span.offset < end
                or not (locator is None or names_image(locator, sha256))
            ):
                return False
            end = span.offset + span.length
    return True


def _processed_names(lists: dict[str, Any], path: Path) -> Iterator[RawMMError]:
    """An error for each modality with the name of processed data."""
    for name, by_modality in lists.items():
        for modality, found in by_modality.items():
            if is_processed_key(modality):
                yield processed_key(modality, found, (*path, name))


def _features(features: GenerateFeatures, path: Path) -> Iterator[RawMMError]:
    lists: dict[str, Any] = {
        name: by_modality
        for name in ("mm_hashes", "mm_placeholders", "kwargs_data", "mm_metadata")
        if (by_modality := getattr(features, name)) is not None
    }
    yield from _processed_names(lists, path)
    yield from _same_modalities(lists, path)
    yield from _same_counts(lists, path)
    for modality, spans in features.mm_placeholders.items():
        yield from _sorted_ranges(spans, (*path, "mm_placeholders", modality))
    yield from _disjoint(features.mm_placeholders, (*path, "mm_placeholders"))
    for modality, slots in (features.kwargs_data or {}).items():
        ids = features.mm_hashes.get(modality, [])
        for index, slot in enumerate(slots):
            at = (*path, "kwargs_data", modality, index)
            if slot is not None and slot.startswith(PREFIX):
                sha = ids[index] if index < len(ids) and _is_hash(ids[index]) else None
                yield from _slot(slot, modality, sha, at)
            elif slot is not None:
                yield from _base64(slot, at)
    for modality, slots in (features.mm_metadata or {}).items():
        for index, slot in enumerate(slots):
            if slot is not None:
                yield from _base64(slot, (*path, "mm_metadata", modality, index))


def _same_modalities(lists: dict[str, Any], path: Path) -> Iterator[RawMMError]:
    """An error for each modality that a map of engine features lacks."""
    for modality in dict.fromkeys(key for by_modality in lists.values() for key in by_modality):
        having = [name for name, by_modality in lists.items() if modality in by_modality]
        for name in lists:
            if name not in having:
                yield contract_error(
                    "count_mismatch",
                    (*path, name),
                    expected=f"the modality {shown_text(modality)}, as in {' and '.join(having)}",
                    got="a map without it",
                    hint="all maps of engine features have the same modalities; null is no map",
                )


def _disjoint(ranges: dict[str, list[PlaceholderRange]], path: Path) -> Iterator[RawMMError]:
    """An error for each range that overlaps one of another modality."""
    if len(ranges) < 2:
        return
    placed = [(one, name, index) for name, of in ranges.items() for index, one in enumerate(of)]
    placed.sort(key=lambda each: each[0].offset)
    end, owner = 0, ""
    for one, name, index in placed:
        if one.offset < end and name != owner:
            yield contract_error(
                "placeholder_order",
                (*path, name, index),
                expected=f"an offset of at least {end}, where a range of {shown_text(owner)} ends",
                got=str(one.offset),
                hint="ranges must not overlap, whatever their modalities",
            )
        if one.offset + one.length > end:
            end, owner = one.offset + one.length, name


def _base64(text: str, path: Path) -> Iterator[RawMMError]:
    """The error of an item that is not in the engine's own encoding."""
    if not is_base64(text):
        yield contract_error(
            "bad_base64",
            path,
            expected=f"strict base64, or a reference that begins with {PREFIX}",
            got=f"{len(text)} characters of other text",
        )


_is_hash: Final = re.compile(PATTERNS["ImageHash"]).match


def _slot(text: str, modality: str, sha256: str | None, path: Path) -> Iterator[RawMMError]:
    """The errors of a reference: its text, its modality and its hash."""
    ref: RawMMRef | RawMMError
    try:
        ref = read_ref(text)
    except RawMMError as error:
        ref = error
    if isinstance(ref, RawMMError):
        where = "" if ref.path == "$" else f" at {ref.path} of the reference"
        yield contract_error(
            ref.code, path, expected=ref.expected, got=ref.got + where, hint=ref.hint
        )
        return
    if ref.modality != modality:
        yield _modality(modality, ref.modality, path)
    if sha256 is not None and not (
        ref.mm_hash.startswith(sha256) or sha256.startswith(ref.mm_hash)
    ):
        yield contract_error(
            "hash_mismatch",
            path,
            expected=f"a reference to the image of hash {shown_hash(sha256)}",
            got=f"one to {shown_hash(ref.mm_hash)}",
            hint="the references and hashes are in different order, or one was replaced",
        )


def _ref(ref: RawMMRef, path: Path) -> Iterator[RawMMError]:
    if error := _another_image(ref, ref.mm_hash, path):
        yield error


def _image_ref(ref: MMImageRef, path: Path) -> Iterator[RawMMError]:
    item = ref.item
    yield from _uri(ref.uri, (*path, 2))
    modality = MODALITIES.get(item.modality)
    if modality is None or not modality.in_mm_refs:
        yield contract_error(
            "unsupported_modality",
            (*path, 0, "modality"),
            expected=f"a modality of this transport: {', '.join(mm_refs_names())}",
            got=shown_text(item.modality),
        )
    if error := _another_image(item, ref.hash, (*path, 0)):
        yield error
    if not names_image(ref.uri, ref.hash):
        yield contract_error(
            "hash_mismatch",
            (*path, 2),
            expected=f"a URI of the image of hash {shown_hash(ref.hash)}",
            got=shown(ref.uri),
        )
    elif (own := item.raw_image_uri) and not _same_file(own, ref.uri):
        yield contract_error(
            "locator_conflict",
            (*path, 2),
            expected=f"the file of the item, {shown_text(_name_of(own))}",
            got=shown_text(_name_of(ref.uri)),
            hint="the item and the URI name different images",
        )


def _same_file(one: str, other: str) -> bool:
    """Whether two URLs may point to the same file.

    Directories differ between machines, and stores use their own paths, so only the names of two
    ``file://`` URLs are compared. Names with hashes may have different numbers of digits; another
    check compares them with the hash of the image.
    """
    if scheme_of(one) != "file" or scheme_of(other) != "file":
        return True
    return bool(stored_hash(one) and stored_hash(other)) or _name_of(one) == _name_of(other)


def _name_of(url: str) -> str:
    return unquoted(url.rpartition("/")[2])


def _image_refs(refs: MMRefs, path: Path) -> Iterator[RawMMError]:
    yield from _sorted_ranges(refs.images, (*path, 0))


RULES: Final = (
    Rule("locator", _locator, _has_no_uri),
    Rule("sidecar", _sidecar, _sidecar_holds),
    Rule("features", _features),
    Rule("ref", _ref),
    Rule("image_ref", _image_ref),
    Rule("image_refs", _image_refs),
)
