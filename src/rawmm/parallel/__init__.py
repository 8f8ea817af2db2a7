"""Runs a function on pieces of data: in this process, in several, or on a Ray cluster.

`Engine` is the one interface. Outcomes come in any order; `in_order` sorts them as they come.
"""

from __future__ import annotations

from rawmm.parallel.engine import Engine, Outcome, SerialEngine, in_order
from rawmm.parallel.processes import ProcessEngine
from rawmm.parallel.ray_tasks import RayEngine, RayMissingError

__all__ = [
    "Engine",
    "Outcome",
    "ProcessEngine",
    "RayEngine",
    "RayMissingError",
    "SerialEngine",
    "in_order",
]
