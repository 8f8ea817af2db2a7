"""``rawmm diff``: where the records of two files differ."""

from __future__ import annotations

import sys
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from rawmm.cli import output
from rawmm.cli.array_bytes import to_json
from rawmm.cli.inputs import Column, FilesFormat, find_inputs
from rawmm.cli.output import UsageError, console, counted
from rawmm.cli.records import STDIO, open_source
from rawmm.cli.report import located, location_of
from rawmm.cli.rewrite import decode_record
from rawmm.errors import RawMMError, json_path, printable, shown, shown_file
from rawmm.values.difference import MISSING, differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.cli.records import FileFormat, Input, Record, Source
    from rawmm.values.difference import Difference


def diff(
    old: Annotated[str, Parameter(name="A", help="A file, or bundle of one; - is standard input.")],
    new: Annotated[str, Parameter(name="B", help="Another file, of any format.")],
    /,
    *,
    every: Annotated[
        bool, Parameter(name="--all", negative=(), help="List all differences of each record.")
    ] = False,
    ignore: Annotated[
        list[str] | None,
        Parameter(negative=(), help="Name of a field to leave out, at any depth; may be repeated."),
    ] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Write one JSON object a difference.")
    ] = False,
    input_format_name: FilesFormat = None,
    column: Column = None,
) -> int:
    """List the first difference of each record of two files, as A:LINE::$.path: old became new.

    Records are compared in their order. Bytes of arrays in MessagePack equal their base64 in JSON,
    and packed streams differ from lists. Values are shortened, and images are not shown. The exit
    code is 1 if the files differ.
    """
    if old == new == STDIO:
        raise UsageError("only one of the files can be standard input")
    place = _Place()
    differing = records = 0
    try:
        with (
            open_source(_one_input(old, input_format_name, column)) as first,
            open_source(_one_input(new, input_format_name, column)) as second,
        ):
            pairs = zip_longest(place.records(first), place.records(second))
            for before, after in pairs:
                records += 1
                lines = _differences(before, after, set(ignore or ()))
                shown_ones = list(lines if every else islice(lines, 1))
                differing += bool(shown_ones)
                line = next(one[0].line for one in (before, after) if one is not None)
                for one in shown_ones:
                    text = (
                        _as_json(line, one)
                        if as_json
                        else f"{location_of(first.name, line)}::{one}"
                    )
                    sys.stdout.write(f"{text}\n")
    except RawMMError as error:
        fault = error
    else:
        output.info(f"{counted(differing, 'record')} of {records} differ{'s' * (differing == 1)}")
        return 1 if differing else 0
    sys.stdout.flush()
    console(for_errors=True).print(located(place.name, place.line, fault))
    return 1


def _one_input(path: str, form: FileFormat | None, column: str | None) -> Input:
    """The file that an argument names, or the one file of a folder, pattern or bundle.

    Raises:
        UsageError: there is none, or there are several.
    """
    first, *others = find_inputs(path, form, "--input-format", column)
    if others:
        files = counted(len(others) + 1, "file")
        raise UsageError(
            f"{shown_file(printable(path))}: has {files}, and diff compares two files; "
            f"name one, e.g. {first.input.name}"
        )
    return first.input


class _Place:
    """The file and record that is read."""

    name = ""
    line: int | None = None

    def records(self, source: Source) -> Iterator[tuple[Record, Any]]:
        """Each record and its value as JSON has it."""
        self.name, self.line = source.name, None
        for record in source.records(may_be_empty=True):
            self.name, self.line = source.name, record.line
            value = decode_record(record, source.form)
            yield record, to_json(value) if source.form == "msgpack" else value
            self.name, self.line = source.name, None


def _differences(
    before: tuple[Record, Any] | None, after: tuple[Record, Any] | None, ignore: set[str]
) -> Iterator[Difference]:
    """The differences of two records, of which one may be missing."""
    old = MISSING if before is None else before[1]
    new = MISSING if after is None else after[1]
    return (one for one in differences(old, new) if ignore.isdisjoint(map(str, one.path)))


def _as_json(line: int | None, one: Difference) -> str:
    sides = {
        name: None if value is MISSING else shown(value)
        for name, value in (("old", one.old), ("new", one.new))
    }
    return msgspec.json.encode({"line": line, "path": json_path(one.path)} | sides).decode()
