"""The sidecar of a real Qwen3-VL renderer: pixels are refused, descriptors are kept."""

from __future__ import annotations

import base64
import hashlib
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

import rawmm
from rawmm import ImageStore, MultiModalData, ProcessedPayloadError
from rawmm.integrations.renderers import from_renderers, to_renderers
from tests.integrations.real_renderer import (
    build_qwen3_vl_renderer,
    completion_ids,
    described,
)

if TYPE_CHECKING:
    from renderers.base import RenderedTokens
    from renderers.qwen3_vl import Qwen3VLRenderer

IMAGES = Path(__file__).parents[3] / "examples" / "images"
TYPES = {".png": "png", ".jpg": "jpeg", ".webp": "webp"}


def image_part(name: str) -> dict[str, Any]:
    """An image as a client sends it."""
    path = IMAGES / name
    text = base64.b64encode(path.read_bytes()).decode()
    url = f"data:image/{TYPES[path.suffix]};base64,{text}"
    return {"type": "image_url", "image_url": {"url": url}}


def urls_in(messages: list[dict[str, Any]]) -> list[str]:
    return [
        part["image_url"]["url"]
        for message in messages
        for part in message["content"]
        if isinstance(part, dict) and "image_url" in part
    ]


@pytest.fixture
def renderer() -> Qwen3VLRenderer:
    return build_qwen3_vl_renderer()


@pytest.fixture
def messages(tmp_path: Path) -> list[dict[str, Any]]:
    """A conversation with two images, offloaded."""
    found: list[dict[str, Any]] = [
        {"role": "system", "content": "You look at images."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What does it show?"},
                image_part("form.png"),
                image_part("dashboard.webp"),
            ],
        },
    ]
    rawmm.offload_images_inplace(found, image_dir=tmp_path)
    return found


@pytest.fixture
def rendered(renderer: Qwen3VLRenderer, messages: list[dict[str, Any]]) -> RenderedTokens:
    return renderer.render(messages, add_generation_prompt=True)


def test_renderer_is_real(renderer: Qwen3VLRenderer, rendered: RenderedTokens) -> None:
    sidecar = rendered.multi_modal_data
    ranges = sidecar.mm_placeholders["image"]
    pad = renderer._tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert len(ranges) == len(sidecar.mm_items["image"]) == 2
    for where, item in zip(ranges, sidecar.mm_items["image"], strict=True):
        [grid] = item["image_grid_thw"].tolist()
        assert item["pixel_values"].shape == (prod(grid), 3 * 2 * 16 * 16)
        assert where.length == prod(grid) // 4
        assert set(rendered.token_ids[where.offset : where.offset + where.length]) == {pad}
    assert rendered.token_ids.count(pad) == sum(where.length for where in ranges)
    assert "What does it show?" in renderer._tokenizer.decode(rendered.token_ids)
    assert any(rendered.is_content)


def test_sidecar_with_pixels_is_refused(rendered: RenderedTokens) -> None:
    with pytest.raises(ProcessedPayloadError) as caught:
        from_renderers(rendered.multi_modal_data)
    assert caught.value.code == "processed_payload"
    assert caught.value.path == "$.mm_items.image[0].pixel_values"


def test_its_descriptors_survive_every_hop(
    rendered: RenderedTokens, messages: list[dict[str, Any]], tmp_path: Path
) -> None:
    struct = described(rendered.multi_modal_data, urls_in(messages))
    sidecar = to_renderers(struct)
    assert sidecar.mm_placeholders == rendered.multi_modal_data.mm_placeholders

    over = rawmm.decode_msgpack(rawmm.encode_msgpack(from_renderers(sidecar)), MultiModalData)
    assert to_renderers(over) == sidecar
    over = rawmm.decode_json(rawmm.encode_json(over), MultiModalData)
    assert to_renderers(over) == sidecar
    unpacked = msgpack.unpackb(msgpack.packb(rawmm.to_builtins(over)))
    assert to_renderers(rawmm.convert(unpacked, MultiModalData)) == sidecar

    store = ImageStore(tmp_path)
    raws = [(IMAGES / name).read_bytes() for name in ("form.png", "dashboard.webp")]
    hashes = sidecar.mm_hashes["image"]
    assert hashes == [hashlib.sha256(raw).hexdigest()[:32] for raw in raws]
    read = [
        store.read(item["raw_image_id"], expected_hash=digest)
        for item, digest in zip(sidecar.mm_items["image"], hashes, strict=True)
    ]
    assert read == raws


def test_bridge_keeps_descriptors(
    renderer: Qwen3VLRenderer,
    rendered: RenderedTokens,
    messages: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    """The next turn extends the tokens, and the sidecar of the turns before rides in front."""
    before = described(rendered.multi_modal_data, urls_in(messages))
    more = [{"role": "user", "content": [image_part("cat.jpg")]}]
    rawmm.offload_images_inplace(more, image_dir=tmp_path)
    bridged = renderer.bridge_to_next_turn(
        rendered.token_ids,
        completion_ids(renderer, "A form."),
        more,
        previous_multi_modal_data=to_renderers(before),
    )
    whole = renderer.render(
        [*messages, {"role": "assistant", "content": "A form."}, *more],
        add_generation_prompt=True,
    )
    assert bridged.token_ids == whole.token_ids
    ranges = bridged.multi_modal_data.mm_placeholders
    assert ranges == whole.multi_modal_data.mm_placeholders

    items = bridged.multi_modal_data.mm_items["image"]
    assert items[:2] == to_renderers(before).mm_items["image"]
    with pytest.raises(ProcessedPayloadError) as caught:
        from_renderers(bridged.multi_modal_data)
    assert caught.value.path == "$.mm_items.image[2].pixel_values"

    after = described(whole.multi_modal_data, urls_in([*messages, *more]))
    assert from_renderers(to_renderers(after)) == after
    assert after.mm_items["image"][:2] == before.mm_items["image"]


def test_unprocessed_image_is_one_token(
    renderer: Qwen3VLRenderer, messages: list[dict[str, Any]]
) -> None:
    """A renderer whose placeholders the engine expands reads no image."""
    for url in urls_in(messages):
        Path(url.removeprefix("file://")).unlink()
    light = renderer.render(messages, add_generation_prompt=True, process_multimodal=False)
    pad = renderer._tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert light.multi_modal_data is None
    assert light.token_ids.count(pad) == 2
