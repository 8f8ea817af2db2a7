"""Modules that child processes need, loaded once in the process that they are forked from."""

from __future__ import annotations

import sys

import pybase64
import pytest
from PIL import Image

from rawmm.cli.app import make_app
from tests.faults import entry_points, judging, machine, writers

__all__ = ["entry_points", "judging", "machine", "pybase64", "pytest", "writers"]

Image.init()
make_app()  # loads the modules of all commands

# Tracing costs processor time and memory, which the tests bound.
_coverage = sys.modules.get("coverage")
if _coverage is not None and (_running := _coverage.Coverage.current()) is not None:
    _running.stop()
