"""Explains why a text is not JSON: line, column, cause, and how to fix it.

Decoders report a byte offset at best. The causes here are common mistakes of people and tools. No
content of the text is shown.
"""

from __future__ import annotations

import json
import re
from math import isinf
from typing import Final, NamedTuple, NoReturn

from rawmm.errors import counted

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_STRING: Final = r'"(?:[^"\\]++|\\.)*+"'
# The decoder accepts both of these. Strings match first, so that their content is skipped.
_CONSTANT: Final = re.compile(rf"{_STRING}|(-?(?:NaN|Infinity))", re.DOTALL)
_NUMBER: Final = re.compile(rf"{_STRING}|(-?[0-9][0-9.eE+-]*)", re.DOTALL)
# Pairs and other escapes match first, so the group matches lone surrogates only.
_LONE_SURROGATE: Final = re.compile(
    r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL
)
_WORD: Final = re.compile(r"[+-]?[A-Za-z_$][A-Za-z0-9_$]*")
_COMMENT: Final = re.compile(r"//|/\*|#")
_NUMBER_START: Final = re.compile(r"[+-]?\.?[0-9]")
# The beginning of a number, a literal or an escape in a text that was cut short.
_BEGUN: Final = re.compile(r"-|\.|[eE][+-]?|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?")
_BEGUN_ESCAPE: Final = re.compile(r"u?[0-9a-fA-F]{0,3}")

_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}
_NOT_FINITE: Final = frozenset({"nan", "inf", "infinity"})


class JsonFault(NamedTuple):
    """The first fault of a text that is not one JSON document.

    Attributes:
        line: counted from 1. A line ends with LF, CRLF, or CR alone.
        column: counted from 1, in characters.
        cause: the fault, for the ``got`` of an error.
        hint: how to fix it, or None.
    """

    line: int
    column: int
    cause: str
    hint: str | None = None

    def __str__(self) -> str:
        """``cause at line 3, column 17``."""
        return f"{self.cause} at line {self.line}, column {self.column}"


class _Cause(NamedTuple):
    what: str
    hint: str | None = None


def find_fault(data: bytes | bytearray | memoryview | str) -> JsonFault | None:
    """The first fault of a text that should be one JSON document in UTF-8; None if there is none.

    Takes linear time and as much memory as decoding. Deep nesting is not a fault.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    text = raw.decode("utf-8", "surrogateescape")
    # `surrogateescape` decodes invalid bytes as lone surrogates.
    bad_byte = re.search("[\ud800-\udfff]", text)
    if bad_byte is not None:
        return _at(
            text, bad_byte.start(), _Cause("text that is not UTF-8", "write the file as UTF-8")
        )
    if text.startswith("\ufeff"):
        mark = "a byte order mark before the text"
        return _at(text, 0, _Cause(mark, "write it as UTF-8 without a byte order mark"))
    if not text.strip(" \t\r\n"):
        return _at(text, 0, _Cause("nothing but white space" if text else "nothing"))
    place, why = _syntax_fault(text)
    alone = next((m for m in _LONE_SURROGATE.finditer(text, 0, place) if m[1]), None)
    if alone is not None:
        return _at(text, alone.start(), _Cause("a string with a lone surrogate"))
    if why is not None:
        return _at(text, place, why)
    for number in _NUMBER.finditer(text):
        if number[1] and isinf(float(number[1])):
            return _at(text, number.start(), _Cause("a number that a double cannot hold"))
    return None


def _at(text: str, place: int, cause: _Cause) -> JsonFault:
    line, begin = 1, 0
    for end in _LINE_END.finditer(text, 0, place):
        line, begin = line + 1, end.end()
    return JsonFault(line, place - begin + 1, *cause)


class _ConstantError(Exception):
    """The text has NaN or an infinity."""


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


# Numbers stay text, which is faster and has no limit.
_READER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


def _syntax_fault(text: str) -> tuple[int, _Cause | None]:
    """The position and cause of a syntax error; the end of the text and None if there is none."""
    try:
        _READER.decode(text)
    except _ConstantError:
        found = next(match for match in _CONSTANT.finditer(text) if match[1])
        return found.start(), _not_in_json(found[1])
    except json.JSONDecodeError as error:
        place, message = error.pos, error.msg
    except RecursionError:
        return len(text), None
    else:
        return len(text), None
    end = len(text.rstrip(" \t\r\n"))
    if message.startswith("Unterminated string"):
        return end, _cut(text[:end], ", inside a string")
    begun = _BEGUN_ESCAPE if message.startswith("Invalid \\u") else _BEGUN
    if place >= end or (begun.fullmatch(text, place, end) and not _is_second(text, place, message)):
        return end, _cut(text[:end])
    # Up to Python 3.12, the position is that of the bracket after the comma.
    before = text[:place].rstrip(" \t\r\n") if text[place] in "]}" else ""
    if before.endswith(","):
        return len(before) - 1, _Cause("a trailing comma", "remove it")
    if "trailing comma" in message:
        return place, _Cause("a trailing comma", "remove it")
    return place, _cause(text, place, message)


def _is_second(text: str, place: int, message: str) -> bool:
    """Whether a complete document ends before `place`."""
    return message == "Extra data" and not text[place - 1].isdigit()


def _cut(text: str, where: str = "") -> _Cause:
    return _Cause(f"a document cut short after {counted(len(text.encode()), 'byte')}{where}")


def _not_in_json(name: str) -> _Cause:
    return _Cause(f"{name}, which JSON does not have", "write null or leave the field out")


def _cause(text: str, place: int, message: str) -> _Cause:
    """The cause of the decoder's `message` at `place`."""
    char, before = text[place], text[:place].rstrip(" \t\r\n")[-1:]
    if message.startswith("Invalid control character"):
        if char in "\r\n":
            return _Cause("a line break inside a string", "write it as \\n")
        return _Cause("a control character inside a string", "write it as an escape")
    if message.startswith("Invalid \\"):
        return _Cause("an escape that JSON does not have")
    if _COMMENT.match(text, place):
        return _Cause("a comment, which JSON does not have", "remove it")
    if char in "'`\u2018\u2019\u201c\u201d":
        quote = "a single quote" if char == "'" else "a quotation mark that JSON does not have"
        return _Cause(quote, "write strings in double quotes, as json.dumps does")
    if message == "Extra data":
        return _after_document(text, place)
    if message.startswith("Expecting ':'"):
        return _Cause("no colon after a key")
    if message.startswith("Expecting ','"):
        return _instead_of_comma(text, place)
    if char == ",":
        return _Cause("no value after a colon" if before == ":" else "a comma without a value")
    if message.startswith("Expecting property name"):
        unquoted = _WORD.match(text, place) or char.isdigit()
        return _Cause("a key without double quotes" if unquoted else "no key in double quotes")
    return _instead_of_value(text, place, before)


