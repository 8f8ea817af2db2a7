"""Checks that backtracking regex engines match a pattern in linear time.

A pattern is accepted if it is unambiguous: no text reaches the same position of the pattern in two
ways. A backtracking engine then visits each pair of text offset and pattern position at most once,
so its work is bounded by their product. The check is sufficient but not necessary: it also refuses
some fast patterns.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_POSITIONS: Final = 512
"""Limit on the characters and classes of a pattern, each counted as often as it may repeat."""

_OTHER: Final = "\u0080"
"""Represents all characters outside of ASCII."""
_ALL: Final = frozenset(map(chr, range(128))) | {_OTHER}
_TOKEN: Final = re.compile(
    r"(?P<set>\[\^?(?:\\[^A-Za-z0-9]|[^\]\\])+\])|\\(?P<escaped>[^A-Za-z0-9])"
    r"|\{(?P<low>[0-9]+)(?P<comma>,)?(?P<high>[0-9]*)\}|(?P<mark>[()|?*+])"
    r"|(?P<plain>[^\\\[\](){}|?*+.^$])"
)
_ASCII_ESCAPE: Final = re.compile(r"\\u(00[0-7][0-9a-f])")
"""A character of ASCII that is escaped by its number."""
_SET_PART: Final = re.compile(r"\\?(.)(?:-\\?([^\]]))?", re.DOTALL)


class AmbiguousError(ValueError):
    """A pattern is ambiguous, or uses syntax that is not supported."""


def check_linear(pattern: str) -> None:
    """Raise `AmbiguousError` unless ``^pattern`` or ``^pattern$`` is unambiguous."""
    parser = _Parser(pattern.removeprefix("^").removesuffix("$"))
    part = parser.whole()
    sets, follow = parser.automaton.sets, parser.automaton.follow

    def overlapping(left: Iterable[int], right: Iterable[int]) -> Iterator[tuple[int, int]]:
        return ((one, two) for one in left for two in right if sets[one] & sets[two])

    # Pairs of positions that the same text reaches in different ways.
    pairs = {
        (one, two)
        for after in (part.first, *follow)
        for one, two in overlapping(after, after)
        if one < two
    }
    waiting = list(pairs)
    while waiting:
        left, right = waiting.pop()
        for one, two in overlapping(follow[left], follow[right]):
            if one == two:
                raise AmbiguousError("a text can be read in two ways")
            pair = (min(one, two), max(one, two))
            if pair not in pairs:
                pairs.add(pair)
                waiting.append(pair)


class _Part(NamedTuple):
    """A part of a pattern as an automaton. Its positions are numbered character classes."""

    nullable: bool
    first: frozenset[int]
    last: frozenset[int]


class _Automaton:
    """The position automaton of a pattern, built without epsilon moves."""

    def __init__(self) -> None:
        self.sets: list[frozenset[str]] = []
        self.follow: list[frozenset[int]] = []

    def one(self, characters: frozenset[str]) -> _Part:
        if len(self.sets) == MAX_POSITIONS:
            raise AmbiguousError(f"it has more than {MAX_POSITIONS} positions")
        self.sets.append(characters)
        self.follow.append(frozenset())
        position = frozenset({len(self.sets) - 1})
        return _Part(nullable=False, first=position, last=position)

    def either(self, left: _Part, right: _Part) -> _Part:
        if left.nullable and right.nullable:
            raise AmbiguousError("two alternatives may be empty")
        return _Part(
            left.nullable or right.nullable, left.first | right.first, left.last | right.last
        )

    def then(self, left: _Part, right: _Part) -> _Part:
        self._connect(left.last, right.first)
        return _Part(
            left.nullable and right.nullable,
            left.first | right.first if left.nullable else left.first,
            left.last | right.last if right.nullable else right.last,
        )

    def optional(self, part: _Part) -> _Part:
        return self.either(part, EMPTY)

    def repeated(self, part: _Part) -> _Part:
        if part.nullable:
            raise AmbiguousError("a repeated part may be empty")
        self._connect(part.last, part.first)
        return part

    def _connect(self, left: frozenset[int], right: frozenset[int]) -> None:
        for position in left:
            if self.follow[position] & right:
                raise AmbiguousError("a repetition is nested in a repetition")
            self.follow[position] |= right


EMPTY: Final = _Part(nullable=True, first=frozenset(), last=frozenset())


class _Parser:
    """Builds the automaton of one pattern by recursive descent."""

    def __init__(self, text: str) -> None:
        self.automaton = _Automaton()
        self.tokens: list[re.Match[str]] = []
        text = _ASCII_ESCAPE.sub(_control, text)
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None:
                raise AmbiguousError(f"{text[at : at + 8]!r} is not supported in a pattern")
            self.tokens.append(token)
            at = token.end()

    def whole(self) -> _Part:
        part, end = self._sequence(0)
        if end < len(self.tokens):
            outside = "'|' is outside of a group, so '^' and '$' belong to one side only"
            raise AmbiguousError(outside if self._mark(end) == "|" else "brackets do not match")
        return part

    def _mark(self, at: int) -> str:
        return self.tokens[at]["mark"] or "" if at < len(self.tokens) else ")"

    def _alternatives(self, at: int) -> tuple[_Part, int]:
        part, at = self._sequence(at)
        while at < len(self.tokens) and self._mark(at) == "|":
            other, at = self._sequence(at + 1)
            part = self.automaton.either(part, other)
        return part, at

    def _sequence(self, at: int) -> tuple[_Part, int]:
        part = EMPTY
        while self._mark(at) not in {"|", ")"}:
            start = at
            at = self._atom_end(at)
            low, high, end = self._times(at)
            for number in range(low):
                last = number == low - 1 and high is None
                atom = self._atom(start)
                part = self.automaton.then(part, self.automaton.repeated(atom) if last else atom)
            if high is None and not low:
                repeated = self.automaton.repeated(self._atom(start))
                part = self.automaton.then(part, self.automaton.optional(repeated))
            elif high is not None and high > low:
                part = self.automaton.then(part, self._up_to(start, high - low))
            at = end
        return part, at

    def _up_to(self, start: int, times: int) -> _Part:
        """At most `times` repetitions of an atom, nested so that each needs the one before it."""
        part = EMPTY
        for _ in range(times):
            part = self.automaton.optional(self.automaton.then(self._atom(start), part))
        return part

    def _times(self, at: int) -> tuple[int, int | None, int]:
        """The fewest and most repetitions of the atom before `at`, and the next index."""
        if at == len(self.tokens):
            return 1, 1, at
        token = self.tokens[at]
        if token["low"]:
            low = int(token["low"])
            high = (int(token["high"]) if token["high"] else None) if token["comma"] else low
        elif self._mark(at) in {"?", "*", "+"}:
            low, high = {"?": (0, 1), "*": (0, None), "+": (1, None)}[self._mark(at)]
        else:
            return 1, 1, at
        if max(low, high or 0) > MAX_POSITIONS:
            raise AmbiguousError(f"it has more than {MAX_POSITIONS} positions")
        if at + 1 < len(self.tokens) and (
            self._mark(at + 1) in {"?", "*", "+"} or self.tokens[at + 1]["low"]
        ):
            raise AmbiguousError("a quantifier follows a quantifier")
        if high is not None and high < low:
            raise AmbiguousError("a quantifier's bounds are in the wrong order")
        return low, high, at + 1

    def _atom_end(self, at: int) -> int:
        if self._mark(at) != "(":
            if self._mark(at) or self.tokens[at]["low"]:
                raise AmbiguousError("a quantifier has nothing to repeat")
            return at + 1
        depth = 0
        for end in range(at, len(self.tokens)):
            depth += {"(": 1, ")": -1}.get(self._mark(end), 0)
            if not depth:
                return end + 1
        raise AmbiguousError("brackets do not match")

    def _atom(self, at: int) -> _Part:
        if self._mark(at) == "(":
            return self._alternatives(at + 1)[0]
        token = self.tokens[at]
        return self.automaton.one(_characters(token))


def _control(escape: re.Match[str]) -> str:
    """An escaped control character; other escapes unchanged, which are not supported."""
    character = chr(int(escape[1], 16))
    return escape[0] if character.isprintable() else character


def _characters(token: re.Match[str]) -> frozenset[str]:
    """The characters that a token matches."""
    if not token["set"]:
        return frozenset({token["escaped"] or token["plain"]})
    body = token["set"][1:-1]
    out: set[str] = set()
    for low, high in _SET_PART.findall(body.removeprefix("^")):
        out.update(map(chr, range(ord(low), ord(high or low) + 1)))
    return _ALL - out if body.startswith("^") else frozenset(out)
