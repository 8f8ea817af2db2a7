"""pydantic models of other packages as plain data and back, with errors of ours."""

from __future__ import annotations

from typing import Any, Final

from rawmm.errors import contract_error, shown

_CODES: Final = {
    "missing": "missing_field",
    "extra_forbidden": "unknown_field",
    "union_tag_invalid": "unknown_tag",
    "union_tag_not_found": "unknown_tag",
}
"""Our codes by pydantic's; every other refusal is a bad value."""


def dumped(value: Any) -> dict[str, Any]:
    """A model as it goes into MessagePack: bytes stay, subclasses keep their own fields."""
    document: dict[str, Any] = value.model_dump(mode="python", serialize_as_any=True)
    return document


def validated(model: Any, document: dict[str, Any], release: str) -> Any:
    """`document` as a `model` of the package `release`, e.g. ``verifiers 0.4.0``.

    Raises:
        ContractError: the model refuses it. pydantic's own text, which quotes the data, is in
            neither the error nor its chain.
    """
    try:
        return model.model_validate(document)
    except ValueError as error:  # pydantic's ValidationError, and nothing else, as it wraps all
        refusal: Any = error
    first = refusal.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, loc = first["type"], first["loc"]
    missing = kind == "missing"
    path: list[str | int] = []
    value: Any = document
    for key in loc[:-1] if missing else loc:
        keys = range(len(value)) if isinstance(value, list) else value
        # Names of union members stand between the keys.
        if isinstance(keys, dict | range) and key in keys:
            path.append(key)
            value = value[key]
    raise contract_error(
        _CODES.get(kind, "bad_value"),
        [*path, loc[-1]] if missing else path,
        expected=f"what {model.__name__} of {release} takes ({kind})",
        got="none" if missing else shown(value),
        hint=f"{release} cannot do without it" if missing else None,
    )
