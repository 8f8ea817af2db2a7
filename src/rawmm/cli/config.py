"""The table ``[tool.rawmm]`` of a ``pyproject.toml``: how a project's records are checked.

The nearest ``pyproject.toml`` with such a table counts, from the working directory upwards. Options
of the command come before it.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from rawmm.cli.layout import named_layout
from rawmm.cli.output import UsageError
from rawmm.cli.record_types import named_type
from rawmm.errors import CODES, printable, shown_file, shown_name
from rawmm.real_class import is_a

FILE: Final = "pyproject.toml"
KEYS: Final = ("image-dir", "layouts", "types", "ignore")
_LARGEST: Final = 1 << 20
_GLOB: Final = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_GLOB_PARTS: Final = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}


class Config(NamedTuple):
    """How the records of a project are checked.

    Attributes:
        folder: the folder of the file; patterns are relative to it.
        image_dir: directory or URL of the images.
        layouts: the layouts that items may have, as ``FAMILY`` or ``FAMILY,NAME=INTEGER,...``.
        types: types of records by the pattern of their files. The first that fits counts.
        ignored: codes of errors that are no errors here, and why.
    """

    folder: Path = Path()
    image_dir: str | None = None
    layouts: tuple[str, ...] = ()
    types: tuple[tuple[re.Pattern[str], str], ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()

    def type_of(self, path: str) -> str | None:
        """The type of the records in a file, or None if no pattern fits."""
        if not self.types:
            return None
        name = Path(os.path.relpath(path, self.folder)).as_posix()
        return next((kind for pattern, kind in self.types if pattern.match(name)), None)


def find_config(start: str | os.PathLike[str] = "") -> Config:
    """The configuration of a folder; an empty one if there is none.

    Raises:
        UsageError: as `read_config`, for the first file that has the table.
    """
    folder = Path(start).absolute()
    for parent in (folder, *folder.parents):
        path = parent / FILE
        if path.is_file() and (table := _table(path)) is not None:
            return _config(path, table)
    return Config()


def read_config(path: str) -> Config:
    """The configuration in a file.

    Raises:
        UsageError: the file cannot be read, or its table is missing or wrong.
    """
    table = _table(Path(path))
    if table is None:
        raise UsageError(f"{_named(path)}: has no table [tool.rawmm]")
    return _config(Path(path), table)


def _table(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise UsageError(f"{_named(path)}: is larger than {_LARGEST} bytes")
        tool = tomllib.loads(text.decode("utf-8")).get("tool")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
    except (ValueError, RecursionError):  # of TOML or UTF-8; its text may quote the file
        reason = "is not TOML"
    else:
        return tool.get("rawmm") if is_a(tool, dict) else None
    raise UsageError(f"{_named(path)}: {reason}")


def _config(path: Path, table: Any) -> Config:
    where = _named(path)
    if not is_a(table, dict):
        raise UsageError(f"{where}: tool.rawmm is not a table")
    for key in table:
        if key not in KEYS:
            known = ", ".join(KEYS)
            raise UsageError(f"{where}: tool.rawmm has no key {shown_name(key)}; it has {known}")
    folder = path.absolute().parent
    image_dir = table.get("image-dir")
    if image_dir is not None and not (is_a(image_dir, str) and image_dir):
        raise UsageError(f"{where}: tool.rawmm.image-dir takes a directory or a URL")
    if image_dir is not None and "://" not in image_dir and not image_dir.startswith("~"):
        image_dir = str(folder / image_dir)
    return Config(
        folder,
        image_dir,
        _layouts(where, table.get("layouts", [])),
        tuple(_types(where, table.get("types", {}))),
        tuple(_ignored(where, table.get("ignore", {}))),
    )


def _layouts(where: str, names: Any) -> tuple[str, ...]:
    if not is_a(names, list) or not all(is_a(name, str) for name in names):
        raise UsageError(f"{where}: tool.rawmm.layouts takes a list of layouts")
    for name in names:
        named_layout(name, f"{where}: tool.rawmm.layouts")
    return tuple(names)


def _types(where: str, types: Any) -> list[tuple[re.Pattern[str], str]]:
    if not is_a(types, dict):
        raise UsageError(f"{where}: tool.rawmm.types takes patterns of files and their types")
    found = []
    for pattern, kind in types.items():
        if not is_a(kind, str):
            raise UsageError(f"{where}: tool.rawmm.types takes the name of a type for each pattern")
        try:
            named_type(kind)
        except UsageError as error:
            raise UsageError(f"{where}: tool.rawmm.types: {error}") from None
        found.append((_pattern(pattern), kind))
    return found


def _ignored(where: str, codes: Any) -> list[tuple[str, str]]:
    if not is_a(codes, dict):
        raise UsageError(f"{where}: tool.rawmm.ignore takes error codes, each with a reason")
    for code, reason in codes.items():
        if code not in CODES:
            raise UsageError(
                f"{where}: tool.rawmm.ignore: no error has the code {shown_name(code)}; "
                "rawmm explain lists all"
            )
        if not is_a(reason, str) or not reason.strip():
            raise UsageError(f"{where}: tool.rawmm.ignore.{code} takes the reason, as text")
    return list(codes.items())


def _pattern(glob: str) -> re.Pattern[str]:
    """A pattern of paths below the folder of the file, with slashes."""
    glob = glob.removeprefix("./")
    parts = (_GLOB_PARTS.get(part) or re.escape(part) for part in _GLOB.findall(glob))
    return re.compile("".join(parts) + r"\Z", re.DOTALL)


def _named(path: str | os.PathLike[str]) -> str:
    return shown_file(printable(str(path)))
