"""All schema files of one version as one document, and the vectors beside them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from codegen import profile

if TYPE_CHECKING:
    from pathlib import Path

FILE_ORDER = ("common", "sidecar", "messages", "trace", "refs", "trainer")


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The schema files of one version, by name, in reading order; they obey the profile."""
    found = {path.name for path in folder.glob("*.schema.json")}
    named = [f"{stem}.schema.json" for stem in FILE_ORDER]
    if found != set(named):
        msg = f"{folder}: files and FILE_ORDER differ: {', '.join(sorted(found ^ set(named)))}"
        raise profile.ProfileError(msg)
    files = {name: profile.load(folder / name) for name in named}
    profile.check(files)
    return files


def _local(node: Any) -> Any:
    """References to other files, rewritten to the bundle's own definitions."""
    if isinstance(node, dict):
        return {
            key: "#" + value.partition("#")[2] if key == "$ref" else _local(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_local(value) for value in node]
    return node


def build(files: dict[str, dict[str, Any]], version: str) -> dict[str, Any]:
    """One document with every definition under ``$defs``."""
    definitions: dict[str, Any] = {}
    for document in files.values():
        definitions.update(_local(document["$defs"]))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"rawmm:/schemas/{version}/bundle.json",
        "title": f"rawmm data contract {files['common.schema.json']['x-rawmm-version']}",
        "x-rawmm-version": files["common.schema.json"]["x-rawmm-version"],
        "$defs": definitions,
    }


def vectors(folder: Path) -> list[dict[str, Any]]:
    """The conformance vectors of one version, found by their place.

    ``<Type>/valid/<case>.json`` is a document; ``<Type>/invalid/<case>.json`` is one, too, and
    ``manifest.json`` names its code and path.
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
            entry |= {"code": manifest[name]["code"], "path": manifest[name]["path"]}
        elif verdict != "valid":
            msg = f"{path}: stands in neither valid/ nor invalid/"
            raise profile.ProfileError(msg)
        out.append(entry)
    if stale := sorted(set(manifest) - {entry["case"] for entry in out}):
        msg = f"{folder}/manifest.json: no file for {', '.join(stale)}"
        raise profile.ProfileError(msg)
    return out


def dump(document: Any) -> str:
    """JSON as it stands in the package: readable, stable, one final newline."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
