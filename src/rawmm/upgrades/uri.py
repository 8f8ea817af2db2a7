"""``uri`` (August 2026): the envelope without its version."""

from __future__ import annotations

from typing import Any

from rawmm.upgrades.step import Step


def upgraded(item: dict[str, Any]) -> Step:
    """The item with the version it had: there was no other."""
    return Step({**item, "version": 1}, "version 1 added")
