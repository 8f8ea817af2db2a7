"""Image parts of every typed kind, and the containers that may hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import pydantic

import rawmm.model.types

if TYPE_CHECKING:
    from collections.abc import Callable


class Source(pydantic.BaseModel):
    url: str


class Part(pydantic.BaseModel):
    type: Literal["image_url"] = "image_url"
    image_url: Source


class FrozenSource(pydantic.BaseModel, frozen=True):
    url: str


class FrozenPart(pydantic.BaseModel, frozen=True):
    type: Literal["image_url"] = "image_url"
    image_url: FrozenSource


class FrozenField(pydantic.BaseModel):
    type: Literal["image_url"] = "image_url"
    image_url: str = pydantic.Field(frozen=True)


class Open(pydantic.BaseModel, extra="allow"):
    role: str = "user"


class Validated(pydantic.BaseModel, validate_assignment=True):
    type: Literal["image"] = "image"
    image: str

    @pydantic.model_validator(mode="after")
    def only_inline(self) -> Validated:
        if not self.image.startswith("data:"):
            raise ValueError("only inline")
        return self


class StructSource(msgspec.Struct):
    url: str


class StructPart(msgspec.Struct, tag_field="type", tag="image_url"):
    image_url: StructSource


class FrozenStructSource(msgspec.Struct, frozen=True):
    url: str


class FrozenStructPart(msgspec.Struct, frozen=True):
    image_url: FrozenStructSource
    type: str = "image_url"


class Renamed(msgspec.Struct, rename={"source": "image_url"}, tag_field="type", tag="image_url"):
    source: StructSource | msgspec.UnsetType = msgspec.UNSET


@dataclass
class ClassSource:
    url: str


@dataclass
class ClassPart:
    image_url: ClassSource
    type: str = "image_url"


@dataclass(frozen=True, slots=True)
class FrozenClassSource:
    url: str


@dataclass(frozen=True, slots=True)
class FrozenClassPart:
    image_url: FrozenClassSource
    type: str = "image_url"
    unrelated: int = field(default=7, init=False)


@dataclass
class StringPart:
    image: str
    type: str = "image"


class Named(NamedTuple):
    first: Any
    second: Any


@dataclass(frozen=True)
class FrozenMessage:
    content: Any
    role: str = "user"


@dataclass
class Message:
    content: Any
    role: str = "user"


class StructMessage(msgspec.Struct):
    content: Any


class ModelMessage(pydantic.BaseModel):
    content: Any


TYPED: dict[str, Callable[[str], Any]] = {
    "pydantic": lambda url: Part(image_url=Source(url=url)),
    "pydantic frozen": lambda url: FrozenPart(image_url=FrozenSource(url=url)),
    "pydantic frozen field": lambda url: FrozenField(image_url=url),
    "pydantic extra": lambda url: Open(type="image_url", image_url={"url": url}),
    "struct": lambda url: StructPart(StructSource(url)),
    "struct frozen": lambda url: FrozenStructPart(FrozenStructSource(url)),
    "struct renamed": lambda url: Renamed(StructSource(url)),
    "rawmm": lambda url: rawmm.model.types.ImageUrlContentPart(
        image_url=rawmm.model.types.ImageUrlSource(url=url)
    ),
    "dataclass": lambda url: ClassPart(ClassSource(url)),
    "dataclass frozen": lambda url: FrozenClassPart(FrozenClassSource(url)),
    "dataclass string": StringPart,
    "dataclass around a dict": lambda url: ClassPart({"url": url}),
    "dict around a frozen struct": lambda url: {
        "type": "image_url",
        "image_url": FrozenStructSource(url),
    },
}
"""From a URL to a part."""

DICTS: dict[str, Callable[[str], Any]] = {
    "first shape": lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    "string": lambda url: {"type": "image_url", "image_url": url, "text": None},
    "image": lambda url: {"type": "image", "image": url, "cache_control": {"type": "ephemeral"}},
    "image null-filled": lambda url: {"image_url": None, "image": url, "type": "image"},
    "image with image_url": lambda url: {"type": "image", "image_url": {"url": url}},
}

CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda parts: [{"role": "user", "content": parts}],
    "tuple": lambda parts: [{"role": "user", "content": tuple(parts)}],
    "tuples": lambda parts: [((parts[0],), Named(tuple(parts[1:]), {"x": 1}))],
    "struct": lambda parts: [StructMessage(parts), StructMessage(("x",))],
    "pydantic": lambda parts: (ModelMessage(content=[]), ModelMessage(content=parts)),
    "dataclass": Message,
    "frozen dataclass": lambda parts: [FrozenMessage(tuple(parts))],
    "extra": lambda parts: Open(content=parts),
    "nested": lambda parts: {"a": [[Message((StructMessage({"b": parts}),))]]},
}
"""From parts to a value that can be changed."""


def image_url_of(part: Any) -> str:
    """The URL of a part of any shape."""

    def get(name: str) -> Any:
        return part.get(name) if isinstance(part, dict) else getattr(part, name, None)

    source = next(
        source for name in ("image_url", "image", "source") if (source := get(name)) is not None
    )
    if isinstance(source, str):
        return source
    return str(source["url"] if isinstance(source, dict) else source.url)


def parts_in(value: Any) -> list[Any]:
    """The parts of a container, in order."""
    if isinstance(value, (str, int, type(None))):
        return []
    if isinstance(value, dict) and value.get("type") in ("image_url", "image"):
        return [value]
    if isinstance(value, (list, tuple)):
        return [part for each in value for part in parts_in(each)]
    if isinstance(value, dict):
        return [part for each in value.values() for part in parts_in(each)]
    if isinstance(value, (Message, FrozenMessage, StructMessage, ModelMessage)):
        return parts_in(value.content)
    if isinstance(value, Open) and "content" in (value.model_extra or {}):
        return parts_in((value.model_extra or {})["content"])
    return [value]
