"""The image directory of a run: from arguments and environment variables to a path."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rawmm.errors import OffloadError, shown, shown_text
from rawmm.locators import Problem, file_path, id_problem, scheme_of
from rawmm.model.types import PATTERNS
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE_DIR_VARIABLE: Final = "VF_RENDERER_IMAGE_OFFLOAD_DIR"
RUN_DIR_VARIABLE: Final = "PRIME_RL_RUN_DIR"
RUN_ID_VARIABLE: Final = "RUN_ID"

_ASSETS: Final = Path("assets", "images")
_OUTPUTS: Final = Path("/data/outputs")
MAX_PATH: Final = 4096
"""Maximum length of a path in characters. No system opens a longer one."""
_RAW_IMAGE_ID: Final = re.compile(PATTERNS["RawImageId"])


def run_image_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the image directory of this run, absolute and with links resolved.

    The directory need not exist. The first variable that is set and not blank decides:

    - ``VF_RENDERER_IMAGE_OFFLOAD_DIR``: the directory itself, as `resolved_dir` takes it;
    - ``PRIME_RL_RUN_DIR``: ``<value>/assets/images``;
    - ``RUN_ID``: ``/data/outputs/run_<value>/assets/images``, with or without the ``run_``.

    Args:
        environ: the variables; `os.environ` by default.

    Raises:
        OffloadError: ``no_image_dir`` if none is set, ``path_escape`` if ``RUN_ID`` is not a plain
            name, and as `resolved_dir`.
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
    """Return the absolute path of an image directory with links resolved. It need not exist.

    All image directories are resolved here: arguments, environment variables and command options.

    Args:
        path: a path, absolute or relative to the working directory, where a leading ``~`` or
            ``~user`` is a home directory; or a ``file:///`` URL as a string.

    Raises:
        OffloadError: ``no_image_dir`` for an empty string; ``wrong_type`` if `path` is neither a
            string nor a path of strings; ``bad_locator`` for a URL of another scheme, an unknown
            home directory, or a path that is not UTF-8, because no URL can name it;
            ``path_escape`` for a NUL.
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
            "path_escape",
            expected="an image directory without NUL characters",
            got=shown_text(text),
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
    _check_nameable(real)  # again: links and the working directory were resolved
    return Path(real)


def is_utf8(path: str) -> bool:
    """Whether a path is UTF-8, so that a URL can name it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_nameable(path: str) -> None:
    if len(path) > MAX_PATH:
        # Resolving it would take time quadratic in its length.
        raise OffloadError(
            "bad_locator",
            expected=f"an image directory whose path has at most {MAX_PATH} characters",
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
        with suppress(Exception):  # of any class; its text may be anything
            text = os.fspath(path)
    if not isinstance(text, str):
        raise OffloadError(
            "wrong_type",
            expected="an image directory: a string or a pathlib.Path",
            got=shown(path),
            hint="pass os.fsdecode(path) for a path of bytes",
        )
    return str.__str__(text)


def location_scheme(location: object) -> str:
    """Return the scheme of a store's location, or an empty string for a path.

    A URL has a slash after its scheme, so ``a:b`` is a path. Data URLs are recognized too.
    """
    if not is_a(location, str):
        return ""
    url = str.__str__(location).strip()
    scheme = scheme_of(url)
    return scheme if scheme == "data" or url.startswith("/", len(scheme) + 1) else ""


def _local_path(text: str, *, is_url: bool) -> str:
    """Return the path that a path or a URL names."""
    url = text.strip()
    if is_url and scheme_of(url) == "file":
        path = file_path(url)
        if isinstance(path, Problem):
            raise OffloadError(
                path.code,
                expected=path.expected,
                got=path.got,
                hint="write three slashes: file:///data/images",
            )
        return path
    scheme = location_scheme(url)
    if scheme or "://" in url:  # also after a quote or an unexpanded variable
        raise OffloadError(
            "bad_locator",
            expected="an image directory on this machine: a path or a file:/// URL",
            got=f"the scheme {shown_text(scheme)}" if scheme else shown_text(url),
            hint="pass file: URLs as strings, not as paths"
            if scheme == "file"
            else "open the store with rawmm.open_store, or pass a directory where it is mounted",
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
    """Return why a raw image id is refused, or None if it is a name of ``[A-Za-z0-9_.-]+``."""
    if not is_a(raw_image_id, str):
        return Problem("wrong_type", "a raw image id, which is a string", shown(raw_image_id))
    problem = id_problem(raw_image_id)
    if problem is None and not _RAW_IMAGE_ID.match(raw_image_id):
        return Problem("bad_locator", "a raw image id of [A-Za-z0-9_.-]+", shown_text(raw_image_id))
    return problem


def raw_image_path(*, raw_image_id: str, image_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path ``<image_dir>/<raw_image_id>``. The file need not exist.

    Args:
        raw_image_id: a file name inside the image directory.
        image_dir: the image directory; `run_image_dir` by default.

    Raises:
        OffloadError: ``path_escape`` or ``bad_locator`` if the id is not a plain file name, and
            as `run_image_dir`.
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
