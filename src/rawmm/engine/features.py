"""The ``features`` object of an engine request: references in place of images.

Engines have their own names of modalities: Kimi's processor in vLLM declares only
``vision_chunk``, for images and videos. The ``vllm_modality`` of an item is the key of its hash,
range and reference in the features, and the modality of the reference, because the engine
compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from typing import TYPE_CHECKING, Any

from rawmm.codec import convert
from rawmm.engine.refs import raw_mm_ref
from rawmm.errors import contract_error
from rawmm.locators import locator_of
from rawmm.media import iter_media
from rawmm.model.types import GenerateFeatures, MultiModalData
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from rawmm.media import Medium


def generate_features(
    sidecar: Any,
    *,
    cached: Container[str] | Callable[[str], bool] | None = None,
    materialize_all_image_refs: bool = False,
) -> GenerateFeatures | None:
    """The ``features`` of a prompt's media: a reference for each, or null for a cached one.

    By default items without a locator become null, and all others references. With `cached`,
    exactly the media with a cached hash become null. If every slot is null, ``kwargs_data`` is
    null, and the engine looks up all media by hash.

    After a cache miss, the request is sent again with all references. Pass the sidecar of the whole
    prompt from the message graph, and also the features, which show the retry that references were
    left out::

        async def generate(*, multi_modal_data, features, materialize_all_image_refs, **rest):
            if materialize_all_image_refs:
                features = generate_features(multi_modal_data, materialize_all_image_refs=True)
            ...


        await generate_with_image_ref_retry(
            generate, multi_modal_data=sidecar, features=generate_features(sidecar, cached=sent)
        )

    Args:
        sidecar: `MultiModalData` of the whole prompt, or a value that converts to it; or None.
        cached: hashes of the sidecar that the engine has cached, or a function that says whether
            it has a hash.
        materialize_all_image_refs: put a reference into every slot, whatever is cached.

    Returns:
        Lists by the engine's names of the modalities, in prompt order; None without media.

    Raises:
        ContractError: ``no_locator`` for an item that needs one, ``missing_field`` for an item
            without layout fingerprint, ``count_mismatch`` if hashes, ranges or items are missing,
            and any violation of the contract in the sidecar.
        ProcessedPayloadError: an item is not raw.
    """
    if sidecar is None:
        return None
    if is_a(cached, str):  # a container of substrings
        raise contract_error(
            "wrong_type",
            (),
            expected="a container of hashes or a function in `cached`",
            got="a string",
        )
    if is_a(cached, (list, tuple)):  # faster to search
        cached = frozenset(cached)
    by_name: dict[str, list[Medium]] = defaultdict(list)
    for one in iter_media(convert(sidecar, MultiModalData)):
        by_name[one.item.vllm_modality or one.modality].append(one)
    if not by_name:
        return None
    slots: dict[str, list[str | None]] = {}
    for name, found in by_name.items():
        # Two modalities may share an engine's name, and the engine expects prompt order.
        found.sort(key=lambda one: one.placeholder.offset)
        slots[name] = [
            None
            if not materialize_all_image_refs and _is_cached(one, cached)
            else _reference(one, name)
            for one in found
        ]
    needed = any(slot is not None for of in slots.values() for slot in of)
    return GenerateFeatures(
        mm_hashes={name: [one.sha256 for one in found] for name, found in by_name.items()},
        mm_placeholders={
            name: [copy(one.placeholder) for one in found] for name, found in by_name.items()
        },
        kwargs_data=slots if needed else None,
    )


def _is_cached(one: Medium, cached: Container[str] | Callable[[str], bool] | None) -> bool:
    if cached is None:
        return locator_of(one.item) is None
    return cached(one.sha256) if callable(cached) else one.sha256 in cached


def _reference(one: Medium, name: str) -> str:
    item = one.item
    if locator_of(item) is None:
        raise contract_error(
            "no_locator",
            one.path,
            expected="raw_image_id or raw_image_uri",
            got="a descriptor-only item that is not known to be cached",
            hint="the sidecars of the message graph keep the locators",
        )
    if item.layout_fingerprint is None:
        raise contract_error(
            "missing_field",
            one.path,
            expected="the field 'layout_fingerprint'",
            got="an item without it",
            hint="a reference identifies the layout of its image",
        )
    return raw_mm_ref(
        family=item.family,
        fingerprint=item.layout_fingerprint,
        modality=name,
        mm_hash=one.sha256,
        payload=item.payload,
        raw_image_id=item.raw_image_id,
        raw_image_uri=item.raw_image_uri,
    )
