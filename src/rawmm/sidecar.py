"""Split the sidecar of a prompt by message, and merge the sidecars of a path."""

from __future__ import annotations

from rawmm.graph import merge, split_by_message

__all__ = ["merge", "split_by_message"]
