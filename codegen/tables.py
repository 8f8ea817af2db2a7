"""Writes a bundle as tables in C, for `rawmm._speed`: the fields of each struct and their types."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from codegen.emit import Emitter, attribute_of, target_of
from codegen.profile import EXTRA, FREE_JSON, is_open

_HEADER: Final = """\
/* The tables of the {title} for rawmm._speed, generated from schemas/{version}: DO NOT EDIT.
 *
 * `python -m codegen` writes this file. */
"""
_ANY: Final = frozenset({"JsonValue", "DescriptorValue"})
_SET: Final = r"\[([^\]^][^\]]*)\]"
_FORMS: Final = (
    re.compile(rf"\^{_SET}(?:(\+)|\{{(\d+),(\d+)\}})\$"),
    re.compile(rf"\^\({_SET}\|.*\){_SET}\*\$"),
    re.compile(rf"\^\([^|]*\|{_SET}{_SET}\{{0,(\d+)\}}\)\$"),
)
"""Patterns of which all texts, or those of one alternative, are a character and others after it."""
_NO_LIMIT: Final = "PY_SSIZE_T_MAX"
_FLAGS: Final = {
    "__descriptor_fields__": "DESCRIPTOR",
    "__json_fields__": "FREE",
    "__wire_fields__": "FREE",
    "__float_fields__": "NUMBERS",
}


class Text(NamedTuple):
    """Texts of ASCII that match a pattern: by their first character, the others, and length.

    A pattern may match others, too.
    """

    first: str
    rest: str
    shortest: int
    longest: int | None


def text_of(pattern: str, longest: int | None = None) -> Text | None:
    """Texts that match `pattern` and have at most `longest` characters; None if unknown.

    Args:
        pattern: a pattern of the profile, from ``^`` to ``$``.
        longest: the schema's ``maxLength``.
    """
    if match := _FORMS[0].fullmatch(pattern):
        most = longest if match[2] else int(match[4])
        text = Text(match[1], match[1], 1 if match[2] else int(match[3]), most)
    elif match := _FORMS[1].fullmatch(pattern):
        text = Text(match[1], match[2], 1, longest)
    elif match := _FORMS[2].fullmatch(pattern):
        text = Text(match[1], match[2], 1, int(match[3]) + 1)
    else:
        return None
    if longest is not None and text.longest is not None:
        text = text._replace(longest=min(longest, text.longest))
    return text


class Tables(Emitter):
    """Writes the C header of one version."""

    def __init__(self, bundle: dict[str, Any], version: str) -> None:
        super().__init__(bundle, version)
        self.shapes = [name for name in self.defs if self._is_class(name)]
        self.lines: list[str] = []
        self.names: dict[str, str] = {}
        """Names of the constants by their definitions, so that equal ones are written once."""

    def header(self) -> str:
        """The source of the header."""
        shapes = [self._shape(name) for name in self.shapes]
        rules = dict.fromkeys(rule for name in self.shapes for rule in self._rules(name))
        enums = [
            f"enum {{ {', '.join(f'S_{name}' for name in self.shapes)}, SHAPES }};",
            f"enum {{ {', '.join(f'R_{rule}' for rule in rules)}, RULES }};",
            *(
                f"enum {{ {', '.join(f'{name}_{field}' for field in self._fields(name))} }};"
                for name in self.shapes
            ),
        ]
        payload, free = self.defs["DescriptorObject"], self.defs["JsonValue"]
        limits = [
            f"enum {{ MAX_FIELDS = {max(len(self._fields(name)) for name in self.shapes)} }};",
            f"enum {{ MAX_DEPTH = {payload['x-rawmm-max-depth']} }};",
            f"enum {{ MAX_VALUES = {payload['x-rawmm-max-values']} }};",
            f"enum {{ MAX_TEXT = {payload['x-rawmm-max-text']} }};",
            f"enum {{ MAX_FREE_VALUES = {free['x-rawmm-max-values']} }};",
        ]
        keys = sorted(self.defs["ProcessedKey"]["enum"])
        processed = "".join(f'    "{key}",\n' for key in keys)
        return "\n".join(
            [
                _HEADER.format(title=self.bundle["title"], version=self.version),
                f'#define TABLES_DIGEST "{self.digest}"',
                *limits,
                *enums,
                "",
                "#ifdef RAWMM_TABLES",
                f"const char *const PROCESSED_KEYS[] = {{\n{processed}    NULL\n}};",
                *self.lines,
                "const Shape SHAPE[SHAPES] = {",
                *(f"    {shape}," for shape in shapes),
                "};",
                "#endif",
                "",
            ]
        )

    def _properties(self, name: str) -> dict[str, Any]:
        """The fields of a struct by wire name, without its tag."""
        schema = self.defs[name]
        if "prefixItems" in schema:
            return {item["title"]: item for item in schema["prefixItems"]}
        tag = self.tags.get(name, ("",))[0]
        return {key: value for key, value in schema["properties"].items() if key != tag}

    def _fields(self, name: str) -> list[str]:
        """The attributes of a struct, in order."""
        fields = [attribute_of(key) for key in self._properties(name)]
        return [*fields, EXTRA] if is_open(self.defs[name]) else fields

    def _rules(self, name: str) -> list[str]:
        return self._lists(self.defs[name], self._properties(name))["__rules__"]

    def _shape(self, name: str) -> str:
        schema, properties = self.defs[name], self._properties(name)
        lists = self._lists(schema, properties)
        flags = {one: flag for attribute, flag in _FLAGS.items() for one in lists[attribute]}
        array_like = "prefixItems" in schema
        required = list(properties) if array_like else schema.get("required", [])
        rows = []
        for key, value in properties.items():
            absent = key not in required and "default" not in value
            kind = self._c_type(value, "UNSET" if absent else "")
            flag = flags.get(attribute_of(key), "0")
            rows.append(f'    {{"{attribute_of(key)}", "{key}", &{kind}, {flag}}},')
        if is_open(schema):
            unknown = self._named("T", "static const Type {} = {{.kinds = UNKNOWN}};")
            rows.append(f'    {{"{EXTRA}", "", &{unknown}, 0}},')
        self.lines += [f"static const Field FIELDS_{name}[] = {{", *rows, "};"]
        rules = self._rules(name)
        if rules:
            listed = ", ".join(f"R_{rule}" for rule in rules)
            self.lines.append(f"static const unsigned char RULES_{name}[] = {{{listed}}};")
        own = f"RULES_{name}" if rules else "NULL"
        return f'{{"{name}", FIELDS_{name}, {len(rows)}, {own}, {len(rules)}}}'

    def _named(self, prefix: str, definition: str) -> str:
        """The name of a constant. Writes `definition`, with its name in place of {}, if it is new.

        Braces are doubled, as in `str.format`.
        """
        if definition not in self.names:
            self.names[definition] = name = f"{prefix}{len(self.names)}"
            self.lines.append(definition.format(name))
        return self.names[definition]

    def _c_type(self, schema: dict[str, Any], more: str = "") -> str:
        """The name of a constant that describes a value."""
        parts = self._parts(schema)
        kinds = list(dict.fromkeys([*parts.pop("kinds"), *([more] if more else [])]))
        body = "".join(f", .{key} = {value}" for key, value in parts.items())
        joined = " | ".join(kinds)
        return self._named("T", f"static const Type {{}} = {{{{.kinds = {joined}{body}}}}};")

    def _parts(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The members of a C struct that describes a value."""
        if "$ref" in schema:
            name = target_of(schema)
            if name in _ANY:
                return {"kinds": ["ANY"]}
            if name in FREE_JSON:
                return {"kinds": ["DICT"], "item": f"&{self._any()}"}
            if self._is_class(name):
                return {"kinds": ["STRUCT"], "structs": f"1ull << S_{name}"}
            return self._parts(self.defs[name])
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self._union([self._parts(member) for member in schema[key]])
        found: dict[str, Any] = getattr(self, f"_c_{schema['type']}")(schema)
        return found

    def _any(self) -> str:
        return self._named("T", "static const Type {} = {{.kinds = ANY}};")

    def _union(self, members: list[dict[str, Any]]) -> dict[str, Any]:
        joined: dict[str, Any] = {"kinds": []}
        for member in members:
            joined["kinds"] += member.pop("kinds")
            structs = [one["structs"] for one in (joined, member) if "structs" in one]
            if joined.keys() & member.keys() - {"structs"}:
                return {"kinds": ["NEVER"]}  # two lists or two texts, for example
            joined |= member
            if structs:
                joined["structs"] = " | ".join(structs)
        return joined

    def _c_null(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"kinds": ["NONE"]}

    def _c_boolean(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {"kinds": ["TRUE"] if schema.get("const") is True else ["TRUE", "FALSE"]}

    def _c_integer(self, schema: dict[str, Any]) -> dict[str, Any]:
        low = schema.get("const", schema.get("minimum"))
        high = schema.get("const", schema.get("maximum"))
        return {"kinds": ["INT"], "low": f"{low}ll", "high": f"{high}ll"}

    def _c_number(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"kinds": ["FLOAT"]}

    def _c_string(self, schema: dict[str, Any]) -> dict[str, Any]:
        if schema.get("contentEncoding") == "base64":
            return {"kinds": ["BYTES"]}
        if "const" in schema or "enum" in schema:
            values = schema.get("enum", [schema.get("const")])
            listed = ", ".join(f'"{value}"' for value in values)
            definition = f"static const char *const {{}}[] = {{{{{listed}, NULL}}}};"
            return {"kinds": ["STR"], "literals": self._named("L", definition)}
        if "pattern" not in schema:
            return {"kinds": ["NEVER"] if "maxLength" in schema else ["STR"]}
        text = text_of(schema["pattern"], schema.get("maxLength"))
        if text is None:
            return {"kinds": ["NEVER"]}
        first, rest = self._characters(text.first), self._characters(text.rest)
        longest = _NO_LIMIT if text.longest is None else text.longest
        definition = f"{{{{{first}, {rest}, {text.shortest}, {longest}}}}}"
        name = self._named("X", f"static const Text {{}} = {definition};")
        return {"kinds": ["STR"], "text": f"&{name}"}

    def _characters(self, body: str) -> str:
        """A table of the ASCII characters in a set of a pattern: 1 if it has one, else 0."""
        one = re.compile(f"[{body}]")
        listed = ", ".join("1" if one.match(chr(code)) else "0" for code in range(128))
        return self._named("C", f"static const unsigned char {{}}[128] = {{{{{listed}}}}};")

    def _c_array(self, schema: dict[str, Any]) -> dict[str, Any]:
        parts = {"kinds": ["LIST"], "item": f"&{self._c_type(schema['items'])}"}
        return parts | ({"most": schema["maxItems"]} if "maxItems" in schema else {})

    def _c_object(self, schema: dict[str, Any]) -> dict[str, Any]:
        parts = {"kinds": ["DICT"], "item": f"&{self._c_type(schema['additionalProperties'])}"}
        key = schema.get("propertyNames")
        return parts | ({"key": f"&{self._c_type(key)}"} if key else {})
