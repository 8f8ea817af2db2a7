"""Validates structs again before they are used, because code may have assigned to their fields.

msgspec checks a struct when it decodes or converts one, not when code assigns to a field. For each
struct class, `_Compiler` writes a function from msgspec's own description of the fields' types. It
accepts the exact types that decoding returns. If a struct holds anything else, it is checked
against the schema, which is slower and accepts what the constructor does, such as tuples.
"""

from __future__ import annotations

import re
import threading
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec import UNSET, inspect

from rawmm.errors import RawMMError
from rawmm.model.base import Extra, OneOf
from rawmm.model.kinds import added_fields, schema_of
from rawmm.model.types import Contract, PackedStream
from rawmm.native import COMPILED, valid
from rawmm.rules import own_errors, rules_hold
from rawmm.validation.convert import dec_hook, made_plain, to_struct
from rawmm.validation.explain import shape_errors
from rawmm.validation.unconverted import unconverted_values
from rawmm.values.extras import value_errors
from rawmm.values.fields import iter_children
from rawmm.values.plain import to_plain
from rawmm.values.views import LEAVES

if TYPE_CHECKING:
    from collections.abc import Callable


def revalidate(value: Any) -> None:
    """Validate every struct in `value` again.

    Raises:
        msgspec.ValidationError: a shape or a rule is broken. Call `errors_at` for details.
    """
    kind = type(value)
    if issubclass(kind, Contract):
        _revalidate_struct(value)
    elif issubclass(kind, dict):
        for child in dict.values(value):
            if type(child) not in LEAVES:
                revalidate(child)
    elif issubclass(kind, (list, tuple)) and value and type(value[0]) not in LEAVES:
        for child in value:
            if type(child) not in LEAVES:
                revalidate(child)


class _SlowChecks(threading.local):
    """The number of structs of this thread that were checked slowly."""

    count = 0


_SLOW: Final = _SlowChecks()


def _revalidate_struct(struct: Contract) -> None:
    """Validate a struct, by base values if any value in it is not of an exact type.

    Rules compare values. A subclass of `str` may compare as it likes, or raise.
    """
    kind = type(struct)
    before = _SLOW.count
    try:
        _CHECKS[kind](struct)
    except _BrokenRuleError:
        if _SLOW.count == before:
            raise
    except (msgspec.ValidationError, RecursionError, RawMMError):
        raise
    except Exception:
        if _SLOW.count == before:
            raise
    if _SLOW.count != before:
        to_struct(to_plain(struct, kind, open_structs=True), kind)


class _BrokenRuleError(msgspec.ValidationError):
    """A rule is broken, by the values as they compare."""


def _check_slowly(struct: Any) -> None:
    """Check a struct against its schema and rules. The compiled checks fall back to this."""
    _SLOW.count += 1
    kind: type[Contract] = type(struct)
    for _ in chain(shape_errors(struct, schema_of(kind), ()), unconverted_values(struct, ())):
        raise msgspec.ValidationError
    if added := added_fields(kind):  # the schema does not know the fields that a subclass adds
        for field in msgspec.structs.fields(kind):
            if field.encode_name in added and (value := getattr(struct, field.name)) is not None:
                plain, _ = made_plain(value, field.type)
                msgspec.convert(plain, field.type, dec_hook=dec_hook)
    for _, child in iter_children(struct):
        revalidate(child)


def _check_rules(struct: Any) -> None:
    for _ in own_errors(struct, ()):
        raise _BrokenRuleError


def _check_packed(stream: Any) -> None:
    """Check a packed stream. Its rule covers all of its fields."""
    if not valid(stream) and not rules_hold(stream):
        _check_slowly(stream)


def _check_subclass(value: Any, kinds: tuple[type[Contract], ...]) -> bool:
    """Check `value` if its class extends one of `kinds` without new fields; else return False."""
    kind = type(value)
    if not issubclass(kind, kinds) or added_fields(kind):
        return False
    _CHECKS[kind](value)
    return True


def _extends(extra: Any, known: frozenset[str]) -> bool:
    """Whether `extra` can be written beside the properties `known`."""
    return (
        issubclass(type(extra), dict)
        and known.isdisjoint(extra)
        and not any(True for _ in value_errors(extra))
    )


class _Checks(dict[type[Contract], "Callable[[Any], None]"]):
    """The checks by struct class, compiled on first use."""

    def __missing__(self, kind: type[Contract]) -> Callable[[Any], None]:
        check = _check_packed if issubclass(kind, PackedStream) else _Compiler(kind).function()
        self[kind] = check
        return check


_CHECKS: Final = _Checks()
_NUMBERS: Final = (inspect.BoolType, inspect.IntType, inspect.FloatType)
_FALL_BACK: Final = "return check_slowly(struct)"
_DESCRIPTIONS: Final[dict[type[Any], inspect.StructType]] = {}
"""Struct classes as msgspec describes them. The description of a class includes those below it."""


def _field_types(kind: type[Contract]) -> list[inspect.Type]:
    if kind not in _DESCRIPTIONS:
        _DESCRIPTIONS[kind] = cast("inspect.StructType", inspect.type_info(kind))
    return [field.type for field in _DESCRIPTIONS[kind].fields]


