"""An image that is lost at any hop is an error at this hop or the next, never a silent sample."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch

import rawmm
from rawmm import MultiModalData, RawMMError, describe_prompt
from rawmm.trainer import decode_sample, encode_sample, pack, samples_from
from tests.integrations.engine.flow import TURNS, build_engine, roll_out
from tests.integrations.engine.server import Engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integrations.flow.conftest import Flow


def image_of(message: Any) -> int:
    """The index of a message's image part."""
    return next(i for i, part in enumerate(message.content) if part.type == "image_url")


class PartLost(Engine):
    """An engine that never sees the last image of a request."""

    def answer(self, body: Any) -> dict[str, Any]:
        return super().answer({**body, "content_parts": body["content_parts"][:-1]})


class RangeLost(Engine):
    """An engine that does not say where the last image is."""

    def answer(self, body: Any) -> dict[str, Any]:
        answer = super().answer(body)
        answer["mm_placeholders"]["image"].pop()
        return answer


@pytest.mark.parametrize("lossy", [PartLost, RangeLost])
def test_image_lost_by_the_engine_ends_the_rollout(lossy: type[Engine], tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    engine = build_engine(allowed_local_media_path=tmp_path / "images")
    engine.__class__ = lossy
    with pytest.raises(ValueError, match=r"align|must include mm_placeholders"):
        asyncio.run(roll_out(engine, tmp_path / "tokenizer", image_dir=tmp_path / "images"))


def without_part(flow: Flow, turn: int) -> Any:
    turns = flow.turns()
    for prompt, _ in turns[turn:]:
        message = prompt[2 * turn]
        del message.content[image_of(message)]
    return turns


def without_range(flow: Flow, turn: int) -> Any:
    turns = flow.turns()
    for _, response in turns[turn:]:
        del response.tokens.mm_placeholders[turn]
    return turns


def without_ranges(flow: Flow, turn: int) -> Any:
    turns = flow.turns()
    turns[turn][1].tokens.mm_placeholders = None
    return turns


def without_tokens(flow: Flow, turn: int) -> Any:
    """The engine expanded one image less."""
    turns = flow.turns()
    for _, response in turns[turn:]:
        tokens = response.tokens
        offset, length = tokens.mm_placeholders[turn]
        ids = list(tokens.prompt_ids)
        tokens.prompt_ids = ids[:offset] + ids[offset + length :]
    return turns


@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.parametrize("spoil", [without_part, without_range, without_ranges, without_tokens])
def test_image_lost_before_the_graph_is_refused_by_commit(
    flow: Flow, spoil: Callable[[Flow, int], Any], turn: int
) -> None:
    with pytest.raises(RawMMError) as caught:
        flow.commit(spoil(flow, turn))
    assert caught.value.path.startswith(("$.tokens", "$.prompt", "$.nodes"))


@pytest.mark.parametrize("kept", ["ranges", "nothing", "none"])
def test_image_lost_by_the_description_is_refused_by_commit(flow: Flow, kept: str) -> None:
    describe = partial(describe_prompt, layout=flow.trainer.policy.layout, image_dir=flow.image_dir)

    def lossy(messages: Any, ranges: Any) -> MultiModalData | None:
        sidecar = describe(messages, ranges)
        assert sidecar is not None
        return {
            "ranges": MultiModalData(mm_placeholders=sidecar.mm_placeholders),
            "nothing": MultiModalData(),
            "none": None,
        }[kept]

    with pytest.raises(RawMMError):
        flow.commit(describe=lossy)


def lose_sidecar(node: Any) -> None:
    node.multi_modal_data = None


def lose_item(node: Any) -> None:
    node.multi_modal_data.mm_items["image"].pop()


def lose_image(node: Any) -> None:
    for field in ("mm_items", "mm_hashes", "mm_placeholders"):
        getattr(node.multi_modal_data, field)["image"].pop()


def lose_message_part(node: Any) -> None:
    del node.message.content[image_of(node.message)]


def lose_tokens(node: Any) -> None:
    """All but the tokens of the image."""
    token = max(set(node.token_ids), key=node.token_ids.count)
    kept = [one for one in node.token_ids if one != token]
    node.is_content = [True] * len(kept)
    node.token_ids, node.mask = kept, [False] * len(kept)


@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.parametrize(
    "spoil", [lose_sidecar, lose_item, lose_image, lose_message_part, lose_tokens]
)
def test_image_lost_in_the_trace_is_refused(
    flow: Flow, spoil: Callable[[Any], None], turn: int
) -> None:
    trace = flow.commit()
    spoil(trace.nodes[2 * turn])
    for hop in (rawmm.validate, rawmm.encode_msgpack, flow.samples):
        with pytest.raises(RawMMError) as caught:
            hop(trace)
        assert caught.value.path.startswith(("$.nodes", "$.branches"))


@pytest.mark.parametrize("turn", range(TURNS))
def test_node_lost_on_the_wire_is_refused(flow: Flow, turn: int) -> None:
    document = rawmm.to_builtins(flow.commit())
    del document["nodes"][2 * turn]["multi_modal_data"]
    with pytest.raises(RawMMError) as caught:
        rawmm.convert(document, rawmm.Trace)
    assert caught.value.path.startswith(f"$.nodes[{2 * turn}]")


@pytest.mark.parametrize("turn", range(TURNS))
def test_reference_lost_in_the_sample_is_refused(flow: Flow, turn: int) -> None:
    (sample,) = samples_from(flow.commit(), image_dir=flow.image_dir)
    assert sample.mm_refs is not None
    del sample.mm_refs.images[turn]
    with pytest.raises(RawMMError):
        flow.trainer.materialize(pack([decode_sample(encode_sample(sample))]))


@pytest.mark.parametrize("turn", range(TURNS))
def test_reference_lost_in_the_batch_is_refused(flow: Flow, turn: int) -> None:
    batch = flow.batch(flow.commit())
    assert batch.mm_refs is not None
    del batch.mm_refs.images[turn]
    with pytest.raises(RawMMError) as caught:
        flow.trainer.materialize(batch)
    assert caught.value.code == "orphan_image"


@pytest.mark.parametrize("turn", range(TURNS))
def test_lost_or_replaced_file_is_refused(flow: Flow, turn: int) -> None:
    batch = flow.batch(flow.commit())
    assert batch.mm_refs is not None
    names = [
        str(one.item.raw_image_id or one.uri).rpartition("/")[2] for one in batch.mm_refs.images
    ]
    file, other = (flow.image_dir / names[i % TURNS] for i in (turn, turn + 1))
    raw = file.read_bytes()
    try:
        file.write_bytes(other.read_bytes())
        with pytest.raises(RawMMError) as caught:
            flow.trainer.materialize(batch)
        assert caught.value.code == "hash_mismatch"
        file.unlink()
        with pytest.raises(RawMMError) as caught:
            flow.trainer.materialize(batch)
        assert caught.value.code == "missing_image"
    finally:
        file.write_bytes(raw)


def test_pixels_lost_before_the_forward_are_refused(flow: Flow) -> None:
    batch = flow.batch(flow.commit())
    inputs = flow.trainer.materialize(batch).model_inputs()
    grids = inputs["image_grid_thw"]
    rows = int(grids[-1].prod())
    trainer = flow.trainer
    with pytest.raises(ValueError, match="Image features and image tokens do not match"):
        trainer.policy.model(
            input_ids=torch.tensor([batch.input_ids]),
            mm_token_type_ids=torch.tensor([batch.mm_token_type_ids]),
            pixel_values=inputs["pixel_values"][:-rows],
            image_grid_thw=grids[:-1],
            position_ids=torch.tensor([[list(range(len(batch.input_ids)))]] * 3)[:, 0],
        )
