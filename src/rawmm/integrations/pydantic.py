"""Makes structs usable as fields of pydantic models. Nothing here is called directly.

pydantic calls `Contract.__get_pydantic_core_schema__`, which loads this module, so only a program
with such a model loads it::

    class Step(BaseModel):
        multi_modal_data: rawmm.MultiModalData | None = None

Validation is `rawmm.convert` and reports every error: ``loc`` continues inside the value, ``type``
is a key of `rawmm.errors.CODES`, and ``input`` is the error's ``got``, never the value itself.
pydantic's strict mode has no effect, because the contract is always strict.

Serialization is `rawmm.to_builtins`. An invalid struct raises ``PydanticSerializationError`` with
the `rawmm.RawMMError` as its cause. Options such as ``exclude_none`` do not apply inside a struct,
where null is data.

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

from rawmm.codec import convert, encode_json, to_builtins
from rawmm.errors import RawMMError, contract_error, json_path, shown, shown_name
from rawmm.model import schemas
from rawmm.model.types import TYPES, Contract
from rawmm.real_class import is_a
from rawmm.validation import errors_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_NAMES: Final = {struct: name for name, struct in TYPES.items()}
_STEP: Final = re.compile(r'\.(\w+)|\[(\d+|"(?:[^"\\]|\\.)*")\]')


def core_schema_of(kind: type[Contract], handler: GetCoreSchemaHandler) -> CoreSchema:
    """The core schema of a field of struct class `kind`."""
    return handler.generate_schema(_annotated(kind))


@cache
def serializer_of(kind: type[Contract]) -> Any:
    """The serializer of a struct in a field whose type does not name it."""
    return TypeAdapter(_annotated(kind)).serializer


def _annotated(kind: type[Contract]) -> Any:
    # The tag names the member in the errors of a union.
    return Annotated[Any, _Field(kind), Tag(_NAMES[kind])]


class _Field:
    """Annotates a field that holds a struct of class `kind`."""

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
            # `convert` accepts any struct by its fields, but a union must not change the class.
            expected = f"a {_NAMES[self._kind]}"
            errors = [contract_error("wrong_type", (), expected=expected, got=shown(value))]
        else:
            try:
                return convert(value, self._kind)
            except RawMMError as first:
                errors = list(errors_at(value, self._kind, ())) or [first]
        lines = [_line_error(error) for error in self._relevant(errors)]
        raise ValidationError.from_exception_data(_NAMES[self._kind], lines)

    def _relevant(self, errors: list[RawMMError]) -> list[RawMMError]:
        """`errors`, or only that of the tag, because a value with another tag has another type.

        A union tries every member, so an invalid message would get the errors of four types.
        """
        tag = self._kind.__struct_config__.tag_field
        return [error for error in errors if tag and error.path == json_path((tag,))] or errors

    def serialize(self, value: Any, info: core_schema.SerializationInfo) -> Any:
        """`value` as dicts and lists. In JSON mode bytes become base64."""
        if self._is_other(value):
            # A union tries its next member; elsewhere pydantic warns and asks the value.
            msg = f"Expected `{_NAMES[self._kind]}` but got `{shown_name(type(value).__name__)}`"
            raise PydanticSerializationUnexpectedValue(msg)
        struct = value if is_a(value, Contract) else convert(value, self._kind)
        if info.mode_is_json():
            return msgspec.json.decode(encode_json(struct))
        return to_builtins(struct)

    def _is_other(self, value: Any) -> bool:
        return is_a(value, Contract) and not is_a(value, self._kind)


def _line_error(error: RawMMError) -> InitErrorDetails:
    # Without a context, pydantic does not format the message.
    return InitErrorDetails(
        type=PydanticCustomError(error.code, error.message),
        loc=tuple(_steps(error.path)),
        input=error.got,
    )


def _steps(path: str) -> Iterator[str | int]:
    """Keys and indices of a JSON path."""
    for plain, bracketed in _STEP.findall(path):
        yield plain or json.loads(bracketed)


class _Definition:
    """Annotates a field described by one definition of the bundle."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        linked: JsonSchemaValue = _linked(schemas.bundle()["$defs"][self._name], handler)
        return linked


@cache
def _definition(name: str) -> Any:
    """A core schema that gets its own entry in ``$defs``."""
    unnamed = TypeAdapter(Annotated[Any, _Definition(name)]).core_schema
    return {**unnamed, "ref": _ref(name)}


def _ref(name: str) -> str:
    # pydantic uses the last part before the colon as the key in ``$defs``, and more of it if a
    # class of the model has the same name.
    return f"rawmm.{name}:{schemas.VERSION}"


def _reference(name: str) -> CoreSchema:
    return core_schema.definition_reference_schema(_ref(name))


def _linked(node: Any, handler: GetJsonSchemaHandler) -> Any:
    """A copy of a part of the bundle with pydantic's references."""
    if isinstance(node, dict):
        linked = {key: _linked(value, handler) for key, value in node.items()}
        if "$ref" in node:
            linked |= handler(_reference(node["$ref"].rpartition("/")[2]))
        return linked
    if isinstance(node, list):
        return [_linked(value, handler) for value in node]
    return node
