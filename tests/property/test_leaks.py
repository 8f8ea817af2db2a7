"""No error, warning, log or terminal output shows any part of an image.

An image in many encodings is put into every field of every type, every argument of every public
function, and the input of the commands. No output may contain a run of 17 characters of it, and no
exception of another library may stay in the chain.
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
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from pydantic import TypeAdapter, ValidationError

import rawmm
from rawmm import RawMMError, schemas
from rawmm.cli import main
from rawmm.graph import branches, prepare_turn
from rawmm.images import prepare_image
from rawmm.materialize import materialize
from rawmm.model.types import TYPES
from rawmm.store import collect_garbage, fsck
from rawmm.trainer import SAMPLE_FIELDS, as_sample, pack, sample_from
from tests.canaries import ENCODINGS, IMAGE, leaked

TEXT = {name: encode(IMAGE) for name, encode in ENCODINGS.items()}
B64, B64URL = TEXT["base64"], TEXT["base64url"]
EXAMPLE = Path(__file__).parents[2] / "examples" / "rollout.jsonl"


class Hostile:
    """An object whose every method raises an image."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(B64)

    def __repr__(self) -> str:
        raise ValueError(B64)

    __str__ = __repr__


class HostileMapping(UserDict[str, Any]):
    """A mapping that raises an image instead of returning its keys."""

    def _said(self, *_: Any) -> NoReturn:
        raise KeyError(B64)

    keys = items = values = __iter__ = __getitem__ = __len__ = _said


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
NAMED: Any = enum.Enum("NAMED", {"Ie" + TEXT["hex"]: B64})  # type: ignore[misc]
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
    "an enum": NAMED,
    "a member of an enum": next(iter(NAMED)),
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


def texts_of(error: BaseException) -> Iterator[str]:
    """All texts of an exception and of those in its chain."""
    links: list[BaseException] = [error]
    for link in links:
        yield from (str(link), repr(link), repr(link.args), *getattr(link, "__notes__", ()))
        if isinstance(link, RawMMError):
            yield from (link.path, link.expected, link.got, str(link.hint), link.message)
        links += [one for one in (link.__cause__, link.__context__) if one and one not in links]


def foreign(error: BaseException) -> list[str]:
    """The exceptions of other libraries in the chain."""
    links: list[BaseException] = [error]
    for link in links:
        links += [one for one in (link.__cause__, link.__context__) if one and one not in links]
    return [repr(type(link)) for link in links if not isinstance(link, RawMMError)]


class Watch:
    """Runs actions that may fail, and collects leaks."""

    def __init__(self) -> None:
        self.leaks: dict[str, str] = {}
        self.errors = 0
        self._formatted: set[tuple[object, ...]] = set()

    def run(self, place: str, action: Callable[..., object], /, *args: Any, **named: Any) -> None:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                result = action(*args, **named)
                if inspect.isawaitable(result):
                    asyncio.run(_awaited(result))
                elif isinstance(result, Iterator):
                    self._look(place, *(text for error in result for text in texts_of(error)))
            except Exception as error:  # noqa: BLE001  (other exceptions must not leak, either)
                self._error(place, error)
        self._look(place, *(str(one.message) for one in warned))

    def _error(self, place: str, error: Exception) -> None:
        self.errors += 1
        self._look(place, *texts_of(error))
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
    """A `Watch` in a temporary directory. At the end, checks the log and the terminal, too."""
    monkeypatch.chdir(tmp_path)
    for name in ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG)
    watched = Watch()
    yield watched
    written = capfd.readouterr()
    watched._look("log", caplog.text)
    watched._look("terminal", written.out, written.err)
    leaks = [f"{place[:120]}: {what[:240]}" for place, what in watched.leaks.items()]
    assert not leaks, "\n".join([f"{len(leaks)} leaks", *leaks[:20]])
    assert watched.errors > 20


def valid(name: str) -> Any:
    """The largest valid document of a type below 3000 characters."""
    found = [v["document"] for v in _VECTORS if v["type"] == name and not v.get("code")]
    return json.loads(max((text for text in found if len(text) < 3000), key=len))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in `value`, with the first two elements of arrays."""
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:2])
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from places(item, (*path, key))


def planted(value: Any, path: tuple[Any, ...], canary: Any, *, as_key: bool) -> Any:
    """A copy of `value` with a canary as the value, or as a key, at `path`."""
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


_VECTORS = schemas.conformance_vectors()
KEYS = {
    name: TEXTS[name]
    for name in ("base64", "hex", "latin-1", "repr", "base64 with dots", "a data URL", "a file URL")
}
KEYS_OF_PYTHON = KEYS | {"bytes": IMAGE, "a member of an enum": MORE["a member of an enum"]}


def documents(
    name: str, canaries: Mapping[str, Any], keys: Mapping[str, Any], number_of: int
) -> Iterator[tuple[str, Any]]:
    """Documents of a type, each with one canary; about `number_of` with one below the root."""
    whole = valid(name)
    found = list(places(whole))
    # The root gets every canary and each other place a few.
    few = max(3, len(found) * len(canaries) // number_of)
    for number, path in enumerate(found):
        step = few if path else 1
        for label, canary in list(canaries.items())[number % step :: step]:
            yield f"{name}{list(path)} = {label}", planted(whole, path, canary, as_key=False)
        at = whole
        for key in path:
            at = at[key]
        if isinstance(at, dict):
            for label, canary in list(keys.items())[number % 4 :: 4]:
                yield (
                    f"{name}{list(path)} with the key {label}",
                    planted(whole, path, canary, as_key=True),
                )


FEW_AND_MANY = pytest.mark.parametrize(
    "number_of", [pytest.param(40, id="few"), pytest.param(120, id="many", marks=pytest.mark.slow)]
)


@FEW_AND_MANY
@pytest.mark.parametrize("name", TYPES)
def test_document_fields_never_reach_an_error(name: str, number_of: int, watch: Watch) -> None:
    kind = TYPES[name]
    for place, value in documents(name, JSON, KEYS, number_of):
        watch.run(f"decode_json {place}", rawmm.decode_json, json.dumps(value), kind)
        watch.run(
            f"decode_msgpack {place}",
            rawmm.decode_msgpack,
            msgspec.msgpack.encode(value),
            kind,
        )
        watch.run(f"iter_errors {place}", rawmm.iter_errors, value, kind)


@FEW_AND_MANY
@pytest.mark.parametrize("name", TYPES)
def test_object_fields_never_reach_an_error(name: str, number_of: int, watch: Watch) -> None:
    kind = TYPES[name]
    adapter = TypeAdapter(kind)
    for place, value in documents(name, CANARIES, KEYS_OF_PYTHON, number_of):
        watch.run(f"convert {place}", rawmm.convert, value, kind)
        watch.run(f"iter_errors {place}", rawmm.iter_errors, value, kind)
        if isinstance(value, dict) and all(type(key) is str for key in value):
            watch.run(f"{name}() {place}", kind, **value)
        watch.run(f"upgrade {place}", rawmm.upgrade, value, kind)
        watch.run(f"pydantic {place}", validated, adapter, value)


def validated(adapter: TypeAdapter[Any], value: Any) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        leaks = str(error), repr(error), error.errors(include_url=False)
    else:
        return
    raise AssertionError(leaks)


def arguments(tmp: Path) -> dict[str, Any]:
    """A valid value for each parameter of the public functions, by name."""
    user = rawmm.UserMessage(content="x")
    trace = rawmm.Trace(nodes=[rawmm.MessageNode(message=user, token_ids=[1], mask=[False])])
    sidecar = rawmm.convert(valid("MultiModalData"), rawmm.MultiModalData)
    branch = branches(trace)[0]
    sample = sample_from(branch)
    return {
        "allow_empty": True,
        "batch": pack([sample]),
        "body": b'{"messages": []}',
        "branch": branch,
        "cache": None,
        "cached": None,
        "data": b"{}",
        "decoding": None,
        "dry_run": True,
        "env_name": "",
        "environ": {},
        "family": "qwen_vl",
        "fields": SAMPLE_FIELDS,
        "fingerprint": "0" * 32,
        "grace": timedelta(),
        "image": IMAGE,
        "image_dir": tmp,
        "url_or_path": tmp,
        "image_processor": print,
        "layout": None,
        "layout_fingerprint": "0" * 32,
        "limits": None,
        "mask": None,
        "materialize_all_image_refs": False,
        "max_tokens": 1,
        "message": rawmm.UserMessage(content="x"),
        "mm_hash": "0" * 32,
        "mm_token_type_ids": None,
        "modality": "image",
        "mode": "offload",
        "num_tokens": 4,
        "obj": {},
        "packed": None,
        "payload": {},
        "prompt": [],
        "quarantine": False,
        "raw_image_id": "a.png",
        "raw_image_uri": None,
        "ref": "mmraw:{}",
        "references": [],
        "refs": rawmm.convert(valid("MMRefs"), rawmm.MMRefs),
        "repair": False,
        "return_tensors": "np",
        "sample": sample,
        "samples": [sample],
        "sidecar": sidecar,
        "store": None,
        "struct": rawmm.UserMessage(content="x"),
        "temperature": 1.0,
        "to_uri": None,
        "tools": None,
        "trace": trace,
        "type": rawmm.MessageNode,
        "url": f"data:image/png;base64,{B64}",
        "value": {},
        "vllm_modality": None,
    }


MODULES = ("graph", "layouts", "materialize", "offload", "store", "trainer", "upgrades")
SILENT = {
    "generate_with_image_ref_retry": "passes on what the caller's own function raises",
}
CLASSES = (
    "ImageStore",
    "Limits",
    "Response",
    "TurnTokens",
    "TrainingSample",
    "ProcessedImageCache",
)


def functions(tmp: Path) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function, and the methods of the main classes."""
    for module in (rawmm, *(importlib.import_module(f"rawmm.{name}") for name in MODULES)):
        for name in module.__all__:
            one = getattr(module, name)
            if (inspect.isfunction(one) and name not in SILENT) or name in CLASSES:
                yield f"{module.__name__}.{name}", one
    good = arguments(tmp)
    for thing in (rawmm.ImageStore(tmp), rawmm.Limits(), prepare_turn(good["trace"], [])):
        for name in vars(type(thing)):
            if not name.startswith("_") and inspect.isfunction(getattr(type(thing), name)):
                yield f"{type(thing).__name__}.{name}", getattr(thing, name)


