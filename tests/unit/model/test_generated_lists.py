"""The generator lists the fields that rules read, so rules cover new fields."""

from __future__ import annotations

import copy
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest

import rawmm
from codegen.emit import Emitter
from rawmm import RawMMError, schemas
from rawmm.model.packed import PackedStream
from rawmm.model.types import TYPES
from rawmm.rules.registry import REGISTRY
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Iterator

NAN = float("nan")
NUMBER = {"type": "number"}
NUMBERS: dict[str, tuple[Any, Any]] = {
    "number": (NUMBER, NAN),
    "nullable": ({"anyOf": [NUMBER, {"type": "null"}]}, NAN),
    "list": ({"type": "array", "items": NUMBER}, [0.5, NAN]),
    "list of lists": ({"type": "array", "items": {"type": "array", "items": NUMBER}}, [[], [NAN]]),
    "dict": ({"type": "object", "additionalProperties": NUMBER}, {"a": 0.5, "b": NAN}),
    "list of nullable": (
        {"type": "array", "items": {"anyOf": [NUMBER, {"type": "null"}]}},
        [None, NAN],
    ),
    "stream": ({"$ref": "#/$defs/TokenStream"}, [NAN]),
    "dict of streams": (
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/TokenStream"}},
        {"a": [], "b": [0.5, NAN]},
    ),
}
FREE: dict[str, tuple[str, str, str]] = {
    "JsonObject": ("__json_fields__", "free_json", "not_json"),
    "JsonValue": ("__wire_fields__", "wire_values", "array_payload"),
    "DescriptorObject": ("__descriptor_fields__", "payload", "not_json"),
}
OBJECTS = sorted(
    name for name, kind in TYPES.items() if not kind.__struct_config__.array_like
    and not issubclass(kind, PackedStream)
)  # fmt: skip


def with_field(name: str, schema: Any) -> Any:
    """The generated class of a type with one more optional field."""
    bundle = copy.deepcopy(schemas.annotated())
    bundle["$defs"][name]["properties"]["score"] = schema | {"description": "New."}
    module = ModuleType("generated_for_a_test")
    code = compile(Emitter(bundle, "v1").source(), "<generated>", "exec")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)  # where msgspec looks types up
        exec(code, vars(module))
        kind = getattr(module, name)
        msgspec.structs.fields(kind)
        msgspec.convert(valid(name), kind, dec_hook=_as_it_is)
    return kind


def valid(name: str) -> Any:
    """The shortest valid document of a type."""
    vectors = [one for one in schemas.conformance_vectors() if one["type"] == name]
    return json.loads(min((one["document"] for one in vectors if "code" not in one), key=len))


@pytest.mark.parametrize("shape", NUMBERS)
@pytest.mark.parametrize("name", ["MessageNode", "Usage", "ToolCall", "Trace"])
def test_new_number_field_is_finite(name: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, wrong = NUMBERS[shape]
    kind = with_field(name, schema)
    assert "score" in kind.__float_fields__
    assert "finite" in kind.__rules__
    monkeypatch.setattr(REGISTRY, "_fast", {})
    right = json.loads(json.dumps(wrong).replace("NaN", "1.5"))
    built = msgspec.convert({**valid(name), "score": right}, kind, dec_hook=_as_it_is)
    built.score = wrong
    assert not REGISTRY.hold(built)
    found = [error for error in REGISTRY.errors(built, ()) if error.path.startswith("$.score")]
    assert [error.code for error in found] == ["not_json"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**valid(name), "score": wrong}, kind, dec_hook=_as_it_is)


def _as_it_is(_: Any, value: Any) -> Any:
    return value


@pytest.mark.parametrize("target", FREE)
@pytest.mark.parametrize("name", ["MessageNode", "UserMessage", "Usage"])
def test_new_free_field_has_its_rule(name: str, target: str) -> None:
    attribute, rule, code = FREE[target]
    kind = with_field(name, {"$ref": f"#/$defs/{target}"})
    assert "score" in getattr(kind, attribute)
    assert rule in kind.__rules__
    wrong = bytearray(b"x") if target == "JsonValue" else {"a": NAN}
    built = msgspec.convert(valid(name), kind, dec_hook=_as_it_is)
    built.score = wrong
    assert [error.code for error in REGISTRY.errors(built, ())] == [code]


def floats(kind: Any) -> bool:
    """Whether a type holds numbers outside of structs."""
    if kind is float:
        return True
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return False
    return any(map(floats, get_args(kind)))


@each("name", sorted(TYPES))
def test_every_number_field_is_listed(name: str) -> None:
    kind = TYPES[name]
    found = {field.name for field in msgspec.structs.fields(kind) if floats(field.type)}
    assert set(kind.__float_fields__) == found
    assert ("finite" in kind.__rules__) == bool(found)


def places(kind: Any, value: Any) -> Iterator[Any]:
    """`value` at each position of a number in a type."""
    if kind is float:
        yield value
    for arg in get_args(kind):
        for below in places(arg, value):
            origin = getattr(kind, "__origin__", None)
            yield [below] if origin is list else {"a": below} if origin is dict else below


@each("value", [NAN, float("inf"), -float("inf")])
@each("name", OBJECTS)
def test_no_number_is_written_as_null(name: str, value: float) -> None:
    kind: Any = TYPES[name]
    struct = rawmm.convert(valid(name), kind)
    for field in msgspec.structs.fields(kind):
        for wrong in places(field.type, value):
            old = getattr(struct, field.name)
            setattr(struct, field.name, wrong)
            for act in (rawmm.encode_json, rawmm.encode_msgpack, rawmm.validate):
                with pytest.raises(RawMMError):
                    act(struct)
            setattr(struct, field.name, old)
