"""Writing for earlier versions of the contract, and choosing one."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import rawmm
from rawmm import (
    SUPPORTED_VERSIONS,
    ContractError,
    Episode,
    MessageNode,
    MultiModalData,
    PackedTokenIds,
    RawMMItem,
    Trace,
    decode_json,
    encode_json,
    encode_msgpack,
    negotiate,
    to_builtins,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ITEM: dict[str, Any] = {
    "kind": "prime_raw_mm_item",
    "version": 1,
    "modality": "image",
    "family": "qwen_vl",
    "payload": {"image_grid_thw": [[1, 4, 4]]},
}
IMAGE: dict[str, Any] = {
    "role": "user",
    "content": [{"type": "image_url", "image_url": {"url": "file:///images/a.png"}}],
}
USER: dict[str, Any] = {"role": "user", "content": "hello"}


def node(**fields: Any) -> MessageNode:
    plain = {"parent": None, "message": USER, "sampled": False} | fields
    return decode_json(msgspec.json.encode(plain), MessageNode)


def with_item(**fields: Any) -> MessageNode:
    sidecar = {
        "mm_hashes": {"image": ["a1" * 16]},
        "mm_placeholders": {"image": [{"offset": 0, "length": 4}]},
        "mm_items": {"image": [ITEM | fields]},
    }
    return node(
        message=IMAGE, token_ids=[9] * 4, mask=[False] * 4, is_content=[True] * 4, logprobs=[],
        multi_modal_data=sidecar,
    )  # fmt: skip


def refused(value: Any, version: str) -> ContractError:
    before = copy.deepcopy(value)
    errors = []
    for write in (encode_json, encode_msgpack, to_builtins):
        with pytest.raises(ContractError) as found:
            write(value, version=version)
        errors.append(found.value)
    assert value == before
    assert len({str(error) for error in errors}) == 1
    assert errors[0].code == "not_in_version"
    return errors[0]


class TestStreams:
    def test_before_1_1_packed_streams_become_lists(self) -> None:
        packed = decode_json(
            encode_json(node(token_ids=[1, 2], mask=[False, True]), packed=True), MessageNode
        )
        assert isinstance(packed.token_ids, PackedTokenIds)
        for written in (
            json.loads(encode_json(packed, version="1.0")),
            msgspec.msgpack.decode(encode_msgpack(packed, version="1.0")),
            to_builtins(packed, version="1.0"),
        ):
            assert written["token_ids"] == [1, 2]
            assert written["mask"] == [False, True]
        assert isinstance(packed.token_ids, PackedTokenIds)  # unchanged

    def test_since_1_1_streams_keep_their_form(self) -> None:
        packed = decode_json(encode_json(node(token_ids=[1], mask=[True]), packed=True))
        assert to_builtins(packed, version="1.1")["token_ids"]["dtype"] == "int32"
        assert to_builtins(packed, version="1.1", packed=False)["token_ids"] == [1]

    def test_packed_streams_for_1_0_are_refused(self) -> None:
        with pytest.raises(ContractError) as error:
            encode_json(node(), packed=True, version="1.0")
        assert error.value.code == "not_in_version"
        assert error.value.path == "$.packed"

    def test_bare_packed_stream_is_refused_before_1_1(self) -> None:
        assert "a list" in refused(PackedTokenIds.pack([1, 2]), "1.0").expected


class TestFields:
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    @pytest.mark.parametrize(
        "fields", [{"weight_versions": None}, {"top_logprobs": None}, {"staleness": 3}]
    )
    def test_new_field_of_a_closed_node_is_named(
        self, version: str, fields: dict[str, Any]
    ) -> None:
        trace = Trace(nodes=[node(), node(parent=0, **fields)])
        error = refused([trace], version)
        assert error.path == f"$[0].nodes[1].{next(iter(fields))}"
        assert f"as in contract {version}" in error.expected

    def test_field_of_an_open_object_stays(self) -> None:
        trace = decode_json(b'{"nodes":[],"later":{"a":[1]}}', Trace)
        assert json.loads(encode_json(trace, version="1.0"))["later"] == {"a": [1]}

    def test_field_of_a_node_stays_for_1_2(self) -> None:
        assert json.loads(encode_json(node(later=1), version="1.2"))["later"] == 1

    def test_ambiguous_item_is_refused_before_1_2(self) -> None:
        error = refused({"a": with_item(ambiguous=["orientation"])}, "1.1")
        assert error.path == "$.a.multi_modal_data.mm_items.image[0].ambiguous"
        encode_json(with_item(), version="1.0")

    def test_reference_without_fingerprint_is_refused_before_1_2(self) -> None:
        ref = rawmm.RawMMRef(family="f", modality="image", mm_hash="a1" * 16)
        assert "fingerprint" in refused(ref, "1.1").expected
        encode_json(rawmm.replace(ref, fingerprint="b2" * 16), version="1.0")

    def test_ids_of_the_caller_are_refused_before_1_2(self) -> None:
        features = rawmm.GenerateFeatures(
            mm_hashes={"image": ["user 7"]},
            mm_placeholders={"image": [{"offset": 0, "length": 1}]},
            kwargs_data=None,
        )
        assert refused(features, "1.1").path == "$.mm_hashes.image[0]"

    @pytest.mark.parametrize("kind", ["Episode", "ContentPart", "TopLogprobs", "WeightVersion"])
    def test_type_of_1_2_is_refused_before(self, kind: str) -> None:
        values = {
            "Episode": Episode(traces=[]),
            "ContentPart": rawmm.ContentPart(url="file:///a.png"),
            "TopLogprobs": next(
                decode_json(vector["document"], rawmm.TopLogprobs)
                for vector in rawmm.schemas.conformance_vectors()
                if vector["case"] == "TopLogprobs/valid/full"
            ),
            "WeightVersion": rawmm.WeightVersion(version="a", start=0, end=1),
        }
        refused(values[kind], "1.1")


class TestRules:
    def test_stored_image_without_sidecar_is_refused_before_1_2(self) -> None:
        record = node(message=IMAGE, token_ids=[1, 9, 9], mask=[False] * 3, is_content=[])
        assert refused(record, "1.1").path == "$.multi_modal_data"
        encode_json(record, version="1.2")

    def test_inline_image_without_sidecar_is_written(self) -> None:
        message = copy.deepcopy(IMAGE)
        message["content"][0]["image_url"]["url"] = "data:image/png;base64,AAAA"
        record = node(message=message, token_ids=[1, 9, 9], mask=[False] * 3)
        trace = Trace(nodes=[record], mm_token_type_id_map={"9": 1})
        assert decode_json(encode_json(trace, version="1.0"), Trace) == trace

    def test_tokens_of_an_earlier_message_are_refused_by_1_0_alone(self) -> None:
        # 1.0 did not know that the reply may hold the tokens of messages without tokens.
        first = with_item()
        first.token_ids, first.mask, first.is_content = [], [], []
        reply = node(
            parent=0,
            message={"role": "assistant", "content": "yes"},
            sampled=True,
            token_ids=[9, 9, 9, 9, 5],
            mask=[False] * 4 + [True],
        )
        trace = Trace(nodes=[first, reply], mm_token_type_id_map={"9": 1})
        assert decode_json(encode_json(trace, version="1.1"), Trace) == trace
        assert refused(trace, "1.0").path == "$.nodes[1].token_ids"


class TestNegotiation:
    @pytest.mark.parametrize(
        ("theirs", "version"),
        [
            (SUPPORTED_VERSIONS, SUPPORTED_VERSIONS[-1]),
            (["1.0"], "1.0"),
            (["1.1", "1.0", "9.9", "nonsense"], "1.1"),
            ({"1.2", "2.0"}, "1.2"),
            ((one for one in ("1.0", "1.1")), "1.1"),
        ],
    )
    def test_highest_common_version_is_chosen(self, theirs: Any, version: str) -> None:
        assert negotiate(theirs) == version

    @pytest.mark.parametrize("theirs", [["2.0", "3.1"], [], ()])
    def test_error_names_both_lists(self, theirs: Any) -> None:
        with pytest.raises(ContractError) as error:
            negotiate(theirs)
        assert error.value.code == "unsupported_version"
        assert ", ".join(SUPPORTED_VERSIONS) in error.value.expected
        assert error.value.got == (", ".join(theirs) or "no version")

    @pytest.mark.parametrize("theirs", [None, 1.0, "1.0", {"1.0": 1}, ["1.0", 1.1], [None]])
    def test_other_value_is_refused(self, theirs: Any) -> None:
        with pytest.raises(ContractError, match="wrong_type"):
            negotiate(theirs)

    def test_versions_are_ordered(self) -> None:
        numbers = [tuple(map(int, version.split("."))) for version in SUPPORTED_VERSIONS]
        assert numbers == sorted(numbers)
        assert SUPPORTED_VERSIONS[-1] == rawmm.SCHEMA_VERSION


@pytest.mark.parametrize(
    ("version", "code"),
    [("0.9", "unsupported_version"), ("", "unsupported_version"), (1.0, "wrong_type")],
)
@pytest.mark.parametrize("write", [encode_json, encode_msgpack, to_builtins])
def test_unknown_version_is_refused(write: Callable[..., Any], version: Any, code: str) -> None:
    with pytest.raises(ContractError) as error:
        write(MultiModalData(), version=version)
    assert (error.value.code, error.value.path) == (code, "$.version")


def test_lists_and_dicts_of_structs_are_written_for_a_version() -> None:
    assert encode_json([RawMMItem(**ITEM)], version="1.0") == encode_json([RawMMItem(**ITEM)])
    assert encode_json({"a": []}, version="1.0") == b'{"a":[]}'


def test_control_characters_in_versions_stay_out_of_the_message() -> None:
    with pytest.raises(ContractError) as caught:
        negotiate(["1.0\n", "9\x1b[31m"])
    assert str(caught.value).isprintable()
