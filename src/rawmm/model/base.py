"""The base of the generated structs: checked construction, `replace`, absent fields, extra fields.

msgspec checks types when it decodes, not when code calls ``RawMMItem(...)``. The metaclass sends
such a call through the same conversion as decoding, so every struct has the right shape when it is
built. Decoding does not call the metaclass and costs nothing more.

An optional field without a default holds ``UNSET`` while its property is absent, so that a document
is written back with the properties it had. Such a field reads as None.
"""

from __future__ import annotations

from abc import ABC
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from rawmm.errors import contract_error, shown
from rawmm.native import post_init

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # To a type checker, an absent field is None.
    Absent: TypeAlias = None
    ABSENT: Any = None
else:
    Absent = UnsetType
    ABSENT = UNSET

EXTRA: Final = "__extra__"
"""Wire name of the field that holds an open object's unknown properties."""


class _OptionalField:
    """A descriptor that reads UNSET as None. The slot that it wraps keeps UNSET."""

    __slots__ = ("_name", "slot")

    def __init__(self, slot: Any, name: str) -> None:
        self.slot = slot
        self._name = name

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        value = self.slot.__get__(obj, owner)
        return None if value is UNSET else value

    def __set__(self, obj: Any, value: Any) -> None:
        self.slot.__set__(obj, UNSET if _means_absent(type(obj), self._name, value) else value)


class Hooks:
    """Functions of higher layers that construction calls. This module must not import them."""

    build: ClassVar[Callable[[type[Any], dict[str, Any]], Any]]
    """Makes an instance from values by wire name, or raises a `RawMMError`."""
    check: ClassVar[Callable[[Any], None]]
    """Raises the first broken rule of one struct."""
    pydantic: ClassVar[str] = "rawmm.integrations.pydantic"
    """The module that implements pydantic's protocol. It is imported on first use."""
    forms: ClassVar[str] = "rawmm.upgrades.forms"
    """The module that recognizes historical forms. It is imported to explain an error."""


class ContractMeta(msgspec.StructMeta):
    """The metaclass of the structs; see the module's docstring."""

    def __new__(
        mcls: type[Any], name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kw: Any
    ) -> Any:
        """Have the collector track instances, also of a subclass of a leaf, unless told not to."""
        kw.setdefault("gc", True)
        return super().__new__(mcls, name, bases, namespace, **kw)

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kw: Any
    ) -> None:
        super().__init__(name, bases, namespace, **kw)
        names, defaults = cls.__struct_fields__, cls.__struct_defaults__
        by_name = dict(zip(names, cls.__struct_encode_fields__, strict=True))
        # Defaults belong to the last fields. Reading types as well would make imports slow.
        for field, default in zip(reversed(names), reversed(defaults), strict=False):
            if default is UNSET and field in cls.__dict__:  # else it is inherited
                type.__setattr__(cls, field, _OptionalField(cls.__dict__[field], field))
        config = cls.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        type.__setattr__(cls, "__tag__", tag)
        type.__setattr__(cls, "__wire_names__", by_name)
        type.__setattr__(cls, "__open__", EXTRA in by_name.values())
        type.__setattr__(cls, "__known__", frozenset(by_name.values()) - {EXTRA})

    if not TYPE_CHECKING:  # a type checker takes the signature from the fields

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            """Build a struct, as strictly as a decoder does."""
            return Hooks.build(cls, _bind(cls, args, kwargs))


