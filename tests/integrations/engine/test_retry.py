"""The retry over HTTP: an engine that lost its images, and the clients of openai, httpx and aiohttp."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import openai
import pytest

import rawmm
from rawmm import generate_features, generate_with_image_ref_retry, raw_mm_item
from tests.integrations.engine.protocol import (
    GENERATE_PATH,
    EngineError,
    pooling_cache_miss,
    prime_cache_miss,
    receiver_cache_miss,
    retryable_error,
    sender_cache_miss,
    unnamed_cache_miss,
)
from tests.integrations.engine.server import Engine
from tests.integrations.transformers.real import qwen_vl
from tests.unit.images.pictures import data_url, picture

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Post = Callable[[str, dict[str, Any]], Awaitable[Any]]

HASH = "0123456789abcdef" * 2
FINGERPRINT = "5eed" * 8


def sidecar() -> rawmm.MultiModalData:
    """A prompt of one image."""
    item = raw_mm_item(
        modality="image",
        family="qwen_vl",
        layout_fingerprint=FINGERPRINT,
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


async def post_with_openai(url: str, body: dict[str, Any]) -> Any:
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        return await client.post(url, body=body, cast_to=object)


async def post_with_httpx(url: str, body: dict[str, Any]) -> Any:
    async with httpx.AsyncClient() as client:
        response = await client.post(url, json=body)
        return response.raise_for_status().json()


async def post_with_aiohttp(url: str, body: dict[str, Any]) -> Any:
    """The error of ``raise_for_status`` has no body, so a caller puts it into the message."""
    async with aiohttp.ClientSession() as client, client.post(url, json=body) as response:
        if not response.ok:
            raise aiohttp.ClientResponseError(
                response.request_info,
                response.history,
                status=response.status,
                message=await response.text(),
            )
        return await response.json()


CLIENTS: dict[Post, type[Exception]] = {
    post_with_openai: openai.APIStatusError,
    post_with_httpx: httpx.HTTPStatusError,
    post_with_aiohttp: aiohttp.ClientResponseError,
}
"""The clients, with the error of each."""
each_client = pytest.mark.parametrize("post", CLIENTS)


async def ask(engine: Engine, post: Post = post_with_openai, **options: Any) -> Any:
    """Send a prompt whose image the client takes to be cached. The value is the answer."""
    async with engine.serving() as url:

        async def generate(*, features: Any, materialize_all_image_refs: bool) -> Any:
            if materialize_all_image_refs:
                features = generate_features(sidecar(), materialize_all_image_refs=True)
            body = {
                "token_ids": [1, 9, 9, 2],
                "sampling_params": {},
                "features": json.loads(rawmm.encode_json(features)),
                "return_token_ids": True,
            }
            return await post(url.removesuffix("/v1") + GENERATE_PATH, body)

        cached = generate_features(sidecar(), cached={(HASH, FINGERPRINT)})
        return await generate_with_image_ref_retry(generate, features=cached, **options)


def slots(engine: Engine) -> list[Any]:
    """The slot of the image in each request."""
    found = [request["features"].get("kwargs_data") for request in engine.requests]
    return [one and one["image"][0] for one in found]


@each_client
@pytest.mark.parametrize(
    "miss", [prime_cache_miss, sender_cache_miss, receiver_cache_miss, pooling_cache_miss]
)
def test_named_miss_is_sent_again_with_the_reference(
    miss: Callable[[list[str]], EngineError], post: Post
) -> None:
    engine = Engine(None, 9, [[3]], cache_miss=miss)
    answer = asyncio.run(ask(engine, post))
    assert answer["mm_placeholders"] == {"image": [{"offset": 1, "length": 2}]}
    first, second = slots(engine)
    assert first is None
    assert second.startswith("mmraw:")


@each_client
def test_unnamed_miss_is_sent_again_if_asked_for(post: Post) -> None:
    engine = Engine(None, 9, [[3]], cache_miss=unnamed_cache_miss)
    asyncio.run(ask(engine, post, retry_on=500))
    assert [slot is None for slot in slots(engine)] == [True, False]


@each_client
def test_image_without_url_is_sent_again_with_it(post: Post) -> None:
    engine = Engine(qwen_vl().image_processor, 9, [[3]])
    url = data_url(picture())
    sent = [{"type": "image_url", "uuid": HASH}]

    async def run() -> Any:
        async with engine.serving() as base:

            async def generate(*, content_parts: Any, materialize_all_image_refs: bool) -> Any:
                if materialize_all_image_refs:
                    content_parts = [{**part, "url": url} for part in content_parts]
                body = {"token_ids": [9], "sampling_params": {}, "content_parts": content_parts}
                return await post(base.removesuffix("/v1") + GENERATE_PATH, body)

            return await generate_with_image_ref_retry(generate, content_parts=sent)

    asyncio.run(run())
    first, second = (request["content_parts"][0] for request in engine.requests)
    assert "url" not in first
    assert second["url"] == url


def test_cached_image_is_sent_once() -> None:
    engine = Engine(None, 9, [[3]], cached={HASH})
    asyncio.run(ask(engine))
    assert slots(engine) == [None]


@each_client
@pytest.mark.parametrize(
    "error", [unnamed_cache_miss([]), retryable_error("The engine is paused.")]
)
def test_error_that_names_no_miss_is_not_retried(error: EngineError, post: Post) -> None:
    engine = Engine(None, 9, [[3]], cache_miss=lambda _: error)
    with pytest.raises(CLIENTS[post]):
        asyncio.run(ask(engine, post))
    assert slots(engine) == [None]
