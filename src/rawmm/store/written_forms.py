"""Serialize the fields of pydantic models and dataclasses that have custom serializers.

A custom serializer may write a name that no attribute holds. The compiled schema of a class says
which fields have one, whether it comes from a decorator, an annotation, the type of the field or
the configuration. Only these fields are serialized here. Models in plain fields are visited on
their own, so the work does not grow with their nesting.

pydantic is recognized by the attributes of its classes; it is never imported.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SCHEMA: Final = "__pydantic_core_schema__"
_OWN: Final = frozenset({"model", "dataclass"})
"""Schema types whose objects are visited on their own."""
_FIELDS: Final = frozenset({"model-fields", "dataclass-args"})
_NO_SCHEMAS: Final = frozenset({"metadata", "cls", "default", "default_factory", "function"})
_MODES: Final = ("python", "json")


_Functions = list[tuple[str, Any]]


class _Writer(NamedTuple):
    """A class whose serializer writes one field, or the whole object if `field` is None."""

    base: Any
    field: str | None


def written_forms(value: Any) -> Iterator[Callable[[], Any]]:
    """Yield functions that serialize `value`, or its fields with custom serializers."""
    kind: Any = type(value)
    for writer in _writers_of(kind):
        for mode in _MODES:
            yield partial(_written, value, writer, mode)
    if _writes_itself(kind):
        for mode in _MODES:
            yield partial(value.model_dump, mode=mode)


def _written(value: Any, writer: _Writer, mode: str) -> Any:
    try:
        return writer.base.__pydantic_serializer__.to_python(
            value,
            mode=mode,
            include=None if writer.field is None else {writer.field},
            warnings=False,
            # Values without a JSON form are visited as they are.
            fallback=(lambda _: None) if mode == "json" else None,
        )
    except UnicodeDecodeError:
        # Raised for bytes that are not UTF-8, which the other mode returns. Errors of serializers
        # are wrapped by pydantic.
        if mode == "json":
            return None
        raise


@lru_cache(maxsize=1024)
def _writers_of(kind: type) -> list[_Writer]:
    """Return the writers of a class and its bases, as a field may be declared with a base type."""
    writers: list[_Writer] = []
    known: list[tuple[str | None, _Functions]] = []
    for base in kind.__mro__:
        schema = vars(base).get(_SCHEMA)
        if schema is None or _is_library(base):
            continue
        if type(schema) is not dict:  # not compiled yet
            if base is kind:
                writers.append(_Writer(base, None))
            continue
        for field, functions in _Schema(schema).writers().items():
            if functions and (field, functions) not in known:
                known.append((field, functions))
                writers.append(_Writer(base, field))
    return writers


@lru_cache(maxsize=1024)
def _writes_itself(kind: type) -> bool:
    """Whether a model's class overrides ``model_dump``."""
    base = next((base for base in kind.__mro__ if "model_dump" in vars(base)), None)
    return base is not None and hasattr(kind, _SCHEMA) and not _is_library(base)


def _is_library(base: type) -> bool:
    return base.__module__.partition(".")[0] == "pydantic"


class _Schema:
    """The compiled schema of one class."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._definitions: dict[str, Any] = {}

    def writers(self) -> dict[str | None, _Functions]:
        """Return the serializers of each field; under None those of the whole object."""
        node: Any = self._root
        while type(node) is dict and node.get("type") not in _FIELDS:
            if _own_functions(node) or node.get("root_model"):
                return {None: self._functions(node, is_top=True)}
            if node.get("type") == "definitions":
                self._definitions |= {one["ref"]: one for one in node["definitions"]}
            is_reference = node.get("type") == "definition-ref"
            node = self._definitions.get(node["schema_ref"]) if is_reference else node.get("schema")
        if type(node) is not dict:
            return {None: self._functions(self._root, is_top=True)}
        if _own_functions(node) or self._functions(node.get("extras_schema")):
            return {None: self._functions(node)}
        fields = node["fields"]
        pairs = fields.items() if type(fields) is dict else ((one["name"], one) for one in fields)
        computed = ((one["property_name"], one) for one in node.get("computed_fields", ()))
        return {name: self._functions(field) for name, field in (*pairs, *computed)}

    def _functions(self, part: Any, *, is_top: bool = False) -> _Functions:
        """Return the serializers in a part of the schema, without those of nested models."""
        found: _Functions = []
        stack, seen = [part], set[str]()
        while stack:
            node = stack.pop()
            if type(node) in (list, tuple):
                stack.extend(node)
            if type(node) is not dict:
                continue
            found += _own_functions(node)
            if node.get("type") == "definition-ref" and node["schema_ref"] not in seen:
                seen.add(node["schema_ref"])
                stack.append(self._definitions.get(node["schema_ref"]))
            if node.get("type") in _OWN and _SCHEMA in vars(node["cls"]) and not is_top:
                continue
            is_top &= node.get("type") not in _OWN
            stack.extend(item for key, item in node.items() if key not in _NO_SCHEMAS)
        return found


def _own_functions(node: dict[str, Any]) -> _Functions:
    """Return the custom serializers of one schema node."""
    found: _Functions = []
    config = node.get("config")
    if type(config) is dict and config.get("ser_json_bytes") == "hex":
        found.append(("hex", None))  # may turn the bytes of a hash into its digits
    writer = node.get("serialization")
    # An entry that only names a type serializes as that type does.
    if type(writer) is dict and (len(writer) > 1 or writer.get("type") == "to-string"):
        found.append((writer["type"], writer.get("function", writer.get("formatting_string"))))
    return found
