"""An HTTP engine on loopback that speaks vLLM 0.33's generate protocol, with a real image processor.

It reads the images of a request, expands one placeholder token for each to as many as the image
processor's grid has, and answers with the expanded prompt, the ranges and canned completions. It
has no model.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import ValidationError

from tests.integrations.engine.pixels import decode_image, read_image
from tests.integrations.engine.protocol import (
    GENERATE_PATH,
    EngineError,
    GenerateRequest,
    MultiModalFeatures,
    bad_request,
    internal_error,
    invalid_request,
    missing_data,
    unnamed_cache_miss,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from PIL import Image

MODEL: Final = "policy"
WEIGHTS: Final = "step-7"
_MAX_BODY: Final = 64 << 20

Range = dict[str, int]


def logprob_of(index: int) -> float:
    """The log probability of the token at `index` of each completion. Exact in float32."""
    return -(1 + index % 4) / 8


@dataclass
class Engine:
    """An engine. `requests` has the bodies that it received, `answers` its responses."""

    image_processor: Any
    image_token_id: int
    completions: Sequence[Sequence[int]]
    """The completions, in the order of the requests."""
    allowed_local_media_path: Path | None = None
    """vLLM's option of that name. Without it no file is read."""
    cache_miss: Callable[[list[str]], EngineError] = unnamed_cache_miss
    """The response to a null item that is not in the cache."""
    alter: Callable[[dict[str, Any]], Any] = lambda answer: answer
    """Applied to each answer before it is sent, to make an engine that is wrong."""
    cached: set[str] = field(default_factory=set)
    """Hashes and UUIDs of the items that it has."""
    known: dict[str | None, int] = field(default_factory=dict)
    """The number of tokens of the images that it has by UUID."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port of loopback. The value is the URL that clients are given."""
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_post(GENERATE_PATH, self._generate)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}/v1"
        finally:
            await runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        card = {"id": MODEL, "object": "model", "max_model_len": 1 << 20}
        return web.json_response({"object": "list", "data": [card]})

    async def _generate(self, http: web.Request) -> web.Response:
        body = await http.json()
        self.requests.append(body)
        try:
            answer = self.answer(body)
        except EngineError as error:
            self.answers.append(error.body)
            return web.json_response(error.body, status=error.status)
        answer = self.alter(answer)
        self.answers.append(answer)
        return web.json_response(answer)

    def answer(self, body: Any) -> dict[str, Any]:
        """The document that answers a request.

        Raises:
            EngineError: as vLLM answers.
        """
        try:
            request = GenerateRequest.model_validate(body)
        except ValidationError as error:
            raise invalid_request(error) from error
        ranges: dict[str, list[Range]] | None = None
        prompt = request.token_ids
        if request.content_parts:
            prompt, found = self._expand(prompt, self._counts(request.content_parts))
            ranges = {"image": found}
        elif request.features:
            self._look_up(request.features)
            ranges = request.features.model_dump()["mm_placeholders"]
        number = sum("choices" in one for one in self.answers)
        completion = list(self.completions[number])
        return {
            "request_id": f"generate-tokens-{number}",
            "model": request.model,
            "created": 0,
            "usage": {
                "prompt_tokens": len(prompt),
                "completion_tokens": len(completion),
                "total_tokens": len(prompt) + len(completion),
            },
            "prompt_logprobs": None,
            "prompt_token_ids": prompt if request.return_token_ids else None,
            "mm_placeholders": ranges if request.return_token_ids else None,
            "output_mode": "tokens",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "stop_reason": None,
                    "token_ids": completion,
                    "routed_experts": None,
                    "sampling_mask": None,
                    "weight_versions": [{"version": WEIGHTS, "start": 0, "end": len(completion)}],
                    "logprobs": {"content": _logprobs(completion, request.candidates)},
                }
            ],
        }

    def _counts(self, parts: Sequence[dict[str, Any]]) -> list[int]:
        """How many tokens each image of a request becomes."""
        counts: list[int] = []
        for part in filter(_is_image, parts):
            url, uuid = part.get("url"), part.get("uuid")
            count = self.known.get(uuid)
            if url:
                # Read even if the cache has its UUID, which then decides.
                image = decode_image(read_image(url, self.allowed_local_media_path))
                count = self._count(image) if count is None else count
            if count is None:
                raise missing_data(len(counts))
            if uuid is not None:
                self.known[uuid] = count
            counts.append(count)
        return counts

    def _count(self, image: Image.Image) -> int:
        (grid,) = self.image_processor(images=[image], return_tensors="np")["image_grid_thw"]
        merge: int = self.image_processor.merge_size
        return int(prod(grid.tolist())) // merge**2

    def _expand(self, ids: list[int], counts: list[int]) -> tuple[list[int], list[Range]]:
        """Replace the first placeholders, one for each image. More of them stay as they are."""
        waiting = iter(counts)
        prompt: list[int] = []
        ranges: list[Range] = []
        for one in ids:
            count = next(waiting, None) if one == self.image_token_id else None
            if count is not None:
                ranges.append({"offset": len(prompt), "length": count})
            prompt += [one] * (1 if count is None else count)
        if len(ranges) < len(counts):
            raise internal_error(
                f"Expected there to be {len(counts)} prompt placeholders corresponding to "
                f"{len(counts)} image items, but instead found {len(ranges)} prompt placeholders!"
            )
        return prompt, ranges

    def _look_up(self, features: MultiModalFeatures) -> None:
        """Remember the items that a request brings, and refuse it if one is nowhere."""
        pairs = [
            (name, slot)
            for modality, hashes in features.mm_hashes.items()
            for name, slot in zip(
                hashes, (features.kwargs_data or {modality: [None] * len(hashes)})[modality],
                strict=True,
            )
        ]  # fmt: skip
        self.cached.update(name for name, slot in pairs if slot is not None)
        missing = [name for name, _ in pairs if name not in self.cached]
        if missing:
            raise self.cache_miss(missing)


def _is_image(part: dict[str, Any]) -> bool:
    """Whether a part is an image. vLLM skips parts of types that it does not know."""
    if part.get("type") != "image_url":
        return False
    if not part.get("url") and part.get("uuid") is None:
        raise bad_request(
            "multi_modal_data['image'][0] is empty but multi_modal_uuids['image'][0] is missing."
        )
    return True


def _logprobs(ids: list[int], count: int) -> list[dict[str, Any]]:
    """The log probabilities of sampled tokens, each with `count` candidates, itself the first."""
    # `token_id` is vLLM 0.33's; renderers 0.1.12 reads `token`, which earlier versions sent.
    return [
        {
            "token_id": one,
            "token": f"token_id:{one}",
            "logprob": logprob_of(index),
            "rank": 1,
            "top_logprobs": [
                {
                    "token_id": one + rank,
                    "logprob": -(4.0 + rank) if rank else logprob_of(index),
                    "rank": rank + 1,
                }
                for rank in range(count)
            ],
        }
        for index, one in enumerate(ids)
    ]
