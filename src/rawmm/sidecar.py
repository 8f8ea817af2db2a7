"""Sidecars: one for a prompt split by message, those of a path merged again."""

from __future__ import annotations

from rawmm.graph import attribute, merge

__all__ = ["attribute", "merge"]
