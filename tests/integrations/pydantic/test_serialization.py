"""Dumps of models: their content, and the values they refuse."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

import rawmm
from rawmm import (
    AssistantMessage,
    EncodedArray,
    MultiModalData,
    PlaceholderRange,
    RawMMError,
    Trace,
    UserMessage,
)

Mode = Literal["python", "json"]
MODES: list[Mode] = ["python", "json"]


class Held(BaseModel):
    sidecar: rawmm.MultiModalData | None = None
    message: rawmm.Message | None = None
    array: rawmm.EncodedArray | None = None
    trace: rawmm.Trace | None = None
    anything: Any = None


@pytest.mark.parametrize("mode", MODES)
class TestRefused:
    def check(self, held: Held, mode: Mode, code: str, path: str) -> None:
        with pytest.raises(PydanticSerializationError) as caught:
            held.model_dump(mode=mode)
        cause = caught.value.__cause__
        assert isinstance(cause, RawMMError)
        assert (cause.code, cause.path) == (code, path)

    def test_changed_field_is_refused(self, mode: Mode) -> None:
        held = Held(sidecar=MultiModalData())
        assert held.sidecar is not None
        held.sidecar.mm_hashes["image"] = ["not a hash"]
        self.check(held, mode, "bad_format", "$.mm_hashes.image[0]")

    def test_member_of_a_union_that_was_changed(self, mode: Mode) -> None:
        """pydantic keeps silent about errors inside unions, and asks the value itself."""
        held = Held(message=UserMessage(content="x"))
        assert isinstance(held.message, UserMessage)
        held.message.content = 3  # type: ignore[assignment]
        self.check(held, mode, "wrong_type", "$.content")

    def test_struct_in_a_field_of_any_type(self, mode: Mode) -> None:
        where = PlaceholderRange(offset=0, length=1)
        held = Held(anything=[where])
        where.offset = -1
        self.check(held, mode, "out_of_range", "$.offset")

    def test_pixels_put_where_a_struct_was(self, mode: Mode) -> None:
        held = Held()
        held.sidecar = {"mm_items": {"image": [{"pixel_values": np.zeros(2)}]}}  # type: ignore[assignment]
        self.check(held, mode, "processed_payload", "$.mm_items.image[0].pixel_values")


@pytest.mark.parametrize("mode", MODES)
def test_dict_put_where_a_struct_was_is_dumped_as_the_struct(mode: Mode) -> None:
    held = Held()
    held.sidecar = {"mm_hashes": {}}  # type: ignore[assignment]
    assert held.model_dump(mode=mode)["sidecar"] == rawmm.to_builtins(MultiModalData())


@pytest.mark.parametrize("mode", MODES)
def test_struct_of_another_class_is_dumped_as_what_it_is_with_pydantics_warning(
    mode: Mode,
) -> None:
    held = Held()
    held.sidecar = PlaceholderRange(offset=1, length=2)  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="Expected `MultiModalData` but got `PlaceholderRange`"):
        assert held.model_dump(mode=mode)["sidecar"] == {"offset": 1, "length": 2}


def test_bytes_stay_bytes_and_are_base64_in_json() -> None:
    array = EncodedArray(dtype="uint8", shape=[3], data=b"abc")
    assert Held(array=array).model_dump()["array"]["data"] == b"abc"
    assert Held(array=array).model_dump(mode="json")["array"]["data"] == "YWJj"
    assert '"data":"YWJj"' in Held(array=array).model_dump_json()


def test_absent_stays_absent_and_null_stays_null() -> None:
    held = Held(message=AssistantMessage(content=None))
    written = {"role": "assistant", "content": None}
    assert held.model_dump()["message"] == written
    for options in ({"exclude_none": True}, {"exclude_defaults": True}, {"exclude_unset": True}):
        assert held.model_dump(**options) == {"message": written}  # type: ignore[arg-type]
        assert held.model_dump_json(**options) == '{"message":{"role":"assistant","content":null}}'  # type: ignore[arg-type]


def test_fields_that_the_contract_does_not_know_are_kept_in_a_trace() -> None:
    document = {"nodes": [], "future": {"deep": [1, None]}}
    held = Held.model_validate({"trace": document})
    assert held.model_dump()["trace"] == document
    assert held.model_dump(mode="json")["trace"] == document


def test_value_that_only_messagepack_can_encode_is_refused_in_json() -> None:
    held = Held(trace=rawmm.convert({"nodes": [], "future": b"raw"}, Trace))
    assert held.model_dump()["trace"]["future"] == b"raw"
    with pytest.raises(PydanticSerializationError, match=r"\$\.future"):
        held.model_dump(mode="json")


def test_field_of_any_type_dumps_the_structs_in_it() -> None:
    where = PlaceholderRange(offset=1, length=2)
    held = Held(anything={"deep": [where]})
    assert held.model_dump()["anything"] == {"deep": [{"offset": 1, "length": 2}]}
    assert to_jsonable_python([where]) == [{"offset": 1, "length": 2}]
    assert to_json(where) == b'{"offset":1,"length":2}'
