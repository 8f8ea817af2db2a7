"""Test helpers for code that uses the contract.

`check_layout` compares a layout with an image processor. `rawmm.testing.strategies` needs the extra
``testing``.
"""

from rawmm.testing._layouts import check_layout

__all__ = ["check_layout"]
