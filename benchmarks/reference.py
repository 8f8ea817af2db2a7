"""The code that a team writes without rawmm: the standard library, and pydantic for the types.

It is as fast as simple code can be. The models have the bounds and patterns of the schema, forbid
unknown fields and search payloads for processed data. They have none of the rules between fields,
so they check less than rawmm does.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from pathlib import Path

PROCESSED: Final = frozenset({"pixel_values", "image_embeds", "image_features"})


def check_raw(value: Any) -> None:
    """Refuse processed payloads at any depth.

    Raises:
        ValueError: a key, or a value that is not JSON.
    """
    if isinstance(value, dict):
        for key, child in value.items():
            if key in PROCESSED:
                msg = f"processed payload: {key}"
                raise ValueError(msg)
            check_raw(child)
    elif isinstance(value, (list, tuple)):
        for child in value:
            check_raw(child)
    elif value is not None and not isinstance(value, (str, int, float, bool)):
        msg = f"not JSON: {type(value).__name__}"
        raise ValueError(msg)


Size = Annotated[int, Field(ge=0, le=2**53 - 1)]
TokenId = Annotated[int, Field(ge=0, le=2**32 - 1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16,128}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Item(_Model):
    """A descriptor."""

    kind: Literal["prime_raw_mm_item"]
    version: Literal[1]
    modality: Name
    family: Name
    layout_fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")] | None = None
    payload: dict[str, Any]
    vllm_modality: Name | None = None
    raw_image_id: Name | None = None
    raw_image_uri: str | None = None

    @field_validator("payload")
    @classmethod
    def _raw(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_raw(value)
        return value


class Range(_Model):
    """A placeholder range."""

    offset: Size
    length: Annotated[int, Field(ge=1, le=2**53 - 1)]


class Sidecar(_Model):
    """The sidecar of a message."""

    mm_hashes: dict[Name, list[Hash]] = {}
    mm_placeholders: dict[Name, list[Range]] = {}
    mm_items: dict[Name, list[Item]] = {}


class Url(_Model):
    """Location of an image."""

    url: str


class TextPart(_Model):
    """A text part."""

    type: Literal["text"]
    text: str


class ImagePart(_Model):
    """An image part."""

    type: Literal["image_url"]
    image_url: Url


class Message(_Model):
    """A message of any role in the benchmark."""

    role: Literal["system", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]] | None = None


class Usage(_Model):
    """Token counts of a call."""

    prompt_tokens: Size
    completion_tokens: Size


class Node(_Model):
    """A node of the message graph."""

    parent: Size | None = None
    message: Message
    sampled: bool = False
    timestamp: float | None = None
    token_ids: list[TokenId] = []
    mask: list[bool] = []
    is_content: list[bool] = []
    logprobs: list[float] = []
    finish_reason: Literal["stop", "length", "tool_calls"] | None = None
    usage: Usage | None = None
    multi_modal_data: Sidecar | None = None


class Trace(_Model):
    """A rollout."""

    id: str
    nodes: list[Node]
    mm_token_type_id_map: dict[str, int] = {}


def decode_json(data: bytes) -> Trace:
    """A trace from JSON."""
    return Trace.model_validate(json.loads(data))


def decode_json_at_once(data: bytes) -> Trace:
    """A trace from JSON with pydantic's own parser, which is its fastest way."""
    return Trace.model_validate_json(data)


def decode_msgpack(data: bytes) -> Trace:
    """A trace from MessagePack. The standard library has none, so msgspec makes the dicts."""
    return Trace.model_validate(msgspec.msgpack.decode(data))


def decode_as_verifiers(data: bytes) -> Trace:
    """A trace from MessagePack with the libraries that verifiers 0.4.0 uses."""
    import msgpack

    return Trace.model_validate(msgpack.unpackb(data, raw=False))


def encode_as_verifiers(trace: Trace) -> bytes:
    """A trace as MessagePack with the libraries of verifiers 0.4.0, unchecked."""
    import msgpack

    packed: bytes = msgpack.packb(trace.model_dump(mode="json"), use_bin_type=True)
    return packed


def encode_json(trace: Trace) -> bytes:
    """A trace as JSON, validated again, because models may have been changed."""
    return json.dumps(_checked(trace), separators=(",", ":")).encode()


def encode_json_at_once(trace: Trace) -> bytes:
    """A trace as JSON with pydantic's own writer, unchecked."""
    return trace.model_dump_json(exclude_unset=True).encode()


def encode_msgpack(trace: Trace) -> bytes:
    """A trace as MessagePack, validated again."""
    return msgspec.msgpack.encode(_checked(trace))


def encode_msgpack_unchecked(trace: Trace) -> bytes:
    """A trace as MessagePack, unchecked."""
    return msgspec.msgpack.encode(trace.model_dump(exclude_unset=True))


def _checked(trace: Trace) -> dict[str, Any]:
    dumped = trace.model_dump(exclude_unset=True)
    Trace.model_validate(dumped)
    return dumped


def offload_body(body: bytes, directory: Path) -> bytes:
    """A request with URLs in place of its images, each of which is written to `directory` once."""
    request = json.loads(body)
    _offload(request, directory)
    return json.dumps(request).encode()


def _offload(value: Any, directory: Path) -> None:
    if isinstance(value, dict):
        url = value.get("url")
        if isinstance(url, str) and url.startswith("data:image/"):
            raw = base64.b64decode(url.partition(",")[2])
            path = directory / f"{hashlib.sha256(raw).hexdigest()}.png"
            if not path.exists():
                path.write_bytes(raw)
            value["url"] = path.as_uri()
        for child in value.values():
            _offload(child, directory)
    elif isinstance(value, list):
        for child in value:
            _offload(child, directory)
