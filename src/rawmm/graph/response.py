"""The result of a model call, as the message graph takes it. Never serialized."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rawmm.model.types import (
        AssistantMessage,
        MultiModalData,
        SamplingMask,
        TopLogprobs,
        Usage,
        WeightVersion,
    )


@dataclass(kw_only=True, slots=True)
class TurnTokens:
    """The tokens of one turn, and what they belong to.

    The fields are those of verifiers 0.4.1.dev86, and the renderer's sidecar. `PendingTurn.commit`
    reads them from any object or mapping with `prompt_ids`. Other absent fields have their
    defaults. Streams may be lists, other sequences, or one-dimensional arrays, as in 0.4.1.dev86.

    Attributes:
        prompt_ids: tokens that the engine evaluated, with expanded media.
        completion_ids: sampled tokens.
        completion_logprobs: the log-probability of each sampled token, in nats; or empty.
        renderer_prompt_ids: tokens before the engine expanded media, with one token per medium;
            None if equal to `prompt_ids`.
        bridged: whether the renderer built the prompt by extending the stored prefix. The prompt
            must then begin with the prefix's tokens.
        message_spans: for each prompt message its tokens ``(start, end)`` in the renderer's
            prompt, or None. Templates may reorder messages, so spans need not be in order.
        is_content: for each token of the renderer's prompt whether it is message text; or None.
        mm_placeholders: ``(offset, length)`` of every medium in `prompt_ids`, sorted.
        mm_token_type_id_map: placeholder token id to type of medium, 1 for image, 2 for video.
        multi_modal_data: the renderer's sidecar of the whole prompt.
        routed_experts: expert ids per token: ``{"data": base64, "shape": [tokens, layers,
            top_k], "start": first token, "dtype": "uint8"}``.
        sampling_mask: for each sampled token the ids that the sampling filters kept.
        weight_versions: spans of sampled tokens and the weights that sampled them.
        top_logprobs: for each sampled token the most likely tokens and their log-probabilities.
    """

    prompt_ids: list[int] = field(default_factory=list)
    completion_ids: list[int] = field(default_factory=list)
    completion_logprobs: list[float] = field(default_factory=list)
    renderer_prompt_ids: list[int] | None = None
    bridged: bool = False
    message_spans: Sequence[tuple[int, int] | None] | None = None
    is_content: list[bool] | None = None
    mm_placeholders: Sequence[tuple[int, int]] | None = None
    mm_token_type_id_map: Mapping[int, int] | None = None
    multi_modal_data: MultiModalData | None = None
    routed_experts: Mapping[str, Any] | None = None
    sampling_mask: SamplingMask | None = None
    weight_versions: Sequence[WeightVersion] | None = None
    top_logprobs: TopLogprobs | None = None


@dataclass(kw_only=True, slots=True)
class Response:
    """One reply of a model. The fields are those of verifiers 0.4.0.

    Attributes:
        message: the reply.
        finish_reason: ``stop``, ``length``, ``tool_calls``, or None.
        usage: the provider's token usage, or None.
        tokens: the turn's tokens; None from a relay, which has no tokens.
        id: the provider's id of the response.
        created: time of creation in seconds since the epoch.
        model: the name of the model.
        raw: the provider's unchanged response.
    """

    message: AssistantMessage
    finish_reason: str | None = None
    usage: Usage | None = None
    tokens: TurnTokens | None = None
    id: str = ""
    created: int = 0
    model: str = ""
    raw: dict[str, Any] | None = field(default=None, repr=False)
