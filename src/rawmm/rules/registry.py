"""The registry: every rule by its name in the schemas, and the rules of each struct class.

Importing fails if the schemas name a rule that no subject defines, or the other way round.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from rawmm.model.types import TYPES
from rawmm.rules import free_json, graph, media, nodes, numbers, outputs, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawmm.errors import Path, RawMMError
    from rawmm.model.types import Contract
    from rawmm.rules.rule import Rule

_SUBJECTS: Final = (free_json, graph, media, nodes, numbers, outputs, packed)
"""Modules with a tuple `RULES`."""


class Registry:
    """Rules by name, and those of each struct class.

    Raises:
        LookupError: two rules have one name, a class lists a rule that does not exist, or no class
            lists one that does.
    """

    def __init__(self, rules: Iterable[Rule], kinds: Iterable[type[Contract]]) -> None:
        self.rules: dict[str, Rule] = {}
        for rule in rules:
            if self.rules.setdefault(rule.name, rule) is not rule:
                msg = f"two rules are named {rule.name}"
                raise LookupError(msg)
        self._fast: dict[type[Any], tuple[Callable[[Any], bool], ...]] = {}
        for kind in kinds:
            self._fast[kind] = tuple(rule.fast() for rule in self.of(kind))
        listed = {name for kind in self._fast for name in kind.__rules__}
        if unused := sorted(self.rules.keys() - listed):
            msg = f"no type lists the rules {', '.join(unused)}"
            raise LookupError(msg)

    def of(self, kind: type[Contract]) -> tuple[Rule, ...]:
        """The rules of a struct class, in the order in which it lists them."""
        if unknown := sorted(set(kind.__rules__) - self.rules.keys()):
            msg = f"{kind.__name__} lists the rules {', '.join(unknown)}, which are not defined"
            raise LookupError(msg)
        return tuple(self.rules[name] for name in kind.__rules__)

    def hold(self, struct: Any) -> bool:
        """Fast check of all rules of a struct. If it fails, call `errors` for details."""
        try:
            checks = self._fast[type(struct)]
        except KeyError:  # a subclass
            kind = type(struct)
            checks = self._fast[kind] = tuple(rule.fast() for rule in self.of(kind))
        for check in checks:  # noqa: SIM110  (a generator costs as much as a fast check)
            if not check(struct):
                return False
        return True

    def errors(self, struct: Any, path: Path) -> Iterator[RawMMError]:
        """The broken rules of one struct, without those of the structs in it."""
        for rule in self.of(type(struct)):
            yield from rule.errors(struct, path)


REGISTRY: Final = Registry(
    chain.from_iterable(subject.RULES for subject in _SUBJECTS), TYPES.values()
)
RULES: Final = REGISTRY.rules
rules_hold: Final = REGISTRY.hold
own_errors: Final = REGISTRY.errors
