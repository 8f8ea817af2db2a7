"""Pauses the cyclic garbage collector while a large document is decoded.

Decoding makes many containers and no cycle. The collector runs for every 700 new containers, and
walks again through those that are already there. Small documents gain nothing. The C part has it
not track the lists of streams, which it would walk otherwise as soon as the pause ends.
"""

from __future__ import annotations

import gc
import os
from threading import get_ident
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

A = TypeVar("A")
R = TypeVar("R")

LARGE: Final = 262_144
"""Bytes of a document from which pausing saves time."""

_pausing: Final[set[int]] = set()
"""Threads that paused an enabled collector."""


def without_collector(function: Callable[[A], R], argument: A) -> R:
    """``function(argument)``, with the collector paused if it is enabled.

    The collector is one for all threads. Each call that finds it enabled enables it when it ends,
    while others may still run. So it is never left off, and threads that decode without a pause
    cannot keep it off. A call that finds it disabled changes nothing.
    """
    if not gc.isenabled():
        return function(argument)
    thread = get_ident()
    _pausing.add(thread)
    gc.disable()
    try:
        return function(argument)
    finally:
        gc.enable()
        _pausing.discard(thread)


def _after_fork() -> None:
    """Enable the collector in a child that another thread forked during a pause."""
    if _pausing:
        _pausing.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
