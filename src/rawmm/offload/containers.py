"""One interface to the containers of messages: dicts, lists, tuples, Structs, models, dataclasses.

They differ in how a field is read and set, and in how a frozen container is copied with a changed
field. pydantic models are recognized by ``model_fields`` on the type; pydantic is never imported.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import OrderedDict, UserList, deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm.errors import OffloadError, raise_alone, shown
from rawmm.model.base import EXTRA
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Undo = Callable[[], None]

REMOVED: Final = object()
"""The new value of a dict key that is to be removed."""

SCALARS: Final = frozenset({str, int, float, bool, type(None), bytes})
"""Types of values that have no fields or items."""

NUMBERS: Final = SCALARS - {str, bytes}
"""Types that hold no image, such as the items of token arrays."""


class Container:
    """Reads and changes one kind of container. Stateless."""

    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        """Return keys (dict keys, indices or attribute names) and values, in document order."""
        raise NotImplementedError

    def fields(self, value: Any) -> Mapping[str, Any] | None:
        """Return the fields by their names in JSON, or None if items have indices."""
        return dict(self.items(value))

    def key_of(self, _value: Any, name: Any) -> Any:
        """Return the key of an existing field by its name in JSON."""
        return name

    def path_key(self, _value: Any, key: Any) -> str | int | None:
        """Return a key as it appears in a JSON path, or None if it does not appear."""
        return str(key)

    def is_frozen(self, _value: Any, _key: Any) -> bool:
        """Whether changing `key` requires a copy."""
        return False

    def apply(self, value: Any, changes: Mapping[Any, Any], undo: list[Undo]) -> None:
        """Change the value in place. Appends functions that undo each change before making it."""
        raise NotImplementedError

    def rebuilt(self, _value: Any, _changes: Mapping[Any, Any]) -> Any:
        """Return a shallow copy with changes. Raises TypeError if the type does not allow it."""
        raise TypeError


class _Dict(Container):
    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        return list(value.items())

    def fields(self, value: Any) -> Mapping[str, Any]:
        return value if type(value) is dict else dict(value.items())

    def apply(self, value: Any, changes: Mapping[Any, Any], undo: list[Undo]) -> None:
        before = list(value.items())
        # Bypass the methods of subclasses, which may refuse the undo.
        base = OrderedDict if is_a(value, OrderedDict) else dict

        def restore() -> None:
            # Cleared first, to restore the order of the keys too.
            base.clear(value)
            for key, item in before:
                base.__setitem__(value, key, item)

        undo.append(restore)
        for key, new in changes.items():
            if new is REMOVED:
                del value[key]
            else:
                value[key] = new


class _List(Container):
    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        return () if NUMBERS.issuperset(map(type, value)) else enumerate(value)

    def fields(self, _value: Any) -> None:
        return None

    def key_of(self, _value: Any, name: Any) -> Any:
        return name

    def path_key(self, _value: Any, key: Any) -> str | int:
        return int(key)

    def apply(self, value: Any, changes: Mapping[Any, Any], undo: list[Undo]) -> None:
        before = list(value)
        undo.append(lambda: list.__setitem__(value, slice(None), before))
        for index, new in changes.items():
            value[index] = new


class _Tuple(_List):
    def is_frozen(self, _value: Any, _key: Any) -> bool:
        return True

    def rebuilt(self, value: Any, changes: Mapping[Any, Any]) -> Any:
        items = list(value)
        for index, new in changes.items():
            items[index] = new
        cls = type(value)
        if cls is tuple:
            return tuple(items)
        if hasattr(cls, "_make"):
            return cls._make(items)
        raise TypeError


class _Fixed(Container):
    """A container that cannot be changed itself, although the containers in it can."""

    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        try:
            return self._read(value)
        except Exception:  # noqa: BLE001  (foreign code may raise anything)
            raise_alone(
                OffloadError(
                    "wrong_type",
                    expected="a container that can be read",
                    got=f"{shown(value)}, which raised an exception",
                    hint="pass dicts and lists",
                )
            )

    def is_frozen(self, _value: Any, _key: Any) -> bool:
        return True

    def _read(self, value: Any) -> list[tuple[Any, Any]]:
        raise NotImplementedError


class _Mapping(_Fixed):
    def _read(self, value: Any) -> list[tuple[Any, Any]]:
        return [(key, value[key]) for key in value]


class _Elements(_Fixed):
    def fields(self, _value: Any) -> None:
        return None

    def key_of(self, _value: Any, name: Any) -> Any:
        return name

    def _read(self, value: Any) -> list[tuple[Any, Any]]:
        return [] if NUMBERS.issuperset(map(type, value)) else list(enumerate(value))

    def path_key(self, _value: Any, key: Any) -> str | int:
        return int(key)


class _Object(Container):
    """An object with named attributes."""

    def force(self, value: Any, name: str, new: Any) -> None:
        """Set an attribute, bypassing all checks."""
        object.__setattr__(value, name, new)

    def apply(self, value: Any, changes: Mapping[Any, Any], undo: list[Undo]) -> None:
        before = [(name, getattr(value, name)) for name in changes]

        def restore() -> None:
            for name, old in before:
                self.force(value, name, old)

        undo.append(restore)
        for name, new in changes.items():
            setattr(value, name, new)

    def rebuilt(self, value: Any, changes: Mapping[Any, Any]) -> Any:
        new = copy.copy(value)
        for name, item in changes.items():
            self.force(new, name, item)
        return new


class _Struct(_Object):
    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        return [(name, _field(value, name)) for name in value.__struct_fields__]

    def fields(self, value: Any) -> Mapping[str, Any]:
        config = value.__struct_config__
        tag = {} if config.tag_field is None else {config.tag_field: config.tag}
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        found = ((written, getattr(value, name, None)) for written, name in names)
        return tag | {name: item for name, item in found if item is not msgspec.UNSET}

    def key_of(self, value: Any, name: str) -> str:
        return str(value.__struct_fields__[value.__struct_encode_fields__.index(name)])

    def path_key(self, value: Any, key: Any) -> str | int | None:
        position = value.__struct_fields__.index(key)
        name = str(value.__struct_encode_fields__[position])
        # The extra properties of an open struct are siblings of its fields in JSON.
        return None if name == EXTRA else name

    def is_frozen(self, value: Any, _key: Any) -> bool:
        return bool(value.__struct_config__.frozen)

    def force(self, value: Any, name: str, new: Any) -> None:
        msgspec.structs.force_setattr(value, name, new)


def _field(value: Any, name: str) -> Any:
    item = getattr(value, name, None)
    return None if item is msgspec.UNSET else item


class _Dataclass(_Object):
    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        return [
            (field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)
        ]

    def is_frozen(self, value: Any, _key: Any) -> bool:
        return bool(type(value).__dataclass_params__.frozen)


class _Model(_Object):
    """A pydantic model. Its extra fields are in a separate dict."""

    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        fields = value.__dict__
        declared = [(name, fields[name]) for name in type(value).model_fields if name in fields]
        return [*declared, *(value.model_extra or {}).items()]

    def is_frozen(self, value: Any, key: Any) -> bool:
        field = type(value).model_fields.get(key)
        return bool(type(value).model_config.get("frozen") or (field and field.frozen))

    def apply(self, value: Any, changes: Mapping[Any, Any], undo: list[Undo]) -> None:
        # Saved as a whole, because a validator may change the model before it refuses a value.
        fields, extra = dict(value.__dict__), dict(value.model_extra or {})
        fields_set = set(value.model_fields_set)

        def restore() -> None:
            value.__dict__.clear()
            value.__dict__.update(fields)
            if value.model_extra is not None:
                value.model_extra.clear()
                value.model_extra.update(extra)
            value.model_fields_set.intersection_update(fields_set)

        undo.append(restore)
        for name, new in changes.items():
            setattr(value, name, new)

    def rebuilt(self, value: Any, changes: Mapping[Any, Any]) -> Any:
        return value.model_copy(update=changes)


_MODEL: Final = _Model()
_DATACLASS: Final = _Dataclass()
_MAPPING: Final = _Mapping()
_ELEMENTS: Final = _Elements()
_BY_BASE: Final[tuple[tuple[type, Container | None], ...]] = (
    (dict, _Dict()),
    (list, _List()),
    (tuple, _Tuple()),
    (msgspec.Struct, _Struct()),
    (type, None),
)
_BY_TYPE: Final = {base: container for base, container in _BY_BASE if container is not None}


def container_of(value: object) -> Container | None:
    """Return the interface to a value, or None if it cannot contain image parts."""
    exact = _BY_TYPE.get(type(value))
    if exact is not None:
        return exact
    for base, container in _BY_BASE:
        if is_a(value, base):
            return container
    if is_a(getattr(type(value), "model_fields", None), dict):
        return _MODEL
    if dataclasses.is_dataclass(type(value)):
        return _DATACLASS
    if is_a(value, Mapping):
        return _MAPPING
    return _ELEMENTS if is_a(value, deque | UserList | AbstractSet) else None
