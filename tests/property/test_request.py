"""`offload_request` is parse, `offload_images_inplace`, encode; on any bytes at all."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from rawmm.errors import RawMMError
from rawmm.offload import offload_images_inplace, offload_request
from rawmm.offload.url_extractor import UrlExtractor
from rawmm.store import ImageStore, digest_to_quote
from rawmm.testing.strategies import lexemes
from rawmm.values.strict_json import read_json
from tests.unit.images.pictures import FORMATS, assert_silent, data_url, picture, url_of

if TYPE_CHECKING:
    from random import Random

    from rawmm.offload import ImageOffloadStats

GOOD = [url_of(kind, seed) for kind in FORMATS for seed in range(2)]
HERE = "here"
"""Stands for a reference to an image that is in the store."""
BAD = [
    "https://x.y/z.png",
    "",
    "data:",
    "data:image/png;base64,",
    "file:///etc/passwd",
    "file:relative",
    "DATA:text/plain,é",
    'data:"\\',
    "data:image/png;base64,aGVs*bG8=",
    GOOD[0][:-1],
    data_url(picture()[:-20]),
    data_url(picture("GIF")),
]


class Lexeme(str):
    """A number as it is written."""

    __slots__ = ()


numbers = st.sampled_from(
    [
        "0",
        "-0",
        "1.0",
        "1e400",
        "-1E+400",
        "1e-400",
        "1.50",
        "9" * 40,
        "0.1e1",
        "18446744073709551616",
    ]
).map(Lexeme)
strings = st.text(max_size=6) | st.sampled_from(
    [*GOOD[:2], *BAD, 'say "data:image/png"', "\\", 'x\\"data:', "file:", "\u0000", "é\U0001f600"]
)
harmless = st.text(max_size=6) | st.sampled_from(
    [
        "https://x.y/z.png",
        "data:",
        "DATA:text/plain,é",
        'data:"\\',
        'x\\"data:',
        "file:relative",
        "é",
    ]
)
"""Strings that look like no image, wherever they are."""
harmless_keys = st.sampled_from(["url", "content", "a", GOOD[0], "data:", '"', "input"])
keys = st.sampled_from(["type", "image", "image_url", "url", "content", "a", GOOD[0], "data:", '"'])


def parts(
    urls: st.SearchStrategy[Any], words: st.SearchStrategy[str] = strings
) -> st.SearchStrategy[Any]:
    """Image parts in every shape, with fields of their own."""
    extra = st.dictionaries(st.sampled_from(["detail", "n", "data:x"]), words | numbers, max_size=2)
    return st.one_of(
        st.builds(
            lambda kind, url, inner, outer: {
                "type": kind, **outer, "image_url": {"url": url, **inner}
            },
            st.sampled_from(["image_url", "image"]), urls, extra, extra,
        ),
        st.builds(lambda url, more: {**more, "image_url": url, "type": "image_url"}, urls, extra),
        st.builds(lambda url, more: {"type": "image", **more, "image": url}, urls, extra),
        st.builds(lambda url: {"image": url, "image_url": None, "type": "image"}, urls),
    )  # fmt: skip


def documents(
    urls: st.SearchStrategy[Any],
    words: st.SearchStrategy[str] = strings,
    names: st.SearchStrategy[str] = keys,
) -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | numbers | words
    text = st.builds(lambda words: {"type": "text", "text": words}, strings)
    return st.recursive(
        leaves | text | parts(urls, words),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
        max_leaves=12,
    )


def written(value: Any, random: Random, *, repeats: bool = False) -> str:
    """JSON text in some spelling."""

    def blank() -> str:
        return random.choice(["", "", "", " ", "\n\t", "\r\n "])

    def string(text: str) -> str:
        if text == HERE:
            return f'"{HERE}"'  # to be found and replaced
        out = []
        for char in text:
            code = ord(char)
            if random.random() < rate and code < 0x10000:
                out.append(f"\\u{code:04x}" if random.random() < 0.5 else f"\\u{code:04X}")
            elif char == "/" and slashes:
                out.append("\\/")
            else:
                out.append(
                    json.dumps(char, ensure_ascii=code < 0x80 or random.random() < 0.5)[1:-1]
                )
        return '"' + "".join(out) + '"'

    def joined(items: list[str], pair: str) -> str:
        return blank().join((pair[0], (blank() + "," + blank()).join(items), pair[1]))

    def any_of(value: Any) -> str:
        if isinstance(value, Lexeme):
            return str(value)
        if isinstance(value, str):
            return string(value)
        if isinstance(value, list):
            return joined([any_of(item) for item in value], "[]")
        if isinstance(value, dict):
            pairs = list(value.items())
            if repeats and pairs and random.random() < 0.3:
                pairs.append(random.choice(pairs))
            return joined(
                [f"{string(key)}{blank()}:{blank()}{any_of(item)}" for key, item in pairs], "{}"
            )
        return json.dumps(value)

    rate = random.choice([0.0, 0.0, 0.02, 0.3])
    slashes = random.random() < 0.3
    return blank() + any_of(value) + blank()


def by_value(body: bytes, store: ImageStore) -> tuple[Any, ImageOffloadStats] | RawMMError:
    try:
        value = read_json(body)
        return value, offload_images_inplace(value, store=store)
    except RawMMError as error:
        return error


def by_bytes(body: bytes, store: ImageStore) -> tuple[Any, ImageOffloadStats] | RawMMError:
    try:
        out = offload_request(body, store=store)
    except RawMMError as error:
        return error
    return json.loads(out.body), out.stats


def assert_same(body: bytes) -> Any:
    """The result of both functions, which is equal even if the store has every image."""
    with tempfile.TemporaryDirectory() as directory:
        one, two = (ImageStore(Path(directory) / name, durable=False) for name in "ab")
        for store in (one, two):
            store.put(picture())
        said: Any = None
        for _ in range(2):
            here = one.put(picture()).uri.encode()
            there = two.put(picture()).uri.encode()
            expected = by_value(body.replace(HERE.encode(), here), one)
            said = by_bytes(body.replace(HERE.encode(), there), two)
            if isinstance(expected, RawMMError):
                assert isinstance(said, RawMMError), said
                assert (said.code, said.path) == (expected.code, expected.path)
                assert type(said) is type(expected)
                assert_silent(said, *GOOD)
            else:
                assert not isinstance(said, RawMMError), said
                text = json.dumps(expected[0]).replace(str(one.root), str(two.root))
                assert json.dumps(said[0]) == text or json.loads(text) == said[0]
                assert said[1] == expected[1]
        names = [sorted(path.name for path in store.root.iterdir()) for store in (one, two)]
        assert names[0] == names[1]
        assert one.counters == two.counters
        return said


good = st.sampled_from([*GOOD, HERE])
any_url: st.SearchStrategy[Any] = good | st.sampled_from(BAD) | st.none() | numbers | st.just([])


@given(documents(good, harmless, harmless_keys), st.randoms(use_true_random=False))
def test_valid_bodies_give_the_same_as_the_inplace_call(value: Any, random: Random) -> None:
    said = assert_same(written(value, random).encode())
    assert isinstance(said, RawMMError) == (not isinstance(value, dict | list))


@given(documents(any_url), st.randoms(use_true_random=False))
def test_invalid_urls_give_the_same_as_the_inplace_call(value: Any, random: Random) -> None:
    assert_same(written(value, random, repeats=True).encode())


@given(documents(any_url), st.randoms(use_true_random=False), st.data())
def test_malformed_bodies_give_the_same_as_the_inplace_call(
    value: Any, random: Random, data: st.DataObject
) -> None:
    text = written(value, random).encode()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        change = data.draw(
            st.sampled_from(
                [b'"', b"\\", b'"data:', b'"file:', b"\n", b"\xff", b",", b"{", b"]", b""]
            )
        )
        gap = data.draw(st.integers(0, 3))
        text = text[:at] + change + text[at + gap :]
    assert_same(text)


@given(
    st.binary(max_size=40)
    | lexemes("MessageNode")
    | st.lists(
        st.sampled_from([b'"data:', b'"', b"\\", b"file:", b":", b"[", b"]", b"{", b"}", b",", b"\\u0064", b" "])
    ).map(b"".join)
)  # fmt: skip
def test_any_bytes_give_the_same_as_the_inplace_call(text: bytes) -> None:
    assert_same(text)


@given(st.lists(parts(good, harmless), max_size=3), st.data(), st.randoms(use_true_random=False))
def test_text_around_image_parts_is_unchanged(
    found: list[Any], data: st.DataObject, random: Random
) -> None:
    kept = [
        written(data.draw(st.none() | numbers | st.lists(harmless)), random)
        for _ in range(len(found) + 1)
    ]
    kept = [(", " if index else "[\t") + text + " \r," for index, text in enumerate(kept)]
    kept[-1] = kept[-1][:-1] + "]\n"
    with tempfile.TemporaryDirectory() as directory:
        store = ImageStore(directory, durable=False)
        here = store.put(picture()).uri
        body = kept[0]
        for text, one in zip(kept[1:], found, strict=True):
            body += written(one, random).strip().replace(HERE, here) + text
        out = offload_request(body.encode(), store=store).body.decode()
    at = 0
    for index, text in enumerate(kept):
        assert out.startswith(text, at)
        at += len(text)
        if index < len(found):
            changed, at = json.JSONDecoder().raw_decode(out, at)
            assert changed["image_url"]["url"].startswith("file:///")
    assert at == len(out)


def test_nested_bodies_give_the_same_as_the_inplace_call() -> None:
    for depth in (10, 100, 500, 900, 1_100, 3_000, 100_000):
        for left, right in (("[", "]"), ('{"a":', "}")):
            assert_same(
                (
                    left * depth
                    + '{"type":"image","image":"HERE"}'.replace("HERE", HERE)
                    + right * depth
                ).encode()
            )
            assert_same((left * depth).encode())


PIECES = [
    *(b'"', b'\\"', b"\\", b":", b",", b" :", b"{", "é".encode(), b"A", b"A" * 1100),
    *(b'"data:image/png;base64,', b'"DATA:,', b'"iVBORw0KGgo', b'"/9j/', b'"file:', b'"UklGR'),
]


def to_quote(text: bytes, start: int) -> tuple[int, bytes] | None:
    """The hash of this process, or one in its place without the C part."""
    keyed = digest_to_quote()
    if keyed is not None:
        return keyed(text, start)
    end = text.find(b'"', start)
    return (end, hashlib.sha256(text[start:end]).digest()) if end >= 0 else None


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_same_strings_are_found_while_their_texts_are_hashed(text: bytes) -> None:
    plain, hashed = UrlExtractor(text), UrlExtractor(text, ("data", "file"), to_quote)
    assert [cut[:2] for cut in hashed.spans] == [cut[:2] for cut in plain.spans]
    assert hashed.rest == plain.rest.replace(plain.mark.encode(), hashed.mark.encode())
    for index, digest in hashed.digests.items():
        begin, end, _ = hashed.spans[index]
        literal = text[begin + 1 : end - 1]
        base64 = literal.partition(b",")[2] if literal[:5].lower() == b"data:" else literal
        assert to_quote(base64 + b'"', 0) == (len(base64), digest)