class _Compiler:
    """Writes the check of one struct class as Python source."""

    def __init__(self, kind: type[Contract]) -> None:
        self.kind = kind
        self.variable = ""
        """The local variable of the field that is being compiled."""
        self.numeric: set[str] = set()
        """Variables of the fields that may hold lists of numbers."""
        self.names: dict[str, Any] = {
            "CHECKS": _CHECKS,
            "UNSET": UNSET,
            "ValidationError": msgspec.ValidationError,
            "astuple": msgspec.structs.astuple,
            "check_rules": _check_rules,
            "check_slowly": _check_slowly,
            "check_subclass": _check_subclass,
            "convert": msgspec.convert,
            "extends": _extends,
            "rules_hold": rules_hold,
            "valid": valid,
        }

    def function(self) -> Callable[[Any], None]:
        """The check: it returns None, or raises a `msgspec.ValidationError`."""
        fields = {f"f{index}": one for index, one in enumerate(msgspec.structs.fields(self.kind))}
        body: list[str] = []
        types = _field_types(self.kind)
        for (variable, field), kind in zip(fields.items(), types, strict=True):
            self.variable = variable
            body += self.value(kind, variable, optional=field.default is UNSET)
        if self.numeric:
            # One call checks the elements of all lists, in C.
            lists = [(name, fields[name].type, ()) for name in fields if name in self.numeric]
            self.names["Numbers"] = msgspec.defstruct("Numbers", lists)
            body = ["numbers = {}", *body]
            body += ["try:", "    convert(numbers, Numbers)"]
            body += ["except (ValidationError, UnicodeEncodeError):", f"    {_FALL_BACK}"]
        if self.kind.__rules__:
            body += ["if not rules_hold(struct):", "    check_rules(struct)"]
        body = [f"{', '.join(fields)}, = astuple(struct)", *body]
        if COMPILED:
            body = ["if valid(struct):", "    return", *body]
        source = "\n".join(["def check(struct):", *_indented(body)])
        exec(compile(source, f"<check of {self.kind.__name__}>", "exec"), self.names)  # noqa: S102
        return cast("Callable[[Any], None]", self.names["check"])

    def bind(self, value: Any) -> str:
        """A global name for a constant."""
        name = f"C{len(self.names)}"
        self.names[name] = value
        return name

    def value(
        self, kind: inspect.Type, name: str, *, optional: bool = False, depth: int = 0
    ) -> list[str]:
        """Statements that check the value of a variable."""
        members = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        if any(isinstance(member, inspect.AnyType) for member in members):
            return []  # a rule checks it
        cases = [(f"{name} is UNSET", ["pass"])] if optional else []
        structs: list[type[Contract]] = []
        for member in members:
            if isinstance(member, inspect.StructType) and issubclass(member.cls, Contract):
                structs.append(member.cls)
                _DESCRIPTIONS.setdefault(member.cls, member)
            elif isinstance(member, inspect.CustomType) and issubclass(member.cls, OneOf):
                structs.extend(member.cls.members)
            elif case := self.case(member, name, depth):
                cases.append(case)
        if structs:
            exact = self.bind(frozenset(structs))
            cases.append((f"type({name}) in {exact}", [f"CHECKS[type({name})]({name})"]))
            cases.append((f"check_subclass({name}, {self.bind(tuple(structs))})", ["pass"]))
        lines: list[str] = []
        for test, body in cases:
            lines += [f"{'elif' if lines else 'if'} {test}:", *_indented(body)]
        return [*lines, "else:", f"    {_FALL_BACK}"] if lines else [_FALL_BACK]

    def case(self, kind: inspect.Type, name: str, depth: int) -> tuple[str, list[str]] | None:
        """A test for values of a type, and statements that check what is in them.

        None for a type that no schema has. Fields of that type are checked slowly.
        """
        match kind:
            case inspect.NoneType():
                return f"{name} is None", ["pass"]
            case inspect.BoolType():
                return f"{name} is True or {name} is False", ["pass"]
            case inspect.IntType(gt=None, ge=int(low), lt=None, le=int(high), multiple_of=None):
                return f"type({name}) is int and {low} <= {name} <= {high}", ["pass"]
            case inspect.FloatType(gt=None, ge=None, lt=None, le=None, multiple_of=None):
                return f"type({name}) is float or type({name}) is int", ["pass"]
            case inspect.StrType(min_length=None, max_length=longest, pattern=pattern):
                test = f"type({name}) is str"
                if longest is not None:
                    test += f" and len({name}) <= {longest}"
                if pattern is not None:
                    test += f" and {self.bind(re.compile(pattern).search)}({name})"
                return test, ["pass"]
            case inspect.BytesType(min_length=None, max_length=None):
                return f"type({name}) is bytes", ["pass"]
            case inspect.LiteralType(values=values):
                types = self.bind(frozenset(map(type, values)))
                return f"type({name}) in {types} and {name} in {self.bind(frozenset(values))}", [
                    "pass"
                ]
            case inspect.ListType(item_type=element) if isinstance(element, _NUMBERS):
                self.numeric.add(self.variable)
                test = f"type({name}) is list or type({name}) is tuple"
                return test, [f"numbers[{self.variable!r}] = {self.variable}"]
            case inspect.ListType(item_type=element, min_length=None, max_length=None):
                item = f"item{depth}"
                below = self.value(element, item, depth=depth + 1)
                return f"type({name}) is list", [f"for {item} in {name}:", *_indented(below)]
            case inspect.DictType(min_length=None, max_length=None):
                key, item = f"key{depth}", f"item{depth}"
                below = self.value(kind.key_type, key, depth=depth + 1)
                below += self.value(kind.value_type, item, depth=depth + 1)
                loop = [f"for {key}, {item} in {name}.items():", *_indented(below)]
                return f"type({name}) is dict", loop
            case inspect.CustomType(cls=cls) if cls is Extra:
                return f"extends({name}, {self.bind(self.kind.__known__)})", ["pass"]
        return None


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines or ["pass"]]
