"""Rewrites many files on an engine, and goes on where an interrupted run stopped.

The manifest is a file of JSON Lines. Its first line has the command and its options; a line follows
for each finished file, with the hash of its input. A line is written when its output is in place.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from rawmm.cli import output as terminal
from rawmm.cli.bugs import Bug, InternalError
from rawmm.cli.output import UsageError, counted, run_progress
from rawmm.cli.pieces import size_of
from rawmm.cli.records import open_bytes
from rawmm.cli.rewrite import Rewrite
from rawmm.errors import RawMMError, printable, shown_file
from rawmm.locators import without_credentials
from rawmm.store import is_object_url, object_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.cli.inputs import Found
    from rawmm.cli.records import FileFormat, Input
    from rawmm.parallel import Engine

    Pass: TypeAlias = Callable[[Rewrite], tuple[RawMMError | InternalError | None, Any]]

_CHUNK: Final = 1 << 20
_HEADER: Final = b'{"rawmm":'
"""How the first line of a manifest begins."""
_NO_MANIFEST: Final = "is not a manifest of rawmm"


class State(NamedTuple):
    """What says whether a file is the one of before without reading it.

    Attributes:
        size: in bytes.
        tag: its modification time in nanoseconds; of an object, what the store calls its content.
    """

    size: int
    tag: str


class Finished(msgspec.Struct, frozen=True):
    """A line of a manifest: a file that is written.

    Attributes:
        input: its name; `size` and `tag` are its `State`, and `sha256` that of its bytes.
        output: what was written, of `output_size` bytes.
        records: records written.
        content, written: bytes of the records read and written.
        counts: what the command counted.
    """

    input: str
    sha256: str
    size: int
    tag: str
    output: str
    output_size: int
    records: int
    content: int
    written: int
    counts: dict[str, int]


class _Failed(NamedTuple):
    """Why a file was not written. `line` is the record."""

    name: str
    line: int | None
    failure: RawMMError | UsageError | Bug


class Totals(NamedTuple):
    """What a run did, files of earlier runs included.

    Attributes:
        files: files written.
        before: those of them that an earlier run had written.
        failed: files that were not written.
        records, content, written, counts: sums of those of `Finished`.
        code: the exit code.
    """

    files: int
    before: int
    failed: int
    records: int
    content: int
    written: int
    counts: Counter[str]
    code: int


class Manifest:
    """The finished files of a run. Opening one continues the run.

    Args:
        path: the file; None keeps nothing.
        header: the command and its options.

    Raises:
        UsageError: it is the manifest of another command or other options, or of no run; or it
            cannot be read or written.
    """

    def __init__(self, path: str | None, header: dict[str, Any]) -> None:
        self.finished: dict[str, Finished] = {}
        self.path = path
        self._file: Any = None
        if path is None:
            return
        if is_object_url(path):
            raise UsageError("--manifest takes a file of this machine: no object can be added to")
        first = msgspec.json.encode(header) + b"\n"
        failure = None
        try:
            self._file = Path(path).open("a+b")  # noqa: SIM115  (open until the run ends)
            _lock(self._file)
            self._file.seek(0)
            lines = self._file.read().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            begin = lines[0] if lines else b""
            if not begin.startswith(_HEADER) and not _HEADER.startswith(begin):
                failure = _NO_MANIFEST
            elif whole and whole[0] != first:
                failure = "is that of another command, or of other options"
            else:
                for line in whole[1:]:
                    one = msgspec.json.decode(line, type=Finished)
                    self.finished[one.input] = one
                # A line that was being written when the run was killed.
                self._file.truncate(sum(map(len, whole)))
                if not whole:
                    self._append(first)
        except BlockingIOError:
            failure = "is in use by another run"
        except OSError as error:
            failure = f"cannot be used: {(error.strerror or str(error)).lower()}"
        except msgspec.DecodeError:
            failure = _NO_MANIFEST
        if failure is not None:
            self.close()
            raise UsageError(f"{shown_file(printable(without_credentials(path)))}: {failure}")

    def add(self, one: Finished) -> None:
        """Write the line of a finished file."""
        self.finished[one.input] = one
        if self._file is not None:
            self._append(msgspec.json.encode(one) + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def has(self, given: Input, output: str) -> bool:
        """Whether a file is finished: its input is that of before, and its output is there."""
        one = self.finished.get(_utf8(given.path))
        if one is None or one.output != _utf8(output):
            return False
        written = state_of(output)
        if written is None or written.size != one.output_size:
            return False
        now = state_of(given.file)
        if now is None or now.size != one.size:
            return False
        return now.tag == one.tag or sha256_of(given) == one.sha256


def _lock(file: Any) -> None:
    """Lock a file until it is closed. Does nothing where there are no locks.

    Raises:
        BlockingIOError: another process has locked it.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        return


def _utf8(name: str) -> str:
    """A file name as JSON holds it: bytes that are not UTF-8 are escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def state_of(path: str) -> State | None:
    """The state of a file or object; None if there is none.

    Raises:
        UsageError: the store cannot be asked.
    """
    if not is_object_url(path):
        with suppress(OSError, ValueError):
            status = os.stat(path)  # noqa: PTH116  (the name may be anything)
            return State(status.st_size, str(status.st_mtime_ns))
        return None
    try:
        found = object_state(path)
    except RawMMError as error:
        failure = error.message
    else:
        return None if found is None else State(found.size, found.tag)
    raise UsageError(failure)


def sha256_of(given: Input) -> str:
    """The SHA-256 of the bytes of a file, in hex.

    Raises:
        UsageError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_bytes(given) as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()


