"""Rules of one message node: streams as long as its tokens, items for its images."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from rawmm._contract import reader
from rawmm.errors import contract_error, counted
from rawmm.locators import locator_of, names_image, stored_hash
from rawmm.structs import ImageUrlContentPart, MessageNode, SamplingMask, Usage
from rawmm.validate.payload import not_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rawmm.errors import RawMMError
    from rawmm.structs import Contract, Message, MultiModalData

    Path = tuple[str | int, ...]

PER_SAMPLED: Final = (
    "logprobs",
    "advantages",
    "reference_logprobs",
    "trainer_logprobs",
    "entropies",
)
_optional_streams = reader(
    MessageNode, "loss_weights", "routed_experts", "sampling_mask", "kept_tokens", *PER_SAMPLED
)


def streams(node: MessageNode, path: Path) -> Iterator[RawMMError]:
    """Every stream is as long as the tokens, or the sampled tokens, it belongs to."""
    tokens = len(node.token_ids)
    if len(node.mask) != tokens:
        yield _length("mask", len(node.mask), f"{counted(tokens, 'flag')}, one per token", path)
    if (size := len(node.is_content)) and size != tokens:
        wanted = f"none or {counted(tokens, 'flag')}, one per token"
        yield _length("is_content", size, wanted, path)
    optional = _optional_streams(node)
    if not any(optional):
        return
    weights, experts, sets, kept, *per_sampled = optional
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
    if experts:
        rows = experts.shape[0] if experts.shape else 0
        if rows != tokens:
            wanted = f"{counted(tokens, 'row')}, one per token"
            yield _length("routed_experts", rows, wanted, path)
    for name, one in (("sampling_mask", sets), ("kept_tokens", kept)):
        if isinstance(one, SamplingMask) and one.counts.shape:
            sampled = node.mask.count(True)
            if one.counts.shape[0] != sampled:
                wanted = f"{counted(sampled, 'count')}, one per sampled token"
                yield _length(name, one.counts.shape[0], wanted, path)


def _length(name: str, got: int, expected: str, path: Path) -> RawMMError:
    return contract_error("stream_length", (*path, name), expected=expected, got=str(got))


def finite(struct: Any, path: Path) -> Iterator[RawMMError]:
    """Every float is finite. The sum of a list tells of all at once; overflow looks closer."""
    names, read = _FLOATS[type(struct)]
    values = read(struct)
    if not any(values):
        return
    for name, value in zip(names, values, strict=True):
        if not value:
            continue
        if type(value) is float:
            if not isfinite(value):
                yield not_finite(value, (*path, name))
        elif type(value) is list:
            yield from _finite_list(value, (*path, name))
        elif type(value) is dict:
            for key, stream in value.items():
                if type(stream) is list:
                    yield from _finite_list(stream, (*path, name, key))


def _finite_list(values: list[float], path: Path) -> Iterator[RawMMError]:
    if not isfinite(sum(values)):
        for index, value in enumerate(values):
            if not isfinite(value):
                yield not_finite(value, (*path, index))


_FLOATS: Final[dict[type[Contract], tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]]] = {
    kind: (names, reader(kind, *names))
    for kind, names in (
        (MessageNode, ("timestamp", "loss_weights", *PER_SAMPLED)),
        (Usage, ("cost",)),
    )
}
"""Fields that hold floats. Those of a packed stream are its own to check."""


def image_urls(message: Message) -> list[str]:
    """URLs of the image parts of a message, in order."""
    content = message.content
    if type(content) is not list:
        return []
    return [part.image_url.url for part in content if type(part) is ImageUrlContentPart]


def images(node: MessageNode, path: Path) -> Iterator[RawMMError]:
    """A message has one item per image part, of the same image.

    Without tokens it needs no sidecar, and without image parts as well it is not asked.
    """
    urls = image_urls(node.message)
    sidecar = node.multi_modal_data
    has_tokens = len(node.token_ids) > 0
    if not has_tokens and (sidecar is None or not urls):
        return
    if sidecar is None:
        # Without a sidecar the images must travel in the message itself.
        lost = sum(not url.startswith("data:") for url in urls)
        if lost:
            yield contract_error(
                "count_mismatch",
                (*path, "multi_modal_data"),
                expected=f"a sidecar with {counted(len(urls), 'image item')}",
                got="no sidecar",
                hint="the message refers to offloaded images, and their descriptors are lost",
            )
        return
    by_field = (sidecar.mm_items, sidecar.mm_placeholders, sidecar.mm_hashes)
    sizes = [len(by["image"]) for by in by_field if "image" in by]
    items = sizes[0] if sizes else 0
    if items != len(urls):
        yield contract_error(
            "count_mismatch",
            (*path, "multi_modal_data", "mm_items", "image"),
            expected=f"{counted(len(urls), 'image item')}, one per image part of the message",
            got=str(items),
            hint="an image was lost or added on the way",
        )
        return
    yield from _same_images(node, urls, sidecar, path)


def _same_images(
    node: MessageNode, urls: list[str], sidecar: MultiModalData, path: Path
) -> Iterator[RawMMError]:
    """The n-th image part names the image of the n-th hash, as far as its URL tells."""
    hashes: Sequence[str | None] = sidecar.mm_hashes.get("image", ())
    if not hashes:
        located = map(locator_of, sidecar.mm_items.get("image", ()))
        hashes = [stored_hash(locator) if locator else None for locator in located]
    for index, (url, sha) in enumerate(zip(urls, hashes, strict=False)):
        if sha is None or names_image(url, sha):
            continue
        content: list[Any] = node.message.content  # type: ignore[assignment]  # it has image parts
        at = [i for i, part in enumerate(content) if type(part) is ImageUrlContentPart][index]
        yield contract_error(
            "hash_mismatch",
            (*path, "message", "content", at, "image_url", "url"),
            expected=f"the image of hash {sha[:16]}, as the sidecar has it there",
            got=f"one named {(stored_hash(url) or '')[:16]}",
            hint="images and sidecar are in different order, or one was replaced",
        )
