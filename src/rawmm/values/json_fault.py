"""Where a text stops being JSON, and why: line, column, cause, and what to do about it.

Decoders name a byte, or say only that they failed. The causes here are the mistakes that people
and other tools make. No content of the text is shown.
"""

from __future__ import annotations

import json
import re
from math import isinf
from typing import Final, NamedTuple, NoReturn

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_STRING: Final = r'"(?:[^"\\]++|\\.)*+"'
# The decoder takes both of these. Strings match first, so that none is looked into.
_CONSTANT: Final = re.compile(rf"{_STRING}|(-?(?:NaN|Infinity))", re.DOTALL)
_NUMBER: Final = re.compile(rf"{_STRING}|(-?[0-9][0-9.eE+-]*)", re.DOTALL)
# A pair, and any other escape, match first; what matches the group stands alone.
_LONE_SURROGATE: Final = re.compile(
    r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL
)
_WORD: Final = re.compile(r"[+-]?[A-Za-z_$][A-Za-z0-9_$]*")
_COMMENT: Final = re.compile(r"//|/\*|#")
_ODD_NUMBER: Final = re.compile(r"[+-]?\.?[0-9]")
# What is left of a number, a literal or an escape where a text is cut in it.
_BEGUN: Final = re.compile(r"-|\.|[eE][+-]?|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?")
_BEGUN_ESCAPE: Final = re.compile(r"u?[0-9a-fA-F]{0,3}")

_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}
_NOT_FINITE: Final = frozenset({"nan", "inf", "infinity"})


class JsonFault(NamedTuple):
    """The first fault of a text that is not one JSON document.

    Attributes:
        line: counted from 1. A line ends with LF, CRLF, or CR alone.
        column: counted from 1, in characters.
        cause: what stands there, worded as the ``got`` of an error.
        hint: what to do about it, or None.
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
    """The first fault of a text that should be one JSON document in UTF-8; None without one.

    It takes linear time and as much memory as decoding. A text that is only nested too deeply
    has no fault here.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    text = raw.decode("utf-8", "surrogateescape")
    # Bytes that are no UTF-8 come as lone surrogates, and those cannot be encoded.
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
    """The text has a constant of JavaScript that JSON leaves out."""


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


# Numbers stay text: that is faster, and none is too large.
_READER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


def _syntax_fault(text: str) -> tuple[int, _Cause | None]:
    """Where the grammar of JSON is broken, and how; the end of the text and None if it is not."""
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
        return end, _cut(text[:end], ", inside of a string")
    begun = _BEGUN_ESCAPE if message.startswith("Invalid \\u") else _BEGUN
    if place >= end or (begun.fullmatch(text, place, end) and not _is_second(text, place, message)):
        return end, _cut(text[:end])
    # Up to Python 3.12 the place is the bracket behind the comma.
    before = text[:place].rstrip(" \t\r\n") if text[place] in "]}" else ""
    if before.endswith(","):
        return len(before) - 1, _Cause("a trailing comma", "remove it")
    if "trailing comma" in message:
        return place, _Cause("a trailing comma", "remove it")
    return place, _cause(text, place, message)


def _is_second(text: str, place: int, message: str) -> bool:
    """Whether a document is over before `place`."""
    return message == "Extra data" and not text[place - 1].isdigit()


def _cut(text: str, where: str = "") -> _Cause:
    size = len(text.encode())
    return _Cause(f"a document cut short after {size} byte{'' if size == 1 else 's'}{where}")


def _not_in_json(name: str) -> _Cause:
    return _Cause(f"{name}, which JSON does not have", "write null or leave the field out")


def _cause(text: str, place: int, message: str) -> _Cause:
    """What stands at `place`, where the decoder stopped with `message`."""
    char, before = text[place], text[:place].rstrip(" \t\r\n")[-1:]
    if message.startswith("Invalid control character"):
        if char in "\r\n":
            return _Cause("a line break inside of a string", "write it as \\n")
        return _Cause("a control character inside of a string", "write it as an escape")
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
    if _odd_number_ends(text, place):
        return _ODD
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


_ODD: Final = _Cause("a number in a form that JSON does not have")


def _odd_number_ends(text: str, place: int) -> bool:
    """Whether a number goes on at `place` in a way that JSON does not have: ``01``, ``1_000``."""
    return text[place - 1 : place].isdigit() and (text[place].isalnum() or text[place] in "._")


def _instead_of_comma(text: str, place: int) -> _Cause:
    if _odd_number_ends(text, place):
        return _ODD
    if text[place] in "]}":
        return _Cause("a closing bracket of the other kind")
    if text[place] in '"{[-' or text[place].isalnum():
        return _Cause("no comma between two values")
    return _Cause("something else in the place of a comma")


def _instead_of_value(text: str, place: int, before: str) -> _Cause:
    if text[place] in "]}":
        return _Cause("no value after a colon" if before == ":" else "a closing bracket")
    word = _WORD.match(text, place)
    name = word[0] if word else ""
    if name in _PYTHON:
        hint = f"JSON writes {_PYTHON[name]}; write it with json.dumps"
        return _Cause(f"{name}, which is Python's", hint)
    if name.lstrip("+-").lower() in _NOT_FINITE:
        return _not_in_json(name)
    if name == "undefined":
        return _not_in_json(name)
    if name:
        return _Cause("a word without double quotes")
    if _ODD_NUMBER.match(text, place) or text[place] == "-":
        return _ODD
    return _Cause("something that is no JSON value")
