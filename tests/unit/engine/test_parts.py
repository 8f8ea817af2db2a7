"""Content parts: the images of messages in order, their URLs and their hashes."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import (
    ContentPart,
    ContractError,
    RawMMError,
    TextContentPart,
    UserMessage,
    content_parts,
    convert,
    media,
)
from tests.builders import sha256_of
from tests.cases import each
from tests.unit.images.pictures import data_url, part, picture
from tests.zoo import ZOO

if TYPE_CHECKING:
    from collections.abc import Iterator


def message(*urls: str, role: str = "user", **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "look"}, *map(part, urls)]
    return {"role": role, "content": content, **fields}


def stored(number: int, directory: str = "/run/images") -> str:
    return f"file://{directory}/{sha256_of(number)}.png"


def refused(url: str) -> RawMMError:
    with pytest.raises(RawMMError) as caught:
        content_parts([message(stored(0)), message("https://a/b.png", url)])
    assert caught.value.path == "$[1].content[2].image_url.url"
    return caught.value


def test_images_of_all_messages_are_in_order() -> None:
    inline = data_url(picture())
    messages = [
        {"role": "system", "content": "hello"},
        message(stored(0), inline),
        {"role": "assistant", "content": None},
        message(stored(1), role="tool", tool_call_id="a"),
    ]
    parts = content_parts(messages)
    assert [one.url for one in parts] == [stored(0), inline, stored(1)]
    assert {one.type for one in parts} == {"image_url"}
    assert content_parts(convert(one, UserMessage) for one in messages[1:2]) == parts[:2]


def test_uuid_is_the_hash_of_the_sidecar() -> None:
    raw = picture()
    file, inline = content_parts([message(stored(0), data_url(raw))])
    assert file.uuid == sha256_of(0)[:32]
    assert inline.uuid == hashlib.sha256(raw).hexdigest()[:32]


def test_same_image_has_the_same_uuid_wherever_it_is() -> None:
    raw = picture()
    name = hashlib.sha256(raw).hexdigest()
    urls = [
        data_url(raw),
        data_url(raw).replace("data:image/png", "DATA:image/PNG"),
        f"file:///a/{name}.png",
        f"file:///b/{name}.png",
        f"file:///a/%{ord(name[0]):x}{name[1:]}.png",
    ]
    assert len({one.uuid for one in content_parts([message(*urls)])}) == 1


def test_two_images_have_two_uuids() -> None:
    urls = [data_url(picture(seed=seed)) for seed in range(3)]
    assert len({one.uuid for one in content_parts([message(*urls)])}) == 3


@pytest.mark.parametrize(
    "url",
    [
        "file:///data/cat.png",
        f"file:///data/{'a' * 16}.png",  # 16 digits of the hash, which images may share
        f"file:///data/{'a' * 63}.png",
        f"https://host/{'a' * 64}.png",  # not a name that a store gave
        "http://host/cat.png",
    ],
)
def test_image_of_unknown_hash_has_no_uuid(url: str) -> None:
    assert content_parts([message(url)]) == [ContentPart(url=url)]


@pytest.mark.parametrize("head", ["file://localhost", "FILE://LocalHost", "File://"])
def test_host_of_a_file_is_left_out(head: str) -> None:
    (one,) = content_parts([message(f"{head}/a/{sha256_of(0)}.png")])
    assert one.url == stored(0, "/a")


def test_declared_type_is_ignored_as_engines_do() -> None:
    mislabelled = data_url(picture()).replace("png", "jpeg")
    (one,) = content_parts([message(mislabelled)])
    assert (one.url, one.uuid) == (
        mislabelled,
        content_parts([message(data_url(picture()))])[0].uuid,
    )


BAD_URLS = {
    "s3://bucket/a.png": "bad_locator",
    "images/a.png": "bad_locator",
    "": "bad_locator",
    "file://host/a.png": "bad_locator",
    "file:///a/../b.png": "path_escape",
    "data:image/png;base64,aGVs*bG8=": "bad_base64",
    "data:image/png;base64,aGVsbG8=": "not_an_image",
    "data:image/png,hello": "bad_locator",
    "data:text/plain;base64,aGVsbG8=": "bad_locator",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_url_that_no_engine_reads_is_refused(url: str) -> None:
    error = refused(url)
    assert error.code == BAD_URLS[url]
    assert "aGVs" not in str(error)


def test_sentence_names_the_schemes() -> None:
    assert refused("s3://bucket/a.png").message == (
        "expected a file://, data: or web URL, got 's3://bucket/a.png'; engines read no other; "
        "store the images in a directory that the engine has"
    )


@pytest.mark.parametrize("kind", ["video_url", "audio_url", "input_audio"])
def test_part_of_another_type_is_refused(kind: str) -> None:
    """The engine would skip it in silence."""
    with pytest.raises(ContractError) as caught:
        content_parts([{"role": "user", "content": [{"type": kind, kind: {"url": "file:///a"}}]}])
    assert caught.value.path.startswith("$[0].content[0]")


@pytest.fixture
def _notes() -> Iterator[None]:
    """Registers texts as a modality for the duration of a test."""
    tables: list[dict[Any, Any]] = [media.MODALITIES, media.IN_MESSAGES, media._URL_READERS]
    before = [table.copy() for table in tables]
    media.register(media.Modality(name="note", parts={TextContentPart: ("text",)}))
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


@pytest.mark.usefixtures("_notes")
def test_part_of_a_registered_modality_is_refused() -> None:
    with pytest.raises(ContractError) as caught:
        content_parts([message(stored(0))])
    error = caught.value
    assert (error.code, error.path) == ("unsupported_modality", "$[0].content[0].text")


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": "hello"}]])
def test_prompt_without_images_has_no_parts(messages: Any) -> None:
    assert content_parts(messages) == []


@each("name", ZOO)
def test_odd_object_is_a_value_or_an_error_of_ours(name: str) -> None:
    with suppress(RawMMError):
        content_parts(ZOO[name].make())
