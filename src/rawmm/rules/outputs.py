"""Rules of what the engine says about sampled tokens: weight versions, top log-probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rawmm.errors import contract_error, counted
from rawmm.model.packed import elements_of
from rawmm.rules.packed import fills_its_shape, flat_array_errors
from rawmm.rules.rule import Rule, reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rawmm.errors import Path, RawMMError
    from rawmm.model.types import MessageNode, TopLogprobs, WeightVersion

_DTYPES: Final = {"ids": "int32", "logprobs": "float32", "counts": "int32"}
_OTHER_TOKENS: Final = "the arrays are those of other tokens, or were cut"
_read = reader("weight_versions", "top_logprobs")


def _outputs(node: MessageNode, path: Path) -> Iterator[RawMMError]:
    """The errors of spans and rows that do not fit the node's sampled tokens."""
    versions, top = _read(node)
    sampled = node.mask.count(True)
    yield from _spans(versions or (), sampled, (*path, "weight_versions"))
    if top and (rows := _rows(top)) != sampled:
        yield contract_error(
            "stream_length",
            (*path, "top_logprobs", "counts"),
            expected=f"{counted(sampled, 'count')}, one per sampled token",
            got=str(rows),
            hint=_OTHER_TOKENS,
        )


def _outputs_hold(node: MessageNode) -> bool:
    versions, top = _read(node)
    if not versions and not top:
        return True
    sampled = node.mask.count(True)
    end = 0
    for span in versions or ():
        if not end <= span.start <= span.end:
            return False
        end = span.end
    return end <= sampled and (not top or _rows(top) == sampled)


def _spans(spans: Sequence[WeightVersion], sampled: int, path: Path) -> Iterator[RawMMError]:
    done = 0
    for index, span in enumerate(spans):
        if span.start < done:
            yield contract_error(
                "placeholder_order",
                (*path, index, "start"),
                expected=f"a start of at least {done}, where the previous span ends",
                got=str(span.start),
                hint="spans must be sorted and must not overlap",
            )
        if not span.start <= span.end <= sampled:
            yield contract_error(
                "placeholder_order",
                (*path, index, "end"),
                expected=f"an end from {span.start} to {sampled}, the number of sampled tokens",
                got=str(span.end),
                hint="spans count the sampled tokens of the node, from 0",
            )
        done = max(done, span.end)


def _rows(top: TopLogprobs) -> int:
    """The number of rows; 0 if the shape is wrong, which the array's own rule reports."""
    return top.counts.shape[0] if len(top.counts.shape) == 1 else 0


def _top_logprobs(top: TopLogprobs, path: Path) -> Iterator[RawMMError]:
    arrays = {name: getattr(top, name) for name in _DTYPES}
    if not all(map(fills_its_shape, arrays.values())):
        return  # the rule of the array reports it
    found = False
    for name, encoded in arrays.items():
        for error in flat_array_errors(encoded, _DTYPES[name], (*path, name)):
            found = True
            yield error
    if found:
        return
    total = sum(elements_of(_DTYPES["counts"], arrays["counts"].data))
    for name in ("ids", "logprobs"):
        if (size := arrays[name].shape[0]) != total:
            yield contract_error(
                "stream_length",
                (*path, name),
                expected=f"{counted(total, 'element')}, the sum of counts",
                got=str(size),
                hint=_OTHER_TOKENS,
            )


RULES: Final = (
    Rule("outputs", _outputs, _outputs_hold),
    Rule("top_logprobs", _top_logprobs),
)
