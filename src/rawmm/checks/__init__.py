"""Checks of whole records: their type, their fields and rules, and their images."""

from __future__ import annotations

from rawmm.checks.checker import Note, RecordChecker
from rawmm.checks.images import NotChecked
from rawmm.checks.kinds import CHAT_REQUEST, detect_type, is_chat_request
from rawmm.checks.tables import table_record

__all__ = [
    "CHAT_REQUEST",
    "NotChecked",
    "Note",
    "RecordChecker",
    "detect_type",
    "is_chat_request",
    "table_record",
]
