"""Retry a request once if the engine has evicted an image that was expected to be cached.

A turn sends references for its new images only; images of earlier turns are descriptor-only. If
the engine has evicted one of those, the request is sent once more with references to all images.

Engines report a miss in several ways, of which each is recognized as an exception and as the body
of an HTTP error:

- prime-rl: an error of type ``missing_mm_cache_item``;
- vLLM 0.33, engine process: ``MultiModalCacheMissError``. Over HTTP it is a 500 with its text;
- vLLM 0.33, pooling requests: the code ``multimodal_cache_miss``. Over HTTP it is a 503 with its
  text only;
- vLLM 0.33, an image that was sent as ``uuid`` without URL: a 400 ``Cache miss for image at index
  0 but data is not provided.``;
- vLLM's cache in the server process: ``Expected a cached item for mm_hash=``.

vLLM 0.33 answers a *generation* request with ``500 Internal server error`` and does not name the
miss. Such errors are retried only if the caller asks for it with `retry_on`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Mapping
from inspect import iscoroutine
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from rawmm.errors import contract_error, shown
from rawmm.media import MODALITIES
from rawmm.model.types import PROCESSED_KEYS, RawMMItem
from rawmm.real_class import is_a
from rawmm.values.views import as_mapping, as_sequence, field_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    RetryOn: TypeAlias = int | Collection[int] | Callable[[Exception], bool]

T = TypeVar("T")

logger = logging.getLogger(__name__)

_CLASS: Final = "MultiModalCacheMissError"
_CODE: Final = "multimodal_cache_miss"
_TYPES: Final = frozenset({"missing_mm_cache_item", _CODE})
_TYPE_KEYS: Final = ("type", "error_type")
_TEXTS: Final = re.compile(
    "Expected a cached item for mm_hash="
    r"|not in the receiver \(P1\) cache"
    r"|Multi-modal processor cache miss\."
    r"|Cache miss for [\w.-]{1,64} at index \d+ but data is not provided"
)
"""vLLM's own words for a miss."""
_INVALID: Final = re.compile(r"\b\d+ validation errors?\b")
"""How pydantic and vLLM begin a text that quotes the request."""
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


async def generate_with_image_ref_retry(
    generate: Callable[..., Awaitable[T]], *, retry_on: RetryOn | None = None, **kwargs: Any
) -> T:
    """Await ``generate(**kwargs)``; after a cache miss once more with all image references.

    The first call has ``materialize_all_image_refs=False``. If it raises an error that reports a
    cache miss and an image of the request is descriptor-only, a warning is logged and the second
    call has ``materialize_all_image_refs=True``. Both calls get the same objects.

    Images are counted in the arguments ``multi_modal_data``, ``prompt_attribution`` (its
    ``multi_modal_data``), ``features`` and ``content_parts``, which may be structs, models,
    dataclasses or dicts. The miss is read from the class, ``body``, ``response``, ``message``,
    ``code`` and text of the error and of its explicit causes. The module's documentation lists
    the forms.

    Args:
        generate: sends the request.
        retry_on: further errors to treat as a cache miss: an HTTP status, a collection of them, or
            a function that is given the error. vLLM 0.33 does not name the miss of a generation
            request, so for such an engine pass ``retry_on=500``, or a function that also reads
            the message. The status is read from the error and its explicit causes.
        kwargs: the arguments of `generate`.

    Raises:
        Exception: the error of `generate`, the same object. If the second call fails too, the
            ``__cause__`` of its error is the first error; its own cause becomes its
            ``__context__``. Cancellation is never caught.
        ContractError: ``wrong_type`` for another `retry_on`, before the first call.
    """
    is_asked_for = _condition(retry_on)
    try:
        return await generate(**kwargs, materialize_all_image_refs=False)
    except Exception as error:
        named = _is_cache_miss(error)
        if not (named or is_asked_for(error)) or not (images := _descriptor_only(kwargs)):
            raise
        missed = error
    # Outside of the handler, so that the first error is not the context of an interrupt.
    logger.warning(
        "%s, %d of the request's images descriptor-only: retrying with all image references",
        "engine cache miss" if named else "possible engine cache miss",
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


def _condition(retry_on: RetryOn | None) -> Callable[[Exception], bool]:
    """Whether the caller wants a retry after an error."""
    if callable(retry_on) and not is_a(retry_on, type):  # a class of errors would accept any
        return retry_on
    given: Any = (retry_on,) if is_a(retry_on, int) else retry_on
    statuses = () if given is None else _safely(tuple, given, default=None)
    if statuses is None or not all(map(_is_status, statuses)):
        raise contract_error(
            "wrong_type",
            ("retry_on",),
            expected="an HTTP status, a collection of them, or a function of the error",
            got=shown(retry_on),
        )
    return lambda error: any(_status(one) in statuses for one in _causes(error))


def _is_status(value: Any) -> bool:
    return is_a(value, int) and not is_a(value, bool)


def _status(error: BaseException) -> int | None:
    """The HTTP status of an error, as the clients of openai, httpx and aiohttp have it."""
    for name in ("status_code", "response.status_code", "status", "response.status", "code"):
        found = _safely(attrgetter(name), error, default=None)
        if _is_status(found):
            return int(found)
    return None


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
    if _safely(_is_miss_of_vllm, error, default=False):
        return True
    return any(_safely(_names_miss_at, place, error, quoted, default=False) for place in _PLACES)


def _is_miss_of_vllm(error: Any) -> bool:
    """Whether an error is vLLM's own exception, or carries its code."""
    if any(one.__name__ == _CLASS for one in type(error).__mro__):
        hashes = as_sequence(error.mm_hashes)
        return hashes is not None and all(is_a(one, str) for one in hashes)
    return _is_one_of(error.code, {_CODE})


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
        _json_of,
        attrgetter("text"),
        attrgetter("content"),
    )
    found = (_safely(read, error.response, default=None) for read in readers)
    return next((one for one in found if isinstance(one, (Mapping, str, bytes))), None)


def _json_of(response: Any) -> Any:
    found = response.json()
    if iscoroutine(found):  # of aiohttp; nothing awaits it here
        found.close()
    return found


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
        # prime-rl's type does not count as a code, which may be any proxy's.
        return (
            any(_is_one_of(value.get(key), _TYPES) for key in _TYPE_KEYS)
            or _is_one_of(value.get("code"), {_CODE})
            or any(_names_miss(value.get(key), depth + 1) for key in _ENVELOPES)
        )
    if isinstance(value, (bytes, bytearray)):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        return False
    text = value[:_MAX_TEXT]
    try:
        document = json.loads(text)
    except ValueError:
        value = _before_quotations(value)
        documents, prose = _split_documents(value[:_MAX_TEXT])
        prose += value[_MAX_TEXT:]
        return bool(_TEXTS.search(prose)) or any(_names_miss(one, depth + 1) for one in documents)
    return _names_miss(document, depth + 1)


def _is_one_of(value: Any, names: Collection[str]) -> bool:
    return isinstance(value, str) and value in names


def _before_quotations(text: str) -> str:
    """A text up to the validation errors in it, which quote the request."""
    found = _INVALID.search(text)
    return text if found is None else text[: found.start()]


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
    lambda kwargs: _without_url(kwargs.get("content_parts")),
)


def _without_url(parts: Any) -> int:
    """The number of content parts that name an image by ``uuid`` alone."""
    return sum(
        field_of(part, "type") == "image_url" and not field_of(part, "url")
        for part in as_sequence(parts) or ()
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
