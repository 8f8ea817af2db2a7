"""Converts pydantic models of other packages to plain data and back, with rawmm's errors."""

from __future__ import annotations

from typing import Any, Final

from rawmm.errors import contract_error, shown

_CODES: Final = {
    "missing": "missing_field",
    "extra_forbidden": "unknown_field",
    "union_tag_invalid": "unknown_tag",
    "union_tag_not_found": "unknown_tag",
}
"""rawmm's code by pydantic's; all others become ``bad_value``."""


def dumped(value: Any) -> dict[str, Any]:
    """A model as plain data. Bytes stay bytes, and subclasses keep their own fields."""
    document: dict[str, Any] = value.model_dump(mode="python", serialize_as_any=True)
    return document


def validated(model: Any, document: dict[str, Any], release: str) -> Any:
    """`document` as a `model` of the package `release`, e.g. ``verifiers 0.4.0``.

    Raises:
        ContractError: the model refuses it. Neither the error nor its chain has pydantic's text,
            which quotes the data.
    """
    try:
        return model.model_validate(document)
    except ValueError as error:  # pydantic raises only ValidationError
        refusal: Any = error
    first = refusal.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, loc = first["type"], first["loc"]
    missing = kind == "missing"
    path: list[str | int] = []
    value: Any = document
    for key in loc[:-1] if missing else loc:
        keys = range(len(value)) if isinstance(value, list) else value
        # pydantic adds the names of union members, which are not keys.
        if isinstance(keys, dict | range) and key in keys:
            path.append(key)
            value = value[key]
    raise contract_error(
        _CODES.get(kind, "bad_value"),
        [*path, loc[-1]] if missing else path,
        expected=f"a valid {model.__name__} of {release} ({kind})",
        got="none" if missing else shown(value),
        hint=f"{release} requires it" if missing else None,
    )