def _after_document(text: str, place: int) -> _Cause:
    gap = text[len(text[:place].rstrip(" \t\r\n")) : place]
    if _number_continues(text, place):
        return _BAD_NUMBER
    if text[place] in "]}":
        return _Cause("a closing bracket that closes nothing")
    if text[place] == ",":
        return _Cause("a comma after the document", "put each document on a line of its own")
    if text[place] not in '{["':
        return _Cause("something else after the document")
    if "\r" in gap and "\n" not in gap:
        return _Cause(
            "a second document after a carriage return alone", "end lines with a line feed"
        )
    same_line = "\n" not in gap
    where = " on the same line" if same_line else ""
    return _Cause(
        f"a second document{where}", "put each on a line of its own" if same_line else None
    )


_BAD_NUMBER: Final = _Cause("a number in a form that JSON does not have")


def _number_continues(text: str, place: int) -> bool:
    """Whether a number continues at `place`, which JSON does not allow: ``01``, ``1_000``."""
    return text[place - 1 : place].isdigit() and (text[place].isalnum() or text[place] in "._")


def _instead_of_comma(text: str, place: int) -> _Cause:
    if _number_continues(text, place):
        return _BAD_NUMBER
    if text[place] in "]}":
        return _Cause("a closing bracket of the other kind")
    if text[place] in '"{[-' or text[place].isalnum():
        return _Cause("no comma between two values")
    return _Cause("something else instead of a comma")


def _instead_of_value(text: str, place: int, before: str) -> _Cause:
    if text[place] in "]}":
        return _Cause("no value after a colon" if before == ":" else "a closing bracket")
    word = _WORD.match(text, place)
    name = word[0] if word else ""
    if name in _PYTHON:
        hint = f"JSON writes {_PYTHON[name]}; write it with json.dumps"
        return _Cause(f"{name}, which is Python syntax", hint)
    if name.lstrip("+-").lower() in _NOT_FINITE:
        return _not_in_json(name)
    if name == "undefined":
        return _not_in_json(name)
    if name:
        return _Cause("a word without double quotes")
    if _NUMBER_START.match(text, place) or text[place] == "-":
        return _BAD_NUMBER
    return _Cause("something that is not a JSON value")
