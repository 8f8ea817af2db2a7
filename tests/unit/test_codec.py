"""Decoding, encoding, conversion, construction and the presence of fields."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
import struct
from functools import partial
from typing import Any, ClassVar

import msgspec
import pydantic
import pytest

from rawmm import (
    AssistantMessage,
    ContractError,
    EncodedArray,
    Episode,
    ImageUrlContentPart,
    ImageUrlSource,
    Message,
    MessageNode,
    MMRefs,
    MultiModalData,
    NonFiniteLogprobWarning,
    PlaceholderRange,
    ProcessedPayloadError,
    RawMMError,
    RawMMItem,
    SamplingMask,
    TextContentPart,
    Tool,
    ToolCall,
    Trace,
    UserMessage,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    iter_errors,
    raw_mm_item,
    schemas,
    to_builtins,
    validate,
)
from rawmm.model.types import TYPES
from rawmm.validation import detect
from tests.builders import item_document, refused
from tests.cases import each

USER = {"message": {"role": "user", "content": "x"}}


def numbered(place: str, number: float) -> tuple[dict[str, Any], str]:
    """A node with `number` in a number field, and the path of that field."""
    node: dict[str, Any] = {"message": {"role": "assistant", "content": "a"}, "sampled": True}
    if place == "timestamp":
        return node | {"timestamp": number}, "$.timestamp"
    if place == "cost":
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "cost": number}
        return node | {"usage": usage}, "$.usage.cost"
    stream = {"token_ids": [1, 2], "mask": [True, True], place: [0.5, number]}
    return node | stream, f"$.{place}[1]"


class TestInvalidBytes:
    @pytest.mark.parametrize(
        ("data", "path", "got"),
        [
            (b'{"a": NaN}', "$.a", "NaN"),
            (b'{"a": [1, {"b": -Infinity}, NaN]}', "$.a[1].b", "-Infinity"),
            (b'[{"text": "NaN"}, [[Infinity]]]', "$[1][0][0]", "Infinity"),
        ],
    )
    def test_number_that_json_does_not_have_is_named_with_its_path(
        self, data: bytes, path: str, got: str
    ) -> None:
        for text in (data, bytearray(data), memoryview(data), data.decode()):
            error = refused(lambda text=text: decode_json(text, Trace))
            assert (error.code, error.path) == ("malformed", path)
            assert error.got == f"{got}, which JSON does not have"
            assert error.__context__ is None

    @pytest.mark.parametrize(
        ("data", "got"),
        [
            (b"", "nothing"),
            (b" ", "a document cut short after 1 byte"),
            (b'{"message"', "a document cut short after 10 bytes"),
            (b"[1 2]", "something else at byte 3 of 5"),
            (b"{} {}", "something else at byte 3 of 5"),
            (b"\xef\xbb\xbf{}", "something else at byte 0 of 5"),
            (b'{"id": "\xff"}', "text that is not UTF-8"),
            (b'{"a": "\\ud800"}', "a string with .* surrogate"),
            (b'{"a": 1e999}', "a number that a double .*"),
            (b"\x89PNG\r\n\x1a\n", "something else at byte 0 of 8"),
            (b"{'a': 1}", "something else at byte 1 of 8"),
        ],
    )
    def test_invalid_json_is_refused(self, data: bytes, got: str) -> None:
        error = refused(lambda: decode_json(data, Trace))
        assert (error.code, error.path) == ("malformed", "$")
        assert re.fullmatch(got, error.got)
        assert error.__cause__ is None
        assert error.__context__ is None

    @pytest.mark.parametrize(
        "data", [b"", b"\x82\xa1a", b"\xc1", b"\x81\xa2id\xa1\xff", b"\x80\x80"]
    )
    def test_invalid_messagepack_is_refused(self, data: bytes) -> None:
        error = refused(lambda: decode_msgpack(data, Trace))
        assert (error.code, error.path) == ("malformed", "$")

    @pytest.mark.parametrize("data", [b"1", b"null", b'"x"', b"[]", b"true"])
    def test_document_of_another_type_is_refused(self, data: bytes) -> None:
        error = refused(lambda: decode_json(data, MessageNode))
        assert (error.code, error.path) == ("wrong_type", "$")

    @pytest.mark.parametrize(
        ("decode", "data"),
        [
            (decode_json, None),
            (decode_json, {"nodes": []}),
            (decode_json, memoryview(b"{ }")[::2]),
            (decode_msgpack, "text"),
            (decode_msgpack, 5),
        ],
    )
    def test_argument_that_is_not_bytes_is_refused(self, decode: Any, data: Any) -> None:
        error = refused(lambda: decode(data))
        assert (error.code, error.expected) == ("wrong_type", "the bytes of one document")

    def test_text_with_a_lone_surrogate_is_refused(self) -> None:
        assert (
            refused(lambda: decode_json('{"id": "' + chr(0xD800) + '"}', Trace)).code == "malformed"
        )

    def test_messagepack_extensions_and_unusual_keys_are_refused(self) -> None:
        for odd in (msgspec.msgpack.Ext(5, b"x"), {1: 2}, b"x"):
            data = msgspec.msgpack.encode({"message": USER["message"], "timestamp": odd})
            assert refused(lambda data=data: decode_msgpack(data)).path == "$.timestamp"
        data = msgspec.msgpack.encode({1: 2, "message": USER["message"]})
        assert refused(lambda: decode_msgpack(data)).code == "not_json"

    def test_str_and_buffers_are_accepted(self) -> None:
        text = json.dumps(USER)
        for data in (text, text.encode(), bytearray(text.encode()), memoryview(text.encode())):
            assert decode_json(data).message == UserMessage(content="x")


class TestTypes:
    def test_containers_of_contract_types_are_decoded(self) -> None:
        assert decode_json(b"[]", list[MessageNode]) == []
        assert decode_json(b'{"a": []}', dict[str, list[Message]]) == {"a": []}
        assert decode_json(b"null", MessageNode | None) is None
        error = refused(lambda: decode_json(b'{"a": [{"role": "x"}]}', dict[str, list[Message]]))
        assert error.path == "$.a[0].role"

    @pytest.mark.parametrize("kind", [int, dict, list, dict[int, Trace], Any, "Trace"])
    def test_type_outside_the_contract_is_refused(self, kind: Any) -> None:
        with pytest.raises(TypeError, match="not a type of the contract"):
            decode_json(b"{}", kind)

    def test_list_of_nodes_obeys_the_rules_of_a_graph(self) -> None:
        nodes = [USER, USER | {"parent": 1}]
        for refuse in (
            lambda: decode_json(json.dumps(nodes), list[MessageNode]),
            lambda: decode_msgpack(msgspec.msgpack.encode(nodes), list[MessageNode]),
            lambda: convert(nodes, list[MessageNode]),
            lambda: encode_json([convert(node) for node in nodes]),
        ):
            error = refused(refuse)
            assert (error.code, error.path) == ("parent_order", "$[1].parent")

    def test_tag_is_required_in_a_single_struct(self) -> None:
        assert refused(lambda: decode_json(b'{"content": "x"}', UserMessage)).path == "$"
        error = refused(lambda: decode_json(b'{"role": "system", "content": "x"}', UserMessage))
        assert (error.code, error.path) == ("bad_value", "$.role")
        error = refused(lambda: decode_json(b'[{"text": "x"}]', list[TextContentPart]))
        assert error.path == "$[0]"

    def test_tags_are_attributes(self) -> None:
        assert UserMessage(content="x").role == "user"
        assert TextContentPart(text="x").type == "text"


VECTORS = [
    (json.loads(vector["document"]), TYPES[vector["type"]])
    for vector in schemas.conformance_vectors()
    if vector["type"] in TYPES and "malformed" != vector.get("code") != "duplicate_key"
]


def outcome(call: Any) -> Any:
    """The value or the error of a call, to compare."""
    try:
        return call()
    except RawMMError as error:
        return str(error)


class TestIdentifiedTypes:
    """Without a type, readers use the type that `validate` identifies."""

    @each("document", [document for document, _ in VECTORS])
    def test_each_reader_uses_the_identified_type(self, document: Any) -> None:
        text = json.dumps(document).encode()
        packed = msgspec.msgpack.encode(document)
        kind = outcome(lambda: detect(document))
        for read, data in ((decode_json, text), (decode_msgpack, packed), (convert, document)):
            if isinstance(kind, str):
                assert outcome(partial(read, data)) == kind
            else:
                expected = outcome(partial(read, data, kind))
                found = outcome(partial(read, data))
                assert found == expected
                assert type(found) is type(expected)

    def test_most_types_are_identified(self) -> None:
        read = [outcome(partial(convert, document)) for document, _ in VECTORS]
        found = {type(one) for one in read if isinstance(one, msgspec.Struct)}
        assert found >= {Trace, MessageNode, UserMessage, RawMMItem, MultiModalData, Tool}

    def test_unidentified_document_is_refused(self) -> None:
        for read, data in ((decode_json, b'{"a": 1}'), (convert, {"a": 1}), (convert, [])):
            error = refused(partial(read, data))
            assert (error.code, error.path, error.hint) == ("unknown_type", "$", "give its type")
            assert error.__cause__ is None
            assert error.__context__ is None

    def test_struct_keeps_its_class(self) -> None:
        item = raw_mm_item(
            modality="image", family="f", layout_fingerprint="0" * 32, payload={}, raw_image_id="a"
        )
        assert convert(item) is item

    def test_list_of_nodes_obeys_the_rules_of_a_graph(self) -> None:
        nodes = [{**USER, "parent": 1}, USER]
        assert refused(lambda: decode_json(json.dumps(nodes))).code == "parent_order"
        assert len(decode_json(json.dumps([USER, USER | {"parent": 0}]))) == 2

    def test_floor_applies_to_the_identified_type(self) -> None:
        node = USER | {"token_ids": [1], "mask": [True], "logprobs": [-math.inf]}
        for read, data in (
            (decode_json, json.dumps({"nodes": [node]})),
            (decode_msgpack, msgspec.msgpack.encode({"nodes": [node]})),
            (convert, {"nodes": [node]}),
        ):
            with pytest.warns(NonFiniteLogprobWarning):
                trace = read(data, logprob_floor=-9.0)
            assert trace.nodes[0].logprobs == [-9.0]


class TestConstruction:
    def test_wrong_types_bounds_and_names_are_refused(self) -> None:
        assert refused(lambda: PlaceholderRange(offset=-1, length=1)).path == "$.offset"
        assert refused(lambda: PlaceholderRange(offset=True, length=1)).code == "wrong_type"
        assert refused(lambda: PlaceholderRange(offset=1)).code == "missing_field"
        assert refused(lambda: PlaceholderRange(offset=1, length=1, x=1)).path == "$.x"
        assert refused(lambda: MessageNode(message={"role": "x"})).path == "$.message.role"
        assert refused(lambda: MessageNode(**USER, token_ids={1, 2})).path == "$.token_ids"
        assert refused(lambda: TextContentPart(text="\ud800")).code == "not_json"
        with pytest.raises(TypeError):
            MMRefs([], [])

    def test_descriptor_is_always_encoded_with_its_fingerprint(self) -> None:
        error = refused(
            lambda: raw_mm_item(modality="image", family="f", layout_fingerprint=None, payload={})
        )
        assert error.code == "missing_field"

    def test_set_is_refused_as_an_array(self) -> None:
        for refuse in (
            lambda: MultiModalData(mm_hashes={"image": {"a" * 16}}),
            lambda: convert({"mm_hashes": {"image": frozenset({"a" * 16})}}, MultiModalData),
            lambda: validate({"mm_hashes": {"image": {"a" * 16}}}),
        ):
            error = refused(refuse)
            assert isinstance(error, ProcessedPayloadError)
            assert (error.code, error.path) == ("not_json", "$.mm_hashes.image")

    def test_constants_are_filled_in(self) -> None:
        item = RawMMItem(modality="image", family="f", payload={})
        assert (item.kind, item.version) == ("prime_raw_mm_item", 1)
        assert refused(
            lambda: RawMMItem(modality="image", family="f", payload={}, version=3)
        ).code == ("unsupported_version")
        assert EncodedArray(dtype="uint8", shape=[2], data=b"ab").nd is True

    def test_plain_data_structs_models_and_dataclasses_are_accepted(self) -> None:
        @dataclasses.dataclass
        class Span:
            offset: int
            length: int

        class Model(pydantic.BaseModel):
            offset: int = 1
            length: int = 2

        made = MultiModalData(
            mm_placeholders={
                "a": [Span(1, 2)],
                "b": [Model()],
                "c": ({"offset": 1, "length": 2},),
                "d": [PlaceholderRange(offset=1, length=2)],
            }
        )
        assert all(
            spans == [PlaceholderRange(offset=1, length=2)]
            for spans in made.mm_placeholders.values()
        )

    def test_integers_become_floats_as_in_decoding(self) -> None:
        node = MessageNode(**USER, token_ids=[1], mask=[True], logprobs=[-1])
        assert encode_json(decode_json(encode_json(node))) == encode_json(node)

    def test_both_forms_of_token_sets_are_accepted(self) -> None:
        ids = EncodedArray(dtype="int32", shape=[1], data=bytes(4))
        counts = EncodedArray(dtype="int32", shape=[1], data=(1).to_bytes(4, "little"))
        mask = SamplingMask(ids=ids, counts=counts)
        tokens: dict[str, Any] = {"token_ids": [1], "mask": [True]}
        for value in (mask, ids, {"ids": ids, "counts": counts}, to_builtins(ids), None):
            node = MessageNode(**USER, **tokens, sampling_mask=value)
            assert decode_json(encode_json(node)) == node
            assert decode_msgpack(encode_msgpack(node)) == node
        assert refused(lambda: MessageNode(**USER, sampling_mask={"ids": 1})).path.startswith(
            "$.sampling_mask"
        )


class TestPresence:
    def test_absent_reads_none_and_stays_absent(self) -> None:
        node = decode_json(b'{"message": {"role": "assistant"}, "usage": null}')
        assert node.usage is None
        assert node.timestamp is None
        written = json.loads(encode_json(node))
        assert written["usage"] is None
        assert "timestamp" not in written
        assert "content" not in written["message"]

    def test_assigned_none_is_absent_unless_nullable(self) -> None:
        node = convert(USER)
        node.finish_reason = None
        assert json.loads(encode_json(node))["finish_reason"] is None
        item = raw_mm_item(
            modality="image",
            family="f",
            layout_fingerprint="a" * 32,
            payload={},
            raw_image_id="a.png",
        )
        item.raw_image_id = None
        assert "raw_image_id" not in json.loads(encode_json(item))

    def test_repr_shows_present_fields(self) -> None:
        assert repr(PlaceholderRange(offset=1, length=2)) == "PlaceholderRange(offset=1, length=2)"
        assert "UNSET" not in repr(convert(USER))


class TestEncoding:
    @pytest.mark.parametrize("encode", [encode_json, encode_msgpack, to_builtins])
    def test_invalid_change_after_construction_is_refused(self, encode: Any) -> None:
        def broken(change: Any) -> RawMMError:
            node = MessageNode(
                **copy.deepcopy(USER), token_ids=[1, 2], mask=[True, False], logprobs=[-1.0]
            )
            change(node)
            return refused(lambda: encode({"a": [node]}))

        assert broken(lambda n: n.token_ids.append("x")).path == "$.a[0].token_ids[2]"
        assert broken(lambda n: n.token_ids.append(True)).code == "wrong_type"
        assert broken(lambda n: n.mask.pop()).code == "stream_length"
        assert broken(lambda n: n.logprobs.__setitem__(0, math.nan)).path == "$.a[0].logprobs[0]"
        assert broken(lambda n: setattr(n, "message", 5)).path == "$.a[0].message"
        assert broken(lambda n: setattr(n, "token_ids", 5)).path == "$.a[0].token_ids"
        assert (
            broken(lambda n: setattr(n.message, "content", b"x")).path == "$.a[0].message.content"
        )
        assert broken(lambda n: setattr(n, "loss_weights", {1: [1.0, 2.0]})).code == "not_json"
        assert broken(lambda n: setattr(n, "timestamp", math.inf)).code == "not_json"

    def test_nan_never_becomes_null(self) -> None:
        tokens: dict[str, Any] = {"token_ids": [1], "mask": [True]}
        for name in ("logprobs", "advantages", "entropies"):
            error = refused(lambda name=name: MessageNode(**USER, **tokens, **{name: [math.nan]}))
            assert (error.code, error.path) == ("not_json", f"$.{name}[0]")
        data = msgspec.msgpack.encode(USER | {"timestamp": math.nan})
        assert refused(lambda: decode_msgpack(data)).path == "$.timestamp"

    def test_large_finite_sums_are_accepted(self) -> None:
        node = MessageNode(
            **USER, token_ids=[1, 2], mask=[True, True], advantages=[1.7e308, 1.7e308]
        )
        assert decode_json(encode_json(node)) == node

    @pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 + 1, 2**64 - 1])
    @pytest.mark.parametrize("place", ["timestamp", "logprobs", "advantages", "cost"])
    def test_inexact_integer_is_refused_in_bytes(self, place: str, number: int) -> None:
        node, path = numbered(place, number)
        for decode in (
            lambda: decode_json(msgspec.json.encode(node)),
            lambda: decode_msgpack(msgspec.msgpack.encode(node)),
            lambda: convert(node),
        ):
            error = refused(decode)
            assert (error.code, error.path) == ("out_of_range", path)
        text = msgspec.json.encode({"a": [node]})
        assert refused(lambda: decode_json(text, dict[str, list[MessageNode]])).path == (
            f"$.a[0]{path[1:]}"
        )

    @each("number", [2**53, -(2**60), 10**20, -3.4e38, 1e300, 2.0**53 + 2])
    @each("place", ["timestamp", "logprobs", "advantages", "cost"])
    def test_exact_large_number_is_kept_in_bytes(self, place: str, number: float) -> None:
        node, _ = numbered(place, number)
        decoded = decode_json(msgspec.json.encode(node))
        assert decoded == convert(node)
        assert decoded == msgspec.json.decode(msgspec.json.encode(node), type=MessageNode)
        if number != 10**20:
            assert decoded == decode_msgpack(msgspec.msgpack.encode(node))

    def test_large_integer_in_another_field_is_accepted(self) -> None:
        node = numbered("timestamp", 1e300)[0] | {"message": {"role": "user", "content": "a"}}
        trace = {"nodes": [node], "elsewhere": 2**53 + 1}
        decoded = decode_json(msgspec.json.encode(trace), Trace)
        assert decoded.extra == {"elsewhere": 2**53 + 1}

    def test_deep_value_is_refused_by_encoders(self) -> None:
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        assert refused(lambda: encode_json(deep)).code == "too_deep"
        assert refused(lambda: encode_msgpack({"a": deep})).code == "too_deep"
        assert refused(lambda: encode_json([convert(USER), deep])).code == "too_deep"

    def test_plain_values_are_encoded(self) -> None:
        assert json.loads(encode_json({"a": [1, None]})) == {"a": [1, None]}
        assert refused(lambda: encode_json({"a": b"x"})).code == "array_payload"


class TestConvert:
    def test_models_and_dataclasses_are_converted(self) -> None:
        class Part(pydantic.BaseModel):
            type: str = "text"
            text: str

        class User(pydantic.BaseModel):
            role: str = "user"
            content: list[Part]

        @dataclasses.dataclass
        class Node:
            message: User
            token_ids: list[int]
            mask: tuple[bool, ...]

        node = convert(Node(User(content=[Part(text="x")]), [1], (True,)))
        assert node.message == UserMessage(content=[TextContentPart(text="x")])
        assert node.mask == [True]

    def test_struct_is_revalidated(self) -> None:
        node = convert(USER)
        assert convert(node) is node
        node.token_ids = [*node.token_ids, -1]
        assert refused(lambda: convert(node)).path == "$.token_ids[0]"

    def test_unknown_field_of_a_model_is_refused(self) -> None:
        class Source(pydantic.BaseModel):
            url: str
            secret: int = 1

        error = refused(
            lambda: convert(
                {"type": "image_url", "image_url": Source(url="x")}, ImageUrlContentPart
            )
        )
        assert (error.code, error.path) == ("unknown_field", "$.image_url.secret")

    def test_name_with_a_lone_surrogate_is_refused(self) -> None:
        for document, path in (({"a\ud800": 1}, "$"), ({"mm_items": {"\ud800": []}}, "$.mm_items")):
            error = refused(lambda document=document: convert(document, MultiModalData))
            assert (error.code, error.path) == ("not_json", path)
        assert refused(lambda: MultiModalData(**{"a\ud800": 1})).code == "not_json"

    def test_array_cut_inside_a_number_is_one_error(self) -> None:
        cut = {"__nd__": True, "dtype": "int32", "shape": [1], "data": "AAAAAAA="}
        good = {"__nd__": True, "dtype": "int32", "shape": [0], "data": ""}
        errors = list(iter_errors({"ids": good, "counts": cut}, SamplingMask))
        assert [(error.code, error.path) for error in errors] == [("array_size", "$.counts.data")]

    def test_every_error_is_listed_beside_a_broken_node(self) -> None:
        mask = USER | {"token_ids": [1], "mask": []}
        trace = {"nodes": [{"message": 5}, USER | {"parent": 9}, mask | {"parent": 0}]}
        found = [(error.code, error.path) for error in iter_errors(trace)]
        assert found == [
            ("wrong_type", "$.nodes[0].message"),
            ("stream_length", "$.nodes[2].mask"),
            ("parent_order", "$.nodes[1].parent"),
        ]

    def test_validate_identifies_the_type(self) -> None:
        for good in (
            USER,
            [USER],
            {"nodes": [USER]},
            {"role": "user", "content": "x"},
            [{"role": "user", "content": "x"}, {"role": "assistant"}],
            ImageUrlSource(url="x"),
            ToolCall(id="1", name="x", arguments=""),
            AssistantMessage(),
        ):
            validate(good)
        for odd in ({}, [], 5, None, {"a": 1}, [[1, 2], [True, False], [0.5]]):
            with pytest.raises(ContractError) as caught:
                validate(odd)
            assert caught.value.code == "unknown_type"
        with pytest.raises(ProcessedPayloadError):
            validate({"mm_items": {"image": [{"pixel_values": 1}]}})


class TestUnconvertedValues:
    """An assignment is not checked, but using the struct later is."""

    SIDECAR: ClassVar[dict[str, Any]] = {
        "mm_hashes": {"image": ["a" * 32]},
        "mm_placeholders": {"image": [{"offset": 1, "length": 2}]},
        "mm_items": {"image": [item_document()]},
    }
    PART: ClassVar[dict[str, Any]] = {"type": "image_url", "image_url": {"url": "file:///i/a.png"}}

    @classmethod
    def trace(cls) -> Trace:
        node = {
            "message": {"role": "user", "content": [cls.PART]},
            "token_ids": [1, 5, 5, 2],
            "mask": [False] * 4,
            "multi_modal_data": cls.SIDECAR,
        }
        return convert({"nodes": [node], "mm_token_type_id_map": {"5": 1}}, Trace)

    @pytest.mark.parametrize(
        ("place", "value", "path"),
        [
            (lambda node: (node, "multi_modal_data"), SIDECAR, "multi_modal_data"),
            (lambda node: (node, "message"), {"role": "user", "content": "x"}, "message"),
            (lambda node: (node.message.content, 0), PART, "message.content[0]"),
            (
                lambda node: (node.multi_modal_data.mm_placeholders["image"], 0),
                {"offset": 0, "length": 2},
                "multi_modal_data.mm_placeholders.image[0]",
            ),
            (
                lambda node: (node.multi_modal_data.mm_items["image"], 0),
                SIDECAR["mm_items"]["image"][0],
                "multi_modal_data.mm_items.image[0]",
            ),
        ],
    )
    def test_assigned_unconverted_value_is_a_wrong_type(
        self, place: Any, value: Any, path: str
    ) -> None:
        trace = self.trace()
        holder, key = place(trace.nodes[0])
        (setattr if isinstance(key, str) else type(holder).__setitem__)(holder, key, value)
        for refuse in (
            encode_json, encode_msgpack, to_builtins, validate, partial(convert, type=Trace)
        ):  # fmt: skip
            error = refused(lambda refuse=refuse: refuse(trace))
            assert (error.code, error.path) == ("wrong_type", f"$.nodes[0].{path}")
            assert "rawmm.convert" in (error.hint or "")
        error = refused(lambda: convert(trace.nodes, list[MessageNode]))
        assert (error.code, error.path) == ("wrong_type", f"$[0].{path}")

    def test_unconverted_part_does_not_hide_an_image(self) -> None:
        node = MessageNode(message={"role": "user", "content": []}, token_ids=[1], mask=[False])
        node.message.content = [self.PART]
        assert refused(lambda: encode_json(node)).path == "$.message.content[0]"

    def test_constructor_converts_structs_that_were_changed(self) -> None:
        node = self.trace().nodes[0]
        node.multi_modal_data = self.SIDECAR  # type: ignore[assignment]
        built = Trace(nodes=[node], mm_token_type_id_map={"5": 1})
        assert encode_json(built) == encode_json(self.trace())


@pytest.mark.parametrize(
    ("build", "read"),
    [
        (lambda free: AssistantMessage(provider_state=[free]), lambda one: one.provider_state[0]),
        (lambda free: Tool(name="t", parameters=free), lambda one: one.parameters),
        (
            lambda free: raw_mm_item(
                modality="image", family="f", layout_fingerprint="0" * 16, payload=free
            ),
            lambda one: one.payload,
        ),
    ],
)
def test_free_values_are_normalized(build: Any, read: Any) -> None:
    class Text(str):
        __slots__ = ()

    one = build({"a": (1, 2), "b": Text("x")})
    assert read(one) == {"a": [1, 2], "b": "x"}
    assert type(read(one)["b"]) is str
    assert read(decode_json(encode_json(one), type(one))) == read(one)


@pytest.mark.parametrize(("floor", "read"), [(-9999.0, -9999.0), (-1e300, -3.4028234663852886e38)])
def test_floor_replaces_infinite_top_logprobs(floor: float, read: float) -> None:
    """They are float32, which holds the floor or the least number."""
    values = struct.pack("<2f", -0.5, -math.inf)
    array = {"__nd__": True, "dtype": "int32", "shape": [1], "data": struct.pack("<i", 2)}
    ids = array | {"shape": [2], "data": bytes(8)}
    top = {"ids": ids, "logprobs": ids | {"dtype": "float32", "data": values}, "counts": array}
    node = {
        "message": {"role": "assistant", "content": "x"},
        "token_ids": [1],
        "mask": [True],
        "top_logprobs": top,
    }
    data = msgspec.msgpack.encode({"traces": [{"nodes": [node]}]})
    with pytest.raises(RawMMError) as caught:
        decode_msgpack(data, Episode)
    assert caught.value.path == "$.traces[0].nodes[0].top_logprobs.logprobs.data[1]"
    with pytest.warns(NonFiniteLogprobWarning, match=r"top_logprobs\.logprobs"):
        value = decode_msgpack(data, Episode, logprob_floor=floor)
    found = value.traces[0].nodes[0].top_logprobs
    assert found is not None
    assert found.logprobs.dtype == "float32"
    assert struct.unpack("<2f", found.logprobs.data) == (-0.5, read)
