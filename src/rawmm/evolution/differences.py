"""The edits that lead from one schema to another, each with a name and a place."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.evolution.documents import LIST, MAP, ONE

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple["str | int", ...]

_ABSENT: Final = object()
_NOTES: Final = frozenset(
    {
        "$defs", "definitions", "$schema", "$id", "$comment", "title", "description", "examples",
        "deprecated", "readOnly", "writeOnly", "format", "contentEncoding", "contentMediaType",
        "contentSchema", "x-rawmm-version",
    }
)  # fmt: skip
"""Keywords that do not change what is accepted."""
_LOGIC: Final = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "$dynamicRef")
_LOW: Final = frozenset(
    {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"}
)
_HIGH: Final = frozenset(
    {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"}
)
_INSIDE: Final = frozenset({"items", "additionalProperties", "propertyNames", "contains"})
"""Keywords whose schema narrows with what it holds."""
_LAST: Final = ("additionalProperties", "required")
_NAMES: Final = {
    "$ref": "reference",
    "const": "const",
    "type": "type",
    "propertyNames": "property_names",
    "additionalProperties": "additional_properties",
    "patternProperties": "pattern_properties",
    "multipleOf": "multiple_of",
    "uniqueItems": "unique_items",
    "dependentRequired": "dependency",
    "dependentSchemas": "dependency",
    "prefixItems": "tuple",
    "unevaluatedProperties": "unevaluated_properties",
    "unevaluatedItems": "unevaluated_items",
}
_SIZES: Final = ("x-rawmm-max-depth", "x-rawmm-max-values", "x-rawmm-max-text")


class Edit(NamedTuple):
    """One change. `rule` may end in ``{}``, to be filled with its direction."""

    rule: str
    path: Path
    was: Any
    now: Any
    changes: tuple[tuple[Path, Any], ...] = ()
    """What to set, and where; empty if the change is not one of JSON Schema."""

    def applied(self, schema: Any) -> Any:
        """A copy of the schema with the change."""
        out = copy.deepcopy(schema)
        for path, value in self.changes:
            out = _set(out, path, value if value is _ABSENT else copy.deepcopy(value))
        return out


def _set(root: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    node = root
    for step in path[:-1]:
        node = node[step]
    if value is _ABSENT:
        node.pop(path[-1], None)
    elif isinstance(node, list) and path[-1] == len(node):
        node.append(value)
    else:
        node[path[-1]] = value
    return root


def without_notes(schema: Any) -> Any:
    """A schema without the keywords that do not change what is accepted."""
    if isinstance(schema, list):
        return [without_notes(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NOTES:
            continue
        if key in ONE or key in LIST or key == "x-rawmm-items":
            out[key] = without_notes(value)
        elif key in MAP:
            out[key] = {name: without_notes(one) for name, one in value.items()}
        else:
            out[key] = value
    return out


def edits(old: Any, new: Any, path: Path = ()) -> Iterator[Edit]:
    """The edits that lead from `old` to `new`, in an order in which they can be applied."""
    old, new = without_notes(old), without_notes(new)
    if old == new:
        return
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield Edit("schema_{}", path, old, new, ((path, new),))
        return
    yield from _of_rawmm(old, new, path)
    if old.get("type") != new.get("type"):
        yield Edit(
            "type_{}",
            (*path, "type") if "type" in new else path,
            old.get("type"),
            new.get("type"),
            ((path, new),),
        )
        return
    if any((key in old) != (key in new) for key in _LOGIC) and not _is_only_added(old, new):
        yield Edit("schema_{}", path, old, new, ((path, new),))
        return
    keys = sorted(old.keys() | new.keys(), key=lambda key: (key in _LAST, key))
    for key in keys:
        was, now = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if was != now and not key.startswith("x-"):
            yield from _of_keyword(key, was, now, old, new, (*path, key))


def _is_only_added(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether keywords were only added, or only removed."""
    return old.keys() <= new.keys() or new.keys() <= old.keys()


