"""File extensions of formats that rawmm neither reads nor writes."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

_COMPRESSED: Final[dict[str, str | None]] = {
    ".tgz": None,
    ".bz2": "bzip2",
    ".xz": "xz",
    ".lzma": "xz",
    ".lz4": "lz4",
    ".br": "brotli",
    ".z": "uncompress",
    ".zip": None,
    ".7z": None,
    ".tar": None,
}
"""Extensions of compressed files and archives, with the tool that takes ``-c`` and ``-d``."""
_FOREIGN: Final[dict[str, str]] = {
    ".arrow": "Arrow",
    ".feather": "Feather",
    ".orc": "ORC",
    ".avro": "Avro",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".xlsx": "Excel",
    ".yaml": "YAML",
    ".yml": "YAML",
    ".toml": "TOML",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".npy": "NumPy",
    ".npz": "NumPy",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".pt": "PyTorch",
    ".safetensors": "safetensors",
    ".db": "SQLite",
    ".sqlite": "SQLite",
    ".tfrecord": "TFRecord",
}


def unreadable(path: str) -> str | None:
    """Why a file of this name is not read, and what to do; None for other extensions."""
    suffix = PurePath(path).suffix.lower()
    if suffix == ".zip":
        return "rawmm does not read ZIP files here; unpack it first, and give the files in it"
    if suffix in _COMPRESSED:
        tool = _COMPRESSED[suffix]
        how = f": {tool} -dc FILE | rawmm COMMAND - --input-format jsonl" if tool else ""
        return f"rawmm does not read {suffix} files; decompress it first{how}"
    if suffix == ".eval":
        return (
            "this is a log of inspect_ai, a ZIP file of samples; rawmm does not read .eval files. "
            "Write it as JSON first (inspect log dump FILE), then the messages of each sample as "
            'one line {"messages": [...]} of a .jsonl file'
        )
    if suffix in _FOREIGN:
        return (
            f"rawmm does not read {_FOREIGN[suffix]} files; write the records as JSON Lines first"
        )
    return None


def unwritable(path: str) -> str | None:
    """Why a file of this name is not written, and what to do; None for other extensions."""
    suffix = PurePath(path).suffix.lower()
    if suffix in _COMPRESSED:
        tool = _COMPRESSED[suffix]
        how = f": -o - --output-format jsonl | {tool} -c > FILE" if tool else ""
        return f"rawmm does not write {suffix} files; write JSON Lines and compress them{how}"
    if suffix == ".eval":
        return "rawmm does not write .eval files; write JSON Lines, e.g. to a .jsonl file"
    if suffix in _FOREIGN:
        kind = _FOREIGN[suffix]
        return f"rawmm does not write {kind} files; write JSON Lines, e.g. to a .jsonl file"
    return None
