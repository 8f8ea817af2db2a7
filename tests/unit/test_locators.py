"""Locators: how URLs of files are read."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from rawmm.locators import Problem, file_path, unquoted

_PIECES = st.sampled_from(
    ["/", "//", "a", ".", "..", "%2e", "%00", "%", ";", ":", "@", "[", " ", "\t", "\n", "é", "\\"]
)
_URLS = st.tuples(
    st.sampled_from(
        ["file:///", "FILE:///", "file://localhost/", "file://h/", "file:/", " file:///"]
    ),
    st.lists(_PIECES, max_size=6).map("".join),
).map("".join)


@given(_URLS)
@example("file:///runs/a b/%41.png")
@example("file:////a")
def test_path_of_a_file_url_is_that_of_urlsplit(url: str) -> None:
    path = file_path(url)
    if not isinstance(path, Problem):
        parts = urlsplit(url)
        assert (parts.scheme, path) == ("file", unquote(parts.path))
        assert parts.netloc in ("", "localhost")


@given(st.text(st.sampled_from("%25aFé\x00"), max_size=12))
def test_text_is_unquoted_as_urllib_does(text: str) -> None:
    assert unquoted(text) == unquote(text)


def test_file_url_that_is_split_without_urllib_is_read_as_before() -> None:
    assert file_path("FILE:///runs/%41.png") == "/runs/A.png"
    assert file_path("file://localhost/a") == "/a"
    refused = [
        file_path(url) for url in ("file:///a\tb", "file:////a", "file:///a/../b", "file://h/a")
    ]
    assert [one.code for one in refused if isinstance(one, Problem)] == [
        "bad_locator",
        "bad_locator",
        "path_escape",
        "bad_locator",
    ]
