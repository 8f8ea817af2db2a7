"""pytest plugin: ``--rawmm-check``, and the fixtures `rawmm_check` and `rawmm_snapshot`.

pytest loads it through the entry point ``rawmm`` of the group ``pytest11``.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST: Final = 20
"""Errors or differences that a failure lists."""
_UNSAFE: Final = re.compile(r"[^\w.-]+")


class Check(Protocol):
    """The fixture `rawmm_check`."""

    def __call__(self, value: object, type: Any = None) -> None:  # noqa: A002
        """Fail unless `value` obeys the contract. `type` as in `rawmm.validate`."""


class Snapshot(Protocol):
    """The fixture `rawmm_snapshot`."""

    def __call__(self, value: object, name: str | None = None) -> None:
        """Fail unless `value` equals its snapshot. `name` tells several of one test apart."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("rawmm", "rawmm, the data contract of raw images")
    group.addoption(
        "--rawmm-check",
        action="append",
        default=[],
        metavar="PATH",
        help="check the records in this file or directory, or in the files that a pattern such as "
        "'data/**/*.jsonl' names, one test per file; may be repeated",
    )
    group.addoption(
        "--rawmm-image-dir",
        metavar="DIR",
        help="where the images of these records must exist",
    )
    group.addoption(
        "--rawmm-update",
        action="store_true",
        help="write the snapshots of rawmm_snapshot instead of comparing them",
    )
    parser.addini(
        "rawmm_check", type="paths", default=[], help="more paths and patterns of --rawmm-check"
    )


_PATHS: Final = pytest.StashKey[list[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Collect the paths of ``--rawmm-check``, too."""
    given = [config.invocation_params.dir / each for each in config.getoption("rawmm_check")]
    paths = [path for each in (*given, *config.getini("rawmm_check")) for path in _named(each)]
    config.stash[_PATHS] = paths
    config.args += [str(path) for path in dict.fromkeys(paths) if str(path) not in config.args]


def _named(path: Path) -> list[Path]:
    """The path, or the files of records that it names as a pattern."""
    if path.exists():
        return [path]
    with _needing_cli():
        from rawmm.cli import record_files

        found = [Path(name) for name in record_files(str(path))]
    if not found:
        msg = f"--rawmm-check: no such file or directory, and no such file of records: {path}"
        raise pytest.UsageError(msg)
    return found


@contextmanager
def _needing_cli() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        msg = f"--rawmm-check needs the package {error.name}: pip install 'rawmm[cli]'"
        raise pytest.UsageError(msg) from None
    except ValueError as error:
        msg = f"--rawmm-check: {error}"
        raise pytest.UsageError(msg) from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect files of records below the paths of ``--rawmm-check``."""
    paths = parent.config.stash[_PATHS]
    if not any(file_path == path or path in file_path.parents for path in paths):
        return None
    with _needing_cli():
        from rawmm.cli import is_record_file

        wanted = is_record_file(str(file_path))
    if not wanted:
        return None
    file: pytest.Collector = RecordFile.from_parent(parent, path=file_path)
    return file


class RecordFile(pytest.File):
    """A file of records."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test."""
        yield RecordTest.from_parent(self, name="contract")


class RecordTest(pytest.Item):
    """Checks the records of a file."""

    def runtest(self) -> None:
        """Fail with the errors of the file, as ``rawmm check`` lists them."""
        from rawmm.cli import file_errors

        image_dir = self.config.getoption("rawmm_image_dir")
        lines = file_errors(str(self.path), image_dir, str(self.config.rootpath))
        errors = list(islice(lines, _MOST + 1))
        if errors:
            raise BrokenRecordsError(_listed(errors))

    def repr_failure(  # type: ignore[override]
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> Any:
        """The errors, without a traceback."""
        if isinstance(excinfo.value, BrokenRecordsError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The name of the test in reports."""
        return self.path, 0, f"rawmm check {self.path.name}"


class BrokenRecordsError(Exception):
    """Records of a file break the contract."""


@pytest.fixture
def rawmm_check() -> Check:
    """A function that fails the test unless a value obeys the contract.

    ``rawmm_check(value)`` detects the type; ``rawmm_check(value, rawmm.Trace)`` requires one. A
    failure lists every error with its JSON path.
    """
    import rawmm

    def check(value: object, type: Any = None) -> None:  # noqa: A002
        errors = list(islice(rawmm.iter_errors(value, type), _MOST + 1))
        if errors:
            pytest.fail(_listed([str(error) for error in errors]), pytrace=False)

    return check


@pytest.fixture
def rawmm_snapshot(request: pytest.FixtureRequest) -> Snapshot:
    """A function that fails the test unless a value equals what was written before.

    Snapshots are JSON files beside the test file, in ``snapshots/``. ``--rawmm-update`` writes
    them. A failure lists the JSON paths that differ.
    """
    from rawmm.codec import to_builtins
    from rawmm.values.difference import differences

    test = _UNSAFE.sub("-", f"{request.path.stem}.{request.node.name}")
    update = request.config.getoption("rawmm_update")

    def compare(value: object, name: str | None = None) -> None:
        label = test if name is None else f"{test}.{_UNSAFE.sub('-', name)}"
        path = request.path.parent / "snapshots" / f"{label}.json"
        written = json.dumps(to_builtins(value, packed=False), indent=1, ensure_ascii=False) + "\n"
        if update:
            path.parent.mkdir(exist_ok=True)
            path.write_text(written, "utf-8")
            return
        if not path.is_file():
            pytest.fail(f"no snapshot {path.name}: run pytest with --rawmm-update", pytrace=False)
        old = json.loads(path.read_text("utf-8"))
        found = list(islice(differences(old, json.loads(written)), _MOST + 1))
        if found:
            listed = _listed([str(each) for each in found])
            pytest.fail(f"{path.name} differs:\n{listed}", pytrace=False)

    return compare


def _listed(lines: list[str]) -> str:
    """The first `_MOST` lines, and whether there are more."""
    return "\n".join([*lines[:_MOST], *(["and more"] if len(lines) > _MOST else [])])
