"""Where a run keeps its images, and where an image of that run is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rawmm.errors import OffloadError, raise_alone, shown_text
from rawmm.locators import Problem, id_problem
from rawmm.structs import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE_DIR_VARIABLE: Final = "VF_RENDERER_IMAGE_OFFLOAD_DIR"
RUN_DIR_VARIABLE: Final = "PRIME_RL_RUN_DIR"
RUN_ID_VARIABLE: Final = "RUN_ID"

_ASSETS: Final = Path("assets", "images")
_OUTPUTS: Final = Path("/data/outputs")
_RAW_IMAGE_ID: Final = re.compile(PATTERNS["RawImageId"])


def run_image_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The image directory of this run: absolute, links resolved. It need not exist yet.

    The first variable that is set and not blank decides: ``VF_RENDERER_IMAGE_OFFLOAD_DIR``
    (the directory itself), ``PRIME_RL_RUN_DIR`` (``<it>/assets/images``), ``RUN_ID``
    (``/data/outputs/run_<it>/assets/images``, with or without the ``run_``).

    Args:
        environ: the variables; the process environment by default.

    Raises:
        OffloadError: ``no_image_dir`` when none is set, ``path_escape`` when ``RUN_ID`` is
            not a plain name.
    """
    variables = os.environ if environ is None else environ
    if image_dir := variables.get(IMAGE_DIR_VARIABLE, "").strip():
        return resolved_dir(image_dir)
    if run_dir := variables.get(RUN_DIR_VARIABLE, "").strip():
        return resolved_dir(Path(run_dir) / _ASSETS)
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

    Raises:
        OffloadError: ``path_escape`` for a NUL, ``bad_locator`` for a path that no URL can
            say, because its bytes are not UTF-8.
    """
    text = os.fspath(path)
    if "\0" in text:
        raise OffloadError(
            "path_escape", expected="an image directory without NUL", got=shown_text(text)
        )
    real = os.path.realpath(text)
    try:
        real.encode()
    except UnicodeEncodeError:
        raise_alone(
            OffloadError(
                "bad_locator",
                expected="an image directory whose path is UTF-8",
                got="other bytes",
                hint="choose another directory; a file:// URL cannot name this one",
            )
        )
    return Path(real)


def raw_image_id_problem(raw_image_id: str) -> Problem | None:
    """Why a raw image id is refused, or None: a plain file name of ``[A-Za-z0-9_.-]+``."""
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
