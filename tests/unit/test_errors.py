"""Errors: one complete sentence per code, and no content of values in any."""

from __future__ import annotations

import base64
import json
import os
import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import (
    ContractError,
    MaterializeError,
    MessageNode,
    OffloadError,
    PlaceholderRange,
    ProcessedPayloadError,
    RawMMError,
    RawMMItem,
    Trace,
    decode_json,
    iter_errors,
)
from rawmm.errors import json_path, raise_alone, shown, shown_name, shown_path, shown_text
from tests.builders import item_document
from tests.canaries import ENCODINGS, IMAGE, leaked
from tests.cases import each, every

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = '{"message": {"role": "user", "content": "x"}'
ITEM = item_document(payload={})
SENTENCES: list[tuple[str, Any, Any, str]] = [
    (
        "malformed",
        '{"message": ',
        MessageNode,
        "$: expected one complete JSON document, got a document cut short after 12 bytes"
        " [malformed]",
    ),
    (
        "wrong_type",
        NODE + ', "token_ids": [1, 2.0]}',
        MessageNode,
        "$.token_ids[1]: expected an integer, got 2.0;"
        " write it without a fraction or exponent [wrong_type]",
    ),
    (
        "missing_field",
        '{"offset": 3}',
        PlaceholderRange,
        "$: expected the field 'length', got an object without it [missing_field]",
    ),
    (
        "unknown_field",
        '{"offset": 3, "length": 4, "size": 1}',
        PlaceholderRange,
        "$.size: expected only the fields offset, length, got 'size' [unknown_field]",
    ),
    (
        "unknown_tag",
        '{"message": {"role": "bot", "content": "x"}}',
        MessageNode,
        "$.message.role: expected role to be one of 'system', 'user', 'assistant', 'tool',"
        " got the string 'bot' [unknown_tag]",
    ),
    (
        "bad_value",
        NODE + ', "finish_reason": "eos"}',
        MessageNode,
        "$.finish_reason: expected 'stop' or 'length' or 'tool_calls', got 'eos' [bad_value]",
    ),
    (
        "bad_format",
        ITEM | {"family": "qwen vl"},
        RawMMItem,
        "$.family: expected a string that matches ^[A-Za-z0-9_.-]+$, got 'qwen vl' [bad_format]",
    ),
    (
        "out_of_range",
        '{"offset": -1, "length": 4}',
        PlaceholderRange,
        "$.offset: expected an integer from 0 to 9007199254740991, got -1 [out_of_range]",
    ),
    (
        "unsupported_version",
        ITEM | {"version": 2},
        RawMMItem,
        "$.version: expected version 1, the only one that this package knows, got 2;"
        " a newer writer needs a newer rawmm [unsupported_version]",
    ),
    (
        "processed_payload",
        ITEM | {"payload": {"vision": {"pixel_values": [0.5]}}},
        RawMMItem,
        "$.payload.vision.pixel_values: expected raw media only, got the key 'pixel_values'"
        " with an array of 1; keep the raw image and its locator; the processor runs in the"
        " engine and trainer [processed_payload]",
    ),
    (
        "array_payload",
        ITEM | {"payload": {"grid": {"__nd__": True}}},
        RawMMItem,
        "$.payload.grid: expected plain JSON values, got an encoded array (__nd__);"
        " a descriptor holds numbers as JSON lists, and never pixels [array_payload]",
    ),
    (
        "not_json",
        ITEM | {"payload": {"n": 2**53}},
        RawMMItem,
        "$.payload.n: expected an integer within +-(2^53-1), got 9007199254740992 [not_json]",
    ),
    (
        "locator_conflict",
        ITEM | {"raw_image_id": "a.png", "raw_image_uri": "file:///a.png"},
        RawMMItem,
        "$: expected at most one of raw_image_id and raw_image_uri, got both; the id names a"
        " file in the run's directory; the URI needs no directory [locator_conflict]",
    ),
    (
        "bad_locator",
        ITEM | {"raw_image_uri": "file://host/a.png"},
        RawMMItem,
        "$.raw_image_uri: expected a file:// URL with no host, or localhost,"
        " got 'file://host/a.png' [bad_locator]",
    ),
    (
        "path_escape",
        ITEM | {"raw_image_id": "../a.png"},
        RawMMItem,
        "$.raw_image_id: expected a plain file name in the image directory, got '../a.png'"
        " [path_escape]",
    ),
    (
        "parent_order",
        '{"nodes": [' + NODE + ', "parent": 4}]}',
        Trace,
        "$.nodes[0].parent: expected null in the root, got 4 [parent_order]",
    ),
    (
        "stream_length",
        NODE + ', "token_ids": [1, 2], "mask": [true]}',
        MessageNode,
        "$.mask: expected 2 flags, one per token, got 1; "
        "the stream is that of other tokens, or was cut [stream_length]",
    ),
]


