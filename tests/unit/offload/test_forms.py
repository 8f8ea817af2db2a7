"""Every form of an image, by every entry point; what hides one; and what is none."""

from __future__ import annotations

import array
import asyncio
import copy
import io
import json
import re
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from rawmm.errors import OffloadError
from rawmm.images import Limits
from rawmm.offload import (
    ImageOffloadStats,
    offload_images_async,
    offload_images_inplace,
    offload_request,
)
from rawmm.offload.forms import FORMS
from rawmm.offload.image_parts import ImageParts
from rawmm.store.references import Referenced
from tests.cases import each, every
from tests.unit.images.pictures import assert_silent, data_url
from tests.unit.offload.form_bodies import (
    B64,
    BODIES,
    NO_IMAGE,
    NO_IMAGE_BODIES,
    NOT_PARTS,
    PARTS,
    RAW,
    REFUSED,
    filled,
    message,
    places,
    recorded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.store import ImageStore

    EntryPoint = Callable[[Any, ImageStore, Limits | None], tuple[Any, ImageOffloadStats]]

WRAPS: dict[str, Callable[[Any], Any]] = {
    "a request": message,
    "a list of messages": lambda part: message(part)["messages"],
    "the result of a tool": lambda part: {
        "messages": [
            {"role": "tool", "tool_call_id": "c", "content": [part], "name": None},
            {
                "role": "user",
                "content": [{"type": "tool_result", "content": [copy.deepcopy(part)]}],
            },
        ]
    },
    "items of Responses": lambda part: {
        "model": "m",
        "input": [{"role": "user", "content": [part], "type": "message"}],
    },
    "contents of Gemini": lambda part: {"contents": [{"role": "user", "parts": [part]}]},
    "a trace": lambda part: {"nodes": [{"message": message(part)["messages"][0], "parent": None}]},
}


def in_place(value: Any, store: ImageStore, limits: Limits | None) -> tuple[Any, ImageOffloadStats]:
    value = copy.deepcopy(value)
    return value, offload_images_inplace(value, store=store, limits=limits)


def in_a_thread(
    value: Any, store: ImageStore, limits: Limits | None
) -> tuple[Any, ImageOffloadStats]:
    value = copy.deepcopy(value)
    return value, asyncio.run(offload_images_async(value, store=store, limits=limits))


def in_bytes(value: Any, store: ImageStore, limits: Limits | None) -> tuple[Any, ImageOffloadStats]:
    body, stats = offload_request(json.dumps(value).encode(), store=store, limits=limits)
    return json.loads(body), stats


ENTRY_POINTS: dict[str, EntryPoint] = {"value": in_place, "async": in_a_thread, "bytes": in_bytes}


class Attributes:
    """An object of a class that no container is."""

    def __init__(self, part: Any) -> None:
        self.part = part


async def later(part: Any) -> Any:
    yield part


OPAQUE: dict[str, Callable[[Any], Any]] = {
    "generator": lambda part: (one for one in [part]),
    "map": lambda part: map(dict, [part]),
    "values of a dict": lambda part: {1: part}.values(),
    "iterator": lambda part: iter([part]),
    "array of objects": lambda part: np.array([part], dtype=object),
    "array of text": lambda part: np.array([part["image_url"]["url"]]),
    "file": lambda _: io.BytesIO(RAW),
    "asynchronous generator": later,
    "object": Attributes,
}
"""Values of Python in which an image is not found."""


@pytest.fixture(params=ENTRY_POINTS)
def entry_point(request: pytest.FixtureRequest) -> EntryPoint:
    return ENTRY_POINTS[request.param]


def stored_names(store: ImageStore) -> list[str]:
    return sorted(path.name for path in store.root.iterdir()) if store.root.exists() else []


# --- what is offloaded


@each("wrap", ["a request", "the result of a tool", "a trace"])
@each("name", PARTS)
def test_image_in_each_form_is_offloaded(
    name: str, wrap: str, entry_point: EntryPoint, store: ImageStore
) -> None:
    where = places(store)
    before, after = (WRAPS[wrap](filled(one, **where)) for one in PARTS[name])
    value, stats = entry_point(before, store, None)
    assert value == after
    assert B64 not in json.dumps(value)
    assert stats.images_seen == json.dumps(after).count(where["REF"])
    # What was written is read as such.
    again, more = entry_point(value, store, None)
    assert again == value
    assert (more.images_seen, more.images_rewritten) == (stats.images_seen, 0)


@pytest.mark.parametrize("wrap", WRAPS)
def test_place_in_a_document_makes_no_difference(
    wrap: str, entry_point: EntryPoint, store: ImageStore
) -> None:
    where = places(store)
    for before, after in PARTS.values():
        value, _ = entry_point(WRAPS[wrap](filled(before, **where)), store, None)
        assert value == WRAPS[wrap](filled(after, **where))


@each("name", BODIES)
def test_documents_of_clients_are_offloaded(
    name: str, entry_point: EntryPoint, store: ImageStore
) -> None:
    where = places(store)
    before, after = (filled(one, **where) for one in BODIES[name])
    value, stats = entry_point(before, store, None)
    assert value == after
    assert stats.images_seen == json.dumps(after).count(where["REF"])


@each("case", recorded(), ids=lambda case: f"{case['made_by']}: {case['what']}")
def test_bodies_that_released_packages_write_are_offloaded(
    case: dict[str, Any], entry_point: EntryPoint, store: ImageStore
) -> None:
    value, stats = entry_point(
        case["body"], store, Limits(other_media="refuse", mislabelled="refuse")
    )
    assert stats.images_seen == stats.images_rewritten == case["images"]
    assert "iVBOR" not in json.dumps(value)
    assert json.dumps(value).count("file:///") == case["images"]
    assert entry_point(value, store, None)[0] == value


def test_every_form_has_a_row_in_the_table() -> None:
    values = [filled(one, REF="file:///x", NAME="n") for row in PARTS.values() for one in row]
    values += [message(one) for one in values]
    values += [filled(one, REF="file:///x", NAME="n") for row in BODIES.values() for one in row]
    values.append(message({"bytes": None, "path": f"file:///{'0' * 64}.png"}))
    values += [message(filled(part)) for part, _ in REFUSED.values()]
    found = {part.form.name for one in values for part in ImageParts(one).parts if part.form}
    shown = f"file:///x/{'0' * 64}.png"
    for form in FORMS:
        if form.name in found:
            continue
        value: Any = shown
        for key in reversed(form.at):
            value = {key: value}
        value |= {"type": form.types[0]} if form.types else {}
        assert [part.form for part in ImageParts(message(value)).parts] == [form], form.name


def test_references_of_every_form_keep_their_images(store: ImageStore) -> None:
    where = places(store)
    for _, after in (*PARTS.values(), *BODIES.values()):
        kept = Referenced([where["NAME"]])
        assert where["REF"] in [one.locator for one in kept.read(filled(after, **where))]
        assert kept.names == {where["NAME"]}


def test_label_is_corrected_and_counted(entry_point: EntryPoint, store: ImageStore) -> None:
    where = places(store)
    for name in ("wrong label", "AI SDK 4", "Anthropic with a wrong type"):
        before = message(filled(PARTS[name][0], **where))
        stats = entry_point(before, store, None)[1]
        assert stats.images_mislabelled == (name != "AI SDK 4")
    before = message(filled(PARTS["wrong label"][0]))
    with pytest.raises(OffloadError) as caught:
        entry_point(before, store, Limits(mislabelled="refuse"))
    assert caught.value.code == "image_type_mismatch"


# --- what is refused


@each("wrap", ["a request", "a list of messages", "the result of a tool"])
@each("name", REFUSED)
def test_image_that_cannot_be_offloaded_is_an_error(
    name: str, wrap: str, entry_point: EntryPoint, store: ImageStore
) -> None:
    part, code = REFUSED[name]
    value = WRAPS[wrap](filled(part))
    value = [value, message(filled(PARTS["chat"][0]))]
    before = copy.deepcopy(value)
    with pytest.raises(OffloadError) as caught:
        entry_point(value, store, None)
    assert caught.value.code == code
    assert caught.value.path.startswith("$[0]")
    assert caught.value.hint
    assert value == before
    assert stored_names(store) == []
    assert_silent(caught.value, data_url(RAW), B64)


def test_error_names_the_place_and_the_forms(store: ImageStore) -> None:
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(message(filled({"type": "shot", "blob": "URL"})), store=store)
    assert str(caught.value) == (
        '$.messages[0].content[1].blob: expected an image in a form that rawmm knows: {"type": '
        '"image_url", "image_url": {"url": ...}}, input_image, an Anthropic, MCP, LangChain, AI '
        "SDK, Gemini or Bedrock image, or a list under images, got a data URL of an image "
        "elsewhere; rewrite it as a part of type image_url; docs/image-forms.md lists all forms, "
        "and text may contain anything [unknown_image_form]"
    )


WRITTEN = sorted(
    {key for form in FORMS for key in (*form.at[:1], *form.written)}
    - {"type", "images", "path", "bytes"}
    - {name for form in FORMS for name in form.media_type}
)
BESIDE = ["a cat on a mat, and a dog", "https://example.org/cat.png", {"url": "https://e.org/c"}]


@every(4)
@each("name", PARTS)
def test_value_beside_an_image_is_kept_or_refused(name: str, step: int, store: ImageStore) -> None:
    """A reference never takes the place of a value that is not the image.

    Each part gets every key, or one of `step`; the next part the next ones.
    """
    part = filled(PARTS[name][0], **places(store))
    assert type(part) is dict
    kept = 0
    for key in WRITTEN[list(PARTS).index(name) % step :: step]:
        if part.get(key) is not None:
            continue
        for value in BESIDE:
            body = message({**part, key: value})
            before = json.dumps(body).encode()
            try:
                offload_images_inplace(body, store=store)
            except OffloadError:
                assert json.dumps(body).encode() == before
                with pytest.raises(OffloadError):
                    offload_request(before, store=store)
                continue
            kept += 1
            assert json.dumps(value) in json.dumps(body), key
            assert json.loads(offload_request(before, store=store).body) == body
            assert offload_images_inplace(body, store=store).images_rewritten == 0
    assert kept


def test_two_images_in_one_object_name_both_keys(store: ImageStore) -> None:
    row = {"image": data_url(RAW), "image_url": "https://example.org/cat.png", "caption": "cat"}
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace([row], store=store)
    assert str(caught.value) == (
        "$[0].image_url: expected an object with one image, got an image under image, and a value "
        "under image_url; make two parts of two images, or rename the field that is no image "
        "[wrong_type]"
    )


@pytest.mark.parametrize("size", [10, 240, 260, 900, 1100])
@pytest.mark.parametrize("char", ["a", "\u0101"])
def test_head_of_any_length_is_read_alike_by_all(
    size: int, char: str, entry_point: EntryPoint, store: ImageStore
) -> None:
    """What is beyond the characters in which a head ends is seen by no entry point."""
    row = {"shot": f"data:image{char * size}/png;base64,{B64}", "note": "x"}
    for value in ([row], message(row)):
        says = []
        for read in (entry_point, ENTRY_POINTS["value"]):
            try:
                says.append(read(copy.deepcopy(value), store, None)[1])
            except OffloadError as error:
                says.append((error.code, error.path))
        assert says[0] == says[1]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_placeholders_and_images_must_be_as_many(
    count: int, entry_point: EntryPoint, store: ImageStore
) -> None:
    value = {**message({"type": "image"}, {"type": "image"}), "images": [data_url(RAW)] * count}
    with pytest.raises(OffloadError) as caught:
        entry_point(value, store, None)
    assert (caught.value.code, caught.value.path) == ("count_mismatch", "$.images")
    assert stored_names(store) == []


# --- what is no image


@each("wrap", ["a request", "the result of a tool", "items of Responses"])
@each("name", NO_IMAGE)
def test_part_without_an_image_comes_out_byte_for_byte(
    name: str, wrap: str, store: ImageStore
) -> None:
    assert_unchanged(WRAPS[wrap](filled(NO_IMAGE[name])), store)


@pytest.mark.parametrize("name", NO_IMAGE_BODIES)
def test_document_without_an_image_comes_out_byte_for_byte(name: str, store: ImageStore) -> None:
    assert_unchanged(filled(NO_IMAGE_BODIES[name]), store)


def assert_unchanged(value: Any, store: ImageStore) -> None:
    body = json.dumps(value, indent=1).replace("/", "\\/").encode()
    out, stats = offload_request(body, store=store)
    assert out == body
    assert stats.images_seen == 0
    for entry_point in ENTRY_POINTS.values():
        again, same = entry_point(value, store, None)
        assert again == value
        assert same == stats
    assert stored_names(store) == []


def test_other_media_are_counted_and_refused_on_demand(
    entry_point: EntryPoint, store: ImageStore
) -> None:
    media = [name for name in NO_IMAGE if re.match("PDF|audio|video", name)]
    assert len(media) >= 15
    for name in media:
        value = message(filled(NO_IMAGE[name]))
        assert entry_point(value, store, None)[1].other_media == (name != "PDF of Bedrock"), name
        if name == "PDF of Bedrock":
            continue  # its media type is not said in a way that all share
        with pytest.raises(OffloadError) as caught:
            entry_point(value, store, Limits(other_media="refuse"))
        assert caught.value.code == "other_media"
        assert caught.value.path.startswith("$.messages[0].content[1]")


def test_data_urls_in_text_are_counted(entry_point: EntryPoint, store: ImageStore) -> None:
    for name, count in (
        ("text", 0),
        ("text that is a data URL", 1),
        ("text about data URLs", 1),
        ("text with an image", 2),
        ("tool use", 1),
        ("function call", 1),
    ):
        assert entry_point(message(filled(NO_IMAGE[name])), store, None)[1].text_data_urls == count
    for name in ("fields of a trace", "tool schema", "content as a string"):
        assert entry_point(filled(NO_IMAGE_BODIES[name]), store, None)[1].text_data_urls > 0


# --- pictures, bytes and images beside the messages, which only values have


class TestValues:
    def test_picture_of_pillow_is_stored_without_loss(self, store: ImageStore) -> None:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            picture = Image.new(mode, (5, 3))
            picture.putpixel((2, 1), 1 if mode in ("1", "L", "P", "I;16") else (9,) * len(mode))
            value = message({"type": "image", "image": picture}, images=[picture, {"bytes": RAW}])
            stats = offload_images_inplace(value, store=store)
            assert (stats.images_seen, stats.images_encoded) == (3, 2)
            part = value["messages"][0]["content"][1]
            assert set(part) == {"type", "image_url"}
            with Image.open(part["image_url"]["url"].removeprefix("file://")) as stored:
                assert (stored.format, stored.size) == ("PNG", (5, 3))
                assert stored.convert(mode).tobytes() == picture.tobytes()

    @pytest.mark.parametrize("mode", ["CMYK", "F", "YCbCr", "HSV", "I"])
    def test_picture_that_png_cannot_hold_is_refused(self, mode: str, store: ImageStore) -> None:
        value = [{"type": "image", "image": Image.new(mode, (5, 3))}]
        with pytest.raises(OffloadError) as caught:
            offload_images_inplace(value, store=store)
        assert (caught.value.code, caught.value.path) == ("wrong_type", "$[0].image")
        assert "convert" in str(caught.value.hint)
        assert stored_names(store) == []

    def test_picture_that_cannot_be_loaded_is_refused(self, store: ImageStore) -> None:
        picture = Image.open(io.BytesIO(RAW[:-40]))
        with pytest.raises(OffloadError) as caught:
            offload_images_inplace([{"type": "image", "image": picture}], store=store)
        assert caught.value.code == "wrong_type"
        assert caught.value.__context__ is None

    def test_bytes_are_taken_where_clients_have_them(self, store: ImageStore) -> None:
        ref = store.put(RAW).uri
        for raw in (RAW, bytearray(RAW), memoryview(RAW)):
            value = message(
                {"image": {"format": "png", "source": {"bytes": raw}}},
                {"inline_data": {"mime_type": "image/png", "data": raw}},
                {"type": "image", "image": raw},
                images=[{"bytes": raw, "path": None}, raw],
            )
            assert offload_images_inplace(value, store=store).images_seen == 5
            assert json.dumps(value).count(ref) == 5

    def test_bytes_and_pictures_elsewhere_are_refused(self, store: ImageStore) -> None:
        for hidden in (RAW, bytearray(RAW), Image.new("RGB", (2, 2))):
            for part in ({"type": "x", "y": hidden}, {"type": "x", "y": [hidden]}):
                with pytest.raises(OffloadError) as caught:
                    offload_images_inplace(message(part), store=store)
                assert caught.value.code == "unknown_image_form"
                assert caught.value.path.startswith("$.messages[0].content[1].y")

    @each("name", OPAQUE)
    @each("place", ["messages", "content", "part", "unknown key"])
    def test_value_that_may_hold_an_image_unseen_is_refused(
        self, name: str, place: str, store: ImageStore
    ) -> None:
        hidden = OPAQUE[name](filled(PARTS["chat"][0]))
        value: Any = message()
        if place == "messages":
            value["messages"] = hidden
        elif place == "content":
            value["messages"][0]["content"] = hidden
        else:
            parts = value["messages"][0]["content"]
            parts.append(hidden if place == "part" else {"type": "x", "y": hidden})
        for call in (
            offload_images_inplace,
            lambda *args, **more: asyncio.run(offload_images_async(*args, **more)),
        ):
            if place == "messages" and name == "object":
                continue  # a rollout may hold clients and the like
            with pytest.raises(OffloadError) as caught:
                call(value, store=store)
            assert caught.value.code == "wrong_type"
            assert caught.value.path.startswith("$.messages")
            assert "list" in str(caught.value.hint)
            assert stored_names(store) == []

    def test_values_without_an_image_pass(self, store: ImageStore) -> None:
        value = message(
            {"type": "x", "y": np.zeros((2, 3)), "z": range(3), "a": array.array("i", [1])},
            {"type": "x", "y": Decimal(1), "z": np.float32(1), "a": Path("x"), "b": {1, 2}},
            when=datetime.now(UTC),
            id=uuid.uuid4(),
        )
        assert offload_images_inplace(value, store=store).images_seen == 0

    def test_file_in_an_array_of_bytes_is_refused(self, store: ImageStore) -> None:
        for hidden in (np.frombuffer(RAW, np.uint8), array.array("B", RAW)):
            with pytest.raises(OffloadError) as caught:
                offload_images_inplace(message({"type": "x", "y": hidden}), store=store)
            assert caught.value.code == "unknown_image_form"

    def test_string_of_another_class_is_read_as_a_string(self, store: ImageStore) -> None:
        class Text(str):
            __slots__ = ()

        url = Text(data_url(RAW))
        texts: list[Any] = [{"type": "text", "text": url}, {"type": "text", "value": url}]
        for part in ({"type": "tool_use", "name": "f", "arguments": url}, *texts):
            stats = offload_images_inplace(message(part), store=store)
            assert (stats.images_seen, stats.text_data_urls) == (0, 1)
        for hidden in (url, [url]):
            with pytest.raises(OffloadError) as caught:
                offload_images_inplace(message({"type": "x", "y": hidden}), store=store)
            assert caught.value.code == "unknown_image_form"

    def test_prompt_that_branches_share_is_counted_in_each(self, store: ImageStore) -> None:
        (prompt,) = message({"type": "image"})["messages"]
        answer = {"role": "assistant", "content": "x"}
        row = {"images": [RAW], "chosen": [prompt, answer], "rejected": [prompt, answer]}
        assert offload_images_inplace(row, store=store).images_seen == 1
        row["rejected"] = [answer]
        with pytest.raises(OffloadError) as caught:
            offload_images_inplace(row, store=store)
        assert (caught.value.code, caught.value.path) == ("count_mismatch", "$.images")

    def test_given_images_fill_the_placeholders(self, store: ImageStore) -> None:
        ref = store.put(RAW).uri
        given = [data_url(RAW), B64, RAW, {"bytes": RAW, "path": None}, Image.new("L", (2, 2)), ref]
        for call in (
            offload_images_inplace,
            lambda *args, **more: asyncio.run(offload_images_async(*args, **more)),
        ):
            value = message(*({"type": "image", "text": None} for _ in given))
            stats = call(value, store=store, images=given)
            assert (stats.images_seen, stats.images_rewritten) == (6, 5)
            urls = [part["image_url"]["url"] for part in value["messages"][0]["content"][1:]]
            assert urls[:4] == [ref] * 4
            assert urls[5] == ref

    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_given_images_must_be_as_many_as_placeholders(
        self, count: int, store: ImageStore
    ) -> None:
        value = message({"type": "image"}, {"type": "image"})
        before = copy.deepcopy(value)
        with pytest.raises(OffloadError) as caught:
            offload_images_inplace(value, store=store, images=[RAW] * count)
        assert caught.value.code == "count_mismatch"
        assert value == before
        assert stored_names(store) == []

    def test_typed_part_without_a_place_for_a_url_is_refused(self, store: ImageStore) -> None:
        from dataclasses import dataclass

        @dataclass
        class ImageContent:
            data: str
            mimeType: str = "image/png"  # noqa: N815  (as MCP has it)
            type: str = "image"

        value = message(ImageContent(B64))
        with pytest.raises(OffloadError) as caught:
            offload_images_inplace(value, store=store)
        assert (caught.value.code, caught.value.path) == (
            "wrong_type",
            "$.messages[0].content[1].data",
        )
        assert "dicts" in str(caught.value.hint)
        assert value["messages"][0]["content"][1].data == B64
        assert stored_names(store) == []

    def test_object_in_arguments_and_in_content_is_found(self, store: ImageStore) -> None:
        part = filled(PARTS["MCP"][0])
        value = {"tools": [part], "messages": [{"role": "user", "content": [part]}]}
        assert offload_images_inplace(value, store=store).images_seen == 1
        value = {"messages": [{"role": "user", "content": [part]}], "tools": [part]}
        assert offload_images_inplace(value, store=store).images_seen == 1


class TestChat:
    """Messages for a reader that knows ``image_url`` parts only, as verifiers does."""

    @each("role", ["system", "user", "tool"])
    @each("name", PARTS)
    def test_part_becomes_image_url_or_is_refused(
        self, name: str, role: str, store: ImageStore
    ) -> None:
        where = places(store)
        value = [{"role": role, "content": [filled(PARTS[name][0], **where)]}]
        before = copy.deepcopy(value)
        try:
            stats = asyncio.run(offload_images_async(value, store=store, as_chat=True))
        except OffloadError:
            assert name in NOT_PARTS
            assert value == before
            return
        (part,) = value[0]["content"]
        assert (part["type"], part["image_url"]["url"]) == ("image_url", where["REF"])
        assert json.dumps(part).count(where["REF"]) == stats.images_seen == 1

    @pytest.mark.parametrize(
        "value",
        [
            [
                {
                    "role": "assistant",
                    "content": [{"type": "image_url", "image_url": {"url": "URL"}}],
                }
            ],
            [{"role": "user", "content": "x", "images": ["B64"]}],
            [{"role": "user", "content": [{"type": "tool_result", "content": [{"image": "URL"}]}]}],
            [{"role": "user", "content": "x", "extra": {"type": "image", "image": "URL"}}],
        ],
    )
    def test_image_that_verifiers_would_drop_is_refused(
        self, value: Any, store: ImageStore
    ) -> None:
        value = filled(value)
        with pytest.raises(OffloadError) as caught:
            asyncio.run(offload_images_async(value, store=store, as_chat=True))
        assert caught.value.code == "unknown_image_form"
        assert stored_names(store) == []
