"""Modules that child processes need, loaded once in the process that they are forked from."""

from __future__ import annotations

import pybase64
import pytest
from PIL import Image

import rawmm.cli.app
from tests.faults import entry_points, judging, machine, writers

__all__ = ["entry_points", "judging", "machine", "pybase64", "pytest", "rawmm", "writers"]

Image.init()
