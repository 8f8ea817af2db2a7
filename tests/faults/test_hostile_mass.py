"""Hostile input of a gigabyte, and of a million images. Needs much memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults import hostile
from tests.faults.children import in_child
from tests.faults.test_hostile_input import assert_bounded

if TYPE_CHECKING:
    from collections.abc import Callable


def test_million_image_parts_are_refused(counted: Callable[..., None]) -> None:
    outcome = in_child(hostile.take_parts, cpu_seconds=240)
    answers = outcome.value
    assert answers["offload_request"] == answers["offload_images_inplace"] == "image_limit"
    assert outcome.peak_mb < 3 * 1024
    counted(entry_points=len(answers), peak=f"{outcome.peak_mb:.0f} MB")


def test_gigabyte_of_zeros_is_refused(counted: Callable[..., None]) -> None:
    outcome = in_child(hostile.take_gigabyte, cpu_seconds=240)
    assert outcome.value["put_data_url"] == outcome.value["offload_request"] == "image_limit"
    assert_bounded(outcome, counted, 8 * 1024)  # text, bytes and copies at once
    counted(peak=f"{outcome.peak_mb:.0f} MB")
