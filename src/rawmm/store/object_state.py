"""Read the complete state of any Python object: keys, fields, attributes, properties.

The garbage collector needs every value that could name an image, whatever the class of the object.
`rawmm.offload.containers` is different: it finds and changes the fields that hold image parts.
"""

from __future__ import annotations

import datetime as dt
import enum
import numbers
import sys
from collections import UserString, deque
from collections.abc import Iterable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from functools import cached_property, lru_cache, partial
from itertools import chain
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from rawmm.errors import shown
from rawmm.model.base import EXTRA
from rawmm.real_class import is_a
from rawmm.store.written_forms import written_forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCALARS: Final = (
    numbers.Number, type(None), msgspec.UnsetType,
    dt.date, dt.time, dt.timedelta,  # of MessagePack, and of models
)  # fmt: skip
"""Types of values that contain no text."""

_NUMERIC: Final = frozenset({*"?bBhHiIlLqQnNefdgcs", "Ze", "Zf", "Zd", "Zg"})
"""Formats of buffers whose elements are numbers or bytes."""
_PLAIN: Final = frozenset({dict, list, tuple, set, frozenset})
_CLASS_DATA: Final = (str, bytes, dict, list, tuple, set, frozenset)
_LIBRARIES: Final = sys.stdlib_module_names | {"builtins", "msgspec", "pydantic", "rawmm"}
"""Packages whose properties are ignored: they only repeat the state, or describe the class.

Some never end: the parent of a path has a parent.
"""
_POINTER: Final = object.__basicsize__ // 2


class Member(NamedTuple):
    """A value that belongs to an object.

    Attributes:
        value: the value.
        name: its key, index or attribute; None if it has the path of the object itself.
        field: the name of the field whose value it is, if any.
        computed: whether it was created by reading it.
    """

    value: Any
    name: str | int | None
    field: str | None = None
    computed: bool = False


class UnreadableError(Exception):
    """The state of an object cannot be read. `name` is the attribute that failed, if any."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.name = name


def buffer_bytes(value: Any) -> bytes | None:
    """Return the bytes of a buffer of numbers, or None for an object that is not a buffer.

    Raises:
        UnreadableError: the elements are pointers, records or wide characters.
    """
    try:
        view = memoryview(value)
    except TypeError:
        return None
    except (ValueError, BufferError):
        view = None
    if view is None:
        raise UnreadableError
    with view:
        if view.format.lstrip("@=<>!0123456789") not in _NUMERIC:
            raise UnreadableError
        return view.tobytes()


def url_text(value: Any) -> str | None:
    """Return the text of one of pydantic's compiled URLs, or None for any other object."""
    kind = type(value)
    compiled = kind.__module__.partition(".")[0] == "pydantic_core"
    return str(value) if compiled and kind.__name__ in {"Url", "MultiHostUrl"} else None


def members(value: Any, *, is_text: bool) -> Iterator[Member]:
    """Yield every value of an object: elements, attributes, and the results of its properties.

    Args:
        value: the object.
        is_text: whether the caller has read the object as text or bytes. Then its elements are
            left out.

    Raises:
        UnreadableError: the object has state that Python cannot see, or reading it fails.
    """
    kind = type(value)
    elements = () if is_text else _elements(value)
    if elements is not None:
        yield from elements
    if kind in _PLAIN:
        return
    if is_a(value, enum.Enum):
        yield from (Member(value.value, None), Member(value.name, None))
        return
    layout: _Layout = _layout_of(kind)  # type: ignore[arg-type]  # every class can be hashed
    if is_a(value, msgspec.Struct):
        yield from _struct_fields(value)
        layout = layout._replace(slots={})
    elif elements is not None:
        layout = layout._replace(slots=layout.own_slots)  # skip those of libraries
    elif not layout.is_visible:
        raise UnreadableError
    yield from _attributes(value, layout)


def _elements(value: Any) -> Iterable[Member] | None:
    """Return the elements of a container, () for numbers, and None for any other object."""
    if is_a(value, (UserString, *SCALARS)):  # the text of a UserString is an attribute
        return ()
    if is_a(value, Mapping):
        stored = _pairs(dict.items(value)) if is_a(value, dict) else []
        if type(value) is dict:
            return stored
        # A subclass may return other items.
        return chain(stored, _shown_by(value, lambda: _pairs(value.items())))
    if is_a(value, Sequence | AbstractSet | ValuesView | deque):
        shown_items = _shown_by(value, lambda: _items(value))
        if is_a(value, list) and type(value) is not list:
            return chain(shown_items, _items(list.__iter__(value)))
        if is_a(value, tuple) and type(value) is not tuple:
            return chain(shown_items, _items(tuple.__iter__(value)))
        return shown_items
    return None


