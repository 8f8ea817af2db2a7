"""The options that choose the engine of a command: this process, several, or a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Parameter

from rawmm.cli.output import UsageError
from rawmm.errors import printable, shown_file
from rawmm.locators import without_credentials
from rawmm.offload import available_cpus
from rawmm.parallel import ProcessEngine, RayEngine, RayMissingError, SerialEngine
from rawmm.store import is_of_this_process

if TYPE_CHECKING:
    from rawmm.parallel import Engine

EngineName: TypeAlias = Annotated[
    Literal["serial", "processes", "ray"] | None,
    Parameter(
        name="--engine",
        help="Where the work is done: in this process, in several on this machine, or on a Ray "
        "cluster. By default in as many processes as --jobs says.",
    ),
]
Jobs: TypeAlias = Annotated[
    int | None,
    Parameter(
        name=["--jobs", "-j"],
        help="Processes, each with its own part of the work; 0 starts one per core. The default is "
        "1 without --engine, else 0.",
    ),
]
Address: TypeAlias = Annotated[
    str | None,
    Parameter(
        help="Address of a running Ray cluster, such as auto. Without it, --engine ray starts one "
        "on this machine.",
    ),
]


def open_engine(
    name: str | None, jobs: int | None, address: str | None, image_dir: str | None = None
) -> Engine:
    """The engine that the options name.

    Raises:
        UsageError: the options contradict each other, Ray cannot be used, or the store at
            `image_dir` is of this process and the engine is not.
    """
    if jobs is not None and jobs < 0:
        raise UsageError("--jobs takes 0, which starts one process per core, or a positive number")
    if address is not None and name != "ray":
        raise UsageError("--address is of a Ray cluster; give --engine ray, too")
    workers = (1 if name is None else 0) if jobs is None else jobs
    workers = 1 if name == "serial" else workers or available_cpus()
    if (name == "ray" or workers > 1) and is_of_this_process(image_dir):
        where = shown_file(printable(without_credentials(str(image_dir))))
        raise UsageError(f"{where}: is a store of this process; leave out --engine and --jobs")
    if name == "ray":
        try:
            return RayEngine(address, workers=jobs or None)
        except RayMissingError as error:
            failure = f"--engine ray: {error}"
        raise UsageError(failure)
    return SerialEngine() if workers == 1 else ProcessEngine(workers)
