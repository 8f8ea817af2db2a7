"""A scripted engine, and requests with and without locators."""

from __future__ import annotations

import asyncio
from typing import Any

from rawmm.engine.retry import generate_with_image_ref_retry
from tests.builders import item, sidecar

NOT_CACHED = "Expected a cached item for mm_hash={mm_hash!r}"
"""The text of the assertion of vLLM's sender cache."""
MISSING_ITEM = (
    "Multi-modal items {hashes} are not in the receiver (P1) cache and no data was provided to "
    "recompute them (P0/P1 cache drift); the request should be retried with the multi-modal data "
    "attached."
)
"""The text of vLLM's ``MultiModalCacheMissError``."""
ASSERTION = NOT_CACHED.format(mm_hash="a07e50973f7c13761a4022033440544e")
DRIFT = MISSING_ITEM.format(hashes=["a07e50973f7c1376"])
POOLING = "Multi-modal processor cache miss."
NO_DATA = "Cache miss for image at index 0 but data is not provided."
TYPED = {"type": "missing_mm_cache_item"}
DONE = {"content": "done"}


class CacheMissError(Exception):
    """Like an error of an openai client, with the server's error object as body."""

    def __init__(self, text: str = "Error code: 409") -> None:
        super().__init__(text)
        self.body = {"message": "cache miss", **TYPED, "param": None, "code": 409}


class Engine:
    """Returns or raises the next outcome when awaited."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = iter(outcomes)
        self.calls: list[dict[str, Any]] = []

    async def __call__(self, **kwargs: Any) -> Any:
        self.calls.append(kwargs)
        await asyncio.sleep(0)
        outcome = next(self.outcomes)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    @property
    def modes(self) -> list[bool]:
        return [call["materialize_all_image_refs"] for call in self.calls]


REQUESTS: dict[str, Any] = {
    "descriptor-only": {"multi_modal_data": sidecar(item(raw_image_id="0.png"), item())},
    "raw": {"multi_modal_data": sidecar(item(raw_image_id="0.png"))},
    "no images": {"multi_modal_data": None},
}


def generate(engine: Any, **kwargs: Any) -> Any:
    """Call with `kwargs`, of which `retry_on` is not for the engine."""
    return asyncio.run(generate_with_image_ref_retry(engine, **kwargs))


def is_retried(error: BaseException, **kwargs: Any) -> bool:
    """Whether `error` leads to a second call. Otherwise it must be raised unchanged."""
    before = (error.__cause__, error.__context__, error.__suppress_context__)
    engine = Engine(error, DONE)
    try:
        generate(engine, **(kwargs or REQUESTS["descriptor-only"]))
    except type(error) as raised:
        out = raised
    else:
        assert engine.modes == [False, True]
        return True
    assert out is error
    assert (error.__cause__, error.__context__, error.__suppress_context__) == before
    assert engine.modes == [False]
    return False
