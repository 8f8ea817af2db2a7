"""The retry over HTTP: an engine that lost its images, and the client that TrainClient uses."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import openai
import pytest

import rawmm
from rawmm import generate_features, generate_with_image_ref_retry, raw_mm_item
from tests.integrations.engine.protocol import (
    GENERATE_PATH,
    EngineError,
    prime_cache_miss,
    retryable_error,
    sender_cache_miss,
    unnamed_cache_miss,
)
from tests.integrations.engine.server import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

HASH = "0123456789abcdef" * 2


def sidecar() -> rawmm.MultiModalData:
    """A prompt of one image."""
    item = raw_mm_item(
        modality="image",
        family="qwen_vl",
        layout_fingerprint="5eed" * 8,
        payload={"image_grid_thw": [1, 2, 4]},
        raw_image_id=f"{HASH}.png",
    )
    return rawmm.convert(
        {
            "mm_hashes": {"image": [HASH]},
            "mm_placeholders": {"image": [{"offset": 1, "length": 2}]},
            "mm_items": {"image": [item]},
        },
        rawmm.MultiModalData,
    )


async def ask(engine: Engine) -> dict[str, Any]:
    """Send a prompt whose image the client takes to be cached. The value is the answer."""
    async with (
        engine.serving() as url,
        openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client,
    ):

        async def generate(*, features: Any, materialize_all_image_refs: bool) -> Any:
            if materialize_all_image_refs:
                features = generate_features(sidecar(), materialize_all_image_refs=True)
            body = {
                "token_ids": [1, 9, 9, 2],
                "sampling_params": {},
                "features": json.loads(rawmm.encode_json(features)),
                "return_token_ids": True,
            }
            return await client.post(
                f"{url.removesuffix('/v1')}{GENERATE_PATH}", body=body, cast_to=object
            )

        cached = generate_features(sidecar(), cached=[HASH])
        answer: dict[str, Any] = await generate_with_image_ref_retry(generate, features=cached)
        return answer


def slots(engine: Engine) -> list[Any]:
    """The slot of the image in each request."""
    found = [request["features"].get("kwargs_data") for request in engine.requests]
    return [one and one["image"][0] for one in found]


@pytest.mark.parametrize("miss", [prime_cache_miss, sender_cache_miss])
def test_named_miss_is_sent_again_with_the_reference(
    miss: Callable[[list[str]], EngineError], caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(None, 9, [[3]], cache_miss=miss)
    with caplog.at_level(logging.WARNING):
        answer = asyncio.run(ask(engine))
    assert answer["mm_placeholders"] == {"image": [{"offset": 1, "length": 2}]}
    first, second = slots(engine)
    assert first is None
    assert second.startswith("mmraw:")


def test_cached_image_is_sent_once() -> None:
    engine = Engine(None, 9, [[3]], cached={HASH})
    asyncio.run(ask(engine))
    assert slots(engine) == [None]


@pytest.mark.parametrize(
    "error", [unnamed_cache_miss([]), retryable_error("The engine is paused.")]
)
def test_error_that_names_no_miss_is_not_retried(error: EngineError) -> None:
    engine = Engine(None, 9, [[3]], cache_miss=lambda _: error)
    with pytest.raises(openai.APIStatusError) as raised:
        asyncio.run(ask(engine))
    assert raised.value.status_code == error.status
    assert slots(engine) == [None]
