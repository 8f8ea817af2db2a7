"""Versions of the contract: which exist, what a reader of each accepts, and writing for one."""

from __future__ import annotations

from rawmm.versions.deprecation import DeprecatedField, deprecated_fields, warn_of_deprecated
from rawmm.versions.judge import version_errors
from rawmm.versions.known import SUPPORTED_VERSIONS, checked_version, negotiate
from rawmm.versions.streams import with_streams
from rawmm.versions.target import for_version

__all__ = [
    "SUPPORTED_VERSIONS",
    "DeprecatedField",
    "checked_version",
    "deprecated_fields",
    "for_version",
    "negotiate",
    "version_errors",
    "warn_of_deprecated",
    "with_streams",
]
