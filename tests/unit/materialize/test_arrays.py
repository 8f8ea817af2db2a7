"""Arrays of any library are joined by its own functions."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rawmm import MaterializeError
from rawmm.materialize.arrays import joined
from rawmm.values.arrays import as_lists

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_arrays_are_joined_along_the_first_axis() -> None:
    one = {"pixel_values": np.ones((2, 3)), "image_grid_thw": np.array([[1, 2, 1]])}
    other = {"pixel_values": np.zeros((4, 3)), "image_grid_thw": np.array([[1, 2, 2]])}
    found = joined([one, other, one])
    assert found["pixel_values"].tolist() == [[1] * 3] * 2 + [[0] * 3] * 4 + [[1] * 3] * 2
    assert found["image_grid_thw"].tolist() == [[1, 2, 1], [1, 2, 2], [1, 2, 1]]


def test_lists_are_joined() -> None:
    assert joined([{"a": [1, 2]}, {"a": [3]}]) == {"a": [1, 2, 3]}


def test_no_outputs_give_an_empty_dict() -> None:
    assert joined([]) == {}


def test_one_is_copied() -> None:
    only = {"a": np.zeros((2, 2)), "b": [1]}
    found = joined([only])
    assert not np.shares_memory(found["a"], only["a"])
    assert found["b"] is not only["b"]


class Array:
    """An array of a library without the array API, like torch's."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = list(rows)
        self.shape = (len(self.rows), 1)


@pytest.mark.parametrize("name", ["concat", "concatenate"])
def test_library_of_the_arrays_joins_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("somelib")
    setattr(library, name, lambda arrays: [row for one in arrays for row in one.rows])
    monkeypatch.setitem(sys.modules, "somelib", library)
    monkeypatch.setattr(Array, "__module__", "somelib.arrays")
    assert joined([{"a": Array([1])}, {"a": Array([2, 3])}]) == {"a": [1, 2, 3]}


@pytest.mark.parametrize(
    ("other", "got"),
    [(np.zeros((1, 3, 5)), "[1, 3, 5]"), (np.zeros(3), "[3]"), (np.float64(1), "[]"), (None, "[]")],
)
def test_incompatible_shapes_are_refused(other: Any, got: str) -> None:
    with pytest.raises(MaterializeError) as caught:
        joined([{"pixel_values": np.zeros((1, 3, 4))}, {"pixel_values": other}])
    assert str(caught.value) == (
        f"$[1]: expected pixel_values of shape [*, 3, 4], as for the first image, got {got}; the "
        "image processor pads the images of one call to one size; use the outputs of each image "
        "[geometry_mismatch]"
    )


def test_key_of_some_images_only_is_refused() -> None:
    with pytest.raises(MaterializeError):
        joined([{"a": np.zeros((1, 1))}, {}])
    with pytest.raises(MaterializeError):
        joined([{}, {"a": np.zeros((1, 1))}])


def test_arrays_become_lists() -> None:
    assert as_lists([np.array([[1, 2]]), (np.int64(3), 4)]) == [[[1, 2]], [3, 4]]
