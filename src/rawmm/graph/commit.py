"""Commit a turn to the graph: compute and check everything first, then apply it."""

from __future__ import annotations

import time
from collections import Counter
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import RawMMError, contract_error, counted
from rawmm.graph.alignment import Alignment
from rawmm.graph.arrays import Routing, flat_rows
from rawmm.graph.described import EngineRanges, checked_describe
from rawmm.graph.reading import read, token_types, tokens_of
from rawmm.graph.reuse import Cursor, Reuse
from rawmm.graph.sidecar import first_mismatch, media_count, split_by_message
from rawmm.media import counted_items, parts_of
from rawmm.model.types import (
    AssistantMessage,
    MessageNode,
    MultiModalData,
    PlaceholderRange,
    SamplingMask,
    TopLogprobs,
    Usage,
    WeightVersion,
)
from rawmm.rules import START, MediaOfNodes, has_items
from rawmm.validation import guarded
from rawmm.values.views import field_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from rawmm.graph.described import Describe
    from rawmm.graph.index import GraphIndex, Key
    from rawmm.graph.turn import PendingTurn
    from rawmm.model.types import EncodedArray, Message, Tool

_SIDECAR: Final = ("tokens", "multi_modal_data")


class Commit:
    """One commit of one turn. See `PendingTurn.commit`."""

    def __init__(
        self,
        turn: PendingTurn,
        index: GraphIndex,
        response: Any,
        logprob_floor: float | None = None,
        describe: Describe | None = None,
    ) -> None:
        self._turn = turn
        self._describe = checked_describe(describe)
        self._index = index
        self._trace = turn.trace
        self._nodes = turn.trace.nodes
        self._response = response
        given = field_of(response, "tokens")
        self._has_tokens = given is not None
        self._tokens = tokens = tokens_of(given, logprob_floor)
        self._prompt_ids = tokens.prompt_ids
        rendered = tokens.renderer_prompt_ids
        self._rendered = tokens.prompt_ids if rendered is None else rendered
        found = token_types(tokens.mm_token_type_id_map, ("tokens",))
        if not found:
            found = token_types(turn.trace.mm_token_type_id_map, ("trace",))
        self._token_types = {int(token): kind for token, kind in (found or {}).items()}
        self._spans = tokens.message_spans or ()
        self._new: list[MessageNode] = []
        self._new_keys: list[Key] = []
        self._new_logical: list[list[int]] = []

    def run(self) -> int:
        """Add the turn. Returns the index of the reply's node."""
        tokens = self._tokens
        reply = read(field_of(self._response, "message"), AssistantMessage, "message")
        self._reuse = Reuse(
            self._turn,
            self._index,
            self._prompt_ids if self._has_tokens else None,
            self._rendered,
        )
        if tokens.bridged:
            self._reuse.keep_extended()
        ranges = self._engine_ranges()
        self._alignment = Alignment(
            self._rendered, self._prompt_ids, self._token_types, tokens.mm_placeholders
        )
        whole = self._whole_sidecar()
        places = whole if ranges is None else ranges.places
        if not tokens.bridged:
            self._reuse.keep_equal(places)  # may shorten the path
        self._reuse.extend(self._spans, self._alignment)
        self._path, self._at = self._reuse.path, self._reuse.at
        start = self._at.engine
        self._flags = self._content_flags()
        self._add_prompt(self._sidecars(whole) if ranges is None else self._described(ranges))
        self._add_reply(reply)
        corrected = self._route(start)
        self._check_placed(places)
        # Nothing below can fail.
        if corrected is not None:
            node, rows = corrected
            node.routed_experts = rows
        if tokens.mm_token_type_id_map:
            self._trace.mm_token_type_id_map = {str(t): k for t, k in self._token_types.items()}
        for node, key, logical in zip(self._new, self._new_keys, self._new_logical, strict=True):
            self._nodes.append(node)
            self._index.add(key, None if logical == node.token_ids else logical)
        return len(self._nodes) - 1

    def _content_flags(self) -> list[bool]:
        """The renderer's flags as one per token of the engine, or empty."""
        flags = self._tokens.is_content or []
        if flags and len(flags) != len(self._rendered):
            raise contract_error(
                "stream_length",
                ("tokens", "is_content"),
                expected=f"none or {counted(len(self._rendered), 'flag')}, one per token of the "
                "renderer's prompt",
                got=str(len(flags)),
            )
        return self._alignment.flags(flags)

    def _engine_ranges(self) -> EngineRanges | None:
        """The engine's ranges, if the turn's media are to be described."""
        tokens = self._tokens
        if self._describe is None or not self._has_tokens or tokens.multi_modal_data is not None:
            return None
        return EngineRanges(self._turn.prompt, tokens.mm_placeholders)

    def _described(self, ranges: EngineRanges) -> list[MultiModalData | None]:
        """The sidecar of each new prompt message, from the engine's ranges."""
        assert self._describe is not None
        stored = [self._nodes[i].multi_modal_data for i in self._path]
        return ranges.described(self._describe, stored)

    def _sidecars(self, whole: MultiModalData | None) -> list[MultiModalData | None]:
        """The sidecar of each new prompt message. Those of reused messages must match the nodes."""
        stored = [self._nodes[i].multi_modal_data for i in self._path]
        if whole is None:
            shown = any(map(parts_of, self._turn.prompt)) and _with_items(self._nodes)
            if self._prompt_ids and (shown or any(stored)):
                counts = Counter[str]()
                for message in self._turn.prompt:
                    counts.update(media_count(message))
                raise contract_error(
                    "count_mismatch",
                    _SIDECAR,
                    expected=f"a sidecar with {counted_items(counts)}",
                    got="none",
                    hint="give a bridging renderer the previous sidecar, or its media are lost",
                )
            return [None] * len(self._turn.prompt[len(stored) :])
        try:
            return guarded(lambda: self._split(whole, stored), (whole, MultiModalData, ()))
        except RawMMError as error:
            refusal = error
        # An error inside the sidecar explains more than one about its fit to the prompt.
        read(whole, MultiModalData, *_SIDECAR)
        raise refusal.at(_SIDECAR)

    def _split(
        self, whole: MultiModalData, stored: Sequence[MultiModalData | None]
    ) -> list[MultiModalData | None]:
        """The parts of the new messages, if those of reused messages equal their nodes'."""
        prompt, reused = self._turn.prompt, len(stored)
        parts = split_by_message(whole, prompt, reused)
        where = first_mismatch(stored, whole, prompt[:reused])
        if where is not None:
            raise contract_error(
                "media_mismatch",
                where,
                expected="the entry of the reused nodes",
                got="a different entry",
                hint="the renderer changed, moved or added media of earlier turns",
            )
        return parts

    def _whole_sidecar(self) -> MultiModalData | None:
        """The sidecar of the prompt, with ranges in the engine's tokens."""
        tokens = self._tokens
        if tokens.multi_modal_data is None:
            return None
        sidecar = tokens.multi_modal_data
        if type(sidecar) is not MultiModalData:
            sidecar = read(sidecar, MultiModalData, *_SIDECAR)
        if self._alignment.same and tokens.mm_placeholders is None:
            return sidecar
        return guarded(lambda: self._aligned(sidecar), (sidecar, MultiModalData, _SIDECAR))

    def _aligned(self, sidecar: MultiModalData) -> MultiModalData:
        """A sidecar with ranges moved to the engine's tokens, if equal to the engine's ranges."""
        tokens = self._tokens
        by_modality = sidecar.mm_placeholders
        flat = sorted((one.offset, one.length) for of in by_modality.values() for one in of)
        engine = tokens.mm_placeholders
        if not self._alignment.same and flat != (engine or []):
            by_modality = {
                modality: [self._moved(one) for one in of] for modality, of in by_modality.items()
            }
            flat = sorted((one.offset, one.length) for of in by_modality.values() for one in of)
            sidecar = copy(sidecar)
            sidecar.mm_placeholders = by_modality
        if by_modality and engine is not None and flat != engine:
            raise contract_error(
                "placeholder_order",
                ("tokens", "mm_placeholders"),
                expected=f"the {counted(len(flat), 'range')} of the renderer's sidecar",
                got=f"{counted(len(engine), 'range')} at other positions",
                hint="engine and renderer lay out media differently",
            )
        return sidecar

    def _moved(self, one: PlaceholderRange) -> PlaceholderRange:
        start, end = self._alignment.span(one.offset, one.offset + one.length)
        return PlaceholderRange(offset=start, length=end - start)

    def _add_prompt(self, sidecars: Sequence[MultiModalData | None]) -> None:
        """Build the nodes of the new prompt messages. Each includes the scaffold before it."""
        for i, sidecar in enumerate(sidecars, len(self._path)):
            span = self._spans[i] if i < len(self._spans) else None
            end = self._at if span is None else self._end_of(span, i)
            self._add(
                self._turn.prompt[i],
                end,
                is_content=self._flags[self._at.engine : end.engine],
                mask=[False] * len(self._prompt_ids[self._at.engine : end.engine]),
                multi_modal_data=sidecar,
            )

    def _end_of(self, span: tuple[int, int], index: int) -> Cursor:
        """The end of a message's tokens, which is never before that of the message before it.

        Templates may reorder messages, such as tool results. The message that comes first in the
        prompt then holds the tokens of both.
        """
        start, end = span
        if not 0 <= start <= end <= len(self._rendered):
            raise contract_error(
                "out_of_range",
                ("tokens", "message_spans", index),
                expected=f"a span of the renderer's {counted(len(self._rendered), 'token')}",
                got=f"{start} to {end}",
            )
        return max(self._at, Cursor(self._alignment.at(end), end))

    def _add_reply(self, message: AssistantMessage) -> None:
        """Build the reply's node: the generation prompt, then the completion."""
        tokens, usage = self._tokens, field_of(self._response, "usage")
        end = Cursor(len(self._prompt_ids), len(self._rendered))
        scaffold = len(self._prompt_ids[self._at.engine :])
        mask = [False] * scaffold + [True] * len(tokens.completion_ids)
        self._add(
            message,
            end,
            sampled=True,
            completion=tokens.completion_ids,
            mask=mask,
            is_content=mask if self._flags else [],
            logprobs=tokens.completion_logprobs,
            finish_reason=field_of(self._response, "finish_reason"),
            usage=None if usage is None else read(usage, Usage, "usage"),
            sampling_mask=flat_rows(tokens.sampling_mask, SamplingMask, "sampling_mask"),
            weight_versions=self._weight_versions(),
            top_logprobs=flat_rows(tokens.top_logprobs, TopLogprobs, "top_logprobs"),
        )

    def _weight_versions(self) -> list[WeightVersion] | None:
        given = self._tokens.weight_versions
        if given is None:
            return None
        versions: list[WeightVersion] = read(
            given, list[WeightVersion], "tokens", "weight_versions"
        )
        return versions

    def _add(
        self, message: Message, end: Cursor, *, completion: Sequence[int] = (), **fields: Any
    ) -> None:
        """Build the next node of the path, with the tokens up to `end`."""
        at = len(self._nodes) + len(self._new)
        last = at - 1 if self._new else (self._path[-1] if self._path else None)
        node = new_node(
            at,
            parent=last,
            message=message,
            tools=self._turn.tools,
            token_ids=[*self._prompt_ids[self._at.engine : end.engine], *completion],
            **fields,
        )
        self._new.append(node)
        self._new_keys.append(self._reuse.key(last, message))
        self._new_logical.append([*self._rendered[self._at.renderer : end.renderer], *completion])
        self._at = end

    def _route(self, start: int) -> tuple[MessageNode, EncodedArray] | None:
        """Set the expert routing of new nodes. Returns the prefix's last node and its new rows."""
        if self._tokens.routed_experts is None:
            return None
        routing = Routing(self._tokens.routed_experts)
        sizes = [len(node.token_ids) for node in self._new]
        for node, own in zip(self._new, routing.per_node(start, sizes), strict=True):
            if own is not None:
                node.routed_experts = own
        prefix = (self._nodes[i] for i in reversed(self._path))
        last = next((node for node in prefix if node.token_ids), None)
        rows = routing.corrected(last, start)
        return None if last is None or rows is None else (last, rows)

    def _check_placed(self, whole: MultiModalData | None) -> None:
        """Check that new nodes hold the tokens of their media, and no others."""
        with_items = self._with_items()
        media = MediaOfNodes(self._token_types, with_items=with_items)
        before = START
        for i in self._path:
            before = media.passed(self._nodes[i], before, ("nodes", i))
        for index, node in enumerate(self._new, len(self._nodes)):
            if whole is not None and before.owed is not None and len(node.token_ids):
                self._check_owed(whole, media.ids)
            if has_items(node) and not with_items:
                raise contract_error(
                    "count_mismatch",
                    ("nodes", index, "multi_modal_data"),
                    expected="no items, as other messages with media have none",
                    got="a sidecar",
                    hint="a trace has the items of all of its media, or none",
                )
            before, errors = media.check(node, before, ("nodes", index))
            for error in errors:
                raise error
        for error in media.unsettled():
            raise error

    def _with_items(self) -> bool:
        """Whether the trace's messages with media have items, as the first such message shows."""
        found = _with_items(self._nodes[i] for i in self._path)
        if found is None and _with_items(self._new) is not None:
            found = _with_items(chain(self._nodes, self._new))
        return bool(found)

    def _check_owed(self, whole: MultiModalData, ids: Mapping[str, AbstractSet[int]]) -> None:
        """Check ranges of nodes without tokens against the tokens of the prompt."""
        for modality, tokens in ids.items():
            is_medium = tokens.__contains__
            for index, one in enumerate(whole.mm_placeholders.get(modality, ())):
                found = self._prompt_ids[one.offset : one.offset + one.length]
                typed = sum(map(is_medium, found))
                if typed != one.length:
                    raise contract_error(
                        "orphan_image",
                        (*_SIDECAR, "mm_placeholders", modality, index),
                        expected=f"{counted(one.length, f'{modality}-typed token')} in the range",
                        got=str(typed),
                    )


def _with_items(nodes: Iterable[MessageNode]) -> bool | None:
    """Whether the first node that shows media has items; None if there is no such node."""
    for node in nodes:
        if has_items(node):
            return True
        if node.token_ids and parts_of(node.message):
            return False
    return None


def new_node(
    at: int, *, parent: int | None, message: Message, tools: list[Tool], **fields: Any
) -> MessageNode:
    """A node for index `at`. Only roots hold the tools. Fields that are None are left out.

    Raises:
        ContractError: it violates the contract; ``path`` begins with ``$.nodes[at]``.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    if parent is None and tools:
        present["tools"] = tools
    try:
        return MessageNode(parent=parent, message=message, timestamp=time.time(), **present)
    except RawMMError as error:
        refusal = error.at(("nodes", at))
    raise refusal
