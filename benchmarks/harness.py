"""Paired measurements: variants take turns in one process, and ratios are per round.

A round times every variant once, in rotating order. Noise of the machine then affects both numbers
of a ratio, and the median over the rounds is more reliable than the fastest time of each variant.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Settings:
    """How much to measure. `quick` only checks that everything runs; ignore its numbers."""

    quick: bool = False

    def pick(self, full: Any, quick: Any) -> Any:
        """A size, or a number of rounds."""
        return quick if self.quick else full

    @property
    def rounds(self) -> int:
        """Rounds of a race."""
        return int(self.pick(25, 2))

    @property
    def seconds(self) -> float:
        """The least time of a variant in a round. Short calls are repeated."""
        return float(self.pick(0.03, 0.0))


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a value."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether `value` is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Target:
    """A lower bound."""
    return Target(bound, at_least=True)


def at_most(bound: float) -> Target:
    """An upper bound."""
    return Target(bound, at_least=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One number of a report.

    Attributes:
        subject: the benchmark.
        what: the measurement and the comparison.
        value: the median.
        low, high: the quartiles; `value` itself if there was one measurement.
        unit: ``x`` for ratios, ``exponent``, or a unit of time, memory or rate.
        target: what it should be, or None.
        detail: the absolute numbers behind it.
    """

    subject: str
    what: str
    value: float
    low: float
    high: float
    unit: str = "x"
    target: Target | None = None
    detail: str = ""


def single(
    subject: str, what: str, value: float, unit: str, target: Target | None = None, detail: str = ""
) -> Row:
    """A row of one measurement."""
    return Row(subject, what, value, value, value, unit, target, detail)


@dataclass(frozen=True, slots=True)
class Variant:
    """A function to time. `before` runs before every call and is not timed."""

    call: Callable[[], object]
    before: Callable[[], object] | None = None


@dataclass(slots=True)
class Race:
    """Seconds per call of each variant, round by round."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """The median time of a call in seconds."""
        return statistics.median(self.seconds[name])

    def row(
        self,
        subject: str,
        what: str,
        over: str,
        under: str,
        target: Target | None = None,
    ) -> Row:
        """The ratio of two variants' times as a row."""
        ratios = [a / b for a, b in zip(self.seconds[over], self.seconds[under], strict=True)]
        low, value, high = quartiles(ratios)
        detail = f"{under} {shown_time(self.median(under))}, {over} {shown_time(self.median(over))}"
        return Row(subject, what, value, low, high, "x", target, detail)


def race(variants: Mapping[str, Variant | Callable[[], object]], settings: Settings) -> Race:
    """Time variants in turns, after one call of each."""
    ready = {
        name: one if isinstance(one, Variant) else Variant(one) for name, one in variants.items()
    }
    calls = {name: _calls(one, settings.seconds) for name, one in ready.items()}
    result = Race({name: [] for name in ready})
    names = list(ready)
    order = random.Random(0)
    for _ in range(settings.rounds):
        gc.collect()
        # A variant that syncs pays for what its predecessor left to the disk, so none has always
        # the same one.
        order.shuffle(names)
        for name in names:
            result.seconds[name].append(_timed(ready[name], calls[name]))
    return result


def _calls(variant: Variant, seconds: float) -> int:
    """The number of calls in a round."""
    once = _timed(variant, 1)
    return max(1, math.ceil(seconds / max(once, 1e-7)))


def _timed(variant: Variant, calls: int) -> float:
    """Seconds per call."""
    total = 0.0
    if variant.before is None:
        begin = time.perf_counter()
        for _ in range(calls):
            variant.call()
        return (time.perf_counter() - begin) / calls
    for _ in range(calls):
        variant.before()
        begin = time.perf_counter()
        variant.call()
        total += time.perf_counter() - begin
    return total / calls


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median, the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent of a power law, fitted by least squares to the logarithms."""
    slope: float = statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(value) for value in values]
    ).slope
    return slope


def growth(
    subject: str,
    what: str,
    sizes: Sequence[int],
    make: Callable[[int], Variant | Callable[[], object]],
    settings: Settings,
    target: Target | None = None,
) -> Row:
    """A row with the growth of the time of `make(size)`. The sizes take turns."""
    timed = race({str(size): make(size) for size in sizes}, settings)
    medians = [timed.median(str(size)) for size in sizes]
    by_round = [exponent(sizes, each) for each in zip(*timed.seconds.values(), strict=True)]
    low, _, high = quartiles(by_round)
    detail = ", ".join(
        f"{size}: {shown_time(each)}" for size, each in zip(sizes, medians, strict=True)
    )
    return Row(subject, what, exponent(sizes, medians), low, high, "exponent", target, detail)


def shown_time(seconds: float) -> str:
    """A time with a readable unit."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
