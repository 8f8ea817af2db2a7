"""``rawmm convert``: writes records for readers of another version, or in another format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from rawmm.checks import CHAT_REQUEST, detect_type
from rawmm.cli import output as terminal
from rawmm.cli.foreign import type_hint
from rawmm.cli.output import UsageError, counted
from rawmm.cli.record_types import named_type
from rawmm.cli.rewrite import (
    Column,
    Durable,
    InputFormat,
    InputName,
    OutputFormat,
    OutputName,
    RecordType,
    Rewrite,
    check_output,
)
from rawmm.cli.schema_version import named_version
from rawmm.codec import decode_msgpack, encode_json, from_decoded, to_builtins
from rawmm.errors import RawMMError, contract_error

if TYPE_CHECKING:
    from rawmm.cli.records import Format


def convert(
    source: InputName,
    /,
    *,
    output: OutputName,
    to: Annotated[
        str | None,
        Parameter(
            help="Version of the contract of the programs that will read OUT, such as 1.0. By "
            "default the version of this package."
        ),
    ] = None,
    packed: Annotated[
        bool | None,
        Parameter(
            negative="--lists",
            help="Write per-token streams packed, or as lists. By default each keeps its form, if "
            "the version has it.",
        ),
    ] = None,
    type_name: RecordType = None,
    form: InputFormat = None,
    output_format: OutputFormat = None,
    column: Column = None,
    durable: Durable = True,
) -> int:
    """Write records for readers of another version of the contract, or in another format.

    Every record is checked. Nothing is dropped: a value for which the version has no place is an
    error, except in open objects, whose readers keep what they do not know. To convert records
    from wire forms before the contract, use rawmm upgrade.
    """
    check_output(source, output, output_format)
    version = named_version(to, "--to")
    kind = None if type_name is None else named_type(type_name)
    if kind is CHAT_REQUEST:
        raise UsageError(f"a {CHAT_REQUEST} is not a type of the contract")
    with Rewrite(source, form, "convert", column) as run:

        def converted(plain: Any) -> Any:
            value = _decoded(run, plain, kind)
            return _in_version(value, run.source.form, version, packed=packed)

        failure = run.write(output, output_format, converted, durable=durable)
    if failure is not None:
        return run.failed(failure)
    terminal.info(f"{counted(run.records, 'record')} for contract {version}")
    return 0


def _decoded(run: Rewrite, plain: Any, kind: Any) -> Any:
    """The current record as structs.

    Raises:
        RawMMError: it breaks the contract.
    """
    if kind is None:
        try:
            kind = detect_type(plain)
        except RawMMError as error:
            raise error.at(hint=type_hint(plain)) from None
        if kind is CHAT_REQUEST:
            raise contract_error(
                "unknown_type",
                (),
                expected="a type of the contract",
                got="a chat request",
                hint="it has no version",
            )
    if run.source.form == "msgpack" and run.record is not None:
        # Its plain data has dates and extension types where the structs have others.
        return decode_msgpack(run.record.data, kind)
    return from_decoded(plain, kind)


def _in_version(value: Any, form: Format, version: str, *, packed: bool | None) -> Any:
    """Structs as plain data for a format."""
    if form == "msgpack":
        return to_builtins(value, packed=packed, version=version)
    return msgspec.json.decode(encode_json(value, packed=packed, version=version))
