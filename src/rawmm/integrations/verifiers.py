"""verifiers 0.4.0: its objects as structs and back, and raw images in its clients.

*Lossless, or refused.* `from_verifiers` and `to_verifiers` lose nothing in either direction.
A field that one of our structs has and verifiers has not (``multi_modal_data``,
``finish_reason``, ``usage``, ``kept_tokens``, the ``detail`` of an image, unknown fields of a
trace ...) rides in ``trace.info["rawmm"]`` and is put back by `from_verifiers`; it survives
verifiers' MessagePack wire and its records. Without a trace around it there is no such place,
and a value that does not fit is an error.

*What comes back reads the same.* verifiers writes every field, so one that a struct leaves out
comes back with what verifiers takes its absence for: null, ``[]``, ``{}``, ``""``, false, 0, and
``function`` as the type of a tool or tool call. An empty ``tools`` of a node comes back absent.
What is no constant (a new id, the present time, the running version) is taken out again, unless
somebody set it meanwhile. The three token counts of a trace are verifiers' to compute.
"""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, TypeVar

from verifiers.v1 import types as vf
from verifiers.v1.clients import Client
from verifiers.v1.dialects import ChatDialect, Dialect
from verifiers.v1.graph import MessageNode as VerifiersNode
from verifiers.v1.serve.encoding import msgpack_encoder
from verifiers.v1.trace import Trace as VerifiersTrace
from verifiers.v1.trace import WireTrace

from rawmm.codec import convert, to_builtins
from rawmm.errors import OffloadError, RawMMError, contract_error, shown
from rawmm.integrations import _carried
from rawmm.integrations._models import dumped, validated
from rawmm.model.types import (
    MAX_DEPTH,
    AssistantMessage,
    MessageNode,
    SystemMessage,
    Tool,
    ToolMessage,
    Trace,
    UserMessage,
)
from rawmm.offload import ImageOffloadStats, offload_images_async
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.store import ImageStore

    Path = tuple[str | int, ...]

Messages = TypeVar("Messages")

_MODELS: Final[dict[type, Any]] = {
    MessageNode: VerifiersNode,
    SystemMessage: vf.SystemMessage,
    UserMessage: vf.UserMessage,
    AssistantMessage: vf.AssistantMessage,
    ToolMessage: vf.ToolMessage,
    Tool: vf.Tool,
}
_MADE_UP: Final[tuple[Path, ...]] = (("id",), ("verifiers",), ("timing", "start"))
"""Fields of a trace that verifiers fills with what is no constant."""
_NAMES: Final = "Trace, MessageNode, message or Tool"


def from_verifiers(value: Any) -> Any:
    """The struct of a verifiers Trace, MessageNode, message or Tool; of a list of them, a list.

    Nothing is shared with `value`. A trace comes as verifiers' own wire has it: what lives only
    while it runs (``state``, ``renderer_token_ids``, previews of requests in flight) stays
    behind, tuples become lists, and paths, dates and the like text. What `to_verifiers` let
    ride in ``info["rawmm"]`` is back in its place, and the key is gone.

    Raises:
        ContractError: `value` is something else, breaks a rule of the contract, or the nodes
            that ``info["rawmm"]`` belongs to were dropped or changed (``hash_mismatch``).
        ProcessedPayloadError: it holds arrays, sets or other values that no wire can say.
    """
    if is_a(value, list | tuple):
        return _each(from_verifiers, value)
    if is_a(value, VerifiersTrace):
        document = _written(value)
        if _carried.KEY in document["info"]:
            _carried.unpack(document["info"].pop(_carried.KEY), document)
        return convert(document, Trace)
    for struct, model in _MODELS.items():
        if is_a(value, model):
            return convert(dumped(value), struct)
    raise contract_error(
        "wrong_type",
        (),
        expected=f"a {_NAMES} of verifiers, or a list of them",
        got=shown(value),
        hint="for plain data there is convert()",
    )


