"""The verdict of JSON Schema on a text, by two other implementations and a strict parser."""

from __future__ import annotations

import json
from functools import cache
from math import isfinite
from typing import Any

import jsonschema
import jsonschema_rs

from rawmm import schemas


class NotStrictJsonError(Exception):
    """The text is not JSON in the strict sense."""


class DuplicateKeyError(Exception):
    """An object has a key twice: what that means is up to the parser."""


def strict_parse(data: bytes) -> Any:
    """A JSON text in UTF-8: no NaN, no overflow, no lone surrogates, no byte order mark."""

    def constant(_: str) -> None:
        raise NotStrictJsonError

    def number(text: str) -> float:
        value = float(text)
        if not isfinite(value):
            raise NotStrictJsonError
        return value

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) < len(items):
            raise DuplicateKeyError
        return dict(items)

    try:
        document = json.loads(
            data.decode(), parse_constant=constant, parse_float=number, object_pairs_hook=pairs
        )
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise NotStrictJsonError from None
    return document


def _is_integer(_: Any, value: Any) -> bool:
    # The promise adds "integer lexemes": 1.0 is a number, not an integer.
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def _with_ecma_patterns(node: Any) -> Any:
    """The schema with ``$`` as ECMA 262 reads it: Python's also matches before a newline."""
    if isinstance(node, dict):
        return {
            key: value[:-1] + r"\Z"
            if key == "pattern" and isinstance(value, str) and value.endswith("$")
            else _with_ecma_patterns(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_with_ecma_patterns(value) for value in node]
    return node


@cache
def _python(name: str) -> Any:
    return _Validator(_with_ecma_patterns(schemas.schema(name)))


@cache
def _rust(name: str) -> Any:
    return jsonschema_rs.validator_for(schemas.schema(name))


def python_accepts(document: Any, name: str) -> bool:
    """The verdict of `jsonschema`."""
    return bool(_python(name).is_valid(document))


def rust_accepts(document: Any, name: str) -> bool:
    """The verdict of `jsonschema-rs`, which takes 1.0 as an integer."""
    return bool(_rust(name).is_valid(document))


def has_integral_float(document: Any) -> bool:
    """Whether a number is written as 1.0 or 1e2 anywhere."""
    if isinstance(document, dict):
        return any(has_integral_float(value) for value in document.values())
    if isinstance(document, list):
        return any(has_integral_float(value) for value in document)
    return isinstance(document, float) and document.is_integer()


def without_defaults(back: Any, original: Any) -> Any:
    """`back` without the properties that `original` left to their defaults."""
    if isinstance(back, dict) and isinstance(original, dict):
        return {
            key: without_defaults(value, original.get(key))
            for key, value in back.items()
            if key in original or value not in (None, False, [], {})
        }
    if isinstance(back, list) and isinstance(original, list) and len(back) == len(original):
        return [without_defaults(*pair) for pair in zip(back, original, strict=True)]
    return back
