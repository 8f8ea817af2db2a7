"""Checks a batch of records, for pipelines that others run: Ray Data, Hugging Face datasets.

`check_batch` is a pure function: it reads nothing but its argument and changes nothing. It finds
what ``rawmm check`` finds without ``--image-dir``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.checks import RecordChecker, table_record
from rawmm.codec import convert, from_decoded
from rawmm.errors import (
    ContractError,
    RawMMError,
    contract_error,
    raise_alone,
    shown,
    shown_text,
    type_name,
)
from rawmm.model.kinds import schema_of
from rawmm.real_class import claims_another, is_a
from rawmm.validation import detect
from rawmm.values.plain import is_plain, to_plain
from rawmm.values.strict_json import decode_text, duplicate_keys, has_all_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BatchError", "check_batch", "error_columns"]


class BatchError(NamedTuple):
    """An error of a record in a batch. All fields are numbers and text, for any table.

    Attributes:
        row: the index of the record in its batch.
        code: the error's code, see `rawmm.errors.CODES`.
        path: where it is in the record, as ``$.nodes[3].mask``.
        expected: what the contract asks for.
        got: what is there, shortened. Never contains parts of an image.
        hint: what to do; empty if there is no hint.
    """

    row: int
    code: str
    path: str
    expected: str
    got: str
    hint: str


_TABLE: Final = "a table: columns of equal length by name"


def check_batch(
    table_or_records: object,
    type: Any = None,  # noqa: A002  (the name in `validate`)
    *,
    column: str | None = None,
) -> list[BatchError]:
    """Return every error of every record of a batch.

    Inline images are checked. Stored images are not looked for, as that is I/O.

    Args:
        table_or_records: a table, whose rows are records: a ``pyarrow.Table``, a
            ``pyarrow.RecordBatch``, a ``pandas.DataFrame`` or a mapping of columns, as Ray Data
            and Hugging Face datasets pass them. Or an iterable of records: dicts, structs, or
            JSON text; also a column of Arrow. Tables have the keys of all records in each record,
            with null where a record has none, so a null in a row of a table is not a key.
        type: the type of every record, e.g. ``rawmm.Trace``. Detected by default.
        column: the column of the table that holds the records, as JSON text or as structures. By
            default the columns are the fields of the records.

    Raises:
        ContractError: ``wrong_type`` for another batch, or one that cannot be read;
            ``count_mismatch`` for columns of unequal length; ``missing_field`` if the table has no
            such column.
        TypeError: `type` is not one of the contract.
    """
    if type is not None:
        schema_of(type)
    if column is not None and not is_a(column, str):
        raise contract_error(
            "wrong_type", ("column",), expected="the name of a column", got=shown(column)
        )
    return [
        BatchError(row, *(error.code, error.path, error.expected, error.got, error.hint or ""))
        for row, record in enumerate(_readable(_records(table_or_records, column)))
        for error in _errors(record, type)
    ]


def error_columns(errors: Sequence[BatchError]) -> dict[str, list[Any]]:
    """Return errors as columns by name, as functions that return a batch need them."""
    return {
        name: [error[index] for error in errors] for index, name in enumerate(BatchError._fields)
    }


def _errors(record: Any, kind: Any) -> Iterator[RawMMError]:
    try:
        yield from _findings(record, kind)
    except RawMMError as error:
        yield error.at(hint="give the type") if error.code == "unknown_type" else error


def _findings(record: Any, kind: Any) -> Iterator[RawMMError]:
    structs: Callable[[Any, Any], Any] = convert
    if is_a(record, (str, bytes, bytearray, memoryview)):
        text = str.__str__(record).encode("utf-8", "surrogatepass") if is_a(record, str) else record
        data = bytes(text)
        record, structs = decode_text(data), from_decoded
        if not has_all_keys(data, record):
            yield from duplicate_keys(data)
    elif not is_plain(record):
        with suppress(RawMMError):  # it may have arrays as streams, which only its type allows
            record = to_plain(record)
        if not is_plain(record) and kind is None:
            kind = detect(record)
    for found in RecordChecker(kind, None).findings(record, structs):
        if isinstance(found, RawMMError):
            yield found


def _readable(records: Iterator[Any]) -> Iterator[Any]:
    """The records of a batch, whose code may raise anything, with any text.

    Raises:
        ContractError: ``wrong_type``.
    """
    try:
        yield from records
    except RawMMError:
        raise
    except Exception as error:  # noqa: BLE001  (code of other libraries, and of the caller)
        got = f"{type_name(type(error))} while it was read"
        raise_alone(
            contract_error("wrong_type", (), expected=f"a list of records, or {_TABLE}", got=got)
        )


def _records(batch: Any, column: str | None) -> Iterator[Any]:
    """The records of a batch. See `check_batch`."""
    rows = None if claims_another(batch) else _rows(batch)
    if rows is None:
        if column is not None:
            raise contract_error("wrong_type", (), expected=_TABLE, got=shown(batch))
        if not is_a(batch, Iterable) or is_a(batch, (str, bytes, bytearray, memoryview)):
            raise contract_error(
                "wrong_type", (), expected=f"a list of records, or {_TABLE}", got=shown(batch)
            )
        is_column = hasattr(batch.__class__, "to_pylist")
        yield from map(table_record, _cells(batch)) if is_column else batch
        return
    for row in rows:
        if column is None:
            yield table_record(row)
        elif column in row:
            yield table_record(row[column])
        else:
            raise ContractError(
                "missing_field",
                expected=f"a column {shown_text(column)} in the table",
                got="columns of other names",
            )


def _rows(batch: Any) -> Any:
    """The rows of a table as dicts; None for what is not a table."""
    kind = batch.__class__
    if hasattr(kind, "to_pylist") and hasattr(kind, "column_names"):  # Arrow
        return batch.to_pylist()
    if hasattr(kind, "iterrows") and hasattr(kind, "to_dict"):  # pandas
        return batch.to_dict("records")
    if not is_a(batch, Mapping):
        return None
    columns = {name: _cells(values) for name, values in batch.items() if is_a(values, Iterable)}
    sizes = {len(values) for values in columns.values()}
    if len(columns) != len(batch) or len(sizes) > 1:
        raise contract_error(
            "count_mismatch", (), expected=_TABLE, got="columns of unequal length",
            hint="pass a single record in a list",
        )  # fmt: skip
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _cells(values: Any) -> list[Any]:
    """The cells of a column; those of Arrow as Python's objects."""
    cells: list[Any] = values.to_pylist() if hasattr(type(values), "to_pylist") else list(values)
    return cells
