"""Random edits of our own bundle: no document contradicts a verdict of compatibility."""

from __future__ import annotations

import copy
import random
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import settings

from rawmm.evolution import compare
from rawmm.evolution.counterexamples import _Samples
from rawmm.evolution.documents import Document, children
from rawmm.model import schemas


def places(schema: Any) -> list[dict[str, Any]]:
    out = [schema] if isinstance(schema, dict) else []
    return out + [inner for _, child in children(schema) for inner in places(child)]


def edited(schema: Any, chance: random.Random) -> Any:
    """A copy with one keyword changed, added or removed at a random place."""
    out = copy.deepcopy(schema)
    for _ in range(99):
        node = chance.choice(places(out))
        key = chance.choice([*node, "required", "maxLength", "minItems", "additionalProperties"])
        value = node.get(key)
        if key in ("$defs", "$ref", "description", "title", "default"):
            continue
        if isinstance(value, bool):
            node[key] = not value
        elif isinstance(value, int):
            node[key] = max(0, value + chance.choice((-1, 1, 10, -value)))
        elif key in ("enum", "required", "anyOf", "oneOf") and value and len(value) > 1:
            del value[chance.randrange(len(value))]
        elif key == "required" and node.get("properties"):
            node[key] = sorted({*node.get(key, ()), chance.choice(list(node["properties"]))})
        elif key == "properties" and value:
            del value[chance.choice(list(value))]
            node["required"] = [one for one in node.get("required", ()) if one in value]
        elif key == "pattern" and isinstance(value, str):
            node[key] = chance.choice(
                ("^[0-9a-f]+$", "^a", value.replace("{16}", "{16,32}"), value.replace("+", "*"))
            )
        elif key == "additionalProperties" and "properties" in node:
            node[key] = chance.choice((False, True, {"type": "integer"}))
        elif key == "type":
            node[key] = chance.choice(("string", "integer", "number", "array", "object", "null"))
        elif key == "maxLength" and node.get("type") == "string":
            node[key] = 8
        elif key == "minItems" and node.get("type") == "array":
            node[key] = 1
        else:
            continue
        return out
    return out


def attack(count: int, seed: int) -> int:
    """Compare so many edits, and attack every YES. Returns the number of these."""
    chance = random.Random(seed)
    definitions = schemas.bundle()["$defs"]
    proved = 0
    for _ in range(count):
        name = chance.choice(list(definitions))
        changed = edited(definitions[name], chance)
        if chance.random() < 0.3:
            changed = edited(changed, chance)
        one = {"$ref": f"#/$defs/{name}", "$defs": definitions}
        two = {**one, "$defs": {**definitions, name: changed}}
        for old, new in ((one, two), (two, one)):
            if compare_root(old, new) != "yes":
                continue
            proved += 1
            before, after = Document(old), Document(new)
            outer = jsonschema_rs.Draft202012Validator(new, validate_formats=False)
            samples = _Samples(before.node(before.root), after.node(after.root))
            for number, document in enumerate(samples.documents()):
                assert not before.accepts(before.node(before.root), document) or outer.is_valid(
                    document
                ), (name, changed, document)
                if number > 500:
                    break
    return proved


def compare_root(old: Any, new: Any) -> str:
    from rawmm.evolution import engine
    from rawmm.evolution.prover import Prover

    one, two = Document(old), Document(new)
    if Prover(2_000).proves(one.node(one.root), two.node(two.root)):
        return "yes"
    return engine.covers(two.alone(two.root), one.alone(one.root))


def test_no_random_edit_is_wrongly_compatible() -> None:
    assert attack(8, seed=1) > 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_random_edit_of_many_is_wrongly_compatible(seed: int) -> None:
    """400 edits in all, and 2,000 with ``--hypothesis-profile=thorough``."""
    count = 200 if settings().max_examples >= 1_000 else 40
    assert attack(count, seed) > count // 4


@pytest.mark.slow  # the release gate compares the bundle in the default suite, too
def test_released_bundle_is_compared_in_both_directions() -> None:
    found = compare(schemas.released("1.1"), schemas.released("1.2"))
    assert found.backward == found.forward == "no"
    assert ("#/$defs/ContentPart/type", "type_changed") in {
        (d.pointer, d.rule) for d in found.breaking
    }
    assert found.parts["MessageNode"].backward == "no"
    assert "Episode" not in found.parts  # 1.1 did not have the type
    assert found.parts["PlaceholderRange"] == ("yes", "yes")
