"""Where two rollouts differ, for the page that shows them side by side."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import json_path
from rawmm.locators import scheme_of
from rawmm.values.difference import MISSING, differences
from rawmm.view.lenient import as_json
from rawmm.view.rollouts import NOTHING, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rawmm.values.difference import Difference
    from rawmm.view.pictures import Pictures
    from rawmm.view.rollouts import Rollout

_MAX: Final = 2_000
_SHOWN: Final = 160


def shown_differences(
    one: Any, other: Any, pairs: Sequence[tuple[Rollout, Rollout]], pictures: Pictures
) -> list[dict[str, Any]]:
    """The differences of two records for each pair of rollouts, in document order.

    Each has the index of its node. The first pair also has the differences outside of all rollouts.
    An image that is stored elsewhere is listed as ``moved``; the first difference is another one.

    Args:
        one: the first record as plain data.
        other: the second one.
        pairs: the rollouts of both that the page shows side by side.
        pictures: finds the images of URLs.
    """
    at: dict[str, tuple[int, int | None]] = {}
    for index, pair in enumerate(pairs):
        for rollout in pair:
            if rollout is not NOTHING:
                at[rollout.path] = index, None
                at |= {place.path: (index, node) for node, place in enumerate(rollout.places)}
    shown: list[list[dict[str, Any]]] = [[] for _ in pairs]
    found = list(islice(differences(one, other), _MAX + 1))
    for difference in found[:_MAX]:
        # MessagePack has keys that are no strings; the violations tell of them.
        keys: Iterable[Any] = difference.path
        path = json_path(key if type(key) in {str, int} else repr(key) for key in keys)
        index, node = at.get(nearest(path, at) or "", (0, None))
        shown[index].append(
            {
                "path": path,
                "old": _value(difference.old),
                "new": _value(difference.new),
                "node": node,
                "moved": _is_moved(difference, pictures),
            }
        )
    return [
        {
            "list": of,
            "more": len(found) > _MAX,
            "first": next((index for index, one in enumerate(of) if not one["moved"]), None),
        }
        for of in shown
    ]


def _is_moved(difference: Difference, pictures: Pictures) -> bool:
    """Whether both sides are references to the same image."""
    sides = (difference.old, difference.new)
    if not all(type(side) is str and scheme_of(side) for side in sides):
        return False
    numbers = {pictures.find(side).number for side in sides}
    return len(numbers) == 1 and None not in numbers


def _value(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    text = as_json(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
