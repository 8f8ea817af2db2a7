"""What each fault test counted, at the end of the session: also when all has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_PROPERTY: Final = "fault counts"


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """``counted(kills=200, torn=0)``: a line of the summary. It travels with the report."""

    def count(**numbers: object) -> None:
        words = (
            f"{value:,} {name.replace('_', ' ')}"
            if isinstance(value, int)
            else f"{name.replace('_', ' ')} {value}"
            for name, value in numbers.items()
        )
        record_property(_PROPERTY, ", ".join(words))

    return count


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [each for name in ("passed", "failed") for each in terminalreporter.getreports(name)]
    lines = [
        f"{report.nodeid.rpartition('/')[2]}: {value}"
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _PROPERTY and report.when == "call"
    ]
    if lines:
        terminalreporter.section("faults")
        for line in sorted(lines):
            terminalreporter.write_line(line)
