"""Offload the images of a Python value, all or nothing.

`batch` checks and writes the images. A failure leaves the value unchanged.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import ContractError, shown
from rawmm.images import is_image_data_url, prepare_image
from rawmm.offload.batch import OffloadBatch, open_image_dir
from rawmm.offload.containers import container_of
from rawmm.offload.image_parts import ImageParts
from rawmm.real_class import is_a
from rawmm.store import checked_store, put_image

if TYPE_CHECKING:
    from rawmm.images import Limits
    from rawmm.offload.stats import ImageOffloadStats
    from rawmm.store import Store

_MODES: Final = ("offload", "inline")


def offload_images_inplace(
    value: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    store: Store | None = None,
    mode: str = "offload",
    limits: Limits | None = None,
    images: list[Any] | tuple[Any, ...] | None = None,
) -> ImageOffloadStats:
    """Write every inline image of a value to a store, and replace it by the URL.

    Images are found in dicts, lists, tuples, msgspec Structs, pydantic models and dataclasses, in
    the forms of all clients that docs/image-forms.md lists. Each is rewritten in its own form. A
    typed part gets a new URL; a frozen one is replaced in its parent. URLs of images in the store
    stay, and the images must exist. Any other URL is refused, and so is anything in a message that
    looks like an image and is in no known form. Text, tool arguments and schemas are not searched.

    Args:
        value: messages, a request body, a rollout; changed in place.
        image_dir: the image directory, absolute or relative to the working directory;
            `run_image_dir` by default, called only if there is an image.
        store: a store to use instead of `image_dir`.
        mode: ``offload``, or ``inline`` to check only, without writing or rewriting anything.
        limits: the limits; those of the store by default.
        images: images for the placeholders ``{"type": "image"}`` of the value, in order: URLs,
            base64, bytes, pictures of Pillow, or ``{"bytes": ..., "path": ...}``.

    Raises:
        TypeError: both `image_dir` and `store` are given.
        OffloadError: an image cannot be offloaded; ``path`` is the JSON path of its URL. The
            value is unchanged.
        ContractError: ``bad_value`` for another mode; ``wrong_type`` for a value that cannot
            contain image parts.
    """
    checked_store(image_dir, store)
    if not is_a(mode, str) or mode not in _MODES:
        raise ContractError("bad_value", expected="the mode 'offload' or 'inline'", got=shown(mode))
    _check_container(value)
    _check_images(images)
    batch = OffloadBatch(image_dir, store, limits)
    found = ImageParts(value, images=images)
    if mode == "inline":
        return batch.check(found)
    with batch:
        planned = batch.prepare(found)
        changes = found.plan([image.stored for image in planned])
        batch.write(found, planned)
    changes.apply()
    return batch.stats(found, planned)


async def offload_images_async(
    value: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    store: Store | None = None,
    limits: Limits | None = None,
    images: list[Any] | tuple[Any, ...] | None = None,
    as_chat: bool = False,
) -> ImageOffloadStats:
    """Do what `offload_images_inplace` does, checking and writing images in a thread.

    The thread gets the images only. The event loop alone reads and changes the value, in one step
    at the end, so no other task sees it half changed and a cancelled call changes nothing. Changes
    that other tasks made meanwhile are taken into account.

    Arguments and errors are those of `offload_images_inplace`. With `as_chat`, the value is a list
    of chat messages, and what reads them knows ``image_url`` parts only: content parts of other
    forms become such parts, and an image that is not in the content of a system, user or tool
    message is ``unknown_image_form``.
    """
    import asyncio  # slow to import

    checked_store(image_dir, store)
    _check_container(value)
    _check_images(images)
    batch = OffloadBatch(image_dir, store, limits)

    def find() -> ImageParts:
        return ImageParts(value, images=images, as_chat=as_chat)

    found = find()
    while found.parts:
        planned = await asyncio.to_thread(batch.put, found)
        before, found = found, find()
        if found.same_sources(before):
            found.plan([image.stored for image in planned]).apply()
            return batch.stats(found, planned)
    batch.check(found)
    return batch.stats(found, [])


def offload_image_to_run_assets(
    url: Any, image_dir: str | os.PathLike[str] | None = None
) -> tuple[str, int] | None:
    """Write the image of one data URL; return its new URL and its size in bytes.

    Returns None for anything that does not begin with ``data:image/``.

    Args:
        url: a ``data:image/...;base64,`` URL, or anything else.
        image_dir: the image directory; `run_image_dir` by default.

    Raises:
        OffloadError: the data URL is refused, or its image cannot be written.
    """
    if not is_image_data_url(url):
        return None
    store = open_image_dir(image_dir)
    stored = put_image(store, prepare_image(url, store.limits))
    return stored.uri, stored.size


def _check_container(value: object) -> None:
    """Check that a value can contain image parts."""
    if container_of(value) is None:
        raise ContractError(
            "wrong_type",
            expected="messages, a request body, or a dict, list or typed object of parts",
            got=shown(value),
            hint=_hint_for(value),
        )


def _check_images(images: object) -> None:
    """Check the images for placeholders."""
    if images is not None and not is_a(images, list | tuple):
        raise ContractError(
            "wrong_type",
            "$.images",
            expected="a list of images, one for each placeholder",
            got=shown(images),
            hint="pass URLs, base64, bytes or pictures of Pillow in a list",
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
        return "pass a list of its items"
    return "pass a dict or a list that contains the parts"
