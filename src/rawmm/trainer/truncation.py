"""Truncate a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.errors import contract_error, shown
from rawmm.trainer.sample import as_sample, images_of, part

if TYPE_CHECKING:
    from rawmm.trainer.sample import TrainingSample


def truncate(sample: Any, max_tokens: int) -> TrainingSample:
    """The first `max_tokens` tokens of a sample, or fewer, so that no image is split.

    If the limit is inside an image, the sample is cut before it. All streams stay as long as the
    tokens. The result is empty if the sample begins with an image longer than the limit.

    Args:
        sample: a `TrainingSample`, or a value that `as_sample` accepts. It is not changed.
        max_tokens: the limit, at least 0.

    Raises:
        ContractError: ``out_of_range`` for a limit below 0, and the errors of `as_sample`.
        ProcessedPayloadError: the sample holds the output of an image processor.
    """
    if type(max_tokens) is not int or max_tokens < 0:
        raise contract_error(
            "out_of_range", (), expected="a limit of at least 0 tokens", got=shown(max_tokens)
        )
    sample = as_sample(sample)
    split = (one.offset for one in images_of(sample) if one.offset + one.length > max_tokens)
    return part(sample, 0, min(len(sample.token_ids), max_tokens, next(split, max_tokens)))
