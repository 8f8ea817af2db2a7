"""The package as it was in an earlier version of the contract, running in a process of its own.

Its source is in `tests/data/versions`, made by ``git archive COMMIT src/rawmm | xz -9e`` from the
last commit of the version.

Run as a program, this file answers for the package that it can import: one JSON line for each on
standard input.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[3]
DATA: Final = ROOT / "tests/data/versions"
VERSIONS: Final = tuple(
    sorted(path.name.split("-")[1].removesuffix(".tar.xz") for path in DATA.glob("rawmm-*.tar.xz"))
)
"""The versions of the contract before the present one."""


class Verdict(NamedTuple):
    """What a package says about a document."""

    code: str | None
    """The code of its error, or None if it accepts the document."""
    document: Any
    """The document as the package writes it in JSON, None if it cannot, or the text of its error."""


class OldPackage:
    """The package as it was in a version of the contract.

    Args:
        version: one of `VERSIONS`.
        folder: where its source is put.
    """

    def __init__(self, version: str, folder: Path) -> None:
        with tarfile.open(DATA / f"rawmm-{version}.tar.xz") as tar:
            tar.extractall(folder, filter="data")
        # Hypothesis would load the entry point of the package that is installed.
        environment = {
            **os.environ, "PYTHONPATH": str(folder / "src"), "HYPOTHESIS_NO_PLUGINS": "1",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
        )  # fmt: skip
        assert self._ask() == version

    def read(self, name: str, data: bytes, form: str = "json") -> Verdict:
        """Decode a document as the type of a name."""
        return Verdict(*self._ask("read", name, base64.b64encode(data).decode(), form))

    def documents(self, name: str, number: int) -> list[str]:
        """JSON texts of a type that the strategies of the package draw and it accepts."""
        drawn: list[str] = self._ask("draw", name, number)
        return drawn

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _ask(self, *question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _read(rawmm: Any, name: str, data: str, form: str) -> list[Any]:
    kind = getattr(rawmm, name, None)
    if kind is None:
        return ["unknown_type", name]
    decode = {"json": rawmm.decode_json, "msgpack": rawmm.decode_msgpack}[form]
    try:
        value = decode(base64.b64decode(data), kind)
    except rawmm.RawMMError as error:
        return [error.code, str(error)]
    try:
        return [None, json.loads(rawmm.encode_json(value))]
    except rawmm.RawMMError:  # bytes, which JSON cannot represent
        return [None, None]


def _draw(rawmm: Any, name: str, number: int) -> list[str]:
    from hypothesis import HealthCheck, Phase, given, settings

    from rawmm.testing import strategies

    drawn: list[str] = []

    @settings(
        max_examples=number, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategies.instances(getattr(rawmm, name)))
    def collect(value: Any) -> None:
        drawn.append(rawmm.encode_json(value).decode())

    collect()
    return drawn


def _serve() -> None:
    import rawmm

    for line in sys.stdin:
        question = json.loads(line)
        answer: Any = rawmm.SCHEMA_VERSION
        if question:
            answer = (_read if question[0] == "read" else _draw)(rawmm, *question[1:])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
