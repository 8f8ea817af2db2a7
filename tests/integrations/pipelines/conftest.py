"""One Ray cluster of two workers on this machine, for all tests here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIES = 4


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """The cluster. Engines and pipelines use it, as this process is connected to it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    for attempt in range(_TRIES):
        try:
            ray.init(
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                _node_ip_address="127.0.0.1",
                object_store_memory=100 * 2**20,
            )
            break
        except Exception:  # of a machine that is busy: Ray waits for its own processes for 30 s
            ray.shutdown()
            if attempt == _TRIES - 1:
                raise
    yield ray
    ray.shutdown()
