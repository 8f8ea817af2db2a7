"""Hypothesis profiles: the default one is quick, ``thorough`` is for releases."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

_ALWAYS: Any = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "print_blob": True,
}
settings.register_profile("default", max_examples=25, **_ALWAYS)
settings.register_profile("ci", max_examples=25, derandomize=True, **_ALWAYS)
settings.register_profile("thorough", max_examples=10_000, **_ALWAYS)
settings.load_profile("ci" if os.environ.get("CI") else "default")