def to_verifiers(value: Any, *, trace_class: Any = WireTrace) -> Any:
    """The verifiers object of a struct: Trace, MessageNode, message or Tool; of a list, a list.

    Nothing is shared with `value`, but the bytes of arrays.

    Args:
        value: a struct, or a list of structs.
        trace_class: the class of a trace: `WireTrace`, which takes any task and agent, or a
            parametrised ``Trace[MyTaskData, MyState, MyAgentConfig]``.

    Raises:
        ContractError: `value` is no such struct or breaks a rule of the contract; verifiers
            does not take it (a trace needs ``task`` and ``agent``) or would change it
            (``bad_value``); or, without a trace around it, has no field for a part of it
            (``unknown_field``) and no constant for one that is absent (``missing_field``).
        ProcessedPayloadError: ``not_json`` for an unknown field of a trace that JSON cannot say.
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
            hint="convert() makes structs of plain data",
        )
    document = to_builtins(value, packed=False)
    if model is VerifiersNode and "timestamp" not in document:
        raise contract_error(
            "missing_field",
            ("timestamp",),
            expected="the time the node was made, in seconds since the epoch",
            got="none",
            hint="verifiers would take the present; set it, or convert the trace",
        )
    built = validated(model, _acceptable(document), _release())
    for path, left in _node_leftovers(document, dumped(built)):
        raise contract_error(
            "unknown_field",
            path,
            expected=f"a field of {model.__name__} in {_release()}",
            got=shown(left),
            hint="convert the trace, which has a place for it, or clear it",
        )
    return built


def _to_trace(document: dict[str, Any], trace_class: Any) -> Any:
    info = document.get("info")
    if is_a(info, dict) and _carried.KEY in info:
        raise contract_error(
            "duplicate_key",
            ("info", _carried.KEY),
            expected="no such key: what verifiers has no field for rides there",
            got=shown(info[_carried.KEY]),
            hint="read the trace with from_verifiers(), which empties it",
        )
    for name in trace_class.model_computed_fields:
        document.pop(name, None)
    nodes = document["nodes"]
    acceptable = {**document, "nodes": [_acceptable(node) for node in nodes]}
    trace: Any = validated(trace_class, acceptable, _release())
    kept = _written(trace)
    fields = [*_carried.leftovers({**document, "nodes": None}, {**kept, "nodes": None})]
    for path, left in fields:
        if any(is_a(key, int) for key in path):
            raise contract_error(
                "unknown_field",
                path,
                expected=f"a field that {_release()} has there",
                got=shown(left),
                hint="an entry of a list may move, so nothing rides along with it",
            )
    made_up = [
        (path, _carried.at(kept, path)) for path in _MADE_UP if _carried.at(document, path) is None
    ]
    by_node: dict[int, list[tuple[Path, Any]]] = {}
    for index, (node, kept_node) in enumerate(zip(nodes, kept["nodes"], strict=True)):
        if found := [*_node_leftovers(node, kept_node)]:
            by_node[index] = found
        if "timestamp" not in node:
            made_up.append((("nodes", index, "timestamp"), kept_node["timestamp"]))
    carried = _carried.pack(fields, by_node, made_up, kept["nodes"])
    if carried is not None:
        trace.info[_carried.KEY] = carried
    return trace


def _acceptable(document: dict[str, Any]) -> dict[str, Any]:
    """A node without what makes verifiers fail: a sampling mask that is one array."""
    mask = document.get("sampling_mask")
    if is_a(mask, dict) and "ids" not in mask:
        return {key: value for key, value in document.items() if key != "sampling_mask"}
    return document


def _node_leftovers(given: dict[str, Any], kept: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """What verifiers has no field for in a node, message or tool. Null reads like absent."""
    for name, value in given.items():
        # Tokens are compared as a whole; an empty list of tools is not written.
        if value is None or value == kept.get(name) or (name == "tools" and not value):
            continue
        yield from _carried.leftovers({name: value}, kept)


def _each(converted: Callable[[Any], Any], values: Any) -> list[Any]:
    out = []
    for index, value in enumerate(values):
        try:
            out.append(converted(value))
        except RawMMError as error:
            raise error.at((index,)) from None
    return out


def _written(trace: Any) -> dict[str, Any]:
    """A trace as verifiers' wire has it, all values plain."""
    return {
        name: value if name == "nodes" else _plain(value) for name, value in dumped(trace).items()
    }


def _plain(value: Any, depth: int = 0) -> Any:
    """Free values with tuples as lists, and paths, dates, enums and the like as scalars.

    Sets and arrays, of which no scalar says all, and what lies too deep stay as they are, to
    be refused.
    """
    if value is None or is_a(value, str | int | float | bytes) or depth > MAX_DEPTH:
        return value
    if is_a(value, dict):
        return {key: _plain(child, depth + 1) for key, child in value.items()}
    if is_a(value, list | tuple):
        return [_plain(child, depth + 1) for child in value]
    try:
        scalar = msgpack_encoder(value)
    except ValueError:  # it knows none for this
        return value
    return scalar if is_a(scalar, str | int | float) else value


def _release() -> str:
    return f"verifiers {version('verifiers')}"


class RawImageClientMixin:
    """Raw images for a verifiers client: ``class MyClient(RawImageClientMixin, TrainClient)``.

    Whoever calls the client awaits `prepare_request_body` before ``dialect.parse_request``:
    verifiers recognises a re-sent message by the hash of what it says, URLs included, so the
    offload comes before that hash is taken. What is stored once keeps its URL, and every turn
    re-uses its prefix.

    A client that relays its provider's bytes (one that overrides ``Client.relay``, as
    ``EvalClient`` does) keeps its images inline, because the provider cannot read this
    machine's files; so does every dialect but chat.
    """

    image_store: ImageStore | None = None
    """Where images go; with None into the directory that the environment names, as
    `rawmm.offload_images_inplace` does. Set it on the class or the instance, or override it by
    a property."""

    @cached_property
    def image_offload_stats(self) -> ImageOffloadStats:
        """What this client's calls did so far, added up."""
        return ImageOffloadStats()

    @property
    def keeps_inline_images(self) -> bool:
        """Whether images stay in the messages: true for a client that relays.

        Override it for one that forwards requests in another way.
        """
        return getattr(type(self), "relay", Client.relay) is not Client.relay

    async def prepare_request_body(self, dialect: Dialect, body: dict[str, Any]) -> dict[str, Any]:
        """Store every inline image of a chat request, and put ``file://`` URLs in their place.

        Only ``body["messages"]`` is looked at. Images are checked and written in a thread; the
        body is changed on the event loop, in one step at the end. A cancelled call changes
        nothing, then or later.

        Returns:
            `body`.

        Raises:
            OffloadError: an image cannot be offloaded; ``path`` is that of its URL, as
                ``$.messages[2].content[1].image_url.url``. The body is as it was.
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

        Message objects are changed, not replaced: those that a trace holds change in it, too.
        verifiers indexes a trace by message hashes, so give it messages after this, not before.

        Returns:
            `messages`.

        Raises:
            OffloadError: an image cannot be offloaded; ``path`` begins at the list, as
                ``$[2].content[1].image_url.url``. The messages are as they were.
        """
        if isinstance(dialect, ChatDialect) and not self.keeps_inline_images:
            stats = await offload_images_async(messages, store=self.image_store)
            self.image_offload_stats.add(stats)
        return messages
