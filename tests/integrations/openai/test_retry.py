"""The retry behind a real openai client, over a transport that answers as engines do."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from renderers.base import MultiModalData, RenderedTokens
from verifiers.v1.errors import ProviderError, model_error

from rawmm.engine.retry import generate_with_image_ref_retry
from tests.unit.engine.engine import ASSERTION, DRIFT, NO_DATA, POOLING

if TYPE_CHECKING:
    from collections.abc import Callable

HASH = "a07e50973f7c13761a4022033440544e"
MISS = "missing_mm_cache_item"
DETAILS = json.dumps({"error_type": MISS, "message": "cache miss", "missing": [HASH]})
PROMPT = f'{{"error_type": "{MISS}"}}, {{"type": "{MISS}"}} and {ASSERTION}, {DRIFT} {POOLING}'


def sidecar(**locator: str) -> MultiModalData:
    item = {"kind": "prime_raw_mm_item", "payload": {"image_grid_thw": [1, 8, 8]}, **locator}
    return MultiModalData(mm_hashes={"image": [HASH]}, mm_items={"image": [item]})


REQUESTS: dict[str, dict[str, Any]] = {
    "descriptor-only": {"multi_modal_data": sidecar()},
    "attribution": {
        "prompt_attribution": RenderedTokens(
            token_ids=[1], message_indices=[0], multi_modal_data=sidecar()
        )
    },
    "raw": {"multi_modal_data": sidecar(raw_image_id=f"{HASH}.png")},
    "no images": {"multi_modal_data": None},
}
RETRIED = {"descriptor-only", "attribution"}


def json_error(status: int, document: Any) -> httpx.Response:
    return httpx.Response(status, json=document)


def vllm_error(status: int, kind: str, message: str) -> httpx.Response:
    """As vLLM 0.33 answers."""
    error = {"message": message, "type": kind, "param": None, "code": status}
    return json_error(status, {"error": error})


def text_error(status: int, text: str) -> httpx.Response:
    return httpx.Response(status, text=text)


MISSES: dict[str, Callable[[], httpx.Response]] = {
    "error.type": lambda: json_error(
        409, {"error": {"message": DETAILS, "type": MISS, "param": None, "code": 409}}
    ),
    "type, flat": lambda: json_error(409, {"object": "error", "message": "x", "type": MISS}),
    "error_type, flat": lambda: json_error(500, json.loads(DETAILS)),
    "error.message, JSON": lambda: json_error(
        400, {"error": {"message": DETAILS, "type": "BadRequestError", "code": 400}}
    ),
    "error.message, JSON in prose": lambda: json_error(
        500, {"error": {"message": f"EngineCore: {DETAILS} (see log)", "type": "server_error"}}
    ),
    "error.message, the assertion": lambda: json_error(
        500, {"error": {"message": ASSERTION, "type": "InternalServerError", "code": 500}}
    ),
    "vLLM's receiver cache": lambda: vllm_error(500, "InternalServerError", DRIFT),
    "vLLM's pooling requests": lambda: vllm_error(503, "ServiceUnavailableError", POOLING),
    "vLLM without data": lambda: vllm_error(400, "BadRequestError", NO_DATA),
    "error.message, twice": lambda: json_error(
        502, {"error": {"message": json.dumps({"error": {"message": DETAILS}}), "code": 502}}
    ),
    "detail": lambda: json_error(422, {"detail": {"type": MISS}}),
    "error, null": lambda: json_error(500, {"error": None, "message": DETAILS}),
    "JSON as text": lambda: text_error(503, json.dumps({"error": {"type": MISS}})),
    "a stream": lambda: text_error(500, f"data: {json.dumps({'error': {'type': MISS}})}\n\n"),
    "a traceback": lambda: text_error(500, f"Traceback\n  File x\nAssertionError: {ASSERTION}\n"),
}

OTHERS: dict[str, Callable[[], httpx.Response]] = {
    "bad request": lambda: json_error(400, {"error": {"message": "no", "type": "BadRequest"}}),
    "not found": lambda: text_error(404, "no such route"),
    "overloaded": lambda: json_error(429, {"error": {"message": "slow down", "code": MISS}}),
    "vLLM's bare 500": lambda: vllm_error(500, "InternalServerError", "Internal server error"),
    "vLLM is paused": lambda: vllm_error(503, "ServiceUnavailableError", "The engine is paused."),
    "prompt quoted by vLLM": lambda: vllm_error(
        400, "Bad Request", f"1 validation error:\n  { {'input': PROMPT} }"
    ),
    "empty": lambda: httpx.Response(500),
    "prompt quoted by pydantic": lambda: json_error(
        422, {"detail": [{"type": "missing", "loc": ["body"], "input": {"prompt": PROMPT}}]}
    ),
    "prompt quoted beside an error": lambda: json_error(
        400, {"error": {"type": "invalid", "message": "no"}, "request": {"type": MISS, "m": PROMPT}}
    ),
    "prompt quoted in an error": lambda: json_error(
        400, {"error": {"type": "invalid", "message": "no", "param": PROMPT}}
    ),
}


class Engine:
    """A server that gives one answer after the other, and what calls it as renderers does."""

    def __init__(self, *answers: Callable[[], httpx.Response]) -> None:
        self.answers = iter(answers)
        self.modes: list[bool] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.modes.append(json.loads(request.content)["materialize"])
        return next(self.answers)()

    async def generate(self, *, materialize_all_image_refs: bool, **_: Any) -> Any:
        async with openai.AsyncOpenAI(
            api_key="none",
            base_url="http://engine/v1",
            max_retries=0,
            http_client=httpx.AsyncClient(transport=httpx.MockTransport(self.handle)),
        ) as client:
            response = await client.post(
                "http://engine/inference/v1/generate",
                cast_to=httpx.Response,
                body={"materialize": materialize_all_image_refs},
            )
            return response.json()

    async def through_verifiers(self, **kwargs: Any) -> Any:
        try:
            return await self.generate(**kwargs)
        except openai.OpenAIError as error:
            raise model_error(error) from error

    def run(self, request: str, *, wrapped: bool = False, **options: Any) -> Any:
        generate = self.through_verifiers if wrapped else self.generate
        call = generate_with_image_ref_retry(generate, **REQUESTS[request], **options)
        return asyncio.run(call)


def done() -> httpx.Response:
    return httpx.Response(200, json={"choices": []})


def unreachable() -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize("wrapped", [False, True], ids=["openai", "verifiers"])
@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("miss", MISSES)
def test_miss_is_retried_if_an_image_is_descriptor_only(
    miss: str, request_: str, *, wrapped: bool
) -> None:
    engine = Engine(MISSES[miss], done)
    if request_ in RETRIED:
        assert engine.run(request_, wrapped=wrapped) == {"choices": []}
        assert engine.modes == [False, True]
    else:
        with pytest.raises(ProviderError if wrapped else openai.APIStatusError):
            engine.run(request_, wrapped=wrapped)
        assert engine.modes == [False]


@pytest.mark.parametrize("wrapped", [False, True], ids=["openai", "verifiers"])
@pytest.mark.parametrize("other", OTHERS)
def test_any_other_error_is_raised(other: str, *, wrapped: bool) -> None:
    """Also one of verifiers, which repeats the text of its cause with all that it quotes."""
    engine = Engine(OTHERS[other], done)
    with pytest.raises(ProviderError if wrapped else openai.APIStatusError) as caught:
        engine.run("descriptor-only", wrapped=wrapped)
    assert isinstance(caught.value.__cause__, openai.APIStatusError) is wrapped
    assert engine.modes == [False]


@pytest.mark.parametrize("wrapped", [False, True], ids=["openai", "verifiers"])
def test_status_is_retried_if_asked_for(*, wrapped: bool) -> None:
    engine = Engine(OTHERS["vLLM's bare 500"], done)
    assert engine.run("descriptor-only", wrapped=wrapped, retry_on=500) == {"choices": []}
    assert engine.modes == [False, True]


@pytest.mark.parametrize("wrapped", [False, True], ids=["openai", "verifiers"])
def test_second_miss_is_raised(*, wrapped: bool) -> None:
    engine = Engine(MISSES["error.type"], MISSES["a traceback"], done)
    kind = ProviderError if wrapped else openai.APIStatusError
    with pytest.raises(kind) as caught:
        engine.run("descriptor-only", wrapped=wrapped)
    first = caught.value.__cause__
    assert isinstance(first, kind)
    assert (first.status_code, caught.value.status_code) == (409, 500)
    if wrapped:
        assert isinstance(caught.value.__context__, openai.InternalServerError)
    assert engine.modes == [False, True]


def test_lost_connection_keeps_its_reason() -> None:
    engine = Engine(MISSES["error.type"], unreachable)
    with pytest.raises(openai.APIConnectionError) as caught:
        engine.run("descriptor-only")
    assert isinstance(caught.value.__cause__, openai.ConflictError)
    assert isinstance(caught.value.__context__, httpx.ConnectError)


class Unread(httpx.AsyncByteStream):
    async def __aiter__(self) -> Any:
        yield json.dumps({"error": {"type": MISS}}).encode()


@pytest.mark.parametrize(("body", "wanted"), [(None, False), ({"type": MISS}, True)])
def test_response_that_was_not_read_masks_nothing(body: Any, *, wanted: bool) -> None:
    request = httpx.Request("POST", "http://engine")
    response = httpx.Response(409, request=request, stream=Unread())
    with pytest.raises(httpx.ResponseNotRead):
        _ = response.text
    error = openai.ConflictError("Error code: 409", response=response, body=body)
    modes: list[bool] = []

    async def generate(*, materialize_all_image_refs: bool, **_: Any) -> None:
        modes.append(materialize_all_image_refs)
        if not materialize_all_image_refs:
            raise error

    call = generate_with_image_ref_retry(generate, **REQUESTS["descriptor-only"])
    if wanted:
        asyncio.run(call)
    else:
        with pytest.raises(openai.ConflictError) as caught:
            asyncio.run(call)
        assert caught.value is error
    assert modes == [False, True][: wanted + 1]
