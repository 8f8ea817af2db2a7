"""The runner of this package: ``python -m rawmm.testing.runner``. See `rawmm.testing.conformance`.

It reads the path of a document from each line of standard input. The type of the document is the
name of the folder two levels above. For each path it prints one JSON object with ``ok``, and for a
refused document ``code`` and ``path`` of the first error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rawmm.codec import decode_json
from rawmm.errors import RawMMError
from rawmm.model.types import TYPES


def verdict(file: Path) -> dict[str, bool | str]:
    """What this package says about a document."""
    try:
        decode_json(file.read_bytes(), TYPES[file.parts[-3]])
    except RawMMError as error:
        return {"ok": False, "code": error.code, "path": error.path}
    return {"ok": True}


def main() -> None:
    """Answer each line of standard input."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(verdict(Path(line.rstrip("\n")))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
