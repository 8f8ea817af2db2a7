"""Nothing of an image stands in an error, a warning, a log or on a terminal, wherever it was put.

An image in many spellings is put at every field of every type and in every argument of every public
function, which introspection finds, and through the commands. Nothing that is said then has a run
of 17 characters of it, and no exception of another library stays in the chain.
"""

from __future__ import annotations

import asyncio
import enum
import importlib
import inspect
import json
import logging
import traceback
import warnings
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from pydantic import TypeAdapter, ValidationError

import rawmm
from rawmm import RawMMError, schemas
from rawmm.cli import main
from rawmm.graph import branches
from rawmm.structs import TYPES, Contract
from rawmm.trainer import sample_from
from tests.canaries import IMAGE, SPELLINGS, leaked

TEXT = {name: spell(IMAGE) for name, spell in SPELLINGS.items()}
B64, B64URL = TEXT["base64"], TEXT["base64url"]
EXAMPLE = Path(__file__).parents[2] / "examples" / "rollout.jsonl"


class Hostile:
    """What says an image whatever it is asked."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(B64)

    def __repr__(self) -> str:
        raise ValueError(B64)

    __str__ = __repr__


class HostileMapping(UserDict[str, Any]):
    """A mapping that says an image in place of its keys."""

    def _said(self, *_: Any) -> NoReturn:
        raise KeyError(B64)

    keys = items = values = __iter__ = __getitem__ = __len__ = _said  # type: ignore[assignment]


def cut(text: str, separator: str, size: int) -> str:
    return separator.join(text[at : at + size] for at in range(0, len(text), size))


TEXTS: dict[str, str] = {
    **TEXT,
    "base64 with dots": cut(B64, ".", 8),
    "base64url with dots": cut(B64URL, ".", 12),
    "base64 in lines": cut(B64, "\n", 16),
    "base64 in long lines": cut(B64, "\r\n", 60),
    "a data URL": f"data:image/png;base64,{B64}",
    "a data URL with an early comma": f"data:{B64[:200]},{B64}",
    "a data URL of another type": f"data:image/{B64URL[:60]};base64,{B64}",
    "a file URL": f"file:///{B64URL}.png",
    "a file URL with a host": f"file://{B64URL[:60]}/{B64URL}.png",
    "a web URL": f"https://{B64URL}/{B64}",
    "a store URL": f"s3://{B64URL}/{B64}?{B64}",
    "a scheme": f"x{''.join(filter(str.isalnum, B64))}://a",
    "a reference": f"mmraw:{B64URL}",
    "an old reference": f"mmraw:v3:{B64URL}",
    "a file name": f"{TEXT['hex'][:64]}.png",
    "words before": f"this is the image: {B64}",
    "a path": f"/data/images/../{B64URL}",
    "broken JSON": f'{{"{B64}": "{B64}", "{B64}"',
}
MORE: dict[str, Any] = {
    "bytes": IMAGE,
    "bytes of base64": B64.encode(),
    "bytearray": bytearray(IMAGE),
    "memoryview": memoryview(IMAGE),
    "list of base64": [B64, B64URL],
    "list of numbers": list(IMAGE),
    "an integer": int.from_bytes(IMAGE[:24], "big"),
    "a large integer": int.from_bytes(IMAGE, "big"),
    "a negative integer": -int.from_bytes(IMAGE[:7], "big"),
    "keys": {B64: {B64URL: {"pixel_values": B64}}},
    "cut keys": {B64[at : at + 12]: 1 for at in range(0, 96, 12)},
    "keys of bytes": {IMAGE: B64, B64.encode(): IMAGE},
    "keys of integers": {int.from_bytes(IMAGE[:24], "big"): 1},
    "a tuple": (B64, IMAGE),
    "a set": {B64, IMAGE},
    "an enum": enum.Enum("E", {"Ie" + TEXT["hex"]: B64}),  # type: ignore[misc]
    "a member of an enum": next(iter(enum.Enum("E", {"Ie" + TEXT["hex"]: B64}))),  # type: ignore[misc]
    "a class": type("Ie" + TEXT["hex"], (), {})(),
    "a type": {"type": B64, "role": B64URL},
    "an image part": {"type": "image_url", "image_url": {"url": B64}},
    "an encoded array": {"__nd__": True, "dtype": B64, "shape": [1], "data": B64},
    "hostile": Hostile(),
    "a hostile mapping": HostileMapping(),
}
CANARIES: dict[str, Any] = TEXTS | MORE
JSON = {
    name: value
    for name, value in CANARIES.items()
    if type(value) is str or name in {"list of base64", "keys", "cut keys", "a type"}
}


def said(error: BaseException) -> Iterator[str]:
    """All that an exception and those in its chain say, and where they come from."""
    links: list[BaseException] = [error]
    for link in links:
        yield from (str(link), repr(link), repr(link.args), *getattr(link, "__notes__", ()))
        if isinstance(link, RawMMError):
            yield from (link.path, link.expected, link.got, str(link.hint), link.message)
        links += [one for one in (link.__cause__, link.__context__) if one and one not in links]


def foreign(error: BaseException) -> list[str]:
    """The exceptions in the chain that are not rawmm's."""
    links: list[BaseException] = [error]
    for link in links:
        links += [one for one in (link.__cause__, link.__context__) if one and one not in links]
    return [repr(type(link)) for link in links if not isinstance(link, RawMMError)]


