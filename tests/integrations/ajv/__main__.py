"""``python -m tests.integrations.ajv``: what the package ships, as JSON for ``vectors.mjs``."""

from __future__ import annotations

import json
import sys

from rawmm import schemas

names = schemas.bundle()["$defs"]
shipped = {
    "schemas": {"bundle": schemas.schema(), **{name: schemas.schema(name) for name in names}},
    "vectors": schemas.conformance_vectors(),
}
json.dump(shipped, sys.stdout)
