"""Baselines that no implementation can beat: msgspec without rules, and the unavoidable work."""

from __future__ import annotations

import hashlib
import os
import sys
import types
from array import array
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

import msgspec
import pybase64
from blake3 import blake3

from rawmm.model.base import Contract, Extra, OneOf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import ThreadPoolExecutor


@cache
def bare(kind: Any) -> Any:
    """A type of the contract as plain msgspec structs, with the same fields and no rules."""
    if isinstance(kind, type) and get_origin(kind) is None:
        if issubclass(kind, Contract):
            return _bare_struct(kind)
        if issubclass(kind, OneOf):  # unsupported by msgspec and unused here
            return bare(kind.members[0])
        return dict[str, Any] if kind is Extra else kind
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return Annotated[(bare(args[0]), *args[1:])]
    if origin in (Union, types.UnionType):
        return Union[tuple(bare(arg) for arg in args)]  # noqa: UP007
    return origin[tuple(bare(arg) for arg in args)] if origin in (list, dict) else kind


def _bare_struct(kind: type[Contract]) -> type[msgspec.Struct]:
    config = kind.__struct_config__
    field: Any = msgspec.field
    fields: list[Any] = [
        (
            one.name,
            bare(one.type),
            field(name=one.encode_name, default=one.default, default_factory=one.default_factory),
        )
        for one in msgspec.structs.fields(kind)
    ]
    return msgspec.defstruct(
        kind.__name__,
        fields,
        kw_only=not config.array_like,
        array_like=config.array_like,
        tag=config.tag,
        tag_field=config.tag_field,
        forbid_unknown_fields=True,
    )


def counted(trace: Any, token: int) -> int:
    """Count a token in a trace, in the fastest way on CPython.

    A rule on image tokens takes at least this long. Bytes across two tokens may match as well.
    """
    wanted = token.to_bytes(4, sys.byteorder)
    return sum(array("I", node.token_ids).tobytes().count(wanted) for node in trace.nodes)


class _Streams(msgspec.Struct):
    token_ids: list[Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]]
    mask: list[bool]
    is_content: list[bool]
    logprobs: list[float]


def check_elements(trace: Any) -> None:
    """Check the types of all elements of the token streams, in the fastest way of msgspec."""
    for node in trace.nodes:
        streams = {name: getattr(node, name) for name in _Streams.__struct_fields__}
        msgspec.convert(streams, _Streams)


_IMAGE: Final = b"data:image/png;base64,"


class Requests:
    """The work on the requests of a rollout: store each image once, know it by its BLAKE3.

    For an image that is sent again, only the end of its text is searched and the text hashed.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: set[bytes] = set()

    def offload(self, body: bytes) -> None:
        """Store the images of one request, without writing the new body."""
        view, end = memoryview(body), 0
        while (start := body.find(_IMAGE, end)) >= 0:
            start += len(_IMAGE)
            end = body.find(b'"', start)
            digest = blake3(view[start:end]).digest()
            if digest not in self._known:
                self._known.add(digest)
                _store(view[start:end], self._directory, durable=False)


def store(texts: Sequence[str], directory: str, *, durable: bool) -> None:
    """Decode, hash and write images, which is the unavoidable work of an offload."""
    for text in texts:
        _store(text, directory, durable=durable)
    if durable:
        _sync(directory)


def store_at_once(texts: Sequence[str], directory: str, pool: ThreadPoolExecutor) -> None:
    """`store` with a thread per image, because disks sync many files at once."""
    list(pool.map(partial(_store, directory=directory, durable=True), texts))
    _sync(directory)


def _store(text: str | memoryview, directory: str, *, durable: bool) -> None:
    raw = pybase64.b64decode(text, validate=True)
    path = f"{directory}/{hashlib.sha256(raw).hexdigest()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, raw)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