class Watch:
    """Runs what may fail, and keeps every leak that it sees."""

    def __init__(self) -> None:
        self.leaks: dict[str, str] = {}
        self.errors = 0
        self._formatted: set[tuple[object, ...]] = set()

    def run(self, place: str, action: Callable[[], object]) -> None:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                result = action()
                if inspect.isawaitable(result):
                    asyncio.run(_awaited(result))
                elif isinstance(result, Iterator):
                    self._look(place, *(text for error in result for text in said(error)))
            except Exception as error:  # noqa: BLE001  (what is no `RawMMError` may not leak, too)
                self._error(place, error)
        self._look(place, *(str(one.message) for one in warned))

    def _error(self, place: str, error: Exception) -> None:
        self.errors += 1
        self._look(place, *said(error))
        if isinstance(error, RawMMError) and (others := foreign(error)):
            self.leaks.setdefault(place, f"{others} in the chain of {error}")
        trace = error.__traceback__
        lines = []
        while trace:
            lines.append(trace.tb_lineno)
            trace = trace.tb_next
        if (key := (type(error), *lines)) not in self._formatted:
            self._formatted.add(key)
            self._look(place, "".join(traceback.format_exception(error)))

    def _look(self, place: str, *texts: str) -> None:
        for text in texts:
            if runs := leaked(text):
                self.leaks.setdefault(place, f"{runs[0]!r} in {text[:400]!r}")


async def _awaited(result: Any) -> Any:
    return await result


@pytest.fixture
def watch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Watch]:
    """In a directory of its own. At the end nothing may have leaked, nor been logged or printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG)
    watched = Watch()
    yield watched
    written = capfd.readouterr()
    watched._look("log", caplog.text)
    watched._look("terminal", written.out, written.err)
    assert not watched.leaks, "\n".join(f"{k}: {v}" for k, v in list(watched.leaks.items())[:40])
    assert watched.errors > 20


def valid(name: str) -> Any:
    """The valid document of a type that says most."""
    found = (v for v in schemas.conformance_vectors() if v["type"] == name and not v.get("code"))
    return json.loads(max((one["document"] for one in found), key=len))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each value below `value`; of an array the first two."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def planted(value: Any, path: tuple[Any, ...], canary: Any, *, as_key: bool) -> Any:
    """A copy of `value` with a canary in place of what is at `path`, or as a key there."""
    if not path and not as_key:
        return canary
    value = root = deepcopy(value)
    for key in path if as_key else path[:-1]:
        value = value[key]
    if as_key:
        value[canary] = 1
    else:
        value[path[-1]] = canary
    return root


KEYS = {name: TEXTS[name] for name in ("base64", "hex", "latin-1", "repr", "base64 with dots", "a data URL", "a file URL")}
KEYS_OF_PYTHON = KEYS | {"bytes": IMAGE, "a member of an enum": MORE["a member of an enum"]}


def documents(name: str, canaries: Mapping[str, Any], keys: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Documents of a type with a canary somewhere."""
    whole = valid(name)
    for number, path in enumerate(places(whole)):
        # Every canary stands at some place of every depth, and each place has several.
        few = [one for at, one in enumerate(canaries.items()) if at % 4 == number % 4 or len(path) < 2]
        for label, canary in few:
            yield f"{name}{list(path)} = {label}", planted(whole, path, canary, as_key=False)
        at = whole
        for key in path:
            at = at[key]
        if isinstance(at, dict):
            for label, canary in keys.items():
                yield f"{name}{list(path)} with the key {label}", planted(whole, path, canary, as_key=True)


@pytest.mark.parametrize("name", TYPES)
def test_no_field_of_a_document_leaks(name: str, watch: Watch) -> None:
    kind = TYPES[name]
    for place, value in documents(name, JSON, KEYS):
        watch.run(f"decode_json {place}", lambda: rawmm.decode_json(json.dumps(value), kind))
        watch.run(f"decode_msgpack {place}", lambda: rawmm.decode_msgpack(msgspec.msgpack.encode(value), kind))
        watch.run(f"iter_errors {place}", lambda: rawmm.iter_errors(value, kind))


@pytest.mark.parametrize("name", TYPES)
def test_no_field_of_an_object_leaks(name: str, watch: Watch) -> None:
    kind = TYPES[name]
    adapter = TypeAdapter(kind)
    for place, value in documents(name, CANARIES, KEYS_OF_PYTHON):
        watch.run(f"convert {place}", lambda: rawmm.convert(value, kind))
        watch.run(f"iter_errors {place}", lambda: rawmm.iter_errors(value, kind))
        if isinstance(value, dict):
            watch.run(f"{name}() {place}", lambda: kind(**value))
        watch.run(f"upgrade {place}", lambda: rawmm.upgrade(value, kind))
        watch.run(f"pydantic {place}", lambda: validated(adapter, value))


def validated(adapter: TypeAdapter[Any], value: Any) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        raise AssertionError(str(error), repr(error), error.errors(include_url=False)) from None
