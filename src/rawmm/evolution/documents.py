"""A JSON Schema as the prover reads it: assertions only, with every reference under ``$defs``."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from rawmm.errors import ContractError, shown_text
from rawmm.evolution import engine
from rawmm.values.plain import to_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.evolution.engine import Schema

ONE: Final = frozenset(
    {
        "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
"""Keywords that hold a schema."""
LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords that hold a list of schemas."""
MAP: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
"""Keywords that hold schemas by name."""
PLAIN: Final = frozenset(
    {
        "$ref", "type", "enum", "const", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "minLength", "maxLength", "pattern", "minItems", "maxItems",
        "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties", "required",
        "dependentRequired",
    }
)  # fmt: skip
"""Other keywords that the prover understands."""
_SIZES: Final = frozenset(
    {
        "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains",
        "minProperties", "maxProperties",
    }
)  # fmt: skip
OPAQUE: Final = frozenset(
    {"unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef", "dependencies"}
)
"""Keywords that only validators understand. They may only narrow what a schema accepts."""
_DYNAMIC: Final = frozenset({"$dynamicRef", "$recursiveRef"})
_KEPT: Final = ONE | LIST | MAP | PLAIN | OPAQUE | {"$dynamicAnchor"}
_HOMES: Final = ("$defs", "definitions")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def children(schema: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The schemas inside a schema, with their paths. Values of ``const`` and the like are none."""
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key in ONE:
            yield (key,), value
        elif key in LIST:
            yield from (((key, index), member) for index, member in enumerate(value))
        elif key in MAP or key in _HOMES:
            yield from (((key, name), member) for name, member in value.items())


def pointer(path: tuple[str | int, ...]) -> str:
    """A path as a JSON pointer in a URI fragment: ``#/$defs/Name/pattern``."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def parts_of(fragment: str) -> tuple[str, ...]:
    """The path of a JSON pointer in a URI fragment."""
    steps = unquote(fragment).split("/")[1:]
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


class Document:
    """One JSON Schema. It is checked, and its references are resolved.

    Raises:
        RawMMError: it is not plain JSON data, no schema of draft 2020-12 (``bad_schema``), or it
            refers to other documents.
    """

    def __init__(self, schema: Any) -> None:
        plain = to_plain(schema)
        if not isinstance(plain, (dict, bool)):
            raise ContractError(
                "bad_schema", expected="an object or a boolean", got=f"a {type(plain).__name__}"
            )
        engine.check_schema(plain)
        self.source: Schema = plain
        engine.judge(plain)
        self._own = plain.get("$id") if isinstance(plain, dict) else None
        self._anchors = dict(_anchors(plain, ()))
        self.defs: dict[str, Schema] = {}
        self._names: dict[str, str] = {}
        for name in self.definitions:
            self._target(f"#/$defs/{name.replace('~', '~0').replace('/', '~1')}")
        self.root = self._bare(plain)
        self._cache: dict[int, tuple[Schema, Node]] = {}
        self._prints: dict[str, str] = {}
        self._judges: dict[str, Callable[[Any], bool]] = {}

    @cached_property
    def is_dynamic(self) -> bool:
        """Whether a reference depends on where the reader comes from."""
        return any(_is_dynamic(schema) for schema in (self.root, *self.defs.values()))

    @cached_property
    def definitions(self) -> dict[str, Schema]:
        """The schemas under ``$defs``, as they were written."""
        found = self.source.get("$defs", {}) if isinstance(self.source, dict) else {}
        return dict(found)

    def node(self, schema: Schema) -> Node:
        """A schema of this document, bare, with its key."""
        known = self._cache.get(id(schema))
        if known is not None:
            return known[1]
        text = json.dumps(schema, sort_keys=True)
        refs = sorted(set(_refs(schema)))
        key = "\n".join([text, *(f"{name}={self._print(name)}" for name in refs)])
        node = Node(self, schema, key)
        self._cache[id(schema)] = schema, node
        return node

    def definition(self, name: str) -> Node:
        """A definition by its name in `definitions`."""
        return self.node(self.defs[name])

    def alone(self, schema: Schema) -> Schema:
        """A bare schema as a document of its own."""
        return {"$schema": engine.DIALECT, "allOf": [schema], "$defs": self.defs}

    def accepts(self, node: Node, value: Any) -> bool:
        """Whether a bare schema accepts a value."""
        if node.key not in self._judges:
            self._judges[node.key] = engine.judge(self.alone(node.schema))
        return self._judges[node.key](value)

    def _print(self, name: str) -> str:
        """What tells a definition, with all that it reaches, from others."""
        if name not in self._prints:
            reached = [name]
            for one in reached:
                reached += sorted(set(_refs(self.defs[one])) - set(reached))
            texts = {one: json.dumps(self.defs[one], sort_keys=True) for one in reached}
            text = json.dumps(texts, sort_keys=True)
            self._prints[name] = hashlib.sha256(text.encode()).hexdigest()
        return self._prints[name]

    def _bare(self, schema: Any) -> Schema:
        """A copy with assertions only, whose references lead to `defs`."""
        if isinstance(schema, bool):
            return schema
        out: dict[str, Any] = {}
        for key, value in schema.items():
            if key == "$ref":
                out[key] = "#/$defs/" + self._target(value)
            elif key in ONE:
                out[key] = self._bare(value)
            elif key in LIST:
                out[key] = [self._bare(member) for member in value]
            elif key in MAP:
                out[key] = {name: self._bare(member) for name, member in value.items()}
            elif key in _SIZES:
                out[key] = int(value)  # 2.0 is an integer of JSON Schema
            elif key in _KEPT:
                out[key] = value
        return out

    def _target(self, ref: str) -> str:
        """The name in `defs` of what a reference leads to."""
        local = ref
        if self._own and not ref.startswith("#"):
            local = ref.removeprefix(self._own.partition("#")[0])
        path = self._anchors.get(local)
        if path is None:
            path = parts_of(local) if local in ("", "#") or local.startswith("#/") else None
        found: Any = self.source
        for step in path or ():
            if isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                found = found.get(step) if isinstance(found, dict) else None
        if path is None or not isinstance(found, (dict, bool)):
            raise ContractError(
                "bad_schema",
                expected="references inside the document",
                got=shown_text(ref),
                hint="bundle the schemas first",
            )
        key = pointer(path)
        if key not in self._names:
            plain = len(path) == 2 and path[0] == "$defs" and _PLAIN_NAME.fullmatch(path[1])
            name = path[1] if plain else f"ref-{len(self._names)}"
            self._names[key] = name
            self.defs[name] = True  # while a definition that refers to itself is read
            self.defs[name] = self._bare(found)
        return self._names[key]

    def name_of(self, definition: str) -> str:
        """The name in `defs` of a definition."""
        return self._names[pointer(("$defs", definition))]


class Node(NamedTuple):
    """A bare schema. Two nodes with one key accept the same documents."""

    document: Document
    schema: Schema
    key: str

    def accepts(self, value: Any) -> bool:
        """Whether the schema accepts a value."""
        return self.document.accepts(self, value)

    def sub(self, schema: Schema) -> Node:
        """Another schema of the same document."""
        return self.document.node(schema)


def _refs(schema: Any) -> Iterator[str]:
    """The names of the definitions that a bare schema refers to."""
    if isinstance(schema, dict) and "$ref" in schema:
        yield schema["$ref"].removeprefix("#/$defs/")
    for _, child in children(schema):
        yield from _refs(child)


def _is_dynamic(schema: Any) -> bool:
    own = isinstance(schema, dict) and not schema.keys().isdisjoint(_DYNAMIC)
    return own or any(_is_dynamic(child) for _, child in children(schema))


def _anchors(schema: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """References by anchor, and the paths that they mean."""
    if isinstance(schema, dict):
        if path and "$id" in schema:
            raise ContractError(
                "bad_schema",
                expected="one document with one $id",
                got=f"another $id at {shown_text(pointer(path))}",
            )
        for key in ("$anchor", "$dynamicAnchor"):
            if key in schema:
                yield f"#{schema[key]}", tuple(map(str, path))
    for step, child in children(schema):
        yield from _anchors(child, (*path, *step))
