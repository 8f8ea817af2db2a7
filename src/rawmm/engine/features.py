"""The ``features`` object of an engine request: references in place of images.

Engines have their own names of modalities: Kimi's processor in vLLM declares only
``vision_chunk``, for images and videos. The ``vllm_modality`` of an item is the key of its hash,
range and reference in the features, and the modality of the reference, because the engine
compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from copy import copy
from typing import TYPE_CHECKING, Any

from rawmm.codec import convert
from rawmm.engine.refs import raw_mm_ref
from rawmm.errors import contract_error, shown
from rawmm.locators import locator_of
from rawmm.media import iter_media
from rawmm.model.types import GenerateFeatures, MultiModalData
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from rawmm.errors import RawMMError
    from rawmm.media import Medium

    CacheKey: TypeAlias = tuple[str, str | None]
    Cached: TypeAlias = Container[CacheKey] | Callable[[str, str | None], bool]


def generate_features(
    sidecar: Any,
    *,
    cached: Cached | None = None,
    materialize_all_image_refs: bool = False,
) -> GenerateFeatures | None:
    """The ``features`` of a prompt's media: a reference for each, or null for a cached one.

    By default items without a locator become null, and all others references. With `cached`,
    exactly the cached media become null. A cached medium is identified by its hash *and* its
    layout fingerprint: the same file at another resolution has another number of tokens. If every
    slot is null, ``kwargs_data`` is null, and the engine looks up all media by hash.

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
        cached: what the engine has cached: a container of pairs ``(hash, layout fingerprint)``,
            such as a set of them, or a function of hash and fingerprint. They are an item's
            entry in ``mm_hashes`` and its ``layout_fingerprint``.
        materialize_all_image_refs: put a reference into every slot, whatever is cached.

    Returns:
        Lists by the engine's names of the modalities, in prompt order; None without media.

    Raises:
        ContractError: ``no_locator`` for an item that needs one, ``missing_field`` for an item
            without layout fingerprint, ``count_mismatch`` if hashes, ranges or items are missing,
            ``wrong_type`` for a `cached` that holds hashes alone or is neither container nor
            function, and any violation of the contract in the sidecar.
        ProcessedPayloadError: an item is not raw.
    """
    if sidecar is None:
        return None
    is_cached = _condition(cached)
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
            None if not materialize_all_image_refs and is_cached(one) else _reference(one, name)
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


def _condition(cached: Any) -> Callable[[Medium], bool]:
    """Whether a medium is cached, by the argument of `generate_features`."""
    if cached is None:
        return lambda one: locator_of(one.item) is None
    if callable(cached):
        return lambda one: cached(one.sha256, one.item.layout_fingerprint)
    held = cached
    try:
        if is_a(cached, (list, tuple)):  # faster to search; pairs of JSON are lists
            held = {tuple(one) if is_a(one, list) else one for one in cached}
    except TypeError:
        held = None
    if is_a(held, (str, bytes, bytearray)) or not is_a(held, Container):
        raise _not_cached(cached)

    def is_held(one: Medium) -> bool:
        if (one.sha256, one.item.layout_fingerprint) in held:
            return True
        if one.sha256 in held:
            raise _not_cached(cached, "the hash of an image alone")
        return False

    return is_held


def _not_cached(cached: object, got: str | None = None) -> RawMMError:
    return contract_error(
        "wrong_type",
        ("cached",),
        expected="a container of pairs (hash, layout fingerprint), or a function of both",
        got=got or shown(cached),
        hint="the same image at another resolution is another item",
    )


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
