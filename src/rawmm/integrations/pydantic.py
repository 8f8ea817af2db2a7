"""Structs as fields of pydantic models. Nothing here is called by hand.

pydantic asks the types of the contract themselves (`Contract.__get_pydantic_core_schema__`), and
they answer with what is here, so that only a program with such a model loads pydantic::

    class Step(BaseModel):
        multi_modal_data: rawmm.MultiModalData | None = None

Validation is `rawmm.convert`, with every error of the value and not only the first: ``loc`` goes
on inside the value, ``type`` is a key of `rawmm.errors.CODES`, and ``input`` is the error's
``got``, never the value itself. pydantic's strict mode changes nothing: the contract is strict.

Serialization is `rawmm.to_builtins`. What was changed into something illegal is refused with a
``PydanticSerializationError`` whose cause is the `rawmm.RawMMError`. Options that leave things
out, such as ``exclude_none``, end at the struct: a null inside it is data.

JSON Schema is the bundle of `rawmm.schemas`, one entry of ``$defs`` for each definition.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from pydantic import Tag, TypeAdapter
from pydantic_core import (
    InitErrorDetails,
    PydanticCustomError,
    PydanticSerializationUnexpectedValue,
    ValidationError,
    core_schema,
)

from rawmm import schemas
from rawmm.codec import encode_json
from rawmm.conversion import convert, to_builtins
from rawmm.errors import RawMMError, contract_error, json_path, shown, shown_name
from rawmm.real_class import is_a
from rawmm.structs import TYPES, Contract
from rawmm.validate import errors_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_NAMES: Final = {struct: name for name, struct in TYPES.items()}
_STEP: Final = re.compile(r'\.(\w+)|\[(\d+|"(?:[^"\\]|\\.)*")\]')


def core_schema_of(kind: type[Contract], handler: GetCoreSchemaHandler) -> CoreSchema:
    """What pydantic validates, serializes and describes a field of struct class `kind` with."""
    return handler.generate_schema(_annotated(kind))


@cache
def serializer_of(kind: type[Contract]) -> Any:
    """What pydantic dumps a struct with where the field's type does not say what stands there."""
    return TypeAdapter(_annotated(kind)).serializer


def _annotated(kind: type[Contract]) -> Any:
    # The tag names the member in the errors of a union.
    return Annotated[Any, _Field(kind), Tag(_NAMES[kind])]


class _Field:
    """Annotates what holds a struct of class `kind`."""

    def __init__(self, kind: type[Contract]) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.serialize, info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        name = _NAMES[self._kind]
        parts = [_definition(part) for part in schemas.schema(name)["$defs"]]
        return handler(core_schema.definitions_schema(_reference(name), parts))

    def validate(self, value: Any) -> Any:
        """`value` as a struct, or a ``ValidationError`` with every error of it."""
        errors: list[RawMMError]
        if self._is_other(value):
            # `convert` reads any struct by its fields. A union must not turn one into another.
            expected = f"a {_NAMES[self._kind]}"
            errors = [contract_error("wrong_type", (), expected=expected, got=shown(value))]
        else:
            try:
                return convert(value, self._kind)
            except RawMMError as first:
                errors = list(errors_at(value, self._kind, ())) or [first]
        lines = [_line_error(error) for error in self._telling(errors)]
        raise ValidationError.from_exception_data(_NAMES[self._kind], lines)

    def _telling(self, errors: list[RawMMError]) -> list[RawMMError]:
        """`errors`, or the tag's alone: what has the tag of another type is that type's to judge.

        A union asks every member, so each broken message would have the errors of four types.
        """
        tag = self._kind.__struct_config__.tag_field
        return [error for error in errors if tag and error.path == json_path((tag,))] or errors

    def serialize(self, value: Any, info: core_schema.SerializationInfo) -> Any:
        """`value` as dicts and lists; in JSON mode with bytes in base64."""
        if self._is_other(value):
            # A union goes on to its next member; elsewhere pydantic warns and asks the value.
            msg = f"Expected `{_NAMES[self._kind]}` but got `{shown_name(type(value).__name__)}`"
            raise PydanticSerializationUnexpectedValue(msg)
        struct = value if is_a(value, Contract) else convert(value, self._kind)
        if info.mode_is_json():
            return msgspec.json.decode(encode_json(struct))
        return to_builtins(struct)

    def _is_other(self, value: Any) -> bool:
        return is_a(value, Contract) and not is_a(value, self._kind)


def _line_error(error: RawMMError) -> InitErrorDetails:
    # The message is complete: without a context nothing in it is taken for a field to fill in.
    return InitErrorDetails(
        type=PydanticCustomError(error.code, error.message),
        loc=tuple(_steps(error.path)),
        input=error.got,
    )


def _steps(path: str) -> Iterator[str | int]:
    """Keys and indices of a JSON path, which shows them as they may be shown."""
    for plain, bracketed in _STEP.findall(path):
        yield plain or json.loads(bracketed)


class _Definition:
    """Annotates what is rendered as one definition of the bundle."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        linked: JsonSchemaValue = _linked(schemas.bundle()["$defs"][self._name], handler)
        return linked


@cache
def _definition(name: str) -> Any:
    """A core schema that pydantic gives an entry of its own in ``$defs``."""
    unnamed = TypeAdapter(Annotated[Any, _Definition(name)]).core_schema
    return {**unnamed, "ref": _ref(name)}


def _ref(name: str) -> str:
    # pydantic takes the last part before the colon for the key in ``$defs``, and more of it
    # where a model's own class has the same name.
    return f"rawmm.structs.{name}:{schemas.VERSION}"


def _reference(name: str) -> CoreSchema:
    return core_schema.definition_reference_schema(_ref(name))


def _linked(node: Any, handler: GetJsonSchemaHandler) -> Any:
    """A copy of a part of the bundle, with references as pydantic writes them."""
    if isinstance(node, dict):
        linked = {key: _linked(value, handler) for key, value in node.items()}
        if "$ref" in node:
            linked |= handler(_reference(node["$ref"].rpartition("/")[2]))
        return linked
    if isinstance(node, list):
        return [_linked(value, handler) for value in node]
    return node
