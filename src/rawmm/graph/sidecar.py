"""Sidecars: one for a prompt taken apart by message, those of a path put together again.

Both are pure: what comes out shares nothing mutable with what went in.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from rawmm.codec import convert
from rawmm.errors import RawMMError, contract_error, counted, shown_name
from rawmm.media import IN_MESSAGES, LISTS
from rawmm.model.types import Message, MultiModalData, PlaceholderRange
from rawmm.real_class import is_a
from rawmm.validation import guarded, in_order
from rawmm.values.payload import plain_copy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rawmm.model.types import RawMMItem


def merge(sidecars: Iterable[MultiModalData | None]) -> MultiModalData | None:
    """One sidecar of several, in the order given; None stands for a message without media.

    For the nodes of a branch from its root this is the sidecar of the whole prompt, as its
    renderer returned it. Merging is associative; a sidecar without media counts as None.

    Raises:
        ContractError: ``placeholder_order`` if the ranges are not in order when put together,
            ``count_mismatch`` if a list is present in some sidecars with the modality only: what
            follows in it would be taken for that of other media; and what breaks the contract
            in one of them, with its index in ``path``.
        ProcessedPayloadError: an item is not raw.
    """
    merged: dict[str, dict[str, list[Any]]] = {}
    for (name, modality), entries in _lists(_uniform(_each_checked(sidecars))).items():
        merged.setdefault(name, {})[modality] = [_own(entry) for entry in entries]
    return MultiModalData(**merged) if merged else None


def split_by_message(
    sidecar: MultiModalData | None, messages: Sequence[Message], start: int = 0
) -> list[MultiModalData | None]:
    """The part of a prompt's sidecar that each of its messages introduces.

    Media stand in a sidecar in prompt order, so a cursor per modality hands them out: an image
    part takes the next item, hash and range of ``image``. A message without media gets None.
    Ranges keep their offsets, which count from the first token of the prompt.

    Args:
        sidecar: the renderer's sidecar of the whole prompt, reused messages included.
        messages: all messages of the prompt.
        start: number of messages at the beginning whose parts are not wanted.

    Returns:
        One entry per message from `start` on. Those of all messages, merged again, equal the
        sidecar.

    Raises:
        ContractError: ``count_mismatch`` if a list of the sidecar is longer or shorter than the
            media of all messages, ``path`` being that of the list in the sidecar; and what breaks
            the contract in the parts that are returned.
        ProcessedPayloadError: an item is not raw.
    """
    if type(sidecar) is not MultiModalData:
        sidecar = convert(sidecar, MultiModalData | None)
    return guarded(
        lambda: _split(sidecar, messages, start),
        (sidecar, MultiModalData | None, ()),
        (messages, list[Message], ("messages",)),
    )


def _split(
    sidecar: MultiModalData | None, messages: Sequence[Message], start: int
) -> list[MultiModalData | None]:
    if sidecar is None:
        return [None] * len(messages[start:])
    media = list(map(media_count, messages))
    _check_counts(sidecar, _total(media))
    cursors = _total(media[:start])
    present = list(_entries(sidecar))
    out: list[MultiModalData | None] = []
    for sizes in media[start:]:
        lists: dict[str, dict[str, Any]] = {}
        for name, modality, entries in present:
            start = cursors[modality]
            if part := entries[start : start + sizes[modality]]:
                lists.setdefault(name, {})[modality] = [_own(entry) for entry in part]
        for modality, size in sizes.items():
            cursors[modality] += size
        # What was copied may have been changed since it was built.
        out.append(convert(MultiModalData(**lists), MultiModalData) if lists else None)
    return out


def media_count(message: Message) -> dict[str, int]:
    """How many media of each modality a message brings into the prompt.

    Raises:
        ContractError: it is no message of the contract.
    """
    return guarded(lambda: _media_count(message), (message, Message, ()))


def _media_count(message: Message) -> dict[str, int]:
    return {name: len(modality.urls(message)) for name, modality in IN_MESSAGES.items()}


def first_mismatch(
    stored: Iterable[MultiModalData | None], sidecar: MultiModalData, messages: Iterable[Message]
) -> tuple[str, str, int] | None:
    """The first place where a prompt's sidecar disagrees with what its first messages hold.

    A descriptor with a locator agrees with the same descriptor without one: a renderer may leave
    out what the engine has.

    Args:
        stored: sidecars of the first messages.
        sidecar: the sidecar of the whole prompt.
        messages: these first messages.

    Returns:
        The list, the modality and the index in the sidecar; None if they agree.
    """
    if type(sidecar) is not MultiModalData:
        sidecar = convert(sidecar, MultiModalData)
    of_nodes = [
        one if one is None or type(one) is MultiModalData else convert(one, MultiModalData)
        for one in in_order(stored, ("stored",), "the sidecars of several messages")
    ]
    of_prompt = list(in_order(messages, ("messages",), "a list of messages"))
    return guarded(
        lambda: _first_mismatch(of_nodes, sidecar, of_prompt),
        (sidecar, MultiModalData, ()),
        (of_nodes, list[MultiModalData | None], ("stored",)),
    )


def _first_mismatch(
    stored: Iterable[MultiModalData | None], sidecar: MultiModalData, messages: Iterable[Message]
) -> tuple[str, str, int] | None:
    sizes = _total(map(media_count, messages))
    one = _lists(stored)
    other = {
        (name, modality): entries[: sizes.get(modality, 0)]
        for name, modality, entries in _entries(sidecar)
    }
    for name, modality in one | other:
        left, right = one.get((name, modality), []), other.get((name, modality), [])
        if left == right:
            continue
        for index in range(max(len(left), len(right))):
            if left[index : index + 1] == right[index : index + 1]:
                continue
            both = index < min(len(left), len(right))
            if not (both and name == "mm_items" and _same_item(left[index], right[index])):
                return name, modality, index
    return None


def _each_checked(sidecars: Any) -> Iterator[MultiModalData | None]:
    for index, sidecar in enumerate(in_order(sidecars, (), "the sidecars of several messages")):
        try:
            checked: MultiModalData | None = convert(sidecar, MultiModalData | None)
        except RawMMError as error:
            refusal = error.at((index,))
        else:
            yield checked
            continue
        raise refusal


def _uniform(sidecars: Iterable[MultiModalData | None]) -> Iterator[MultiModalData | None]:
    """The sidecars, each checked to have the same lists for a modality as those before."""
    known: dict[str, set[str]] = {}
    for sidecar in sidecars:
        present: dict[str, set[str]] = {}
        for name, modality, _ in _entries(sidecar):
            present.setdefault(modality, set()).add(name)
        for modality, names in present.items():
            for name in LISTS:
                if (name in names) != (name in known.setdefault(modality, names)):
                    raise contract_error(
                        "count_mismatch",
                        (name, modality),
                        expected="a list in every sidecar with media of "
                        f"{shown_name(modality)}, or in none",
                        got="one in some",
                    )
        yield sidecar


def _lists(sidecars: Iterable[MultiModalData | None]) -> dict[tuple[str, str], list[Any]]:
    """All entries of several sidecars by list and modality."""
    lists: dict[tuple[str, str], list[Any]] = {}
    for sidecar in sidecars:
        for name, modality, entries in _entries(sidecar):
            lists.setdefault((name, modality), []).extend(entries)
    return lists


def _same_item(one: RawMMItem, other: RawMMItem) -> bool:
    locators = [(item.raw_image_id, item.raw_image_uri) for item in (one, other)]
    if (None, None) not in locators:
        return False
    bare = [copy(one), copy(other)]
    for item in bare:
        item.raw_image_id = item.raw_image_uri = None
    return bare[0] == bare[1]


def _entries(sidecar: MultiModalData | None) -> Iterator[tuple[str, str, Sequence[Any]]]:
    """Every list of a sidecar that holds something, with its name and modality."""
    if sidecar is not None:
        for name in LISTS:
            for modality, entries in getattr(sidecar, name).items():
                if entries:
                    yield name, modality, entries


def _total(media: Iterable[dict[str, int]]) -> dict[str, int]:
    """The media of several messages together."""
    totals = dict.fromkeys(IN_MESSAGES, 0)
    for sizes in media:
        for modality, size in sizes.items():
            totals[modality] += size
    return totals


def _check_counts(sidecar: MultiModalData, totals: dict[str, int]) -> None:
    named: set[str] = set()
    for name in LISTS:
        for modality, entries in getattr(sidecar, name).items():
            named.add(modality)
            wanted = totals.get(modality, 0)
            if len(entries) != wanted:
                raise contract_error(
                    "count_mismatch",
                    (name, modality),
                    expected=f"{counted(wanted, 'entry', 'entries')}, one per "
                    f"{shown_name(modality)} of the prompt's messages",
                    got=str(len(entries)),
                    hint="the sidecar must cover the whole prompt; give a bridging renderer the "
                    "previous sidecar",
                )
    for modality, wanted in totals.items():
        if wanted and modality not in named:
            raise contract_error(
                "count_mismatch",
                ("mm_items",),
                expected=counted(wanted, f"{shown_name(modality)} item"),
                got=f"no list of {shown_name(modality)}s",
                hint="the renderer lost them",
            )


def _own(entry: Any) -> Any:
    """A copy of one entry that shares nothing mutable with it."""
    if is_a(entry, str):
        return entry
    entry = copy(entry)
    if not is_a(entry, PlaceholderRange):
        entry.payload = plain_copy(entry.payload)
    return entry
