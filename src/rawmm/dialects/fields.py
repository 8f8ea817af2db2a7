"""Reads the objects of a request field by field, so that nothing is dropped unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from rawmm.codec import convert, to_builtins
from rawmm.errors import RawMMError, contract_error, shown
from rawmm.model.types import ImageUrlContentPart, Message, TextContentPart, Tool, ToolMessage
from rawmm.real_class import is_a
from rawmm.values.errors import missing_field, unknown_field
from rawmm.values.payload import Mode, payload_errors
from rawmm.values.plain import scan, to_plain
from rawmm.values.strict_json import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rawmm.errors import Path

T = TypeVar("T")

CACHE_HINTS: Final = frozenset({"cache_control", "prompt_cache_breakpoint"})
"""Fields that tell a provider what to cache. They say nothing about the prompt."""
_CREDENTIALS: Final = frozenset({"authorization", "headers"})
_NAMES: Final[dict[type, str]] = {
    str: "a string",
    list: "an array",
    dict: "an object",
    bool: "true or false",
}


def as_body(value: Any) -> dict[str, Any]:
    """A request body, or a part of one, as plain data.

    Raises:
        ContractError: ``malformed``, ``too_deep`` or ``duplicate_key`` for bytes; ``wrong_type`` if
            it is not an object.
        ProcessedPayloadError: it holds a value that JSON cannot express.
    """
    if is_a(value, bytes | bytearray):
        value = read_json(bytes(value))
    else:
        plain, has_struct = scan(value)
        if not plain or has_struct:
            value = to_plain(value, open_structs=True)
    if type(value) is not dict:
        hint = None
        if type(value) is list:
            hint = 'pass {"messages": [...]}'
        elif type(value) is str:
            hint = "pass the bytes of the body, or the parsed object"
        raise wrong_type(value, "a request body: an object, or its JSON as bytes", (), hint)
    return value


class Fields:
    """One object of a request. Its fields are read once each; `end` refuses what is left.

    Null fields are absent.

    Args:
        value: the object.
        path: its path in the body.
        what: what it should be, for an error.

    Raises:
        ContractError: ``wrong_type`` if it is not an object.
    """

    def __init__(self, value: Any, path: Path, what: str = "an object") -> None:
        if type(value) is not dict:
            raise wrong_type(value, what, path)
        self.path = path
        self._left = {name: child for name, child in value.items() if child is not None}
        self._read: list[str] = []

    def __contains__(self, name: str) -> bool:
        """Whether a field is present and not read yet."""
        return name in self._left

    @overload
    def take(self, name: str, kind: type[T]) -> T | None: ...
    @overload
    def take(self, name: str, kind: None = None) -> Any: ...
    def take(self, name: str, kind: type[Any] | None = None) -> Any:
        """Read a field; None if it is absent.

        Raises:
            ContractError: ``wrong_type`` if it is not of this type.
        """
        self._read.append(name)
        value = self._left.pop(name, None)
        if kind is not None and value is not None and type(value) is not kind:
            raise wrong_type(value, _NAMES[kind], (*self.path, name))
        return value

    def need(self, name: str, kind: type[T]) -> T:
        """Read a required field.

        Raises:
            ContractError: ``missing_field``, or as `take`.
        """
        value = self.take(name, kind)
        if value is None:
            raise missing_field(name, self.path)
        return value

    def end(self, hint: str | None = None) -> None:
        """Check that no field is left that says something.

        False, zero and empty values say nothing, and neither do `CACHE_HINTS`.

        Raises:
            ContractError: ``unknown_field``.
        """
        for name, value in self._left.items():
            if value and name not in CACHE_HINTS:
                error = unknown_field(name, sorted({*self._read}), self.path)
                raise error if hint is None else error.at(hint=hint)


def wrong_type(value: Any, expected: str, path: Path, hint: str | None = None) -> RawMMError:
    """The error for a value of another type."""
    return contract_error("wrong_type", path, expected=expected, got=shown(value), hint=hint)


def unknown_tag(
    value: object, known: Iterable[str], path: Path, hint: str | None = None
) -> RawMMError:
    """The error for a role or type that is absent or that the contract does not have."""
    return contract_error(
        "unknown_tag",
        path,
        expected=f"one of {', '.join(map(repr, known))}",
        got="none" if value is None else shown(value),
        hint=hint,
    )


def cannot_say(path: Path, expected: str, got: str, hint: str | None = None) -> RawMMError:
    """The error for something that a dialect has no place for."""
    return contract_error("bad_value", path, expected=expected, got=got, hint=hint)


def built(kind: Any, fields: dict[str, Any], path: Path) -> Any:
    """A struct from plain fields; those that are None are left out.

    Raises:
        RawMMError: it breaks the contract; the path is below `path`.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    try:
        return convert(present, kind)
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal


