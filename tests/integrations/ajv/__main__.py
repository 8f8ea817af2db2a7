"""``python -m tests.integrations.ajv``: what the package ships, as JSON for ``vectors.mjs``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rawmm import schemas

DATA = Path(__file__).parents[2] / "data" / "versions"

names = schemas.bundle()["$defs"]
shipped = {
    "schemas": {"bundle": schemas.schema(), **{name: schemas.schema(name) for name in names}},
    "vectors": schemas.conformance_vectors(),
    "released": {
        path.stem: {
            "definitions": schemas.released(path.stem)["$defs"],
            "valid": json.loads(path.read_text("utf-8")),
        }
        for path in sorted(DATA.glob("*.json"))
    },
}
json.dump(shipped, sys.stdout)