def _shown_by(value: Any, get: Callable[[], Iterator[Member]]) -> list[Member]:
    """Return the members that a container returns.

    A container of a user's class may create new objects on each call, each of which creates more,
    without end. Members that differ between two calls are marked as computed.
    """
    members: list[Member] = _read(lambda: list(get()))
    if type(value).__module__.partition(".")[0] in _LIBRARIES:
        return members
    again = _read(lambda: [member.value for member in get()])
    kept = {id(each) for each in again}
    return [
        member._replace(computed=id(member.value) not in kept and not _is_plain(member.value))
        for member in members
    ]


def _is_plain(value: Any) -> bool:
    return type(value) in {str, bytes} or is_a(value, SCALARS)


def _items(items: Iterable[Any]) -> Iterator[Member]:
    return (Member(item, index) for index, item in enumerate(items))


def _pairs(pairs: Iterable[tuple[Any, Any]]) -> Iterator[Member]:
    for key, item in pairs:
        name = key if is_a(key, str) else shown(key)
        yield Member(key, name)
        yield Member(item, name, name)


def _struct_fields(value: msgspec.Struct) -> Iterator[Member]:
    for attribute, name in zip(
        value.__struct_fields__, value.__struct_encode_fields__, strict=True
    ):
        item = getattr(value, attribute, None)
        # The extra properties of an open struct are siblings of its fields in JSON.
        yield Member(item, None if name == EXTRA else name, name)


class _Layout(NamedTuple):
    """Where objects of a class keep their state.

    Attributes:
        slots: descriptors of the slots.
        own_slots: the slots that no library class defines.
        computed: properties and cached properties.
        constants: data in the class.
        is_visible: whether slots and ``__dict__`` hold the complete state.
    """

    slots: dict[str, Any]
    own_slots: dict[str, Any]
    computed: dict[str, Any]
    constants: list[tuple[str, Any]]
    is_visible: bool


@lru_cache(maxsize=1024)
def _layout_of(kind: type) -> _Layout:
    slots: dict[str, Any] = {}
    own_slots: dict[str, Any] = {}
    computed: dict[str, Any] = {}
    constants: list[tuple[str, Any]] = []
    visible = kind.__itemsize__ == 0 and not issubclass(kind, type)
    for base in reversed(kind.__mro__[:-1]):
        own = vars(base)
        members = {name: item for name, item in own.items() if type(item) is MemberDescriptorType}
        slots |= members
        parent = base.__base__ or object
        room = len(members) + ("__dict__" in own) + ("__weakref__" in own)
        visible &= base.__basicsize__ - parent.__basicsize__ <= room * _POINTER
        if base.__module__.partition(".")[0] in _LIBRARIES:
            continue
        own_slots |= members
        for name, item in own.items():
            computed.pop(name, None)
            if isinstance(item, property | cached_property):
                computed[name] = item
            elif isinstance(item, _CLASS_DATA) and not name.startswith(("__", "model_")):
                constants.append((name, item))
    # The size of a C type reveals hidden state. A bare object() has none.
    return _Layout(slots, own_slots, computed, constants, visible and kind is not object)


def _attributes(value: Any, layout: _Layout) -> Iterator[Member]:
    own = getattr(value, "__dict__", {})
    for name, item in list(own.items()):
        yield Member(item, name, name)
    for name, slot in layout.slots.items():
        if name in {"__dict__", "__weakref__"}:
            continue
        try:
            item = slot.__get__(value, type(value))
        except AttributeError:  # never set
            continue
        if name.startswith("__pydantic_"):
            if is_a(item, dict):  # extra fields, private attributes
                yield Member(item, None)
            continue
        yield Member(item, name, name)
    for write in written_forms(value):
        yield Member(_read(write), None, computed=True)
    for name, item in layout.constants:
        yield Member(item, name, name)
    for name, descriptor in layout.computed.items():
        if name in own:
            continue
        try:
            item = _read(partial(_getter(descriptor), value), name)
        except UnreadableError:
            # Many properties raise if there is nothing to return, such as the last message of an
            # empty record. A computed field, however, is serialized with its record.
            if name in _computed_fields(value):
                raise
            continue
        yield Member(item, name, name, computed=True)


def _computed_fields(value: Any) -> Iterable[str]:
    """Return the computed fields of a pydantic model."""
    decorators = getattr(type(value), "__pydantic_decorators__", None)
    return getattr(decorators, "computed_fields", ())


def _getter(descriptor: property | cached_property[Any]) -> Any:
    """Return a getter that does not store the value of a cached property in the object."""
    if isinstance(descriptor, cached_property):
        return descriptor.func
    return descriptor.fget or (lambda _: None)


def _read(get: Callable[[], Any], name: str | None = None) -> Any:
    failed = False
    result = None
    try:
        result = get()
    except Exception:  # noqa: BLE001  (foreign code; its text may quote the record)
        failed = True
    if failed:
        raise UnreadableError(name)
    return result
