"""Valid items, sidecars, arrays and texts for tests of every package, and small helpers.

Image files are made by `tests.unit.images.pictures`. A test that needs another value of a field
passes it as a keyword.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import MultiModalData, PlaceholderRange, RawMMError, RawMMItem
from rawmm.model.types import Contract
from rawmm.values.fields import iter_children

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FINGERPRINT = "1dc5ae5b68174891b6aa9850aa05ee0d"


def sha256_of(number: int) -> str:
    """The SHA-256 of an imaginary image, as 64 hexadecimal digits."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def mm_hash_of(number: int) -> str:
    """The `mm_hash` of the same image."""
    return sha256_of(number)[:32]


def item_document(**fields: Any) -> dict[str, Any]:
    """A descriptor-only item in its JSON form."""
    return {
        "kind": "prime_raw_mm_item",
        "version": 1,
        "modality": "image",
        "family": "qwen_vl",
        "layout_fingerprint": FINGERPRINT,
        "payload": {"image_grid_thw": [1, 2, 2]},
        **fields,
    }


def sidecar_document(*items: Any) -> dict[str, Any]:
    """A sidecar in its JSON form, with four placeholder tokens for each item."""
    count = range(len(items))
    return {
        "mm_hashes": {"image": [mm_hash_of(number) for number in count]},
        "mm_placeholders": {"image": [{"offset": 5 * i, "length": 4} for i in count]},
        "mm_items": {"image": [*items]},
    }


def item(number: int | None = None, **fields: Any) -> RawMMItem:
    """An item of image `number`, or one without a locator."""
    if number is not None and "raw_image_uri" not in fields:
        fields = {"raw_image_id": f"{sha256_of(number)}.png", **fields}
    return RawMMItem(**item_document(**fields))


def sidecar(
    *items: RawMMItem,
    spans: Sequence[tuple[int, int]] | None = None,
    hashes: Sequence[str] | None = None,
) -> MultiModalData:
    """The sidecar of items of one modality.

    `spans` are the offset and length of each placeholder range, by default four tokens with one
    token between. `hashes` are by default those of images 0, 1, 2, ...
    """
    modality = items[0].modality if items else "image"
    count = range(len(items))
    spans = [(5 * index, 4) for index in count] if spans is None else spans
    hashes = [mm_hash_of(index) for index in count] if hashes is None else hashes
    return MultiModalData(
        mm_hashes={modality: [*hashes]},
        mm_placeholders={
            modality: [PlaceholderRange(offset=offset, length=length) for offset, length in spans]
        },
        mm_items={modality: [*items]},
    )


def urlsafe_base64(value: str | bytes) -> str:
    """Unpadded URL-safe base64, as references spell payloads."""
    raw = value.encode() if isinstance(value, str) else value
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def json_base64(value: Any) -> str:
    """The unpadded URL-safe base64 of a value's JSON."""
    return urlsafe_base64(json.dumps(value))


def encoded_array(dtype: str, shape: list[int], data: bytes) -> dict[str, Any]:
    """An encoded array in its MessagePack form."""
    return {"__nd__": True, "dtype": dtype, "shape": shape, "data": data}


def refused(call: Any) -> RawMMError:
    """The error of a call that is refused."""
    with pytest.raises(RawMMError) as caught:
        call()
    return caught.value


def structs_in(value: Any) -> Iterator[Contract]:
    """Every struct in a struct, a list or a dict, the value itself first."""
    if isinstance(value, Contract):
        yield value
    for _, child in iter_children(value):
        yield from structs_in(child)


def json_lines(path: Path, *records: Any) -> Path:
    """Write records as JSON Lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def names_in(folder: Path) -> list[str]:
    """The sorted names of the files and folders in a folder."""
    return sorted(path.name for path in folder.iterdir())
