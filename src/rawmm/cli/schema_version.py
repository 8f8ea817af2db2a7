"""The version of the contract that an option of a command names."""

from __future__ import annotations

from rawmm.cli.output import UsageError
from rawmm.errors import shown_text
from rawmm.model.types import SCHEMA_VERSION
from rawmm.versions import SUPPORTED_VERSIONS


def named_version(name: str | None, option: str) -> str:
    """A version of the contract; None names that of this package.

    Raises:
        UsageError: this package does not know the version.
    """
    if name is None:
        return SCHEMA_VERSION
    if name not in SUPPORTED_VERSIONS:
        raise UsageError(
            f"{option} takes one of {', '.join(SUPPORTED_VERSIONS)}, not {shown_text(name)}"
        )
    return name
