"""Every rule beyond shape, by the name that the schemas list it under.

A rule is one `Rule`, in the module of its subject. A struct has those of its class, as the
generated ``__rules__`` names them, and is asked for each of them wherever it comes to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.model.types import TYPES
from rawmm.rules.free_json import FREE_JSON, PAYLOAD, WIRE_VALUES
from rawmm.rules.graph import GRAPH
from rawmm.rules.media import FEATURES, IMAGE_REF, IMAGE_REFS, LOCATOR, REF, SIDECAR
from rawmm.rules.nodes import IMAGES, STREAMS
from rawmm.rules.numbers import FINITE
from rawmm.rules.packed import ARRAY_SIZE, PACKED, SAMPLING_MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawmm.errors import RawMMError
    from rawmm.model.types import Contract
    from rawmm.rules.rule import Rule

    Path = tuple[str | int, ...]


class Registry:
    """Rules by name, and those of each struct class.

    Raises:
        LookupError: a class lists a rule that is not there, or no class lists one that is.
    """

    def __init__(self, rules: Iterable[Rule], kinds: Iterable[type[Contract]]) -> None:
        self.rules = {rule.name: rule for rule in rules}
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
        """Broken rules of one struct, without those of the structs in it."""
        for rule in self.of(type(struct)):
            yield from rule.errors(struct, path)


REGISTRY: Final = Registry(
    (
        PAYLOAD, FREE_JSON, WIRE_VALUES, FINITE, PACKED, ARRAY_SIZE, SAMPLING_MASK,
        LOCATOR, SIDECAR, FEATURES, REF, IMAGE_REF, IMAGE_REFS, STREAMS, IMAGES, GRAPH,
    ),
    TYPES.values(),
)  # fmt: skip
RULES: Final = REGISTRY.rules
rules_hold: Final = REGISTRY.hold
own_errors: Final = REGISTRY.errors
