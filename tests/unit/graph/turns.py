"""Turns for tests: messages, sidecars and responses of a few tokens each."""

from __future__ import annotations

from typing import Any

from rawmm import (
    AssistantMessage,
    ImageUrlContentPart,
    ImageUrlSource,
    MultiModalData,
    Response,
    TextContentPart,
    Trace,
    TurnTokens,
    UserMessage,
)
from rawmm.graph import prepare_turn
from tests import builders
from tests.builders import mm_hash_of, sha256_of

PAD = 7
TYPES = {PAD: 1}


def new_trace() -> Trace:
    return Trace(nodes=[])


def user(*parts: str) -> UserMessage:
    """A user message of text, or of parts if there are several or one is a URL."""
    shown = [part for part in parts if part.startswith(("data:", "file:"))]
    if len(parts) == 1 and not shown:
        return UserMessage(content=parts[0])
    return UserMessage(
        content=[
            ImageUrlContentPart(image_url=ImageUrlSource(url=part))
            if part in shown
            else TextContentPart(text=part)
            for part in parts
        ]
    )


def reply(text: str = "ok") -> AssistantMessage:
    return AssistantMessage(content=text)


def url(number: int) -> str:
    return f"file:///run/assets/images/{sha256_of(number)}.png"


def sidecar(*media: tuple[int, int, int]) -> MultiModalData:
    """The sidecar of images given as number, offset, length."""
    return builders.sidecar(
        *(builders.item(number) for number, _, _ in media),
        spans=[(offset, length) for _, offset, length in media],
        hashes=[mm_hash_of(number) for number, _, _ in media],
    )


def response(
    prompt: list[int] | None = None,
    completion: list[int] | None = None,
    *,
    text: str = "ok",
    **tokens: Any,
) -> Response:
    """A reply with tokens, or without if no prompt is given."""
    if prompt is None:
        return Response(message=reply(text))
    ids = [90, 91] if completion is None else completion
    fields = {
        "prompt_ids": prompt,
        "completion_ids": ids,
        "completion_logprobs": [-0.5] * len(ids),
    }
    return Response(message=reply(text), tokens=TurnTokens(**(fields | tokens)))


def play(trace: Trace, messages: list[Any], answer: Response, **kwargs: Any) -> int:
    """One turn, prepared and committed."""
    return prepare_turn(trace, messages, **kwargs).commit(answer)


def with_images(trace: Trace | None = None) -> Trace:
    """A trace of two turns with an image each; the second extends the first."""
    trace = new_trace() if trace is None else trace
    history: list[Any] = [user("look", url(0))]
    ids = [1, PAD, PAD, 2]
    play(
        trace,
        history,
        response(
            ids,
            message_spans=[(0, 4)],
            mm_token_type_id_map=TYPES,
            multi_modal_data=sidecar((0, 1, 2)),
        ),
    )
    history += [reply(), user(url(1), "again")]
    ids = [*ids, 90, 91, 1, PAD, PAD, PAD, 2]
    play(
        trace,
        history,
        response(
            ids,
            text="done",
            message_spans=[None, None, (6, 11)],
            mm_token_type_id_map=TYPES,
            multi_modal_data=sidecar((0, 1, 2), (1, 7, 3)),
            bridged=True,
        ),
    )
    return trace


def history_of(trace: Trace) -> list[Any]:
    return [node.message for node in trace.nodes]
