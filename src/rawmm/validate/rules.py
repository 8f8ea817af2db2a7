"""Rules of one object beyond its shape, by the names the schema lists them under.

Each is a function from a struct of the right shape to its errors. They run wherever a struct
comes to be, so they do nothing per token in Python: lengths, counts and sums are C loops.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from rawmm._contract import reader
from rawmm.errors import contract_error, counted, shown
from rawmm.locators import locator_of, names_image, uri_problem
from rawmm.validate import node_rules
from rawmm.validate.arrays import shown_shape, size_error
from rawmm.validate.graph import graph_errors
from rawmm.validate.payload import Mode, is_clean, payload_errors, plain_copy
from rawmm.validate.shape import definition, packed_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rawmm.errors import RawMMError
    from rawmm.structs import (
        Contract,
        EncodedArray,
        GenerateFeatures,
        MMImageItem,
        MMImageRef,
        MMRefs,
        MultiModalData,
        PackedStream,
        PlaceholderRange,
        RawMMItem,
        SamplingMask,
        Trace,
    )

    Path = tuple[str | int, ...]


def _payload(item: Any, path: Path) -> Iterator[RawMMError]:
    return _free(item, item.__descriptor_fields__, path, Mode.DESCRIPTOR)


def _free_json(struct: Any, path: Path) -> Iterator[RawMMError]:
    return _free(struct, struct.__json_fields__, path, Mode.JSON)


def _wire_values(trace: Trace, path: Path) -> Iterator[RawMMError]:
    return _free(trace, trace.__json_fields__, path, Mode.WIRE)


@cache
def _reader(kind: type[Any], fields: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    return reader(kind, *fields)


def _free(struct: Any, fields: tuple[str, ...], path: Path, mode: Mode) -> Iterator[RawMMError]:
    for name, value in _unclean(struct, fields, mode):
        yield from payload_errors(value, (*path, name), mode)


def _unclean(struct: Any, fields: tuple[str, ...], mode: Mode) -> Iterator[tuple[str, Any]]:
    """Free values that are not plain JSON, by field."""
    if not fields:
        return
    kind: Any = type(struct)
    for name, value in zip(fields, _reader(kind, fields)(struct), strict=True):
        if value is not UNSET and value is not None and not is_clean(value, mode):
            yield name, value


def settle(struct: Any) -> None:
    """Hold the free values of a struct that passed the rules as they will be decoded.

    Tuples, mappings and subclasses may be given where a struct is built; they are read as lists,
    dicts and plain scalars. A trace's are kept as they are.
    """
    fields: tuple[str, ...] = struct.__descriptor_fields__
    mode = Mode.DESCRIPTOR
    if "free_json" in struct.__rules__:
        fields, mode = struct.__json_fields__, Mode.JSON
    for name, value in _unclean(struct, fields, mode):
        setattr(struct, name, plain_copy(value))


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
            hint="the id is for a run's own directory, the uri is complete by itself",
        )
    yield from _uri(uri, (*path, "raw_image_uri"))


def _another_image(item: RawMMItem | MMImageItem, sha256: str, path: Path) -> RawMMError | None:
    """Why a file named by its hash is not the image of the hash beside it; None if it is."""
    locator = locator_of(item)
    if locator is None or names_image(locator, sha256):
        return None
    name = "raw_image_uri" if item.raw_image_id is None else "raw_image_id"
    return contract_error(
        "hash_mismatch",
        (*path, name),
        expected=f"the image of hash {sha256[:16]}, which stands beside it",
        got=shown(locator),
        hint="items and hashes are in different order, or one was replaced",
    )


def _uri(uri: str, path: Path) -> Iterator[RawMMError]:
    if problem := uri_problem(uri):
        yield contract_error(problem.code, path, expected=problem.expected, got=problem.got)


def _same_counts(lists: dict[str, Any], path: Path) -> Iterator[RawMMError]:
    """Lists of one modality have one length; those off the common one are named."""
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
                    hint="every medium has one hash, one range and one item",
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
                expected=f"an offset of at least {end}, where the range before ends",
                got=str(one.offset),
                hint="ranges are sorted by offset and do not overlap",
            )
        end = max(end, one.offset + one.length)


def _sidecar(sidecar: MultiModalData, path: Path) -> Iterator[RawMMError]:
    items, ranges, hashes = sidecar.mm_items, sidecar.mm_placeholders, sidecar.mm_hashes
    lists: dict[str, Any] = {
        "mm_hashes": hashes,
        "mm_placeholders": ranges,
        "mm_items": items,
    }
    yield from _same_counts(lists, path)
    for modality, found in items.items():
        for index, item in enumerate(found):
            if item.modality != modality:
                yield contract_error(
                    "modality_mismatch",
                    (*path, "mm_items", modality, index, "modality"),
                    expected=shown(modality),
                    got=shown(item.modality),
                    hint="an item stands under its own modality",
                )
        for index, (item, sha) in enumerate(zip(found, hashes.get(modality, ()), strict=False)):
            if error := _another_image(item, sha, (*path, "mm_items", modality, index)):
                yield error
    for modality, spans in ranges.items():
        yield from _sorted_ranges(spans, (*path, "mm_placeholders", modality))


def _features(features: GenerateFeatures, path: Path) -> Iterator[RawMMError]:
    lists: dict[str, Any] = {
        "mm_hashes": features.mm_hashes,
        "mm_placeholders": features.mm_placeholders,
    }
    if features.kwargs_data is not None:
        lists["kwargs_data"] = features.kwargs_data
    yield from _same_counts(lists, path)
    for modality, spans in features.mm_placeholders.items():
        yield from _sorted_ranges(spans, (*path, "mm_placeholders", modality))


def _image_ref(ref: MMImageRef, path: Path) -> Iterator[RawMMError]:
    yield from _uri(ref.uri, (*path, 2))
    if error := _another_image(ref.item, ref.hash, (*path, 0)):
        yield error
    if not names_image(ref.uri, ref.hash):
        yield contract_error(
            "hash_mismatch",
            (*path, 2),
            expected=f"a URI of the image of hash {ref.hash[:16]}",
            got=shown(ref.uri),
        )


def _image_refs(refs: MMRefs, path: Path) -> Iterator[RawMMError]:
    yield from _sorted_ranges(refs.images, (*path, 0))


def _array_size(encoded: EncodedArray, path: Path) -> Iterator[RawMMError]:
    if error := size_error(encoded.dtype, encoded.shape, encoded.data, path):
        yield error


def _packed(stream: PackedStream[Any], path: Path) -> Iterator[RawMMError]:
    yield from packed_errors(stream, definition(type(stream).__name__), path)


def _sampling_mask(mask: SamplingMask, path: Path) -> Iterator[RawMMError]:
    for name in ("ids", "counts"):
        one: EncodedArray = getattr(mask, name)
        if one.dtype != "int32" or len(one.shape) != 1:
            yield contract_error(
                "array_size",
                (*path, name),
                expected="int32 of one dimension",
                got=f"{one.dtype} of shape {shown_shape(one.shape)}",
            )
            return
    if any(True for _ in _array_size(mask.counts, ())):
        return  # the array's own error says so
    counts = array("i", mask.counts.data)
    if sys.byteorder == "big":
        counts.byteswap()
    total = sum(counts)
    if total != mask.ids.shape[0]:
        yield contract_error(
            "stream_length",
            (*path, "ids"),
            expected=f"{counted(total, 'id')}, the sum of counts",
            got=str(mask.ids.shape[0]),
        )


def _graph(trace: Trace, path: Path) -> Iterator[RawMMError]:
    yield from graph_errors(trace.nodes, (*path, "nodes"), trace.mm_token_type_id_map)


RULES: Final[dict[str, Callable[[Any, Any], Iterator[RawMMError]]]] = {
    "payload": _payload,
    "free_json": _free_json,
    "wire_values": _wire_values,
    "locator": _locator,
    "sidecar": _sidecar,
    "features": _features,
    "image_ref": _image_ref,
    "image_refs": _image_refs,
    "array_size": _array_size,
    "packed": _packed,
    "sampling_mask": _sampling_mask,
    "streams": node_rules.streams,
    "finite": node_rules.finite,
    "images": node_rules.images,
    "graph": _graph,
}
"""Every rule that a schema may list under ``x-rawmm-rules``."""


@cache
def _rules_of(kind: type[Contract]) -> tuple[Callable[[Any, Any], Iterator[RawMMError]], ...]:
    return tuple(RULES[name] for name in kind.__rules__)


def own_errors(struct: Any, path: Path) -> Iterator[RawMMError]:
    """Broken rules of one struct, without those of the structs in it."""
    kind: Any = type(struct)
    for rule in _rules_of(kind):
        yield from rule(struct, path)
