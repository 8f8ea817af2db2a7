"""Proves that every document that satisfies some schemas satisfies one of others.

`Prover.proves(old, new)` is a search for a proof in a sequent calculus. The left side lists schemas
that a document satisfies (facts), the right side those of which it must satisfy one (alternatives).
Each step is sound alone:

- a negation changes sides; ``allOf`` on the left and ``anyOf`` on the right are lists; ``anyOf``,
  ``oneOf`` and ``if`` on the left are cases; ``oneOf`` on the right is ``anyOf`` and disjointness;
- if the facts leave finitely many values, validators judge each of them;
- otherwise a document has one of seven kinds, and the keywords of its kind decide: intervals for
  numbers, automata for strings, and the values inside for arrays and objects.

Steps into a value are steps to a smaller document. A goal that recurs there is true by induction
over the size of the document, so recursive schemas need no special case.

Facts that the prover does not understand are dropped, alternatives likewise. Both make it prove
less.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from rawmm.evolution.documents import OPAQUE
from rawmm.evolution.regular import UnreadableError, Wanted, find_string, language

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rawmm.evolution.documents import Document, Node

KINDS: Final = ("null", "boolean", "integer", "fraction", "string", "array", "object")
_ALL: Final = frozenset(KINDS)
_SPLIT: Final = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
_NUMERIC: Final = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
MAX_STEPS: Final = 20_000
_MAX_INTEGERS: Final = 64
"""An interval of so many integers is judged value by value."""


class TooHardError(Exception):
    """The search was given up."""


class Prover:
    """Searches for proofs within a number of steps. One prover may be asked many times."""

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        self._max_steps = max_steps
        self._left_steps = max_steps
        self._proved: dict[Any, None] = {}
        """Goals that are proved, or assumed by the goals being proved, in order."""
        self._failed: set[Any] = set()

    def proves(self, old: Node, new: Node) -> bool:
        """Whether there is a proof that `new` accepts every document that `old` accepts."""
        if old.document.is_dynamic or new.document.is_dynamic:
            return False
        self._left_steps = self._max_steps
        try:
            return self._holds((old,), (new,))
        except (TooHardError, RecursionError):
            self._proved.clear()  # the assumptions of unfinished goals are among them
            return False

    # Goals ------------------------------------------------------------------------------------

    def _holds(self, left: Iterable[Node], right: Iterable[Node]) -> bool:
        """A goal about a document of its own."""
        left, right = tuple(left), tuple(right)
        goal = (frozenset(one.key for one in left), frozenset(one.key for one in right))
        if goal in self._proved:
            return True
        if goal in self._failed:
            return False
        self._proved[goal] = None
        if self._sequent(left, right, frozenset()):
            return True
        # What was proved since then may rest on this goal.
        while next(reversed(self._proved)) != goal:
            self._proved.popitem()
        self._proved.popitem()
        self._failed.add(goal)
        return False

    def _sequent(  # noqa: PLR0915  (one loop for each side)
        self, left: Sequence[Node], right: Sequence[Node], seen: frozenset[tuple[str, str]]
    ) -> bool:
        """A goal about the document of the goal above. `seen`: the references that it unfolded."""
        self._left_steps -= 1
        if self._left_steps < 0:
            raise TooHardError
        known: set[str] = set()
        facts: dict[str, Node] = {}
        todo, alternatives = list(reversed(left)), list(right)
        unfolded = set(seen)
        while todo:
            node = todo.pop()
            schema = node.schema
            if schema is True or node.key in known:
                continue
            if schema is False:
                return True
            known.add(node.key)
            if not OPAQUE.isdisjoint(schema):
                todo.append(node.sub({k: v for k, v in schema.items() if k not in OPAQUE}))
                continue
            rest = {key: value for key, value in schema.items() if key not in _SPLIT}
            if len(rest) == len(schema):
                facts[node.key] = node
                continue
            if rest:
                todo.append(node.sub(rest))
            if "$ref" in schema:
                target = _target(node)
                if ("left", target.key) not in unfolded:
                    unfolded.add(("left", target.key))
                    todo.append(target)
            todo += [node.sub(member) for member in schema.get("allOf", ())]
            if "not" in schema:
                alternatives.append(node.sub(schema["not"]))
            for union in ("anyOf", "oneOf"):
                if union in schema:
                    alone = node.sub({union: schema[union]})
                    known.add(alone.key)
                    facts[alone.key] = alone
            if "if" in schema and ("then" in schema or "else" in schema):
                alone = node.sub({k: schema[k] for k in ("if", "then", "else") if k in schema})
                known.add(alone.key)
                facts[alone.key] = alone
            todo += [node.sub(one) for one in _dependent(schema)]
        wanted: dict[str, Node] = {}
        todo = list(reversed(alternatives))
        while todo:
            node = todo.pop()
            schema = node.schema
            if schema is True or schema == {} or node.key in known:
                return True
            if schema is False or node.key in wanted:
                continue
            if set(schema) == {"$ref"}:
                target = _target(node)
                if ("right", target.key) not in unfolded:
                    unfolded.add(("right", target.key))
                    todo.append(target)
                continue
            if set(schema) == {"anyOf"}:
                todo += [node.sub(member) for member in reversed(schema["anyOf"])]
                continue
            wanted[node.key] = node
        return self._cases(facts, list(wanted.values()), frozenset(unfolded))

    def _cases(
        self, facts: dict[str, Node], right: list[Node], seen: frozenset[tuple[str, str]]
    ) -> bool:
        """Split into cases: finitely many values, members of unions, kinds."""
        flat = [node for node in facts.values() if isinstance(node.schema, dict)]
        for node in flat:
            values = _values(node)
            if values is not None:
                return all(self._judged(value, facts.values(), right) for value in values)
        kinds = _ALL.intersection(*(_kinds(node) for node in flat))
        for node in flat:
            schema = node.schema
            assert isinstance(schema, dict)
            others = [one for one in facts.values() if one is not node]
            if "if" in schema:
                condition = node.sub(schema["if"])
                met = [*others, condition, node.sub(schema.get("then", True))]
                unmet = [*others, node.sub(schema.get("else", True))]
                return self._sequent(met, right, seen) and self._sequent(
                    unmet, [*right, condition], seen
                )
            union = "anyOf" if "anyOf" in schema else "oneOf" if "oneOf" in schema else None
            if union is None:
                continue
            members = [node.sub(member) for member in schema[union]]
            members = [one for one in members if _kinds(one) & kinds]
            for member in members:
                if self._sequent([*others, member], right, seen):
                    continue
                rest = [one for one in members if one is not member]
                if union == "anyOf" or not self._sequent([*others, member], [*right, *rest], seen):
                    return False
            return True
        return all(self._of_kind(kind, flat, right, seen) for kind in KINDS if kind in kinds)

    def _judged(self, value: Any, facts: Iterable[Node], right: Iterable[Node]) -> bool:
        """Whether a value breaks a fact or satisfies an alternative."""
        return any(one.accepts(value) for one in right) or not all(
            one.accepts(value) for one in facts
        )

    def _of_kind(
        self, kind: str, facts: list[Node], right: list[Node], seen: frozenset[tuple[str, str]]
    ) -> bool:
        """A goal about documents of one kind. The facts have keywords of kinds only."""
        if kind == "null":
            return self._judged(None, facts, right)
        if kind == "boolean":
            return all(self._judged(value, facts, right) for value in (False, True))
        if kind == "integer":
            low, high = _Numbers(facts, [], whole=True).bounds()
            if low is not None and high is not None and high - low < _MAX_INTEGERS:
                integers = range(math.ceil(low), math.floor(high) + 1)
                return all(self._judged(value, facts, right) for value in integers)
        return self._covered(kind, facts, right, seen)

    def _covered(
        self, kind: str, facts: list[Node], right: list[Node], seen: frozenset[tuple[str, str]]
    ) -> bool:
        """Whether the alternatives together accept the documents of a kind."""
        self._left_steps -= 1
        if self._left_steps < 0:
            raise TooHardError
        split: list[list[Node]] = []
        unfolded = set(seen)
        todo = list(reversed(right))
        while todo:
            node = todo.pop()
            schema = node.schema
            if isinstance(schema, dict) and set(schema) == {"$ref"}:
                target = _target(node)
                if ("right", target.key) not in unfolded:
                    unfolded.add(("right", target.key))
                    todo.append(target)
                continue
            if isinstance(schema, dict) and set(schema) == {"anyOf"}:
                todo += [node.sub(member) for member in reversed(schema["anyOf"])]
                continue
            parts = _parts(node, kind)
            if parts is None:
                continue
            if not parts:
                return True
            split.append(parts)
        seen = frozenset(unfolded)
        if kind == "object" and len(split) > 1:
            objects = _Objects(self, facts)
            split = [parts for parts in split if not objects.lack_required(parts)]
        for index, parts in enumerate(split):
            # An alternative that a property is there leaves the documents without it to the others.
            schema = parts[0].schema
            if (
                len(split) > len(parts) == 1
                and isinstance(schema, dict)
                and set(schema) == {"required"}
            ):
                absent = parts[0].sub({"properties": dict.fromkeys(schema["required"], False)})
                rest = [_joined(one) for place, one in enumerate(split) if place != index]
                return self._covered(kind, [*facts, absent], rest, seen)
        if len(split) > 1 and any(
            all(self._covered(kind, facts, [part], seen) for part in parts) for parts in split
        ):
            return True
        for index, parts in enumerate(split):
            if len(parts) > 1:
                others = [_joined(one) for place, one in enumerate(split) if place != index]
                return all(self._covered(kind, facts, [part, *others], seen) for part in parts)
        single = [parts[0] for parts in split]
        for index, node in enumerate(single):
            if isinstance(node.schema, dict) and set(node.schema) == {"not"}:
                rest = [one for place, one in enumerate(single) if place != index]
                only = node.sub({"type": kind} if kind != "fraction" else _FRACTION)
                return self._sequent([*facts, only, node.sub(node.schema["not"])], rest, seen)
        if any(_is_complex(node, kind) for node in single):
            return self._covered(kind, facts, single, seen)
        if kind in ("integer", "fraction"):
            return _Numbers(facts, single, whole=kind == "integer").is_empty()
        if kind == "string":
            return _no_string(facts, single)
        if kind == "array":
            return _Arrays(self, facts).covered(single)
        return _Objects(self, facts).covered(single)


_FRACTION: Final[dict[str, Any]] = {"type": "number", "not": {"type": "integer"}}


def _target(node: Node) -> Node:
    """What a reference leads to."""
    assert isinstance(node.schema, dict)
    document: Document = node.document
    return document.definition(node.schema["$ref"].removeprefix("#/$defs/"))


def _dependent(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """``dependentSchemas`` by other keywords."""
    return [
        {"anyOf": [{"not": {"type": "object", "required": [name]}}, then]}
        for name, then in schema.get("dependentSchemas", {}).items()
    ]


def _kinds(node: Node) -> frozenset[str]:
    """The kinds that the keyword ``type`` leaves."""
    schema = node.schema
    if isinstance(schema, bool):
        return _ALL if schema else frozenset()
    stated = schema.get("type")
    if stated is None:
        return _ALL
    names = {stated} if isinstance(stated, str) else set(stated)
    if "number" in names:
        names |= {"integer", "fraction"}
    return _ALL & names


def _values(node: Node) -> list[Any] | None:
    """The only values that the keywords ``enum`` and ``const`` leave; None if there are neither."""
    schema = node.schema
    assert isinstance(schema, dict)
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if value == int(value) else "fraction"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _joined(parts: list[Node]) -> Node:
    """Parts as one schema again."""
    if len(parts) == 1:
        return parts[0]
    return parts[0].sub({"allOf": [part.schema for part in parts]})


def _is_complex(node: Node, kind: str) -> bool:
    """Whether a part must be split again."""
    parts = _parts(node, kind)
    schema = node.schema
    union = isinstance(schema, dict) and not schema.keys().isdisjoint(("anyOf", "$ref"))
    return union or parts is None or [part.key for part in parts] != [node.key]


def _parts(node: Node, kind: str) -> list[Node] | None:
    """The constraints of an alternative on documents of one kind, one a schema.

    None if it accepts none, or if the prover does not understand it.
    """
    schema = node.schema
    if isinstance(schema, bool):
        return [] if schema else None
    if kind not in _kinds(node) or not OPAQUE.isdisjoint(schema):
        return None
    out: list[Any] = []
    if "$ref" in schema:
        out.append({"$ref": schema["$ref"]})
    out += schema.get("allOf", ())
    if "anyOf" in schema:
        out.append({"anyOf": schema["anyOf"]})
    if "oneOf" in schema:
        members = schema["oneOf"]
        out.append({"anyOf": members})
        out += [
            {"not": {"allOf": [one, two]}}
            for place, one in enumerate(members)
            for two in members[place + 1 :]
        ]
    if "not" in schema:
        out.append({"not": schema["not"]})
    if "if" in schema:
        if "then" in schema:
            out.append({"anyOf": [{"not": schema["if"]}, schema["then"]]})
        if "else" in schema:
            out.append({"anyOf": [schema["if"], schema["else"]]})
    for key in ("enum", "const"):
        if key in schema:
            values = schema[key] if key == "enum" else [schema[key]]
            values = [value for value in values if _kind_of(value) == kind]
            if not values:
                return None
            out.append({"enum": values})
    out += _BY_KIND.get(kind, _no_parts)(schema)
    nodes = [node.sub(one) for one in out]
    return [one for one in nodes if one.schema not in (True, {})]


def _no_parts(schema: dict[str, Any]) -> list[Any]:
    del schema
    return []


def _number_parts(schema: dict[str, Any]) -> list[Any]:
    return [{key: schema[key]} for key in sorted(_NUMERIC & schema.keys())]


def _string_parts(schema: dict[str, Any]) -> list[Any]:
    keys = ("minLength", "maxLength", "pattern")
    return [{key: schema[key]} for key in keys if key in schema]


def _array_parts(schema: dict[str, Any]) -> list[Any]:
    out: list[Any] = [{key: schema[key]} for key in ("minItems", "maxItems") if key in schema]
    if schema.get("uniqueItems"):
        out.append({"uniqueItems": True})
    first = schema.get("prefixItems", [])
    out += [
        {"prefixItems": [*[True] * place, one]}
        for place, one in enumerate(first)
        if one is not True and one != {}
    ]
    if schema.get("items", True) not in (True, {}):
        after = {"prefixItems": [True] * len(first)} if first else {}
        out.append({**after, "items": schema["items"]})
    if "contains" in schema:
        if schema.get("minContains", 1):
            least = schema.get("minContains", 1)
            out.append({"contains": schema["contains"], "minContains": least})
        if "maxContains" in schema:
            most = schema["maxContains"]
            out.append({"contains": schema["contains"], "minContains": 0, "maxContains": most})
    return out


def _object_parts(schema: dict[str, Any]) -> list[Any]:
    keys = ("minProperties", "maxProperties", "propertyNames")
    out: list[Any] = [{"required": [name]} for name in schema.get("required", ())]
    named = schema.get("properties", {})
    # Constants first: they tell the members of a union apart.
    ordered = sorted(named.items(), key=lambda item: not _is_tag(item[1]))
    out += [{"properties": {name: one}} for name, one in ordered if one is not True and one != {}]
    out += [{key: schema[key]} for key in keys if key in schema]
    patterns = schema.get("patternProperties", {})
    out += [
        {"patternProperties": {pattern: one}}
        for pattern, one in patterns.items()
        if one is not True and one != {}
    ]
    if schema.get("additionalProperties", True) not in (True, {}):
        out.append(
            {
                "properties": dict.fromkeys(sorted(named), True),
                "patternProperties": dict.fromkeys(sorted(patterns), True),
                "additionalProperties": schema["additionalProperties"],
            }
        )
    for name, needed in schema.get("dependentRequired", {}).items():
        without = {"not": {"type": "object", "required": [name]}}
        out += [{"anyOf": [without, {"required": [one]}]} for one in needed]
    return out + _dependent(schema)


def _is_tag(schema: Any) -> bool:
    return isinstance(schema, dict) and "const" in schema


_BY_KIND: Final = {
    "integer": _number_parts,
    "fraction": _number_parts,
    "string": _string_parts,
    "array": _array_parts,
    "object": _object_parts,
}


def _schemas(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    return [node.schema for node in nodes if isinstance(node.schema, dict)]


class _Numbers:
    """The numbers that satisfy all facts and no alternative."""

    def __init__(self, facts: list[Node], alternatives: list[Node], *, whole: bool) -> None:
        self.whole = whole
        # Bounds, each with whether it is excluded.
        self.lows: list[tuple[Fraction, bool]] = []
        self.highs: list[tuple[Fraction, bool]] = []
        self.steps: list[Fraction] = []
        self.missed_steps: list[Fraction] = []
        for schema in _schemas(facts):
            self._add(schema, met=True)
        for schema in _schemas(alternatives):
            self._add(schema, met=False)

    def _add(self, schema: dict[str, Any], *, met: bool) -> None:
        for key in _NUMERIC & schema.keys():
            value = _exact(schema[key])
            if key == "multipleOf":
                (self.steps if met else self.missed_steps).append(value)
            else:
                is_low = key.lower().endswith("minimum")
                excluded = key.startswith("exclusive")
                bounds = self.lows if is_low == met else self.highs
                bounds.append((value, excluded == met))

    def bounds(self) -> tuple[Fraction | None, Fraction | None]:
        """The closed interval of integers; None without a bound."""
        lows = [Fraction(math.floor(one) + 1 if out else math.ceil(one)) for one, out in self.lows]
        highs = [
            Fraction(math.ceil(one) - 1 if out else math.floor(one)) for one, out in self.highs
        ]
        return max(lows, default=None), min(highs, default=None)

    def is_empty(self) -> bool:
        """Whether there is certainly no such number."""
        if self.whole:
            low, high = self.bounds()
            if low is not None and high is not None and low > high:
                return True
        else:
            low, low_out = max(self.lows, default=(None, False))
            high, high_out = min(
                self.highs, key=lambda one: (one[0], not one[1]), default=(None, False)
            )
            if low is None or high is None:
                pass
            elif low > high or (low == high and (low_out or high_out)):
                return True
        # 1 is a step of integers. Otherwise only equal steps: validators round in their own ways.
        steps = [*self.steps, Fraction(1)] if self.whole else self.steps
        return any(
            missed == step or (_is_int(missed) and _is_int(step) and _is_int(step / missed))
            for missed in self.missed_steps
            for step in steps
        )


def _is_int(value: Fraction) -> bool:
    return value.denominator == 1


def _exact(value: float) -> Fraction:
    return Fraction(value)


def _no_string(facts: list[Node], alternatives: list[Node]) -> bool:
    """Whether there is certainly no string that satisfies all facts and no alternative."""
    found, missed, unlike = [], [], set()
    low, high = 0, math.inf
    for schema in _schemas(facts):
        low = max(low, schema.get("minLength", 0))
        high = min(high, schema.get("maxLength", math.inf))
        if "pattern" in schema:
            found.append(schema["pattern"])
    for schema in _schemas(alternatives):
        if "minLength" in schema:
            high = min(high, schema["minLength"] - 1)
        if "maxLength" in schema:
            low = max(low, schema["maxLength"] + 1)
        if "pattern" in schema:
            missed.append(schema["pattern"])
        unlike |= set(schema.get("enum", ()))
    if low > high or set(found) & set(missed):
        return True
    # A pattern that is not read is left out, so that more strings remain.
    found, missed = [one for one in found if _reads(one)], [one for one in missed if _reads(one)]
    wanted = Wanted(
        tuple(sorted(set(found))),
        tuple(sorted(set(missed))),
        int(low),
        None if high == math.inf else int(high),
        frozenset(unlike),
    )
    try:
        return find_string(wanted) is None
    except UnreadableError:
        return False


def _reads(pattern: str) -> bool:
    try:
        language(pattern)
    except UnreadableError:
        return False
    return True


def _finds(pattern: str, text: str) -> bool | None:
    """Whether a pattern finds a string; None if it is not read."""
    try:
        return language(pattern).finds(text)
    except UnreadableError:
        return None


def _includes(outer: str, inner: str) -> bool:
    """Whether a pattern certainly finds every string that another finds."""
    if outer == inner:
        return True
    try:
        return find_string(Wanted((inner,), (outer,))) is None
    except UnreadableError:
        return False


class _Arrays:
    """The arrays that satisfy all facts."""

    def __init__(self, prover: Prover, facts: list[Node]) -> None:
        self.prover = prover
        self.facts = [node for node in facts if isinstance(node.schema, dict)]
        schemas = _schemas(facts)
        self.low = max((schema.get("minItems", 0) for schema in schemas), default=0)
        self.high = min((schema.get("maxItems", math.inf) for schema in schemas), default=math.inf)
        for schema in schemas:
            if "contains" in schema:
                self.low = max(self.low, schema.get("minContains", 1))
        self.unique = any(schema.get("uniqueItems") for schema in schemas)
        self.first = max((len(schema.get("prefixItems", ())) for schema in schemas), default=0)

    def element(self, place: int) -> list[Node]:
        """What the element at a place satisfies."""
        out = []
        for node in self.facts:
            assert isinstance(node.schema, dict)
            first = node.schema.get("prefixItems", ())
            if place < len(first):
                out.append(node.sub(first[place]))
            elif "items" in node.schema:
                out.append(node.sub(node.schema["items"]))
        return out

    def each(self, begin: int, wanted: Sequence[Node]) -> bool:
        """Whether every element from a place on satisfies one of the schemas."""
        last = max(self.first, begin)
        return all(
            place >= self.high or self.prover._holds(self.element(place), wanted)  # noqa: SLF001
            for place in range(begin, last + 1)
        )

    def covered(self, alternatives: list[Node]) -> bool:
        """Whether each array satisfies one of the single constraints."""
        by_place: dict[int, list[Node]] = {}
        for node in alternatives:
            schema = node.schema
            assert isinstance(schema, dict)
            if "prefixItems" in schema and "items" not in schema:
                first = schema["prefixItems"]
                by_place.setdefault(len(first) - 1, []).append(node.sub(first[-1]))
            elif self._satisfies(node, schema):
                return True
        for place, wanted in by_place.items():
            if place >= self.high or self.prover._holds(self.element(place), wanted):  # noqa: SLF001
                return True
        return self.is_empty()

    def _satisfies(self, node: Node, schema: dict[str, Any]) -> bool:
        if "minItems" in schema:
            return bool(self.low >= schema["minItems"])
        if "maxItems" in schema:
            return bool(self.high <= schema["maxItems"])
        if "uniqueItems" in schema:
            return self.unique or self.high <= 1
        if "items" in schema:
            return self.each(len(schema.get("prefixItems", ())), [node.sub(schema["items"])])
        if "contains" in schema:
            return self._contains(node, schema)
        return False

    def _contains(self, node: Node, schema: dict[str, Any]) -> bool:
        wanted = node.sub(schema["contains"])
        holds = self.prover._holds  # noqa: SLF001
        if "maxContains" in schema:
            most = schema["maxContains"]
            return self.high <= most or any(
                "contains" in other
                and other.get("maxContains", math.inf) <= most
                and holds([wanted], [fact.sub(other["contains"])])
                for fact, other in self._pairs()
            )
        least = schema["minContains"]
        return (self.low >= least and self.each(0, [wanted])) or any(
            "contains" in other
            and other.get("minContains", 1) >= least
            and holds([fact.sub(other["contains"])], [wanted])
            for fact, other in self._pairs()
        )

    def _pairs(self) -> list[tuple[Node, dict[str, Any]]]:
        return [(fact, fact.schema) for fact in self.facts if isinstance(fact.schema, dict)]

    def is_empty(self) -> bool:
        """Whether there is certainly no such array."""
        return self.low > self.high or any(
            self.prover._holds(self.element(place), ())  # noqa: SLF001
            for place in range(min(self.low, self.first + 1))
        )


class _Objects:
    """The objects that satisfy all facts."""

    def __init__(self, prover: Prover, facts: list[Node]) -> None:
        self.holds = prover._holds  # noqa: SLF001
        self.facts = [node for node in facts if isinstance(node.schema, dict)]
        schemas = _schemas(facts)
        self.required = {name for schema in schemas for name in schema.get("required", ())}
        more = True
        while more:
            needed = {
                name
                for schema in schemas
                for given, names in schema.get("dependentRequired", {}).items()
                if given in self.required
                for name in names
            }
            more = not needed <= self.required
            self.required |= needed
        self.named = {name for schema in schemas for name in schema.get("properties", {})}
        self.low = max(
            [len(self.required), *(schema.get("minProperties", 0) for schema in schemas)]
        )
        self.high = min(
            (schema.get("maxProperties", math.inf) for schema in schemas), default=math.inf
        )

    def value(self, name: str) -> list[Node]:
        """What the value of a property satisfies, if it is there."""
        out = []
        for node in self.facts:
            schema = node.schema
            assert isinstance(schema, dict)
            patterns = schema.get("patternProperties", {})
            found = {pattern: _finds(pattern, name) for pattern in patterns}
            out += [node.sub(patterns[pattern]) for pattern, hit in found.items() if hit]
            if name in schema.get("properties", {}):
                out.append(node.sub(schema["properties"][name]))
            elif "additionalProperties" in schema and all(hit is False for hit in found.values()):
                out.append(node.sub(schema["additionalProperties"]))
            if "propertyNames" in schema and not node.sub(schema["propertyNames"]).accepts(name):
                out.append(node.sub(False))
        return out

    def other(self, without: Iterable[str] = (), pattern: str | None = None) -> list[Node]:
        """What the value of a property without a known name satisfies.

        Args:
            without: patterns that do not find the name.
            pattern: a pattern that finds the name.
        """
        out = []
        for node in self.facts:
            schema = node.schema
            assert isinstance(schema, dict)
            patterns = schema.get("patternProperties", {})
            if pattern is not None:
                out += [node.sub(patterns[one]) for one in patterns if _includes(one, pattern)]
            possible = [
                one for one in patterns if not any(_includes(outer, one) for outer in without)
            ]
            rest = schema.get("additionalProperties", True)
            if possible:
                out.append(node.sub({"anyOf": [rest, *(patterns[one] for one in possible)]}))
            else:
                out.append(node.sub(rest))
        return out

    def lack_required(self, parts: list[Node]) -> bool:
        """Whether some of the parts require a property that no such object has."""
        for part in parts:
            schema = part.schema
            if isinstance(schema, dict) and "$ref" in schema:
                schema = _target(part).schema
            needed = schema.get("required", ()) if isinstance(schema, dict) else ()
            if any(one.schema is False for name in needed for one in self.value(name)):
                return True
        return False

    def names(self) -> list[Node]:
        """What each name of a property satisfies."""
        out = []
        for node in self.facts:
            schema = node.schema
            assert isinstance(schema, dict)
            if "propertyNames" in schema:
                out.append(node.sub(schema["propertyNames"]))
            if schema.get("additionalProperties") is False:
                patterns = [{"pattern": one} for one in schema.get("patternProperties", {})]
                named = sorted(schema.get("properties", {}))
                out.append(
                    node.sub(
                        {"anyOf": [{"enum": named}, *patterns] if named else patterns}
                        if named or patterns
                        else False
                    )
                )
        return [node.sub({"type": "string"}) for node in self.facts[:1]] + out

    def covered(self, alternatives: list[Node]) -> bool:
        """Whether each object satisfies one of the single constraints."""
        by_name: dict[str, list[Node]] = {}
        for node in alternatives:
            schema = node.schema
            assert isinstance(schema, dict)
            if set(schema) == {"properties"}:
                ((name, wanted),) = schema["properties"].items()
                by_name.setdefault(name, []).append(node.sub(wanted))
            elif self._satisfies(node, schema):
                return True
        if any(self.holds(self.value(name), wanted) for name, wanted in by_name.items()):
            return True
        return self.is_empty()

    def _satisfies(self, node: Node, schema: dict[str, Any]) -> bool:
        if "required" in schema:
            return schema["required"][0] in self.required
        if "minProperties" in schema:
            return bool(self.low >= schema["minProperties"])
        if "maxProperties" in schema:
            return bool(min(self.high, self._most()) <= schema["maxProperties"])
        if "propertyNames" in schema:
            return self.holds(self.names(), [node.sub(schema["propertyNames"])])
        if "additionalProperties" in schema:
            return self._additional(node, schema)
        if "patternProperties" in schema:
            ((pattern, wanted),) = schema["patternProperties"].items()
            return self._matching(pattern, node.sub(wanted))
        return False

    def _most(self) -> float:
        """The most properties that closed facts leave."""
        closed = [
            len(schema.get("properties", {}))
            for schema in _schemas(self.facts)
            if schema.get("additionalProperties") is False and not schema.get("patternProperties")
        ]
        return min(closed, default=math.inf)

    def _additional(self, node: Node, schema: dict[str, Any]) -> bool:
        wanted = [node.sub(schema["additionalProperties"])]
        named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for name in sorted(self.named | self.required):
            # A pattern that is not read may or may not find the name; then the value must do.
            found = any(_finds(pattern, name) for pattern in patterns)
            if name not in named and not found and not self.holds(self.value(name), wanted):
                return False
        return self._no_other(without=patterns) or self.holds(self.other(without=patterns), wanted)

    def _matching(self, pattern: str, wanted: Node) -> bool:
        for name in sorted(self.named | self.required):
            if _finds(pattern, name) is not False and not self.holds(self.value(name), [wanted]):
                return False
        return self._no_other(pattern=pattern) or self.holds(self.other(pattern=pattern), [wanted])

    def _no_other(self, without: Iterable[str] = (), pattern: str | None = None) -> bool:
        """Whether no property has an unknown name as `other` describes it."""
        known = sorted(self.named | self.required)
        names = self.names()
        if len(names) < 2:
            return False
        if pattern is not None:
            names.append(names[0].sub({"pattern": pattern}))
        allowed: list[Any] = [{"pattern": one} for one in without]
        if known:
            allowed.append({"enum": known})
        return self.holds(names, [names[0].sub(one) for one in allowed])

    def is_empty(self) -> bool:
        """Whether there is certainly no such object."""
        if self.low > min(self.high, self._most()):
            return True
        return any(self.holds(self.value(name), ()) for name in sorted(self.required))
