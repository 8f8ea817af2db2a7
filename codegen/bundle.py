"""Reads the schema files of one version as one document, and its conformance vectors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from codegen import profile

if TYPE_CHECKING:
    from pathlib import Path

FILE_ORDER = ("common", "sidecar", "messages", "trace", "refs", "trainer")
ANNOTATIONS = "annotations.json"


class Sources(NamedTuple):
    """The schema files of one version."""

    bundle: dict[str, Any]
    """Every definition in one document: JSON Schema and nothing else."""
    annotations: dict[str, dict[str, Any]]
    """Keywords of rawmm by JSON pointer into the bundle, for what JSON Schema cannot express."""
    annotated: dict[str, Any]
    """The bundle with the annotations inserted."""


def read(folder: Path) -> Sources:
    """Read the files of one version and check that they obey the profile."""
    found = {path.name for path in folder.glob("*.json")}
    named = [f"{stem}.schema.json" for stem in FILE_ORDER]
    if differ := found ^ {*named, ANNOTATIONS}:
        msg = f"{folder}: files and FILE_ORDER differ: {', '.join(sorted(differ))}"
        raise profile.ProfileError(msg)
    files = {name: profile.load(folder / name) for name in named}
    annotations = profile.load(folder / ANNOTATIONS)
    bundle = build(files, folder.name, annotations[""]["x-rawmm-version"])
    annotate(files, annotations)
    profile.check(files)
    annotated = build(files, folder.name, annotations[""]["x-rawmm-version"]) | annotations[""]
    return Sources(bundle, annotations, annotated)


def annotate(files: dict[str, dict[str, Any]], annotations: dict[str, dict[str, Any]]) -> None:
    """Insert the annotations at their pointers."""
    if plain := sorted(name for name, document in files.items() if _has_own(document)):
        msg = f"{', '.join(plain)}: x-rawmm- keywords belong in {ANNOTATIONS}"
        raise profile.ProfileError(msg)
    definitions = {t: s for document in files.values() for t, s in document["$defs"].items()}
    for pointer, notes in annotations.items():
        node: Any = {"$defs": definitions}
        for part in pointer.split("/")[1:]:
            node = node.get(part)
            if not isinstance(node, dict):
                msg = f"{ANNOTATIONS}: {pointer} points to nothing"
                raise profile.ProfileError(msg)
        node.update(notes)


def _has_own(node: Any) -> bool:
    """Whether a schema contains a keyword of rawmm."""
    if isinstance(node, dict):
        return any(key.startswith("x-rawmm-") or _has_own(node[key]) for key in node)
    return isinstance(node, list) and any(map(_has_own, node))


def _local(node: Any) -> Any:
    """A copy in which references to other files point into the bundle."""
    if isinstance(node, dict):
        return {
            key: "#" + value.partition("#")[2] if key == "$ref" else _local(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_local(value) for value in node]
    return node


def build(files: dict[str, dict[str, Any]], version: str, contract: str) -> dict[str, Any]:
    """One document with all definitions under ``$defs``.

    Its root accepts the documents that the roots of the files accept, and lists of them.
    """
    definitions: dict[str, Any] = {}
    roots: list[dict[str, Any]] = []
    for document in files.values():
        definitions.update(_local(document["$defs"]))
        roots += _local(profile.root(document))
    lists = [profile.listed(root) for root in roots if root.get("type") != "array"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"rawmm:/schemas/{version}/bundle.json",
        "title": f"rawmm data contract {contract}",
        "description": "A document whose type 'rawmm check' identifies, or a list of these.",
        "anyOf": roots + [one for one in lists if one not in roots],
        "$defs": definitions,
    }


def vectors(folder: Path) -> list[dict[str, Any]]:
    """The conformance vectors of one version.

    They are the documents ``<Type>/valid/<case>.json`` and ``<Type>/invalid/<case>.json``. For each
    invalid one, ``manifest.json`` has its code and path, and the rule that refuses it if the schema
    does not.
    """
    manifest = profile.load(folder / "manifest.json")
    out = []
    for path in sorted(folder.glob("*/*/*.json")):
        kind, verdict, case = path.relative_to(folder).parts
        name = f"{kind}/{verdict}/{case.removesuffix('.json')}"
        entry: dict[str, Any] = {"type": kind, "case": name, "document": path.read_text("utf-8")}
        if verdict == "invalid":
            if name not in manifest:
                msg = f"{folder}/manifest.json: no entry for {name}"
                raise profile.ProfileError(msg)
            entry |= manifest[name]
        elif verdict != "valid":
            msg = f"{path}: in neither valid/ nor invalid/"
            raise profile.ProfileError(msg)
        out.append(entry)
    if stale := sorted(set(manifest) - {entry["case"] for entry in out}):
        msg = f"{folder}/manifest.json: no file for {', '.join(stale)}"
        raise profile.ProfileError(msg)
    return out


def dump(document: Any) -> str:
    """JSON as it is written to the package: readable, stable, with one final newline."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
