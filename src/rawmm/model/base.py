"""The base of every generated struct: strict construction, and presence kept as data.

Two things msgspec does not do by itself happen here.

*Construction is a door.* msgspec checks types when it decodes, not when Python code calls
``RawMMItem(...)``. The metaclass sends such a call through the same conversion as decoding,
so a struct that exists has the right shape. Decoding does not pass the metaclass and pays
nothing for it.

*Absent is not null.* An optional field without a default holds ``UNSET`` while its property
is absent, so that a document is written back with the properties it came with. Reading such
a field gives None.
"""

from __future__ import annotations

from abc import ABC
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # To a type checker an absent field is None, as it reads.
    Absent: TypeAlias = None
    ABSENT: Any = None
else:
    Absent = UnsetType
    ABSENT = UNSET

EXTRA: Final = "__extra__"
"""Wire name of the field that holds an open object's unknown properties."""


class _Presence:
    """Reads an absent field as None. The slot underneath keeps UNSET."""

    __slots__ = ("_name", "_slot")

    def __init__(self, slot: Any, name: str) -> None:
        self._slot = slot
        self._name = name

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        value = self._slot.__get__(obj, owner)
        return None if value is UNSET else value

    def __set__(self, obj: Any, value: Any) -> None:
        # Where the schema has no null, None can only mean "leave it out".
        kind: Any = type(obj)
        absent = value is None and self._name not in _nullable(kind)
        self._slot.__set__(obj, UNSET if absent else value)


class Hooks:
    """What higher layers provide: how a struct is built, which rules it obeys, who describes it.

    Structs are below the rules, the conversion and the integrations, and must not import them.
    """

    build: ClassVar[Callable[[type[Any], dict[str, Any]], Any]]
    """Turns wire-named values into an instance, or raises a `RawMMError`."""
    check: ClassVar[Callable[[Any], None]]
    """Raises the first broken rule of one struct."""
    pydantic: ClassVar[str] = "rawmm.integrations.pydantic"
    """The module that answers pydantic. It is imported when pydantic asks."""
    forms: ClassVar[str] = "rawmm.upgrades.forms"
    """The module that knows historical forms. It is imported to explain an error."""


class ContractMeta(msgspec.StructMeta):
    """Builds struct classes; see the module's docstring."""

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kw: Any
    ) -> None:
        super().__init__(name, bases, namespace, **kw)
        names, defaults = cls.__struct_fields__, cls.__struct_defaults__
        by_name = dict(zip(names, cls.__struct_encode_fields__, strict=True))
        # The last fields have the defaults. Types are not read here: that takes an import's time.
        for field, default in zip(reversed(names), reversed(defaults), strict=False):
            if default is UNSET and field in cls.__dict__:  # a subclass inherits the others
                type.__setattr__(cls, field, _Presence(cls.__dict__[field], field))
        config = cls.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        type.__setattr__(cls, "__tag__", tag)
        type.__setattr__(cls, "__wire_names__", by_name)
        type.__setattr__(cls, "__open__", EXTRA in by_name.values())
        type.__setattr__(cls, "__known__", frozenset(by_name.values()) - {EXTRA})

    if not TYPE_CHECKING:  # to a type checker a call makes an instance, of the fields as they are

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            """Build a struct, as strictly as a decoder does."""
            return Hooks.build(cls, _bind(cls, args, kwargs))


