"""Retry a request once if the engine has evicted an image that was expected to be cached.

A turn sends references for its new images only; images of earlier turns are descriptor-only. If
the engine has evicted one of those, the request is sent once more with references to all images.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rawmm.media import MODALITIES
from rawmm.model.types import PROCESSED_KEYS, RawMMItem
from rawmm.values.views import as_mapping, as_sequence, field_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")

logger = logging.getLogger(__name__)

_MISS: Final = "missing_mm_cache_item"
_ASSERTION: Final = "Expected a cached item for mm_hash="
_TYPE_KEYS: Final = ("type", "error_type")
"""``code`` is not one of them: it holds the HTTP status."""
_ENVELOPES: Final = ("error", "message", "detail")
"""Keys in which servers describe an error. Other keys, such as pydantic's ``input``, quote the
request, and the same words in a prompt are not an error."""

_MAX_CAUSES: Final = 16
_MAX_NESTING: Final = 16
_MAX_TEXT: Final = 65_536
_MAX_OBJECTS: Final = 32
_QUOTES: Final = frozenset("'\"`")
_BRACE: Final = re.compile("[{}]")
_JSON: Final = json.JSONDecoder()

_IMAGE_FIELDS: Final = (
    *(name for name in RawMMItem.__struct_fields__ if name.startswith("raw_image_")),
    "raw_image_data",  # the locator of the form of August 2026
    *PROCESSED_KEYS,
)
"""Fields that give an item its image: locators, or processed data instead."""


async def generate_with_image_ref_retry(generate: Callable[..., Awaitable[T]], **kwargs: Any) -> T:
    """Await ``generate(**kwargs)``; after a cache miss once more with all image references.

    The first call has ``materialize_all_image_refs=False``. If it raises an error of type
    ``missing_mm_cache_item`` and an image of the request is descriptor-only, a warning is logged
    and the second call has ``materialize_all_image_refs=True``. Both calls get the same objects.

    Images are counted in the arguments ``multi_modal_data``, ``prompt_attribution`` (its
    ``multi_modal_data``) and ``features``, which may be structs, models, dataclasses or dicts. The
    error's type is read from the ``body``, ``response``, ``message`` and text of the error and
    of its explicit causes, as a type or in vLLM's own assertion.

    Raises:
        Exception: the error of `generate`, the same object. If the second call fails too, the
            ``__cause__`` of its error is the first error; its own cause becomes its
            ``__context__``. Cancellation is never caught.
    """
    try:
        return await generate(**kwargs, materialize_all_image_refs=False)
    except Exception as error:
        if not _is_cache_miss(error) or not (images := _descriptor_only(kwargs)):
            raise
        missed = error
    # Outside of the handler, so that the first error is not the context of an interrupt.
    logger.warning(
        "engine cache miss, %d of the request's images descriptor-only: "
        "retrying with all image references",
        images,
    )
    try:
        return await generate(**kwargs, materialize_all_image_refs=True)
    except Exception as error:
        if any(cause is error for cause in _causes(missed)):
            raise  # the same object, or already linked the other way round
        own = _safely(attrgetter("__cause__"), error, default=None)
        if isinstance(own, BaseException):  # a subclass may define __cause__ as anything
            _safely(setattr, error, "__context__", own, default=None)
        raise error from missed
    finally:
        del missed  # its traceback holds this frame and so all arguments


def _safely(read: Callable[..., T], *args: Any, default: T) -> T:
    """``read(*args)``; `default` if it raises."""
    try:
        return read(*args)
    except Exception:  # noqa: BLE001
        # Errors and arguments are objects of other libraries: a stream may be unread, a property
        # may raise. Such an exception must not replace the error of the call.
        return default


def _is_cache_miss(error: BaseException) -> bool:
    # Causes first, because the errors that wrap them repeat their text.
    quoted: list[str] = []
    return any(_is_miss(one, quoted) for one in reversed(list(_causes(error))))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and its explicit causes, which may form a cycle."""
    one: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if one is None:
            return
        yield one
        one = _safely(attrgetter("__cause__"), one, default=None)


def _is_miss(error: BaseException, quoted: list[str]) -> bool:
    return any(_safely(_names_miss_at, place, error, quoted, default=False) for place in _PLACES)


