"""Where two rollouts differ, for the page that shows them side by side."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import json_path
from rawmm.locators import scheme_of
from rawmm.values.difference import MISSING, differences
from rawmm.view.lenient import as_json

if TYPE_CHECKING:
    from rawmm.errors import Path
    from rawmm.values.difference import Difference
    from rawmm.view.pictures import Pictures
    from rawmm.view.rollouts import Rollout

_MAX: Final = 2_000
_SHOWN: Final = 160


def shown_differences(
    one: Any, other: Any, rollouts: tuple[Rollout, Rollout], pictures: Pictures
) -> dict[str, Any]:
    """The differences of two records in document order, each with the index of its node.

    An image that is stored elsewhere is listed as ``moved``; the first difference is another one.

    Args:
        one: the first record as plain data.
        other: the second one.
        rollouts: the rollout of each that the page shows.
        pictures: finds the images of URLs.
    """
    at = {place.path: index for of in rollouts for index, place in enumerate(of.places)}
    shown = []
    found = list(islice(differences(one, other), _MAX + 1))
    for difference in found[:_MAX]:
        node = next((at[path] for path in _prefixes(difference.path) if path in at), None)
        shown.append(
            {
                "path": json_path(difference.path),
                "old": _value(difference.old),
                "new": _value(difference.new),
                "node": node,
                "moved": _is_moved(difference, pictures),
            }
        )
    return {
        "list": shown,
        "more": len(found) > _MAX,
        "first": next((index for index, one in enumerate(shown) if not one["moved"]), None),
    }


def _prefixes(path: Path) -> list[str]:
    return [json_path(path[:end]) for end in range(min(len(path), 4), -1, -1)]


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
