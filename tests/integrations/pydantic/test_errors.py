"""pydantic's errors have rawmm's code and path, and no part of the data."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import rawmm
from rawmm import RawMMError, convert, iter_errors
from rawmm.errors import CODES, json_path
from rawmm.model.types import PROCESSED_KEYS, TYPES
from rawmm.testing import strategies
from tests.builders import item_document
from tests.integrations.pydantic.models import KINDS, NAMES, box
from tests.property import oracle

ITEM = item_document()


class Node(BaseModel):
    multi_modal_data: rawmm.MultiModalData | None = None
    message: rawmm.Message | None = None
    parts: list[rawmm.MessagePart] = []


def errors_of(model: type[BaseModel], data: Any) -> list[dict[str, Any]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    return [dict(error) for error in caught.value.errors()]


def test_loc_continues_inside_the_value() -> None:
    assert errors_of(
        Node,
        {
            "parts": [{"type": "text", "text": "a"}],
            "multi_modal_data": {"mm_hashes": {"image": ["x"]}},
        },
    ) == [
        {
            "type": "bad_format",
            "loc": ("multi_modal_data", "mm_hashes", "image", 0),
            "msg": "expected a string that matches ^[0-9a-f]{16,128}$, got 'x'",
            "input": "'x'",
        }
    ]


def test_every_error_is_named() -> None:
    found = errors_of(
        Node,
        {"multi_modal_data": {"mm_hashes": {"image": ["x", 3]}, "new": 1, "mm_items": []}},
    )
    assert [(error["type"], error["loc"][1:]) for error in found] == [
        ("bad_format", ("mm_hashes", "image", 0)),
        ("wrong_type", ("mm_hashes", "image", 1)),
        ("unknown_field", ("new",)),
        ("wrong_type", ("mm_items",)),
    ]


def test_rules_between_fields_are_named() -> None:
    found = errors_of(
        Node,
        {
            "multi_modal_data": {
                "mm_hashes": {"image": []},
                "mm_placeholders": {"image": [{"offset": 0, "length": 1}]},
            }
        },
    )
    assert {error["type"] for error in found} == {"count_mismatch"}


def test_pixels_are_a_validation_error_too() -> None:
    """Ours is a TypeError, which pydantic would let through as it is."""
    pixels = np.full((2, 2), 7.25)
    [error] = errors_of(
        Node, {"multi_modal_data": {"mm_items": {"image": [{"pixel_values": pixels}]}}}
    )
    assert error["type"] == "processed_payload"
    assert error["loc"] == ("multi_modal_data", "mm_items", "image", 0, "pixel_values")


def test_tagged_value_is_checked_against_its_own_member() -> None:
    found = errors_of(Node, {"message": {"role": "user", "content": 3, "more": 1}})
    assert [(error["loc"][1:], error["type"]) for error in found] == [
        (("SystemMessage", "role"), "bad_value"),
        (("UserMessage", "content"), "wrong_type"),
        (("UserMessage", "more"), "unknown_field"),
        (("AssistantMessage", "role"), "bad_value"),
        (("ToolMessage", "role"), "bad_value"),
    ]


SECRET = base64.b64encode(bytes(range(256)) * 4).decode()
SPOILED = {
    "a url with a wrong neighbour": {
        "parts": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{SECRET}", "x": SECRET}}]
    },
    "base64 where a name belongs": {"multi_modal_data": {"mm_items": {"image": [{"kind": SECRET, "payload": {SECRET: SECRET}}]}}},
    "base64 as a key": {"multi_modal_data": {"mm_hashes": {SECRET: SECRET}, SECRET: {}}},
    "bytes": {"multi_modal_data": {"mm_hashes": {"image": [SECRET.encode()]}}},
    "the whole value": {"multi_modal_data": f"data:image/png;base64,{SECRET}", "message": SECRET},
    "a bad tag": {"message": {"role": SECRET, "content": SECRET}},
}  # fmt: skip


@pytest.mark.parametrize("data", SPOILED.values(), ids=SPOILED)
def test_error_shows_no_part_of_an_image(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Node.model_validate(data)
    told = f"{caught.value}{caught.value!r}{caught.value.errors()}{caught.value.json()}"
    pieces = {SECRET[at : at + 12] for at in range(0, len(SECRET) - 12, 4)}
    assert not [piece for piece in pieces if piece in told]


ODD_KEYS = ["", "0", "a.b", "[0]", 'a"]', "a\\", "\n", "é", " ", "\U0001d4b3", "a'b", '"', "]["]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_unchanged_in_loc(key: str) -> None:
    [error] = errors_of(
        box("RawMMItem"), {"value": {**ITEM, "payload": {key: {"image_embeds": 1}}}}
    )
    assert error["loc"] == ("value", "payload", key, "image_embeds")


@given(st.text(max_size=64).filter(lambda key: key not in PROCESSED_KEYS | {"__nd__"}))
def test_hidden_keys_are_shown_in_loc_as_in_messages(key: str) -> None:
    [error] = errors_of(
        box("RawMMItem"), {"value": {**ITEM, "payload": {key: [{"image_embeds": 1}]}}}
    )
    path = json_path([key])
    shown = json.loads(path[2:-1]) if path.startswith("$[") else key
    assert error["loc"] == ("value", "payload", shown, 0, "image_embeds")


SURROGATE = "a\ud800"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MultiModalData", {SURROGATE: 1}),
        ("MultiModalData", {"mm_hashes": {SURROGATE: [SURROGATE]}}),
        ("RawMMItem", {**ITEM, "modality": SURROGATE}),
        ("RawMMItem", {**ITEM, "payload": {SURROGATE: {"image_embeds": SURROGATE}}}),
    ],
)
def test_lone_surrogates_break_no_message(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        box(name).model_validate({"value": value})
    assert {"not_json"} <= {error["type"] for error in caught.value.errors()} <= set(CODES)
    assert SURROGATE not in f"{caught.value}{caught.value.errors()}"
    assert caught.value.json()


def refused(value: Any, name: str) -> list[RawMMError]:
    """The errors of `convert` and `iter_errors`."""
    try:
        convert(value, KINDS[name])
    except RawMMError as error:
        return list(iter_errors(value, KINDS[name])) or [error]
    return []


@pytest.mark.parametrize("name", NAMES)
class TestSameVerdict:
    @given(st.data())
    def test_data_gets_the_same_verdict(self, name: str, data: st.DataObject) -> None:
        document = data.draw(strategies.mutated(name))
        expected = refused(document, name)
        try:
            box(name).model_validate({"value": document})
        except ValidationError as error:
            assert expected
            if name in TYPES:
                self.check_lines(error, expected)
        else:
            assert not expected

    def check_lines(self, error: ValidationError, expected: list[RawMMError]) -> None:
        lines = [(line["type"], line["msg"], line["input"]) for line in error.errors()]
        told = [(one.code, one.message, one.got) for one in expected]
        of_tag = [
            (one.code, one.message, one.got) for one in expected if one.path in {"$.role", "$.type"}
        ]
        assert lines in (told, of_tag)

    @given(st.data())
    def test_json_text_gets_the_same_verdict(self, name: str, data: st.DataObject) -> None:
        text = data.draw(strategies.lexemes(name))
        try:
            document = oracle.strict_parse(text)
        except oracle.DuplicateKeyError:
            return
        except oracle.NotStrictJsonError:
            # pydantic's parser reads NaN, and 1e400 as infinity: see the next test.
            return
        wrapped = json.dumps({"value": document}).encode()
        try:
            box(name).model_validate_json(wrapped)
        except ValidationError:
            assert refused(document, name)
        else:
            assert not refused(document, name)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_numbers_that_json_has_not_are_refused(number: str) -> None:
    text = json.dumps({"value": {**ITEM, "payload": {"x": 0}}}).replace('"x": 0', f'"x": {number}')
    with pytest.raises(ValidationError, match="not_json"):
        box("RawMMItem").model_validate_json(text)
