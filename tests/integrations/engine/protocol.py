"""The request and error bodies of vLLM 0.33's ``/inference/v1/generate``, without vLLM.

``tests/integrations/vllm`` holds these classes to those of vLLM. Here they let an engine run in
environments that do not have it.
"""

from __future__ import annotations

from http import HTTPStatus
from itertools import pairwise
from typing import Any, Final, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from tests.unit.engine.engine import MISSING_ITEM, NOT_CACHED, POOLING

GENERATE_PATH: Final = "/inference/v1/generate"


class PlaceholderRangeInfo(BaseModel):
    """The token range of one item."""

    offset: int = Field(ge=0)
    length: int = Field(gt=0)

    @property
    def end(self) -> int:
        return self.offset + self.length


class MultiModalFeatures(BaseModel):
    """Items by hash, for a prompt whose placeholders are expanded."""

    mm_hashes: dict[str, list[str]]
    mm_placeholders: dict[str, list[PlaceholderRangeInfo]]
    kwargs_data: dict[str, list[str | None]] | None = None
    mm_metadata: dict[str, list[str | None]] | None = None

    @model_validator(mode="after")
    def _parallel(self) -> Self:
        if self.mm_placeholders.keys() != self.mm_hashes.keys():
            raise ValueError("mm_hashes and mm_placeholders must use the same modalities")
        for name in ("kwargs_data", "mm_metadata"):
            lists = getattr(self, name)
            if lists is not None and lists.keys() != self.mm_hashes.keys():
                raise ValueError(f"{name} must use the same modalities as mm_hashes")
        for modality, hashes in self.mm_hashes.items():
            if len(hashes) != len(self.mm_placeholders[modality]):
                raise ValueError(
                    f"{modality} mm_hashes and mm_placeholders must have the same length"
                )
            for name in ("kwargs_data", "mm_metadata"):
                lists = getattr(self, name)
                if lists is not None and len(hashes) != len(lists[modality]):
                    raise ValueError(f"{modality} {name} and mm_hashes must have the same length")
        ranges = sorted(
            (one.offset, one.end) for found in self.mm_placeholders.values() for one in found
        )
        if any(start < end for (_, end), (start, _) in pairwise(ranges)):
            raise ValueError("mm_placeholders must be globally non-overlapping and sorted")
        return self


class GenerateRequest(BaseModel):
    """The fields that concern tokens and media. Others are ignored, as vLLM ignores unknown ones."""

    token_ids: list[int] = Field(min_length=1)
    sampling_params: dict[str, Any]
    features: MultiModalFeatures | None = None
    content_parts: list[dict[str, Any]] | None = None
    ec_transfer_params: dict[str, Any] | None = None
    model: str | None = None
    return_token_ids: bool | None = None

    @property
    def candidates(self) -> int:
        """How many log probabilities each token of the answer has."""
        return self.sampling_params.get("logprobs") or 0

    @field_validator("token_ids")
    @classmethod
    def _not_negative(cls, ids: list[int]) -> list[int]:
        if any(one < 0 for one in ids):
            raise ValueError("token_ids must not contain negative values")
        return ids

    @model_validator(mode="after")
    def _one_kind_of_media(self) -> Self:
        if self.content_parts and self.features:
            raise ValueError("content_parts and features are mutually exclusive")
        return self

    @model_validator(mode="after")
    def _metadata_need_a_connector(self) -> Self:
        metadata = (self.features and self.features.mm_metadata) or {}
        kwargs = (self.features and self.features.kwargs_data) or {}
        alone = any(
            about is not None and data is None
            for modality, found in metadata.items()
            for about, data in zip(found, kwargs.get(modality, [None] * len(found)), strict=True)
        )
        if alone and not self.ec_transfer_params:
            raise ValueError("metadata-only multimodal items require ec_transfer_params")
        return self

    @model_validator(mode="after")
    def _ranges_inside(self) -> Self:
        ranges = self.features.mm_placeholders.values() if self.features else ()
        if any(one.end > len(self.token_ids) for found in ranges for one in found):
            raise ValueError("mm_placeholders must remain within the token_ids sequence")
        return self


class EngineError(Exception):
    """The error that ends a request, as vLLM sends it."""

    def __init__(
        self, status: HTTPStatus, kind: str, message: str, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "error": {"message": message, "type": kind, "param": param, "code": int(status)}
        }


def bad_request(message: str) -> EngineError:
    """vLLM's answer to a ValueError of its own code."""
    return EngineError(HTTPStatus.BAD_REQUEST, "BadRequestError", message)


def invalid_request(error: ValidationError) -> EngineError:
    """vLLM's answer to a body that its request class refuses."""
    found = error.errors(include_url=False, include_input=False)
    lines = "".join(f"\n  {one['msg']}" for one in found)
    message = f"{len(found)} validation error{'s' * (len(found) != 1)}:{lines}"
    param = ".".join(map(str, ("body", *found[0]["loc"])))
    return EngineError(HTTPStatus.BAD_REQUEST, HTTPStatus.BAD_REQUEST.phrase, message, param)


def internal_error(message: str = "Internal server error") -> EngineError:
    """vLLM's answer to an exception that it does not map, with the exception's text."""
    return EngineError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerError", message)


def retryable_error(message: str) -> EngineError:
    """vLLM's answer to a ``RetryableRequestError``."""
    return EngineError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailableError", message)


def receiver_cache_miss(hashes: list[str]) -> EngineError:
    """The answer of an engine in the server's process to items that it does not have."""
    return internal_error(MISSING_ITEM.format(hashes=hashes))


def sender_cache_miss(hashes: list[str]) -> EngineError:
    """The answer of a server whose own cache lost an item."""
    return internal_error(NOT_CACHED.format(mm_hash=hashes[0]))


def pooling_cache_miss(_: list[str]) -> EngineError:
    """vLLM's answer to a pooling request for items that the engine process does not have."""
    return retryable_error(POOLING)


def missing_data(index: int) -> EngineError:
    """The answer to an image that is sent by UUID alone and that is not in the cache."""
    return bad_request(f"Cache miss for image at index {index} but data is not provided.")


def unnamed_cache_miss(_: list[str]) -> EngineError:
    """vLLM's answer to a generation request for items that the engine process does not have."""
    return internal_error()


def prime_cache_miss(hashes: list[str]) -> EngineError:
    """The answer of prime-rl's server to items that the engine does not have."""
    return EngineError(
        HTTPStatus.CONFLICT, "missing_mm_cache_item", f"Missing multimodal items: {hashes}"
    )
