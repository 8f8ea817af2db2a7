"""Twenty turns with images through the real packages: client, dialect, renderer, both graphs.

The request goes through a verifiers train client with the mixin and the chat dialect; a real
Qwen3-VL renderer writes the tokens; verifiers' own graph and ours commit the same turns.
"""

from __future__ import annotations

import asyncio
import base64
import copy
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgpack
from verifiers.v1 import graph as vf_graph
from verifiers.v1 import types as vf
from verifiers.v1.clients.train import TrainClient
from verifiers.v1.configs.client import TrainClientConfig
from verifiers.v1.dialects import ChatDialect
from verifiers.v1.dialects.chat import message_to_wire
from verifiers.v1.trace import WireTrace

import rawmm
from rawmm.graph import branches, prepare_turn
from rawmm.integrations.renderers import from_renderers, to_renderers
from rawmm.integrations.verifiers import RawImageClientMixin, from_verifiers, to_verifiers
from tests import fake_renderer
from tests.integrations.real_renderer import (
    LAYOUT_FINGERPRINT,
    build_qwen3_vl_renderer,
    completion_ids,
)
from tests.integrations.verifiers.test_graph_parity import new_wire_trace, same_graph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from rawmm.graph import PendingTurn

TURNS, FORK_AT, FORK_FROM, COMPACT_AT = 20, 8, 5, 14


class RawImageTrainClient(RawImageClientMixin, TrainClient):
    """A train client that offloads."""


def urls_of(messages: Sequence[Any]) -> list[str]:
    return [
        part.image_url.url
        for message in messages
        if isinstance(message.content, list)
        for part in message.content
        if part.type == "image_url"
    ]


def describe(rendered: Any, urls: list[str]) -> rawmm.MultiModalData | None:
    """A real sidecar as a raw renderer returns it: what it processed, described instead."""
    if rendered.multi_modal_data is None:
        return None
    items = rendered.multi_modal_data.mm_items["image"]
    assert len(items) == len(urls)
    described = []
    for item, url in zip(items, urls, strict=True):
        if "pixel_values" not in item:
            described.append(item)  # of an earlier turn
            continue
        described.append(
            rawmm.raw_mm_item(
                modality="image",
                family="qwen_vl",
                layout_fingerprint=LAYOUT_FINGERPRINT,
                payload={"image_grid_thw": item["image_grid_thw"][0].tolist()},
                raw_image_id=PurePosixPath(urlsplit(url).path).name,
            )
        )
    ranges = rendered.multi_modal_data.mm_placeholders["image"]
    return rawmm.convert(
        {
            "mm_hashes": {"image": [PurePosixPath(url).name[:32] for url in urls]},
            "mm_placeholders": {"image": [from_renderers(one) for one in ranges]},
            "mm_items": {"image": described},
        },
        rawmm.MultiModalData,
    )


def observation(number: int) -> dict[str, Any]:
    encoded = base64.b64encode(fake_renderer.screenshot(number, (320, 200))).decode()
    source = {"url": f"data:image/png;base64,{encoded}"}
    parts = [{"type": "text", "text": f"step {number}"}, {"type": "image_url", "image_url": source}]
    return {"role": "user", "content": parts}


class Rollout:
    """The worker: one client, one renderer, and a graph of each kind."""

    def __init__(self, images: Path) -> None:
        self.dialect, self.renderer = ChatDialect(), build_qwen3_vl_renderer()
        self.client = RawImageTrainClient(TrainClientConfig(base_url="http://localhost:8000/v1"))
        self.client.image_store = rawmm.ImageStore(images, durable=False)
        self.ours, self.theirs = rawmm.Trace(nodes=[]), new_wire_trace()
        self.history: list[dict[str, Any]] = []
        self.images_sent = self.bridged = 0

    def turn(self, number: int) -> None:
        self.history.append(observation(number))
        self.images_sent += sum(one["role"] == "user" for one in self.history)
        body = {"model": "m", "messages": copy.deepcopy(self.history)}
        asyncio.run(self.client.prepare_request_body(self.dialect, body))
        prompt = self.dialect.parse_request(body).messages
        turn, other = prepare_turn(self.ours, prompt), vf_graph.prepare_turn(self.theirs, prompt)
        assert turn.previous_token_ids() == other.previous_renderer_token_ids()

        rendered = self.bridge(turn)
        if bridged := rendered is not None:
            spans = turn.prompt_message_spans(rendered)
            assert spans == other.prompt_message_spans(rendered)
        else:
            wire = [message_to_wire(message) for message in prompt]
            rendered = self.renderer.render(wire, add_generation_prompt=True)
            spans = rendered.message_token_spans()
        self.bridged += bridged

        text = f"I press the button {number}."
        completion = completion_ids(self.renderer, text)
        tokens = {
            "prompt_ids": rendered.token_ids,
            "completion_ids": completion,
            "completion_logprobs": [-0.25] * len(completion),
            "message_spans": spans,
            "is_content": rendered.is_content,
            "bridged": bridged,
            "mm_token_type_id_map": self.renderer.mm_token_type_id_map,
        }
        usage = vf.Usage(prompt_tokens=len(rendered.token_ids), completion_tokens=len(completion))
        message = vf.AssistantMessage(content=text)
        answer: dict[str, Any] = {"message": message, "finish_reason": "stop", "usage": usage}
        sidecar = describe(rendered, urls_of(prompt))
        mine = rawmm.TurnTokens(**tokens, multi_modal_data=sidecar)
        theirs = vf.Response(id="r", created=0, model="m", tokens=vf.TurnTokens(**tokens), **answer)
        assert turn.commit(rawmm.Response(**answer, tokens=mine)) == other.commit(theirs)
        self.history.append({"role": "assistant", "content": text})

    def bridge(self, turn: PendingTurn) -> Any:
        previous, sidecar = turn.previous_token_ids(), turn.previous_multi_modal_data()
        if previous is None or sidecar is None:
            return None
        tail = [message_to_wire(message) for message in to_verifiers(turn.tail)]
        return self.renderer.bridge_to_next_turn(
            *previous, tail, previous_multi_modal_data=to_renderers(sidecar)
        )


def test_twenty_turns_keep_every_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    rollout = Rollout(tmp_path / "images")
    for number in range(TURNS):
        if number == FORK_AT:
            rollout.history = rollout.history[: 2 * FORK_FROM]
        if number == COMPACT_AT:
            rollout.history = [{"role": "system", "content": "so far we clicked often"}]
        rollout.turn(number)

    ours = rollout.ours
    assert rollout.bridged == TURNS - 2
    same_graph(ours, rollout.theirs)
    assert rollout.client.image_offload_stats.images_seen == rollout.images_sent
    assert len(list((tmp_path / "images").iterdir())) == TURNS

    # The trainer's side, straight and through verifiers' own wire.
    received = rawmm.decode_msgpack(rawmm.encode_msgpack(ours), rawmm.Trace)
    empty = from_verifiers(new_wire_trace())
    ours.task, ours.agent = empty.task, empty.agent
    packed = msgpack.packb(to_verifiers(ours).model_dump(mode="python"))
    hopped = from_verifiers(WireTrace.model_validate(msgpack.unpackb(packed)))
    for trace in (received, hopped):
        rawmm.validate(trace)
        assert len(branches(trace)) == 3
        for branch in branches(trace):
            messages = to_verifiers(branch.messages)
            whole = rollout.renderer.render([message_to_wire(message) for message in messages])
            assert branch.token_ids == whole.token_ids[: len(branch.token_ids)]
            assert branch.multi_modal_data == describe(whole, urls_of(messages))
