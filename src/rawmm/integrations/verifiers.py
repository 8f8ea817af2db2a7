"""verifiers 0.4.0 and 0.4.1.dev86: objects as structs and back, and raw images in clients.

`from_verifiers` and `to_verifiers` lose nothing in either direction. A field that verifiers does
not have (``multi_modal_data``, ``finish_reason``, ``usage``, ``kept_tokens``, the ``detail`` of an
image, unknown fields of a trace ...) is stored in ``trace.info["rawmm"]``, and `from_verifiers`
restores it. It survives verifiers' MessagePack wire and its records. Outside a trace, such a field
is an error.

verifiers 0.4.1.dev86 holds streams of numbers (``logprobs``, ``advantages``, ``loss_weights`` ...)
as float32. `to_verifiers` takes other numbers of a trace, which verifiers then has rounded; the
exact stream is stored in ``trace.info["rawmm"]``, too, and restored unless the stream was changed
meanwhile. Outside a trace, numbers are rounded.

verifiers writes every field, so an absent field returns with its default in verifiers: null,
``[]``, ``{}``, ``""``, false, 0, and ``function`` as the type of a tool or tool call. An empty
``tools`` of a node returns absent. Generated values (a new id, the current time, the running
version) are removed again, unless they were changed meanwhile. verifiers computes the three token
counts of a trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from math import isinf
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from verifiers.v1 import types as vf
from verifiers.v1.clients import Client
from verifiers.v1.dialects import ChatDialect, Dialect
from verifiers.v1.graph import MessageNode as VerifiersNode
from verifiers.v1.serve.encoding import msgpack_encoder
from verifiers.v1.trace import Trace as VerifiersTrace
from verifiers.v1.trace import WireTrace

from rawmm.codec import convert, to_builtins
from rawmm.errors import OffloadError, RawMMError, contract_error, shown
from rawmm.integrations import _unmapped
from rawmm.integrations._pydantic_models import dumped, validated
from rawmm.model.types import (
    MAX_DEPTH,
    AssistantMessage,
    Contract,
    MessageNode,
    SystemMessage,
    Tool,
    ToolMessage,
    Trace,
    UserMessage,
)
from rawmm.offload import ImageOffloadStats, offload_images_async
from rawmm.real_class import is_a
from rawmm.rules import PER_SAMPLED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rawmm.graph import ReplayView
    from rawmm.store import ImageStore

    Path = tuple[str | int, ...]

Messages = TypeVar("Messages")

_MODELS: Final[dict[type[Contract], Any]] = {
    MessageNode: VerifiersNode,
    SystemMessage: vf.SystemMessage,
    UserMessage: vf.UserMessage,
    AssistantMessage: vf.AssistantMessage,
    ToolMessage: vf.ToolMessage,
    Tool: vf.Tool,
}
_FLOATS: Final = frozenset({*PER_SAMPLED, "loss_weights"})
"""Fields of a node that hold streams of numbers."""
_INT32: Final = 2**31 - 1
"""The largest token id of 0.4.1.dev86."""
_GENERATED: Final[tuple[Path, ...]] = (("id",), ("verifiers",), ("timing", "start"))
"""Fields of a trace for which verifiers generates values."""
_KNOWN: Final = frozenset[str]().union(*(kind.__known__ for kind in _MODELS))
_NAMES: Final = "Trace, MessageNode, message or Tool"


def from_verifiers(value: Any) -> Any:
    """The struct of a verifiers Trace, MessageNode, message or Tool; of a list of them, a list.

    Nothing is shared with `value`. A trace is converted from verifiers' own wire format: runtime
    state (``state``, ``renderer_token_ids``, previews of requests in flight) is left out, tuples
    become lists, and paths, dates and the like become text. The fields in ``info["rawmm"]`` are
    restored, and the key is removed.

    Raises:
        ContractError: `value` has another type or breaks the contract, or nodes with fields in
            ``info["rawmm"]`` were dropped or changed (``hash_mismatch``).
        ProcessedPayloadError: it holds arrays, sets or other values that JSON cannot express.
    """
    if is_a(value, list | tuple):
        return _each(from_verifiers, value)
    if is_a(value, VerifiersTrace):
        document = _written(value)
        if _unmapped.KEY in document["info"]:
            _unmapped.unpack(document["info"].pop(_unmapped.KEY), document)
        return convert(document, Trace)
    for struct, model in _MODELS.items():
        if is_a(value, model):
            return convert(dumped(value), struct)
    raise contract_error(
        "wrong_type",
        (),
        expected=f"a {_NAMES} of verifiers, or a list of them",
        got=shown(value),
        hint="use convert() for plain data",
    )


def to_verifiers(value: Any, *, trace_class: Any = WireTrace) -> Any:
    """The verifiers object of a struct: Trace, MessageNode, message or Tool; of a list, a list.

    Nothing but the bytes of arrays is shared with `value`.

    Args:
        value: a struct, or a list of structs.
        trace_class: the class of a trace: `WireTrace`, which takes any task and agent, or a
            parametrised ``Trace[MyTaskData, MyState, MyAgentConfig]``.

    Raises:
        ContractError: `value` is not such a struct or breaks the contract; verifiers rejects it (a
            trace needs ``task`` and ``agent``) or would change it (``bad_value``, also for a number
            that no float32 can hold); or, outside a
            trace, verifiers lacks a field (``unknown_field``) or would generate one
            (``missing_field``).
        ProcessedPayloadError: ``not_json`` for an unknown field that JSON cannot express.
    """
    if is_a(value, list | tuple):
        return _each(lambda one: to_verifiers(one, trace_class=trace_class), value)
    if is_a(value, Trace):
        return _to_trace(to_builtins(value, packed=False), trace_class)
    model = _MODELS.get(type(value))
    if model is None:
        raise contract_error(
            "wrong_type",
            (),
            expected=f"a {_NAMES} of rawmm, or a list of them",
            got=shown(value),
            hint="use convert() to make structs from plain data",
        )
    document = to_builtins(value, packed=False)
    if model is VerifiersNode and "timestamp" not in document:
        raise contract_error(
            "missing_field",
            ("timestamp",),
            expected="the time the node was made, in seconds since the epoch",
            got="none",
            hint="verifiers would use the current time; set it, or convert the trace",
        )
    built = _validated(model, _acceptable(document), [((), document)])
    for path, left in _node_unmapped(document, dumped(built))[0]:
        if left is None:  # an unknown null, which only a trace can keep
            continue
        raise contract_error(
            "unknown_field",
            path,
            expected=f"a field of {model.__name__} in {_release()}",
            got=shown(left),
            hint="convert the trace, which can keep it, or clear it",
        )
    return built


def _to_trace(document: dict[str, Any], trace_class: Any) -> Any:
    info = document.get("info")
    if is_a(info, dict) and _unmapped.KEY in info:
        raise contract_error(
            "duplicate_key",
            ("info", _unmapped.KEY),
            expected="no such key: it is reserved for fields that verifiers does not have",
            got=shown(info[_unmapped.KEY]),
            hint="read the trace with from_verifiers(), which removes it",
        )
    for name in trace_class.model_computed_fields:
        document.pop(name, None)
    nodes = document["nodes"]
    acceptable = {**document, "nodes": [_acceptable(node) for node in nodes]}
    numbered: list[tuple[Path, Any]] = [
        (("nodes", index), node) for index, node in enumerate(nodes)
    ]
    trace: Any = _validated(trace_class, acceptable, numbered)
    kept = _written(trace)
    fields = [*_unmapped.unmapped_fields({**document, "nodes": None}, {**kept, "nodes": None})]
    for path, left in fields:
        if any(is_a(key, int) for key in path):
            raise contract_error(
                "unknown_field",
                path,
                expected=f"a field that {_release()} has there",
                got=shown(left),
                hint="list entries may move, so their fields cannot be kept",
            )
    generated = [
        (path, _unmapped.at(kept, path))
        for path in _GENERATED
        if _unmapped.at(document, path) is None
    ]
    by_node: dict[int, list[tuple[Path, Any]]] = {}
    rounded: dict[int, list[tuple[Path, list[float]]]] = {}
    for index, (node, kept_node) in enumerate(zip(nodes, kept["nodes"], strict=True)):
        try:
            missing, exact = _node_unmapped(node, kept_node)
        except RawMMError as error:
            raise error.at(("nodes", index)) from None
        if missing:
            by_node[index] = missing
        if exact:
            rounded[index] = exact
        if "timestamp" not in node:
            generated.append((("nodes", index, "timestamp"), kept_node["timestamp"]))
    unmapped = _unmapped.pack(fields, by_node, rounded, generated, kept["nodes"])
    if unmapped is not None:
        trace.info[_unmapped.KEY] = unmapped
    return trace


def _validated(model: Any, document: dict[str, Any], nodes: Sequence[tuple[Path, Any]]) -> Any:
    """`document` as a `model`; `nodes` are the nodes in it, with their paths."""
    try:
        with np.errstate(over="ignore"):  # `_node_unmapped` finds such numbers
            return validated(model, document, _release())
    except OverflowError:
        pass  # raised below, so that numpy's error is not in the chain
    for path, node in nodes:
        for index, token in enumerate(node.get("token_ids", ())):
            if token > _INT32:
                raise contract_error(
                    "bad_value",
                    (*path, "token_ids", index),
                    expected=f"an id up to {_INT32}, as {_release()} has it",
                    got=shown(token),
                )
    raise contract_error(
        "bad_value", (), expected=f"numbers that {_release()} can hold", got="a larger integer"
    )


def _acceptable(document: dict[str, Any]) -> dict[str, Any]:
    """A node without a sampling mask of one array, which verifiers rejects."""
    mask = document.get("sampling_mask")
    if is_a(mask, dict) and "ids" not in mask:
        return {key: value for key, value in document.items() if key != "sampling_mask"}
    return document


def _node_unmapped(
    given: dict[str, Any], kept: dict[str, Any]
) -> tuple[list[tuple[Path, Any]], list[tuple[Path, list[float]]]]:
    """The fields of a node, message or tool that verifiers does not have or rounds.

    Null counts as absent in the fields of the contract.

    Returns:
        The unmapped fields, and the streams that verifiers rounded.

    Raises:
        ContractError: ``bad_value`` if verifiers has another value.
    """
    missing: list[tuple[Path, Any]] = []
    exact: list[tuple[Path, list[float]]] = []
    streams: list[tuple[Path, Any, Any]]
    for name, value in given.items():
        if value is None and name not in kept and name not in _KNOWN:
            missing.append(((name,), None))  # an unknown field keeps its null
            continue
        # Streams are compared as a whole. An empty list of tools is not written.
        if value is None or value == kept.get(name) or (name == "tools" and not value):
            continue
        if name == "loss_weights" and is_a(kept.get(name), dict):
            streams = [((name, key), one, kept[name].get(key)) for key, one in value.items()]
        else:
            streams = [((name,), value, kept.get(name))]
        for path, one, other in streams:
            if one == other:
                continue
            if name in _FLOATS and other is not None and _unmapped.rounded(one) == other:
                _check_held(other, one, path)
                exact.append((path, one))
            else:
                missing += (
                    ((*path, *below), left) for below, left in _unmapped.unmapped_fields(one, other)
                )
    return missing, exact


def _check_held(stream: list[float], given: list[float], path: Path) -> None:
    for index, (number, one) in enumerate(zip(stream, given, strict=True)):
        if isinf(number):
            raise contract_error(
                "bad_value",
                (*path, index),
                expected=f"a number that float32 can hold, as {_release()} has it",
                got=shown(one),
            )


def replay_view(harness: Any, dialect: str | None = None) -> ReplayView | None:
    """The `replay_view` of `rawmm.graph.prepare_turn` for a harness of verifiers 0.4.1.dev86.

    Some harnesses change the whitespace of a reply when they send it again. verifiers matches such
    a message with its node by ``Harness.replay_view``; with this function, so does rawmm.graph.

    Args:
        harness: a harness of verifiers.
        dialect: the wire format of the request: ``chat_completions``, ``responses`` or
            ``anthropic_messages``.

    Returns:
        The function, equal for the same harness and dialect; None in 0.4.0, whose harnesses have
        no view.
    """
    return None if not hasattr(harness, "replay_view") else _ReplayView(harness, dialect)


@dataclass(frozen=True)
class _ReplayView:
    harness: Any
    dialect: str | None

    def __call__(self, message: Any) -> Any:
        model = _MODELS[type(message)]
        # A field that verifiers does not have, such as the detail of an image, has no effect on
        # the hash.
        given = validated(model, to_builtins(message), _release())
        return from_verifiers(self.harness.replay_view(given, self.dialect))


def _each(converted: Callable[[Any], Any], values: Any) -> list[Any]:
    out = []
    for index, value in enumerate(values):
        try:
            out.append(converted(value))
        except RawMMError as error:
            raise error.at((index,)) from None
    return out


def _written(trace: Any) -> dict[str, Any]:
    """A trace in verifiers' wire format, with plain values."""
    return {
        name: value if name == "nodes" else _plain(value) for name, value in dumped(trace).items()
    }


