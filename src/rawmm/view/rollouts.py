"""Finds the rollouts of a record: its nodes or messages in order, whatever type it has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.errors import json_path
from rawmm.view.lenient import dict_of, int_of, list_of, text_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from rawmm.errors import Path

_MAX_FACTS: Final = 12
_PLAIN: Final = (str, int, float, bool)


class Place(NamedTuple):
    """One node of a rollout, or one message that stands alone.

    Attributes:
        path: the JSON path of the node in the record.
        node: the fields of the node; empty for a message that stands alone.
        message: the fields of the message.
        value: what the record has at the path.
        parent: the index of its parent; None for a root, and if the parent is not earlier.
    """

    path: str
    node: dict[Any, Any]
    message: dict[Any, Any]
    value: Any
    parent: int | None


class Rollout(NamedTuple):
    """A trace, or another list of nodes or messages.

    Attributes:
        path: its JSON path in the record.
        fields: the fields of the trace; empty for another list.
        places: its nodes in order.
    """

    path: str
    fields: dict[Any, Any]
    places: list[Place]

    @property
    def name(self) -> str:
        """The id of the trace, or an empty string."""
        return text_of(self.fields.get("id")) or ""

    @property
    def model(self) -> str | None:
        """The id of the model that the trace names, if it names one."""
        config = dict_of(dict_of(self.fields.get("agent")).get("config"))
        named = text_of(config.get("model"))
        if named is None:
            for call in list_of(self.fields.get("calls")):
                named = named or text_of(dict_of(call).get("model"))
        return named or text_of(self.fields.get("model"))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Fields of the trace that are short enough for its header."""
        shown = [
            (str(name), str(value))
            for name, value in self.fields.items()
            if type(value) in _PLAIN and name not in {"id", "version"} and len(str(value)) <= 200
        ]
        for name in ("rewards", "metrics"):
            for key, value in dict_of(self.fields.get(name)).items():
                score = dict_of(value).get("score", value)
                if type(score) in _PLAIN:
                    shown.append((f"{name}.{key}", str(score)))
        return shown[:_MAX_FACTS]


NOTHING: Final = Rollout("$", {}, [])
"""What a rollout without a counterpart is compared with."""


def rollouts_of(record: Any) -> list[Rollout]:
    """The rollouts of a record as plain data; a record without messages is one without nodes."""
    if type(record) is dict and type(record.get("traces")) is list:
        found = [
            _trace(dict_of(trace), ("traces", index))
            for index, trace in enumerate(record["traces"])
        ]
        if found:
            return found
    return [_trace(record, ())]


def nearest(path: str, paths: Container[str]) -> str | None:
    """The longest of `paths` that is `path` or leads to it; None if none does."""
    if path in paths:
        return path
    ends = (match.start() for match in re.finditer(r"[.\[]", path))
    return next((path[:end] for end in [*ends][::-1] if path[:end] in paths), None)


def _trace(record: Any, path: Path) -> Rollout:
    values: list[Any]
    if type(record) is list:
        values, at = record, path
    elif type(record) is not dict:
        values, at = [], path
    elif type(record.get("nodes")) is list:
        values, at = record["nodes"], (*path, "nodes")
    elif type(record.get("message")) is dict or "role" in record:
        return Rollout(json_path(path), {}, [_place(record, path, None)])
    else:
        name = next(_message_lists(record), None)
        values, at = ([], path) if name is None else (record[name], (*path, name))
    fields = dict_of(record)
    places: list[Place] = []
    for index, value in enumerate(values):
        is_node = type(value) is dict and ("message" in value or "role" not in value)
        if is_node:
            given = int_of(value.get("parent"))
            parent = given if given is not None and 0 <= given < index else None
        else:
            parent = index - 1 if index else None
        places.append(_place(value, (*at, index), parent))
    return Rollout(json_path(path), fields, places)


def _place(value: Any, path: Path, parent: int | None) -> Place:
    fields = dict_of(value)
    if "message" not in fields and "role" in fields:
        return Place(json_path(path), {}, fields, value, parent)
    return Place(json_path(path), fields, dict_of(fields.get("message")), value, parent)


def _message_lists(record: dict[Any, Any]) -> Iterator[str]:
    """The keys of lists in which an entry has a role: the messages of a request."""
    for key, value in record.items():
        if type(value) is list and any("role" in dict_of(entry) for entry in value):
            yield key
