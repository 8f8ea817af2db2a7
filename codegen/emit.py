"""Writes a bundle as Python source: one msgspec struct per object, one alias per value.

Decision record 1 compares this with a general generator.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from pathlib import Path
from typing import Any, Final

from codegen.profile import EXTRA, FREE_JSON, SINCE, is_open

HEADER: Final = '''"""The structs of the {title}, generated from schemas/{version}: DO NOT EDIT.

`python -m codegen` writes this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias, Union

from msgspec import Meta, field

from rawmm.model.base import ABSENT, EXTRA, Absent, Contract, Extra, OneOf, Referable, Ruled
from rawmm.model.packed import PackedStream
'''

_C_PART: Final = Path(__file__).resolve().parent.parent / "src/rawmm/_speed"
_FREE = {
    "JsonValue": "Any",
    "DescriptorValue": "Any",
    "JsonObject": "dict[str, Any]",
    "DescriptorObject": "dict[str, Any]",
}
_PROCESSED: Final = "ProcessedKey"
"""The definition that becomes `PROCESSED_KEYS`."""
_ELEMENTS: Final = {"integer": "int", "boolean": "bool", "number": "float"}
_SCALARS: Final = frozenset({"null", "boolean", "integer", "number", "string"})
_WIDTH = 96
_IMPLIED: Final = {
    "__descriptor_fields__": ("payload", {"DescriptorObject", "DescriptorValue"}),
    "__json_fields__": ("free_json", {"JsonObject"}),
    "__wire_fields__": ("wire_values", {"JsonValue"}),
    "__float_fields__": ("finite", {"number"}),
}
"""Class variables: the rule that reads the listed fields, and what a listed field holds.

A type with such fields gets the rule automatically, so a new field cannot miss it.
"""


class Emitter:
    """Writes the Python module of one version."""

    def __init__(self, bundle: dict[str, Any], version: str) -> None:
        self.bundle = bundle
        self.version = version
        self.defs: dict[str, Any] = bundle["$defs"]
        made_from = [json.dumps(bundle, sort_keys=True).encode()]
        made_from += [path.read_bytes() for path in sorted(_C_PART.glob("*.[ch]"))]
        self.digest = hashlib.sha256(b"\0".join(made_from)).hexdigest()[:16]
        """A hash of the schemas and of the C part that is compiled with their tables."""
        self.tags: dict[str, tuple[str, str]] = {}
        for schema in self.defs.values():
            if tag := schema.get("x-rawmm-tag"):
                for member in schema["oneOf"]:
                    name = target_of(member)
                    self.tags[name] = (tag, self.defs[name]["properties"][tag]["const"])

    def digest_source(self) -> str:
        """The source of the module that names the C part of these schemas."""
        return (
            '"""The C part that belongs to this package; generated: DO NOT EDIT."""\n\n'
            "from typing import Final\n\n"
            f'TABLES_DIGEST: Final = "{self.digest}"\n'
            '"""A hash of the schemas and the C sources. One compiled from others is not used."""\n'
        )

    def source(self) -> str:
        """The source of the module."""
        done: list[str] = []
        for name in self.defs:
            self._visit(name, done, ())
        names = [name for name in done if name not in FREE_JSON | {_PROCESSED}]
        blocks = [HEADER.format(title=self.bundle["title"], version=self.version)]
        blocks.append(self._constants())
        blocks.extend(self._definition(name) for name in names)
        listed = "".join(f"    {name!r},\n" for name in sorted(names)).replace("'", '"')
        blocks.append(f"__all__ = [\n{listed}]\n")
        table = "".join(f'    "{name}": {name},\n' for name in names if self._is_class(name))
        blocks.append(
            f"TYPES: Final[dict[str, type[Contract]]] = {{\n{table}}}\n"
            '"""Every struct by the name of its definition."""\n'
        )
        return "\n\n".join(block.rstrip("\n") + "\n" for block in blocks)

    def _visit(self, name: str, done: list[str], above: tuple[str, ...]) -> None:
        """Append a definition to `done`, after the definitions that it refers to."""
        if name in done or name in above:
            return
        for target in _targets(self.defs[name]):
            self._visit(target, done, (*above, name))
        done.append(name)

    def _constants(self) -> str:
        payload = self.defs["DescriptorObject"]
        keys = "".join(f"        {json.dumps(key)},\n" for key in self.defs[_PROCESSED]["enum"])
        return (
            f'SCHEMA_VERSION: Final = "{self.bundle["x-rawmm-version"]}"\n'
            '"""Version of the contract: major.minor."""\n\n'
            f"PROCESSED_KEYS: Final = frozenset(\n    {{\n{keys}    }}\n)\n"
            '"""Keys that only processors and encoders write, in lower case."""\n\n'
            f"MAX_DEPTH: Final = {payload['x-rawmm-max-depth']}\n"
            '"""Levels that a payload may nest."""\n\n'
            f"MAX_VALUES: Final = {payload['x-rawmm-max-values']}\n"
            '"""Values that a payload may hold. A shared value counts each time it occurs."""\n\n'
            f"MAX_TEXT: Final = {payload['x-rawmm-max-text']}\n"
            '"""Total bytes of UTF-8 in the keys and strings of a payload."""\n\n'
            f"MAX_FREE_VALUES: Final = {self.defs['JsonValue']['x-rawmm-max-values']}\n"
            '"""Values that other free JSON may hold, counted in the same way."""\n\n'
            f"PATTERNS: Final[dict[str, str]] = {{\n{self._patterns()}}}\n"
            '"""Patterns of the strings that have a definition, by its name."""\n'
        )

    def _patterns(self) -> str:
        """The entries of `PATTERNS`."""
        named = {
            name: _python_pattern(schema["pattern"])
            for name, schema in self.defs.items()
            if "pattern" in schema
        }
        return "".join(f'    "{name}": r"{pattern}",\n' for name, pattern in named.items())

    def _is_class(self, name: str) -> bool:
        schema = self.defs[name]
        return name not in FREE_JSON and ("properties" in schema or "prefixItems" in schema)

    def _is_one_of(self, name: str) -> bool:
        members = self.defs[name].get("anyOf", ())
        return (
            bool(members)
            and all(self._is_class(target_of(m)) for m in members if "$ref" in m)
            and (all("$ref" in m for m in members))
        )

    def _definition(self, name: str) -> str:
        schema = self.defs[name]
        if self._is_class(name):
            return self._struct(name, schema)
        if self._is_one_of(name):
            members = [target_of(member) for member in schema["anyOf"]]
            register = "".join(f"    {name}.register({member})\n" for member in members)
            return (
                f"if TYPE_CHECKING:\n    {name}: TypeAlias = Union[{', '.join(members)}]\n"
                f"else:\n\n    class {name}(OneOf):\n{_doc(schema['description'], 8)}\n"
                f"        members = ({', '.join(members)})\n\n{register}"
            )
        return f"{name}: TypeAlias = {self._type(schema)}\n{_doc(schema['description'], 0)}"

    def _struct(self, name: str, schema: dict[str, Any]) -> str:
        array_like = "prefixItems" in schema
        options = "array_like=True" if array_like else "kw_only=True"
        fields = (
            {item["title"]: item for item in schema["prefixItems"]}
            if array_like
            else schema["properties"]
        )
        lists = self._lists(schema, fields)
        base = "Ruled" if lists["__rules__"] else "Contract"
        if "graph" in lists["__rules__"]:
            base = "Referable"  # the index of a graph lives as long as it
        if element := schema.get("x-rawmm-items"):
            resolved = self.defs[target_of(element)] if "$ref" in element else element
            base = f"PackedStream[{_ELEMENTS[resolved['type']]}]"
            options += ", frozen=True"
        if name in self.tags:
            tag, value = self.tags[name]
            options += f', tag_field="{tag}", tag="{value}"'
        if self._is_leaf(schema):
            options += ", gc=False"
        head = f"class {name}({base}, {options}):"
        if "frozen" in options:
            head += "  # type: ignore[misc]  # its base is mutable"
        lines = [head, _doc(schema["description"], 4)]
        required = list(fields)[: schema["minItems"]] if array_like else schema.get("required", [])
        lines.extend(self._class_vars(name, fields, required, lists))
        for key, value in fields.items():
            lines.append(self._field(name, key, value, required=key in required))
        if is_open(schema):
            lines.append(
                f"    {EXTRA}: Extra | Absent = field(default=ABSENT, name=EXTRA)\n"
                '    """Unknown properties, kept unchanged; or None."""\n'
            )
        return "\n".join(lines)

    def _class_vars(
        self,
        name: str,
        fields: dict[str, Any],
        required: list[str],
        lists: dict[str, list[str]],
    ) -> list[str]:
        tag = self.tags.get(name, ("",))[0]
        filled = {
            key: value.get("const", value.get("default"))
            for key, value in fields.items()
            if key in required and key != tag and ("const" in value or "default" in value)
        }
        out = []
        if filled:
            items = ", ".join(f"{json.dumps(k)}: {v!r}" for k, v in filled.items())
            out.append(
                f"    __filled__: ClassVar[dict[str, Any]] = {{{items.replace(chr(39), chr(34))}}}"
            )
        deprecated = {key: value[SINCE] for key, value in fields.items() if SINCE in value}
        if deprecated:
            out.append(f"    __deprecated__: ClassVar[dict[str, str]] = {json.dumps(deprecated)}")
        for attribute, names in lists.items():
            if names:
                listed = " ".join(f'"{one}",' for one in names)
                out.append(f"    {attribute}: ClassVar[tuple[str, ...]] = ({listed})")
        return ["\n".join(_wrap_tuple(line) for line in out) + "\n"] if out else []

    def _lists(self, schema: dict[str, Any], fields: dict[str, Any]) -> dict[str, list[str]]:
        """The class variables of a struct that list names."""
        held = {attribute_of(key): self._held(value) for key, value in fields.items()}
        lists = {
            attribute: [name for name, kinds in held.items() if kinds & wanted]
            for attribute, (_, wanted) in _IMPLIED.items()
        }
        rules = [rule for attribute, (rule, _) in _IMPLIED.items() if lists[attribute]]
        if "x-rawmm-items" in schema:
            lists["__dtypes__"] = fields["dtype"]["enum"]
            rules.append("packed")
        lists["__rules__"] = rules + schema.get("x-rawmm-rules", [])
        return lists

    def _is_leaf(self, schema: dict[str, Any]) -> bool:
        """Whether a value holds scalars, arrays of scalars, and structs that do: never a cycle."""
        if "$ref" in schema:
            name = target_of(schema)
            return name not in FREE_JSON and self._is_leaf(self.defs[name])
        if members := (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            return all(map(self._is_leaf, members))
        if "prefixItems" in schema:
            return all(map(self._is_leaf, schema["prefixItems"]))
        if "properties" in schema:
            return not is_open(schema) and all(map(self._is_leaf, schema["properties"].values()))
        if schema["type"] == "array":
            item = schema["items"]
            item = self.defs[target_of(item)] if "$ref" in item else item
            return item.get("type") in _SCALARS
        return schema["type"] in _SCALARS

    def _held(self, schema: dict[str, Any]) -> set[str]:
        """The definitions of free JSON and the JSON types in a field, outside of other structs."""
        if "$ref" in schema:
            name = target_of(schema)
            if name in FREE_JSON:
                return {name}
            return set() if self._is_class(name) else self._held(self.defs[name])
        below = [schema[key] for key in ("items", "additionalProperties") if key in schema]
        below += [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        held = {str(schema["type"])} if "type" in schema else set()
        return held.union(*(self._held(one) for one in below if isinstance(one, dict)))

    def _field(self, owner: str, key: str, schema: dict[str, Any], *, required: bool) -> str:
        attribute = attribute_of(key)
        since = f"Deprecated since contract {schema[SINCE]}. " if SINCE in schema else ""
        doc = _doc(since + schema["description"], 4)
        if self.tags.get(owner, ("",))[0] == key:
            value = json.dumps(schema["const"])
            return f"    {attribute}: ClassVar[Literal[{value}]] = {value}\n{doc}"
        kind = self._type(schema)
        options = []
        if not required:
            if "default" not in schema:
                kind += " | Absent"
                options.append("default=ABSENT")
            elif schema["default"] in ([], {}):
                options.append(f"default_factory={type(schema['default']).__name__}")
            else:
                options.append(f"default={schema['default']!r}")
        if attribute != key:
            options.append(f"name={json.dumps(key)}")
        default = f" = field({', '.join(options)})" if options else ""
        if required and ("const" in schema or "default" in schema):
            # The constructor fills it in; data must contain it.
            return (
                f"    if TYPE_CHECKING:\n        {attribute}: {kind} = field(default=ABSENT)\n"
                f"    else:\n        {attribute}: {kind}{default}\n{doc}"
            )
        line = f"    {attribute}: {kind}{default}"
        if len(line) > _WIDTH and "Literal[" in line:
            head, _, rest = line.partition("Literal[")
            values, _, tail = rest.partition("]")
            body = textwrap.fill(values, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
            line = f"{head}Literal[\n{body}\n    ]{tail}"
        return f"{line}\n{doc}"

    def _type(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            name = target_of(schema)
            return _FREE.get(name, name)
        if "oneOf" in schema:
            return f"Union[{', '.join(target_of(member) for member in schema['oneOf'])}]"
        if "anyOf" in schema:
            return " | ".join(self._type(member) for member in schema["anyOf"])
        return str(getattr(self, f"_{schema['type']}")(schema))

    def _null(self, _: dict[str, Any]) -> str:
        return "None"

    def _boolean(self, schema: dict[str, Any]) -> str:
        return f"Literal[{schema['const']}]" if "const" in schema else "bool"

    def _integer(self, schema: dict[str, Any]) -> str:
        if "const" in schema:
            return f"Literal[{schema['const']}]"
        return f"Annotated[int, Meta(ge={schema['minimum']}, le={schema['maximum']})]"

    def _number(self, _: dict[str, Any]) -> str:
        return "float"

    def _string(self, schema: dict[str, Any]) -> str:
        if schema.get("contentEncoding") == "base64":
            return "bytes"
        if "const" in schema or "enum" in schema:
            values = schema.get("enum", [schema.get("const")])
            return f"Literal[{', '.join(json.dumps(value) for value in values)}]"
        bounds = []
        if "pattern" in schema:
            bounds.append(f'pattern=r"{_python_pattern(schema["pattern"])}"')
        if "maxLength" in schema:
            bounds.append(f"max_length={schema['maxLength']}")
        return f"Annotated[str, Meta({', '.join(bounds)})]" if bounds else "str"

    def _array(self, schema: dict[str, Any]) -> str:
        kind = f"list[{self._type(schema['items'])}]"
        if "maxItems" not in schema:
            return kind
        return f"Annotated[{kind}, Meta(max_length={schema['maxItems']})]"

    def _object(self, schema: dict[str, Any]) -> str:
        key = self._type(schema["propertyNames"]) if "propertyNames" in schema else "str"
        return f"dict[{key}, {self._type(schema['additionalProperties'])}]"


def _python_pattern(pattern: str) -> str:
    # Python's '$' also matches before a final newline.
    return pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern


def target_of(schema: dict[str, Any]) -> str:
    """The name of the definition that a reference points to."""
    return str(schema["$ref"]).rpartition("/")[2]


def _targets(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [target_of(node)] if "$ref" in node else []
        return own + [name for value in node.values() for name in _targets(value)]
    if isinstance(node, list):
        return [name for value in node for name in _targets(value)]
    return []


def attribute_of(key: str) -> str:
    """The Python name of a property."""
    return key.strip("_") or key


def _doc(text: str, indent: int) -> str:
    pad = " " * indent
    if len(text) + indent + 6 <= _WIDTH:
        return f'{pad}"""{text}"""\n'
    body = textwrap.fill(
        text, _WIDTH, initial_indent=f'{pad}"""', subsequent_indent=pad, break_on_hyphens=False
    )
    return f'{body}\n{pad}"""\n'


def _wrap_tuple(line: str) -> str:
    if len(line) <= _WIDTH:
        return line
    head, _, rest = line.partition("(")
    body = textwrap.fill(
        rest.removesuffix(")"), _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8
    )
    return f"{head}(\n{body}\n    )"
