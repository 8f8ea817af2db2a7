"""`materialize`, the entry point of the package."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import IOBase
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from rawmm import layouts
from rawmm.errors import MaterializeError, RawMMError, contract_error, json_path, shown
from rawmm.graph import stream_of
from rawmm.images import (
    ENGINE,
    ImageDecoding,
    Limits,
    checked_decoding,
    checked_limits,
    decode_pixels,
)
from rawmm.layouts import Layout
from rawmm.materialize import processing
from rawmm.materialize.arrays import joined
from rawmm.materialize.cache import ProcessedImageCache
from rawmm.materialize.reading import read_image
from rawmm.materialize.sources import sources_of
from rawmm.real_class import is_a
from rawmm.store import ImageStore, ObjectImageStore, check_store_arguments, open_store
from rawmm.trainer import span_errors

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rawmm.layouts import Geometry
    from rawmm.materialize.sources import Path, Source
    from rawmm.store import ImageReader


@dataclass(frozen=True, slots=True)
class MaterializedImage:
    """One image, processed and checked.

    Attributes:
        sha256: SHA-256 of its file, 64 hex digits.
        geometry: its grid and number of tokens.
        offset, length: its placeholder tokens in the sample.
        outputs: the image processor's output for this image alone. A cache shares the arrays: do
            not write to them.
    """

    sha256: str
    geometry: Geometry
    offset: int
    length: int
    outputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Materialized:
    """The images of a sample or micro-batch, in token order."""

    images: Sequence[MaterializedImage]

    def model_inputs(self) -> dict[str, Any]:
        """The outputs of all images, joined along the first axis: keywords of a forward.

        For Qwen these are ``pixel_values`` of shape ``[patches, values of a patch]`` and
        ``image_grid_thw`` of shape ``[images, 3]``. The arrays are new. Without images the dict
        is empty.

        Raises:
            MaterializeError: ``geometry_mismatch`` for arrays that differ in another axis: some
                processors, such as Pixtral's, pad the images of a call to one size.
        """
        return joined([one.outputs for one in self.images])


class _SameProcessor:
    """A cache key that compares an image processor by identity and keeps it alive."""

    __slots__ = ("_processor",)

    def __init__(self, processor: object) -> None:
        self._processor = processor

    def __eq__(self, other: object) -> bool:
        return is_a(other, _SameProcessor) and self._processor is other._processor

    def __hash__(self) -> int:
        return id(self._processor)


def materialize(
    refs: Any,
    *,
    image_processor: Callable[..., Any],
    store: ImageReader | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    layout: Layout | None = None,
    mm_token_type_ids: Sequence[int] | None = None,
    cache: ProcessedImageCache | None = None,
    return_tensors: str | None = "pt",
    limits: Limits | None = None,
    decoding: ImageDecoding = ENGINE,
) -> Materialized:
    """Turn references into the image inputs of a model's forward. Every image is verified.

    Every call reads and hashes each file once, so a cache never hides a lost or changed file. It
    saves decoding and processing, which cost much more. The processor gets one RGB image at a
    time, as `rawmm.decode_image` decodes it: by default with the pixels of vLLM. Descriptor,
    layout and processor must agree on the grid of each image, and so must its placeholder range on
    the number of tokens. An image that two decodings may show differently must have been described
    with the same `decoding`.

    Args:
        refs: `MMRefs`, one `MMImageRef` or a list of them, a `MultiModalData` sidecar, or a
            value that converts to one of these; None for no images.
        image_processor: a callable such as the image processors of transformers. It is called as
            ``image_processor(images=[image], return_tensors=...)`` and returns a mapping with
            ``pixel_values`` and the keys of the family's payload. `Layout.output_settings` are
            more arguments, for outputs that are checked and dropped.
        store: the store of the images; files outside of it are refused. Its ``read`` may
            support URLs of its own.
        image_dir: a directory instead of a store. With neither, an id is a file in
            `run_image_dir`, and a ``file://`` URL is read where it points.
        layout: the layout of the images, whose fingerprints must be equal to its own. The default
            is `layout_of` the processor and the images' family; then only the fingerprints of
            images that are ambiguous are compared, see `rawmm.ImageDecoding`.
        mm_token_type_ids: for each token of the sample 0 for text, 1 for an image. The
            placeholder ranges must be exactly the image-typed tokens.
        cache: a cache that shares outputs between calls. Within one call equal images are
            processed once even without it.
        return_tensors: passed to the processor: ``pt`` for torch, ``np`` for numpy.
        limits: limits of image files; by default those of the store.
        decoding: how images are decoded. It must be that with which they were described.

    Raises:
        TypeError: both `store` and `image_dir` are given.
        ContractError: ``wrong_type`` for an argument; ``unsupported_modality``, ``no_locator``,
            ``mixed_layouts``, ``placeholder_order`` or ``orphan_image``, and what breaks the
            contract in `refs`.
        ProcessedPayloadError: an item is not raw.
        MaterializeError: an image cannot be used; ``path`` is its place in `refs`:
            ``missing_image``, ``hash_mismatch``, ``path_escape``, ``bad_locator``,
            ``no_image_dir``, ``store_failed``, ``bad_base64``, ``not_an_image``,
            ``image_type_mismatch``, ``image_limit``; ``bad_value`` for a family without
            layout or a setting of `image_processor` that the layout does not cover;
            ``geometry_mismatch`` for another grid or number of tokens;
            ``processor_failed``.
    """
    check_store_arguments(image_dir, store)
    _check_arguments(image_processor, store, layout, cache)
    reader = open_store(image_dir) if image_dir is not None else store
    bounds, decoding = checked_limits(limits), checked_decoding(decoding)
    if bounds is None:
        bounds = reader.limits if is_a(reader, (ImageStore, ObjectImageStore)) else Limits()
    bounds = replace(bounds, decode=False)  # every image is decoded below, once
    sources = sources_of(refs)
    if mm_token_type_ids is not None:
        _check_spans(sources, stream_of(mm_token_type_ids, "TokenIds", ("mm_token_type_ids",)))
    if not sources:
        return Materialized([])
    given = layout
    layout = _layout_of(image_processor, sources[0]) if given is None else given
    fingerprint = layout.fingerprint(decoding)
    if given is not None:
        _check_layout(sources, layout.family, fingerprint)
    run_key = (fingerprint, _SameProcessor(image_processor), return_tensors)
    outputs_by_hash: dict[str, Mapping[str, Any]] = {}
    read: dict[tuple[str, str], tuple[str, Geometry, Sequence[str]]] = {}
    images = []
    for one in sources:
        # Each image is read once: it may be large and its references many.
        if (one.locator, one.mm_hash) not in read:
            with _at(one.locator_path):
                image = read_image(one.locator, one.mm_hash, reader, bounds)
                geometry = layout.describe(*decoding.size_of(image.header))
            _check_ambiguous(one, layout.family, fingerprint, image.header.ambiguous)
            processing.check_described(one, geometry, layout)
            if image.sha256 not in outputs_by_hash:
                process = partial(_process, image.raw, decoding, geometry, layout)
                run = partial(process, image_processor, return_tensors)
                with _at(one.locator_path, geometry_mismatch=(*one.item_path, "payload")):
                    key = (image.sha256, *run_key)
                    outputs_by_hash[image.sha256] = run() if cache is None else cache.get(key, run)
            read[one.locator, one.mm_hash] = image.sha256, geometry, image.header.ambiguous
        sha256, geometry, ambiguous = read[one.locator, one.mm_hash]
        _check_ambiguous(one, layout.family, fingerprint, ambiguous)
        processing.check_described(one, geometry, layout)
        images.append(
            MaterializedImage(sha256, geometry, one.offset, one.length, outputs_by_hash[sha256])
        )
    return Materialized(images)


def _check_arguments(image_processor: object, store: object, layout: object, cache: object) -> None:
    wanted = (
        ("image_processor", "a callable image processor", callable(image_processor)),
        ("store", "a store with a method read", store is None or _reads(store)),
        ("layout", "a layout from rawmm.layouts.get", layout is None or is_a(layout, Layout)),
        ("cache", "a ProcessedImageCache", cache is None or is_a(cache, ProcessedImageCache)),
    )
    given = {"image_processor": image_processor, "store": store, "layout": layout, "cache": cache}
    for name, expected, passes in wanted:
        if not passes:
            raise contract_error("wrong_type", (name,), expected=expected, got=shown(given[name]))


def _reads(store: object) -> bool:
    return callable(getattr(store, "read", None)) and not is_a(store, IOBase)


def _process(
    raw: bytes,
    decoding: ImageDecoding,
    geometry: Geometry,
    layout: Layout,
    image_processor: Callable[..., Any],
    return_tensors: str | None,
) -> Mapping[str, Any]:
    image = decode_pixels(raw, decoding)
    outputs = processing.call(image_processor, image, return_tensors, layout)
    # Checked here and not by the caller, so that wrong outputs are not cached.
    processing.check_outputs(outputs, geometry, layout)
    of_model = {key: value for key, value in outputs.items() if key not in layout.output_settings}
    return MappingProxyType(of_model)


def _check_spans(sources: list[Source], types: list[int]) -> None:
    for error in span_errors(
        sources,
        len(types),
        types,
        at=lambda index: sources[index].path,
        types_at=("mm_token_type_ids",),
    ):
        raise error


def _layout_of(image_processor: Callable[..., Any], source: Source) -> Layout:
    family = source.item.family
    if family not in layouts.FAMILIES:
        raise MaterializeError(
            "bad_value",
            json_path((*source.item_path, "family")),
            expected=f"one of {', '.join(layouts.FAMILIES)}",
            got=shown(family),
            hint="pass layout, which knows the number of tokens of such an image",
        )
    try:
        return layouts.layout_of(image_processor, family)
    except RawMMError as error:
        raise error.at(("image_processor",), error_class=MaterializeError) from None


_DESCRIBED: Final = "pass the layout and the decoding with which the images were described"


def _check_layout(
    sources: list[Source], family: str, fingerprint: str, hint: str = _DESCRIBED
) -> None:
    """Check that images were described with a layout and a decoding.

    Raises:
        ContractError: ``mixed_layouts``.
    """
    for one in sources:
        for name, wanted in (("family", family), ("layout_fingerprint", fingerprint)):
            if getattr(one.item, name) not in {wanted, None}:
                raise contract_error(
                    "mixed_layouts",
                    (*one.item_path, name),
                    expected=f"{shown(wanted)}, as in the layout",
                    got=shown(getattr(one.item, name)),
                    hint=hint,
                )


def _check_ambiguous(
    source: Source, family: str, fingerprint: str, ambiguous: Sequence[str]
) -> None:
    """Check an image whose pixels depend on the decoding, also if no layout was given."""
    if ambiguous:
        why = f"decodings differ in the {' and the '.join(ambiguous)} of this image"
        _check_layout([source], family, fingerprint, f"{_DESCRIBED}: {why}")


@contextmanager
def _at(path: Path, **by_code: Path) -> Iterator[None]:
    """Turn any error of rawmm into a `MaterializeError` at `path`, or at the path of its code."""
    try:
        yield
    except RawMMError as error:
        raise error.at(by_code.get(error.code, path), error_class=MaterializeError) from None
