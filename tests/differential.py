"""Compares the answers of the C part with the Python rules, in every test.

RAWMM_DIFFERENTIAL=1 turns it on. The C part may accept only what Python accepts. Each difference
fails the run.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm import native
from rawmm.model.kinds import schema_of
from rawmm.model.types import Contract, PackedStream
from rawmm.rules import own_errors
from rawmm.validation import revalidate, shape_errors
from rawmm.values.extras import merge_extras
from rawmm.values.payload import Mode, is_clean
from rawmm.values.wire_classes import packed_type

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS: Final[Counter[str]] = Counter()
"""Numbers of questions and of answers."""
APART: Final[list[str]] = []
"""Structs that C accepted and Python did not."""


class _State(threading.local):
    asking = False


_STATE: Final = _State()


def install() -> None:
    """Observe every answer of this process."""
    if native.observe is not None:
        native.observe(_ask_both)


def remove() -> None:
    """Stop observing."""
    if native.observe is not None:
        native.observe(None)


def _ask_both(struct: Any, question: str, answer: int) -> None:
    if _STATE.asking:
        return
    ANSWERS[f"asked about {question}"] += 1
    if not answer:
        return
    ANSWERS[f"yes to {question}"] += 1
    _STATE.asking = True
    native.enable(False)
    try:
        if question == "rules":
            problem = _rules_problem(struct)
        elif question == "shape":
            problem = _shape_problem(struct)
        else:
            problem = _problem(struct, answer)
    except Exception as error:  # noqa: BLE001  (Python did not accept it)
        problem = repr(error)
    finally:
        native.enable(True)
        _STATE.asking = False
    if problem:
        APART.append(f"{type(struct).__name__}, {question}: {problem}")
        raise AssertionError(APART[-1])


def _rules_problem(struct: Any) -> str | None:
    """Why Python would not accept a new struct as it is."""
    for error in own_errors(struct, ()):
        return str(error)
    for names, mode in (
        (struct.__descriptor_fields__, Mode.DESCRIPTOR),
        (struct.__json_fields__, Mode.JSON),
        (struct.__wire_fields__, Mode.WIRE),
        (struct.__wire_fields__, Mode.TEXT),
    ):
        for name in names:
            value = getattr(struct, name)
            if value is not None and not is_clean(value, mode):
                return f"{name} is not plain"
    return None


def _shape_problem(struct: Any) -> str | None:
    """Why a decoder with the classes of the contract would not build a struct."""
    kind: Any = type(struct)
    for error in shape_errors(struct, schema_of(kind), ()):
        return str(error)
    return None


def _problem(struct: Any, answer: int) -> str | None:
    """Why Python would not write a struct as it is, or sees something else in it."""
    revalidate(struct)
    seen = 1
    if merge_extras(struct) is not struct:
        seen |= native.HAS_EXTRA
    for stream in _streams(struct):
        seen |= native.HAS_PACKED if type(stream) is not list else native.HAS_LISTS
    return None if seen == answer else f"{answer}, and Python sees {seen}"


def _streams(value: Any) -> Iterator[Any]:
    """Each per-token stream in a struct, and the struct if it is a packed one."""
    if isinstance(value, Contract) and not isinstance(value, PackedStream):
        for field in msgspec.structs.fields(type(value)):
            child = getattr(value, field.name)
            if not packed_type(field.type):
                yield from _streams(child)
            elif child is not None:
                yield from child.values() if type(child) is dict else [child]
    elif type(value) in (list, dict):
        for child in value.values() if type(value) is dict else value:
            yield from _streams(child)


def report() -> str:
    """The counts in one line."""
    counts = ", ".join(f"{number:,} {name}" for name, number in sorted(ANSWERS.items()))
    return f"C and Python: {counts or 'nothing asked'}; {len(APART)} apart"
