"""Checks of scalars against their schemas: null, booleans, numbers, strings."""

from __future__ import annotations

import re
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import RawMMError, contract_error, shown, shown_text
from rawmm.real_class import is_a
from rawmm.values.errors import NEWER_WRITER, inexact_number, lone_surrogate, not_finite
from rawmm.values.plain import holds_exactly
from rawmm.values.views import as_mapping, is_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rawmm.errors import Path

    Schema = Mapping[str, Any]

NAMES = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "array": "an array",
    "object": "an object",
    "packed": "a packed stream, marked __nd__",
}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def wrong_type(value: Any, kind: str, path: Path, hint: str | None = None) -> RawMMError:
    """The error of a value that does not have the JSON type `kind`."""
    return contract_error("wrong_type", path, expected=NAMES[kind], got=typed(value), hint=hint)


def typed(value: Any) -> str:
    """A value for the ``got`` of a ``wrong_type`` error."""
    if as_mapping(value) is not None and type(value) is not dict:
        return shown(dict(as_mapping(value) or {}))
    return f"the string {shown(value)}" if is_a(value, str) else shown(value)


def _null(value: Any, _: Schema, path: Path) -> Iterator[RawMMError]:
    if value is not None:
        yield wrong_type(value, "null", path)


def _const(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    allowed = schema.get("enum", [schema.get("const")])
    if any(value == one and is_a(value, bool) == is_a(one, bool) for one in allowed):
        return
    code = schema.get("x-rawmm-code", "bad_value")
    expected = " or ".join(shown(one) for one in allowed)
    hint = None
    if code == "unsupported_version":
        expected = f"version {expected}, the only one that this package knows"
        hint = NEWER_WRITER
    yield contract_error(code, path, expected=expected, got=shown(value), hint=hint)


def _boolean(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    if not is_a(value, bool):
        yield wrong_type(value, "boolean", path)
    elif "const" in schema:
        yield from _const(value, schema, path)


def _integer(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    if is_a(value, float):
        hint = "write it without a fraction or exponent" if value == value // 1 else None
        yield wrong_type(value, "integer", path, hint)
    elif is_a(value, bool) or not is_a(value, int):
        yield wrong_type(value, "integer", path)
    elif "const" in schema:
        yield from _const(value, schema, path)
    elif not schema["minimum"] <= value <= schema["maximum"]:
        yield contract_error(
            "out_of_range",
            path,
            expected=f"an integer from {schema['minimum']} to {schema['maximum']}",
            got=shown(value),
        )


def _number(value: Any, _: Schema, path: Path) -> Iterator[RawMMError]:
    if is_a(value, bool) or not is_a(value, (int, float)):
        yield wrong_type(value, "number", path)
    elif is_a(value, float):
        if not isfinite(value):
            yield not_finite(value, path)
    elif not holds_exactly(value):
        yield inexact_number(value, path)


_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def is_base64(text: str) -> bool:
    """Whether `text` is strict base64. A regular expression would need 40 bytes per character."""
    if len(text) % 4 or not text.isascii():
        return False
    body = text.rstrip("=")
    return len(text) - len(body) <= 2 and not body.encode().translate(None, _BASE64)


def _string(value: Any, schema: Schema, path: Path) -> Iterator[RawMMError]:
    binary = schema.get("contentEncoding") == "base64"
    if binary and is_a(value, (bytes, bytearray, memoryview)):
        return
    if not is_a(value, str):
        yield wrong_type(value, "string", path)
    elif not is_text(value):
        yield lone_surrogate(path)
    elif "const" in schema or "enum" in schema:
        yield from _const(value, schema, path)
    elif len(value) > (most := schema.get("maxLength", len(value))):
        yield contract_error(
            schema.get("x-rawmm-code", "bad_length"),
            path,
            expected=f"a string of at most {most} characters",
            got=shown_text(value),
        )
    elif "pattern" in schema and not (
        is_base64(value) if binary else _compiled(schema["pattern"]).search(value)
    ):
        yield contract_error(
            schema.get("x-rawmm-code", "bad_format"),
            path,
            expected="strict base64" if binary else f"a string that matches {schema['pattern']}",
            got=f"{len(value)} characters" if binary else shown_text(value),
        )


SCALARS = {
    "null": _null,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "string": _string,
}
"""The checks, by the type of the schema."""
