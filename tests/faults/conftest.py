"""Reports the counts of the fault tests at the end of the session, even if all tests pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_PROPERTY: Final = "fault counts"


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """``counted(kills=200, torn=0)``: numbers of the summary. They travel with the report."""

    def count(**numbers: int | str) -> None:
        record_property(_PROPERTY, numbers)

    return count


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line per test, with the sums of its cases."""
    lines: dict[str, dict[str, Any]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            properties = getattr(report, "user_properties", ())
            found = [value for name, value in properties if name == _PROPERTY]
            if not found:
                continue
            test = report.nodeid.rpartition("/")[2].partition("[")[0]
            line = lines.setdefault(test, {"cases": 0})
            line["cases"] += 1
            for numbers in found:
                for name, value in numbers.items():
                    line[name] = line.get(name, 0) + value if isinstance(value, int) else value
    if lines:
        terminalreporter.section("faults")
    for test, line in sorted(lines.items()):
        words = ", ".join(_said(name.replace("_", " "), value) for name, value in line.items())
        terminalreporter.write_line(f"{test}: {words}")


def _said(name: str, value: int | str) -> str:
    return f"{value:,} {name}" if isinstance(value, int) else f"{name} {value}"
