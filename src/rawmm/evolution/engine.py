"""The adapter of the validators: jsonschema-rs judges and compares, jsonschema gives a second vote.

No other module imports these libraries. Both come with the extra ``schema``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rawmm.errors import ContractError, json_path, raise_alone

if TYPE_CHECKING:
    from collections.abc import Callable

Verdict: TypeAlias = Literal["yes", "no", "unknown"]
Schema: TypeAlias = "dict[str, Any] | bool"

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def check_schema(schema: Schema) -> None:
    """Raise a `ContractError` (``bad_schema``) unless it is a JSON Schema of draft 2020-12."""
    import jsonschema_rs

    stated = schema.get("$schema", DIALECT) if isinstance(schema, dict) else DIALECT
    if not isinstance(stated, str) or stated.rstrip("#") != DIALECT:
        raise ContractError(
            "bad_schema", "$.$schema", expected=f"draft 2020-12 ({DIALECT})", got="another dialect"
        )
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        raise_alone(
            ContractError(
                "bad_schema",
                json_path(error.instance_path),
                expected="a JSON Schema of draft 2020-12",
                got=f"a value that its metaschema refuses ({error.kind.name})",
            )
        )


def judge(schema: Schema) -> Callable[[Any], bool]:
    """A function that says whether a document is valid. ``format`` is an annotation.

    Raises:
        ContractError: ``bad_schema`` if a reference or pattern cannot be read.
    """
    import jsonschema_rs

    try:
        return jsonschema_rs.Draft202012Validator(
            schema, validate_formats=False, offline=True
        ).is_valid
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        raise_alone(_unreadable())


def second_judge(schema: Schema) -> Callable[[Any], bool | None]:
    """As `judge`, by the other library; None where that cannot tell."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)

    def is_valid(document: Any) -> bool | None:
        try:
            return bool(validator.is_valid(document))
        except (ValueError, OverflowError, RecursionError, LookupError, re.error):
            return None  # a pattern that `re` does not know, or a number too large for a double

    return is_valid


def covers(new: Schema, old: Schema) -> Verdict:
    """Whether every document that `old` accepts, `new` accepts, as jsonschema-rs proves it."""
    import jsonschema_rs

    try:
        outer, inner = (
            jsonschema_rs.canonicalize(
                one, draft=jsonschema_rs.Draft202012, validate_formats=False, offline=True
            )
            for one in (new, old)
        )
        verdict = outer.covers(inner)
    except (jsonschema_rs.canonical.CanonicalizationError, jsonschema_rs.ReferencingError):
        return "unknown"
    if verdict == jsonschema_rs.canonical.Containment.YES:
        return "yes"
    return "no" if verdict == jsonschema_rs.canonical.Containment.NO else "unknown"


def _unreadable() -> ContractError:
    return ContractError(
        "bad_schema",
        expected="a schema whose references and patterns can be read without a network",
        got="one that cannot",
    )