def _plain(value: Any, depth: int = 0) -> Any:
    """Free values with tuples as lists, and paths, dates, enums and the like as scalars.

    Sets, arrays and values beyond the depth limit stay as they are; validation refuses them.
    """
    if value is None or is_a(value, str | int | float | bytes) or depth > MAX_DEPTH:
        return value
    if is_a(value, dict):
        return {key: _plain(child, depth + 1) for key, child in value.items()}
    if is_a(value, list | tuple):
        return [_plain(child, depth + 1) for child in value]
    try:
        scalar = msgpack_encoder(value)
    except ValueError:  # it has no scalar for this value
        return value
    return scalar if is_a(scalar, str | int | float) else value


def _release() -> str:
    return f"verifiers {version('verifiers')}"


class RawImageClientMixin:
    """Raw images for a verifiers client: ``class MyClient(RawImageClientMixin, TrainClient)``.

    Call `prepare_request_body` before ``dialect.parse_request``. verifiers recognizes a message
    that is sent again by a hash that includes URLs, so images must be stored first. A stored image
    keeps its URL, so every turn reuses its prefix.

    A client that relays its provider's bytes (it overrides ``Client.relay``, as ``EvalClient``
    does) keeps images inline, because the provider cannot read local files. So do all dialects but
    chat.
    """

    image_store: ImageStore | None = None
    """The store for images. None uses the directory that the environment names, as
    `rawmm.offload_images_inplace`. Set it on the class or instance, or override it with a
    property. One with a ``fetcher`` also stores the images of ``https`` URLs."""

    @cached_property
    def image_offload_stats(self) -> ImageOffloadStats:
        """The sum over all calls of this client."""
        return ImageOffloadStats()

    @property
    def keeps_inline_images(self) -> bool:
        """Whether images stay in the messages, as for a client that relays.

        Override it for a client that forwards requests in another way.
        """
        return getattr(type(self), "relay", Client.relay) is not Client.relay

    async def prepare_request_body(self, dialect: Dialect, body: dict[str, Any]) -> dict[str, Any]:
        """Store every inline image of a chat request, and put ``file://`` URLs in their place.

        verifiers reads ``image_url`` parts and drops all others without a word. Parts of other
        forms (see docs/image-forms.md) become ``image_url`` parts, and an image that verifiers
        would still drop, such as one in an assistant message, is refused. Only ``body["messages"]``
        is searched. A thread checks and writes the images. The body is changed on the event loop,
        in one step at the end, so a cancelled call changes nothing.

        Returns:
            `body`.

        Raises:
            OffloadError: an image cannot be offloaded; ``path`` is that of its URL, as
                ``$.messages[2].content[1].image_url.url``. The body is unchanged.
        """
        messages = body.get("messages")
        if messages is None:
            return body
        try:
            await self.prepare_messages(dialect, messages)
        except OffloadError as error:
            raise error.at(("messages",)) from None
        return body

    async def prepare_messages(self, dialect: Dialect, messages: Messages) -> Messages:
        """`prepare_request_body` for a list of messages: of verifiers, of rawmm, or dicts.

        Message objects are changed in place, including those that a trace holds. verifiers indexes
        a trace by message hashes, so pass it the messages after this call.

        Returns:
            `messages`.

        Raises:
            OffloadError: an image cannot be offloaded; ``path`` begins at the list, as
                ``$[2].content[1].image_url.url``. The messages are unchanged.
        """
        if isinstance(dialect, ChatDialect) and not self.keeps_inline_images:
            stats = await offload_images_async(messages, store=self.image_store, as_chat=True)
            self.image_offload_stats.add(stats)
        return messages
