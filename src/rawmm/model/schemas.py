"""The JSON Schemas and conformance vectors that ship with the package.

Only this module reads the generated bundle. It does so on first use, so importing is fast.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "v1"
_GENERATED = "_generated"


class _Entry(TypedDict):
    type: str
    case: str
    document: str


class Vector(_Entry, total=False):
    """One conformance vector: `document` is JSON text of a `type`.

    An invalid one also has the `code` and JSON `path` that a checker must report. If a JSON Schema
    validator accepts it, `beyond_schema` names the rule that refuses it.
    """

    code: str
    path: str
    beyond_schema: str


def _text(name: str) -> str:
    from importlib.resources import files  # slow to import

    return (files("rawmm") / _GENERATED / name).read_text("utf-8")


@cache
def bundle() -> dict[str, Any]:
    """All definitions in one document, under ``$defs``. The result is shared; do not change it.

    It is plain JSON Schema. Its root accepts the documents whose type `rawmm.validate` identifies,
    and lists of them.
    """
    loaded: dict[str, Any] = msgspec.json.decode(_text(f"{VERSION}/bundle.json"))
    return loaded


@cache
def annotated() -> dict[str, Any]:
    """The bundle with what JSON Schema cannot express: codes, rules, tags, bounds.

    These keywords begin with ``x-rawmm-``. They come from ``annotations.json``, which lists them by
    JSON pointer into the bundle. The result is shared; do not change it.
    """
    whole: dict[str, Any] = msgspec.json.decode(_text(f"{VERSION}/bundle.json"))
    for pointer, notes in msgspec.json.decode(_text(f"{VERSION}/annotations.json")).items():
        node = whole
        for part in pointer.split("/")[1:]:
            node = node[part]
        node.update(notes)
    return whole


@cache
def released(version: str) -> dict[str, Any]:
    """The bundle of a released version of the contract, such as "1.0", with its annotations.

    The result is shared; do not change it.

    Raises:
        KeyError: no version of that name was released.
    """
    if version not in released_versions():
        raise KeyError(version)
    loaded: dict[str, Any] = msgspec.json.decode(_text(f"released/{version}.json"))
    return loaded


@cache
def released_versions() -> tuple[str, ...]:
    """The released versions of the contract, in order."""
    from importlib.resources import files  # slow to import

    names = [file.name for file in (files("rawmm") / _GENERATED / "released").iterdir()]
    found = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return tuple(sorted(found, key=lambda version: [int(part) for part in version.split(".")]))


def definition(name: str) -> dict[str, Any]:
    """One definition of the bundle, with its annotations. It is shared; do not change it."""
    found: dict[str, Any] = annotated()["$defs"][name]
    return found


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """`schema` with its references followed."""
    while "$ref" in schema:
        schema = definition(schema["$ref"].rpartition("/")[2])
    return schema


def schema(name: str | None = None) -> dict[str, Any]:
    """The bundle, or a self-contained schema of the type `name`.

    Raises:
        KeyError: no definition has that name.
    """
    whole = bundle()
    if name is None:
        return whole
    definitions = whole["$defs"]
    wanted = [name]
    for current in wanted:
        for target in _targets(definitions[current]):
            if target not in wanted:
                wanted.append(target)
    return {
        "$schema": whole["$schema"],
        "$id": f"rawmm:/schemas/{VERSION}/{name}.json",
        "title": name,
        "$ref": f"#/$defs/{name}",
        "$defs": {key: value for key, value in definitions.items() if key in wanted},
    }


def conformance_vectors() -> list[Vector]:
    """The conformance vectors, which also test other implementations."""
    loaded: list[Vector] = msgspec.json.decode(_text(f"{VERSION}/conformance.json"))
    return loaded


def _targets(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
        return own + [name for value in node.values() for name in _targets(value)]
    if isinstance(node, list):
        return [name for value in node for name in _targets(value)]
    return []