@pytest.mark.parametrize(("code", "data", "kind", "sentence"), SENTENCES, ids=lambda p: str(p)[:20])
def test_each_code_has_its_sentence(code: str, data: Any, kind: Any, sentence: str) -> None:
    if isinstance(data, str) and code != "malformed":
        data = json.loads(data)
    text = data if code == "malformed" else json.dumps(data)
    with pytest.raises(RawMMError) as caught:
        decode_json(text, kind)
    assert caught.value.code == code
    assert str(caught.value) == sentence


def test_error_classes_have_the_builtin_of_their_mistake() -> None:
    assert issubclass(ContractError, ValueError)
    assert issubclass(ProcessedPayloadError, TypeError)
    assert issubclass(OffloadError, RuntimeError)
    assert issubclass(MaterializeError, RuntimeError)
    for kind in (ContractError, ProcessedPayloadError, OffloadError, MaterializeError):
        assert issubclass(kind, RawMMError)


def test_errors_survive_pickling() -> None:
    error = OffloadError("store_failed", "$.a", expected="x", got="y", hint="z")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is OffloadError
    assert (again.code, again.path, again.hint, str(again)) == (
        error.code,
        error.path,
        error.hint,
        str(error),
    )


def test_json_path_quotes_odd_keys_and_is_short() -> None:
    assert json_path(["nodes", 3, "a_b", "with space", 'q"', "é"]) == (
        '$.nodes[3].a_b["with space"]["q\\""]["\\u00e9"]'
    )
    assert len(json_path(["x" * 1000])) < 80


@pytest.mark.parametrize("head", ["data:image/png;base64,", "DATA:,", "data:"])
def test_path_shows_only_the_head_of_a_data_url(head: str) -> None:
    path = json_path(["info", f"{head}iVBORw0KGgo{SECRET}"])
    assert path.startswith(f'$.info["{head[:5]}')
    assert "iVBOR" not in path


SECRET = base64.b64encode(os.urandom(300)).decode()


@pytest.mark.parametrize(
    "document",
    [
        {**ITEM, "family": SECRET},
        {**ITEM, "payload": {SECRET: {"pixel_values": SECRET}}},
        {**ITEM, "payload": {"pixel_values": SECRET}},
        {**ITEM, "raw_image_uri": f"data:text/plain;base64,{SECRET}"},
        {**ITEM, "raw_image_id": SECRET},
        {**ITEM, SECRET: 1},
        {**ITEM, "version": SECRET},
        {**ITEM, "kind": SECRET[:60]},
        {**ITEM, "modality": [SECRET]},
        {**ITEM, "payload": SECRET},
        {**ITEM, "payload": {"a": base64.b64decode(SECRET)}},
        {SECRET: SECRET},
    ],
)
def test_messages_contain_no_base64(document: Any) -> None:
    errors = list(iter_errors(document, RawMMItem))
    assert errors
    for error in errors:
        text = f"{error} {error!r} {error.args} {error.path}"
        for start in range(0, len(SECRET) - 24, 8):
            assert SECRET[start : start + 24] not in text
        assert len(str(error)) < 600


@each(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (10**400, "an integer too large"),
        (10**70, "1" + "0" * 15 + "…"),
        (-(2**53), "-9007199254740992"),
        (12345678901234567, "1234567890123456…"),
        (2.5e-300, "2.5e-300"),
        (1.7976931348623157e308, "1.79769313e+308"),
        ("a word " * 30, "'" + ("a word " * 30)[:63] + "…' (210 characters)"),
        ("0123456789abcdef" * 4 + ".png", "'0123456789abcdef…' (68 characters)"),
        (
            "/run/images/" + "0123456789abcdef" * 4,
            "'/run/images/0123456789abcdef…' (76 characters)",
        ),
        ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", "'3f2504e0…' (36 characters)"),
        ("data:image/png;base64,iVBORw0KGgo=", "'data:image/png;base64,' (34 characters)"),
        (
            "data:image/png;charset=utf-8;base64,x",
            "'data:image/png;charset=utf-8;base64,' (37 characters)",
        ),
        ("data:iVBORw0KGgoAAAANSUhEUgAAA,x", "a data URL (32 characters)"),
        ("data:image/iVBORw0KGgoAAAANSUhEUgAAA,x", "a data URL (38 characters)"),
        ("data:image/png;iVBORw0KGgoAAAANSUhEUgAAA,x", "a data URL (42 characters)"),
        (b"a", "1 byte"),
        (b"abc", "3 bytes"),
        ({b"iVBORw0KGgoAAAANSUhEUgAAA": 1, 7: 2}, "an object with 25 bytes, 7"),
        ({"iVBORw0KGgoAAAANSUhEUgAAA": 1}, "an object with iVBORw0K…"),
        ({"iVBORw": 1, "0KGgoA": 1, "AAANSU": 1, "hEUgAA": 1}, "an object with iVBORw, …"),
        ([1, 2], "an array of 2"),
        ({}, "{}"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "an object with a, b, c, d, …"),
        ({1, 2}, "a set"),
    ],
)
def test_values_are_shown_in_short(value: Any, text: str) -> None:
    assert shown(value) == text


