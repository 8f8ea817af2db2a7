"""The tokens of a node for the strip: runs of one kind, ids and log-probabilities as bytes."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from itertools import chain, groupby, repeat
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.media import IMAGE
from rawmm.view.lenient import dict_of, int_of, list_of, stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCAFFOLD: Final = 0
CONTENT: Final = 1
SAMPLED: Final = 2
IMAGE_TOKEN: Final = 3
OTHER_MEDIA: Final = 4
UNLABELLED: Final = 5
"""A token of the prompt in a node without ``is_content``."""


class Span(NamedTuple):
    """A placeholder range of a node, in the node's own tokens."""

    modality: str
    begin: int
    length: int


class Tokens(NamedTuple):
    """The tokens of one node.

    Attributes:
        total: the number of tokens.
        sampled: the number of sampled ones.
        runs: kind and length of each run, one after the other.
        images: begin and length of each run of image tokens.
        ids: base64 of the ids, as little-endian unsigned 32-bit integers.
        logprobs: base64 of the log-probabilities of the sampled tokens, as little-endian 32-bit
            floats.
    """

    total: int
    sampled: int
    runs: list[int]
    images: list[tuple[int, int]]
    ids: str
    logprobs: str


def tokens_of(node: dict[Any, Any], types: Mapping[Any, Any], spans: Iterable[Span]) -> Tokens:
    """The tokens of a node.

    Args:
        node: the node as plain data.
        types: the type of each placeholder token, by its id as text: 1 for an image.
        spans: the placeholder ranges of its sidecar.
    """
    ids = stream(node.get("token_ids"), "ids")
    count = len(ids)
    mask = stream(node.get("mask"), "flags")[:count]
    content = stream(node.get("is_content"), "flags")[:count]
    kinds = [CONTENT if flag else SCAFFOLD for flag in content]
    kinds += repeat(UNLABELLED, count - len(kinds))
    for position, sampled in enumerate(mask):
        if sampled:
            kinds[position] = SAMPLED
    # Keys are looked up, not parsed: a broken record may have keys of any length.
    by_id = {token: types[key] for token in set(ids) if types and (key := str(token)) in types}
    if by_id:
        for position, kind in enumerate(map(by_id.get, ids)):
            if kind:
                kinds[position] = IMAGE_TOKEN if kind == IMAGE.token_type else OTHER_MEDIA
    done = 0
    for modality, first, length in sorted(spans, key=lambda span: span.begin):
        # Ranges of a broken record may overlap. Each token is marked once, for linear time.
        begin, end = max(done, first), min(count, first + length)
        if begin < end:
            kind = IMAGE_TOKEN if modality == IMAGE.name else OTHER_MEDIA
            kinds[begin:end] = repeat(kind, end - begin)
            done = end
    runs = [(kind, sum(1 for _ in run)) for kind, run in groupby(kinds)]
    images = []
    position = 0
    for kind, length in runs:
        if kind == IMAGE_TOKEN:
            images.append((position, length))
        position += length
    logprobs = stream(node.get("logprobs"), "numbers")
    sampled_count = mask.count(True)
    return Tokens(
        count,
        sampled_count,
        list(chain.from_iterable(runs)),
        images,
        _packed("I", ids),
        _packed("f", logprobs) if len(logprobs) == sampled_count else "",
    )


def spans_of(sidecar: Any, base: int) -> list[Span]:
    """The placeholder ranges of a sidecar, in the tokens of a node that begins at token `base`."""
    found = []
    for modality, ranges in dict_of(dict_of(sidecar).get("mm_placeholders")).items():
        for one in list_of(ranges):
            offset, length = (int_of(dict_of(one).get(name)) for name in ("offset", "length"))
            if offset is not None and length is not None:
                found.append(Span(str(modality), offset - base, length))
    return found


def _packed(code: str, values: list[Any]) -> str:
    """Numbers as base64 of an array; empty if one does not fit."""
    try:
        packed = array(code, values)
    except OverflowError:
        return ""
    if sys.byteorder == "big":
        packed.byteswap()
    return b64encode(packed.tobytes()).decode()
