"""The C part: checks that only say yes. `rawmm.native` loads it."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

def post_init(struct: Any, /) -> None:
    """Check the rules of a new struct; where C does not say yes, ask its `__check_rules__`."""

def valid(struct: Any, /) -> int:
    """Whether a struct obeys the schema and every rule: 0 if Python has to look.

    2 if so and an open object in it has unknown properties, else 1.
    """

def set_up(
    *,
    kinds: Mapping[str, tuple[type, tuple[tuple[str, Any], ...]]],
    unset: Any,
    extra: type,
    checks: ContextVar[Any],
    by_itself: Any,
    in_messages: dict[str, Any],
    token_types: dict[int, str],
    image: Any,
    digest: str,
) -> bool:
    """Give the classes and tables to the C code. False if it cannot use them.

    Args:
        kinds: for each struct of the tables, its class, and the slot of each field in order.
        unset: the value of an absent field.
        extra: the class of unknown properties.
        checks: the variable of `MediaChecks`.
        by_itself: its default.
        in_messages: the modalities of content parts.
        token_types: the modalities by type of token.
        image: the entry of images in `in_messages`.
        digest: `TABLES_DIGEST` of the generated structs.
    """

def observe(observer: Callable[[Any, str, int], object] | None, /) -> None:
    """Call a function with each struct that is asked for, the question and the answer."""

def enable(flag: bool, /) -> None:
    """Whether to check in C. Tests and measurements switch it off to ask Python alone."""
