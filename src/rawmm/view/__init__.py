"""A page to look at records: one HTML file that loads nothing and runs only its own script.

Records are read leniently, because a broken record is the one that people look at. What is not as
the contract has it is shown as far as it can be; the violations say what is wrong.
"""

from __future__ import annotations

from rawmm.view.page import Page, ViewedRecord, is_page
from rawmm.view.pictures import DEFAULT_BUDGET

__all__ = ["DEFAULT_BUDGET", "Page", "ViewedRecord", "is_page"]
