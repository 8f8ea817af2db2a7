"""Offload a request body from bytes to bytes, without parsing its images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from rawmm.errors import OffloadError, contract_error, shown
from rawmm.images import frozen_bytes
from rawmm.offload.adopt import adopted_urls
from rawmm.offload.batch import OffloadBatch
from rawmm.offload.chat_parts import chat_parts
from rawmm.offload.containers import REMOVED
from rawmm.offload.forms import Within
from rawmm.offload.image_parts import ImageParts, Strings
from rawmm.offload.url_extractor import ObjectChange, UrlExtractor, change_objects
from rawmm.real_class import is_a
from rawmm.store import (
    WEB_SCHEMES,
    ImageStore,
    checked_store,
    digest_to_quote,
    fetcher_of,
    served_schemes,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from rawmm.errors import RawMMError
    from rawmm.images import Limits
    from rawmm.offload.batch import PlannedImage
    from rawmm.offload.stats import ImageOffloadStats
    from rawmm.store import Store


class OffloadedRequest(NamedTuple):
    """A request body without inline images, and the statistics of the call."""

    body: bytes
    stats: ImageOffloadStats


def offload_request(
    body: bytes,
    *,
    store: Store | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
) -> OffloadedRequest:
    """Do what `offload_images_inplace` does to the text of a JSON document.

    The new body differs from the old one in the changed image parts only. Numbers, white space and
    the order of keys stay as they are.

    Args:
        body: one JSON text, e.g. the body of a chat completion request.
        store: a store to use instead of `image_dir`. Keep one between the turns of a rollout, so
            that it recognizes images that are sent again.
        image_dir: the image directory; `run_image_dir` by default, called only if there is an
            image.
        limits: the limits; those of the store by default.

    Raises:
        TypeError: both `store` and `image_dir` are given.
        ContractError: ``malformed``, ``too_deep`` or ``duplicate_key``; ``wrong_type`` if the body
            is not bytes, or not a JSON object or array.
        OffloadError: as `offload_images_inplace`.
    """
    web = () if fetcher_of(checked_store(image_dir, store)) is None else WEB_SCHEMES
    raw = frozen_bytes(body)
    if raw is None:
        raise _not_bytes(body)
    to_quote = digest_to_quote() if is_a(store, ImageStore) else None
    text = UrlExtractor(raw, ("data", *served_schemes(), *web), to_quote)
    value = text.parsed()
    found = chat_parts(value, _Strings(text))
    indices = {
        part.source: index for part in found.parts if (index := text.index(part.source)) is not None
    }
    urls = {index: text.url(index) for index in indices.values()}
    text.check(index for index in range(len(text.spans)) if index not in urls)
    if not is_a(value, dict | list):
        got = "a string" if is_a(value, str) else shown(value)
        raise contract_error("wrong_type", (), expected="a JSON object or array", got=got)

    def read(url: str) -> str | memoryview:
        index = indices.get(url)
        return url if index is None else urls[index]

    def digest(url: str) -> bytes | None:
        index = indices.get(url)
        return None if index is None else text.digests.get(index)

    with OffloadBatch(image_dir, store, limits, read, digest) as batch:
        try:
            planned = batch.prepare(found)
        except OffloadError:
            # Malformed JSON is the more basic error, so it takes precedence. An image that passes
            # is always a valid JSON string, so the URLs are checked only here.
            text.check(urls)
            unescaped = text.unescaped(index for index, url in urls.items() if not is_a(url, str))
            if not unescaped:
                raise
            urls |= unescaped
            planned = batch.prepare(found)
        rewritten = _rewritten(text, found, indices, planned)
        batch.write(found, planned)
    return OffloadedRequest(rewritten, batch.stats(found, planned))


def adopt_in_request(body: bytes, store: Store) -> bytes:
    """Do what `adopt_images` does to the text of a JSON document.

    Returns:
        The text with new URLs; `body` itself if no URL changes.

    Raises:
        ContractError: ``malformed``, ``too_deep`` or ``duplicate_key``.
        RawMMError: as `adopt_images`.
    """
    text = UrlExtractor(body, ("data", "file"))
    found = ImageParts(text.parsed(), _Strings(text))
    indices = [text.index(part.source) for part in found.parts]
    sources = [None if index is None else text.url(index) for index in indices]
    urls, _ = adopted_urls(found, sources, store)
    if not urls:
        return body
    new = {
        index: msgspec.json.encode(urls[source])
        for index, source in zip(indices, sources, strict=True)
        if index is not None and type(source) is str and source in urls
    }
    return text.splice(text.rest, new)


def _not_bytes(body: object) -> RawMMError:
    hint = "offload_images_inplace takes messages and parsed bodies"
    if is_a(body, str):
        hint = "pass text.encode()"
    return contract_error(
        "wrong_type", (), expected="the bytes of a request body", got=shown(body), hint=hint
    )


class _Strings(Strings):
    """The strings of a text whose URLs are extracted."""

    def __init__(self, text: UrlExtractor) -> None:
        self._text = text
        self.mark = text.mark

    def is_candidate(self, text: str) -> bool:
        index = self._text.index(text)
        return super().is_candidate(text if index is None else self._text.head(index))

    def head(self, text: str) -> str:
        index = self._text.index(text)
        return super().head(text) if index is None else self._text.head(index)

    def whole(self, text: str) -> str:
        index = self._text.index(text)
        return text if index is None else self._text.decoded(index)


def _rewritten(
    text: UrlExtractor,
    found: ImageParts,
    indices: Mapping[str, int],
    planned: list[PlannedImage],
) -> bytes:
    """Return the text with new URLs, and with the objects of forms changed."""
    new: dict[int, bytes] = {}
    changes: dict[int, ObjectChange] = {}
    for part, image in zip(found.parts, planned, strict=True):
        index = indices[part.source]  # other URLs, and base64 of no image, were refused
        if image.image is not None:
            new[index] = msgspec.json.encode(image.url)
        if found.has_shape(part):
            continue
        # Planned with the string in the place of the URL, so that `splice` puts the new one there.
        patch = found.patch(part, image.stored._replace(url=part.source))
        if patch:
            levels = len(part.nodes) - 1
            change = ObjectChange(levels, partial(_changed, patch=patch))
            changes[text.spans[index].position] = change
    if not new and not changes:
        return text.whole
    return text.splice(change_objects(text.rest, changes) if changes else text.rest, new)


def _changed(json_object: bytes | memoryview, patch: Mapping[str, Any]) -> bytes:
    """Return a JSON object with other values for some keys; the other values stay verbatim."""
    fields = msgspec.json.decode(json_object, type=dict[str, msgspec.Raw])
    for key, new in patch.items():
        if new is REMOVED:
            del fields[key]
        elif isinstance(new, Within):
            inner = msgspec.Raw(_changed(bytes(fields[key]), new.changes))
            if new.name:
                del fields[key]
            fields[new.name or key] = inner
        else:
            fields[key] = new
    return msgspec.json.encode(fields)
