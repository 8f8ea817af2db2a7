"""Strategies for invalid and unusual data: changed structure and unusual JSON text."""

from __future__ import annotations

import copy
import json
from typing import Any, Final

from hypothesis import strategies as st

from rawmm.model.types import PROCESSED_KEYS
from rawmm.testing._profile import VALUES, Json, Strategy, drawn_as


def _places(document: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    out = [path]
    if isinstance(document, dict):
        pairs = list(document.items())
    elif isinstance(document, list):
        pairs = list(enumerate(document))
    else:
        pairs = []
    for key, child in pairs:
        out += _places(child, (*path, key))
    return out


@st.composite
def mutated(draw: st.DrawFn, name: str) -> Json:
    """Data of type `name` with one or two structural changes. It may still be valid."""
    document = draw(drawn_as(name, rules=True) | drawn_as(name, rules=False))
    for _ in range(draw(st.integers(1, 2))):
        document = draw(_one_change(document))
    return document


_ODD: Final[Strategy] = st.sampled_from(
    [
        None, True, False, 0, -1, 1, 2**53, 2**53 + 1, -(2**64) - 1, 10**20, 1.5, 1e300,
        "", "x", "a\n", "..", [], {}, [[]], [0.5], [[], [1]], ["x"],
        {"__nd__": True, "dtype": "int8", "shape": [1], "data": "AA=="},
    ]
).map(copy.deepcopy)  # fmt: skip
"""Values of other types, and boundary numbers. Copied, because the next change may modify one."""


@st.composite
def _one_change(draw: st.DrawFn, document: Json) -> Json:
    document = copy.deepcopy(document)
    path = draw(st.sampled_from(_places(document)))
    if not path:
        return draw(st.one_of(st.just(document), _ODD))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    key = path[-1]
    value = parent[key]
    change = draw(st.sampled_from(["replace", "remove", "add", "poison", "bend", "repeat"]))
    if change == "replace":
        parent[key] = draw(_ODD | VALUES)
    elif change == "remove":
        del parent[key]
    elif change == "repeat" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(value))
    elif change == "bend" and isinstance(value, str):
        parent[key] = draw(
            st.sampled_from([value + "\n", " " + value, value.upper(), value[:-1], value * 256])
        )
    elif change == "bend" and isinstance(value, bool):
        parent[key] = int(value)
    elif change == "bend" and isinstance(value, int):
        parent[key] = draw(st.sampled_from([-value - 1, float(value), str(value), bool(value)]))
    elif change == "bend" and isinstance(value, list) and value and type(value[0]) is int:
        parent[key] = value * 65
    elif isinstance(value, dict):
        poison = draw(st.sampled_from([*sorted(PROCESSED_KEYS), "__nd__"]))
        poison = draw(st.sampled_from([poison, poison, poison.upper(), poison.title()]))
        extra = poison if change == "poison" else draw(st.text(max_size=5))
        value[extra] = draw(_ODD)
    elif isinstance(value, list):
        value.append(draw(_ODD))
    return document


@st.composite
def lexemes(draw: st.DrawFn, name: str) -> bytes:
    """JSON text of type `name` with unusual escapes, exponents and whitespace."""
    document = draw(drawn_as(name, rules=True) | mutated(name))
    text = json.dumps(document, ensure_ascii=draw(st.booleans()))
    for _ in range(draw(st.integers(1, 2))):
        text = draw(_changed_text(text))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _changed_text(draw: st.DrawFn, text: str) -> str:
    at = draw(st.integers(0, len(text)))
    change = draw(
        st.sampled_from(["number", "escape", "blank", "cut", "constant", "surrogate", "newline"])
    )
    if change == "number":
        for index in range(at, len(text)):
            ends_number = index + 1 == len(text) or text[index + 1] in ",]} "
            if text[index].isdigit() and ends_number:
                tail = draw(st.sampled_from([".0", "e0", "E1", ".5", "e400", ".0e-1", "0" * 20]))
                return text[: index + 1] + tail + text[index + 1 :]
        return text
    if change == "escape":
        index = text.find('"', at)
        if index < 0 or index + 1 >= len(text) or text[index + 1] in '"\\,]}: ':
            return text
        return f"{text[: index + 1]}\\u{ord(text[index + 1]) & 0xFFFF:04x}{text[index + 2 :]}"
    if change == "blank":
        blank = draw(st.sampled_from([" ", "\n", "\t\r", "\f", "\ufeff"]))
        return text[:at] + blank + text[at:]
    if change == "cut":
        return text[:at]
    inserted = {"constant": "NaN", "surrogate": '"\\ud800"', "newline": "\\n"}[change]
    return text[:at] + inserted + text[at:]
