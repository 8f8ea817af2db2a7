"""What a model call returns to the message graph: live objects, never on a wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rawmm.model.types import AssistantMessage, MultiModalData, SamplingMask, Usage


@dataclass(kw_only=True, slots=True)
class TurnTokens:
    """The tokens of one turn: those the model saw, those it sampled, and what they belong to.

    The fields are those of verifiers 0.4.0, and the renderer's sidecar. `PendingTurn.commit`
    reads them from any object or mapping that has `prompt_ids`; another that it lacks counts as
    its default.

    Attributes:
        prompt_ids: tokens the engine evaluated, media expanded.
        completion_ids: sampled tokens.
        completion_logprobs: log-probability of each sampled token, in nats; or empty.
        renderer_prompt_ids: tokens before the engine expanded media, one per medium; None where
            they are `prompt_ids`.
        bridged: whether the renderer built the prompt by extending the stored prefix, so that
            it must begin with the prefix's tokens.
        message_spans: for each prompt message its tokens ``(start, end)`` in the renderer's
            prompt; None for one without. They need not be in order, as templates may reorder
            messages.
        is_content: for each token of the renderer's prompt whether it is message text; or None.
        mm_placeholders: ``(offset, length)`` of every medium in `prompt_ids`, sorted.
        mm_token_type_id_map: placeholder token id to the media it stands for, 1 image, 2 video.
        multi_modal_data: the renderer's sidecar of the whole prompt.
        routed_experts: expert ids per token: ``{"data": base64, "shape": [tokens, layers,
            top_k], "start": first token, "dtype": "uint8"}``.
        sampling_mask: token ids that survived the sampling filters, per sampled token.
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


@dataclass(kw_only=True, slots=True)
class Response:
    """One model reply. The fields are those of verifiers 0.4.0.

    Attributes:
        message: the reply.
        finish_reason: ``stop``, ``length``, ``tool_calls``, or None.
        usage: the provider's token account, or None.
        tokens: the turn's tokens; None from a relay, which has no tokens.
        id: the provider's id of the response.
        created: when it was made, in seconds since the epoch.
        model: the model that made it.
        raw: the provider's response as it came.
    """

    message: AssistantMessage
    finish_reason: str | None = None
    usage: Usage | None = None
    tokens: TurnTokens | None = None
    id: str = ""
    created: int = 0
    model: str = ""
    raw: dict[str, Any] | None = field(default=None, repr=False)
