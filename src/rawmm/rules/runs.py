"""Runs of media tokens: what shows the media of a message in a record without sidecars.

A run is a maximal sequence of tokens that the token-type map gives one modality. Chat templates
put marks around each image, so an image is one run. There is no Python loop over tokens here:
searches, comparisons and counts of bytes run in C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rawmm.errors import contract_error, counted
from rawmm.model.packed import token_bytes
from rawmm.model.types import PackedStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from rawmm.errors import Path, RawMMError
    from rawmm.model.types import PackedFlags, PackedTokenIds

    Tokens = list[int] | PackedTokenIds
    Flags = list[bool] | PackedFlags


_INVERTED: Final = bytes([1, 0]) + bytes(254)
"""A table for `bytes.translate` that inverts flags."""


def typed_tokens(tokens: Tokens, wanted: AbstractSet[int]) -> bytes:
    """One byte per token: 1 if it is one of `wanted`, else 0."""
    one_by_one = tokens.memoryview() if isinstance(tokens, PackedStream) else tokens
    return bytes(map(wanted.__contains__, one_by_one))


def both(one: bytes, other: bytes) -> bytes:
    """One byte per byte of `one`: 1 where both have a 1. `other` may have another length."""
    size = len(one)
    flags = int.from_bytes(one, "little") & int.from_bytes(other[:size], "little")
    return flags.to_bytes(size, "little")


def flag_bytes(flags: Flags) -> bytes:
    """One byte per flag, 0 or 1."""
    return flags.data if isinstance(flags, PackedStream) else bytes(flags)


def search(tokens: Tokens, wanted: AbstractSet[int]) -> tuple[bytes, bytes] | None:
    """Bytes of `tokens`, and those of a token in `wanted`; None if no token can be one of them.

    A match is a token only at a multiple of the token's size.
    """
    if len(wanted) == 1 and (found := token_bytes(tokens)) is not None:
        data, size = found
        (token,) = wanted
        return None if token.bit_length() > 8 * size else (data, token.to_bytes(size, "little"))
    return typed_tokens(tokens, wanted), b"\1"


def runs_match(tokens: Tokens, mask: Flags, wanted: AbstractSet[int], count: int) -> bool:
    """Fast check that `tokens` have exactly `count` runs of `wanted`, and none is sampled.

    Also False if the bytes of two tokens look like one of `wanted`.
    """
    found = search(tokens, wanted)
    if found is None:
        return not count
    data, token = found
    size, done = len(token), 0
    for _ in range(count):
        first = data.find(token, done)
        if first < 0 or first % size:
            return False
        done = _end_of_run(data, token, first)
        if True in mask[first // size : done // size]:
            return False
    return data.find(token, done) < 0


def _end_of_run(data: bytes, token: bytes, end: int) -> int:
    """Where `token` stops repeating in `data`, from `end` on. Takes logarithmic steps."""
    size, number = len(token), 1
    while data.startswith(token * number, end):
        end += size * number
        number *= 2
    while number > 1:
        number //= 2
        if data.startswith(token * number, end):
            end += size * number
    return end


class Runs(NamedTuple):
    """The media tokens of one modality in a node."""

    number: int
    """The number of runs, without sampled tokens."""
    sampled: int
    """The number of sampled tokens of the modality."""
    first_sampled: int
    """The index of the first of these; -1 if there is none."""


def runs_of(tokens: Tokens, mask: Flags, wanted: AbstractSet[int]) -> Runs:
    """Count the runs of `wanted` in a node's tokens."""
    typed = typed_tokens(tokens, wanted)
    if 1 not in typed:
        return Runs(0, 0, -1)
    sampled = both(typed, flag_bytes(mask))
    given = typed if 1 not in sampled else both(typed, sampled.translate(_INVERTED))
    number = given.count(b"\0\1") + given.startswith(b"\1")
    return Runs(number, sampled.count(1), sampled.find(1))


def sampled_error(modality: str, sampled: int, first: int, path: Path) -> RawMMError:
    """The error of sampled media tokens in a node. `path` is that of the node."""
    return contract_error(
        "sampled_image_token",
        (*path, "token_ids"),
        expected=f"no {modality}-typed token where mask is true",
        got=f"{sampled}, the first at index {first}",
        hint=f"the policy sampled the token and no {modality} was lost; the engine takes it for "
        f"the next {modality}, so end the rollout here or sample with the token forbidden",
    )


def run_errors(
    modality: str,
    runs: Runs,
    parts: int,
    wanted: AbstractSet[int],
    path: Path,
    *,
    row_separators: bool,
) -> Iterator[RawMMError]:
    """The errors of a node's runs, compared with its media parts.

    Args:
        modality: the name of the modality.
        runs: the result of `runs_of`.
        parts: the number of media parts of the message, and of the messages without tokens that
            precede it.
        wanted: the token ids of the modality.
        path: the path of the node.
        row_separators: whether other tokens separate the rows of an image. If `wanted` has the
            separators, too, an image is one run, and adjacent images may share it. Otherwise an
            image is at least one run.
    """
    if runs.sampled:
        yield sampled_error(modality, runs.sampled, runs.first_sampled, path)
    least = most = parts
    if row_separators and parts:
        least, most = (1, parts) if len(wanted) > 1 else (parts, runs.number)
    if least <= runs.number <= most:
        return
    if runs.number < least:
        hint = (
            f"the chat template dropped {'the' if parts == 1 else 'one'} {modality}, or tokens "
            "were lost"
        )
    else:
        hint = (
            f"a message lost its {modality}, or a text contains the token; if other tokens "
            "separate the rows of an image, give the layout"
        )
    yield contract_error(
        "orphan_image",
        (*path, "token_ids"),
        expected=f"{counted(parts, 'run')} of {modality}-typed tokens, one for each {modality} of "
        "the message and of those without tokens before it"
        if parts
        else f"no {modality}-typed token, as there is no {modality}",
        got=counted(runs.number, "run"),
        hint=hint,
    )
