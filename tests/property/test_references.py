"""Every locator of every document is found, in plain data, in structs and on both wires."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import random
import re
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PlainSerializer, computed_field
from pydantic import dataclasses as pydantic_dataclasses

import rawmm
from rawmm import RawMMRef, to_builtins
from rawmm.engine.refs import raw_mm_ref
from rawmm.locators import stored_hash
from rawmm.model.types import TYPES
from rawmm.store.references import Referenced, locators
from rawmm.testing.strategies import documents, instances
from tests.property.test_refs import historical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = st.builds(
    "{}.{}".format,
    st.from_regex(r"[a-f][0-9a-f]{15}|[0-9a-f]{64}", fullmatch=True),
    st.sampled_from(["png", "jpg", "webp", "gif"]),
)


STORED = re.compile(
    r"(?i:[a-z][a-z0-9+.-]*)://(?:.*/)?(?:[0-9a-f]{64}|(?=[0-9]*[a-f])[0-9a-f]{16})\.[a-z0-9]+",
    re.DOTALL,
)


def found_plainly(value: Any, key: str | None = None) -> Iterator[str]:
    """An oracle: fields of that name, and strings with that prefix."""
    if isinstance(value, str):
        named = STORED.fullmatch(value) or key == "raw_image_uri"
        scheme = value.lower().partition(":")[:2]
        if key == "raw_image_id" or scheme == ("file", ":") or (named and scheme[0] != "data"):
            yield value
    elif isinstance(value, list):
        for each in value:
            yield from found_plainly(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from found_plainly(name)
            yield from found_plainly(each, name)


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
        return {with_refs(key, ref): with_refs(each, ref) for key, each in value.items()}
    return value


def ref_to(name: str) -> str:
    return raw_mm_ref(
        family="qwen_vl", fingerprint="0" * 32, modality="image", mm_hash=hash_in(name),
        raw_image_id=name,
    )  # fmt: skip


def hash_in(name: str) -> str:
    """The hash that a stored image's name is; for another name, any."""
    return stored_hash(name) or "0" * 32


def beside_their_hashes(document: Any) -> Any:
    """Features with the hashes and modalities of the references in them."""
    if not isinstance(document, dict) or not document.get("kwargs_data"):
        return document
    hashes = copy.deepcopy(document["mm_hashes"])
    slots = copy.deepcopy(document["kwargs_data"])
    for modality, refs in slots.items():
        for index, ref in enumerate(refs):
            if ref is not None and ref.startswith("mmraw:"):
                fields = json.loads(ref.removeprefix("mmraw:")) | {"modality": modality}
                refs[index] = raw_mm_ref(**fields)
                hashes[modality][index] = fields["mm_hash"]
    return {**document, "mm_hashes": hashes, "kwargs_data": slots}


@pytest.mark.parametrize("kind", sorted(TYPES))
@given(data=st.data())
def test_all_locators_of_a_document_are_found(kind: str, data: st.DataObject) -> None:
    names: list[str] = []

    def ref() -> str:
        names.append(f"{len(names)}.png")
        return ref_to(names[-1])

    document = beside_their_hashes(with_refs(data.draw(documents(kind)), ref))
    wanted = sorted([*found_plainly(document), *names])
    for form in on_both_wires(document):
        assert sorted(one.locator for one in locators(form)) == wanted
    struct = rawmm.convert(document, TYPES[kind])
    assert sorted(one.locator for one in locators(struct)) == wanted


@pytest.mark.parametrize("kind", sorted(TYPES))
@given(data=st.data())
def test_gc_keeps_images_named_by_a_document(kind: str, data: st.DataObject) -> None:
    names: list[str] = []

    def name() -> str:
        names.append(data.draw(NAMES))
        return names[-1]

    document = with_refs(data.draw(documents(kind)), lambda: ref_to(name()))
    document = beside_their_hashes(document)
    document = with_names(document, name)
    other = data.draw(NAMES)
    for form in on_both_wires(document):
        referenced = Referenced([*names, other])
        referenced.add(form)
        assert set(names) <= referenced.names


