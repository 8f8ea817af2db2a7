r"""Patterns as automata: whether there is a string that some patterns find and others do not.

A pattern is searched as JSON Schema says, anywhere in the string unless it is anchored, with the
classes of ECMA 262: ``\d`` and ``\w`` are ASCII, ``.`` is no line terminator. Other syntax (back
references, word boundaries, properties, lookarounds except ``^(?!...)``) is not read.
"""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Undocumented, but the parser of `re` itself. Its names are those of the opcodes.
op: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

Ranges: TypeAlias = "list[tuple[int, int]]"
State: TypeAlias = "tuple[frozenset[int], ...]"

LAST: Final = 0x10FFFF
MAX_STATES: Final = 20_000
_MAX_WORK: Final = 4_000_000
"""States of the automata that the steps of one pattern look at: some two seconds."""
_MAX_REPEAT: Final = 2_000
_DIGIT: Final = [(48, 57)]
_WORD: Final = [(48, 57), (65, 90), (95, 95), (97, 122)]
_SPACE: Final = [
    (9, 13), (32, 32), (160, 160), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
    (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
]  # fmt: skip
_LINES: Final = [(10, 10), (13, 13), (0x2028, 0x2029)]
# Only what Python and ECMA 262 read alike.
_ALIKE: Final = re.compile(
    r"(?:\\(?:[dDwWsSnrtfv]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[^A-Za-z0-9])"
    r"|\[\^?(?:\\(?:[dDwWsSnrtfv]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[^A-Za-z0-9])|[^\]\\\[])+\]"
    r"|\{[0-9]+(?:,[0-9]*)?\}\??|\((?:\?:|(?!\?))|\)|[*+?]\??|[^\\\[\](){}*+?])*\Z"
)
_LOOKAHEAD: Final = "(?!"


class UnreadableError(ValueError):
    """The pattern uses syntax that is not supported, or needs too many states."""


class Language:
    """The strings that a pattern finds: those of one automaton, and of none of some others."""

    def __init__(self, pattern: str) -> None:
        self._states: list[State] = []
        self._numbers: dict[State, int] = {}
        self._steps: dict[tuple[int, int], int] = {}
        self._accepted: dict[tuple[int, bool], bool] = {}
        self._work = 0
        rest, denied = pattern, []
        while rest.startswith("^" + _LOOKAHEAD):
            inner, tail = _closed(rest[len("^" + _LOOKAHEAD) :])
            if any(not depth and char == "|" for _, depth, char in _outside_classes(tail)):
                raise UnreadableError("the pattern has a lookahead in one of its branches only")
            denied.append("^(?:" + inner + ")")
            rest = "^" + tail
        self.parts = [_Automaton(part) for part in (rest, *denied)]
        """The automaton of the pattern, then those of its lookaheads."""

    def start(self) -> int:
        """The number of the state before the first character."""
        return self._number(tuple(part.closed({0}, first=True) for part in self.parts))

    def step(self, state: int, char: int) -> int:
        """The number of the state after one more character."""
        after = self._steps.get((state, char))
        if after is None:
            self._work += sum(map(len, self._states[state]))
            if self._work > _MAX_WORK:
                raise UnreadableError("the pattern has too many states")
            parts = zip(self.parts, self._states[state], strict=True)
            after = self._number(tuple(part.closed(part.moved(one, char)) for part, one in parts))
            self._steps[state, char] = after
        return after

    def accepts(self, state: int, *, first: bool) -> bool:
        """Whether the string that led to a state is found. `first` if it is empty."""
        hit = self._accepted.get((state, first))
        if hit is None:
            parts = zip(self.parts, self._states[state], strict=True)
            found = [part.ends(one, first=first) for part, one in parts]
            hit = self._accepted[state, first] = found[0] and not any(found[1:])
        return hit

    def is_dead(self, state: int) -> bool:
        """Whether no longer string is found."""
        return not self._states[state][0]

    def _number(self, state: State) -> int:
        if state not in self._numbers:
            if len(self._states) >= MAX_STATES:
                raise UnreadableError("the pattern has too many states")
            self._numbers[state] = len(self._states)
            self._states.append(state)
        return self._numbers[state]

    def finds(self, text: str) -> bool:
        """Whether a string is found."""
        state = self.start()
        for char in text:
            state = self.step(state, ord(char))
        return self.accepts(state, first=not text)

    def edges(self) -> Iterator[int]:
        """The characters at which ranges begin."""
        for part in self.parts:
            for moves in part.moves:
                for ranges, _ in moves:
                    for low, high in ranges:
                        yield low
                        yield high + 1


class _Automaton:
    """A nondeterministic automaton. Its edges without a character may need the start or the end."""

    def __init__(self, pattern: str) -> None:
        self.moves: list[list[tuple[Ranges, int]]] = []
        self.jumps: list[list[tuple[str, int]]] = []
        begin = self._new()
        self.moves[begin].append(([(0, LAST)], begin))
        self.final = self._add(list(_parse(pattern)), begin)
        self.moves[self.final].append(([(0, LAST)], self.final))

    def closed(
        self, states: set[int], *, first: bool = False, last: bool = False
    ) -> frozenset[int]:
        """The states, and those that they reach without a character."""
        found, todo = set(states), list(states)
        while todo:
            for need, target in self.jumps[todo.pop()]:
                met = not need or (need == "^" and first) or (need == "$" and last)
                if met and target not in found:
                    found.add(target)
                    todo.append(target)
        return frozenset(found)

    def moved(self, states: frozenset[int], char: int) -> set[int]:
        return {
            target
            for state in states
            for ranges, target in self.moves[state]
            if any(low <= char <= high for low, high in ranges)
        }

    def ends(self, states: frozenset[int], *, first: bool) -> bool:
        return self.final in self.closed(set(states), first=first, last=True)

    def _new(self) -> int:
        if len(self.moves) >= MAX_STATES:
            raise UnreadableError("the pattern is too large")
        self.moves.append([])
        self.jumps.append([])
        return len(self.moves) - 1

    def _add(self, items: Sequence[Any], state: int) -> int:
        """Add what follows from a state, and return the state after it."""
        for kind, value in items:
            after = self._new()
            if kind is op.LITERAL:
                self.moves[state].append(([(value, value)], after))
            elif kind is op.NOT_LITERAL:
                self.moves[state].append((_others([(value, value)]), after))
            elif kind is op.ANY:
                self.moves[state].append((_others(_LINES), after))
            elif kind is op.IN:
                self.moves[state].append((_ranges(value), after))
            elif kind is op.AT and value in (op.AT_BEGINNING, op.AT_END):
                self.jumps[state].append(("^" if value is op.AT_BEGINNING else "$", after))
            elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
                low, high, inner = value
                self._repeat(low, high, inner, state, after)
            elif kind is op.SUBPATTERN and not value[1] and not value[2]:
                self.jumps[self._add(value[3], state)].append(("", after))
            elif kind is op.BRANCH:
                for branch in value[1]:
                    self.jumps[self._add(branch, state)].append(("", after))
            else:
                raise UnreadableError("the pattern has syntax that is not supported")
            state = after
        return state

    def _repeat(self, low: Any, high: Any, items: Any, state: int, after: int) -> None:
        if int(low) > _MAX_REPEAT or (high is not op.MAXREPEAT and int(high) > _MAX_REPEAT):
            raise UnreadableError("the pattern repeats too often")
        for _ in range(int(low)):
            state = self._add(items, state)
        self.jumps[state].append(("", after))
        if high is op.MAXREPEAT:
            loop = self._new()
            self.jumps[state].append(("", loop))
            end = self._add(items, loop)
            self.jumps[end] += [("", loop), ("", after)]
            return
        for _ in range(int(high) - int(low)):
            state = self._add(items, state)
            self.jumps[state].append(("", after))


@lru_cache(maxsize=4096)
def language(pattern: str) -> Language:
    """The language of a pattern.

    Raises:
        UnreadableError: the pattern is not read.
    """
    return Language(pattern)


class Wanted(NamedTuple):
    """What a string must be: found by some patterns, not by others, no other text, of a length."""

    found: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    low: int = 0
    high: int | None = None
    unlike: frozenset[str] = frozenset()


def find_string(wanted: Wanted, most_states: int = MAX_STATES) -> str | None:
    """A shortest string as wanted; None if there is none.

    Raises:
        UnreadableError: a pattern is not read, or the search takes too many states.
    """
    if wanted.high is not None and wanted.high < wanted.low:
        return None
    if set(wanted.found) & set(wanted.missed):
        return None
    inner = [language(pattern) for pattern in wanted.found]
    outer = [language(pattern) for pattern in wanted.missed]
    every = [*inner, *outer]
    letters = _letters(every, wanted.unlike)
    cap = max(wanted.low, 0 if wanted.high is None else wanted.high + 1)
    texts = {text[:size] for text in wanted.unlike for size in range(len(text) + 1)}
    start = (tuple(one.start() for one in every), 0, "")
    seen: set[Any] = {start}
    todo: list[tuple[Any, Any]] = [(start, None)]
    # Each entry holds a state and the entry and the character that led to it.
    for entry in todo:
        states, size, text = entry[0]
        if size >= wanted.low and (wanted.high is None or size <= wanted.high):
            first = entry[1] is None
            hits = [one.accepts(s, first=first) for one, s in zip(every, states, strict=True)]
            if (
                all(hits[: len(inner)])
                and not any(hits[len(inner) :])
                and text not in wanted.unlike
            ):
                return _spelled(entry)
        if wanted.high is not None and size >= wanted.high:
            continue
        for letter in letters:
            after = tuple(one.step(s, letter) for one, s in zip(every, states, strict=True))
            if any(one.is_dead(s) for one, s in zip(inner, after, strict=False)):
                continue
            grown = None if text is None else text + chr(letter)
            state = (after, min(size + 1, cap), grown if grown in texts else None)
            if state not in seen:
                if len(seen) >= most_states:
                    raise UnreadableError("the search takes too many states")
                seen.add(state)
                todo.append((state, (entry, letter)))
    return None


def _spelled(entry: Any) -> str:
    text: list[str] = []
    while entry[1] is not None:
        entry, letter = entry[1]
        text.append(chr(letter))
    return "".join(reversed(text))


def _letters(languages: Sequence[Language], texts: frozenset[str]) -> list[int]:
    """One character of each class that no pattern divides; printable if there is one."""
    edges = {0, LAST + 1, 0xD800, 0xE000, 48, 58, 65, 91, 97, 123}
    edges.update(edge for one in languages for edge in one.edges())
    for char in {ord(char) for text in texts for char in text}:
        edges |= {char, char + 1}
    starts = sorted(edge for edge in edges if edge <= LAST + 1)
    letters = []
    for low, end in pairwise(starts):
        if low == 0xD800:
            continue  # surrogates are not characters
        plain = (
            char for char in range(max(low, 33), min(low + 95, end)) if chr(char).isprintable()
        )
        letters.append(next(plain, low))
    return sorted(letters, key=lambda char: (not 97 <= char <= 122, not 33 <= char <= 126, char))


def _parse(pattern: str) -> Any:
    if not _ALIKE.match(pattern):
        raise UnreadableError("the pattern has syntax that is not supported")
    with (
        suppress(re.error, Warning, RecursionError, OverflowError),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        return parser.parse(pattern)
    raise UnreadableError("the pattern cannot be read")


def _closed(text: str) -> tuple[str, str]:
    """What stands before and after the bracket that closes the one before `text`."""
    for place, depth, char in _outside_classes(text):
        if char == ")" and depth < 0:
            return text[:place], text[place + 1 :]
    raise UnreadableError("the pattern has a lookahead that cannot be read")


def _outside_classes(text: str) -> Iterator[tuple[int, int, str]]:
    """Each plain character outside of classes: its place, the depth of brackets after it, itself.

    Raises:
        UnreadableError: a class has no end, or follows an escape.
    """
    depth, place = 0, 0
    while place < len(text):
        char = text[place]
        if char == "\\":
            place += 2
            continue
        if char == "[":
            place = text.find("]", place + 2)
            if place < 0 or "\\" in text[:place]:
                raise UnreadableError("the pattern has a lookahead that cannot be read")
        else:
            depth += (char == "(") - (char == ")")
            yield place, depth, char
        place += 1


def _others(ranges: Ranges) -> Ranges:
    out, low = [], 0
    for begin, end in sorted(ranges):
        if begin > low:
            out.append((low, begin - 1))
        low = max(low, end + 1)
    return [*out, (low, LAST)] if low <= LAST else out


_CATEGORIES: Final = {
    op.CATEGORY_DIGIT: _DIGIT, op.CATEGORY_NOT_DIGIT: _others(_DIGIT),
    op.CATEGORY_WORD: _WORD, op.CATEGORY_NOT_WORD: _others(_WORD),
    op.CATEGORY_SPACE: _SPACE, op.CATEGORY_NOT_SPACE: _others(_SPACE),
}  # fmt: skip


def _ranges(items: Sequence[Any]) -> Ranges:
    """The characters of a class."""
    out: Ranges = []
    negated = False
    for kind, value in items:
        if kind is op.NEGATE:
            negated = True
        elif kind is op.LITERAL:
            out.append((value, value))
        elif kind is op.RANGE:
            out.append(value)
        elif kind is op.CATEGORY:
            out += _CATEGORIES[value]
        else:
            raise UnreadableError("the pattern has a class that is not supported")
    return _others(out) if negated else sorted(out)