def _of_keyword(
    key: str, was: Any, now: Any, old: dict[str, Any], new: dict[str, Any], path: Path
) -> Iterator[Edit]:
    name = _NAMES.get(key, key)
    both = was is not _ABSENT and now is not _ABSENT
    if key == "properties":
        yield from _of_properties(was, now, old, new, path)
    elif key == "required":
        before = [] if was is _ABSENT else was
        after = [] if now is _ABSENT else now
        kept = list(before)
        for one in [one for one in before if one not in after]:
            kept = [other for other in kept if other != one]
            yield Edit("required_property_removed", path, one, None, ((path, kept),))
        for one in [one for one in after if one not in before]:
            kept = [*kept, one]
            yield Edit("required_property_added", path, None, one, ((path, kept),))
    elif key == "enum" and both:
        kept = list(was)
        for one in [one for one in now if one not in was]:
            kept = [*kept, one]
            yield Edit("enum_value_added", path, None, one, ((path, kept),))
        for one in [one for one in was if one not in now]:
            kept = [other for other in kept if other != one]
            yield Edit("enum_value_removed", path, one, None, ((path, kept),))
    elif key in _LOW | _HIGH:
        if both:
            rule = _snake(key) + ("_raised" if now > was else "_lowered")
        else:
            rule = _snake(key) + ("_added" if was is _ABSENT else "_removed")
        yield _edit(rule, path, was, now)
    elif key in ("anyOf", "oneOf") and both:
        yield from _of_union(was, now, path)
    elif key in _INSIDE and both and isinstance(was, dict) and isinstance(now, dict):
        yield from edits(was, now, path)
    elif key == "additionalProperties" and now is False:
        yield _edit("object_closed", path, was, now)
    elif key == "additionalProperties" and was is False:
        yield _edit("object_opened", path, was, now)
    elif key == "default":
        yield Edit("default_changed", path, _shown(was), _shown(now))
    elif key in MAP | {"dependentRequired"} and both:
        for one in sorted(was.keys() | now.keys()):
            before, after = was.get(one, _ABSENT), now.get(one, _ABSENT)
            if before is not _ABSENT and after is not _ABSENT and key in MAP:
                yield from edits(before, after, (*path, one))
            elif before != after:
                yield _edit(f"{name}_{{}}", (*path, one), before, after)
    elif both:
        yield _edit("const_changed" if key == "const" else f"{name}_{{}}", path, was, now)
    else:
        name = "union" if key in ("anyOf", "oneOf", "allOf") else _snake(name.removeprefix("$"))
        yield _edit(name + ("_added" if was is _ABSENT else "_removed"), path, was, now)


def _of_properties(
    was: Any, now: Any, old: dict[str, Any], new: dict[str, Any], path: Path
) -> Iterator[Edit]:
    before = {} if was is _ABSENT else was
    after = {} if now is _ABSENT else now
    start: list[tuple[Path, Any]] = [(path, {})] if was is _ABSENT else []
    for name in sorted(before.keys() | after.keys()):
        here = (*path, name)
        if name not in after:
            kind = "closed" if new.get("additionalProperties") is False else "open"
            yield Edit(
                f"property_removed_from_{kind}_object", here, before[name], None, ((here, _ABSENT),)
            )
        elif name not in before:
            kind = "closed" if old.get("additionalProperties") is False else "open"
            changes = (*start, (here, after[name]))
            yield Edit(f"property_added_to_{kind}_object", here, None, after[name], changes)
            start = []
        else:
            yield from edits(before[name], after[name], here)


def _of_union(was: list[Any], now: list[Any], path: Path) -> Iterator[Edit]:
    """Members that are equal or alike are pairs. Removed ones become ``false``."""
    rest = [one for one in now if one not in was]
    gone = [place for place, one in enumerate(was) if one not in now]
    for place in list(gone):
        alike = next((one for one in rest if _likeness(was[place], one)), None)
        if alike is not None:
            rest.remove(alike)
            gone.remove(place)
            yield from edits(was[place], alike, (*path, place))
    for index, one in enumerate(rest):
        here = (*path, len(was) + index)
        yield Edit("union_member_added", (*path, now.index(one)), None, one, ((here, one),))
    for place in gone:
        here = (*path, place)
        yield Edit("union_member_removed", here, was[place], None, ((here, False),))


def _likeness(old: Any, new: Any) -> bool:
    """Whether two members of a union are versions of one."""
    if not (isinstance(old, dict) and isinstance(new, dict)) or "$ref" in old or "$ref" in new:
        return False
    return old.get("type") == new.get("type") and _tags(old) == _tags(new)


def _tags(schema: dict[str, Any]) -> dict[str, Any]:
    named = schema.get("properties", {})
    return {
        name: repr(one["const"])
        for name, one in named.items()
        if isinstance(one, dict) and "const" in one
    }


def _of_rawmm(old: dict[str, Any], new: dict[str, Any], path: Path) -> Iterator[Edit]:
    """Keywords that JSON Schema does not know."""
    before, after = set(old.get("x-rawmm-rules", ())), set(new.get("x-rawmm-rules", ()))
    here = (*path, "x-rawmm-rules")
    yield from (Edit("rule_removed", here, one, None) for one in sorted(before - after))
    yield from (Edit("rule_added", here, None, one) for one in sorted(after - before))
    for key in _SIZES:
        was, now = old.get(key), new.get(key)
        if was != now:
            lowered = was is None or (now is not None and now < was)
            yield Edit(
                f"{_snake(key[8:])}_{'lowered' if lowered else 'raised'}", (*path, key), was, now
            )
    for key, rule in (("x-rawmm-tag", "tag_changed"), ("x-rawmm-code", "code_changed")):
        if old.get(key) != new.get(key):
            yield Edit(rule, (*path, key), old.get(key), new.get(key))
    was, now = old.get("x-rawmm-items", True), new.get("x-rawmm-items", True)
    if was != now:
        yield Edit("elements_{}", (*path, "x-rawmm-items"), was, now)


def _edit(rule: str, path: Path, was: Any, now: Any) -> Edit:
    return Edit(rule, path, _shown(was), _shown(now), ((path, now),))


def _shown(value: Any) -> Any:
    return None if value is _ABSENT else value


def _snake(name: str) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in name).replace(
        "-", "_"
    )
