"""Requests of chat APIs as messages of the contract, and back. One dialect for each file.

To add a dialect, write a module with a `Dialect`, and list it in `DIALECTS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.codec import convert
from rawmm.dialects.anthropic import ANTHROPIC
from rawmm.dialects.chat import CHAT, read_message, read_tool
from rawmm.dialects.chat import with_tool_name as with_tool_name
from rawmm.dialects.fields import as_body
from rawmm.dialects.responses import RESPONSES
from rawmm.errors import ContractError, RawMMError, shown
from rawmm.model.types import Message, Tool
from rawmm.real_class import is_a
from rawmm.validation import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawmm.dialects.dialect import Dialect

# Public names. Names that are imported as themselves are for other packages of rawmm.
__all__ = ["messages_from_request", "to_request"]

DIALECTS: Final[dict[str, Dialect]] = {
    dialect.name: dialect for dialect in (RESPONSES, ANTHROPIC, CHAT)
}
"""Every dialect by name. A body is of the first that recognizes it."""


def messages_from_request(
    body: Any, *, dialect: str | None = None
) -> tuple[list[Message], list[Tool]]:
    """The messages and tools of a request to a chat API.

    They are those that the dialects of verifiers 0.4 read, except that nothing of a message is
    dropped: the detail of an image is kept, ``developer`` is ``system`` in every dialect, and what
    the contract cannot say is an error. Null fields are ignored, because table libraries fill
    missing ones with null. Cache hints (``cache_control``), credentials of MCP servers and the
    settings of the model are not part of the messages and are left out.

    Args:
        body: the request, as JSON bytes or as an object. It is not changed.
        dialect: ``chat`` (OpenAI chat completions), ``responses`` (OpenAI Responses) or
            ``anthropic`` (Anthropic Messages). By default it is recognized by the fields of the
            body. A body that fits more than one, such as one with texts only, is ``chat``.

    Returns:
        The messages in prompt order, instructions first, and the tools.

    Raises:
        ContractError: the body is not JSON (``malformed``), or a part of it cannot be said in the
            contract: ``unknown_field``, ``unknown_tag``, ``missing_field``, ``wrong_type``,
            ``bad_value``. ``path`` is that in the body.
        ProcessedPayloadError: the body holds an array, an image object or another value that JSON
            cannot express.
    """
    request = as_body(body)
    if dialect is None:
        found = next(one for one in DIALECTS.values() if one.recognizes(request))
    else:
        found = _named(dialect)
    return found.read(request)


def to_request(
    messages: Iterable[Any], dialect: str = "chat", tools: Iterable[Any] = ()
) -> dict[str, Any]:
    """The body of a request with these messages and tools, without a model or its settings.

    `messages_from_request` reads the same messages from it. Texts that a dialect cannot tell
    apart are equal: no text and an empty one, the arguments of a tool call with other spacing, and
    in ``anthropic`` one text part and a string. In ``responses``, a reply of the model gets the
    items of the request as its ``provider_state``.

    Args:
        messages: the messages, or values that `convert` turns into messages.
        dialect: ``chat``, ``responses`` or ``anthropic``.
        tools: the tools, or values that `convert` turns into tools.

    Raises:
        ContractError: a message or a tool violates the contract, or the dialect cannot say
            something of it (``bad_value``). ``path`` is ``$.messages[...]`` or ``$.tools[...]``.
    """
    into = _named(dialect)
    return into.write(
        _each(messages, Message, "messages", "a list of messages"),
        _each(tools, Tool, "tools", "a list of tools"),
    )


def as_chat_message(value: dict[str, Any], names: dict[str, str]) -> Message:
    """A message of a chat request.

    Args:
        value: the message.
        names: names of the tools of earlier calls by id; those of this message are added.

    Raises:
        RawMMError: as `messages_from_request`; ``path`` is that in the message.
    """
    return with_tool_name(read_message(as_body(value), ()), names)


def as_chat_tool(value: dict[str, Any]) -> Tool:
    """A tool of a chat request.

    Raises:
        RawMMError: as `messages_from_request`; ``path`` is that in the declaration.
    """
    return read_tool(as_body(value), ())


def _named(name: object) -> Dialect:
    found = DIALECTS.get(name) if is_a(name, str) else None
    if found is None:
        raise ContractError(
            "bad_value",
            expected=f"one of the dialects {', '.join(map(repr, sorted(DIALECTS)))}",
            got=shown(name),
        )
    return found


def _each(values: Any, kind: Any, name: str, expected: str) -> list[Any]:
    converted = []
    for index, value in enumerate(in_order(values, (name,), expected)):
        try:
            converted.append(convert(value, kind))
        except RawMMError as error:
            refusal: RawMMError | None = error.at((name, index))
        else:
            refusal = None
        if refusal is not None:
            raise refusal
    return converted
