"""Checks structs again before they are used: code may have assigned to them since they were built.

msgspec checks a struct when it decodes or converts one, not when code assigns to a field. The
first check of a class compiles one function from msgspec's own description of its fields. That
function accepts the exact types that decoding gives. Any other value is checked against the
schema, which is slower and accepts what construction accepts, such as tuples and subclasses.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec import UNSET, inspect

from rawmm.model.base import Extra, OneOf
from rawmm.model.kinds import added_fields, schema_of
from rawmm.model.types import Contract, PackedStream
from rawmm.rules import own_errors, rules_hold
from rawmm.validation.convert import dec_hook, made_plain
from rawmm.validation.explain import shape_errors
from rawmm.values.extras import value_errors
from rawmm.values.fields import children, stand_ins
from rawmm.values.plain import LEAVES

if TYPE_CHECKING:
    from collections.abc import Callable

def revalidate(value: Any) -> None:
    """Check every struct in `value` again.

    Raises:
        msgspec.ValidationError: a shape or a rule is broken. Call `errors_at` for details.
    """
    if issubclass(type(value), Contract):
        _CHECKS[type(value)](value)
    elif not (issubclass(type(value), (list, tuple)) and value and type(value[0]) in LEAVES):
        for _, child in children(value):
            if type(child) not in LEAVES:
                revalidate(child)


def _check_slowly(value: Any) -> None:
    """Check a struct that the compiled function does not accept."""
    kind = type(value)
    for _ in chain(shape_errors(value, schema_of(kind), ()), stand_ins(value, ())):
        raise msgspec.ValidationError
    if added := added_fields(kind):  # the schema does not know these
        for field in msgspec.structs.fields(kind):
            if field.encode_name in added and (one := getattr(value, field.name)) is not None:
                msgspec.convert(made_plain(one, field.type), field.type, dec_hook=dec_hook)
    for _, child in children(value):
        revalidate(child)
    _check_rules(value)


def _check_rules(value: Any) -> None:
    for _ in own_errors(value, ()):
        raise msgspec.ValidationError


def _check_packed(value: Any) -> None:
    """Check a packed stream, whose rule covers its fields. The struct itself is frozen."""
    if not rules_hold(value):
        _check_slowly(value)


def _is_unknown_properties(extra: Any, known: frozenset[str]) -> bool:
    """Whether `extra` can be written beside the properties `known`."""
    return (
        issubclass(type(extra), dict) and known.isdisjoint(extra) and not any(value_errors(extra))
    )


def _is_checked_subclass(value: Any, kinds: tuple[type[Contract], ...]) -> bool:
    """Whether `value` is of a subclass that adds no field; if so, check it."""
    kind = type(value)
    if not issubclass(kind, kinds) or added_fields(kind):
        return False
    _CHECKS[kind](value)
    return True


class _Checks(dict[type[Contract], "Callable[[Any], None]"]):
    """The check of each struct class, compiled when it is first needed."""

    def __missing__(self, kind: type[Contract]) -> Callable[[Any], None]:
        check = _check_packed if issubclass(kind, PackedStream) else _Compiler(kind).function()
        self[kind] = check
        return check


_CHECKS: Final = _Checks()
_FALL_BACK: Final = "return check_slowly(value)"


class _Compiler:
    """Writes the check of one struct class as Python source."""

    def __init__(self, kind: type[Contract]) -> None:
        self.kind = kind
        self.place = ""
        """The variable of the field that is being compiled."""
        self.numeric: dict[str, Any] = {}
        """Types of the fields that hold lists of numbers, by their variables."""
        self.names: dict[str, Any] = {
            "CHECKS": _CHECKS,
            "UNSET": UNSET,
            "ValidationError": msgspec.ValidationError,
            "astuple": msgspec.structs.astuple,
            "check_rules": _check_rules,
            "check_slowly": _check_slowly,
            "convert": msgspec.convert,
            "is_checked_subclass": _is_checked_subclass,
            "is_unknown_properties": _is_unknown_properties,
            "rules_hold": rules_hold,
        }

    def function(self) -> Callable[[Any], None]:
        """A function that returns None, or raises a `msgspec.ValidationError`."""
        fields = msgspec.structs.fields(self.kind)
        types = cast("inspect.StructType", inspect.type_info(self.kind)).fields
        body: list[str] = []
        for index, field in enumerate(fields):
            self.place = f"f{index}"
            optional = field.default is UNSET
            body += self.value(types[index].type, self.place, optional=optional)
            if f"numbers[{self.place!r}]" in "".join(body):
                self.numeric[self.place] = field.type
        variables = "".join(f"f{index}, " for index in range(len(fields)))
        body.insert(0, f"{variables}= astuple(value)")
        if self.numeric:
            # One conversion checks the elements of all of them in C.
            lists = [(name, kind, ()) for name, kind in self.numeric.items()]
            self.names["Numbers"] = msgspec.defstruct("Numbers", lists)
            body.insert(0, "numbers = {}")
            body += [
                "try:",
                "    convert(numbers, Numbers)",
                "except (ValidationError, UnicodeEncodeError):",
                f"    {_FALL_BACK}",
            ]
        if self.kind.__rules__:
            body += ["if not rules_hold(value):", "    check_rules(value)"]
        source = "\n".join(["def check(value):", *_indented(body)])
        exec(compile(source, f"<check of {self.kind.__name__}>", "exec"), self.names)  # noqa: S102
        return cast("Callable[[Any], None]", self.names["check"])

    def bind(self, value: Any) -> str:
        """A name for a constant."""
        name = f"C{len(self.names)}"
        self.names[name] = value
        return name

    def value(
        self, kind: inspect.Type, name: str, *, optional: bool = False, depth: int = 0
    ) -> list[str]:
        """Statements that check the variable `name`."""
        members = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        if any(isinstance(member, inspect.AnyType) for member in members):
            return []
        cases = [(f"{name} is UNSET", ["pass"])] if optional else []
        structs: list[type[Contract]] = []
        for member in members:
            if isinstance(member, inspect.StructType) and issubclass(member.cls, Contract):
                structs.append(member.cls)
            elif isinstance(member, inspect.CustomType) and issubclass(member.cls, OneOf):
                structs.extend(member.cls.members)
            elif case := self.case(member, name, depth):
                cases.append(case)
        if structs:
            exact = self.bind(frozenset(structs))
            cases.append((f"type({name}) in {exact}", [f"CHECKS[type({name})]({name})"]))
            cases.append((f"is_checked_subclass({name}, {self.bind(tuple(structs))})", ["pass"]))
        lines: list[str] = []
        for test, body in cases:
            lines += [f"{'elif' if lines else 'if'} {test}:", *_indented(body)]
        return [*lines, "else:", f"    {_FALL_BACK}"] if lines else [_FALL_BACK]

    def case(self, kind: inspect.Type, name: str, depth: int) -> tuple[str, list[str]] | None:
        """A test for the exact type of a value, and what else to check. None if unsupported."""
        match kind:
            case inspect.NoneType():
                return f"{name} is None", ["pass"]
            case inspect.BoolType():
                return f"{name} is True or {name} is False", ["pass"]
            case inspect.FloatType(gt=None, ge=None, lt=None, le=None, multiple_of=None):
                return f"type({name}) is float or type({name}) is int", ["pass"]
            case inspect.IntType(gt=None, ge=int(low), lt=None, le=int(high), multiple_of=None):
                return f"type({name}) is int and {low} <= {name} <= {high}", ["pass"]
            case inspect.StrType(min_length=None):
                test = f"type({name}) is str"
                if kind.max_length is not None:
                    test += f" and len({name}) <= {kind.max_length}"
                if kind.pattern is not None:
                    test += f" and {self.bind(re.compile(kind.pattern).search)}({name})"
                return test, ["pass"]
            case inspect.BytesType(min_length=None, max_length=None):
                return f"type({name}) is bytes", ["pass"]
            case inspect.LiteralType():
                exact = self.bind(frozenset(map(type, kind.values)))
                values = self.bind(frozenset(kind.values))
                return f"type({name}) in {exact} and {name} in {values}", ["pass"]
            case inspect.ListType(item_type=item) if isinstance(item, _NUMBERS):
                test = f"type({name}) is list or type({name}) is tuple"
                return test, [f"numbers[{self.place!r}] = {self.place}"]
            case inspect.ListType(min_length=None, max_length=None):
                item = f"item{depth}"
                below = self.value(kind.item_type, item, depth=depth + 1)
                loop = [f"for {item} in {name}:", *_indented(below)] if below else ["pass"]
                return f"type({name}) is list", loop
            case inspect.DictType(min_length=None, max_length=None):
                key, item = f"key{depth}", f"item{depth}"
                below = self.value(kind.key_type, key, depth=depth + 1)
                below += self.value(kind.value_type, item, depth=depth + 1)
                loop = [f"for {key}, {item} in {name}.items():", *_indented(below)]
                return f"type({name}) is dict", loop
            case inspect.CustomType() if kind.cls is Extra:
                known = self.bind(self.kind.__known__)
                return f"is_unknown_properties({name}, {known})", ["pass"]
        return None


_NUMBERS: Final = (inspect.IntType, inspect.FloatType, inspect.BoolType)


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
