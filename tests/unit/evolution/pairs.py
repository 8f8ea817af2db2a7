"""Pairs of schemas, and whether each accepts all documents of the other."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Pair(NamedTuple):
    """`backward`: the new schema accepts all that the old one does. `forward`: the reverse."""

    name: str
    old: Any
    new: Any
    backward: bool
    forward: bool


def closed(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required or [],
        "additionalProperties": False,
    }


def opened(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or []}


def text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def defs(root: Any, **definitions: Any) -> dict[str, Any]:
    return {**root, "$defs": definitions}


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


INT: Final = {"type": "integer"}
STR: Final = {"type": "string"}
NUM: Final = {"type": "number"}
SMALL: Final = {"type": "integer", "minimum": 0, "maximum": 9}
A: Final = closed(["k", "x"], k={"const": "a"}, x=INT)
B: Final = closed(["k", "y"], k={"const": "b"}, y=STR)
C: Final = closed(["k"], k={"const": "c"})
BINARY: Final = closed(["v"], v=INT, left=ref("Tree"), right=ref("Tree"))

PAIRS: Final = [Pair(*row) for row in [
    # Objects
    ("same", closed(a=INT), closed(a=INT), True, True),
    ("optional property added to a closed object", closed(a=INT), closed(a=INT, b=STR), True, False),
    ("required property added", closed(a=INT), closed(["b"], a=INT, b=STR), False, False),
    ("property becomes required", closed(a=INT), closed(["a"], a=INT), False, True),
    ("property added to an open object", opened(a=INT), opened(a=INT, b=STR), False, True),
    ("free property added to an open object", opened(a=INT), opened(a=INT, b=True), True, True),
    ("property removed from a closed object", closed(a=INT, b=STR), closed(a=INT), False, True),
    ("property removed from an open object", opened(a=INT, b=STR), opened(a=INT), True, False),
    ("object closed", opened(a=INT), closed(a=INT), False, True),
    ("other properties narrowed", {"additionalProperties": NUM}, {"additionalProperties": INT}, False, True),
    ("other properties named", closed() | {"additionalProperties": INT}, closed(a=INT) | {"additionalProperties": INT}, True, True),
    ("property that no object can have", closed(a=False), closed(), True, True),
    ("required property that no value fits", closed(["a"], a=False), closed(["b"], b=INT), True, False),
    ("names narrowed", {"propertyNames": text("^[a-z]+$")}, {"propertyNames": text("^[a-f]+$")}, False, True),
    ("names by enum and by closing", {"propertyNames": {"enum": ["a", "b"]}}, {"properties": {"a": True, "b": True}, "additionalProperties": False}, True, True),
    ("names of a closed object", closed(ab=INT), {"propertyNames": {"maxLength": 2}}, True, False),
    ("pattern properties narrowed", {"patternProperties": {"^p": NUM}}, {"patternProperties": {"^p": INT}}, False, True),
    ("pattern properties of more names", {"patternProperties": {"^pq": INT}}, {"patternProperties": {"^p": INT}}, False, True),
    ("named property that a pattern finds", {"patternProperties": {"^p": INT}, "properties": {"pa": True}}, {"patternProperties": {"^p": INT}, "properties": {"pa": INT}}, True, True),
    ("fewest properties raised", {"type": "object", "minProperties": 1}, {"type": "object", "minProperties": 2}, False, True),
    ("fewest properties that are required", closed(["a", "b"], a=INT, b=INT), {"minProperties": 2, "maxProperties": 2}, True, False),
    ("dependency added", opened(a=INT, b=INT), {**opened(a=INT, b=INT), "dependentRequired": {"a": ["b"]}}, False, True),
    ("dependency replaced by required", {**opened(), "dependentRequired": {"a": ["b"]}}, opened(["b"]), False, True),
    ("dependent schema replaced", {"dependentSchemas": {"a": {"required": ["b"]}}, "type": "object"}, {"dependentRequired": {"a": ["b"]}, "type": "object"}, True, True),
    ("dependency added to any value", {}, {"dependentRequired": {"a": ["b"]}}, False, True),
    ("pattern properties of more names in a closed object", {"patternProperties": {"^p": INT}, "additionalProperties": False}, {"patternProperties": {"p": INT}, "additionalProperties": False}, True, False),
    ("names by pattern and by closing", {"propertyNames": {"pattern": "^p"}, "additionalProperties": INT}, {"patternProperties": {"^p": INT}, "additionalProperties": False}, True, True),
    ("pattern properties that no name has", {"type": "object", "propertyNames": {"pattern": "^a"}}, {"patternProperties": {"^p": INT}}, True, False),
    # Values
    ("enum value added", {"enum": ["a", "b"]}, {"enum": ["a", "b", "c"]}, True, False),
    ("enum value replaced", {"enum": ["a", "b"]}, {"enum": ["a", "c"]}, False, False),
    ("enum reordered", {"enum": ["a", "b"]}, {"enum": ["b", "a"]}, True, True),
    ("const to enum", {"const": 1}, {"enum": [1, 2]}, True, False),
    ("const 1 and 1.0", {"const": 1}, {"const": 1.0}, True, True),
    ("const 1 and true", {"const": 1}, {"const": True}, False, False),
    ("enum of strings by pattern", {"enum": ["ab", "ac"]}, text("^a[bc]$"), True, True),
    ("enum of null and boolean", {"type": ["null", "boolean"]}, {"enum": [None, True, False]}, True, True),
    ("integers by enum", {"type": "integer", "minimum": 1, "maximum": 3}, {"enum": [1, 2, 3]}, True, True),
    ("enum within a nullable type", {"type": ["string", "null"], "enum": ["a", None]}, {"anyOf": [{"const": "a"}, {"type": "null"}]}, True, True),
    # Strings
    ("pattern narrowed", text("^[0-9a-f]{16}$"), text("^[0-9a-f]{16,32}$"), True, False),
    ("pattern written in another way", text("^(a|b)*$"), text("^[ab]*$"), True, True),
    ("pattern without anchors", text("ab"), text("a"), True, False),
    ("alternatives with anchors of their own", text("^a$|^b$"), text("^[ab]$"), True, True),
    ("pattern that implies a length", text("^[a-z]{3,5}$"), {"type": "string", "minLength": 3, "maxLength": 5}, True, False),
    ("length that implies a pattern", {"type": "string", "minLength": 1}, text("[\\s\\S]"), True, True),
    ("dollar is the end", text("^a$"), {"enum": ["a"]}, True, True),
    ("digits are ASCII", text("^\\d$"), text("^[0-9]$"), True, True),
    ("dot is no line end", text("^.$"), text("^[^\\n]$"), True, False),
    ("pattern with a lookahead", text("^(?!ab$)[a-z]+$"), text("^[a-z]+$"), True, False),
    ("longest lowered", {"type": "string", "maxLength": 9}, {"type": "string", "maxLength": 8}, False, True),
    ("format is an annotation", {"type": "string", "format": "date"}, STR, True, True),
    ("encoding is an annotation", {"type": "string", "contentEncoding": "base64"}, STR, True, True),
    ("pattern says nothing of numbers", {"pattern": "^a$"}, {"maxLength": 1}, True, False),
    # Numbers
    ("minimum raised", {"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 1}, False, True),
    ("maximum removed", SMALL, {"type": "integer", "minimum": 0}, True, False),
    ("exclusive bound of integers", {"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}, True, True),
    ("exclusive bound of numbers", {"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0}, True, False),
    ("number to integer", NUM, INT, False, True),
    ("integer and multiple of one", INT, {"type": "number", "multipleOf": 1}, True, True),
    ("multiple of six and of three", {"type": "integer", "multipleOf": 6}, {"type": "integer", "multipleOf": 3}, True, False),
    ("two intervals that cover integers", {"type": "integer"}, {"anyOf": [{"type": "integer", "maximum": 5}, {"type": "integer", "minimum": 6}]}, True, True),
    ("two intervals that miss numbers", {"type": "number"}, {"anyOf": [{"type": "number", "maximum": 5}, {"type": "number", "minimum": 6}]}, False, True),
    # Types
    ("type made nullable", STR, {"type": ["string", "null"]}, True, False),
    ("type list and union", {"type": ["string", "null"]}, {"anyOf": [STR, {"type": "null"}]}, True, True),
    ("type changed", STR, INT, False, False),
    ("everything and nothing", True, False, False, True),
    ("no schema and true", {}, True, True, True),
    ("nothing, written in two ways", False, {"type": "string", "minLength": 2, "maxLength": 1}, True, True),
    # Arrays
    ("items narrowed", {"type": "array", "items": NUM}, {"type": "array", "items": INT}, False, True),
    ("items of an empty array", {"type": "array", "maxItems": 0}, {"type": "array", "items": False}, True, True),
    ("fewest items raised", {"type": "array", "minItems": 1}, {"type": "array", "minItems": 2}, False, True),
    ("tuple widened", {"type": "array", "prefixItems": [INT, STR], "items": False}, {"type": "array", "prefixItems": [NUM, STR], "items": False}, True, False),
    ("tuple longer", {"type": "array", "prefixItems": [INT], "items": False}, {"type": "array", "prefixItems": [INT, STR], "items": False}, True, False),
    ("tuple and list", {"type": "array", "prefixItems": [INT, INT], "items": False}, {"type": "array", "items": INT, "maxItems": 2}, True, True),
    ("unique items required", {"type": "array"}, {"type": "array", "uniqueItems": True}, False, True),
    ("one item is unique", {"type": "array", "maxItems": 1}, {"uniqueItems": True, "type": "array", "maxItems": 1}, True, True),
    ("contains from items", {"type": "array", "items": INT, "minItems": 1}, {"type": "array", "contains": INT}, True, False),
    ("contains narrowed", {"type": "array", "contains": NUM}, {"type": "array", "contains": INT}, False, True),
    ("contains more often", {"type": "array", "contains": INT, "minContains": 2}, {"type": "array", "contains": INT}, True, False),
    ("contains at most", {"type": "array", "contains": INT, "maxContains": 2}, {"type": "array", "contains": INT, "maxContains": 3}, True, False),
    ("contains at most, of one value", {"type": "array"}, {"type": "array", "contains": {"const": 5}, "minContains": 0, "maxContains": 1}, False, True),
    ("contains that may be absent", {"type": "array", "contains": INT, "minContains": 0}, {"type": "array"}, True, True),
    # Unions
    ("member added", {"anyOf": [A, B]}, {"anyOf": [A, B, C]}, True, False),
    ("members reordered", {"oneOf": [A, B]}, {"oneOf": [B, A]}, True, True),
    ("tagged union of either kind", {"anyOf": [A, B]}, {"oneOf": [A, B]}, True, True),
    ("tagged member widened", {"oneOf": [A, B]}, {"oneOf": [closed(["k"], k={"const": "a"}, x=INT), B]}, True, False),
    ("tagged member added", {"oneOf": [A, B]}, {"oneOf": [A, B, C]}, True, False),
    ("overlapping members", {"anyOf": [INT, NUM]}, {"oneOf": [INT, NUM]}, False, True),
    ("union inside and outside", {"anyOf": [closed(["a"], a=INT), closed(["a"], a=STR)]}, closed(["a"], a={"anyOf": [INT, STR]}), True, True),
    ("union of two properties", {"anyOf": [closed(["a", "b"], a=INT, b=INT), closed(["a", "b"], a=STR, b=STR)]}, closed(["a", "b"], a={"type": ["integer", "string"]}, b={"type": ["integer", "string"]}), True, False),
    ("all of the parts", {"allOf": [{"minimum": 0}, {"maximum": 9}, INT]}, SMALL, True, True),
    ("member narrowed so that the union widens", {"oneOf": [closed(["v"], v=text("^a{2}$")), closed(["v"], v=text("^b$"))]}, {"oneOf": [closed(["v"], v=text("^a{2,3}$")), closed(["v"], v=text("^(b|aa)$"))]}, False, False),
    # Negations and conditions
    ("not narrowed", {"not": {"enum": ["a"]}}, {"not": {"enum": ["a", "b"]}}, False, True),
    ("not a number is every other kind", {"not": NUM}, {"type": ["null", "boolean", "string", "array", "object"]}, True, True),
    ("double negation", INT, {"not": {"not": INT}}, True, True),
    ("condition and union", {"if": STR, "then": {"maxLength": 3}, "else": INT}, {"anyOf": [{"type": "string", "maxLength": 3}, INT]}, True, True),
    ("condition added", opened(["k"], k=STR, x=True), {**opened(["k"], k=STR, x=True), "if": {"properties": {"k": {"const": "a"}}}, "then": {"required": ["x"]}}, False, True),
    ("condition added to any value", {}, {"if": {"properties": {"k": {"const": "a"}}, "required": ["k"]}, "then": {"required": ["x"]}}, False, True),
    ("then without if", INT, {**INT, "then": False}, True, True),
    ("condition by tag", {"oneOf": [A, B]}, {"type": "object", "required": ["k"], "if": {"properties": {"k": {"const": "a"}}}, "then": A, "else": B}, True, True),
    # References
    ("reference and its target", defs(ref("X"), X=INT), INT, True, True),
    ("reference with another keyword", defs({**ref("X"), "minimum": 0}, X=INT), {"type": "integer", "minimum": 0}, True, True),
    ("reference to a property", {"properties": {"a": INT, "b": {"$ref": "#/properties/a"}}}, {"properties": {"a": INT, "b": INT}}, True, True),
    ("reference to an anchor", defs({"$ref": "#x"}, X={"$anchor": "x", **INT}), INT, True, True),
    ("members of references that overlap", defs({"oneOf": [closed(["v"], v=ref("X")), closed(["v"], v=ref("Y"))]}, X={"type": "integer", "maximum": 5}, Y={"type": "integer", "minimum": 6}), defs({"oneOf": [closed(["v"], v=ref("X")), closed(["v"], v=ref("Y"))]}, X=INT, Y={"type": "integer", "minimum": 6}), False, True),
    ("reference beside another schema", defs({**opened(["p"], p=ref("X")), "allOf": [opened(p=INT)]}, X={"anyOf": [SMALL, {"type": "array", "items": ref("X")}]}), defs({**opened(["p"], p=ref("X")), "allOf": [opened(p={"type": "integer", "minimum": 5})]}, X={"anyOf": [SMALL, {"type": "array", "items": ref("X")}]}), False, True),
    ("reference beside a pattern", defs({**opened(["p"], p=ref("X")), "patternProperties": {"^p$": INT}}, X={"anyOf": [SMALL, {"type": "array", "items": ref("X")}]}), defs({**opened(["p"], p=ref("X")), "patternProperties": {"^p$": {"minimum": 5}}}, X={"anyOf": [SMALL, {"type": "array", "items": ref("X")}]}), False, False),
    # Recursion
    ("recursive list widened", defs(ref("L"), L=closed(["v"], v=INT, next=ref("L"))), defs(ref("L"), L=closed(["v"], v=NUM, next=ref("L"))), True, False),
    ("recursive list and tree", defs(ref("L"), L=closed(["v"], v=INT, left=ref("L"))), defs(ref("Tree"), Tree=BINARY), True, False),
    ("recursion unrolled once", defs(ref("L"), L=closed(v=INT, next=ref("L"))), defs(ref("L"), L=closed(v=INT, next=closed(v=INT, next=ref("L")))), True, True),
    ("recursion renamed", defs(ref("L"), L=closed(v=INT, next=ref("L"))), defs(ref("M"), M=closed(v=INT, next=ref("N")), N=closed(v=INT, next=ref("M"))), True, True),
    ("mutual recursion narrowed deep inside", defs(ref("M"), M=closed(v=INT, next=ref("N")), N=closed(v=INT, next=ref("M"))), defs(ref("M"), M=closed(v=INT, next=ref("N")), N=closed(v=SMALL, next=ref("M"))), False, True),
    ("recursion without end has no documents", defs(ref("L"), L=closed(["next"], next=ref("L"))), False, True, True),
    ("recursion through the root", closed(v=INT, next={"$ref": "#"}), closed(v=NUM, next={"$ref": "#"}), True, False),
    ("recursive union", defs(ref("J"), J={"anyOf": [INT, {"type": "array", "items": ref("J")}]}), defs(ref("J"), J={"anyOf": [INT, STR, {"type": "array", "items": ref("J")}]}), True, False),
]]  # fmt: skip
