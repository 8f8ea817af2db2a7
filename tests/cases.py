"""Many small cases in one test, because pytest needs more time for a test than they do."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Test = Callable[..., None]


def every(step: int) -> pytest.MarkDecorator:
    """A parameter `step`: a test tries one case of `step`, and each of them if it is slow."""
    whole = pytest.param(1, id="all", marks=pytest.mark.slow)
    return pytest.mark.parametrize("step", [pytest.param(step, id="some"), whole])


SHOWN = 5
"""Failed cases with a traceback; the message names more."""
NAMED = 20


def each(
    names: str | tuple[str, ...], cases: Iterable[Any], *, ids: Any = None
) -> Callable[[Test], Test]:
    """Call a test with each case, as `pytest.mark.parametrize` does, within one test.

    The test runs with all cases, and its failure names those that failed. All cases have the same
    fixtures. Several decorators multiply.
    """
    single = isinstance(names, str) and "," not in names
    own = tuple(names.replace(" ", "").split(",")) if isinstance(names, str) else names
    listed = list(cases)
    if ids is not None and not callable(ids):
        ids = dict(enumerate(ids))

    def named(index: int, case: Any) -> tuple[str, dict[str, Any]]:
        values = case.values if hasattr(case, "marks") else (case,) if single else tuple(case)
        if getattr(case, "id", None) and hasattr(case, "marks"):
            name = case.id
        elif isinstance(ids, dict):
            name = str(ids[index])
        else:
            name = "-".join(map(ids or _name, values))
        return name, dict(zip(own, values, strict=True))

    def decorate(test: Test) -> Test:
        axis = [named(index, case) for index, case in enumerate(listed)]
        inner = getattr(test, "_axes", None)
        function = inspect.unwrap(test) if inner else test
        axes = [*(inner or ()), axis]

        @functools.wraps(function)
        def all_cases(*args: Any, **kwargs: Any) -> None:
            failures = list(_failures(axes, function, args, kwargs))
            if failures:
                total = math.prod(map(len, axes))
                which = ", ".join(name for name, _ in failures[:NAMED])
                raise BaseExceptionGroup(
                    f"{len(failures)} of {total} cases failed: {which}",
                    [error for _, error in failures[:SHOWN]],
                )

        signature = inspect.signature(test)
        kept = [one for name, one in signature.parameters.items() if name not in own]
        all_cases.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        all_cases._axes = axes  # type: ignore[attr-defined]
        return all_cases

    assert listed, "a test without cases tests nothing"
    return decorate


def _failures(
    axes: list[list[tuple[str, dict[str, Any]]]], test: Test, args: Any, kwargs: dict[str, Any]
) -> Iterator[tuple[str, BaseException]]:
    for parts in itertools.product(*axes):
        values = {key: value for _, part in parts for key, value in part.items()}
        try:
            test(*args, **kwargs, **values)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  (raised again)
            name = "-".join(name for name, _ in parts)
            error.add_note(f"case: {name}")
            yield name, error


def _name(value: Any) -> str:
    """A short name of a value, from which a reader finds the case in the table."""
    if isinstance(value, (str, int, float, type(None))):
        return str(value)[:60] or "''"
    return str(getattr(value, "__name__", None) or f"{type(value).__name__} {_brief(value)}")


def _brief(value: Any) -> str:
    try:
        return repr(value)[:60]
    except Exception:  # noqa: BLE001  (objects of tests raise what they like)
        return "without a repr"
