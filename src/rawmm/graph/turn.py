"""One turn: a prompt matched against the graph, waiting for the model's reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from rawmm.codec import convert, to_builtins
from rawmm.errors import (
    RawMMError,
    contract_error,
    shown,
)
from rawmm.graph.commit import Commit, new_node
from rawmm.graph.hashing import as_message, message_hash, tools_hash
from rawmm.graph.index import index_of
from rawmm.graph.sidecar import merge
from rawmm.graph.streams import as_list, elements, not_a_stream
from rawmm.model.types import Tool, Trace
from rawmm.real_class import is_a
from rawmm.validation import guarded, in_order
from rawmm.values.views import field_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    from rawmm.graph.index import GraphIndex, Key
    from rawmm.model.types import Message, MessageNode, MultiModalData

    T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PendingTurn:
    """A prompt whose beginning the graph knows.

    Attributes:
        trace: the trace that the turn will be committed to.
        prompt: all messages of the prompt.
        tools: tools rendered into it.
        prefix_node_ids: nodes of the longest known beginning, root first.
        path_len: number of tokens of these nodes.
    """

    trace: Trace
    prompt: list[Message]
    tools: list[Tool]
    prefix_node_ids: list[int]
    path_len: int
    _index: GraphIndex = field(repr=False, compare=False)

    @property
    def tail_start(self) -> int:
        """Number of messages that the graph knows."""
        return len(self.prefix_node_ids)

    @property
    def tail(self) -> list[Message]:
        """The messages that are new."""
        return self.prompt[self.tail_start :]

    @property
    def renderer_path_len(self) -> int:
        """Number of tokens of the prefix before the engine expanded media."""
        index = self._current_index()
        return self._guarded(lambda: sum(len(index.logical_ids(i)) for i in self.prefix_node_ids))

    def previous_token_ids(self) -> tuple[list[int], list[int]] | None:
        """Prompt and completion of the turn that the prefix ends with, for a renderer to extend.

        These are the engine's tokens, media expanded, which the offsets of sidecars count; see
        `previous_renderer_token_ids` for those before.

        Returns:
            None unless the prefix ends with a sampled message.
        """
        self._current_index()
        return self._guarded(lambda: self._previous([node.token_ids for node in self._prefix]))

    def previous_renderer_token_ids(self) -> tuple[list[int], list[int]] | None:
        """`previous_token_ids` as the renderer wrote them, one token per medium."""
        index = self._current_index()
        return self._guarded(
            lambda: self._previous([index.logical_ids(i) for i in self.prefix_node_ids])
        )

    def previous_multi_modal_data(self) -> MultiModalData | None:
        """The sidecars of the prefix, merged; None if it has none. It is the caller's own.

        A renderer that extends the prefix needs it: without it the earlier images have tokens
        in the prompt, and no items.
        """
        self._current_index()
        return merge([node.multi_modal_data for node in self._prefix])

    def prompt_message_spans(self, attribution: Any) -> list[tuple[int, int] | None]:
        """Token spans of all prompt messages, from the attribution of an extended prompt.

        Args:
            attribution: the renderer's `RenderedTokens`, or another object whose
                ``message_indices`` give for each token of the extended prompt the index of its
                message among the new ones, negative for none.

        Returns:
            One ``(start, end)`` per message, None for those of the prefix and those without
            tokens; for ``TurnTokens.message_spans``.
        """
        spans: list[tuple[int, int] | None] = [None] * len(self.prompt)
        found = field_of(attribution, "message_indices")
        indices = as_list(found)
        if indices is None or not {int}.issuperset(map(type, indices)):
            raise not_a_stream(found, ("message_indices",))
        start = self.renderer_path_len
        own = indices[start:]
        # Of equal keys the last one counts: so these are the first and the last token of each.
        first = dict(zip(reversed(own), range(len(own) - 1, -1, -1), strict=True))
        last = dict(zip(own, range(len(own)), strict=True))
        for i in range(len(self.tail)):
            if i in first:
                spans[self.tail_start + i] = (start + first[i], start + last[i] + 1)
        return spans

    def commit(self, response: Any, *, logprob_floor: float | None = None) -> int:
        """Add the turn to the graph: its new messages, and the reply.

        Messages that other turns committed in the meantime are reused. If the tokens differ from
        those of the prefix, the branch forks at the first difference. The renderer's sidecar is
        handed out to the messages that introduce its media; nodes of the prefix keep theirs.
        All or nothing: on an error the trace is as it was.

        Args:
            response: a `Response`, or any object with its fields, such as that of verifiers.
                Its per-token streams may be arrays of one dimension.
            logprob_floor: a finite negative number to put in place of minus infinity among the
                log-probabilities, which some engines write for a token that they could not have
                sampled. By default it is refused; NaN and plus infinity always are.

        Returns:
            Index of the reply's node.

        Raises:
            ContractError: the reply, its tokens or its sidecar break the contract: an image
                was lost (``count_mismatch``, ``orphan_image``), replaced (``hash_mismatch``) or
                moved (``placeholder_order``), a stream has another length, or the engine's tokens
                are not the renderer's (``token_mismatch``). Paths begin with ``$.tokens`` or
                ``$.message`` of the response, or with ``$.nodes[...]``, the nodes to be.
            ProcessedPayloadError: the sidecar holds what is not raw, or a log-probability is
                not finite.

        Warns:
            NonFiniteLogprobWarning: log-probabilities were replaced by `logprob_floor`. Nothing
                was changed yet, so a filter may make it an error.
        """
        index, tools = self._current_index(), self._tools_so_far()
        node_id = self._guarded(Commit(self, index, response, logprob_floor).run)
        if tools:
            self.trace.tools = tools
        return node_id

    def commit_prompt(self) -> None:
        """Record a prompt that ended before the model was called: messages without tokens.

        All or nothing: on an error the trace is as it was.

        Raises:
            ContractError: a message breaks the contract.
        """
        index, tools = self._current_index(), self._tools_so_far()
        self._guarded(lambda: self._commit_prompt(index))
        if tools:
            self.trace.tools = tools

    def _commit_prompt(self, index: GraphIndex) -> None:
        parent = self.prefix_node_ids[-1] if self.prefix_node_ids else None
        root = tools_hash(self.tools)
        new: list[tuple[MessageNode, Key]] = []
        for message in self.tail:
            key = (parent, root if parent is None else None, message_hash(message))
            known = index.latest(key)
            if known is None:
                known = len(self.trace.nodes) + len(new)
                node = new_node(known, parent=parent, message=message, tools=self.tools)
                new.append((node, key))
            parent = known
        for node, key in new:
            self.trace.nodes.append(node)
            index.add(key)

    @property
    def _prefix(self) -> list[MessageNode]:
        return [self.trace.nodes[i] for i in self.prefix_node_ids]

    def _guarded(self, work: Callable[[], T]) -> T:
        return guarded(work, (self.trace, Trace, ("trace",)))

    def _current_index(self) -> GraphIndex:
        """The index of the trace, in which the prefix is still what it was.

        Raises:
            ContractError: ``hash_mismatch`` if a node of the prefix was replaced, changed or
                removed.
        """
        index = index_of(self.trace)
        if index is self._index:
            return index
        keys: list[Key] = []
        root = tools_hash(self.tools)
        for parent, message in zip([None, *self.prefix_node_ids], self.prompt, strict=False):
            if len(keys) == len(self.prefix_node_ids):
                break
            keys.append((parent, root if parent is None else None, message_hash(message)))
        if not index.holds(self.prefix_node_ids, keys):
            raise contract_error(
                "hash_mismatch",
                ("trace", "nodes"),
                expected="the nodes that prepare_turn() found for the prompt",
                got="other nodes in their places",
                hint="nodes were replaced, changed or removed since: prepare the turn again",
            )
        return index

    def _previous(self, given: Sequence[Any]) -> tuple[list[int], list[int]] | None:
        streams = list(map(elements, given))
        if not streams:
            return None
        last = self._prefix[-1]
        sampled = elements(last.mask).count(True)
        if not last.sampled or not sampled:
            return None
        prompt = list(chain.from_iterable(streams[:-1]))
        prompt += streams[-1][:-sampled]
        completion = list(streams[-1][-sampled:])
        return (prompt, completion) if prompt and completion else None

    def _tools_so_far(self) -> list[dict[str, Any]] | None:
        """The trace's tools and this turn's, of each the latest definition; None without any."""
        if not self.tools:
            return None
        before = self.trace.tools or []
        if not is_a(before, list) or not all(is_a(tool, dict) for tool in before):
            raise contract_error(
                "wrong_type", ("trace", "tools"), expected="an array of objects", got=shown(before)
            )
        latest = {}
        for tool in [*before, *map(to_builtins, self.tools)]:
            # By their text: the contract leaves open what a record says there.
            identity = tool.get("namespace"), tool.get("name"), tool.get("type") or "function"
            latest[repr(identity)] = tool
        return list(latest.values())


def prepare_turn(
    trace: Trace, prompt: Iterable[Any], tools: Iterable[Any] | None = None
) -> PendingTurn:
    """Match a prompt against the graph; nothing is changed.

    A message matches by `message_hash`, among the children of the node before it; a first
    message only where the same tools were rendered. A look-up costs the same in a graph of any
    size.

    Args:
        trace: the trace so far.
        prompt: messages: structs, or what `convert` makes messages of. Structs are kept as they
            are, so do not change them afterwards.
        tools: tools that the renderer writes into the prompt.

    Raises:
        ContractError: a message or a tool breaks the contract; ``path`` is ``$.prompt[...]`` or
            ``$.tools[...]``.
    """
    index = index_of(trace)
    given = in_order(() if tools is None else tools, ("tools",), "a list of tools")
    typed = [_converted(_as_tool, one, ("tools", i)) for i, one in enumerate(given)]
    root = tools_hash(typed)
    messages: list[Message] = []
    prefix: list[int] = []
    prompt = in_order(prompt, ("prompt",), "a list of messages")
    guarded(
        lambda: _match(index, prompt, root, messages, prefix),
        (trace, Trace, ("trace",)),
    )
    return PendingTurn(
        trace=trace,
        prompt=messages,
        tools=typed,
        prefix_node_ids=prefix,
        path_len=guarded(
            lambda: sum(len(trace.nodes[i].token_ids) for i in prefix), (trace, Trace, ("trace",))
        ),
        _index=index,
    )


def _match(
    index: GraphIndex,
    prompt: Iterable[Any],
    root: str,
    messages: list[Message],
    prefix: list[int],
) -> None:
    """Fill `messages` with those of the prompt, `prefix` with the nodes of the first of them."""
    matching, parent = True, None
    for i, one in enumerate(prompt):
        at = root if parent is None else None
        # The very message of a node was checked when the node was indexed.
        known = index.same_child(parent, at, one) if matching else None
        message = _converted(as_message, one, ("prompt", i)) if known is None else one
        messages.append(message)
        if matching and known is None:
            known = index.equal_child(parent, at, message)
            if known is None:
                known = index.latest((parent, at, message_hash(message)))
        if known is None:
            matching = False
        else:
            prefix.append(known)
            parent = known


def _as_tool(tool: Any) -> Tool:
    return convert(tool, Tool)


def _converted(build: Any, value: Any, path: tuple[str | int, ...]) -> Any:
    try:
        return build(value)
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal
