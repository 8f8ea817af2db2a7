"""Errors: the bodies that vLLM sends, that the engine sends the same, and the retry on them."""

from __future__ import annotations

import asyncio
import base64
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from vllm.entrypoints.scale_out.token_in_token_out.protocol import GenerateRequest
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.exception_handling.handlers.validation import (
    validation_exception_handler,
)
from vllm.exceptions import GenerationError, QueueOverflowError, RetryableRequestError
from vllm.multimodal.cache import MultiModalCacheMissError
from vllm.multimodal.cache.lru import LruKeyReplicatedReceiverCache
from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange
from vllm.multimodal.media import MediaConnector
from vllm.multimodal.processing.processor import BaseMultiModalProcessor
from vllm.outputs import RequestError

from rawmm import generate_with_image_ref_retry
from tests.integrations.engine import protocol
from tests.integrations.engine.pixels import decode_image, read_image
from tests.unit.engine.engine import MISSING_ITEM, NOT_CACHED
from tests.unit.images.pictures import data_url, picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HASHES = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]
FEATURES = {
    "mm_hashes": {"image": HASHES},
    "mm_placeholders": {"image": [{"offset": 0, "length": 2}, {"offset": 2, "length": 2}]},
    "kwargs_data": None,
}


def body_of(error: Exception) -> dict[str, Any]:
    body: dict[str, Any] = create_error_response(error).model_dump()
    return body


def miss() -> MultiModalCacheMissError:
    """The error that the engine process raises for missing items."""
    config = SimpleNamespace(get_multimodal_config=lambda: SimpleNamespace(mm_processor_cache_gb=1))
    cache = LruKeyReplicatedReceiverCache(config)
    wanted = [
        MultiModalFeatureSpec(
            data=None,
            modality="image",
            identifier=one,
            mm_position=PlaceholderRange(offset=0, length=2),
            mm_hash=one,
        )
        for one in HASHES
    ]
    with pytest.raises(MultiModalCacheMissError) as raised:
        cache.get_and_update_features(wanted)
    return raised.value


def test_cache_miss_names_every_missing_item() -> None:
    error = miss()
    assert error.mm_hashes == HASHES
    assert str(error) == MISSING_ITEM.format(hashes=HASHES)


def test_bodies_of_a_cache_miss_are_those_of_the_engine() -> None:
    assert body_of(miss()) == protocol.receiver_cache_miss(HASHES).body
    assert body_of(pooling_miss()) == protocol.pooling_cache_miss(HASHES).body
    unnamed = GenerationError("Internal server error")
    assert body_of(unnamed) == protocol.unnamed_cache_miss(HASHES).body


def test_engine_answers_a_refused_request_with_vllms_status_and_type() -> None:
    body = {"token_ids": [1], "sampling_params": {}, "features": FEATURES}
    with pytest.raises(ValidationError) as real:
        GenerateRequest.model_validate(body)
    with pytest.raises(ValidationError) as ours:
        protocol.GenerateRequest.model_validate(body)
    errors: Any = [{**one, "loc": ("body", *one["loc"])} for one in real.value.errors()]
    server: Any = SimpleNamespace(
        app=SimpleNamespace(state=SimpleNamespace(args=SimpleNamespace(log_error_stack=False)))
    )
    said = asyncio.run(validation_exception_handler(server, RequestValidationError(errors)))
    error = protocol.invalid_request(ours.value)
    assert said.status_code == error.status
    told = create_error_response(ValueError()).model_validate_json(said.body).model_dump()["error"]
    own = error.body["error"]
    assert {**told, "message": ""} == {**own, "message": ""}
    assert told["message"].splitlines()[0] == str(own["message"]).splitlines()[0]
    assert "must remain within the token_ids sequence" in told["message"]
    assert "must remain within the token_ids sequence" in str(own["message"])


# --- images that cannot be read


def real_error(url: str, allowed: str) -> dict[str, Any]:
    with pytest.raises(Exception) as raised:
        MediaConnector(allowed_local_media_path=allowed).fetch_image(url)
    return body_of(raised.value)


def engine_error(url: str, allowed: Path | None) -> dict[str, Any]:
    with pytest.raises(protocol.EngineError) as raised:
        decode_image(read_image(url, allowed))
    return raised.value.body


