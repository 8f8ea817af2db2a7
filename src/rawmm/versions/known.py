"""The versions that this package reads and writes, and the choice of one for two programs."""

from __future__ import annotations

from typing import Any, Final

from rawmm.errors import contract_error, shown, shown_names
from rawmm.model.schemas import released_versions
from rawmm.model.types import SCHEMA_VERSION
from rawmm.real_class import is_a
from rawmm.validation import in_order


def _supported() -> tuple[str, ...]:
    major = SCHEMA_VERSION.partition(".")[0]
    same = [one for one in released_versions() if one.partition(".")[0] == major]
    return tuple(dict.fromkeys([*same, SCHEMA_VERSION]))


SUPPORTED_VERSIONS: Final[tuple[str, ...]] = _supported()
"""The versions of the contract that this package writes, from the lowest to the highest."""


def negotiate(theirs: Any) -> str:
    """The highest version of the contract that both programs support.

    Args:
        theirs: the `SUPPORTED_VERSIONS` of the other program, in any order. Names that this package
            does not know are ignored.

    Raises:
        ContractError: ``unsupported_version`` if there is none; the error names both lists.
            ``wrong_type`` if `theirs` is not a list or set of strings, or ``array_payload`` if it
            is an array or bytes.
    """
    expected = "a list of versions"
    plain_set = type(theirs) in (set, frozenset)
    listed = list(theirs if plain_set else in_order(theirs, (), expected))
    for index, one in enumerate(listed):
        if not is_a(one, str):
            raise contract_error(
                "wrong_type", (index,), expected='a version such as "1.0"', got=shown(one)
            )
    names = [str.__str__(one) for one in listed]
    for version in reversed(SUPPORTED_VERSIONS):
        if version in names:
            return version
    raise contract_error(
        "unsupported_version",
        (),
        expected=f"one of {', '.join(SUPPORTED_VERSIONS)}",
        got=shown_names(names) or "no version",
        hint="update the program with the older list",
    )


def checked_version(version: Any, path: tuple[str, ...] = ("version",)) -> str:
    """`version`, if this package writes it.

    Raises:
        ContractError: ``wrong_type`` or ``unsupported_version``.
    """
    if not is_a(version, str):
        raise contract_error(
            "wrong_type", path, expected='a version such as "1.0"', got=shown(version)
        )
    name = str.__str__(version)
    if name not in SUPPORTED_VERSIONS:
        raise contract_error(
            "unsupported_version",
            path,
            expected=f"one of {', '.join(SUPPORTED_VERSIONS)}",
            got=shown(name),
        )
    return name
