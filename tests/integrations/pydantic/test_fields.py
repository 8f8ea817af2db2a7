"""Structs as fields of pydantic models, after ``import rawmm`` alone."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import Any, Generic, TypeVar

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

import rawmm
from rawmm import (
    AssistantMessage,
    GenerateFeatures,
    MultiModalData,
    PlaceholderRange,
    TextContentPart,
    Usage,
    UserMessage,
)

T = TypeVar("T")
HASH = "0" * 32


class Node(BaseModel):
    multi_modal_data: rawmm.MultiModalData | None = None
    message: rawmm.Message | None = None
    parts: list[rawmm.MessagePart] = []
    usage: dict[str, rawmm.Usage] = {}


class Holder(BaseModel, Generic[T]):
    value: T


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    sidecar: rawmm.MultiModalData


class Assigned(BaseModel):
    model_config = ConfigDict(validate_assignment=True)
    where: rawmm.PlaceholderRange


class Defaults(BaseModel):
    sidecar: rawmm.MultiModalData = MultiModalData()


def test_struct_is_accepted_unchanged() -> None:
    sidecar = MultiModalData(mm_hashes={"image": [HASH]})
    assert Node(multi_modal_data=sidecar).multi_modal_data is sidecar


def test_dicts_become_structs_in_lists_dicts_optionals_and_unions() -> None:
    node = Node.model_validate(
        {
            "multi_modal_data": {"mm_hashes": {"image": [HASH]}},
            "message": {"role": "user", "content": "hi"},
            "parts": [{"type": "text", "text": "a"}],
            "usage": {"x": {"prompt_tokens": 1, "completion_tokens": 2}},
        }
    )
    assert node.multi_modal_data == MultiModalData(mm_hashes={"image": [HASH]})
    assert node.message == UserMessage(content="hi")
    assert node.parts == [TextContentPart(text="a")]
    assert node.usage == {"x": Usage(prompt_tokens=1, completion_tokens=2)}


def test_null_is_null_where_the_field_is_optional() -> None:
    assert Node.model_validate({"multi_modal_data": None}).multi_modal_data is None


def test_models_and_dataclasses_are_read_by_their_fields() -> None:
    class Range(BaseModel):
        offset: int
        length: int

    @dataclasses.dataclass
    class Sidecar:
        mm_placeholders: dict[str, list[Range]]

    held = Node.model_validate(
        {"multi_modal_data": Sidecar({"image": [Range(offset=3, length=4)]})}
    )
    expected = MultiModalData(mm_placeholders={"image": [PlaceholderRange(offset=3, length=4)]})
    assert held.multi_modal_data == expected


def test_struct_is_checked_again() -> None:
    where = PlaceholderRange(offset=0, length=1)
    where.length = 0
    with pytest.raises(ValidationError) as caught:
        Holder[PlaceholderRange](value=where)
    assert [(e["type"], e["loc"]) for e in caught.value.errors()] == [
        ("out_of_range", ("value", "length"))
    ]


def test_strict_mode_changes_nothing() -> None:
    assert Strict.model_validate({"sidecar": {}}).sidecar == MultiModalData()
    assert Strict.model_validate_json(b'{"sidecar": {}}').sidecar == MultiModalData()
    assert TypeAdapter(PlaceholderRange).validate_python(
        {"offset": 1, "length": 2}, strict=False
    ) == PlaceholderRange(offset=1, length=2)
    for strict in (True, False):
        with pytest.raises(ValidationError, match="wrong_type"):
            TypeAdapter(PlaceholderRange).validate_python(
                {"offset": "1", "length": 2}, strict=strict
            )


def test_assignment_is_validated_where_the_model_asks_for_it() -> None:
    model = Assigned.model_validate({"where": {"offset": 1, "length": 2}})
    model.where = {"offset": 5, "length": 6}  # type: ignore[assignment]
    assert model.where == PlaceholderRange(offset=5, length=6)
    with pytest.raises(ValidationError, match="out_of_range"):
        model.where = {"offset": 5, "length": 0}  # type: ignore[assignment]


def test_default_belongs_to_one_model_alone() -> None:
    first, second = Defaults(), Defaults()
    first.sidecar.mm_hashes["image"] = [HASH]
    assert second.sidecar == MultiModalData()


@pytest.mark.parametrize("other", [GenerateFeatures(mm_hashes={}, mm_placeholders={}), Node()])
def test_another_struct_is_not_read_as_this_one(other: object) -> None:
    with pytest.raises(ValidationError):
        Holder[MultiModalData](value=other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind", [GenerateFeatures | MultiModalData, MultiModalData | GenerateFeatures]
)
def test_union_keeps_the_class_of_an_instance(kind: Any) -> None:
    """Both would read the other's fields."""
    for value in (GenerateFeatures(mm_hashes={}, mm_placeholders={}), MultiModalData()):
        assert TypeAdapter(kind).validate_python(value) is value


def test_dict_beside_a_struct_is_the_struct_if_it_can_be() -> None:
    loose: TypeAdapter[Any] = TypeAdapter(MultiModalData | dict[str, Any] | None)
    assert loose.validate_python({"mm_hashes": {}}) == MultiModalData()
    assert loose.validate_python({"other": 1}) == {"other": 1}


def test_copies_and_pickles_of_models_are_equal() -> None:
    node = Node(
        multi_modal_data=MultiModalData(mm_hashes={"image": [HASH]}),
        message=AssistantMessage(content=None),
    )
    deep = copy.deepcopy(node)
    for again in (deep, copy.copy(node), pickle.loads(pickle.dumps(node))):
        assert again == node
    assert deep.multi_modal_data is not None
    deep.multi_modal_data.mm_hashes["image"].append(HASH)
    assert node.multi_modal_data == MultiModalData(mm_hashes={"image": [HASH]})
    assert node.model_copy(deep=True) == node


def test_dataclasses_of_pydantic_and_described_fields_work_too() -> None:
    @pydantic.dataclasses.dataclass
    class Held:
        where: PlaceholderRange = Field(description="where it is")

    assert Held(where={"offset": 1, "length": 2}).where == PlaceholderRange(offset=1, length=2)  # type: ignore[arg-type]


def test_importing_the_package_does_not_load_pydantic_and_a_model_needs_no_other_import() -> None:
    code = """
import sys
import rawmm
assert not any(name.split(".")[0].startswith("pydantic") for name in sys.modules)
from pydantic import BaseModel
class Node(BaseModel):
    multi_modal_data: rawmm.MultiModalData | None = None
assert Node.model_validate({"multi_modal_data": {}}).model_dump_json() == (
    '{"multi_modal_data":{"mm_hashes":{},"mm_placeholders":{},"mm_items":{}}}')
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_structs_have_no_part_of_pydantic_where_it_is_not_installed() -> None:
    code = """
import inspect
import sys
sys.modules["pydantic"] = sys.modules["pydantic_core"] = None
import rawmm
where = rawmm.PlaceholderRange(offset=0, length=1)
assert not hasattr(where, "__pydantic_serializer__")
assert ("offset", 0) in inspect.getmembers(where)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
