"""Offload from bytes to bytes: a request body whose images never become Python objects."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from rawmm.errors import OffloadError, contract_error, shown
from rawmm.offload.call import Call
from rawmm.offload.containers import REMOVED
from rawmm.offload.image_parts import ImageParts
from rawmm.offload.prepare import frozen_bytes
from rawmm.offload.scan import CutText, ObjectChange, change_objects
from rawmm.offload.store_errors import check_one_place
from rawmm.real_class import is_a

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from rawmm.errors import RawMMError
    from rawmm.offload.call import Planned
    from rawmm.offload.image_parts import ImagePart
    from rawmm.offload.limits import Limits
    from rawmm.offload.stats import ImageOffloadStats
    from rawmm.offload.store import ImageStore


class OffloadedRequest(NamedTuple):
    """A request body without inline images, and what was done to get there."""

    body: bytes
    stats: ImageOffloadStats


def offload_request(
    body: bytes,
    *,
    store: ImageStore | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
) -> OffloadedRequest:
    """`offload_images_inplace` for a JSON text, without parsing its images.

    The new body says what encoding the changed value would say. Byte for byte it is the old one
    but for the image parts that changed: numbers, spacing and the order of keys stay.

    Args:
        body: one JSON text, e.g. the body of a chat completion request.
        store: a store, instead of `image_dir`. One that is kept between the turns of a
            rollout knows the images that are sent again.
        image_dir: the image directory; `run_image_dir` by default, asked only when there is
            an image.
        limits: bounds; those of the store by default.

    Raises:
        ContractError: ``malformed``, ``too_deep`` or ``duplicate_key``; ``wrong_type`` for a
            body that is no bytes, or no JSON object or array; ``bad_value`` for a store
            beside an `image_dir`.
        OffloadError: as `offload_images_inplace`.
    """
    raw = frozen_bytes(body)
    if raw is None:
        raise _no_body(body)
    check_one_place(image_dir, store)
    text = CutText(raw)
    value = text.parsed()
    found = ImageParts(value)
    numbers = [text.number(part.url) for part in found.parts]
    urls = {number: text.url(number) for number in numbers if number is not None}
    text.check(number for number in range(len(text.cuts)) if number not in urls)
    if not is_a(value, dict | list):
        got = "a string" if is_a(value, str) else shown(value)
        raise contract_error("wrong_type", (), expected="a JSON object or array", got=got)

    def read(url: str) -> str | memoryview:
        number = text.number(url)
        return url if number is None else urls[number]

    with Call(image_dir, store, limits, read) as call:
        try:
            planned = call.prepare(found)
        except OffloadError:
            # A text that is no JSON is that first of all. Images that pass are always JSON.
            text.check(urls)
            odd = text.respelled(number for number, url in urls.items() if not is_a(url, str))
            if not odd:
                raise
            urls |= odd
            planned = call.prepare(found)
        rewritten = _rewritten(text, found, planned)
        call.write(found, planned)
    return OffloadedRequest(rewritten, call.stats(planned))


def _no_body(body: object) -> RawMMError:
    hint = "offload_images_inplace takes messages and bodies that are parsed"
    if is_a(body, str):
        hint = "pass text.encode()"
    return contract_error(
        "wrong_type", (), expected="the bytes of a body", got=shown(body), hint=hint
    )


def _rewritten(text: CutText, found: ImageParts, planned: list[Planned]) -> bytes:
    new: dict[int, bytes] = {}
    for part, (url, image) in zip(found.parts, planned, strict=True):
        if image is not None:
            new[_number(text, part)] = msgspec.json.encode(url)
    # With URLs as they are, what is left to change is the shape of parts.
    changes: dict[int, ObjectChange] = {}
    for change in found.plan([part.url for part in found.parts]):
        place = text.cuts[_number(text, change.part)].place
        up = int(change.part.holder != change.part.node)
        changes[place] = ObjectChange(up, partial(_changed, new=change.new))
    if not new and not changes:
        return text.whole
    return text.joined(change_objects(text.rest, changes) if changes else text.rest, new)


def _number(text: CutText, part: ImagePart) -> int:
    number = text.number(part.url)
    assert number is not None, "what no scheme that is cut begins was refused"
    return number


def _changed(json_object: memoryview, new: Mapping[str, Any]) -> bytes:
    """A JSON object with other values for some keys; the others stay as they are written."""
    fields = msgspec.json.decode(json_object, type=dict[str, msgspec.Raw])
    for key, value in new.items():
        if value is REMOVED:
            del fields[key]
        else:
            fields[key] = value
    return msgspec.json.encode(fields)
