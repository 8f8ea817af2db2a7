"""Faults in JSON text: position, cause and advice."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm.values.json_fault import find_fault
from tests.cases import each

NODES = (Path(__file__).resolve().parents[3] / "examples" / "nodes.json").read_bytes()

CASES: list[tuple[bytes | str, int, int, str]] = [
    # Invalid values.
    (b'{"a": NaN}', 1, 7, "NaN, which JSON does not have"),
    (b'{"a": [1, Infinity]}', 1, 11, "Infinity, which JSON does not have"),
    (b'{"a":\n -Infinity}', 2, 2, "-Infinity, which JSON does not have"),
    (b'{"NaN": "NaN \\" NaN", "b": NaN}', 1, 28, "NaN, which JSON does not have"),
    (b'{"a": nan}', 1, 7, "nan, which JSON does not have"),
    (b"[undefined]", 1, 2, "undefined, which JSON does not have"),
    (b'{"a": True}', 1, 7, "True, which is Python syntax"),
    (b'{"a": None}', 1, 7, "None, which is Python syntax"),
    (b"[nul]", 1, 2, "a word without double quotes"),
    (b"[01]", 1, 3, "a number in a form that JSON does not have"),
    (b"[+1]", 1, 2, "a number in a form that JSON does not have"),
    (b"[.5]", 1, 2, "a number in a form that JSON does not have"),
    (b"[5.]", 1, 3, "a number in a form that JSON does not have"),
    (b"[0x10]", 1, 3, "a number in a form that JSON does not have"),
    (b"[1_000]", 1, 3, "a number in a form that JSON does not have"),
    (b"[1e999]", 1, 2, "a number that a double cannot hold"),
    (b'["1e999", -1e999]', 1, 11, "a number that a double cannot hold"),
    (b"[%s]" % (b"9" * 400), 1, 2, "a number that a double cannot hold"),
    (b"[\xc2\xa01]", 1, 2, "something that is not a JSON value"),
    (b"\0", 1, 1, "something that is not a JSON value"),
    # Commas, colons, brackets.
    (b"[1,]", 1, 3, "a trailing comma"),
    (b'{"a": 1 ,\r\n  }', 1, 9, "a trailing comma"),
    (b"[1,,2]", 1, 4, "a comma without a value"),
    (b"[,1]", 1, 2, "a comma without a value"),
    (b"{,}", 1, 2, "a comma without a value"),
    (b'{"a":}', 1, 6, "no value after a colon"),
    (b'{"a":,"b":1}', 1, 6, "no value after a colon"),
    (b'{"a" 1}', 1, 6, "no colon after a key"),
    (b'{"a"}', 1, 5, "no colon after a key"),
    (b'{"a": 1\n"b": 2}', 2, 1, "no comma between two values"),
    (b"[1 2]", 1, 4, "no comma between two values"),
    (b"[1; 2]", 1, 3, "something else instead of a comma"),
    (b"[1}", 1, 3, "a closing bracket of the other kind"),
    (b'{"a": 1]', 1, 8, "a closing bracket of the other kind"),
    (b"[1]]", 1, 4, "a closing bracket that closes nothing"),
    # Quotes, strings, comments.
    (b"{'a': 1}", 1, 2, "a single quote"),
    (b"{\"a\": 'b'}", 1, 7, "a single quote"),
    ("[“a”]", 1, 2, "a quotation mark that JSON does not have"),
    (b"{a: 1}", 1, 2, "a key without double quotes"),
    (b"{1: 2}", 1, 2, "a key without double quotes"),
    (b"{[]: 2}", 1, 2, "no key in double quotes"),
    (b'["a\nb"]', 1, 4, "a line break inside a string"),
    (b'["a\tb"]', 1, 4, "a control character inside a string"),
    (b'["\\x41"]', 1, 3, "an escape that JSON does not have"),
    (b'["\\u12zz"]', 1, 4, "an escape that JSON does not have"),
    (b"// x\n{}", 1, 1, "a comment, which JSON does not have"),
    (b'{"a": 1 # x\n}', 1, 9, "a comment, which JSON does not have"),
    (b'{"a": /* x */ 1}', 1, 7, "a comment, which JSON does not have"),
    # Text.
    (b'["\xc3\xa9\xff"]', 1, 4, "text that is not UTF-8"),
    (b'["\xed\xa0\x80"]', 1, 3, "text that is not UTF-8"),
    ('["\ud800"]', 1, 3, "text that is not UTF-8"),
    (b'\n["\\ud83d\\ude00", "\\\\ud800", "\\ud800"]', 2, 30, "a string with a lone surrogate"),
    (b'["\\ude00"]', 1, 3, "a string with a lone surrogate"),
    (b'["\\ud800", NaN', 1, 3, "a string with a lone surrogate"),
    (b"\xef\xbb\xbf{}", 1, 1, "a byte order mark before the text"),
    (b"", 1, 1, "nothing"),
    (b" \r\n", 1, 1, "nothing but white space"),
    # End of the text.
    (b'{"a": [1', 1, 9, "a document cut short after 8 bytes"),
    (b'{"a":\n', 1, 6, "a document cut short after 5 bytes"),
    (b'{"a": tru', 1, 10, "a document cut short after 9 bytes"),
    (b"[1.", 1, 4, "a document cut short after 3 bytes"),
    (b"[-", 1, 3, "a document cut short after 2 bytes"),
    (b'["\xc3\xa9', 1, 4, "a document cut short after 4 bytes, inside a string"),
    (b'["a\\', 1, 5, "a document cut short after 4 bytes, inside a string"),
    (b'["\\u12', 1, 7, "a document cut short after 6 bytes"),
    (b'{} {"b": 2}', 1, 4, "a second document on the same line"),
    (b'{}\n{"b": 2}', 2, 1, "a second document"),
    (b'{"a": 1}\r{"b": 2}\r', 2, 1, "a second document after a carriage return alone"),
    (b"{},", 1, 3, "a comma after the document"),
    (b"{} x", 1, 4, "something else after the document"),
]  # fmt: skip


@each(("data", "line", "column", "cause"), CASES, ids=repr)
def test_first_fault_has_position_and_cause(
    data: bytes | str, line: int, column: int, cause: str
) -> None:
    fault = find_fault(data)
    assert fault is not None
    assert fault[:3] == (line, column, cause)
    assert str(fault) == f"{cause} at line {line}, column {column}"


def test_each_cause_names_one_mistake() -> None:
    assert len({cause for *_, cause in CASES}) > 30


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_all_line_endings_are_counted(ends: str) -> None:
    fault = find_fault(ends.join(["{", '"é": 1,', ' "b": NaN', "}"]))
    assert fault is not None
    assert (fault.line, fault.column) == (3, 7)


@pytest.mark.parametrize("data", [b"{}", b" [1, 2.5e-3, null]\n", "é".join('""'), b"7", NODES])
def test_valid_document_has_no_fault(data: bytes | str) -> None:
    assert find_fault(data) is None
    assert find_fault(memoryview(data) if isinstance(data, bytes) else data) is None


def test_deep_nesting_is_not_a_fault() -> None:
    assert find_fault(b"[" * 100_000) is None


def test_content_of_the_text_is_never_shown() -> None:
    secret = "iVBORw0KGgoAAAANSUhEUgAA"
    for text in (
        f"{{{secret}: 1}}",
        f"[{secret}]",
        f'["{secret}',
        f'{{}} "{secret}"',
        f'["a" {secret}]',
    ):
        fault = find_fault(text)
        assert fault is not None
        assert secret[:4] not in repr(fault)


@given(
    st.sampled_from([NODES, json.dumps({"a": [1.5, None, "é\n", True, -2], "b": {}}).encode()]),
    st.data(),
)
def test_text_has_a_fault_if_and_only_if_msgspec_refuses_it(
    text: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 3))
    new = data.draw(
        st.sampled_from(
            [
                b"",
                *[bytes([c]) for c in b"'\"{}[],:\\\n\r0-.eNx/#\xff"],
                b"NaN",
                b"\\ud800",
                b"1e999",
            ]
        )
    )
    mutated = text[:at] + new + text[at + cut :]
    try:
        msgspec.json.decode(mutated)
        refused = False
    except (msgspec.DecodeError, UnicodeDecodeError):
        refused = True
    assert (find_fault(mutated) is not None) == refused
