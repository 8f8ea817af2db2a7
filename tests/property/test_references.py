"""Every locator of every document is found, in plain data, in structs and on both wires."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawmm
from rawmm import RawMMRef, to_builtins
from rawmm.offload.references import Referenced, locators
from rawmm.refs import raw_mm_ref
from rawmm.structs import TYPES
from rawmm.testing.strategies import documents, instances
from tests.property.test_refs import historical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = st.builds(
    "{}.{}".format,
    st.from_regex(r"[a-f][0-9a-f]{15}|[0-9a-f]{64}", fullmatch=True),
    st.sampled_from(["png", "jpg", "webp", "gif"]),
)


def found_plainly(value: Any) -> Iterator[str]:
    """By the simplest way there is: fields of that name, and strings that begin so."""
    if isinstance(value, str) and value.lower().startswith("file:"):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from found_plainly(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from found_plainly(key)
            if key == "raw_image_id" and isinstance(each, str):
                yield each
            yield from found_plainly(each)


def on_both_wires(document: Any) -> Iterator[Any]:
    yield document
    yield json.loads(json.dumps(document))
    yield msgspec.json.decode(msgspec.json.encode(document))
    try:
        packed = msgspec.msgpack.encode(document)
    except OverflowError:  # an integer of more than 64 bits
        return
    yield msgspec.msgpack.decode(packed)


def with_names(value: Any, name: Callable[[], str]) -> Any:
    """The document with images that a store named, wherever one is named."""
    if isinstance(value, str) and value.startswith("file://"):
        return f"file:///data/{name()}"
    if isinstance(value, list):
        return [with_names(each, name) for each in value]
    if isinstance(value, dict):
        return {
            key: name()
            if key == "raw_image_id" and isinstance(each, str)
            else with_names(each, name)
            for key, each in value.items()
        }
    return value


def with_refs(value: Any, ref: Callable[[], str]) -> Any:
    """The document with references that can be read; the schema asks for their beginning only."""
    if isinstance(value, str) and value.startswith("mmraw:"):
        return ref()
    if isinstance(value, list):
        return [with_refs(each, ref) for each in value]
    if isinstance(value, dict):
        return {key: with_refs(each, ref) for key, each in value.items()}
    return value


def ref_to(name: str) -> str:
    return raw_mm_ref(
        family="qwen_vl", fingerprint="0" * 32, modality="image", mm_hash="0" * 32,
        raw_image_id=name,
    )  # fmt: skip


@pytest.mark.parametrize("kind", sorted(TYPES))
@given(data=st.data())
def test_every_locator_of_a_document_is_found(kind: str, data: st.DataObject) -> None:
    names: list[str] = []

    def ref() -> str:
        names.append(f"{len(names)}.png")
        return ref_to(names[-1])

    document = with_refs(data.draw(documents(kind)), ref)
    wanted = sorted([*found_plainly(document), *names])
    for form in on_both_wires(document):
        assert sorted(one.locator for one in locators(form)) == wanted
    struct = rawmm.convert(document, TYPES[kind])
    assert sorted(one.locator for one in locators(struct)) == wanted


@pytest.mark.parametrize("kind", sorted(TYPES))
@given(data=st.data())
def test_every_image_that_a_document_names_stays(kind: str, data: st.DataObject) -> None:
    names: list[str] = []

    def name() -> str:
        names.append(data.draw(NAMES))
        return names[-1]

    document = with_refs(data.draw(documents(kind)), lambda: ref_to(name()))
    document = with_names(document, name)
    other = data.draw(NAMES)
    for form in on_both_wires(document):
        referenced = Referenced([*names, other])
        referenced.add(form)
        assert set(names) <= referenced.names


@given(instances(RawMMRef), NAMES, st.booleans(), st.sampled_from(["run", "ab12", "x.y"]))
def test_every_form_of_a_reference_names_its_image(
    ref: RawMMRef,
    name: str,
    by_uri: bool,  # noqa: FBT001
    run_id: str,
) -> None:
    fields = to_builtins(ref) | {"mm_hash": name.partition(".")[0]}
    fields.pop("raw_image_id", None)
    fields.pop("raw_image_uri", None)
    where: dict[str, Any] = (
        {"raw_image_uri": f"file:///a/{name}"} if by_uri else {"raw_image_id": name}
    )
    located = RawMMRef(**fields, **where)
    wanted = f"file:///a/{name}" if by_uri else name
    for form, text in historical(located, run_id).items():
        record = {"features": {"kwargs_data": {"image": [None, text]}}}
        assert [one.locator for one in locators(record)] == [wanted], form
        for hidden in (text, f"Reference {text} was used.", json.dumps([text])):
            referenced = Referenced([name])
            referenced.add([hidden])
            assert referenced.names == {name}, form
