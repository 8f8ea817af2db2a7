"""Where a run keeps its images, and where an image of that run is."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rawmm.errors import OffloadError, shown, shown_text
from rawmm.locators import Problem, file_path, id_problem, scheme_of
from rawmm.real_class import is_a
from rawmm.structs import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE_DIR_VARIABLE: Final = "VF_RENDERER_IMAGE_OFFLOAD_DIR"
RUN_DIR_VARIABLE: Final = "PRIME_RL_RUN_DIR"
RUN_ID_VARIABLE: Final = "RUN_ID"

_ASSETS: Final = Path("assets", "images")
_OUTPUTS: Final = Path("/data/outputs")
LONGEST_PATH: Final = 4096
"""Characters of a path: no system opens a longer one."""
_RAW_IMAGE_ID: Final = re.compile(PATTERNS["RawImageId"])


def run_image_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The image directory of this run: absolute, links resolved. It need not exist yet.

    The first variable that is set and not blank decides: ``VF_RENDERER_IMAGE_OFFLOAD_DIR`` (the
    directory itself, as `resolved_dir` takes it), ``PRIME_RL_RUN_DIR``
    (``<it>/assets/images``), ``RUN_ID`` (``/data/outputs/run_<it>/assets/images``, with or without
    the ``run_``).

    Args:
        environ: the variables; the process environment by default.

    Raises:
        OffloadError: ``no_image_dir`` when none is set, ``path_escape`` when ``RUN_ID`` is
            not a plain name, and what `resolved_dir` raises.
    """
    variables = os.environ if environ is None else environ
    if image_dir := variables.get(IMAGE_DIR_VARIABLE, "").strip():
        return resolved_dir(image_dir)
    if run_dir := variables.get(RUN_DIR_VARIABLE, "").strip():
        return resolved_dir(resolved_dir(run_dir) / _ASSETS)
    if run_id := variables.get(RUN_ID_VARIABLE, "").strip():
        if id_problem(run_id) or ".." in run_id:
            raise OffloadError(
                "path_escape",
                expected=f"a plain name in {RUN_ID_VARIABLE}",
                got=shown_text(run_id),
                hint=f"set {RUN_ID_VARIABLE} to the id of the run, without '/' or '..'",
            )
        return resolved_dir(_OUTPUTS / f"run_{run_id.removeprefix('run_')}" / _ASSETS)
    raise OffloadError(
        "no_image_dir",
        expected="an image directory",
        got="none",
        hint=f"pass image_dir, or set {IMAGE_DIR_VARIABLE}, {RUN_DIR_VARIABLE} or "
        f"{RUN_ID_VARIABLE}",
    )


def resolved_dir(path: str | os.PathLike[str]) -> Path:
    """A directory's absolute path with links resolved; it need not exist.

    Every image directory passes here: arguments, environment variables, options of the command.

    Args:
        path: a path, relative to the working directory if it is not absolute; a leading ``~`` or
            ``~user`` is a home directory. Or a ``file:///`` URL as a string.

    Raises:
        OffloadError: ``no_image_dir`` for an empty string; ``wrong_type`` for anything else than a
            string or a path of strings; ``bad_locator`` for a URL of another scheme, for an
            unknown home directory, and for a path that no URL can say, because its bytes are not
            UTF-8; ``path_escape`` for a NUL.
    """
    text = _path_text(path)
    if not text.strip():
        raise OffloadError(
            "no_image_dir",
            expected="an image directory",
            got="an empty string",
            hint="pass '.' for the working directory",
        )
    if "\0" in text:
        raise OffloadError(
            "path_escape", expected="an image directory without NUL", got=shown_text(text)
        )
    _check_nameable(text)
    real = None
    with suppress(OSError):
        real = os.path.realpath(_local_path(text, is_url=is_a(path, str)))
    if real is None:
        raise OffloadError(
            "bad_locator",
            expected="an absolute path, as the working directory is gone",
            got=shown_text(text),
            hint="pass an absolute path",
        )
    _check_nameable(real)  # links and the working directory have names of their own
    return Path(real)


