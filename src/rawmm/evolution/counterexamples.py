"""Searches for a small document that one schema accepts and another refuses.

The search is deterministic. It tries values at the edges of both schemas (bounds, lengths, texts
that tell patterns apart), one change of a smallest document at a time, then some at random. A
document that is found is shrunk, and shown only if a second validator agrees.
"""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.evolution import engine
from rawmm.evolution.documents import children
from rawmm.evolution.regular import UnreadableError, Wanted, find_string

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawmm.evolution.documents import Node

_MOST: Final = 48
"""Values that are tried of one schema."""
_SHOWN: Final = 8
"""Constants that are tried where any value may stand."""
_LEVELS: Final = 6
_TRIES: Final = 20_000
"""Values that are tried of all schemas together."""
_RANDOM: Final = 300
_SHRINKS: Final = 2_000
_LONGEST: Final = 5_000
_ANY: Final[list[Any]] = [None, True, 0, 1.5, "", "a", [], {}]
_KEYWORDS_OF: Final = {
    "string": ("pattern", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "object": (
        "properties", "required", "additionalProperties", "propertyNames", "patternProperties",
        "minProperties", "maxProperties", "dependentRequired", "dependentSchemas",
    ),
}  # fmt: skip


class Found(NamedTuple):
    """A document that one schema accepts and the other refuses."""

    document: Any
    is_confirmed: bool
    """Whether the second validator agrees."""


def find(old: Node, new: Node) -> Found | None:
    """A small document that `old` accepts and `new` refuses, if the search finds one."""
    confirmed = _second(old, new)

    def wanted(document: Any) -> bool:
        return old.accepts(document) and not new.accepts(document)

    samples = _Samples(old, new)
    tries = 0
    first: Found | None = None
    for document in samples.documents():
        if not wanted(document):
            continue
        for one in (_shrunk(document, wanted), document):
            if confirmed(one):
                return Found(one, is_confirmed=True)
        first = first or Found(document, is_confirmed=False)
        tries += 1
        if tries > _MOST:
            break
    return first


def _second(old: Node, new: Node) -> Callable[[Any], bool]:
    accepts = engine.second_judge(old.document.alone(old.schema))
    refuses = engine.second_judge(new.document.alone(new.schema))
    return lambda document: accepts(document) is True and refuses(document) is False


class _Samples:
    """Documents of one schema, informed by another."""

    def __init__(self, old: Node, new: Node) -> None:
        self.old = old
        schemas = [*_reached(old), *_reached(new)]
        self.strings: list[str] = []
        self.numbers: list[float] = [0, 1, -1, 0.5]
        sizes: set[int] = {0, 1, 2}
        patterns: list[str] = []
        names: list[str] = []
        self.kinds = [
            kind
            for kind, keys in _KEYWORDS_OF.items()
            if any(not schema.keys().isdisjoint(keys) for schema in schemas)
        ]
        """The kinds that a keyword of one of the schemas is about."""
        self.values: list[Any] = []
        for schema in schemas:
            for value in [
                *schema.get("enum", ()),
                *([schema["const"]] if "const" in schema else ()),
            ]:
                self.values.append(value)
                if isinstance(value, str):
                    self.strings.append(value)
                elif isinstance(value, (int, float)) and not isinstance(value, bool):
                    self.numbers.append(value)
            for key in _KEYWORDS_OF["number"]:
                if key in schema:
                    bound = schema[key]
                    self.numbers += [bound, bound + 1, bound - 1, bound + 0.5, bound - 0.5]
            for key in (
                "minLength",
                "maxLength",
                "minItems",
                "maxItems",
                "minContains",
                "maxContains",
            ):
                if key in schema:
                    sizes |= {schema[key], schema[key] + 1, max(schema[key] - 1, 0)}
            patterns += [one for one in (schema.get("pattern"),) if one]
            patterns += schema.get("patternProperties", {})
            names += schema.get("properties", {})
            names += schema.get("required", ())
            names += schema.get("dependentRequired", ())
            names += schema.get("dependentSchemas", ())
        self.sizes = sorted(size for size in sizes if size <= _LONGEST)
        self.names = list(dict.fromkeys([*names, "x"]))
        del self.values[_SHOWN:]
        patterns = list(dict.fromkeys(patterns))
        self.strings += _strings(
            Wanted((), (one,), low=size) for one in patterns for size in (0, 2)
        )
        for one in patterns:
            self.strings += _strings([Wanted((one,))])
            others = [Wanted((one,), (other,)) for other in patterns if other != one]
            self.strings += _strings(others[:_MOST])
        self.strings = list(dict.fromkeys(["", "a", *self.strings]))
        self._known: dict[tuple[str, int], list[Any]] = {}
        self._left = _TRIES

    def documents(self) -> Iterator[Any]:
        """The documents, simple ones first."""
        yield from self.of(self.old, _LEVELS, most=20 * _MOST)
        chance = random.Random(0)  # noqa: S311  (the same documents each time)
        for _ in range(_RANDOM):
            yield self._drawn(self.old, _LEVELS, chance)

    def of(self, node: Node, levels: int, most: int = _MOST) -> list[Any]:
        """Values that a schema accepts."""
        key = (node.key, levels)
        if key not in self._known:
            self._known[key] = []
            out: dict[str, Any] = {}
            for value in self._tried(node, levels):
                text = json.dumps(value, sort_keys=True)
                self._left -= 1
                if self._left < 0:
                    break
                if text not in out and node.accepts(value):
                    out[text] = value
                    if len(out) >= most:
                        break
            self._known[key] = sorted(out.values(), key=_weight)
        return self._known[key]

    def _tried(self, node: Node, levels: int) -> Iterator[Any]:
        schema = node.schema
        if isinstance(schema, bool) or levels < 0:
            yield from (*_ANY, *self.values) if schema is not False else ()
            return
        if "const" in schema:
            yield schema["const"]
        yield from schema.get("enum", ())
        if "const" in schema or "enum" in schema:
            return
        if "$ref" in schema:
            target = node.document.definition(schema["$ref"].removeprefix("#/$defs/"))
            yield from self.of(target, levels - 1)
        for key in ("allOf", "anyOf", "oneOf"):
            for member in schema.get(key, ()):
                yield from self.of(node.sub(member), levels)
        for key in ("then", "else"):
            if key in schema:
                yield from self.of(node.sub(schema[key]), levels)
        kinds = schema.get("type")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if kinds is None:
            kinds = [
                kind for kind, keys in _KEYWORDS_OF.items() if not schema.keys().isdisjoint(keys)
            ]
            if node.key == self.old.key:
                kinds = list(dict.fromkeys([*kinds, *self.kinds]))
            if schema.keys().isdisjoint(("$ref", "allOf", "anyOf", "oneOf")):
                yield from _ANY
                yield from self.values
                yield from self.numbers[:8]
                yield from self.strings[:8]
        for kind in kinds:
            if kind == "null":
                yield None
            elif kind == "boolean":
                yield from (False, True)
            elif kind in ("number", "integer"):
                yield from self.numbers
            elif kind == "string":
                yield from self._texts(schema)
            elif kind == "array":
                yield from self._arrays(node, schema, levels)
            else:
                yield from self._objects(node, schema, levels)

    def _texts(self, schema: dict[str, Any]) -> Iterator[str]:
        found = (schema["pattern"],) if "pattern" in schema else ()
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        yield from _strings([Wanted(found, low=low, high=high)])
        yield from self.strings
        for size in self.sizes:
            yield from _strings([Wanted(found, low=size, high=size)])

    def _arrays(self, node: Node, schema: dict[str, Any], levels: int) -> Iterator[Any]:
        first = [self.of(node.sub(one), levels - 1) for one in schema.get("prefixItems", ())]
        items = schema.get("items", schema.get("contains", True))
        each = self.of(node.sub(items), levels - 1)
        base = [values[0] for values in first if values]
        if len(base) == len(first):
            yield base
        yield []
        for place, values in enumerate(first):
            if len(base) == len(first):
                yield from ([*base[:place], value, *base[place + 1 :]] for value in values[1:])
        for value in each:
            yield [*base, value]
        for size in self.sizes:
            if each and size > len(base):
                for value in each[: 1 if size > _MOST else len(_ANY) + _SHOWN]:
                    yield [*base, *[value] * (size - len(base))]
                if len(each) >= size - len(base):
                    yield [*base, *each[: size - len(base)]]

    def _objects(self, node: Node, schema: dict[str, Any], levels: int) -> Iterator[Any]:
        named = schema.get("properties", {})
        values = {name: self.of(node.sub(one), levels - 1) for name, one in named.items()}
        rest = self.of(node.sub(schema.get("additionalProperties", True)), levels - 1)
        required = schema.get("required", ())
        base = {name: (values.get(name) or rest or [None])[0] for name in required}
        yield base
        for name, several in values.items():
            yield from ({**base, name: value} for value in several)
        for name in required:
            if name not in values:
                yield from ({**base, name: value} for value in rest)
        for pattern, one in schema.get("patternProperties", {}).items():
            texts = [*_strings([Wanted((pattern,))]), *self.names, *self.strings[:_MOST]]
            for name in dict.fromkeys(texts):
                yield from (
                    {**base, name: value} for value in self.of(node.sub(one), levels - 1)[:8]
                )
        if schema.get("additionalProperties") is not False or "patternProperties" in schema:
            names = [name for name in [*self.names, *self.strings] if name not in named]
            if "propertyNames" in schema:
                names += self.of(node.sub(schema["propertyNames"]), levels - 1)
            for name in [name for name in names if isinstance(name, str)][:64]:
                yield from ({**base, name: value} for value in rest[:12])
        yield {**{name: several[0] for name, several in values.items() if several}, **base}

    def _drawn(self, node: Node, levels: int, chance: random.Random) -> Any:
        """Several changes at once."""
        several = [one for one in self.of(node, levels) if isinstance(one, dict)]
        if not several:
            values = self.of(node, levels)
            return chance.choice(values) if values else None
        out: dict[str, Any] = {}
        for one in chance.sample(several, min(len(several), chance.randint(2, 5))):
            out |= one
        return out


def _reached(node: Node) -> list[dict[str, Any]]:
    """The schemas in a schema and in what it refers to."""
    out: list[dict[str, Any]] = []
    seen: set[str] = set()
    todo: list[Any] = [node.schema]
    while todo:
        schema = todo.pop()
        if not isinstance(schema, dict):
            continue
        out.append(schema)
        name = schema.get("$ref", "").removeprefix("#/$defs/")
        if name and name not in seen:
            seen.add(name)
            todo.append(node.document.defs[name])
        todo += [child for _, child in children(schema)]
    return out


def _strings(several: Iterable[Wanted]) -> Iterator[str]:
    for wanted in several:
        try:
            text = find_string(wanted, most_states=2_000)
        except UnreadableError:
            continue
        if text is not None:
            yield text


def _weight(value: Any) -> tuple[int, str]:
    text = json.dumps(value, sort_keys=True)
    return len(text), text


def _shrunk(document: Any, wanted: Callable[[Any], bool]) -> Any:
    """A smaller document that is wanted, too."""
    left = _SHRINKS
    smaller = True
    while smaller:
        smaller = False
        for one in _simpler(document):
            left -= 1
            if left < 0:
                return document
            if wanted(one):
                document, smaller = one, True
                break
    return document


def _simpler(value: Any) -> Iterator[Any]:
    """Simpler values, those that leave out most first."""
    if isinstance(value, dict):
        for key in value:
            yield {name: one for name, one in value.items() if name != key}
        for key, inner in value.items():
            yield from ({**value, key: one} for one in _simpler(inner))
    elif isinstance(value, list):
        if len(value) > 3:
            yield value[: len(value) // 2]
        for place in range(min(len(value), 64)):
            yield [*value[:place], *value[place + 1 :]]
        for place, inner in enumerate(value[:64]):
            yield from ([*value[:place], one, *value[place + 1 :]] for one in _simpler(inner))
    elif isinstance(value, str) and value:
        yield from dict.fromkeys(("", "a", value[: len(value) // 2], value[:-1], value[1:]))
        if value != "a" * len(value):
            yield "a" * len(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and value:
        simple = [0, 1] if value not in (0, 1) else [0]
        half = math.trunc(value / 2) if abs(value) < 2**53 else value // 2
        yield from (one for one in [*simple, half] if abs(one) < abs(value))


def shown_document(document: Any, limit: int = 400) -> str:
    """A document on one line; long ones are cut."""
    text = json.dumps(_abbreviated(document), ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _abbreviated(value: Any) -> Any:
    if isinstance(value, str) and len(value) > 80:
        return f"{value[:16]}... ({len(value)} characters)"
    if isinstance(value, list):
        return [_abbreviated(one) for one in value]
    if isinstance(value, dict):
        return {_abbreviated(key): _abbreviated(one) for key, one in value.items()}
    return value
