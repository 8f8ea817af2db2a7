"""Any forms of images in any nesting: none is left, all are counted, or an error names one."""

from __future__ import annotations

import asyncio
import copy
import json
import tempfile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rawmm.errors import OffloadError
from rawmm.offload import offload_images_async, offload_images_inplace, offload_request
from rawmm.store import ImageStore
from tests.unit.images.pictures import FORMATS, assert_silent, data_url, picture
from tests.unit.offload.form_bodies import NO_IMAGE, PARTS, REFUSED, filled

IMAGES = {
    data_url(picture(kind, seed=seed)).partition(",")[2]: kind
    for kind in FORMATS
    for seed in range(1, 4)
}
"""Base64 of images, and their formats."""
SENT = {name: json.dumps(before).count("URL") + json.dumps(before).count("B64") for name, (before, _) in PARTS.items()}  # fmt: skip
HAS_REF = {name for name, (before, _) in PARTS.items() if "REF" in json.dumps(before)}


def with_image(template: Any, text: str) -> Any:
    """A template with an image, whose declared type is that of a PNG."""
    return filled(template, URL=f"data:image/png;base64,{text}", B64=text)


images = st.sampled_from(sorted(IMAGES))
good = st.tuples(st.sampled_from(sorted(PARTS.keys() - HAS_REF)), images)
# A web address without a type is an image in a list of content parts only.
bad = st.tuples(st.sampled_from(sorted(REFUSED.keys() - {"untyped web"})), images)
harmless = st.sampled_from(sorted(NO_IMAGE)).map(lambda name: (name, ""))


def part_of(drawn: tuple[str, str]) -> Any:
    name, text = drawn
    template = PARTS[name][0] if name in PARTS else (REFUSED.get(name) or (NO_IMAGE.get(name),))[0]
    return with_image(template, text) if text else filled(NO_IMAGE[name])


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists of parts in anything that holds content."""
    contents = st.lists(leaves, max_size=3)
    return st.recursive(
        contents,
        lambda inner: st.one_of(
            st.builds(lambda one: [{"type": "tool_result", "content": one}], inner),
            st.builds(lambda one: [{"functionResponse": {"name": "f", "parts": one}}], inner),
            st.builds(lambda one: [{"toolResult": {"toolUseId": "t", "content": one}}], inner),
            st.builds(
                lambda one: [{"type": "document", "source": {"type": "content", "content": one}}],
                inner,
            ),
            st.builds(lambda one: [{"type": "text", "text": "x"}, *one], inner),
            st.builds(lambda one: [{"type": "x", "a": {"b": one, "c": 1.0}}], inner),
            st.builds(lambda one, two: [*one, *two], inner, inner),
        ),
        max_leaves=6,
    )


def bodies(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    content = nested(leaves)
    messages = st.lists(
        st.builds(lambda one: {"role": "user", "content": one}, content), max_size=3
    )
    return st.one_of(
        st.builds(lambda one: {"model": "m", "messages": one}, messages),
        messages,
        st.builds(lambda one: {"model": "m", "input": one}, messages),
        st.builds(lambda one: {"contents": [{"role": "user", "parts": one}]}, content),
        st.builds(
            lambda one: {"nodes": [{"parent": None, "message": each} for each in one]}, messages
        ),
    )


class Leaf(dict[str, Any]):
    """A part that knows how many images it has; -1 if it must be refused."""

    images = 0


def leaf(drawn: tuple[str, str]) -> Leaf:
    made = Leaf(part_of(drawn))
    made.images = SENT[drawn[0]] if drawn[0] in PARTS else -1 if drawn[0] in REFUSED else 0
    return made


def count(value: Any) -> tuple[int, bool]:
    """The images in a body, and whether one must be refused."""
    if isinstance(value, Leaf):
        return max(value.images, 0), value.images < 0
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [count(one) for one in below]
    return sum(number for number, _ in found), any(refused for _, refused in found)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def by_every_door(value: Any, store: ImageStore) -> list[Any]:
    """The results of the three entry points, or their errors."""

    def in_place() -> Any:
        mine = copy.deepcopy(value)
        stats = offload_images_inplace(mine, store=store)
        return mine, stats.images_seen

    def in_a_thread() -> Any:
        mine = copy.deepcopy(value)
        stats = asyncio.run(offload_images_async(mine, store=store))
        return mine, stats.images_seen

    def in_bytes() -> Any:
        body, stats = offload_request(json.dumps(value).encode(), store=store)
        return json.loads(body), stats.images_seen

    results: list[Any] = []
    for entry_point in (in_place, in_a_thread, in_bytes):
        try:
            results.append(entry_point())
        except OffloadError as error:
            assert not store.root.exists()
            results.append(error)
    return results


@given(bodies(st.one_of(good, harmless).map(leaf)))
def test_every_image_is_offloaded_and_counted(made: Any) -> None:
    number, _ = count(made)
    value = plain(made)
    in_text = json.dumps(value)
    with tempfile.TemporaryDirectory() as directory:
        for result, seen in by_every_door(value, ImageStore(f"{directory}/x", durable=False)):
            assert seen == number
            # What is left is the base64 of the table's bodies without images.
            left = json.dumps(result)
            assert not any(text in left for text in IMAGES)
            assert left.count("file:///") - in_text.count("file:///") == number


@given(bodies(st.one_of(good, bad, harmless).map(leaf)))
def test_image_that_cannot_be_offloaded_is_named(made: Any) -> None:
    _, refused = count(made)
    value = plain(made)
    with tempfile.TemporaryDirectory() as directory:
        results = by_every_door(value, ImageStore(f"{directory}/x", durable=False))
    if not refused:
        assert not any(isinstance(result, OffloadError) for result in results)
        return
    codes = {code for _, code in REFUSED.values()}
    for result in results:
        assert isinstance(result, OffloadError)
        assert result.code in codes
        assert_silent(result, *IMAGES)
    assert len({str(result) for result in results}) == 1


signs = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda one: not one.isalnum()), max_size=20
)


@given(signs, st.sampled_from(["", "url(", "URL( '"]), images)
def test_signs_before_a_data_url_do_not_hide_it(before: str, style: str, text: str) -> None:
    hidden = f"{before}{style}data:image/png;base64,{text}"
    value = {"messages": [{"role": "user", "content": [{"type": "x", "y": hidden}]}]}
    with tempfile.TemporaryDirectory() as directory:
        results = by_every_door(value, ImageStore(f"{directory}/x", durable=False))
    assert [getattr(result, "code", None) for result in results] == ["unknown_image_form"] * 3
