"""Tests an implementation of the contract: ``python -m rawmm.testing.conformance -- PROGRAM...``.

The program is a *runner*. It reads the paths of documents on standard input, one a line, such as
``/tmp/x/Trace/valid/empty.json``; the folders say the type. For each it prints one line of JSON::

    {"ok": false, "code": "missing_field", "path": "$.nodes[0]"}

``code`` and ``path`` are optional: null or absent means that the runner does not tell them. Its
standard input ends after the last path.

With ``--schema-only``, the documents that JSON Schema cannot refuse (``beyond_schema`` in the
manifest) are left out. A runner that knows the schemas and no rules passes so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from rawmm.model.schemas import conformance_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rawmm.model.schemas import Vector

_SECONDS: Final = 600


def failures(
    program: Sequence[str], *, schema_only: bool = False, told: set[str] | None = None
) -> Iterator[str]:
    """A sentence for each vector on which a runner and the manifest differ.

    Args:
        program: the command of the runner.
        schema_only: leave out the vectors that JSON Schema cannot refuse.
        told: gets the names of the vectors whose code the runner told.
    """
    vectors = [one for one in conformance_vectors() if not (schema_only and "beyond_schema" in one)]
    with TemporaryDirectory() as folder:
        paths = [_written(vector, Path(folder)) for vector in vectors]
        asked = "".join(f"{path}\n" for path in paths)
        result = subprocess.run(  # noqa: S603  (the caller's program)
            program, input=asked.encode(), stdout=subprocess.PIPE, timeout=_SECONDS, check=False
        )
    lines = result.stdout.splitlines()
    if result.returncode or len(lines) != len(vectors):
        yield f"{len(lines)} answers to {len(vectors)} paths, exit code {result.returncode}"
        return
    for vector, line in zip(vectors, lines, strict=True):
        yield from _differences(vector, line, set() if told is None else told)


def _written(vector: Vector, folder: Path) -> Path:
    path = folder / f"{vector['case']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(vector["document"].encode())
    return path


def _differences(vector: Vector, line: bytes, told: set[str]) -> Iterator[str]:
    case = vector["case"]
    try:
        answer: Any = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        yield f"{case}: the answer is not an object with a boolean ok"
    elif answer["ok"] != ("code" not in vector):
        yield f"{case}: {'accepted' if answer['ok'] else 'refused'}"
    elif not answer["ok"]:
        for name, wanted in (("code", vector["code"]), ("path", vector["path"])):
            if (got := answer.get(name)) is None:
                continue
            told.add(case)
            if got != wanted:
                yield f"{case}: {name} {got!r} instead of {wanted!r}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the differences; return 0 if there are none."""
    parser = argparse.ArgumentParser(prog="python -m rawmm.testing.conformance")
    parser.add_argument("--schema-only", action="store_true")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args(argv)
    told: set[str] = set()
    found = list(failures(options.program, schema_only=options.schema_only, told=told))
    for text in found:
        sys.stderr.write(f"{text}\n")
    sys.stdout.write(f"{len(found)} differences; codes or paths told for {len(told)} vectors\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
