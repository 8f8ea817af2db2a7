"""Rules of one message node: the lengths of its streams, and an item for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rawmm.errors import contract_error, counted, shown_hash
from rawmm.locators import locator_of, names_image, stored_hash
from rawmm.media import IN_MESSAGES, Modality, counted_items, media_urls, parts_of
from rawmm.model.types import SamplingMask
from rawmm.rules.media_checks import current_checks
from rawmm.rules.rule import Rule, reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rawmm.errors import Path, RawMMError
    from rawmm.model.types import EncodedArray, MessageNode, MultiModalData


PER_SAMPLED: Final = (
    "logprobs",
    "advantages",
    "reference_logprobs",
    "trainer_logprobs",
    "entropies",
)
_RARE: Final = ("loss_weights", "sampling_mask", "kept_tokens")
_read_optional = reader(*_RARE, "routed_experts", *PER_SAMPLED)
_read_streams = reader("token_ids", "mask", "is_content", *_RARE, "routed_experts", *PER_SAMPLED)


def _streams(node: MessageNode, path: Path) -> Iterator[RawMMError]:
    """An error for each stream whose length is not that of its tokens or sampled tokens."""
    tokens = len(node.token_ids)
    if len(node.mask) != tokens:
        yield _length("mask", len(node.mask), f"{counted(tokens, 'flag')}, one per token", path)
    if (size := len(node.is_content)) and size != tokens:
        wanted = f"none or {counted(tokens, 'flag')}, one per token"
        yield _length("is_content", size, wanted, path)
    weights, sets, kept, experts, *per_sampled = _read_optional(node)
    for key, stream in weights.items() if weights else ():
        if len(stream) != tokens:
            yield _length(
                key,
                len(stream),
                f"{counted(tokens, 'weight')}, one per token",
                (*path, "loss_weights"),
            )
    sampled: int | None = None
    for name, stream in zip(PER_SAMPLED, per_sampled, strict=True):
        if not stream:
            continue
        if sampled is None:
            sampled = node.mask.count(True)
        if len(stream) != sampled:
            yield _length(name, len(stream), f"none or {sampled}, one per sampled token", path)
    if experts and (rows := _rows(experts)) != tokens:
        wanted = f"{counted(tokens, 'row')}, one per token"
        yield _length("routed_experts", rows, wanted, path)
    for name, one in (("sampling_mask", sets), ("kept_tokens", kept)):
        if isinstance(one, SamplingMask) and one.counts.shape:
            sampled = node.mask.count(True)
            if one.counts.shape[0] != sampled:
                wanted = f"{counted(sampled, 'count')}, one per sampled token"
                yield _length(name, one.counts.shape[0], wanted, path)


def _length(name: str, got: int, expected: str, path: Path) -> RawMMError:
    return contract_error(
        "stream_length",
        (*path, name),
        expected=expected,
        got=str(got),
        hint="the stream is that of other tokens, or was cut",
    )


def _streams_hold(node: MessageNode) -> bool:
    ids, mask, content, weights, sets, kept, experts, *per_sampled = _read_streams(node)
    size = len(ids)
    if len(mask) != size or (content and len(content) != size) or weights or sets or kept:
        return False
    if any(per_sampled):
        sampled = mask.count(True)
        for stream in per_sampled:
            if stream and len(stream) != sampled:
                return False
    return not experts or _rows(experts) == size


def _rows(encoded: EncodedArray) -> int:
    return encoded.shape[0] if encoded.shape else 0


def _images(node: MessageNode, path: Path) -> Iterator[RawMMError]:
    """A message has one item per media part, of the same medium.

    A node needs a sidecar only if the caller of `validate` requires it. Without media parts and
    tokens, a sidecar is not checked.
    """
    sidecar = node.multi_modal_data
    if sidecar is None:
        # The rule of the graph judges the media of records without sidecars.
        if (
            current_checks().require_sidecars
            and node.token_ids
            and (parts := parts_of(node.message))
        ):
            yield without_sidecar(parts, path, "each message with media must have its items")
        return
    by_field = (sidecar.mm_items, sidecar.mm_placeholders, sidecar.mm_hashes)
    for name, modality in IN_MESSAGES.items():
        urls = modality.urls(node.message)
        sizes = [len(by[name]) for by in by_field if name in by]
        items = sizes[0] if sizes else 0
        if items == len(urls):
            yield from _same_images(node, modality, sidecar, path)
        elif node.token_ids or urls:
            yield contract_error(
                "count_mismatch",
                (*path, "multi_modal_data", "mm_items", name),
                expected=f"{counted(len(urls), f'{name} item')}, one per {name} part of the "
                "message",
                got=str(items),
                hint="media were lost or added on the way",
            )


def without_sidecar(parts: Mapping[str, int], path: Path, reason: str) -> RawMMError:
    """The error of a node whose message has media and tokens, and which must have a sidecar."""
    return contract_error(
        "count_mismatch",
        (*path, "multi_modal_data"),
        expected=f"a sidecar with {counted_items(parts)}",
        got="no sidecar",
        hint=f"{reason}; those of this message are lost",
    )


def _same_images(
    node: MessageNode, modality: Modality, sidecar: MultiModalData, path: Path
) -> Iterator[RawMMError]:
    """An error for each media part whose URL names another file than the hash at its index."""
    hashes: Sequence[str | None] = sidecar.mm_hashes.get(modality.name, ())
    if not hashes:
        located = map(locator_of, sidecar.mm_items.get(modality.name, ()))
        hashes = [stored_hash(locator) if locator else None for locator in located]
    urls, paths = modality.urls(node.message), modality.url_paths(node.message)
    for at, url, sha in zip(paths, urls, hashes, strict=False):
        if sha is None or names_image(url, sha):
            continue
        yield contract_error(
            "hash_mismatch",
            (*path, "message", *at),
            expected=f"the {modality.name} of hash {shown_hash(sha)}, as in the sidecar",
            got=f"one named {shown_hash(stored_hash(url) or '')}",
            hint="the images and the sidecar are in different order, or one was replaced",
        )


_read_media = reader("message", "multi_modal_data", "token_ids")


def _images_hold(node: MessageNode) -> bool:
    message, sidecar, ids = _read_media(node)
    if not sidecar:
        return not ids or not media_urls(message) or not current_checks().require_sidecars
    items, hashes = sidecar.mm_items, sidecar.mm_hashes
    for name, modality in IN_MESSAGES.items():
        urls, shas = modality.urls(message), hashes.get(name, ())
        if not len(urls) == len(shas) == len(items.get(name, ())):
            return False
        if not urls and name in sidecar.mm_placeholders:
            return False
        if not all(map(names_image, urls, shas)):
            return False
    return True


RULES: Final = (
    Rule("streams", _streams, _streams_hold),
    Rule("images", _images, _images_hold),
)