def is_utf8(path: str) -> bool:
    """Whether a URL can name a path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_nameable(path: str) -> None:
    if len(path) > LONGEST_PATH:
        # Resolving it would take the square of its length.
        raise OffloadError(
            "bad_locator",
            expected=f"an image directory whose path has at most {LONGEST_PATH} characters",
            got=shown_text(path),
        )
    if not is_utf8(path):
        raise OffloadError(
            "bad_locator",
            expected="an image directory whose path is UTF-8",
            got="other bytes",
            hint="choose another directory; a file:// URL cannot name this one",
        )


def _path_text(path: object) -> str:
    text: object = None
    if is_a(path, str):
        return str.__str__(path)
    if is_a(path, os.PathLike):
        with suppress(TypeError):
            text = os.fspath(path)
    if not isinstance(text, str):
        raise OffloadError(
            "wrong_type",
            expected="an image directory: a string or a pathlib.Path",
            got=shown(path),
            hint="pass os.fsdecode(path) for a path of bytes",
        )
    return str.__str__(text)


def _local_path(text: str, *, is_url: bool) -> str:
    """A path, out of a path or a URL. A scheme is told by the slash after it: ``a:b`` is a path."""
    url = text.strip()
    scheme = scheme_of(url)
    if scheme == "file" and is_url:
        path = file_path(url)
        if isinstance(path, Problem):
            raise OffloadError(
                path.code,
                expected=path.expected,
                got=path.got,
                hint="write three slashes: file:///data/images",
            )
        return path
    is_other = scheme == "data" or (scheme and url.startswith("/", len(scheme) + 1))
    if is_other or "://" in url:  # whatever stands before: a quote, a variable
        raise OffloadError(
            "bad_locator",
            expected="an image directory on this machine: a path or a file:/// URL",
            got=f"the scheme {shown_text(scheme)}" if is_other else shown_text(url),
            hint="pass file: URLs as strings, not as paths"
            if scheme == "file"
            else "no store has this scheme: pass a directory, such as one that it is mounted at",
        )
    if not text.startswith("~"):
        return text
    home = os.path.expanduser(text)  # noqa: PTH111  (pathlib raises where there is none)
    if home.startswith("~"):
        raise OffloadError(
            "bad_locator",
            expected="the home directory of a user of this machine",
            got=shown_text(text),
            hint="write ./~name for a directory of that name",
        )
    return home


def raw_image_id_problem(raw_image_id: object) -> Problem | None:
    """Why a raw image id is refused, or None: a plain file name of ``[A-Za-z0-9_.-]+``."""
    if not is_a(raw_image_id, str):
        return Problem("wrong_type", "a raw image id, which is a string", shown(raw_image_id))
    problem = id_problem(raw_image_id)
    if problem is None and not _RAW_IMAGE_ID.match(raw_image_id):
        return Problem("bad_locator", "a raw image id of [A-Za-z0-9_.-]+", shown_text(raw_image_id))
    return problem


def raw_image_path(*, raw_image_id: str, image_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where the image with this id is: ``<image_dir>/<raw_image_id>``. It need not exist.

    Args:
        raw_image_id: a file name inside the image directory.
        image_dir: the image directory; `run_image_dir` by default.

    Raises:
        OffloadError: ``path_escape`` or ``bad_locator`` for an id that is no plain file name,
            and what `run_image_dir` raises.
    """
    problem = raw_image_id_problem(raw_image_id)
    if problem:
        raise OffloadError(
            problem.code,
            expected=problem.expected,
            got=problem.got,
            hint="pass the raw_image_id of a descriptor, which is a file name",
        )
    return (run_image_dir() if image_dir is None else resolved_dir(image_dir)) / raw_image_id
