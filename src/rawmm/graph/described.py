"""Sidecars of new messages that a function makes from the engine's ranges.

The graph does no I/O. So `PendingTurn.commit` takes the function that reads the images, such as
`rawmm.describe_prompt` with a layout.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rawmm.errors import RawMMError, contract_error, counted, json_path, shown, type_name
from rawmm.graph.reading import read
from rawmm.graph.sidecar import media_count, split_by_message
from rawmm.media import IN_MESSAGES, counted_items
from rawmm.model.types import MultiModalData, PlaceholderRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rawmm.errors import Path
    from rawmm.model.types import Message

    Range: TypeAlias = tuple[int, int]
    Describe: TypeAlias = Callable[[list[Message], list[Range]], MultiModalData | None]

_RANGES: Final = ("tokens", "mm_placeholders")
_SIDECAR: Final = ("tokens", "multi_modal_data")
_INDEXED: Final = re.compile(r"\$\.(messages|mm_placeholders)\[([0-9]+)\]")


class EngineRanges:
    """The ranges that the engine returned for a prompt, by message.

    Ranges are those of the prompt's media in order. The engine's answer may have lost their
    modality, so the content parts say which it is.

    Args:
        prompt: the messages of the prompt.
        ranges: ``(offset, length)`` of every medium, sorted; None if the engine returned none.

    Attributes:
        places: the ranges as a sidecar without items; None without media.

    Raises:
        ContractError: ``count_mismatch`` if the numbers of ranges and media differ;
            ``placeholder_order`` and the violations of a range, at ``$.tokens.mm_placeholders``.
    """

    def __init__(self, prompt: Sequence[Message], ranges: Sequence[Range] | None) -> None:
        self._prompt = prompt
        self._ranges = list(ranges or ())
        self._counts = [media_count(message) for message in prompt]
        self._starts = [0]
        for counts in self._counts:
            self._starts.append(self._starts[-1] + sum(counts.values()))
        if len(self._ranges) != self._starts[-1]:
            self._raise_count(None if ranges is None else len(ranges))
        self.places = self._places()

    def described(
        self, describe: Describe, stored: Sequence[MultiModalData | None]
    ) -> list[MultiModalData | None]:
        """The sidecar of each new message.

        Args:
            describe: called with the new messages and their ranges, if they have media.
            stored: the sidecars of the messages that the graph has.

        Raises:
            ContractError: ``describe_failed`` if `describe` raises anything but a `RawMMError`;
                ``count_mismatch`` or ``placeholder_order`` if the sidecar does not have the items
                of the new messages at their ranges; ``media_mismatch`` if the engine moved media
                that the graph has.
            RawMMError: raised by `describe`. A path in its arguments becomes one in the turn's
                prompt or tokens.
        """
        reused = len(stored)
        self._check_stored(stored)
        new, first = list(self._prompt[reused:]), self._starts[reused]
        ranges = self._ranges[first:]
        if not ranges:
            return [None] * len(new)
        # Copies, because the caller's function may change its arguments.
        found = _called(describe, list(new), list(ranges), reused, first)
        made = read(found, MultiModalData | None, *_SIDECAR)
        total = dict.fromkeys(IN_MESSAGES, 0)
        for counts in self._counts[reused:]:
            for modality, count in counts.items():
                total[modality] += count
        items = {} if made is None else {name: len(of) for name, of in made.mm_items.items()}
        if made is None or any(items.get(name, 0) != count for name, count in total.items()):
            raise contract_error(
                "count_mismatch",
                _SIDECAR if made is None else (*_SIDECAR, "mm_items"),
                expected=f"a sidecar with {counted_items(total)} from describe",
                got="none" if not any(items.values()) else counted_items(items),
                hint="describe must return the items of all messages that it gets",
            )
        try:
            parts = split_by_message(made, new)
        except RawMMError as error:
            refusal: RawMMError | None = error.at(_SIDECAR)
        else:
            refusal = None
        if refusal is not None:
            raise refusal
        if (placed := _flat(made)) != ranges:
            raise contract_error(
                "placeholder_order",
                (*_SIDECAR, "mm_placeholders"),
                expected=f"the {counted(len(ranges), 'range')} that describe got",
                got=f"{counted(len(placed), 'range')} at other positions",
                hint="describe must keep the ranges of the engine",
            )
        return parts

    def _check_stored(self, stored: Sequence[MultiModalData | None]) -> None:
        """Check that the graph has the media of the other messages, where the engine has them."""
        for index, (sidecar, counts) in enumerate(zip(stored, self._counts, strict=False)):
            start, end = self._starts[index : index + 2]
            if start == end:
                continue
            if sidecar is None:
                raise contract_error(
                    "count_mismatch",
                    ("prompt", index),
                    expected=f"a message whose node has a sidecar with {counted_items(counts)}",
                    got="a node without one",
                    hint="commit every turn with describe, or describe the trace first with "
                    "describe_trace",
                )
            if _flat(sidecar) != self._ranges[start:end]:
                raise contract_error(
                    "media_mismatch",
                    (*_RANGES, start),
                    expected="the range of the reused node",
                    got="a different range",
                    hint="the engine laid out media of earlier turns differently",
                )

    def _places(self) -> MultiModalData | None:
        by_modality: dict[str, list[PlaceholderRange]] = {}
        end = 0
        modalities = [
            name for counts in self._counts for name, count in counts.items() for _ in range(count)
        ]
        for index, (name, (offset, length)) in enumerate(
            zip(modalities, self._ranges, strict=True)
        ):
            if offset < end:
                raise contract_error(
                    "placeholder_order",
                    (*_RANGES, index),
                    expected=f"an offset of at least {end}, where the previous range ends",
                    got=str(offset),
                    hint="ranges must be sorted by offset and must not overlap",
                )
            one = read({"offset": offset, "length": length}, PlaceholderRange, *_RANGES, index)
            by_modality.setdefault(name, []).append(one)
            end = offset + length
        return MultiModalData(mm_placeholders=by_modality) if by_modality else None

    def _raise_count(self, got: int | None) -> None:
        hint = "the chat template dropped a medium, or the answer is that of another prompt"
        if got is None:
            hint = "the engine returns its ranges if the request has return_token_ids"
        raise contract_error(
            "count_mismatch",
            _RANGES,
            expected=f"{counted(self._starts[-1], 'range')}, one per medium of the prompt's "
            "messages",
            got="none" if got is None else str(got),
            hint=hint,
        )


def _called(
    describe: Describe, messages: list[Message], ranges: list[Range], reused: int, first: int
) -> Any:
    """What `describe` returns for the messages from `reused` on, and the ranges from `first` on."""
    refusal: RawMMError
    try:
        return describe(messages, ranges)
    except RawMMError as error:
        refusal = error.at(path=_in_turn(error.path, reused, first))
    except Exception as error:  # noqa: BLE001  (the caller's function may raise anything)
        refusal = contract_error(
            "describe_failed",
            _SIDECAR,
            expected="a sidecar from describe",
            got=type_name(type(error)),
            hint="call describe directly to see the whole error",
        )
    # Raised outside of the handlers, because the text of another exception may quote an image.
    raise refusal


def _in_turn(path: str, reused: int, first: int) -> str:
    """A path in the arguments of `describe` as one in the turn."""
    found = _INDEXED.match(path)
    if found is not None:
        index = int(found[2])
        at: Path = (
            ("prompt", reused + index) if found[1] == "messages" else (*_RANGES, first + index)
        )
        return json_path(at) + path[found.end() :]
    if path.startswith("$.mm_placeholders"):
        return json_path(_RANGES) + path.removeprefix("$.mm_placeholders")
    return json_path(_SIDECAR) + path.removeprefix("$")


def checked_describe(describe: Any) -> Describe | None:
    """The argument `describe` of a commit.

    Raises:
        ContractError: ``wrong_type`` if it cannot be called.
    """
    if describe is None or callable(describe):
        checked: Describe | None = describe
        return checked
    raise contract_error(
        "wrong_type",
        ("describe",),
        expected="a function of messages and ranges",
        got=shown(describe),
        hint="functools.partial(rawmm.describe_prompt, layout=...)",
    )


def _flat(sidecar: MultiModalData) -> list[Range]:
    """All ranges of a sidecar, sorted."""
    return sorted((one.offset, one.length) for of in sidecar.mm_placeholders.values() for one in of)