def _bind(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor by wire name, with constants filled in."""
    names: dict[str, str] = cls.__wire_names__
    if len(args) > len(names):
        msg = f"{cls.__name__}() takes {len(names)} fields, {len(args)} were given"
        raise TypeError(msg)
    values: dict[str, Any] = cls.__tag__ | cls.__filled__
    for name, value in (*zip(names, args, strict=False), *kwargs.items()):
        if not _means_absent(cls, name, value):
            values[names.get(name, name)] = value
    if EXTRA in kwargs and cls.__open__:
        # An unknown property may have the internal name of the field `extra`.
        extra = kwargs.get("extra", {})
        values[EXTRA] = {**extra, EXTRA: kwargs[EXTRA]} if type(extra) is dict else extra
    return values


def _means_absent(cls: Any, name: str, value: Any) -> bool:
    """Whether assigning `value` to a field removes its property.

    None does if the schema does not allow null there.
    """
    if value is None:
        optional = isinstance(getattr(cls, name, None), _OptionalField)
        return optional and name not in _nullable(cls)
    return value is UNSET


@cache
def _nullable(cls: Any) -> frozenset[str]:
    """Names of the fields that may be null."""
    return frozenset(
        field.name
        for field in msgspec.structs.fields(cls)
        if field.type is Any or {type(None), Any} & set(getattr(field.type, "__args__", ()))
    )


class Contract(
    msgspec.Struct,
    metaclass=ContractMeta,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
):
    """The base of the generated structs."""

    __filled__: ClassVar[dict[str, Any]] = {}
    """Values that the constructor fills in, where the schema allows only one."""
    __json_fields__: ClassVar[tuple[str, ...]] = ()
    """Fields that hold free JSON objects."""
    __wire_fields__: ClassVar[tuple[str, ...]] = ()
    """Fields of an open object that hold any value that the wire format can represent."""
    __descriptor_fields__: ClassVar[tuple[str, ...]] = ()
    """Fields that hold free JSON under the rules of a descriptor."""
    __float_fields__: ClassVar[tuple[str, ...]] = ()
    """Fields that hold a number, or lists or dicts of numbers."""
    __deprecated__: ClassVar[dict[str, str]] = {}
    """Deprecated fields by wire name, with the version of the contract that deprecated them."""
    __rules__: ClassVar[tuple[str, ...]] = ()
    """Names of the rules that the schema lists for the type."""
    __tag__: ClassVar[dict[str, Any]]
    """Wire name and value of the tag; empty if the type has none."""
    __wire_names__: ClassVar[dict[str, str]]
    """Names of the fields, from Python to the wire."""
    __open__: ClassVar[bool]
    """Whether unknown properties are kept, in the field `extra`."""
    __known__: ClassVar[frozenset[str]]
    """Wire names of the properties in the schema."""

    def __replace__(self, /, **changes: Any) -> Any:
        """Support `copy.replace`. See `rawmm.replace`."""
        return replace(self, **changes)

    def __delattr__(self, name: str) -> None:
        """Refuse to delete a field. Reading a struct without one would raise everywhere.

        Raises:
            AttributeError: always.
        """
        msg = f"the field {name!r} cannot be deleted; assign None, if it is optional"
        raise AttributeError(msg, name=name, obj=self)

    # Only pydantic uses the next two.

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
        return import_module(Hooks.pydantic).core_schema_of(cls, handler)

    @property
    def __pydantic_serializer__(self) -> Any:
        try:
            integration = import_module(Hooks.pydantic)
        except ModuleNotFoundError as error:  # `hasattr` and `inspect` expect AttributeError
            raise AttributeError(str(error)) from error
        return integration.serializer_of(type(self))


class Ruled(Contract):
    """The base of the structs with rules, which are checked whenever one is built or decoded."""

    def __check_rules__(self) -> None:
        """Check the rules in Python."""
        Hooks.check(self)

    if TYPE_CHECKING:

        def __post_init__(self) -> None:
            """Check the rules. msgspec calls this after decoding, too."""
    else:
        __post_init__ = post_init or __check_rules__


class Referable(Ruled, weakref=True):
    """The base of the structs that weak references can refer to."""


S = TypeVar("S", bound=Contract)


def replace(struct: S, /, **changes: Any) -> S:
    """Return a copy of `struct` with changed fields, checked as the constructor checks.

    The original stays as it is. Lists and dicts are copied; structs in them are shared.

    Args:
        struct: a struct of the contract.
        changes: new values by the fields' names, in Python or in JSON. ``msgspec.UNSET`` removes
            an optional field, as does None where the schema does not allow null.

    Raises:
        ContractError: `struct` is not a struct, or a shape or a rule is broken.
        ProcessedPayloadError: a payload holds something other than raw, JSON-safe data.
    """
    kind: Any = type(struct)
    if not issubclass(kind, Contract):
        raise contract_error("wrong_type", (), expected="a struct of rawmm", got=shown(struct))
    values = own_fields(struct)
    unknown = values
    if kind.__open__ and "extra" not in changes:
        # Kept apart, because a document may have a property that is named like the field.
        extra = values.get(EXTRA, {})
        unknown = values[EXTRA] = dict(extra) if issubclass(type(extra), dict) else extra
    for name, value in changes.items():
        wire_name = kind.__wire_names__.get(name, name)
        is_known = name in kind.__wire_names__ or name in kind.__known__
        target = values if is_known or not issubclass(type(unknown), dict) else unknown
        if _means_absent(kind, name, value):
            target.pop(wire_name, None)
        else:
            target[wire_name] = value
    copy: S = Hooks.build(kind, values)
    free = (*kind.__json_fields__, *kind.__wire_fields__, *kind.__descriptor_fields__)
    for name in (*free, "extra") if kind.__open__ else free:
        value = getattr(copy, name)
        if name not in changes and issubclass(type(value), (dict, list)):
            setattr(copy, name, _unshared(value))
    return copy


def _unshared(value: Any) -> Any:
    """A copy of the lists and dicts of a valid value."""
    if type(value) is list:
        return [_unshared(item) for item in value]
    if issubclass(type(value), dict):
        return type(value)({key: _unshared(item) for key, item in value.items()})
    return value


class OneOf(ABC):  # noqa: B024  (abstract so that members can be registered)
    """A union of objects without a tag, which msgspec does not support as a field's type.

    Decoders pass the plain object to `choose`. The members are virtual subclasses.
    """

    members: ClassVar[tuple[type[Contract], ...]] = ()

    @classmethod
    def choose(cls, value: dict[str, Any]) -> type[Contract]:
        """The member with the most fields present in `value`."""
        return max(cls.members, key=lambda m: sum(f in value for f in m.__wire_names__.values()))


if TYPE_CHECKING:
    Extra: TypeAlias = dict[str, Any]
else:

    class Extra(dict):
        """The unknown properties of an open object.

        If msgspec saw the field as a `dict`, a document could fill it under its internal name.
        Decoders never make an `Extra`.
        """

        __slots__ = ()


def own_fields(struct: Contract) -> dict[str, Any]:
    """The present fields of `struct` by wire name, in order, after its tag."""
    values = msgspec.structs.astuple(struct)
    return type(struct).__tag__ | {
        name: value
        for name, value in zip(struct.__struct_encode_fields__, values, strict=True)
        if value is not UNSET
    }


def wire_fields(struct: Contract) -> Iterator[tuple[str, Any]]:
    """`own_fields` as written to the wire: unknown properties stand beside the others."""
    for name, value in own_fields(struct).items():
        if name == EXTRA and issubclass(type(value), dict):
            yield from value.items()
        else:
            yield name, value
