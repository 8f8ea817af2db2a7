"""Hypothesis profiles, and the rule that CI skips no test."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from tests import differential

_ALWAYS: Any = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "print_blob": True,
}
settings.register_profile("default", max_examples=3, **_ALWAYS)
settings.register_profile("ci", max_examples=5, derandomize=True, **_ALWAYS)
settings.register_profile("many", max_examples=25, derandomize=True, **_ALWAYS)
settings.register_profile("thorough", max_examples=10_000, **_ALWAYS)
settings.load_profile("ci" if os.environ.get("CI") else "default")


# Without compiled modules, a process of a test and the collection take twice their time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Exempt the collected tests from garbage collection: they live until the end."""
    gc.collect()
    gc.freeze()


EXPECTED_SKIPS = ("no file system can be mounted here",)
"""Reasons that depend on the machine alone; the same fault has a test without a mount."""


DIFFERENTIAL: Final = os.environ.get("RAWMM_DIFFERENTIAL") == "1"
"""Whether to run the Python checks on each struct that the C part accepts."""
if DIFFERENTIAL:
    differential.install()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the counts of a worker of xdist."""
    output = getattr(node, "workeroutput", {})
    differential.ANSWERS.update(output.get("answers", {}))
    differential.APART.extend(output.get("apart", ()))


@pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
def pytest_count_answers(session: pytest.Session) -> None:
    """Print the counts of answers. A difference between C and Python fails the run."""
    if not DIFFERENTIAL:
        return
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["answers"] = dict(differential.ANSWERS)
        output["apart"] = differential.APART
        return
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    reporter.ensure_newline()
    reporter.write_line(differential.report())
    for line in differential.APART[:20]:
        reporter.write_line(line, red=True)
    if differential.APART:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