def _names_miss_at(
    place: Callable[[BaseException], Any], error: BaseException, quoted: list[str]
) -> bool:
    found = place(error)
    if isinstance(found, str):
        # openai prints the body into the text, including what the body quotes of the request.
        for body in quoted:
            found = found.replace(body, "")
    if _names_miss(found):
        return True
    if isinstance(found, Mapping):
        quoted.append(repr(found))
    return False


def _response(error: Any) -> Any:
    """The content of the error's response as JSON, text or bytes, whichever works first."""
    readers: tuple[Callable[[Any], Any], ...] = (
        lambda response: response.json(),
        attrgetter("text"),
        attrgetter("content"),
    )
    found = (_safely(read, error.response, default=None) for read in readers)
    return next((one for one in found if isinstance(one, (Mapping, str, bytes))), None)


_PLACES: Final[tuple[Callable[[Any], Any], ...]] = (
    _response,
    attrgetter("body"),
    attrgetter("message"),
    str,
)


def _names_miss(value: Any, depth: int = 0) -> bool:
    """Whether an error document, or a text that contains one, reports a cache miss."""
    if depth > _MAX_NESTING:
        return False
    if isinstance(value, Mapping):
        return any(value.get(key) == _MISS for key in _TYPE_KEYS) or any(
            _names_miss(value.get(key), depth + 1) for key in _ENVELOPES
        )
    if isinstance(value, (bytes, bytearray)):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        return False
    text = value[:_MAX_TEXT]
    try:
        document = json.loads(text)
    except ValueError:
        documents, prose = _split_documents(text)
        prose += value[_MAX_TEXT:]
        return _ASSERTION in prose or any(_names_miss(one, depth + 1) for one in documents)
    return _names_miss(document, depth + 1)


def _split_documents(text: str) -> tuple[list[Any], str]:
    """The outermost JSON objects in a text, and the text without them.

    Objects in quotation marks are in neither, because servers quote what they were sent.
    """
    documents, prose = [], ""
    end = 0
    for _ in range(_MAX_OBJECTS):
        start = text.find("{", end)
        if start < 0:
            break
        prose += text[end:start]
        try:
            document, end = _JSON.raw_decode(text, start)
        except ValueError:
            end = _closing(text, start)
            prose += text[start:end]
        else:
            if text[start - 1 : start] not in _QUOTES:
                documents.append(document)
    return documents, prose + text[end:]


def _closing(text: str, start: int) -> int:
    """The end of the braces that open at `start`; the end of the text if they never close."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    return len(text)


def _descriptor_only(kwargs: Mapping[str, Any]) -> int:
    """The number of images in a request without a locator."""
    # The arguments describe the same images.
    return max(_safely(count, kwargs, default=0) for count in _COUNTS)


_COUNTS: Final[tuple[Callable[[Mapping[str, Any]], int], ...]] = (
    lambda kwargs: _without_image(kwargs.get("multi_modal_data"), "mm_items"),
    lambda kwargs: _without_image(
        field_of(kwargs.get("prompt_attribution"), "multi_modal_data"), "mm_items"
    ),
    lambda kwargs: _without_image(kwargs.get("features"), "kwargs_data"),
)


def _without_image(media: Any, name: str) -> int:
    """The number of hashes in `media` without an image in the lists `name`."""
    hashes = as_mapping(field_of(media, "mm_hashes")) or {}
    entries = as_mapping(field_of(media, name)) or {}
    count = 0
    for modality in {*hashes, *entries}:
        # Engines have names of their own, such as ``vision_chunk``, so only those of modalities
        # without images are skipped.
        if modality in MODALITIES and not MODALITIES[modality].parts:
            continue
        if found := as_sequence(entries.get(modality)):
            count += sum(not _has_image(entry) for entry in found)
        else:
            count += len(as_sequence(hashes.get(modality)) or ())
    return count


def _has_image(entry: Any) -> bool:
    """Whether an item has a locator, or a slot has a reference."""
    if isinstance(entry, str):
        return True
    fields = (field_of(entry, name) for name in _IMAGE_FIELDS)
    # Only strings are tested for truth, because an array has none.
    return any(field is not None and not (isinstance(field, str) and not field) for field in fields)