def rewrite_many(
    what: str,
    found: list[Found],
    output: str,
    output_format: FileFormat | None,
    make: Callable[..., Pass],
    args: tuple[Any, ...],
    engine: Engine,
    manifest: Manifest,
) -> Totals:
    """Rewrite files on an engine. A file that fails does not stop the others.

    Args:
        what: the name of the command.
        found: the files.
        output: OUT.
        output_format: its format, if given.
        make: called with `args` in each process; returns what rewrites the file of a `Rewrite`.
        args: values that can be pickled.
        engine: where the files are rewritten.
        manifest: of an earlier run, or an empty one.
    """
    targets = Rewrite.targets_of(output, found, output_format)
    if manifest.path is not None:
        place = os.path.realpath(manifest.path)
        if any(place == os.path.realpath(name) for name in targets):
            manifest.close()
            raise UsageError("--manifest names a file that is written; give another name")
    before = [manifest.has(one.input, target) for one, target in zip(found, targets, strict=True)]
    jobs = [
        (one, target) for one, target, done in zip(found, targets, before, strict=True) if not done
    ]
    done = [
        manifest.finished[_utf8(one.input.path)]
        for one, had in zip(found, before, strict=True)
        if had
    ]
    earlier = len(done)
    sizes = [size_of(one.input) for one, _ in jobs]
    failed = code = size = first = 0
    # What became of files that wait for one before them, so that messages are in order.
    waiting: dict[int, _Failed | None] = {}
    try:
        with engine, run_progress(what, sum(sizes)) as advance:
            outcomes = engine.map(_work_of, (make, args, what, output, output_format), iter(jobs))
            for outcome in outcomes:
                size += sizes[outcome.number]
                result = outcome.result
                if isinstance(result, Finished):
                    manifest.add(result)
                    done.append(result)
                    waiting[outcome.number] = None
                else:
                    failed += 1
                    waiting[outcome.number] = result or _lost(jobs, outcome)
                while first in waiting:
                    failure = waiting.pop(first)
                    code = max(code, 0 if failure is None else _report(failure))
                    first += 1
                advance(size, sum(one.records for one in done), failed)
    except KeyboardInterrupt:
        for failure in filter(None, waiting.values()):
            _report(failure)
        terminal.info(f"interrupted; so far {counted(len(done), 'file')} of {len(found)} written")
        raise
    finally:
        manifest.close()
    counts: Counter[str] = Counter()  # without files, all are 0
    for one in done:
        counts.update(one.counts)
    return Totals(
        len(done),
        earlier,
        failed,
        sum(one.records for one in done),
        sum(one.content for one in done),
        sum(one.written for one in done),
        counts,
        code,
    )


def files_text(totals: Totals) -> str:
    """How many files were written, for a summary."""
    before = f" ({totals.before} by an earlier run)" if totals.before else ""
    failed = f", {totals.failed} not written" if totals.failed else ""
    return f"{counted(totals.files, 'file')}{before}{failed}, "


def _work_of(
    make: Callable[..., Pass],
    args: tuple[Any, ...],
    what: str,
    output: str,
    output_format: FileFormat | None,
) -> Callable[[tuple[Found, str]], tuple[Finished | _Failed, None]]:
    """Return the function that rewrites a file."""
    rewrite: Pass | None = None

    def work(job: tuple[Found, str]) -> tuple[Finished | _Failed, None]:
        nonlocal rewrite
        found, target = job
        try:
            rewrite = rewrite or make(*args)  # may fail here alone, as without credentials
            return _rewritten(rewrite, Rewrite.of(found, what, output, output_format), target), None
        except UsageError as error:
            return _Failed(found.input.name, None, error), None

    return work


def _rewritten(rewrite: Pass, run: Rewrite, target: str) -> Finished | _Failed:
    (found,) = run.inputs
    state = state_of(found.input.file)
    with run:
        failure, counts = rewrite(run)
    if isinstance(failure, InternalError):
        return _Failed(found.input.name, run.line, failure.bug)
    if failure is not None:
        return _Failed(found.input.name, run.line, failure)
    written, digest = state_of(target), run.digest
    if target == found.input.path:
        state, digest = written, None  # the input is what was written
    if state is None or state != state_of(found.input.file) or written is None:
        raise UsageError(f"{found.input.name}: changed while it was read")
    if digest is not None and digest.size == state.size:
        sha256 = digest.hexdigest()
    else:
        sha256 = sha256_of(found.input)
    return Finished(
        input=_utf8(found.input.path),
        sha256=sha256,
        size=state.size,
        tag=state.tag,
        output=_utf8(target),
        output_size=written.size,
        records=run.records,
        content=run.content,
        written=run.written,
        counts=counts,
    )


def _lost(jobs: list[tuple[Found, str]], outcome: Any) -> _Failed:
    name = jobs[outcome.number][0].input.name
    return _Failed(name, None, UsageError(f"{name}: {outcome.lost}"))


def _report(failed: _Failed) -> int:
    """Print why a file was not written; return the exit code."""
    failure = failed.failure
    if isinstance(failure, UsageError):
        terminal.error(str(failure))
        return 2
    if isinstance(failure, Bug):
        return Rewrite.print_failure(InternalError(failure), failed.name, failed.line)
    return Rewrite.print_failure(failure, failed.name, failed.line)
