"""Batches of records, as tables and as lists, are checked as files are."""

from __future__ import annotations

import json
import traceback
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

import rawmm
from rawmm import ContractError, MessageNode, RawMMError, Trace, schemas
from rawmm.batch import BatchError, check_batch, error_columns
from rawmm.cli.commands.check import Checker
from rawmm.cli.records import Record
from rawmm.model.types import TYPES
from rawmm.values.strict_json import has_all_keys
from tests.unit.images.pictures import data_url, part, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VECTORS = schemas.conformance_vectors()
NODE = {"message": {"role": "user", "content": "hi"}, "token_ids": [1, 2], "mask": [False, False]}
BROKEN = {"nodes": [{**NODE, "mask": [False]}]}


def of_command(text: str, kind: Any) -> list[tuple[str, str]]:
    found = Checker(kind, None).findings(Record(text.encode(), 1), "json")
    return [(error.code, error.path) for error in found if isinstance(error, RawMMError)]


def decoded(text: str) -> Any:
    """A document as an object; as its text if it is malformed, or a string."""
    with suppress(msgspec.DecodeError, RecursionError):
        value = msgspec.json.decode(text)
        return text if isinstance(value, str) or not has_all_keys(text.encode(), value) else value
    return text


def found_in(batch: object, kind: Any = None, **options: Any) -> list[tuple[int, str, str]]:
    return [(error.row, error.code, error.path) for error in check_batch(batch, kind, **options)]


@pytest.mark.parametrize("as_text", [False, True])
def test_errors_are_those_of_the_command(*, as_text: bool) -> None:
    for vector in VECTORS:
        text, kind = vector["document"], TYPES[vector["type"]]
        record = text if as_text else decoded(text)
        expected = [(0, *error) for error in of_command(text, kind)]
        assert found_in([record], kind) == expected, vector["case"]


def test_rows_of_several_records_keep_their_index() -> None:
    batch = [{"nodes": [NODE]}, BROKEN, {"nodes": 7}]
    assert found_in(iter(batch)) == [
        (1, "stream_length", "$.nodes[0].mask"),
        (2, "wrong_type", "$.nodes"),
    ]
    assert found_in([]) == []


def test_columns_of_arrow_are_records_and_cells() -> None:
    pa = pytest.importorskip("pyarrow")
    expected = [(1, "stream_length", "$.nodes[0].mask")]
    records = [{"nodes": [NODE], "id": "a"}, BROKEN]
    for values in (records, [json.dumps(one) for one in records]):
        column = pa.array(values)
        for batch in (column, pa.chunked_array([column[:1], column[1:]])):
            assert found_in(batch) == expected
            assert found_in({"record": batch}, column="record") == expected


class Hostile(dict[str, Any]):
    """Raises an error that quotes an image wherever it is read."""

    def items(self) -> Any:
        raise ValueError("CANARY")


class HostileTable:
    column_names = ("text",)

    def to_pylist(self) -> Any:
        raise ValueError("CANARY")


def hostile_records() -> Iterator[Any]:
    yield {"nodes": []}
    raise ValueError("CANARY")


class RowsOfNumbers(HostileTable):
    def to_pylist(self) -> Any:
        return [7, None]


@pytest.mark.parametrize(
    "make", [partial(Hostile, a=[1]), HostileTable, hostile_records, RowsOfNumbers]
)
def test_batch_that_cannot_be_read_is_refused_without_its_text(make: Callable[[], Any]) -> None:
    with pytest.raises(ContractError) as caught:
        check_batch(make(), column=None if make is hostile_records else "a")
    assert caught.value.code == "wrong_type"
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


def test_name_of_a_column_is_text() -> None:
    with pytest.raises(ContractError) as caught:
        check_batch({"text": []}, column=1)
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$.column")


def test_input_is_unchanged_and_structs_are_records() -> None:
    batch = [json.loads(json.dumps(BROKEN)), rawmm.convert({"nodes": [NODE]}, Trace)]
    check_batch(batch)
    assert batch[0] == BROKEN


def test_duplicate_keys_and_malformed_text_are_errors() -> None:
    batch = ['{"nodes": [], "nodes": []}', b'{"nodes": [', '{"nodes": []}', bytearray(b"7")]
    assert [(row, code) for row, code, _ in found_in(batch)] == [
        (0, "duplicate_key"), (1, "malformed"), (3, "unknown_type"),
    ]  # fmt: skip


