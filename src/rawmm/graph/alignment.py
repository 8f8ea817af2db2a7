"""Map positions in the renderer's tokens to the engine's, where the engine expanded media.

A renderer may write one token per medium, which the engine replaces with as many as the medium
needs. Spans, flags and ranges of the renderer's tokens are then moved to the engine's. The cost is
per medium and per message; tokens are compared in slices.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import compress, count
from typing import TYPE_CHECKING, Final

from rawmm.errors import contract_error, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rawmm.errors import RawMMError

_PATH: Final = ("tokens", "mm_placeholders")


class Alignment:
    """Maps positions in the renderer's prompt to the engine's.

    Args:
        renderer_ids: tokens of the renderer.
        prompt_ids: tokens of the engine.
        media_ids: placeholder tokens of media.
        placeholders: ``(offset, length)`` of each medium in `prompt_ids`, sorted; needed only
            if the two lists differ.

    Raises:
        ContractError: ``token_mismatch`` or ``placeholder_order`` if the engine's tokens are not
            the renderer's with expanded media.
    """

    def __init__(
        self,
        renderer_ids: list[int],
        prompt_ids: list[int],
        media_ids: Iterable[int],
        placeholders: Sequence[tuple[int, int]] | None,
    ) -> None:
        self._positions: list[int] = []
        self._shifts = [0]
        self.same = renderer_ids is prompt_ids or renderer_ids == prompt_ids
        if self.same:
            return
        is_medium = frozenset(media_ids).__contains__
        self._positions = list(compress(count(), map(is_medium, renderer_ids)))
        ranges = list(placeholders or ())
        if len(ranges) != len(self._positions):
            raise contract_error(
                "placeholder_order",
                _PATH,
                expected=f"{counted(len(self._positions), 'range')}, one per media token of the "
                "renderer's prompt",
                got=str(len(ranges)),
                hint="the engine must return its ranges where it expands media",
            )
        done, here = 0, 0  # ends of what was compared, in the renderer's and the engine's tokens
        for index, (position, (offset, length)) in enumerate(
            zip(self._positions, ranges, strict=True)
        ):
            here = _same_run(renderer_ids[done:position], prompt_ids, here)
            if offset != here or length < 1:
                raise contract_error(
                    "placeholder_order",
                    (*_PATH, index),
                    expected=f"a range at {here}, the position of the renderer's medium",
                    got=f"{offset} to {offset + length}",
                )
            done, here = position + 1, here + length
            self._shifts.append(here - done)
        here = _same_run(renderer_ids[done:], prompt_ids, here)
        if here != len(prompt_ids):
            raise _differs(here)

    def at(self, position: int) -> int:
        """The engine's position for a position of the renderer."""
        return position + self._shifts[bisect_left(self._positions, position)]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The engine's range for a half-open range of the renderer."""
        return self.at(start), self.at(end)

    def flags(self, values: list[bool]) -> list[bool]:
        """Flags of the engine's tokens, from flags of the renderer's."""
        if self.same:
            return values
        out: list[bool] = []
        done = 0
        for position in self._positions:
            out += values[done:position]
            out += values[position : position + 1] * (self.at(position + 1) - self.at(position))
            done = position + 1
        return out + values[done:]


def _same_run(run: list[int], prompt_ids: list[int], start: int) -> int:
    """The end of `run` in `prompt_ids`, where it must begin at `start`."""
    end = start + len(run)
    found = prompt_ids[start:end]
    if found != run:
        pairs = enumerate(zip(run, found, strict=False))
        raise _differs(start + next((i for i, (a, b) in pairs if a != b), len(found)))
    return end


def _differs(position: int) -> RawMMError:
    return contract_error(
        "token_mismatch",
        ("tokens", "prompt_ids"),
        expected="the renderer's tokens with expanded media",
        got=f"different tokens from position {position} on",
        hint="the engine tokenized or truncated the prompt itself",
    )
