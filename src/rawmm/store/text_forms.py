r"""Undo the escapes in a text that rawmm's readers would undo, in any nesting.

A file name can be written as ``\u0061`` in JSON, ``%61`` in a URL, or base64url in a reference, and
these nest, because tool arguments are JSON in a string. File names of images are printable ASCII,
so only its escapes are undone. A decoded form need not be valid JSON, but it contains every name
that a reader would find.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rawmm.errors import contract_error

if TYPE_CHECKING:
    from collections.abc import Iterator

# Matches every escape, so that an escaped backslash does not start another one.
_JSON: Final = re.compile(r"\\(?:u00([2-7][0-9A-Fa-f])|(.))", re.DOTALL)
_ASCII_ESCAPE: Final = re.compile(r"\\u00[2-7][0-9A-Fa-f]")
_PERCENT: Final = re.compile(r"%([2-7][0-9A-Fa-f])")
_REFERENCE: Final = re.compile(r"mmraw:([A-Za-z0-9_+/.:=-]{16,})")
_BASE64: Final = re.compile(r"[A-Za-z0-9_+/-]{16,}")

_BUDGET: Final = 16
_FREE: Final = 4096
"""Characters that the decoded forms of any text may have, plus `_BUDGET` times its length."""


def decoded_forms(text: str) -> Iterator[str]:
    """Yield the text, then each form of it with one more layer of escapes undone.

    The total length of the forms is at most 16 times that of the text, so the work is linear.

    Raises:
        ContractError: ``too_deep`` for more layers than any writer produces.
    """
    yield text
    if "\\u00" not in text and "%" not in text and "mmraw:" not in text:
        return
    budget = _FREE + _BUDGET * len(text)
    seen = {text}
    todo = [text]
    while todo:
        for form in _one_layer(todo.pop()):
            if form in seen:
                continue
            budget -= len(form)
            if budget < 0:
                raise contract_error(
                    "too_deep",
                    (),
                    expected="a text with a reasonable number of layers of escapes",
                    got="too many layers",
                    hint="the names in it cannot be read; write it as plain text",
                )
            seen.add(form)
            todo.append(form)
            yield form


def _one_layer(text: str) -> Iterator[str]:
    if "\\u00" in text and _ASCII_ESCAPE.search(text):
        yield _JSON.sub(_unescaped, text)
    if "%" in text:
        yield _PERCENT.sub(_unquoted, text)
    if "mmraw:" in text:
        for reference in _REFERENCE.finditer(text):
            for encoded in _BASE64.findall(reference[1]):
                yield _decoded(encoded)


def _unescaped(match: re.Match[str]) -> str:
    code, char = match.groups()
    if code:
        return chr(int(code, 16))
    return str(char) if char in '"\\/' else match[0]


def _unquoted(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _decoded(encoded: str) -> str:
    """Return the decoded base64, or an empty string."""
    whole = encoded[: len(encoded) - (len(encoded) % 4 == 1)]
    with suppress(ValueError):
        return urlsafe_b64decode(whole + "=" * (-len(whole) % 4)).decode("latin-1")
    return ""
