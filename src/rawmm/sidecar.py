"""The public names for sidecars, which `rawmm.graph.sidecar` defines."""

from __future__ import annotations

from rawmm.graph import merge, split_by_message

__all__ = ["merge", "split_by_message"]