@given(instances(RawMMRef), NAMES, st.booleans(), st.sampled_from(["run", "ab12", "x.y"]))
def test_all_reference_forms_name_their_image(
    ref: RawMMRef,
    name: str,
    by_uri: bool,  # noqa: FBT001
    run_id: str,
) -> None:
    fields = to_builtins(ref) | {"mm_hash": hash_in(name)}
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


# Every form of a name that a reader accepts, in every nesting of these forms.

NAME_16 = st.from_regex(r"[a-f][0-9a-f]{15}", fullmatch=True)
ONE_NAME = st.builds("{}.{}".format, NAME_16 | st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
                     st.sampled_from(["png", "jpg"]))  # fmt: skip


def escaped_in_json(text: str, data: st.DataObject) -> str:
    """The text of a JSON string, with any of its characters escaped."""
    chance, dense = random.Random(data.draw(st.integers(0, 9999))), data.draw(st.booleans())
    return "".join(
        f"\\u{ord(char):04{chance.choice('xX')}}"
        if char in '"\\' or ord(char) < 32 or dense or chance.random() < 0.2
        else char
        for char in text
    )


def percent_encoded(text: str, data: st.DataObject) -> str:
    chance, dense = random.Random(data.draw(st.integers(0, 9999))), data.draw(st.booleans())
    return "".join(
        f"%{ord(char):02{chance.choice('xX')}}" if dense or chance.random() < 0.2 else char
        for char in text
    )


def as_locator(name: str, data: st.DataObject) -> dict[str, Any]:
    if data.draw(st.booleans()):
        return {"raw_image_id": name}
    path = percent_encoded(name, data) if data.draw(st.booleans()) else name
    start = data.draw(st.sampled_from(["file:///run/", "file://localhost/a%20b/", "s3://bucket/"]))
    return {"raw_image_uri": start + path}


def as_reference(name: str, data: st.DataObject) -> str:
    """A reference in one of its forms, with the name in its locator only."""
    fields = {
        "family": "qwen_vl", "fingerprint": "0" * 32, "modality": "image",
        "mm_hash": hash_in(name), "payload": {"grid": [1, 2, 2]}, **as_locator(name, data),
    }  # fmt: skip
    form = data.draw(st.sampled_from(["json", "escaped", "base64", "v3", "v2"]))
    if form == "json":
        return "mmraw:" + json.dumps(fields, separators=(",", ":"))
    if form == "escaped":
        inner = ",".join(
            f'"{key}":{json.dumps(value)}' if key == "payload" else
            f'"{escaped_in_json(key, data)}":"{escaped_in_json(value, data)}"'
            for key, value in fields.items()
        )  # fmt: skip
        return "mmraw:{" + inner + "}"
    if form == "v2" and "raw_image_id" in fields:
        payload = base64.urlsafe_b64encode(b"{}").rstrip(b"=").decode()
        return f"mmraw:v2:run:qwen_vl:{'0' * 32}:image:{hash_in(name)}:{name}:{payload}"
    if form in {"v3", "v2"}:
        fields["raw_uri"] = fields.pop("raw_image_uri", None)
        fields = {key: value for key, value in fields.items() if value is not None}
    encoded = base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()
    return f"mmraw:{encoded}" if form == "base64" else f"mmraw:v3:{encoded}"


def as_text(name: str, data: st.DataObject) -> str:
    """A text that a reader takes the name from."""
    if data.draw(st.booleans()):
        text = as_reference(name, data)
        assert rawmm.split_raw_mm_ref(text) is not None
        return text
    (text,) = as_locator(name, data).values()
    return str(text)


