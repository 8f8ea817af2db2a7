"""Strategies for JSON data from the schema bundle: one per keyword of the authoring profile."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from rawmm.model import schemas
from rawmm.values.processed import ND, is_processed_key

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Any
Strategy = st.SearchStrategy[Any]

RULED: Final[dict[str, Callable[[], Strategy]]] = {}
"""Strategies for definitions with rules beyond the schema."""

_KNOWN: Final = frozenset(
    {
        "$ref", "anyOf", "oneOf", "type", "const", "enum", "pattern", "maxLength",
        "contentEncoding", "minimum", "maximum", "items", "prefixItems", "minItems", "maxItems",
        "properties", "required", "additionalProperties", "propertyNames", "title", "description",
        "default", "deprecated",
    }
)  # fmt: skip
MAX_LIST: Final = 3
"""The maximum length of a list without another limit."""


@cache
def drawn_as(name: str, *, rules: bool) -> Strategy:
    """Data of one definition. With `rules`, it also satisfies the rules beyond the schema."""
    schema = schemas.bundle()["$defs"][name]
    if name in _FREE:
        return _FREE[name]
    if rules and name in RULED:
        return RULED[name]()
    return from_schema(schema, rules=rules)


def from_schema(schema: dict[str, Any], *, rules: bool = True) -> Strategy:
    """JSON data that satisfies one schema of the bundle.

    Raises:
        ValueError: the schema has a keyword outside the authoring profile.
    """
    if unknown := {key for key in schema if not key.startswith("x-")} - _KNOWN:
        msg = f"no strategy for the keywords {sorted(unknown)}"
        raise ValueError(msg)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return st.deferred(lambda: drawn_as(name, rules=rules))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return st.one_of([from_schema(member, rules=rules) for member in schema[union]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _BY_TYPE[schema["type"]](schema, rules)


def _integer(schema: dict[str, Any], _: bool) -> Strategy:  # noqa: FBT001
    low, high = schema["minimum"], schema["maximum"]
    return st.integers(low, min(high, low + 1000)) | st.integers(low, high)


def _string(schema: dict[str, Any], _: bool) -> Strategy:  # noqa: FBT001
    if schema.get("contentEncoding") == "base64":
        return st.binary(max_size=12).map(lambda raw: base64.b64encode(raw).decode())
    most = schema.get("maxLength")
    if "pattern" in schema:
        pattern = schema["pattern"]
        whole = pattern.endswith("$")
        text = st.from_regex(pattern[:-1] + r"\Z" if whole else pattern, fullmatch=whole)
        return text if most is None else text.filter(lambda drawn: len(drawn) <= most)
    return st.text(max_size=12 if most is None else min(12, most))


def _array(schema: dict[str, Any], rules: bool) -> Strategy:  # noqa: FBT001
    if "prefixItems" in schema:
        fields = [from_schema(item, rules=rules) for item in schema["prefixItems"]]
        return st.tuples(*fields).map(list)
    most = min(MAX_LIST, schema.get("maxItems", MAX_LIST))
    return st.lists(from_schema(schema["items"], rules=rules), max_size=most)


def _object(schema: dict[str, Any], rules: bool) -> Strategy:  # noqa: FBT001
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    drawn = {key: from_schema(value, rules=rules) for key, value in properties.items()}
    fixed = st.fixed_dictionaries(
        {key: drawn[key] for key in required},
        optional={key: value for key, value in drawn.items() if key not in required},
    )
    extra = schema["additionalProperties"]
    if extra is False:
        return fixed
    names = from_schema(schema.get("propertyNames", {"type": "string"}), rules=rules)
    others = st.dictionaries(
        # Hypothesis also draws texts that stand in the code, such as the processed keys.
        names.filter(lambda key: key not in properties and not (rules and _is_special(key))),
        from_schema(extra, rules=rules),
        max_size=MAX_LIST,
    )
    return st.tuples(others, fixed).map(lambda both: {**both[0], **both[1]})


_BY_TYPE: Final[dict[str, Callable[..., Strategy]]] = {
    "null": lambda *_: st.none(),
    "boolean": lambda *_: st.booleans(),
    "integer": _integer,
    "number": lambda *_: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
    "string": _string,
    "array": _array,
    "object": _object,
}

SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)


def _is_special(key: str) -> bool:
    """Whether a key makes numbers below it processed data or an encoded array."""
    return is_processed_key(key) or key == ND


KEYS: Final = st.text(max_size=8).filter(lambda key: not _is_special(key))
VALUES: Final = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
_OBJECTS: Final = st.dictionaries(KEYS, VALUES, max_size=3)
_FREE: Final = {
    "JsonValue": VALUES,
    "JsonObject": _OBJECTS,
    "DescriptorValue": VALUES,
    "DescriptorObject": _OBJECTS,
}
