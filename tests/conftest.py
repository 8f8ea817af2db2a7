"""Hypothesis profiles, and the rule that CI skips no test."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_ALWAYS: Any = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "print_blob": True,
}
settings.register_profile("default", max_examples=5, **_ALWAYS)
settings.register_profile("quick", max_examples=5, derandomize=True, **_ALWAYS)
settings.register_profile("ci", max_examples=25, derandomize=True, **_ALWAYS)
settings.register_profile("thorough", max_examples=10_000, **_ALWAYS)
settings.load_profile("ci" if os.environ.get("CI") else "default")


EXPECTED_SKIPS = ("no file system can be mounted here",)
"""Reasons that depend on the machine alone; the same fault has a test without a mount."""


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip is a failure: it would hide a part that is missing."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    skipped = [str(report.longrepr) for report in reporter.stats.get("skipped", ())]
    if any(not any(reason in text for reason in EXPECTED_SKIPS) for text in skipped):
        reporter.write_line("skipped tests are failures in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