def test_inline_image_is_checked_in_requests_and_records() -> None:
    good, bad = part(data_url(picture())), part("data:image/png;base64,AAAA")
    requests: list[Any] = [
        {"messages": [{"role": "user", "content": [one]}]} for one in (good, bad)
    ]
    assert [(row, code) for row, code, _ in found_in(requests)] == [(1, "not_an_image")]
    traces = [{"nodes": [{"message": request["messages"][0]}]} for request in requests]
    assert [(row, code) for row, code, _ in found_in(traces)] == [(1, "not_an_image")]


def filled(records: list[Any]) -> list[Any]:
    """Records as a table gives them: each object has the keys of all, with null for absent ones."""
    objects = [one for one in records if isinstance(one, dict)]
    if not objects:
        lists = [each for one in records if isinstance(one, list) for each in one]
        if not any(isinstance(each, dict | list) for each in lists):
            return records
        flat = iter(filled(lists))
        return [[next(flat) for _ in one] if isinstance(one, list) else one for one in records]
    keys = dict.fromkeys(key for one in objects for key in one)
    columns = {key: filled([one.get(key) for one in objects]) for key in keys}
    rows = iter(
        [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    )
    return [next(rows) if isinstance(one, dict) else one for one in records]


def test_null_that_a_table_adds_is_no_key() -> None:
    traces = [
        json.loads(v["document"]) for v in VECTORS if v["type"] == "Trace" and "code" not in v
    ]
    rows = filled(traces)
    assert rows != traces
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert check_batch(columns, Trace) == check_batch(traces, Trace)
    assert len(check_batch(rows, Trace)) > len(check_batch(traces, Trace))


TABLES: dict[str, Callable[[list[Any]], Any]] = {
    "lists": lambda values: values,
    "tuple": tuple,
    "numpy": lambda values: np.array([*values, None], dtype=object)[:-1],
}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_columns_are_fields_or_hold_whole_records(make: Callable[[list[Any]], Any]) -> None:
    nodes = [[NODE], [{**NODE, "mask": [False]}]]
    expected = [(1, "stream_length", "$.nodes[0].mask")]
    assert found_in({"nodes": make(nodes)}) == expected
    table = {"id": make([1, 2]), "record": make([{"nodes": one} for one in nodes])}
    assert found_in(table, Trace, column="record") == expected
    table["record"] = make([json.dumps({"nodes": one}) for one in nodes])
    assert found_in(table, column="record") == expected


def test_numpy_columns_hold_numbers_and_arrays() -> None:
    columns = {
        "message": np.array([NODE["message"]] * 2, dtype=object),
        "parent": np.array([0, 1]),
        "sampled": np.array([True, False]),
        "token_ids": np.array([[1, 2], [3, 4]]),
        "mask": np.array([[False, False], [False, False]]),
    }
    assert found_in(columns, MessageNode) == []
    columns["mask"] = np.array([[False], [False]])
    assert [code for _, code, _ in found_in(columns, MessageNode)] == ["stream_length"] * 2


def test_stream_that_is_an_array_is_checked_in_a_record() -> None:
    node = {**NODE, "token_ids": np.array([1, 2], dtype="int32")}
    assert found_in([{"nodes": [node]}]) == []
    assert found_in([{"nodes": [{**node, "mask": [True]}]}]) != []
    assert [code for _, code, _ in found_in([{"nodes": [NODE], "x": object()}])] == ["not_json"]


@pytest.mark.parametrize(
    ("batch", "options", "code"),
    [
        ("text", {}, "wrong_type"),
        (7, {}, "wrong_type"),
        (None, {}, "wrong_type"),
        ({"nodes": 1}, {}, "count_mismatch"),
        ({"nodes": [1, 2], "id": [1]}, {}, "count_mismatch"),
        ([{}], {"column": "a"}, "wrong_type"),
        ({"b": [1]}, {"column": "a"}, "missing_field"),
    ],
)
def test_other_batch_is_refused(batch: Any, options: Any, code: str) -> None:
    with pytest.raises(RawMMError) as caught:
        check_batch(batch, **options)
    assert caught.value.code == code


def test_error_columns_have_one_name_for_each_field() -> None:
    errors = check_batch([BROKEN, 7])
    columns = error_columns(errors)
    assert tuple(columns) == BatchError._fields
    assert [BatchError(*row) for row in zip(*columns.values(), strict=True)] == errors
    assert error_columns([]) == {name: [] for name in BatchError._fields}
