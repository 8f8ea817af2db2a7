"""The test engine: the requests it accepts and refuses, and its token counts."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from rawmm import layouts
from tests.integrations.engine.protocol import GENERATE_PATH, EngineError
from tests.integrations.engine.server import Engine
from tests.integrations.transformers.real import qwen_vl
from tests.unit.images.pictures import data_url, picture

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = 9
SIZES = [(320, 200), (200, 320), (1_000, 700)]
LENGTHS = [layouts.get("qwen_vl").describe(*size).num_tokens for size in SIZES]


def engine(**options: Any) -> Engine:
    return Engine(qwen_vl().image_processor, IMAGE, [[3, 4]], **options)


def request(*urls: str, token_ids: list[int], **fields: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "url": url} for url in urls]
    return {
        "token_ids": token_ids,
        "sampling_params": {},
        "content_parts": parts,
        "return_token_ids": True,
        **fields,
    }


def test_each_placeholder_becomes_the_tokens_of_its_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(size=SIZES[1]))
    urls = [data_url(picture(size=SIZES[0])), (tmp_path / "a.png").as_uri()]
    prompt = [1, IMAGE, 2, IMAGE, 5]
    answer = engine(allowed_local_media_path=tmp_path).answer(request(*urls, token_ids=prompt))
    first, second, _ = LENGTHS
    expanded = [1, *[IMAGE] * first, 2, *[IMAGE] * second, 5]
    assert answer["prompt_token_ids"] == expanded
    assert answer["mm_placeholders"] == {
        "image": [
            {"offset": 1, "length": first},
            {"offset": 2 + first, "length": second},
        ]
    }


def test_placeholders_that_are_already_expanded_are_expanded_again() -> None:
    url = data_url(picture(size=SIZES[0]))
    prompt = [1, *[IMAGE] * LENGTHS[0], 2]
    answer = engine().answer(request(url, token_ids=prompt))
    assert len(answer["prompt_token_ids"]) == len(prompt) + LENGTHS[0] - 1
    assert answer["mm_placeholders"] == {"image": [{"offset": 1, "length": LENGTHS[0]}]}


def test_prompt_and_ranges_are_returned_on_request_only() -> None:
    url = data_url(picture())
    answer = engine().answer(request(url, token_ids=[IMAGE], return_token_ids=None))
    assert answer["prompt_token_ids"] is None
    assert answer["mm_placeholders"] is None


def test_each_token_has_as_many_candidates_as_are_asked_for() -> None:
    (choice,) = engine().answer(request(token_ids=[1], sampling_params={"logprobs": 3}))["choices"]
    for one, entry in zip(choice["token_ids"], choice["logprobs"]["content"], strict=True):
        candidates = [top["token_id"] for top in entry["top_logprobs"]]
        assert candidates == [one, one + 1, one + 2]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("s3://bucket/a.png", HTTPStatus.BAD_REQUEST),
        ("file:///etc/passwd", HTTPStatus.BAD_REQUEST),
        (data_url(b"hello"), HTTPStatus.BAD_REQUEST),
        ("data:image/png,hello", HTTPStatus.NOT_IMPLEMENTED),
    ],
)
def test_unreadable_image_is_refused(url: str, status: HTTPStatus, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        engine(allowed_local_media_path=tmp_path).answer(request(url, token_ids=[IMAGE]))
    assert raised.value.status == status


def test_file_needs_an_allowed_path(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="--allowed-local-media-path"):
        engine().answer(request(tmp_path.as_uri(), token_ids=[IMAGE]))


def test_more_images_than_placeholders_are_refused() -> None:
    url = data_url(picture())
    with pytest.raises(EngineError, match="found 1 prompt placeholders"):
        engine().answer(request(url, url, token_ids=[1, IMAGE]))


def test_errors_travel_as_http_bodies() -> None:
    async def post() -> tuple[int, Any]:
        async with (
            engine().serving() as url,
            aiohttp.ClientSession() as client,
            client.post(
                url.removesuffix("/v1") + GENERATE_PATH, json=request(token_ids=[])
            ) as answer,
        ):
            return answer.status, await answer.json()

    status, body = asyncio.run(post())
    assert status == body["error"]["code"] == HTTPStatus.BAD_REQUEST
    assert body["error"]["param"] == "body.token_ids"
