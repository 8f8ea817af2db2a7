"""The interface of engines, the engine of one process, and the order of outcomes."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    NamedTuple,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

R = TypeVar("R")

Work: TypeAlias = "Callable[[Any], tuple[Any, Any]]"
"""From a piece to its result and the rest of the piece: None if the result is of all of it."""

MAX_RETRIES: Final = 3
"""How often a piece is tried again after the process that had it was killed."""


class Outcome(NamedTuple, Generic[R]):
    """What became of a piece, or of a part of it.

    Attributes:
        number: the index of the piece, from 0.
        result: what the function returned; None if the piece was lost.
        lost: why there is no result, for a message; None if there is one.
        last: whether this is all of the piece. Parts of a piece come in order.
    """

    number: int
    result: R | None
    lost: str | None
    last: bool


class Engine(Protocol):
    """Runs a function on pieces. Leave its context to stop what runs.

    Attributes:
        workers: how many pieces are worked on at the same time.
    """

    workers: int

    def map(
        self, make: Callable[..., Work], args: tuple[Any, ...], pieces: Iterable[Any]
    ) -> Iterator[Outcome[Any]]:
        """Yield the outcomes of all pieces, in any order.

        Pieces are taken from the iterable as they are needed. No outcome is more than a few pieces
        ahead of the first that is missing, so that memory is bounded.

        Args:
            make: called with `args` where the pieces are worked on; returns the function of a
                piece. A function of a module that can be imported there.
            args: values that can be pickled.
            pieces: values that can be pickled.

        A piece whose process is killed is tried again. If that happens again and again, or if the
        function raises, the outcome says that the piece was lost, and the others go on.
        """
        ...

    def __enter__(self) -> Self:
        """Return the engine."""
        ...

    def __exit__(self, *_: object) -> None:
        """Stop everything that runs."""
        ...


class SerialEngine:
    """Works on one piece after the other, in this process."""

    workers = 1

    def map(
        self, make: Callable[..., Work], args: tuple[Any, ...], pieces: Iterable[Any]
    ) -> Iterator[Outcome[Any]]:
        """Yield the outcomes in order. See `Engine.map`."""
        work = make(*args)
        for number, piece in enumerate(pieces):
            rest = piece
            while rest is not None:
                try:
                    result, rest = work(rest)
                except Exception as error:  # noqa: BLE001  (a bug in one piece does not affect others)
                    yield Outcome(number, None, failure_text(error), last=True)
                    break
                yield Outcome(number, result, None, rest is None)

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: nothing runs beside the caller."""


def failure_text(error: BaseException) -> str:
    """What an exception of the function says of it: its class, as its text may quote the data."""
    return f"internal error: {type(error).__name__}"


def killed_text(times: int) -> str:
    """Why a piece is given up."""
    return (
        f"{times} worker processes were killed while they read it, perhaps for lack of memory; "
        "give fewer --jobs"
    )


def in_order(outcomes: Iterable[Outcome[R]]) -> Iterator[Outcome[R]]:
    """Yield outcomes in the order of their pieces."""
    kept: dict[int, list[Outcome[R]]] = {}
    current = 0
    for outcome in outcomes:
        kept.setdefault(outcome.number, []).append(outcome)
        while current in kept:
            ready = kept.pop(current)
            yield from ready
            if not ready[-1].last:
                break
            current += 1
