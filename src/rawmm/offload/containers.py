"""The containers that messages are made of, behind one interface.

Dicts, lists, tuples, msgspec Structs, pydantic models and dataclasses differ in how a field
is read, set, and replaced in a copy when the container is frozen. pydantic is recognised by
``model_fields`` on the type; it is never imported.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import OrderedDict, UserList, deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm._contract import EXTRA
from rawmm.errors import OffloadError, raise_alone, shown
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Undo = Callable[[], None]

REMOVED: Final = object()
"""As a new value in a dict: the key goes."""

SCALARS: Final = frozenset({str, int, float, bool, type(None), bytes})
"""Types that hold no image part; token arrays are made of them."""


class Container:
    """How one kind of container is read and changed. Stateless."""

    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        """Keys (dict keys, indices or attribute names) and values, in document order."""
        raise NotImplementedError

    def get(self, _value: Any, _name: str) -> Any:
        """A field by its name in JSON, or None."""
        return None

    def key_of(self, _value: Any, name: str) -> str:
        """The key of a field that `get` finds by its name in JSON."""
        return name

    def path_key(self, _value: Any, key: Any) -> str | int | None:
        """A key as it stands in a JSON path; None if it does not."""
        return str(key)

    def is_frozen(self, _value: Any, _key: Any) -> bool:
        """Whether `key` can only be changed in a copy."""
        return False

    def apply(self, value: Any, changes: Mapping[Any, Any], undo: list[Undo]) -> None:
        """Change in place. What restores the value is appended before each change."""
        raise NotImplementedError

    def rebuilt(self, _value: Any, _changes: Mapping[Any, Any]) -> Any:
        """A shallow copy with changes. Raises TypeError if the type allows none."""
        raise TypeError


class _Dict(Container):
    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        return list(value.items())

    def get(self, value: Any, name: str) -> Any:
        # Not value.get: a defaultdict and its like are not to be filled.
        return value[name] if name in value else None  # noqa: SIM401

    def apply(self, value: Any, changes: Mapping[Any, Any], undo: list[Undo]) -> None:
        before = list(value.items())
        # Past what a subclass overrides: taking back must not be refused.
        base = OrderedDict if is_a(value, OrderedDict) else dict

        def restore() -> None:
            # Cleared first, so that the order of the keys is restored as well.
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
        return () if SCALARS.issuperset(map(type, value)) else enumerate(value)

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
    """Another mapping, or an array that is no list: what it holds is changed, not the container."""

    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        try:
            return self._read(value)
        except Exception:  # noqa: BLE001  (another's code raises anything)
            raise_alone(
                OffloadError(
                    "wrong_type",
                    expected="a container that can be read",
                    got=f"{shown(value)} that raises",
                    hint="pass dicts and lists",
                )
            )

    def get(self, value: Any, name: str) -> Any:
        return next((item for key, item in self.items(value) if key == name), None)

    def is_frozen(self, _value: Any, _key: Any) -> bool:
        return True

    def _read(self, value: Any) -> list[tuple[Any, Any]]:
        raise NotImplementedError


class _Mapping(_Fixed):
    def _read(self, value: Any) -> list[tuple[Any, Any]]:
        return [(key, value[key]) for key in value]


class _Elements(_Fixed):
    def get(self, _value: Any, _name: str) -> Any:
        return None

    def _read(self, value: Any) -> list[tuple[Any, Any]]:
        return [] if SCALARS.issuperset(map(type, value)) else list(enumerate(value))

    def path_key(self, _value: Any, key: Any) -> str | int:
        return int(key)


class _Object(Container):
    """What has named attributes."""

    def force(self, value: Any, name: str, new: Any) -> None:
        """Set an attribute past any check."""
        object.__setattr__(value, name, new)

    def get(self, value: Any, name: str) -> Any:
        return next((item for key, item in self.items(value) if key == name), None)

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

    def get(self, value: Any, name: str) -> Any:
        config = value.__struct_config__
        if config.tag_field == name:
            return config.tag
        known = name in value.__struct_encode_fields__
        return _field(value, self.key_of(value, name)) if known else None

    def key_of(self, value: Any, name: str) -> str:
        return str(value.__struct_fields__[value.__struct_encode_fields__.index(name)])

    def path_key(self, value: Any, key: Any) -> str | int | None:
        position = value.__struct_fields__.index(key)
        name = str(value.__struct_encode_fields__[position])
        # The unknown properties of an open struct stand beside its fields.
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
    """A pydantic model. Its extra fields are in a dict of their own."""

    def items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        fields = value.__dict__
        declared = [(name, fields[name]) for name in type(value).model_fields if name in fields]
        return [*declared, *(value.model_extra or {}).items()]

    def is_frozen(self, value: Any, key: Any) -> bool:
        field = type(value).model_fields.get(key)
        return bool(type(value).model_config.get("frozen") or (field and field.frozen))

    def apply(self, value: Any, changes: Mapping[Any, Any], undo: list[Undo]) -> None:
        # Not through setattr: a validator that refuses may already have changed the model.
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
    """How a value is read and changed; None if it holds no image parts."""
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
