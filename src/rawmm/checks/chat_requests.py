"""Checks the shape of chat requests, which are not a type of the contract.

`rawmm.checks.images` checks their images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawmm.checks.kinds import REQUEST_LISTS
from rawmm.errors import contract_error, shown, shown_text
from rawmm.offload import ImageParts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import RawMMError

    Path = tuple[str | int, ...]


def request_errors(value: Any) -> Iterator[RawMMError]:
    """Every error of a request body ``{"messages": [...]}``, a list of messages, or one message.

    Responses have items under ``input``, of which some are messages, and Gemini has ``contents``.
    Of these, only the images are checked.
    """
    if isinstance(value, dict) and "role" not in value:
        if "messages" in value:
            yield from _message_list_errors(value["messages"], ("messages",))
        elif not any(name in value for name in REQUEST_LISTS):
            yield _missing("messages", ())
    elif isinstance(value, dict):
        yield from _message_errors(value, ())
    else:
        yield from _message_list_errors(value, ())


def _message_list_errors(messages: Any, path: Path) -> Iterator[RawMMError]:
    if not isinstance(messages, list):
        yield _wrong_type(messages, "an array of messages", path)
        return
    for index, message in enumerate(messages):
        yield from _message_errors(message, (*path, index))


def _message_errors(message: Any, path: Path) -> Iterator[RawMMError]:
    if not isinstance(message, dict):
        yield _wrong_type(message, "a message: an object", path)
        return
    if "role" not in message:
        yield _missing("role", path)
    elif not isinstance(message["role"], str):
        yield _wrong_type(message["role"], "a string", (*path, "role"))
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            at = (*path, "content", index)
            if not isinstance(part, dict):
                yield _wrong_type(part, "a content part: an object", at)
            elif not isinstance(part.get("type"), str) and not _is_untyped_part(part):
                yield _missing("type", at)
    elif content is not None and not isinstance(content, str):
        yield _wrong_type(content, "a string, an array of parts, or null", (*path, "content"))


def _is_untyped_part(part: Any) -> bool:
    """Whether a part without a type shows by its keys what it is."""
    return isinstance(part.get("text"), str) or bool(ImageParts({"content": [part]}).parts)


def _wrong_type(value: Any, expected: str, path: Path) -> RawMMError:
    return contract_error("wrong_type", path, expected=expected, got=shown(value))


def _missing(name: str, path: Path) -> RawMMError:
    return contract_error(
        "missing_field", path, expected=f"the field {shown_text(name)}", got="an object without it"
    )
