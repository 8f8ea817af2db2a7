"""A run of the fuzzer over one target, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

import rawmm
from rawmm.model.schemas import bundle
from tests.faults.fuzz.targets import ROOT, TARGETS

_EXECUTED: Final = re.compile(r"number_of_executed_units:\s*(\d+)")
_PROGRESS: Final = re.compile(r"^#\d+\t.*\n", re.MULTILINE)
_LONGEST_INPUT: Final = 16_384
_MEMORY_MB: Final = 2048
_ONE_INPUT_SECONDS: Final = 10
_GRACE_SECONDS: Final = 60


class Campaign(NamedTuple):
    """What a run did. ``finding`` is the fuzzer's last words and the input, or empty."""

    executions: int
    finding: str


def fuzz(target: str, seconds: int, *, corpus: Path | None = None, seed: int = 0) -> Campaign:
    """Run one target for some seconds, or until its first finding.

    Args:
        target: a key of `TARGETS`.
        seconds: how long; loading comes on top.
        corpus: where inputs that reach new code are kept for the next run.
        seed: of the mutations; 0 for another one in each run.
    """
    with tempfile.TemporaryDirectory(prefix="rawmm-fuzz-") as folder:
        work = Path(folder)
        kept, seeds, found = corpus or work / "kept", work / "seeds", work / "found"
        for path in (kept, seeds, found):
            path.mkdir(parents=True, exist_ok=True)
        for index, data in enumerate(TARGETS[target].seeds()):
            (seeds / f"{index:04}").write_bytes(data)
        _write_dictionary(work / "words")
        options = {
            "max_total_time": seconds,
            "max_len": _LONGEST_INPUT,
            "rss_limit_mb": _MEMORY_MB,
            "timeout": _ONE_INPUT_SECONDS,
            "print_final_stats": 1,
            "seed": seed,
            "dict": work / "words",
            "artifact_prefix": f"{found}/",
        }
        worker = [sys.executable, "-m", "tests.faults.fuzz.worker", target]
        done = subprocess.run(
            [*worker, *(f"-{name}={value}" for name, value in options.items()), kept, seeds],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(Path(rawmm.__file__).parents[1])},
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=seconds + _GRACE_SECONDS,
            check=False,
        )
        said = _PROGRESS.sub("", done.stdout + done.stderr)
        executed = _EXECUTED.search(said)
        inputs = "".join(f"\ninput: {path.read_bytes()!r}" for path in found.iterdir())
        clean = done.returncode == 0 and executed and not inputs
        return Campaign(int(executed[1]) if executed else 0, "" if clean else said[-6000:] + inputs)


def _write_dictionary(path: Path) -> None:
    """Words of the contract, so that mutations reach its fields."""
    words: set[str] = {"mmraw:", "mmfile:", "file:///", "data:image/png;base64,", "pixel_values"}

    def walk(value: object) -> None:
        if isinstance(value, dict):
            words.update(value.get("properties", ()))
            words.update(text for text in value.get("enum", ()) if isinstance(text, str))
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(bundle())
    data = (each for word in sorted(words) for each in (f'"{word}"'.encode(), _packed(word)))
    path.write_text("".join(f'"{_escaped(each)}"\n' for each in data))


def _packed(word: str) -> bytes:
    return msgspec.msgpack.encode(word)


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)