def nested(text: str, data: st.DataObject) -> str:
    """The text inside of JSON that is text itself, as tool arguments are; some levels of it."""
    for _ in range(data.draw(st.integers(0, 3))):
        kind = data.draw(st.sampled_from(["plain", "escaped", "key", "prose", "data", "sse"]))
        if kind == "plain":
            text = json.dumps({"image": [text, 1]})
        elif kind == "escaped":
            text = f'{{"image": "{escaped_in_json(text, data)}"}}'
            assert isinstance(json.loads(text)["image"], str)
        elif kind == "key":
            text = json.dumps({text: None})
        elif kind == "prose":
            text = f"100% of C:\\x, see {text}, please"
        elif kind == "data":
            text = data.draw(st.sampled_from(["data:", "Data: compare ", "DATA:image/png;base64,AAAA\n"])) + text  # fmt: skip
        else:
            text = f"data: {text}\n\ndata: [DONE]"
    return text


@dataclasses.dataclass
class Note:
    """A dataclass, whose instances here get an attribute that is no field."""

    number: int


class Slotted:
    """An object without a dict."""

    __slots__ = ("_url", "unset")

    def __init__(self, url: Any) -> None:
        self._url = url


class WithProperty:
    """An object that computes its text on each access."""

    def __init__(self, text: str) -> None:
        self.head, self.tail = text[:3], text[3:]

    @property
    def whole(self) -> str:
        return self.head + self.tail


class Computed(BaseModel):
    """A model that writes a field it does not hold."""

    head: str
    tail: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def whole(self) -> str:
        return self.head + self.tail


Halves = Annotated[tuple[str, str], PlainSerializer("".join)]


class Written(BaseModel):
    """A model whose field is written by a function that its annotation names."""

    halves: list[Halves]


@pydantic_dataclasses.dataclass
class WrittenDataclass:
    """A dataclass of pydantic with such a field."""

    halves: Halves | None


class Text(str):
    """A string of a class of its own."""

    __slots__ = ()


def noted(text: str) -> Note:
    note = Note(1)
    note.beside = [text]  # type: ignore[attr-defined]
    return note


def in_a_cycle(text: str) -> Any:
    one: dict[str, Any] = {"text": text}
    one["self"] = [one]
    return one


PLACES: dict[str, Callable[[str], Any]] = {
    "value": lambda text: text,
    "key": lambda text: {text: 1},
    "deep": lambda text: {"a": [{"b": [[text]]}]},
    "bytes": lambda text: {"data": text.encode()},
    "bytearray": lambda text: [bytearray(text.encode())],
    "bytes as a key": lambda text: {text.encode(): None},
    "tuple as a key": lambda text: {(1, text): None},
    "messagepack in bytes": lambda text: [msgspec.msgpack.encode({"a": [text]})],
    "json in bytes": lambda text: [json.dumps({"a": text}).encode()],
    "set": lambda text: {text},
    "mapping": lambda text: MappingProxyType({"a": text}),
    "namespace": lambda text: SimpleNamespace(a=text),
    "dataclass": noted,
    "slots": Slotted,
    "property": WithProperty,
    "computed field": lambda text: Computed(head=text[:3], tail=text[3:]),
    "annotated field": lambda text: Written(halves=[(text[:3], text[3:])]),
    "annotated field of a dataclass": lambda text: WrittenDataclass((text[:3], text[3:])),
    "subclass of str": Text,
    "cycle": in_a_cycle,
}


@pytest.mark.parametrize("place", PLACES)
@given(data=st.data())
def test_gc_keeps_images_named_in_any_form_and_nesting(place: str, data: st.DataObject) -> None:
    name = data.draw(ONE_NAME)
    text = nested(as_text(name, data), data)
    record = PLACES[place](text)
    referenced = Referenced([name])
    referenced.add([0, record])
    assert referenced.names == {name}, text
    if place in {"value", "key", "deep"}:
        for form in on_both_wires(record):
            referenced = Referenced([name])
            referenced.add(form)
            assert referenced.names == {name}, text
