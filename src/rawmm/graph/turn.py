"""One turn: a prompt matched against the graph, to be committed with the model's reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from rawmm.codec import convert, to_builtins
from rawmm.dialects import as_chat_message, as_chat_tool, with_tool_name
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.graph.commit import Commit, new_node
from rawmm.graph.hashing import as_message, tools_hash
from rawmm.graph.index import index_of
from rawmm.graph.sidecar import merge
from rawmm.graph.streams import as_list, elements, not_a_stream
from rawmm.model.types import AssistantMessage, Message, Tool, Trace
from rawmm.real_class import is_a
from rawmm.validation import guarded, in_order, made_plain, to_struct
from rawmm.values.views import field_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    from rawmm.graph.described import Describe
    from rawmm.graph.index import GraphIndex, Key, ReplayView
    from rawmm.model.types import MessageNode, MultiModalData

    T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PendingTurn:
    """A prompt whose prefix was found in the graph.

    Attributes:
        trace: the trace to which the turn will be committed.
        prompt: all messages of the prompt.
        tools: tools rendered into the prompt.
        prefix_node_ids: nodes of the longest prefix in the graph, root first.
        path_len: the number of tokens of these nodes.
    """

    trace: Trace
    prompt: list[Message]
    tools: list[Tool]
    prefix_node_ids: list[int]
    path_len: int
    _index: GraphIndex = field(repr=False, compare=False)

    @property
    def tail_start(self) -> int:
        """The number of messages in the prefix."""
        return len(self.prefix_node_ids)

    @property
    def tail(self) -> list[Message]:
        """The new messages."""
        return self.prompt[self.tail_start :]

    @property
    def renderer_path_len(self) -> int:
        """The number of tokens of the prefix before the engine expanded media."""
        index = self._current_index()
        return self._guarded(lambda: sum(len(index.logical_ids(i)) for i in self.prefix_node_ids))

    def previous_token_ids(self) -> tuple[list[int], list[int]] | None:
        """Prompt and completion of the prefix's last turn, for a renderer to extend.

        These are the engine's tokens, with expanded media. Offsets in sidecars count these. See
        `previous_renderer_token_ids` for the unexpanded tokens.

        Returns:
            None unless the prefix ends with a sampled message.
        """
        self._current_index()
        return self._guarded(lambda: self._previous([node.token_ids for node in self._prefix]))

    def previous_renderer_token_ids(self) -> tuple[list[int], list[int]] | None:
        """`previous_token_ids` as the renderer wrote them, with one token per medium."""
        index = self._current_index()
        return self._guarded(
            lambda: self._previous([index.logical_ids(i) for i in self.prefix_node_ids])
        )

    def previous_multi_modal_data(self) -> MultiModalData | None:
        """The merged sidecars of the prefix, as a copy; None if it has none.

        A renderer that extends the prefix needs it: otherwise the earlier images have tokens in
        the prompt but no items.
        """
        self._current_index()
        return merge([node.multi_modal_data for node in self._prefix])

    def prompt_message_spans(self, attribution: Any) -> list[tuple[int, int] | None]:
        """Token spans of all prompt messages, from the attribution of an extended prompt.

        Args:
            attribution: the renderer's `RenderedTokens`, or another object with
                ``message_indices``: for each token of the extended prompt the index of its
                message among the new messages, or a negative number.

        Returns:
            For ``TurnTokens.message_spans``: one ``(start, end)`` per message, or None for a
            message of the prefix or without tokens.
        """
        spans: list[tuple[int, int] | None] = [None] * len(self.prompt)
        found = field_of(attribution, "message_indices")
        indices = as_list(found)
        if indices is None or not {int}.issuperset(map(type, indices)):
            raise not_a_stream(found, ("message_indices",))
        start = self.renderer_path_len
        own = indices[start:]
        # dict keeps the last of equal keys, so these are the first and last token of each message.
        first = dict(zip(reversed(own), range(len(own) - 1, -1, -1), strict=True))
        last = dict(zip(own, range(len(own)), strict=True))
        for i in range(len(self.tail)):
            if i in first:
                spans[self.tail_start + i] = (start + first[i], start + last[i] + 1)
        return spans

    def commit(
        self,
        response: Any,
        *,
        logprob_floor: float | None = None,
        describe: Describe | None = None,
    ) -> int:
        """Add the turn's new messages and the reply to the graph.

        Nodes that other turns committed in the meantime are reused. If the tokens differ from
        those of the prefix, the branch forks at the first difference. The renderer's sidecar is
        split among the messages that introduce its media; nodes of the prefix keep their own.
        On an error the trace is unchanged.

        Args:
            response: a `Response`, or any object with its fields, such as that of verifiers. Its
                per-token streams may be one-dimensional arrays.
            logprob_floor: a finite negative number that replaces minus infinity in the
                log-probabilities. Some engines write it for a token that they could not have
                sampled. By default it is refused. NaN and plus infinity are always refused.
            describe: makes the sidecar if the response has tokens but no sidecar, such as
                ``functools.partial(rawmm.describe_prompt, layout=...)``. It is called with the
                messages that are new to the graph and their ranges of ``mm_placeholders``, if
                there are any; the graph has the sidecars of the others. Without `describe`, the
                messages of such a turn have no sidecars, as in records of verifiers.

        Returns:
            The index of the reply's node.

        Raises:
            ContractError: the reply, its tokens or its sidecar violate the contract: an image
                was lost (``count_mismatch``, ``orphan_image``), replaced (``hash_mismatch``) or
                moved (``placeholder_order``), a stream has the wrong length, or the engine's
                tokens are not the renderer's (``token_mismatch``). Paths begin with ``$.tokens``
                or ``$.message`` of the response, or with ``$.nodes[...]`` for the new nodes.
                With `describe`: ``count_mismatch`` if the engine returned another number of
                ranges than the prompt has media, or if an earlier turn was committed without
                sidecars; ``describe_failed`` if `describe` raised another exception.
            RawMMError: raised by `describe`. Paths in its arguments become those in ``$.prompt``
                and ``$.tokens``.
            ProcessedPayloadError: the sidecar is not raw, or a log-probability is not finite.

        Warns:
            NonFiniteLogprobWarning: `logprob_floor` replaced log-probabilities. It is issued
                before any change, so a filter may turn it into an error.
        """
        index, tools = self._current_index(), self._tools_so_far()
        node_id = self._guarded(Commit(self, index, response, logprob_floor, describe).run)
        if tools:
            self.trace.tools = tools
        return node_id

    def commit_prompt(self) -> None:
        """Record a prompt that ended before the model was called, without tokens.

        On an error the trace is unchanged.

        Raises:
            ContractError: a message violates the contract.
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
            key = index.key(parent, root, message)
            node_id = index.latest(key)
            if node_id is None:
                node_id = len(self.trace.nodes) + len(new)
                node = new_node(node_id, parent=parent, message=message, tools=self.tools)
                new.append((node, key))
            parent = node_id
        for node, key in new:
            self.trace.nodes.append(node)
            index.add(key)

    @property
    def _prefix(self) -> list[MessageNode]:
        return [self.trace.nodes[i] for i in self.prefix_node_ids]

    def _guarded(self, work: Callable[[], T]) -> T:
        return guarded(work, (self.trace, Trace, ("trace",)))

    def _current_index(self) -> GraphIndex:
        """The index of the trace.

        Raises:
            ContractError: ``hash_mismatch`` if a node of the prefix was replaced, changed or
                removed since `prepare_turn`.
        """
        index = index_of(self.trace, self._index.view)
        if index is self._index:
            return index
        keys: list[Key] = []
        root = tools_hash(self.tools)
        for parent, message in zip([None, *self.prefix_node_ids], self.prompt, strict=False):
            if len(keys) == len(self.prefix_node_ids):
                break
            keys.append(index.key(parent, root, message))
        if not index.holds(self.prefix_node_ids, keys):
            raise contract_error(
                "hash_mismatch",
                ("trace", "nodes"),
                expected="the nodes that prepare_turn() found for the prompt",
                got="different nodes",
                hint="nodes were replaced, changed or removed since then: prepare the turn again",
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
        """The latest definition of each tool of the trace and this turn; None without tools."""
        if not self.tools:
            return None
        before = self.trace.tools or []
        if not is_a(before, list) or not all(is_a(tool, dict) for tool in before):
            raise contract_error(
                "wrong_type", ("trace", "tools"), expected="an array of objects", got=shown(before)
            )
        latest = {}
        for tool in [*before, *map(to_builtins, self.tools)]:
            # By repr, because the contract allows any JSON value in these fields.
            identity = tool.get("namespace"), tool.get("name"), tool.get("type") or "function"
            latest[repr(identity)] = tool
        return list(latest.values())


def prepare_turn(
    trace: Trace,
    prompt: Iterable[Any],
    tools: Iterable[Any] | None = None,
    *,
    replay_view: ReplayView | None = None,
) -> PendingTurn:
    """Match a prompt against the graph, without changing it.

    A message matches a child of the node before it by `message_hash`. A first message matches a
    root only if the same tools were rendered. A lookup takes constant time.

    Args:
        trace: the trace so far.
        prompt: messages, values that `convert` turns into messages, or messages of a chat request
            as they are, see `messages_from_request`. The turn keeps structs without copying, so do
            not change them afterwards.
        tools: tools that the renderer writes into the prompt, also as a chat request has them.
        replay_view: a function from a message to the message as the harness sends it again, such
            as `rawmm.integrations.verifiers.replay_view`. Prompt and nodes match if their views
            do; nodes keep the message that came first. The function must be deterministic, must
            not change its argument, and must keep images. Pass an equal function in every turn of
            a trace: for another one the trace is indexed again.

    Raises:
        ContractError: a message or a tool violates the contract; ``path`` is ``$.prompt[...]``,
            ``$.tools[...]`` or ``$.replay_view``.
    """
    if replay_view is not None and not callable(replay_view):
        raise contract_error(
            "wrong_type", ("replay_view",), expected="a function", got=shown(replay_view)
        )
    index = index_of(trace, replay_view)
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
    """Append the prompt's messages to `messages`, and the nodes of its prefix to `prefix`."""
    matching, parent = True, None
    names: dict[str, str] = {}
    for i, one in enumerate(prompt):
        tools = root if parent is None else None
        # A node's own message object was checked when the node was indexed.
        node_id = index.same_child(parent, tools, one) if matching else None
        message = one
        if node_id is None:
            message = _converted(partial(_as_prompt_message, names=names), one, ("prompt", i))
        if is_a(message, AssistantMessage):
            names |= {call.id: call.name for call in message.tool_calls or ()}
        messages.append(message)
        if matching and node_id is None:
            node_id = index.equal_child(parent, tools, message)
            if node_id is None:
                node_id = index.latest(index.key(parent, tools, message))
        if node_id is None:
            matching = False
        else:
            prefix.append(node_id)
            parent = node_id


def _as_tool(tool: Any) -> Tool:
    try:
        return convert(tool, Tool)
    except RawMMError:
        if type(tool) is not dict:
            raise
    return as_chat_tool(tool)


def _as_prompt_message(message: Any, names: dict[str, str]) -> Message:
    if type(message) is not dict:
        return as_message(message)
    try:
        # A failure of `as_message` finds the reason, which takes longer.
        plain, _ = made_plain(message, Message)
        to_struct(plain, Message)
    except (msgspec.ValidationError, RecursionError, RawMMError):
        pass  # read as a message of a chat request below
    else:
        return with_tool_name(as_message(message), names)
    return as_chat_message(message, names)


def _converted(build: Any, value: Any, path: tuple[str | int, ...]) -> Any:
    try:
        return build(value)
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal
