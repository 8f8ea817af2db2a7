"""Every public callable with every odd object returns a correct value or raises `RawMMError`.

The callables are found in the public modules, so new ones are included. A parameter without an
argument in `arguments` fails the test.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest

import rawmm
from rawmm import RawMMError, schemas
from rawmm.model.types import TYPES, Contract
from rawmm.values.fields import OPEN_SLOT, field_slots, slot_of
from tests.builders import item_document, sidecar_document
from tests.cases import each, every
from tests.zoo import REFUSED, ZOO, OddObject

MODULES: Final = ("rawmm", "rawmm.graph", "rawmm.layouts", "rawmm.materialize", "rawmm.trainer")

WIRE_ONLY: Final = frozenset({"bytes", "nan", "infinity"})
"""Odd objects that MessagePack allows in free values of open objects."""


@cache
def documents(name: str) -> tuple[dict[str, Any], ...]:
    """Valid documents of a type that together have all of its fields."""
    found: list[Any] = [
        json.loads(vector["document"])
        for vector in schemas.conformance_vectors()
        if vector["type"] == name and "code" not in vector
    ]
    found.sort(key=len, reverse=True)
    seen: set[Any] = set()
    chosen = []
    for document in found:
        fields = set(document if isinstance(document, dict) else range(len(document)))
        if not fields <= seen:
            seen |= fields
            chosen.append(document)
    return tuple(chosen)


def fields_of(name: str) -> Iterator[tuple[Any, Any]]:
    """Each field of a type, with a valid document to change."""
    kind = TYPES[name]
    free = [field for field, slot in field_slots(kind).items() if slot in (slot_of(Any), OPEN_SLOT)]
    for number, field in enumerate(field_slots(kind)):
        if field in free[1:-1]:
            continue  # the code treats all free fields of a type alike
        if field == "__extra__":
            yield "unknown", documents(name)[0]
        elif kind.__struct_config__.array_like:
            yield number, documents(name)[0]
        else:
            yield field, next((one for one in documents(name) if field in one), documents(name)[0])


def json_value(odd: OddObject, name: str, field: Any) -> Any:
    """The JSON value of an odd object in a field of type `name`."""
    slot = list(field_slots(TYPES[name]).items())
    if isinstance(field, int):
        field = slot[field][0]
    own = dict(slot).get(field)
    if own is not None and own.stream and odd.stream is not REFUSED:
        return odd.stream
    return odd.json_value


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 differs from true, but equals 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def in_open_object(value: Any) -> Any:
    """The value that a live array becomes in a free value of an open object, or `REFUSED`."""
    if isinstance(value, list):
        items = [in_open_object(item) for item in value]
        return REFUSED if any(item is REFUSED for item in items) else items
    if isinstance(value, np.generic):
        return value.tolist()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.tolist()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        fields = {"dtype": str(value.dtype), "shape": list(value.shape), "data": value.tobytes()}
        return {"__nd__": True, **fields}
    return REFUSED


def check_written(struct: Any, name: str, field: Any, label: str) -> None:
    """Check that an accepted object is encoded as its JSON value."""
    slot = None if isinstance(field, int) else field_slots(TYPES[name]).get(field)
    if label in WIRE_ONLY and (field == "unknown" or (slot is not None and slot.free)):
        return
    if slot is not None and slot.binary and label in {"bytes", "bytearray", "memoryview"}:
        return
    expected = json_value(ZOO[label], name, field)
    if expected is REFUSED and (field == "unknown" or (slot is not None and slot.arrays)):
        expected = in_open_object(ZOO[label].make())
    assert expected is not REFUSED, "accepted although it has no JSON value"
    encoded = outcome(lambda: rawmm.encode_msgpack(struct))
    if label == "huge int" and isinstance(encoded, RawMMError):
        return  # the format does not support it
    written = msgspec.msgpack.decode(encoded)
    if expected is None and isinstance(written, dict) and field not in written:
        return
    wrote = written[field]
    # Encoding adds defaults and constants.
    if isinstance(expected, dict) and isinstance(wrote, dict) and not (slot and slot.free):
        wrote = {key: wrote[key] for key in wrote if key in expected}
    assert same(wrote, expected), f"{expected!r} is encoded as {wrote!r}"


def outcome(call: Callable[[], Any]) -> Any:
    """The value of a call, or the `RawMMError` that it raises. Other exceptions are failures."""
    error: BaseException | None
    try:
        return call()
    except RawMMError as raised:
        error = found = raised
    while error is not None:
        assert isinstance(error, RawMMError), "an exception of another library is chained"
        error = error.__cause__ or error.__context__
    assert found.code
    assert found.path.startswith("$")
    return found


@every(10)
@pytest.mark.parametrize("name", sorted(TYPES))
def test_object_in_a_field_is_encoded_faithfully_or_refused(name: str, step: int) -> None:
    """Each field gets every object, or one of `step`; the next field gets the next ones."""
    failures = [
        failure
        for number, (field, document) in enumerate(fields_of(name))
        for label in list(ZOO)[number % step :: step]
        if label != "UNSET"  # leaves the field out in a constructor
        and (failure := failure_of(lambda: put_in_document(name, field, document, label)))  # noqa: B023
    ]
    assert not failures, "\n".join(failures)


def failure_of(attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except Exception as failure:  # noqa: BLE001  (all are listed)
        where = "".join(traceback.format_exception_only(failure)).strip()
        return f"{getattr(failure, '__notes__', [''])[0]}: {where}"
    return None


def put_in_document(name: str, field: Any, document: Any, label: str) -> None:
    kind: Any = TYPES[name]

    def document_with_odd_object() -> Any:
        changed = copy.copy(document)
        changed[field] = ZOO[label].make()
        return changed

    with noted(f"{name}.{field}: {label}"):
        built = outcome(lambda: rawmm.convert(document_with_odd_object(), kind))
        if not isinstance(built, RawMMError):
            check_written(built, name, field, label)
        errors = outcome(lambda: list(rawmm.iter_errors(document_with_odd_object(), kind)))
        assert bool(errors) == isinstance(built, RawMMError), errors
        # None leaves the field out in a constructor.
        if not kind.__struct_config__.array_like and label != "null":
            arguments = {
                attribute_of(kind, key): value
                for key, value in document_with_odd_object().items()
                if key != kind.__struct_config__.tag_field
            }
            if "unknown" in arguments:
                arguments["extra"] = {"unknown": arguments.pop("unknown")}
            called = outcome(lambda: kind(**arguments))
            assert isinstance(called, RawMMError) == isinstance(built, RawMMError), called


@contextmanager
def noted(note: str) -> Iterator[None]:
    try:
        yield
    except Exception as failure:
        failure.add_note(note)
        raise


def attribute_of(kind: Any, wire: str) -> str:
    names: dict[str, str] = {wire: name for name, wire in kind.__wire_names__.items()}
    return names.get(wire, wire)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in sorted(TYPES) if not name.startswith("Packed")])
def test_assigned_object_is_encoded_faithfully_or_refused(name: str) -> None:
    failures = [
        failure
        for field, document in fields_of(name)
        for label in ZOO
        if (failure := failure_of(lambda: assign(name, field, document, label)))  # noqa: B023
    ]
    assert not failures, "\n".join(failures)


def assign(name: str, field: Any, document: Any, label: str) -> None:
    kind: Any = TYPES[name]
    struct = rawmm.convert(document, kind)
    if field == "unknown":
        struct.extra = {"unknown": ZOO[label].make()}
    else:
        attribute = kind.__struct_fields__[field] if isinstance(field, int) else field
        setattr(struct, attribute_of(kind, attribute), ZOO[label].make())
    with noted(f"{name}.{field} = {label}"):
        encoded = outcome(lambda: rawmm.encode_msgpack(struct))
        errors = outcome(lambda: list(rawmm.iter_errors(struct)))
        if label != "huge int":  # a free value that only MessagePack does not support
            assert bool(errors) == isinstance(encoded, RawMMError), errors
        outcome(lambda: rawmm.to_builtins(struct))
        outcome(lambda: rawmm.encode_json(struct))
        outcome(lambda: rawmm.convert(struct, kind))
        if not isinstance(encoded, RawMMError) and label != "UNSET":
            check_written(struct, name, field, label)


# The public callables.

ITEM: Final = item_document(raw_image_uri="s3://bucket/a.png")
SIDECAR: Final = sidecar_document(ITEM)
SAMPLE: Final[dict[str, Any]] = {
    "token_ids": [1, 2],
    "mask": [False, True],
    "logprobs": [0.0, -0.5],
    "temperatures": [1.0, 1.0],
}
PNG: Final = (Path(__file__).parents[1] / "data/wire/inline/2afc26d7855ad16e.png").read_bytes()


def _trace() -> Any:
    message = rawmm.UserMessage(content="x")
    node = rawmm.MessageNode(message=message, token_ids=[1, 2], mask=[False, True], logprobs=[-0.5])
    return rawmm.Trace(nodes=[node])


def _branch() -> Any:
    return rawmm.graph.branches(_trace())[0]


OPTIONS: Final = frozenset(
    {
        "type",
        "store",
        "limits",
        "cached",
        "to_uri",
        "generate",
        "fields",
        "image_processor",
        "layout",
        "cache",
        "mode",
        "as_chat",
        "packed",
        "return_tensors",
        "kwargs",
        "options",
        "parameters",
        "values",
        "materialize_all_image_refs",
        "environ",
        "form",
        "dialect",
        "inline",
        "require_sidecars",
        "replay_view",
        "retry_on",
        "call",
        "cls",
    }
)
"""Parameters that are options rather than data."""

RECIPES: Final[dict[str, Callable[[Path], Any]]] = {
    "obj": lambda _: rawmm.convert(SIDECAR, rawmm.MultiModalData),
    "struct": lambda _: rawmm.convert(SIDECAR, rawmm.MultiModalData),
    "changes": lambda _: None,
    "value": lambda _: copy.deepcopy(SIDECAR),
    "data": lambda _: b'{"message": {"role": "user", "content": "x"}}',
    "body": lambda _: b'{"messages": []}',
    "url": lambda _: "data:image/png;base64,AAAA",
    "image": lambda _: PNG,
    "images": lambda _: None,
    "image_dir": lambda folder: folder / "images",
    "url_or_path": lambda folder: folder / "images",
    "family": lambda _: "qwen_vl",
    "modality": lambda _: "image",
    "layout_fingerprint": lambda _: ITEM["layout_fingerprint"],
    "fingerprint": lambda _: ITEM["layout_fingerprint"],
    "mm_hash": lambda _: "a" * 32,
    "payload": lambda _: {"image_grid_thw": [1, 4, 4]},
    "raw_image_id": lambda _: "a.png",
    "raw_image_uri": lambda _: None,
    "vllm_modality": lambda _: None,
    "sidecar": lambda _: copy.deepcopy(SIDECAR),
    "ref": lambda _: "mmraw:{}",
    "refs": lambda _: None,
    "trace": lambda _: _trace(),
    "branch": lambda _: _branch(),
    "prompt": lambda _: [{"role": "user", "content": "x"}],
    "tools": lambda _: None,
    "message": lambda _: {"role": "user", "content": "x"},
    "sample": lambda _: copy.deepcopy(SAMPLE),
    "samples": lambda _: [copy.deepcopy(SAMPLE)],
    "batch": lambda _: rawmm.trainer.pack([copy.deepcopy(SAMPLE)]),
    "max_tokens": lambda _: 2,
    "num_tokens": lambda _: None,
    "mm_token_type_ids": lambda _: None,
    "env_name": lambda _: "",
    "temperature": lambda _: 1.0,
    "mask": lambda _: None,
    "logprob_floor": lambda _: None,
    "token_ids": lambda _: [1, 2],
    "response": lambda _: {"prompt_token_ids": [1, 2], "mm_placeholders": None},
    "placeholder_id": lambda _: 9,
    "messages": lambda _: [{"role": "user", "content": "x"}],
    "raw": lambda _: PNG,
    "decoding": lambda _: None,
    "mm_placeholders": lambda _: {},
    "image_token_ids": lambda _: None,
    "ambiguous": lambda _: None,
    "config": lambda _: {"model_type": "qwen3_vl"},
    "processor": lambda _: object(),
    "version": lambda _: None,
    "theirs": lambda _: ["1.0"],
}


def callables() -> Iterator[tuple[str, Any]]:
    """Every public function in the public modules."""
    found: dict[int, str] = {}
    for module in map(import_module, MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) and id(value) not in found:
                found[id(value)] = name
                yield f"{module.__name__}.{name}", value


CALLABLES: Final = dict(callables())


def test_public_callables_are_found() -> None:
    assert {"rawmm.convert", "rawmm.graph.prepare_turn", "rawmm.trainer.pack"} <= set(CALLABLES)
    assert len(CALLABLES) >= 35


@every(4)
@pytest.mark.parametrize("name", sorted(CALLABLES))
@pytest.mark.filterwarnings("ignore:.*were -inf")
def test_object_as_an_argument_gives_a_value_or_a_rawmm_error(
    name: str, step: int, tmp_path: Path
) -> None:
    """Each argument is every object, or one of `step`; the next argument the next ones."""
    function = CALLABLES[name]
    parameters = {
        key: one
        for key, one in inspect.signature(function).parameters.items()
        if key not in OPTIONS
    }
    assert set(parameters) <= set(RECIPES), "a parameter without a recipe"
    failures = [
        failure
        for number, tried in enumerate(parameters, sorted(CALLABLES).index(name))
        for label in list(ZOO)[number % step :: step]
        if (failure := failure_of(lambda: call_with(function, parameters, tried, label, tmp_path)))  # noqa: B023
    ]
    assert not failures, "\n".join(failures)


def call_with(function: Any, parameters: Any, tried: str, label: str, folder: Path) -> None:
    arguments = {
        key: RECIPES[key](folder)
        for key, one in parameters.items()
        if one.default is inspect.Parameter.empty
    } | _required_options(function)
    arguments[tried] = ZOO[label].make()
    positional = [
        arguments.pop(key) for key, one in parameters.items() if one.kind is one.POSITIONAL_ONLY
    ]
    with noted(f"{function.__name__}({tried}={label})"):
        outcome(lambda: _finished(function(*positional, **arguments)))


def _required_options(function: Any) -> dict[str, Any]:
    def processor(**_: Any) -> Any:
        raise ValueError

    async def generate(**_: Any) -> str:
        return "done"

    wanted = inspect.signature(function).parameters
    options = {
        "image_processor": processor,
        "generate": generate,
        "layout": "qwen_vl",
        "cls": rawmm.layouts.Layout,
    }
    return {
        key: value
        for key, value in options.items()
        if key in wanted and wanted[key].default is inspect.Parameter.empty
    }


def _finished(value: Any) -> Any:
    if inspect.iscoroutine(value):
        return asyncio.run(value)
    return list(value) if isinstance(value, Iterator) else value


def test_subclass_of_a_struct_is_accepted_as_its_base() -> None:
    class Mine(rawmm.MessageNode):
        """Adds methods, but no field."""

        def size(self) -> int:
            return len(self.token_ids)

    node = Mine(message=rawmm.UserMessage(content="x"), token_ids=[1], mask=[False])
    assert node.size() == 1
    assert list(rawmm.iter_errors(node)) == []
    assert type(rawmm.convert(rawmm.to_builtins(node), Mine)) is Mine
    decoded = rawmm.decode_msgpack(rawmm.encode_msgpack(node), Mine)
    assert type(decoded) is Mine
    assert rawmm.to_builtins(rawmm.Trace(nodes=[node]))["nodes"][0]["token_ids"] == [1]
    node.mask = [True, True]
    with pytest.raises(rawmm.ContractError) as caught:
        rawmm.encode_json(node)
    assert (caught.value.code, caught.value.path) == ("stream_length", "$.mask")


@each("name", sorted(TYPES))
def test_subclass_of_every_struct_converts_and_encodes(name: str) -> None:
    kind: Any = TYPES[name]
    mine: Any = type(f"My{name}", (kind,), {})
    for document in documents(name):
        struct = rawmm.convert(document, mine)
        assert isinstance(struct, mine)
        assert rawmm.to_builtins(struct) == rawmm.to_builtins(rawmm.convert(document, kind))
        assert list(rawmm.iter_errors(struct, mine)) == []


def test_structs_are_the_only_classes_of_the_contract() -> None:
    assert all(issubclass(kind, Contract) for kind in TYPES.values())