GOOD_OF_METHODS: dict[str, Any] = {
    "messages": [],
    "mm_placeholders": {},
    "placeholder_id": 1,
    "token_ids": [1],
    "cls": rawmm.layouts.Layout,
    "config": {},
    "processor": print,
    "id": "qwen",
    "attribution": {},
    "count": 1,
    "expected_hash": "0" * 32,
    "height": 1,
    "images": 1,
    "info": prepare_image(IMAGE, rawmm.Limits()).info,
    "load": lambda: IMAGE,
    "limits": rawmm.Limits(),
    "locator": "a.png",
    "prepared": prepare_image(IMAGE, rawmm.Limits()),
    "raw": IMAGE,
    "response": rawmm.Response(message=rawmm.AssistantMessage(content="x")),
    "size": 1,
    "source": IMAGE,
    "staged": (),
    "verify": False,
    "width": 1,
}


VALUES = {
    "body",
    "data",
    "image",
    "message",
    "obj",
    "ref",
    "refs",
    "sample",
    "sidecar",
    "url",
    "value",
}
"""Arguments that are data. For others, Python's own errors show only a class."""
OBJECTS = {"a class", "hostile", "a hostile mapping"}


def test_public_arguments_never_reach_an_error(watch: Watch, tmp_path: Path) -> None:
    called = set()
    for name, function in functions(tmp_path):
        parameters = inspect.signature(function).parameters.values()
        good = arguments(tmp_path) | GOOD_OF_METHODS
        needed = {
            one.name: good[one.name]
            for one in parameters
            if one.default is one.empty
            and one.kind is not one.VAR_KEYWORD
            and name.rpartition(".")[2] not in CLASSES
        }
        for one in parameters:
            for label, canary in CANARIES.items():
                place = f"{name}({one.name}={label})"
                if label in OBJECTS and (one.name not in VALUES or name.endswith("commit")):
                    continue
                if one.kind is one.VAR_KEYWORD:
                    watch.run(place, function, **needed, x=canary)
                    if isinstance(canary, str):
                        watch.run(place, function, **needed, **{canary: 1})
                else:
                    watch.run(place, function, **needed | {one.name: canary})
        called.add(name)
    assert len(called) > 40


