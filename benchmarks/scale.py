"""``rawmm check`` of 200,000 records in compressed files and S3 objects, on each engine.

Needs Linux and the extra ``servers``: moto is the S3 server, a Ray cluster of two workers runs.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.harness import Row, at_most, quartiles, single
from benchmarks.processes import measured
from benchmarks.records import lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.harness import Settings
    from benchmarks.processes import Measured

_FILES: Final = 8
_WORKERS: Final = 2
_BUCKET: Final = "rawmm-scale"
_SERVER: Final = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""
_CLUSTER: Final = f"""
import sys, ray
for left in (3, 2, 1, 0):
    try:
        ray.init(num_cpus={_WORKERS}, include_dashboard=False, log_to_driver=False,
                 _node_ip_address="127.0.0.1", object_store_memory=100 * 2**20)
        break
    except Exception:  # Ray waits for its own processes for 30 s only
        ray.shutdown()
        if not left:
            raise
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""
_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # the cluster is on this machine, and ends with the benchmark
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_REGION": "us-east-1",
}


class Setup(NamedTuple):
    """Where the records are, and the processes that work for the commands.

    Attributes:
        folder: of the files; objects have the same names.
        environment: of the commands.
        server, cluster: ids of processes.
        address: of the cluster.
    """

    folder: Path
    environment: dict[str, str]
    server: int
    cluster: int
    address: str

    def engines(self) -> dict[str, list[str]]:
        """The options of each engine."""
        return {
            "serial": ["--engine", "serial"],
            "processes": ["--engine", "processes", "--jobs", str(_WORKERS)],
            "Ray": ["--engine", "ray", "--address", self.address],
        }

    def places(self, name: str) -> dict[str, tuple[str, int | None]]:
        """The pattern of a folder's files in each place, and the process that serves them."""
        return {
            "files": (f"{self.folder}/{name}/*.jsonl.zst", None),
            "S3": (f"s3://{_BUCKET}/{name}/*.jsonl.zst", self.server),
        }

    def run(self, name: str, place: str, options: list[str]) -> Measured:
        """Check a folder's files in a place."""
        pattern, server = self.places(name)[place]
        command = [sys.executable, "-m", "rawmm", "check", pattern, "--max-errors", "0", *options]
        cluster = self.cluster if "--address" in options else None
        return measured(command, self.environment, server=server, cluster=cluster)


def run(settings: Settings) -> Iterator[Row]:
    """Time, CPU seconds and memory of each engine; reports must be equal."""
    records = settings.pick(200_000, 4_000)
    with set_up(records) as setup:
        yield from _times(setup, records, settings.pick(3, 1))
        yield from _growth(setup)
        yield _own_cluster(setup)


@contextmanager
def set_up(records: int) -> Iterator[Setup]:
    """Write the files, start the servers, and store the files in the bucket."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server, where = _started(stack, _SERVER, os.environ)
        host, port = where.split()
        own = {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        # As for an installed package, modules are compiled once, and not in this tree.
        own |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        environment = {**os.environ, **_ENVIRONMENT, **own}
        cluster, address = _started(stack, _CLUSTER, environment)
        connection = http.client.HTTPConnection(host, int(port))
        _put(connection, f"/{_BUCKET}", b"")
        for name, count in (("all", records), ("few", records // _FILES)):
            (folder / name).mkdir()
            for number in range(_FILES):
                path = folder / name / f"{number}.jsonl.zst"
                _write(path, number * (count // _FILES), count // _FILES)
                _put(connection, f"/{_BUCKET}/{name}/{path.name}", path.read_bytes())
        connection.close()
        yield Setup(folder, environment, server, cluster, address)


def _started(stack: ExitStack, program: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """The id of a process that runs until the end of `stack`, and the line that it prints."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment,
        )
    )  # fmt: skip
    assert process.stdout is not None
    return process.pid, process.stdout.readline().decode().strip()


def _put(connection: http.client.HTTPConnection, path: str, body: bytes) -> None:
    connection.request("PUT", path, body)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        msg = f"the server refuses {path}: {answer.status}"
        raise RuntimeError(msg)


def _write(path: Path, first: int, count: int) -> None:
    from rawmm.cli.compressed import compressor

    packed = compressor("zstd")
    with path.open("wb") as file:
        for line in lines(first, count):
            file.write(packed.compress(line))
        file.write(packed.flush())


def _times(setup: Setup, records: int, rounds: int) -> Iterator[Row]:
    taken: dict[tuple[str, str], list[Measured]] = {}
    for _ in range(rounds):
        for place in setup.places("all"):
            for engine, options in setup.engines().items():
                taken.setdefault((place, engine), []).append(setup.run("all", place, options))
    expected = taken["files", "serial"][0]
    for name, each in taken.items():
        for one in each:
            if (one.code, _report(one.out, setup)) != (1, _report(expected.out, setup)):
                msg = f"{' and '.join(name)}: another report, exit code {one.code}"
                raise AssertionError(msg)
    for (place, engine), each in taken.items():
        low, wall, high = quartiles([one.wall for one in each])
        cpu, server = (_median([getattr(one, name) for one in each]) for name in ("cpu", "server"))
        detail = f"{cpu:.3g} CPU s, at most {max(one.peak for one in each):.0f} MB in a process"
        if place != "files":
            detail += f"; the server {server:.3g} CPU s"
        yield Row("scale", f"{records:,} records in 8 {_named(place)}: {engine}", wall, low, high,
                  "s", None, detail)  # fmt: skip
    for place in setup.places("all"):
        serial, processes, ray = (taken[place, engine] for engine in setup.engines())
        yield _ratio(f"{place}: processes times as fast as serial", "wall", serial, processes)
        yield _ratio(f"{place}: Ray times as fast as serial", "wall", serial, ray)
        yield _ratio(f"{place}: CPU of processes over that of serial", "cpu", processes, serial)
        yield _ratio(f"{place}: CPU of Ray over that of serial", "cpu", ray, serial, 1.3)
        yield _ratio(f"{place}: CPU of Ray over that of processes", "cpu", ray, processes)


def _named(place: str) -> str:
    return "compressed files" if place == "files" else "objects in S3"


def _report(out: bytes, setup: Setup) -> bytes:
    """A report, with the names of files without their place."""
    return out.replace(f"{setup.folder}/".encode(), b"").replace(f"s3://{_BUCKET}/".encode(), b"")


def _ratio(
    what: str, name: str, over: list[Measured], under: list[Measured], most: float | None = None
) -> Row:
    ratios = [getattr(a, name) / getattr(b, name) for a, b in zip(over, under, strict=True)]
    low, ratio, high = quartiles(ratios)
    target = None if most is None else at_most(most)
    return Row("scale", what, ratio, low, high, "x", target)


def _growth(setup: Setup) -> Iterator[Row]:
    for engine, options in setup.engines().items():
        few, many = (setup.run(name, "S3", options).peak for name in ("few", "all"))
        yield single(
            "scale", f"more memory for 8 times the records: {engine}", many - few, "MB",
            at_most(20), f"at most {many:.0f} MB in a process",
        )  # fmt: skip


def _own_cluster(setup: Setup) -> Row:
    """What it takes to start and stop a cluster for one command."""
    begin = time.perf_counter()
    taken = setup.run("few", "files", ["--engine", "ray", "--jobs", str(_WORKERS)])
    wall = time.perf_counter() - begin
    return single("scale", "an eighth of the files, with a Ray cluster of its own", wall, "s", None,
                  f"{taken.cpu:.3g} CPU s")  # fmt: skip


def _median(values: list[float]) -> float:
    return quartiles(values)[1]