def message(path: Path, **fields: Any) -> Message:
    """A message from its fields, as `built`."""
    found: Message = built(Message, fields, path)
    return found


def text_part(text: str) -> dict[str, Any]:
    """A text part of the contract."""
    return {"type": "text", "text": text}


def image_part(url: str, detail: str | None = None) -> dict[str, Any]:
    """An image part of the contract."""
    source = {"url": url} if detail is None else {"url": url, "detail": detail}
    return {"type": "image_url", "image_url": source}


def read_content(
    content: Any, path: Path, read_part: Callable[[Any, Path], dict[str, Any]]
) -> str | list[dict[str, Any]]:
    """A text, or the parts of a list.

    Raises:
        ContractError: ``wrong_type``, or raised by `read_part`.
    """
    if type(content) is str:
        return content
    if type(content) is not list:
        raise wrong_type(content, "a string or an array of parts", path)
    return [read_part(part, (*path, index)) for index, part in enumerate(content)]


def write_content(
    content: str | list[Any],
    path: Path,
    text: Callable[[str], dict[str, Any]],
    image: Callable[[str, str | None, Path], dict[str, Any]],
) -> str | list[dict[str, Any]]:
    """`read_content` the other way: a text, or a part for each part of the contract."""
    if is_a(content, str):
        return content
    parts = []
    for index, part in enumerate(content):
        if is_a(part, TextContentPart):
            parts.append(text(part.text))
        else:
            assert is_a(part, ImageUrlContentPart), "the contract has two kinds of parts"
            source = to_builtins(part.image_url)
            at = (*path, "content", index, "image_url")
            parts.append(image(source["url"], source.get("detail"), at))
    return parts


def read_tools(
    declarations: Any, path: Path, read: Callable[[dict[str, Any], Path], Tool]
) -> list[Tool]:
    """A tool for each declaration of a list; none if it is None.

    Raises:
        ContractError: ``wrong_type``, or raised by `read`.
    """
    if declarations is None:
        return []
    if type(declarations) is not list:
        raise wrong_type(declarations, "an array of tools", path)
    return [read(one, (*path, index)) for index, one in enumerate(declarations)]


def tool(fields: dict[str, Any], path: Path) -> Tool:
    """A tool from its fields. Null ones and the credentials of an MCP server are left out.

    A tool of a provider may have no name; then it gets that of its server or its type, as in
    verifiers.
    """
    kind = fields.get("type")
    if kind == "mcp":
        fields = {name: one for name, one in fields.items() if name.lower() not in _CREDENTIALS}
    name = fields.get("name")
    if not name and kind not in CLIENT_TOOLS:
        name = fields.get("server_label") or kind
    for error in payload_errors(fields, path, Mode.JSON):
        raise error
    found: Tool = built(Tool, {**fields, "name": name}, path)
    return found


def tool_fields(one: Tool) -> dict[str, Any]:
    """The fields of a tool, with its type and without a name that `tool` gives it."""
    fields = {"type": "function", **to_builtins(one)}
    fields = {name: value for name, value in fields.items() if value is not None}
    kind = fields["type"]
    if kind not in CLIENT_TOOLS and fields["name"] == (fields.get("server_label") or kind):
        del fields["name"]
    return fields


CLIENT_TOOLS: Final = ("function", "custom")
"""Types of tools that the contract's tool calls name."""


def check_tool_name(one: ToolMessage, names: dict[str, str], path: Path) -> None:
    """Check that the name of a tool message is that of the call it answers.

    Args:
        one: the message.
        names: the names of all earlier calls by their id.
        path: the path of the message.

    Raises:
        ContractError: ``bad_value``: a dialect that writes no name would lose it.
    """
    name = to_builtins(one).get("name")
    if name is not None and names.get(one.tool_call_id) != name:
        raise cannot_say(
            (*path, "name"),
            "no name, or that of the tool call in the messages",
            shown(name),
            "only the dialect 'chat' writes the names of tool messages",
        )
