"""Rewrite inline images into references to stored ones, all or nothing.

The images are checked and written by `call`; a failure leaves the value as it was.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import ContractError, shown
from rawmm.offload.call import Call, store_in
from rawmm.offload.containers import container_of
from rawmm.offload.data_url import is_image_data_url
from rawmm.offload.image_parts import ImageParts
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from rawmm.offload.limits import Limits
    from rawmm.offload.stats import ImageOffloadStats
    from rawmm.offload.store import ImageStore

_MODES: Final = ("offload", "inline")


def offload_images_inplace(
    value: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    store: ImageStore | None = None,
    mode: str = "offload",
    limits: Limits | None = None,
) -> ImageOffloadStats:
    """Store every inline image of a value, and put ``file://`` URLs in their place.

    Image parts are found in dicts, lists, tuples, msgspec Structs, pydantic models and
    dataclasses: ``{"type": "image_url", "image_url": {"url": ...}}``, ``image_url`` as a
    string, ``{"type": "image", "image": url}``. A dict part comes out in the first shape, a
    typed part with a new URL; a frozen one is replaced in its parent. ``file://`` URLs inside
    the image directory stay, and are checked to exist; every other URL is refused.

    Args:
        value: messages, a request body, a rollout ... changed in place.
        image_dir: the image directory; `run_image_dir` by default, asked only when there is
            an image.
        store: a store, instead of `image_dir`.
        mode: ``offload``, or ``inline`` to check only: nothing is written or rewritten.
        limits: bounds; those of the store by default.

    Raises:
        OffloadError: an image cannot be offloaded; ``path`` is the JSON path of its URL. The
            value is as it was.
        ContractError: ``bad_value`` for another mode, and for a store beside an `image_dir`;
            ``wrong_type`` for a value that is no container of parts.
    """
    if not is_a(mode, str) or mode not in _MODES:
        raise ContractError("bad_value", expected="the mode 'offload' or 'inline'", got=shown(mode))
    _check_container(value)
    call = Call(image_dir, store, limits)
    found = ImageParts(value)
    if mode == "inline":
        return call.check(found)
    with call:
        planned = call.prepare(found)
        changes = found.plan([image.url for image in planned])
        call.write(found, planned)
    changes.apply()
    return call.stats(planned)


async def offload_images_async(
    value: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    store: ImageStore | None = None,
    limits: Limits | None = None,
) -> ImageOffloadStats:
    """`offload_images_inplace` for an event loop: images are checked and written in a thread.

    The thread gets nothing but URLs. The value is read and changed by the loop alone, and
    changed in one step at the end: no other task sees half of it, and a cancelled call changes
    nothing, then or later. What other tasks did to the value meanwhile is looked at first.

    Args and errors are those of `offload_images_inplace`.
    """
    import asyncio  # import rawmm stays light

    _check_container(value)
    call = Call(image_dir, store, limits)
    found = ImageParts(value)
    while found.parts:
        planned = await asyncio.to_thread(call.put, found)
        before, found = found, ImageParts(value)
        if [part.url for part in found.parts] == [part.url for part in before.parts]:
            found.plan([image.url for image in planned]).apply()
            return call.stats(planned)
    return call.stats([])


def offload_image_to_run_assets(
    url: Any, image_dir: str | os.PathLike[str] | None = None
) -> tuple[str, int] | None:
    """Store the image of one data URL: its ``file://`` URL and its size in bytes.

    None for anything that does not begin with ``data:image/``.

    Args:
        url: a ``data:image/...;base64,`` URL, or anything else.
        image_dir: the image directory; `run_image_dir` by default.

    Raises:
        OffloadError: the data URL is wrong, or its image cannot be stored.
    """
    if not is_image_data_url(url):
        return None
    stored = store_in(image_dir).put_data_url(url)
    return stored.uri, stored.size


def _check_container(value: object) -> None:
    """Check that a value can hold image parts which can be changed."""
    if container_of(value) is None:
        raise ContractError(
            "wrong_type",
            expected="messages, a request body, or any dict, list, or typed object of parts",
            got=shown(value),
            hint=_hint_for(value),
        )


def _hint_for(value: object) -> str:
    if is_a(value, bytes | bytearray | memoryview):
        return "offload_request takes the bytes of a JSON text; ImageStore.put those of an image"
    if is_image_data_url(value):
        return "offload_image_to_run_assets and ImageStore.put_data_url take a data URL"
    if is_a(value, str):
        return "offload_request takes a JSON text, as bytes: text.encode()"
    if is_a(value, os.PathLike):
        return "offload_request takes a JSON text, as bytes: path.read_bytes()"
    if hasattr(type(value), "read"):
        return "offload_request takes a JSON text, as bytes: file.read()"
    if hasattr(type(value), "__next__"):
        return "pass a list of what it gives"
    return "pass a dict or a list that holds the parts"
