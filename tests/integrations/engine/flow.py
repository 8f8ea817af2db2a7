"""A rollout on the released path: TrainClient, the Qwen3-VL renderer and an engine over HTTP."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from renderers.configs import Qwen3VLRendererConfig
from verifiers.v1 import graph
from verifiers.v1.clients.train import TrainClient
from verifiers.v1.configs.client import TrainClientConfig
from verifiers.v1.dialects import ChatDialect
from verifiers.v1.trace import WireTrace

from rawmm import ImageStore
from rawmm.integrations.verifiers import RawImageClientMixin
from tests.integrations.engine.server import MODEL, Engine
from tests.integrations.real_renderer import build_image_processor, build_tokenizer
from tests.unit.images.pictures import data_url, part, picture

try:
    from verifiers.v1.configs.sampling import SamplingConfig
except ImportError:  # 0.4.0
    from verifiers.v1.types import SamplingConfig

if TYPE_CHECKING:
    from pathlib import Path

TURNS: Final = 3
_DIALECT: Final = ChatDialect()
_ANSWER: Final = "I press the button."


class OffloadingClient(RawImageClientMixin, TrainClient):
    """The adoption: the released client, which stores the images that a request brings."""


class Rollout(NamedTuple):
    """A trace as verifiers made it, and the engine that served it."""

    trace: Any
    engine: Engine
    turns: list[tuple[Any, Any]]
    """The prompt of each turn, as verifiers' messages, and the client's response to it."""


def build_engine(**options: Any) -> Engine:
    """An engine that gives the same answer in every turn."""
    tokenizer = build_tokenizer()
    ids = [
        *tokenizer.encode(_ANSWER, add_special_tokens=False),
        tokenizer.convert_tokens_to_ids("<|im_end|>"),
    ]
    return Engine(
        **{
            "image_processor": build_image_processor(),
            "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
            "completions": [ids] * TURNS,
            **options,
        }
    )


def image_size(turn: int) -> tuple[int, int]:
    """Width and height of the image of one turn."""
    return 320 + 64 * turn, 200


def ask(turn: int) -> dict[str, Any]:
    """The user message of one turn, with an image of its own size."""
    image = picture(size=image_size(turn), seed=turn)
    parts = [{"type": "text", "text": f"step {turn}"}, part(data_url(image))]
    return {"role": "user", "content": parts}


def new_trace() -> Any:
    return WireTrace(task={"type": "Demo", "data": {"idx": 0}}, agent={"config": {}})


async def roll_out(
    engine: Engine, tokenizer_dir: Path, *, image_dir: Path | None, **sampling: Any
) -> Rollout:
    """Three turns with an image each.

    Args:
        engine: answers the requests.
        tokenizer_dir: an empty directory, where the client finds the model's tokenizer.
        image_dir: where the client stores images. None leaves them inline.
        sampling: parameters of verifiers' `SamplingConfig`.
    """
    build_tokenizer().save_pretrained(tokenizer_dir)
    async with engine.serving() as url:
        config = TrainClientConfig(
            base_url=url,
            renderer=Qwen3VLRendererConfig(),
            renderer_model_name=str(tokenizer_dir),
        )
        client: Any
        if image_dir is None:
            client = TrainClient(config)
        else:
            client = OffloadingClient(config)
            client.image_store = ImageStore(image_dir)
        try:
            rollout = Rollout(new_trace(), engine, [])
            history: list[dict[str, Any]] = []
            for number in range(TURNS):
                history.append(ask(number))
                _, response = await _take_turn(client, rollout, history, sampling)
                history.append(response.raw["choices"][0]["message"])
        finally:
            await client.close()
    return rollout


async def _take_turn(
    client: Any, rollout: Rollout, history: list[dict[str, Any]], sampling: dict[str, Any]
) -> tuple[Any, Any]:
    """One request as verifiers' server handles it. Harnesses send the whole history each time."""
    body = {"model": MODEL, "messages": copy.deepcopy(history)}
    if isinstance(client, OffloadingClient):
        await client.prepare_request_body(_DIALECT, body)
    request = _DIALECT.parse_request(body)
    turn = graph.prepare_turn(rollout.trace, request.messages, request.tools)
    config = SamplingConfig(temperature=1.0, **sampling)
    response = await client.get_response(_DIALECT, body, config, rollout.trace.id, turn)
    turn.commit(response)
    rollout.turns.append((request.messages, response))
    return rollout.turns[-1]
