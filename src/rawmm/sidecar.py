"""Sidecars: one for a prompt split by message, those of a path merged again."""

from __future__ import annotations

from rawmm.graph import merge, split_by_message

__all__ = ["merge", "split_by_message"]