def _bind(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Call arguments as wire-named values, constants filled in."""
    names: dict[str, str] = cls.__wire_names__
    if len(args) > len(names):
        msg = f"{cls.__name__}() takes {len(names)} fields, {len(args)} were given"
        raise TypeError(msg)
    values: dict[str, Any] = cls.__tag__ | cls.__filled__
    for name, value in (*zip(names, args, strict=False), *kwargs.items()):
        if value is UNSET or (value is None and name in names and _drops_none(cls, name)):
            continue
        values[names.get(name, name)] = value
    return values


@cache
def _nullable(cls: Any) -> frozenset[str]:
    """Names of the fields that null is a value of."""
    return frozenset(
        field.name
        for field in msgspec.structs.fields(cls)
        if field.type is Any or {type(None), Any} & set(getattr(field.type, "__args__", ()))
    )


def _drops_none(cls: Any, name: str) -> bool:
    return isinstance(cls.__dict__.get(name), _Presence) and name not in _nullable(cls)


class Contract(
    msgspec.Struct,
    metaclass=ContractMeta,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    weakref=True,
):
    """Base of the generated structs."""

    __filled__: ClassVar[dict[str, Any]] = {}
    """Values the constructor fills in where none is given: the schema leaves no other choice."""
    __json_fields__: ClassVar[tuple[str, ...]] = ()
    """Fields that hold free JSON objects."""
    __wire_fields__: ClassVar[tuple[str, ...]] = ()
    """Fields that hold free values of an open record: any that the wire has."""
    __descriptor_fields__: ClassVar[tuple[str, ...]] = ()
    """Fields that hold free JSON values under the rules of a descriptor."""
    __float_fields__: ClassVar[tuple[str, ...]] = ()
    """Fields that hold numbers: one, or lists or dicts of them."""
    __rules__: ClassVar[tuple[str, ...]] = ()
    """Names of the rules beyond shape that the schema lists for the type."""
    __tag__: ClassVar[dict[str, Any]]
    """Wire name and value of the tag, where the type has one."""
    __wire_names__: ClassVar[dict[str, str]]
    __open__: ClassVar[bool]
    """Whether properties that the schema does not know are kept, in the field `extra`."""
    __known__: ClassVar[frozenset[str]]
    """Wire names of the properties that the schema knows."""

    # Only pydantic asks for these two. What answers it is loaded then, and not before.

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
        return import_module(Hooks.pydantic).core_schema_of(cls, handler)

    @property
    def __pydantic_serializer__(self) -> Any:
        try:
            integration = import_module(Hooks.pydantic)
        except ModuleNotFoundError as error:  # what looks through all attributes goes on
            raise AttributeError(str(error)) from error
        return integration.serializer_of(type(self))


class Ruled(Contract):
    """Base of the structs with rules beyond shape: checked wherever one comes to be."""

    def __post_init__(self) -> None:
        """Check the rules. msgspec calls this after decoding, too."""
        Hooks.check(self)


class OneOf(ABC):  # noqa: B024  (abstract so that members can be registered)
    """A union of objects without a tag, which msgspec cannot hold as a type of its own.

    The decoder hands the plain object to `choose`; members are virtual subclasses.
    """

    members: ClassVar[tuple[type[Contract], ...]] = ()

    @classmethod
    def choose(cls, value: dict[str, Any]) -> type[Contract]:
        """The member with the most required fields present in `value`."""
        return max(cls.members, key=lambda m: sum(f in value for f in m.__wire_names__.values()))


if TYPE_CHECKING:
    Extra: TypeAlias = dict[str, Any]
else:

    class Extra(dict):
        """The unknown properties of an open object.

        Were the field a `dict` to msgspec, a document could fill it under its internal name. No
        decoder makes an `Extra`.
        """

        __slots__ = ()


def own_fields(struct: Contract) -> dict[str, Any]:
    """Each present field of `struct` by its wire name, in order; its tag first."""
    values = msgspec.structs.astuple(struct)
    return type(struct).__tag__ | {
        name: value
        for name, value in zip(struct.__struct_encode_fields__, values, strict=True)
        if value is not UNSET
    }


def wire_fields(struct: Contract) -> Iterator[tuple[str, Any]]:
    """`own_fields` as they are written: unknown properties beside the known ones."""
    for name, value in own_fields(struct).items():
        if name == EXTRA and issubclass(type(value), dict):
            yield from value.items()
        else:
            yield name, value
