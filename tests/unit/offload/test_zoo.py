"""Every entry point for images, given every odd object, returns a value or raises a `RawMMError`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm import layouts
from rawmm.errors import CODES, RawMMError
from rawmm.materialize import ProcessedImageCache, layout_of, materialize
from rawmm.store import ImageStore, check_exists
from tests.cases import each
from tests.unit.images.pictures import part
from tests.unit.offload.zoo import MAKERS, PICTURE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _materialize(**arguments: Any) -> object:
    return materialize(None, **{"image_processor": print} | arguments)


def _of_one_image(where: ImageStore, **arguments: Any) -> object:
    """The images of a sidecar of one image, which the processor never sees."""
    stored = where.put(PICTURE)
    one = rawmm.describe_image(stored, "qwen_vl")
    sidecar = rawmm.MultiModalData(
        mm_items={"image": [one.item]},
        mm_hashes={"image": [one.mm_hash]},
        mm_placeholders={"image": [rawmm.PlaceholderRange(0, one.placeholder_length)]},
    )
    return materialize(sidecar, **{"image_processor": len, "store": where} | arguments)


ENTRY_POINTS: dict[str, Callable[[ImageStore, Any], object]] = {
    "ImageStore": lambda _, odd: ImageStore(odd),
    "ImageStore.limits": lambda store, odd: ImageStore(store.root, limits=odd).put(PICTURE),
    "put": lambda store, odd: store.put(odd),
    "put_data_url": lambda store, odd: store.put_data_url(odd),
    "prepare": lambda store, odd: store.prepare(odd),
    "read": lambda store, odd: store.read(odd),
    "read, hash": lambda store, odd: store.read(store.put(PICTURE).uri, odd),
    "path": lambda store, odd: store.path(odd),
    "exists": check_exists,
    "raw_image_path": lambda store, odd: rawmm.raw_image_path(
        raw_image_id=odd, image_dir=store.root
    ),
    "raw_image_path, directory": lambda _, odd: rawmm.raw_image_path(
        raw_image_id="a.png", image_dir=odd
    ),
    "offload_images_inplace": lambda store, odd: rawmm.offload_images_inplace(odd, store=store),
    "offload_images_inplace, in a list": lambda store, odd: rawmm.offload_images_inplace(
        [odd, {"x": odd}], store=store
    ),
    "offload_images_inplace, URL": lambda store, odd: rawmm.offload_images_inplace(
        [part(odd)], store=store
    ),
    "offload_images_inplace, part": lambda store, odd: rawmm.offload_images_inplace(
        [{"type": "image_url", "image_url": odd}, {"type": odd}, {"type": "image", "image": odd}],
        store=store,
    ),
    "offload_images_inplace, directory": lambda _, odd: rawmm.offload_images_inplace(
        [], image_dir=odd
    ),
    "offload_images_inplace, store": lambda _, odd: rawmm.offload_images_inplace([], store=odd),
    "offload_images_inplace, limits": lambda _, odd: rawmm.offload_images_inplace([], limits=odd),
    "offload_images_inplace, mode": lambda store, odd: rawmm.offload_images_inplace(
        [], store=store, mode=odd
    ),
    "offload_images_async": lambda store, odd: asyncio.run(
        rawmm.offload_images_async(odd, store=store)
    ),
    "offload_request": lambda store, odd: rawmm.offload_request(odd, store=store),
    "offload_request, store": lambda _, odd: rawmm.offload_request(b"[]", store=odd),
    "offload_request, directory": lambda _, odd: rawmm.offload_request(b"[]", image_dir=odd),
    "offload_request, limits": lambda _, odd: rawmm.offload_request(b"[]", limits=odd),
    "offload_image_to_run_assets": lambda store, odd: rawmm.offload_image_to_run_assets(
        odd, store.root
    ),
    "Limits": lambda _, odd: rawmm.Limits(max_bytes=odd),
    "describe_image": lambda _, odd: rawmm.describe_image(odd, "qwen_vl"),
    "describe_image, family": lambda _, odd: rawmm.describe_image(PICTURE, odd),
    "describe_image, limits": lambda _, odd: rawmm.describe_image(PICTURE, "qwen_vl", limits=odd),
    "describe_image, directory": lambda store, odd: rawmm.describe_image(
        store.put(PICTURE).path, "qwen_vl", image_dir=odd
    ),
    "describe_image, in a directory": lambda store, odd: rawmm.describe_image(
        odd, "qwen_vl", image_dir=store.root
    ),
    "layouts.get": lambda _, odd: layouts.get(odd),
    "a parameter": lambda _, odd: layouts.get("qwen_vl", patch_size=odd),
    "parameters": lambda _, odd: layouts.get("kimi_k25", image_mean=odd, fixed_output_tokens=odd),
    "tiles": lambda _, odd: layouts.get("internvl", max_patches=odd).describe(64, 64),
    "image_layout_fingerprint": lambda _, odd: layouts.image_layout_fingerprint(
        family=odd, value=odd
    ),
    "layout_of": lambda _, odd: layout_of(odd, "qwen_vl"),
    "layout_of, family": lambda _, odd: layout_of(None, odd),
    "ProcessedImageCache": lambda _, odd: ProcessedImageCache(odd),
    "materialize": lambda store, odd: materialize(odd, image_processor=print, store=store),
    "materialize, in a list": lambda store, odd: materialize(
        [odd], image_processor=print, store=store
    ),
    "materialize, processor": lambda store, odd: _of_one_image(store, image_processor=odd),
    "materialize, store": lambda _, odd: _materialize(store=odd),
    "materialize, directory": lambda _, odd: _materialize(image_dir=odd),
    "materialize, layout": lambda store, odd: _of_one_image(store, layout=odd),
    "materialize, types": lambda store, odd: _of_one_image(store, mm_token_type_ids=odd),
    "materialize, cache": lambda store, odd: _of_one_image(store, cache=odd),
    "materialize, tensors": lambda store, odd: _of_one_image(store, return_tensors=odd),
    "materialize, limits": lambda store, odd: _of_one_image(store, limits=odd),
    "materialize, what is read": lambda store, odd: _of_one_image(
        store, store=type("Reader", (), {"read": lambda *_: odd})()
    ),
    "materialize, outputs": lambda store, odd: _of_one_image(
        store, image_processor=lambda **_: {"pixel_values": odd, "image_grid_thw": odd}
    ),
}
ENTRY_POINTS |= {
    f"describe, {family}": lambda _, odd, family=family: (  # type: ignore[misc]
        layouts.get(family).describe(odd, 64),
        layouts.get(family).describe(64, odd),
    )
    for family in layouts.FAMILIES
}


def _raised(action: Callable[[], object]) -> BaseException | None:
    try:
        action()
    except Exception as error:  # noqa: BLE001  (which it is, is the question)
        return error
    return None


@each("entry_point", ENTRY_POINTS)
def test_odd_object_gives_a_value_or_an_error(entry_point: str, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images", durable=False)
    refused = []
    for name, make in MAKERS.items():
        if entry_point == "materialize, types" and name == "an iterator":
            continue  # one without end, and any number of types is right
        error = _raised(lambda make=make: ENTRY_POINTS[entry_point](store, make()))  # type: ignore[misc]
        if error is None:
            continue
        refused.append(name)
        while error is not None:
            assert isinstance(error, RawMMError), (name, error)
            assert error.code in CODES, (name, error)
            assert error.path.startswith("$"), name
            assert len(str(error)) < 1000, name
            error = error.__cause__ or error.__context__
    assert refused or entry_point in TAKES_ANYTHING


TAKES_ANYTHING = {
    "offload_images_inplace, in a list",  # what holds no image part is left alone
    "offload_image_to_run_assets",
    "layout_of",  # what states nothing has the defaults
    "materialize, tensors",  # the processor's affair
}


def test_lying_subclass_is_read_by_its_base_value(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    for name in ("a bytearray that lies", "a view with gaps", "a view"):
        assert store.read(store.put(MAKERS[name]()).raw_image_id) == PICTURE
    assert store.put_data_url(MAKERS["a string that lies"]()).size > 0
    assert layouts.get("qwen_vl").describe(MAKERS["an enum"](), 1) == (
        layouts.get("qwen_vl").describe(1, 1)
    )


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (b"[]", "offload_request takes the bytes of a JSON text; ImageStore.put those of an image"),
        ("[]", "offload_request takes a JSON text, as bytes: text.encode()"),
        (
            "data:image/png;base64,AAAA",
            "offload_image_to_run_assets and ImageStore.put_data_url take a data URL",
        ),
        ("a path", "offload_request takes a JSON text, as bytes: path.read_bytes()"),
        ("a file", "offload_request takes a JSON text, as bytes: file.read()"),
        ("a generator", "pass a list of its items"),
        (5, "pass a dict or a list that contains the parts"),
        (None, "pass a dict or a list that contains the parts"),
    ],
)
def test_value_without_parts_names_the_right_function(
    value: Any, hint: str, tmp_path: Path
) -> None:
    odd = MAKERS[value]() if value in ("a path", "a file", "a generator") else value
    for action in (
        lambda: rawmm.offload_images_inplace(odd, image_dir=tmp_path),
        lambda: rawmm.offload_images_inplace(odd, mode="inline"),
        lambda: asyncio.run(rawmm.offload_images_async(odd, image_dir=tmp_path)),
    ):
        with pytest.raises(rawmm.ContractError) as caught:
            action()
        assert (caught.value.code, caught.value.path, caught.value.hint) == (
            "wrong_type",
            "$",
            hint,
        )


def test_request_that_is_not_bytes_names_the_right_function() -> None:
    for odd, hint in (
        ([], "offload_images_inplace takes messages and parsed bodies"),
        ("[]", "pass text.encode()"),
    ):
        with pytest.raises(rawmm.ContractError) as caught:
            rawmm.offload_request(odd)
        assert (caught.value.code, caught.value.hint) == ("wrong_type", hint)


@pytest.mark.parametrize("body", [b"null", b"3", b' "data:image/png;base64,AAAA" ', b"true"])
def test_request_that_is_a_scalar_is_refused(body: bytes) -> None:
    with pytest.raises(rawmm.ContractError) as caught:
        rawmm.offload_request(body)
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$")
    assert caught.value.expected == "a JSON object or array"
