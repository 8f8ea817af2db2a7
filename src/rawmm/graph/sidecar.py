"""Split the sidecar of a prompt by message, and merge the sidecars of a path.

Both are pure functions: the result shares nothing mutable with the arguments.
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
from rawmm.values.plain import plain_copy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rawmm.model.types import RawMMItem


def merge(sidecars: Iterable[MultiModalData | None]) -> MultiModalData | None:
    """Merge sidecars, in the order given. None stands for a message without media.

    For the nodes of a branch, root first, the result is the sidecar of the whole prompt, as its
    renderer returned it. Merging is associative. A sidecar without media counts as None.

    Raises:
        ContractError: ``placeholder_order`` if the merged ranges are not in order;
            ``count_mismatch`` if only some sidecars with a modality have one of its lists, because
            later entries would then belong to the wrong media; and any violation of the contract
            in a sidecar, whose index begins ``path``.
        ProcessedPayloadError: an item is not raw.
    """
    merged: dict[str, dict[str, list[Any]]] = {}
    for (name, modality), entries in _lists(_uniform(_each_checked(sidecars))).items():
        merged.setdefault(name, {})[modality] = [_own(entry) for entry in entries]
    return MultiModalData(**merged) if merged else None


def split_by_message(
    sidecar: MultiModalData | None, messages: Sequence[Message], start: int = 0
) -> list[MultiModalData | None]:
    """Split the sidecar of a prompt into the parts that its messages introduce.

    A sidecar lists media in prompt order, so each media part of a message takes the next item,
    hash and range of its modality. A message without media gets None. Ranges keep their offsets,
    which count from the first token of the prompt.

    Args:
        sidecar: the renderer's sidecar of the whole prompt, including reused messages.
        messages: all messages of the prompt.
        start: the number of messages at the beginning to leave out of the result.

    Returns:
        One entry per message from `start` on. The entries of all messages merge to a sidecar
        equal to `sidecar`.

    Raises:
        ContractError: ``count_mismatch`` if the number of entries in a list of the sidecar is not
            the number of media in all messages, with the list's ``path`` in the sidecar; and any
            violation of the contract in the returned parts.
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
    lists_of_prompt = list(_entries(sidecar))
    out: list[MultiModalData | None] = []
    for sizes in media[start:]:
        lists: dict[str, dict[str, Any]] = {}
        for name, modality, entries in lists_of_prompt:
            first = cursors[modality]
            if part := entries[first : first + sizes[modality]]:
                lists.setdefault(name, {})[modality] = [_own(entry) for entry in part]
        for modality, size in sizes.items():
            cursors[modality] += size
        # The copied entries may have been assigned to since they were checked.
        out.append(convert(MultiModalData(**lists), MultiModalData) if lists else None)
    return out


def media_count(message: Message) -> dict[str, int]:
    """The number of media of each modality in a message.

    Raises:
        ContractError: `message` is not a message of the contract.
    """
    return guarded(lambda: _media_count(message), (message, Message, ()))


def _media_count(message: Message) -> dict[str, int]:
    return {name: len(modality.urls(message)) for name, modality in IN_MESSAGES.items()}


def first_mismatch(
    stored: Iterable[MultiModalData | None], sidecar: MultiModalData, messages: Iterable[Message]
) -> tuple[str, str, int] | None:
    """The first entry of a prompt's sidecar that differs from those of its first messages.

    A descriptor equals the same descriptor without a locator, because renderers may leave out the
    locators of images that the engine has.

    Args:
        stored: sidecars of the first messages.
        sidecar: the sidecar of the whole prompt.
        messages: the first messages.

    Returns:
        The list, the modality and the index in the sidecar; None if all entries are equal.
    """
    if type(sidecar) is not MultiModalData:
        sidecar = convert(sidecar, MultiModalData)
    checked = [
        one if one is None or type(one) is MultiModalData else convert(one, MultiModalData)
        for one in in_order(stored, ("stored",), "the sidecars of several messages")
    ]
    first = list(in_order(messages, ("messages",), "a list of messages"))
    return guarded(
        lambda: _first_mismatch(checked, sidecar, first),
        (sidecar, MultiModalData, ()),
        (checked, list[MultiModalData | None], ("stored",)),
    )


def _first_mismatch(
    stored: Iterable[MultiModalData | None], sidecar: MultiModalData, messages: Iterable[Message]
) -> tuple[str, str, int] | None:
    sizes = _total(map(media_count, messages))
    lists = _lists(stored)
    of_prompt = {
        (name, modality): entries[: sizes.get(modality, 0)]
        for name, modality, entries in _entries(sidecar)
    }
    for name, modality in lists | of_prompt:
        left, right = lists.get((name, modality), []), of_prompt.get((name, modality), [])
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
    """The sidecars, each checked to have the same lists of a modality as those before."""
    expected: dict[str, set[str]] = {}
    for sidecar in sidecars:
        present: dict[str, set[str]] = {}
        for name, modality, _ in _entries(sidecar):
            present.setdefault(modality, set()).add(name)
        for modality, names in present.items():
            for name in LISTS:
                if (name in names) != (name in expected.setdefault(modality, names)):
                    raise contract_error(
                        "count_mismatch",
                        (name, modality),
                        expected="a list in every sidecar with media of "
                        f"{shown_name(modality)}, or in none",
                        got="a list in some",
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
    """Every list of a sidecar that is not empty, with its name and modality."""
    if sidecar is not None:
        for name in LISTS:
            for modality, entries in getattr(sidecar, name).items():
                if entries:
                    yield name, modality, entries


def _total(media: Iterable[dict[str, int]]) -> dict[str, int]:
    """The sum of the counts of several messages."""
    totals = dict.fromkeys(IN_MESSAGES, 0)
    for sizes in media:
        for modality, size in sizes.items():
            totals[modality] += size
    return totals


def _check_counts(sidecar: MultiModalData, totals: dict[str, int]) -> None:
    listed: set[str] = set()
    for name in LISTS:
        for modality, entries in getattr(sidecar, name).items():
            listed.add(modality)
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
        if wanted and modality not in listed:
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