READABLE = [
    "mm_token_type_id_map",
    "finish_reason_for_the_last_token_of_the_turn",
    "camelCaseFieldName",
    "VF_RENDERER_IMAGE_OFFLOAD_DIR",
    "Qwen/Qwen2.5-VL-7B-Instruct",
    "PIL.PngImagePlugin.PngImageFile",
    "tests.unit.test_errors.<locals>.Thing",
    "https://example.com/a/b.png",
    "http://10.0.0.1:8080/v1/generate",
    "s3://bucket/run-12/image.png",
    "/data/outputs/run_7/assets/images",
    "What is in the picture?",
    "is it a cat or a dog on a mat",
    "这是一张图片的说明文字",
    "^[A-Za-z0-9_.-]+$",
]


@pytest.mark.parametrize("text", READABLE)
def test_names_paths_and_sentences_are_shown_in_full(text: str) -> None:
    assert shown(text) == repr(text)
    assert shown_name(text) == text
    assert shown_path(text) == repr(text)
    path = json_path([text])
    assert path == f"$.{text}" or json.loads(path[2:-1]) == text


@pytest.mark.parametrize("name", ["2026-11-27T12-00-00", "20261127_120000", "2026-11-27"])
def test_directory_named_by_a_time_is_shown_in_full(name: str) -> None:
    assert shown_path(f"/home/anna/runs/{name}/images") == f"'/home/anna/runs/{name}/images'"


def test_long_directory_is_shown_in_full() -> None:
    directory = "/data/" + "outputs/images/" * 10
    assert shown_path(directory) == repr(directory)
    assert len(shown_text(directory)) < 100


SEPARATORS = ["", ".", "-", "\n", "\r\n", " ", "\\", "/", "_", ",", ":"]


@every(3)
@each("separator", SEPARATORS, ids=repr)
@each("encoding", ENCODINGS)
def test_no_encoding_of_an_image_is_shown(encoding: str, separator: str, step: int) -> None:
    """Starting at any byte, in pieces of any size, with or without words before it.

    Each encoding starts at each of six bytes, or at one of `step`, with the next separator at the
    next ones.
    """
    for start in (0, 1, 2, 8, 33, 90)[SEPARATORS.index(separator) % step :: step]:
        text = ENCODINGS[encoding](IMAGE[start:])
        for size in (1, 2, 3, 4, 6, 8, 12, 16, 30) if separator else (len(text),):
            cut = separator.join(text[at : at + size] for at in range(0, len(text), size))
            for before in ("", "the image is ", "/data/images/"):
                for text_shown in (shown_text(before + cut), json_path([before + cut])):
                    assert not leaked(text_shown), (before + cut, text_shown)
                    assert len(text_shown) < 120


def test_image_spread_over_keys_is_not_shown() -> None:
    text = ENCODINGS["base64"](IMAGE)
    for size in (4, 8, 12, 16):
        pieces = [text[at : at + size] for at in range(0, 4 * size, size)]
        assert not leaked(shown(dict.fromkeys(pieces)))


def test_raise_alone_leaves_no_exception_in_the_chain() -> None:
    def fails() -> None:
        try:
            int("no number")
        except ValueError:
            raise_alone(ContractError("bad_value", expected="x", got="y"))

    with pytest.raises(ContractError) as caught:
        fails()
    assert caught.value.__cause__ is caught.value.__context__ is None
    with pytest.raises(ContractError) as caught, converting():
        int("no number")
    assert caught.value.__cause__ is caught.value.__context__ is None


@contextmanager
def converting() -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise_alone(ContractError("bad_value", expected="x", got="y"))