def test_no_part_of_a_used_value_leaks(watch: Watch, tmp_path: Path) -> None:
    """Functions that read a whole value, with a canary at each place of it."""
    for name, function, kind in (
        ("upgrade", partial(rawmm.upgrade, type=rawmm.Trace), "Trace"),
        ("build_mm_refs", rawmm.build_mm_refs, "MultiModalData"),
        ("generate_features", rawmm.generate_features, "MultiModalData"),
        ("encode_json", rawmm.encode_json, "MessageNode"),
        ("materialize", partial(materialize, image_processor=print, image_dir=tmp_path), "MMRefs"),
        ("offload", partial(rawmm.offload_images_inplace, image_dir=tmp_path), "UserMessage"),
        ("as_sample", as_sample, "sample"),
        ("collect_garbage", lambda value: collect_garbage(tmp_path, [value]), "MessageNode"),
        ("fsck", lambda value: [one.error for one in fsck(tmp_path, [value])], "MessageNode"),
    ):
        whole = SAMPLE if kind == "sample" else valid(kind)
        for number, path in enumerate(places(whole)):
            for label, canary in list(CANARIES.items())[number % 19 :: 19]:
                value = planted(whole, path, canary, as_key=False)
                watch.run(f"{name}({kind}{list(path)} = {label})", function, value)


SAMPLE = {
    "token_ids": [1, 2],
    "mask": [True, False],
    "logprobs": [0.0, 0.0],
    "temperatures": [1.0, 1.0],
    "env_name": "x",
    "mm_refs": None,
    "routed_experts": None,
    "info": {"a": 1},
}


def test_assigned_values_never_reach_an_error(watch: Watch) -> None:
    """An assignment is not checked, so errors appear when the struct is used."""
    for name, kind in TYPES.items():
        good = rawmm.convert(valid(name), kind)
        for number, field in enumerate(kind.__struct_fields__):
            for label, canary in list(CANARIES.items())[number % 17 :: 17]:
                value = deepcopy(good)
                try:
                    setattr(value, field, canary)
                except AttributeError:
                    continue  # frozen
                place = f"{name}.{field} = {label}"
                watch.run(f"encode_json {place}", rawmm.encode_json, value)
                watch.run(f"encode_msgpack {place}", rawmm.encode_msgpack, value)
                watch.run(f"validate {place}", rawmm.validate, value)
                watch.run(f"to_builtins {place}", rawmm.to_builtins, value)


def test_command_input_never_reaches_output(watch: Watch, tmp_path: Path) -> None:
    trace = valid("Trace")
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    request = {"messages": [message]}
    values = [
        planted(whole, path, canary, as_key=False)
        for whole in (trace, request)
        for number, path in enumerate(places(whole))
        for canary in list(JSON.values())[number % 29 :: 29]
    ]
    values += [planted(trace, (), key, as_key=True) for key in KEYS.values()]
    values += [{"raw_image_data": text} for text in TEXTS.values()]
    lines = "\n".join([*map(json.dumps, values), *TEXTS.values()])
    Path("records.jsonl").write_text(lines, "utf-8", errors="surrogatepass")
    Path("records.msgpack").write_bytes(b"".join(map(msgspec.msgpack.encode, values)) + IMAGE)
    Path("one.json").write_text(json.dumps(values))
    Path("image.json").write_bytes(IMAGE)
    images = tmp_path / "images"
    rawmm.ImageStore(images).put(IMAGE)
    (images / f"{B64URL[:100]}.png").write_bytes(IMAGE)
    (images / f"{'0' * 64}.png").write_bytes(IMAGE)
    files = ("records.jsonl", "records.msgpack", "one.json", "image.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in files:
            for form in ("text", "json", "github"):
                main(["check", file, "--format", form, "--max-errors", "0", "--jobs", "1"])
            main(["offload", file, "-o", "out.jsonl", "--image-dir", str(images)])
            main(["upgrade", file, "-o", "out.jsonl", "--image-dir", str(images)])
            main(["gc", str(images), "--refs", file, "--dry-run"])
        main(["fsck", str(images), "--refs", "records.jsonl"])
    watch.errors = len(values)