ENCODED = base64.b64encode(picture()).decode()
BAD_URLS: dict[str, Callable[[Path], str]] = {
    "a scheme of its own": lambda _: "s3://bucket/a.png",
    "a bare path": lambda root: f"{root}/a.png",
    "no comma": lambda _: "data:image/png;base64",
    "text": lambda _: "data:image/png,abc",
    "no base64": lambda _: "data:image/png;base64,aGVs*bG8=",
    "no image": lambda _: data_url(b"hello"),
    "a cut image": lambda _: data_url(picture(size=(64, 64))[:-40]),
    "an EPS": lambda _: data_url(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"),
    "a file that is gone": lambda root: f"file://{root}/images/gone.png",
    "a file outside": lambda root: f"file://{root}/outside.png",
    "a way out": lambda root: f"file://{root}/images/../outside.png",
    "a link out": lambda root: f"file://{root}/images/link.png",
}


@pytest.mark.parametrize("case", BAD_URLS)
def test_engine_answers_an_unreadable_image_with_vllms_status_and_type(
    case: str, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "outside.png").write_bytes(picture())
    (images / "link.png").symlink_to(tmp_path / "outside.png")
    url = BAD_URLS[case](tmp_path)
    real, own = real_error(url, str(images))["error"], engine_error(url, images)["error"]
    assert (own["code"], own["type"], own["param"]) == (real["code"], real["type"], real["param"])


def test_file_needs_the_option(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/a.png"
    assert real_error(url, "") == engine_error(url, None)
    assert real_error(url, "")["error"]["code"] == 500


# --- the retry


class EngineDouble:
    """An engine that fails with `error` until it is given every reference."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls: list[bool] = []

    async def generate(self, *, materialize_all_image_refs: bool, **_: Any) -> str:
        self.calls.append(materialize_all_image_refs)
        if not materialize_all_image_refs:
            raise self.error
        return "answer"


class HTTPError(Exception):
    """An error of a client whose body is `document`."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__("the engine answered with an error")
        self.body = document
        self.status_code = document["error"]["code"]


def assertion() -> AssertionError:
    return AssertionError(NOT_CACHED.format(mm_hash=HASHES[0]))


def pooling_miss() -> Exception:
    found: Exception = RequestError(
        "multimodal_cache_miss", "Multi-modal processor cache miss.", retryable=True
    ).to_exception()
    return found


def missing_data() -> Exception:
    """The error for an image that is sent by UUID alone and is not cached."""
    cache: Any = SimpleNamespace(is_cached=lambda hashes: [False] * len(hashes))
    images: Any = {"image": [None]}
    find = BaseMultiModalProcessor._get_cache_missing_items
    with pytest.raises(ValueError, match="Cache miss") as raised:
        find(SimpleNamespace(), cache, images, {"image": HASHES[:1]})
    return raised.value


MISSES = [miss, assertion, pooling_miss, missing_data]


def test_bodies_of_named_misses_are_those_of_the_engine() -> None:
    assert body_of(assertion()) == protocol.sender_cache_miss(HASHES).body
    assert body_of(missing_data()) == protocol.missing_data(0).body


@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize("make", MISSES)
def test_cache_misses_of_vllm_are_retried(
    make: Callable[[], Exception], *, over_http: bool
) -> None:
    error = HTTPError(body_of(make())) if over_http else make()
    engine = EngineDouble(error)
    retried = generate_with_image_ref_retry(engine.generate, features=FEATURES)
    assert asyncio.run(retried) == "answer"
    assert engine.calls == [False, True]


def test_unnamed_miss_of_a_generation_request_is_retried_if_asked_for() -> None:
    engine = EngineDouble(HTTPError(body_of(GenerationError("Internal server error"))))
    retried = generate_with_image_ref_retry(engine.generate, features=FEATURES, retry_on=500)
    assert asyncio.run(retried) == "answer"


def test_validation_error_that_quotes_a_miss_is_not_retried() -> None:
    errors: Any = [
        {"loc": ("body", "token_ids"), "msg": "no", "type": "missing", "input": str(make())}
        for make in MISSES
    ]
    server: Any = SimpleNamespace(
        app=SimpleNamespace(state=SimpleNamespace(args=SimpleNamespace(log_error_stack=False)))
    )
    said = asyncio.run(validation_exception_handler(server, RequestValidationError(errors)))
    document = json.loads(said.body)
    assert "Multi-modal processor cache miss." in document["error"]["message"]
    engine = EngineDouble(HTTPError(document))
    with pytest.raises(HTTPError):
        asyncio.run(generate_with_image_ref_retry(engine.generate, features=FEATURES))
    assert engine.calls == [False]


@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        GenerationError("Internal server error"),
        RetryableRequestError("The engine is paused."),
        QueueOverflowError(),
        ValueError("The model does not support images."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_not_retried(error: Exception, *, over_http: bool) -> None:
    error = HTTPError(body_of(error)) if over_http else error
    engine = EngineDouble(error)
    with pytest.raises(type(error)):
        asyncio.run(generate_with_image_ref_retry(engine.generate, features=FEATURES))
    assert engine.calls == [False]
