"""The files that an argument of a command names: a file, a folder, or a pattern such as ``**``."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, TypeAlias

from cyclopts import Parameter

from rawmm.cli.output import UsageError
from rawmm.cli.records import (
    STDIO,
    BrokenSourceError,
    FileFormat,
    Input,
    check_location,
    format_of,
)
from rawmm.errors import RawMMError, printable, shown_file
from rawmm.locators import without_credentials
from rawmm.store import (
    RECORDS,
    ZIP,
    is_bundle,
    is_object_url,
    is_pattern,
    list_objects,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FilesFormat: TypeAlias = Annotated[
    FileFormat | None,
    Parameter(
        name="--input-format", help="Format of the files, by default that of their extension."
    ),
]
Column: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--column",
        help="Column of Parquet files that has the records, as JSON text or MessagePack. By "
        "default record, or the only column that can have them.",
    ),
]

_PATTERN: Final = frozenset("*?[")


class Found(NamedTuple):
    """A file, and its name below the folder that was named; None if the file itself was named."""

    input: Input
    relative: PurePath | None


def find_inputs(path: str, form: FileFormat | None, option: str, column: str | None) -> list[Found]:
    """The files that `path` names, sorted by name.

    In a folder, and for a pattern, these are the files of records by extension, in all folders
    below. With a `form`, a pattern names every file. Those of a bundle are in its manifest; a
    pattern may name ZIP files.

    Raises:
        UsageError: there is none.
    """
    if is_object_url(path):
        return _objects(path, form, option, column)
    check_location(path)
    if form is None and path not in {"", STDIO} and (is_bundle(path) or _ends_in_zip(path)):
        return _bundled(path, option)
    is_folder = path not in {"", STDIO} and Path(path).is_dir()
    if not is_folder and not _is_pattern(path):
        return [Found(Input(path, form, option, column), None)]
    base = path if is_folder else _split(path)[0]
    names = sorted(set(_below(path))) if is_folder else matching(path)
    found = []
    for name in names:
        relative = PurePath(os.path.relpath(name, base))
        if format_of(name) is not None or (form is not None and not is_folder):
            found.append(Found(Input(name, form, option, column), relative))
        elif _ends_in_zip(name) and not is_folder:
            found += [
                Found(one.input, relative / (one.relative or "")) for one in _bundled(name, option)
            ]
    if not found:
        what = "has" if is_folder else "matches"
        raise UsageError(f"{shown_file(printable(path))}: {what} no file of records")
    return found


def _ends_in_zip(path: str) -> bool:
    return PurePath(path).suffix.lower() == ZIP and not _is_pattern(path)


def _bundled(path: str, option: str) -> list[Found]:
    """The files of records of a bundle. If it is damaged, reading the one that it names says so.

    Raises:
        UsageError: it cannot be read.
    """
    from rawmm.cli.bundles import Bundle

    try:
        with Bundle(path) as bundle:
            sizes = bundle.sizes()
    except BrokenSourceError:
        return [Found(Input(path, "jsonl", option, bundle=path), PurePath(PurePath(path).name))]
    return [
        Found(
            Input(f"{path}/{RECORDS}/{name}", "jsonl", option, size=size, bundle=path),
            PurePath(RECORDS, name),
        )
        for name, size in sorted(sizes.items())
    ]


def _objects(url: str, form: FileFormat | None, option: str, column: str | None) -> list[Found]:
    """The objects that a URL names: one, or with wildcards, or a slash at the end, many."""
    if url.endswith("/"):
        url += "**"
    elif not is_pattern(url):
        return [Found(Input(url, form, option, column), None)]
    name = shown_file(printable(without_credentials(url)))
    failure = f"{name}: matches no file of records"
    try:
        objects = list(list_objects(url))
    except RawMMError as error:
        objects, failure = [], f"{name}: {error.message}"
    found = [
        Found(Input(one.url, form, option, column, size=one.size), PurePath(one.name))
        for one in objects
        if form is not None or format_of(one.url) is not None
    ]
    if not found:
        raise UsageError(failure)
    return found


def all_inputs(
    paths: Iterable[str], form: FileFormat | None, option: str, column: str | None = None
) -> Iterator[tuple[str, Input | UsageError]]:
    """Each file that several arguments name, by its name in messages.

    If an argument names no file, its error comes instead.

    Raises:
        UsageError: as `check_once`.
    """
    paths = list(paths)
    check_once(paths)
    for path in paths:
        try:
            inputs = [found.input for found in find_inputs(path, form, option, column)]
        except UsageError as error:
            yield printable(without_credentials(path)), error
        else:
            yield from ((given.name, given) for given in inputs)


def check_once(paths: Iterable[str]) -> None:
    """Refuse standard input as two of the arguments: the second would have no records.

    Raises:
        UsageError: it is.
    """
    if sum(path == STDIO for path in paths) > 1:
        raise UsageError("- is standard input, which can be read only once")


def check_not_read(output: str, option: str, inputs: Iterable[Input | UsageError]) -> None:
    """Refuse a file to write that the command reads, and would replace by something else.

    Raises:
        UsageError: it is one of the inputs.
    """
    for one in inputs:
        if isinstance(one, UsageError) or STDIO in (output, one.path):
            continue
        same = output == one.path
        with suppress(OSError, ValueError):  # one of them does not exist
            same = same or Path(output).samefile(one.file)
        if same:
            raise UsageError(f"{option} names a file that is read; give another name")


def _is_pattern(path: str) -> bool:
    return not _PATTERN.isdisjoint(path) and not os.path.lexists(path)


def matching(pattern: str) -> list[str]:
    """The files whose names match a pattern, sorted; none if it is no pattern.

    Raises:
        UsageError: a folder cannot be read.
    """
    return sorted(set(_matches(*_split(pattern)))) if _is_pattern(pattern) else []


def _split(pattern: str) -> tuple[str, str]:
    """The folder before the first part of a path that is a pattern, and the rest."""
    parts = PurePath(pattern).parts
    fixed = next(n for n, part in enumerate(parts) if not _PATTERN.isdisjoint(part))
    return str(PurePath(*parts[:fixed])), str(PurePath(*parts[fixed:]))


def _matches(base: str, pattern: str) -> Iterator[str]:
    """The files that match. ``**`` is any number of folders; it does not follow links to folders.

    Hidden files and folders match only a pattern of which a part begins with a dot.

    Raises:
        UsageError: a folder cannot be read.
    """
    parts = PurePath(pattern).parts
    return _expanded(base, parts, hidden=any(part.startswith(".") for part in parts))


def _expanded(folder: str, parts: tuple[str, ...], *, hidden: bool) -> Iterator[str]:
    first, rest = parts[0], parts[1:]
    if first == "**":
        while rest[:1] == ("**",):
            rest = rest[1:]
        for below in _folders(folder, hidden=hidden):
            yield from _expanded(below, rest or ("*",), hidden=hidden)
        return
    names = (
        [first]
        if _PATTERN.isdisjoint(first)
        else [
            name
            for name in _names_in(folder)
            if fnmatchcase(name, first) and (hidden or not name.startswith("."))
        ]
    )
    for name in names:
        path = str(Path(folder, name))
        if rest:
            if Path(path).is_dir():
                yield from _expanded(path, rest, hidden=hidden)
        elif os.path.lexists(path) and _is_file(path):
            yield path


def _below(folder: str) -> Iterator[str]:
    """Every file below a folder, except hidden ones. Links to folders are not followed.

    Raises:
        UsageError: a folder cannot be read.
    """
    return _expanded(folder, ("**",), hidden=False)


def _folders(folder: str, *, hidden: bool) -> Iterator[str]:
    """A folder and all folders below it. Links to folders are not followed."""
    for at, folders, _ in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if hidden or not name.startswith(".")]
        yield at


def _names_in(folder: str) -> list[str]:
    try:
        return [entry.name for entry in Path(folder).iterdir()]
    except OSError as error:
        _unreadable(error)
        return []


def _unreadable(error: OSError) -> None:
    """Refuse a folder that cannot be read, as its files would be left out silently.

    Raises:
        UsageError: always, except for a folder that does not exist.
    """
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return
    name = shown_file(printable(str(error.filename)))
    raise UsageError(f"{name}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def _is_file(path: str) -> bool:
    """Whether a path is a file, or a broken link, which is an error where it is read.

    Pipes, sockets and devices of a folder are no files of records; reading one may never end.
    """
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:
        return True
