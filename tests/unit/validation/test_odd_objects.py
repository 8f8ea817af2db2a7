"""Inconsistent containers, forged classes, inexact integers, unions and subclasses."""

from __future__ import annotations

import base64
import json
import struct
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import msgspec
import numpy as np
import pytest

import rawmm
from rawmm import MessageNode, RawMMError, Trace

MESSAGE = {"role": "user", "content": "x"}
NODE: dict[str, Any] = {"message": MESSAGE, "token_ids": [1, 2], "mask": [True, True]}
ROUNDED = 2**53 + 1


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(RawMMError) as caught:
        call()
    return caught.value.code


class HidesItems(dict[str, Any]):
    def items(self) -> Any:
        return ()


class ShowsMore(dict[str, Any]):
    def items(self) -> Any:
        return (*super().items(), ("more", 1))


class HidesElements(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(())


class SaysEmpty(list[Any]):
    def __len__(self) -> int:
        return 0


class FailsOnLength(list[Any]):
    def __len__(self) -> int:
        raise RuntimeError


class Endless(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        return 1

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield str(number)

    def __len__(self) -> int:
        return 1


class TooShort(Sequence[Any]):
    def __getitem__(self, index: Any) -> Any:
        return [1][index]

    def __len__(self) -> int:
        return 5


@pytest.mark.parametrize(
    "container",
    [
        HidesItems(a=1),
        ShowsMore(a=1),
        HidesElements([1]),
        SaysEmpty([1]),
        FailsOnLength([1]),
        Endless(),
        TooShort(),
    ],
    ids=lambda container: type(container).__name__,
)
class TestInconsistentContainer:
    def test_inconsistent_container_is_refused_by_constructors(self, container: Any) -> None:
        parameters = {"x": container}
        assert code_of(lambda: rawmm.Tool(name="x", parameters=parameters)) == "not_json"
        assert code_of(lambda: rawmm.convert({"nodes": [], "info": container}, Trace)) == "not_json"

    def test_inconsistent_container_is_refused_as_a_sidecar(self, container: Any) -> None:
        assert code_of(lambda: rawmm.convert(container, rawmm.MultiModalData)) == "not_json"

    def test_inconsistent_container_is_refused_after_an_assignment(self, container: Any) -> None:
        node = rawmm.convert(NODE)
        node.advantages = container
        assert code_of(lambda: rawmm.encode_json(node))
        assert list(rawmm.iter_errors(node))

    def test_inconsistent_container_is_refused_by_encoders(self, container: Any) -> None:
        node = rawmm.convert(NODE)
        assert code_of(lambda: rawmm.encode_json(container)) == "not_json"
        assert code_of(lambda: rawmm.encode_json([node, container])) == "not_json"


def test_proxy_of_a_struct_is_refused_at_each_entry_point() -> None:
    node = rawmm.convert(NODE)
    trace = Trace(nodes=[node])
    other = Trace(nodes=[node])
    proxy = weakref.proxy(other)
    assert code_of(lambda: rawmm.encode_json(proxy)) == "not_json"
    assert code_of(lambda: rawmm.to_builtins([proxy, node])) == "not_json"
    assert code_of(lambda: rawmm.validate(proxy))
    assert code_of(lambda: rawmm.graph.prepare_turn(weakref.proxy(trace), []))
    trace.nodes = [proxy]
    assert code_of(lambda: rawmm.encode_json(trace))
    trace.nodes, trace.extra = [node], MagicMock(spec=dict)
    assert code_of(lambda: rawmm.encode_json(trace))


def test_object_with_a_forged_class_is_refused() -> None:
    node = rawmm.convert(NODE)
    assert code_of(lambda: rawmm.to_builtins({"a": MagicMock(spec=dict), "b": node})) == "not_json"


@pytest.mark.parametrize(
    "stream", [[ROUNDED, -1], [0, -ROUNDED], [0.5, ROUNDED], [ROUNDED, -ROUNDED]]
)
class TestInexactInteger:
    def test_inexact_integer_is_refused_in_a_stream(self, stream: list[Any]) -> None:
        given = NODE | {"logprobs": stream}
        assert code_of(lambda: rawmm.convert(given)) == "out_of_range"
        assert code_of(lambda: MessageNode(**given)) == "out_of_range"
        assert next(rawmm.iter_errors(given, MessageNode)).code == "out_of_range"

    def test_inexact_integer_is_refused_in_an_assigned_stream(self, stream: list[Any]) -> None:
        node = rawmm.convert(NODE)
        node.logprobs = stream
        assert code_of(lambda: rawmm.encode_json(node)) == "out_of_range"


def test_assigned_inexact_integer_is_refused() -> None:
    node = rawmm.convert(NODE)
    node.timestamp = ROUNDED
    assert code_of(lambda: rawmm.encode_json(node)) == "out_of_range"
    node.timestamp = 2**53
    assert rawmm.decode_json(rawmm.encode_json(node)).timestamp == 2**53


@pytest.mark.parametrize("name", ["logprobs", "reference_logprobs", "trainer_logprobs"])
def test_floor_replaces_minus_infinity_in_a_packed_stream_in_json(name: str) -> None:
    data = base64.b64encode(struct.pack("<2f", -np.inf, -1.0)).decode()
    packed = {"__nd__": True, "dtype": "float32", "shape": [2], "data": data}
    text = json.dumps({"nodes": [NODE | {name: packed}], "unknown": 1})
    with pytest.warns(rawmm.NonFiniteLogprobWarning, match=name):
        trace = rawmm.decode_json(text, Trace, logprob_floor=-9999.0)
    assert getattr(trace.nodes[0], name) == [-9999.0, -1.0]


def test_floor_applies_to_subclasses_and_may_be_one() -> None:
    class Mine(MessageNode):
        pass

    given = NODE | {"logprobs": [-np.inf, -1.0]}
    with pytest.warns(rawmm.NonFiniteLogprobWarning):
        node = rawmm.convert(given, Mine, logprob_floor=np.float64(-3.0))
    assert node.logprobs == [-3.0, -1.0]


class TestUnion:
    @pytest.mark.parametrize(
        "read", [rawmm.convert, lambda one, kind: rawmm.decode_json(json.dumps(one), kind)]
    )
    def test_list_of_lists_or_null_is_decoded(self, read: Any) -> None:
        nodes = read([None, [NODE]], list[list[MessageNode] | None])
        assert nodes == [None, [rawmm.convert(NODE)]]
        assert read({"a": None}, dict[str, dict[str, MessageNode] | None]) == {"a": None}

    def test_list_of_nodes_or_null_obeys_the_rules_of_a_graph(self) -> None:
        nodes = [None, NODE, NODE | {"parent": 2}]
        assert code_of(lambda: rawmm.convert(nodes, list[MessageNode | None])) == "parent_order"


def test_assigned_lone_surrogate_is_refused_by_convert() -> None:
    message = rawmm.UserMessage(content="x")
    message.content = "\ud800"
    assert code_of(lambda: rawmm.convert(message, rawmm.UserMessage)) == "not_json"


@pytest.mark.parametrize(
    "fields",
    [
        {"message": MESSAGE},
        {"logprobs": -1},
        {"is_content": Decimal(1)},
        {"loss_weights": {"a": 1}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_assigned_unconverted_value_is_refused_with_its_path(fields: dict[str, Any]) -> None:
    with pytest.raises(RawMMError) as caught:
        msgspec.structs.replace(rawmm.convert(NODE), **fields)
    assert caught.value.path.startswith(f"$.{next(iter(fields))}")
    assert caught.value.__context__ is None


class Scored(MessageNode):
    score: float = 0.0


class MustScore(MessageNode, kw_only=True):
    score: float


class TestSubclassWithItsOwnField:
    def test_subclass_round_trips(self) -> None:
        node = Scored(**NODE, score=1.5)
        assert rawmm.decode_json(rawmm.encode_json(node), Scored) == node
        assert list(rawmm.iter_errors(node)) == []

    def test_broken_rule_has_precedence_over_its_field(self) -> None:
        node = Scored(**NODE, score=1.5)
        node.mask = [True]
        assert [error.code for error in rawmm.iter_errors(node)] == ["stream_length"]

    def test_subclass_is_refused_without_its_field_or_with_a_wrong_type(self) -> None:
        assert code_of(lambda: MustScore(**NODE)) == "wrong_type"
        assert code_of(lambda: Scored(**NODE, score="x")) == "wrong_type"
        node = Scored(**NODE)
        node.score = "x"  # type: ignore[assignment]
        assert [error.code for error in rawmm.iter_errors(node)] == ["wrong_type"]
        assert code_of(lambda: rawmm.encode_json(node)) == "wrong_type"

    def test_field_of_a_subclass_is_unknown_in_a_trace_of_plain_nodes(self) -> None:
        trace = Trace(nodes=[])
        trace.nodes = [Scored(**NODE, score=1.5)]
        back = rawmm.decode_json(rawmm.encode_json(trace), Trace)
        assert back.nodes[0].extra == {"score": 1.5}

    def test_subclass_of_a_closed_type_is_refused_in_a_sidecar(self) -> None:
        class Named(rawmm.PlaceholderRange):
            name: str = "x"

        sidecar = rawmm.MultiModalData()
        sidecar.mm_placeholders = {"image": [Named(offset=0, length=1)]}
        assert code_of(lambda: rawmm.encode_json(sidecar)) == "unknown_field"


def test_struct_in_a_field_of_plain_values_is_refused() -> None:
    sidecar = rawmm.MultiModalData()
    sidecar.mm_hashes = Trace(nodes=[])  # type: ignore[assignment]
    for call in (rawmm.validate, rawmm.encode_json, rawmm.to_builtins, rawmm.convert):
        with pytest.raises(RawMMError) as caught:
            call(sidecar)
        assert (caught.value.code, caught.value.path) == ("wrong_type", "$.mm_hashes")


def test_reference_in_place_of_a_list_of_items_is_refused() -> None:
    item: dict[str, Any] = {
        "kind": "prime_raw_mm_item",
        "modality": "image",
        "family": "qwen_vl",
        "layout_fingerprint": "0" * 32,
        "payload": {"image_grid_thw": [[1, 4, 4]]},
        "raw_image_uri": f"file:///x/{'a' * 64}.png",
    }
    values = [item, "a" * 16, item["raw_image_uri"], 0, 4]
    sidecar = rawmm.MultiModalData()
    reference: Any = rawmm.convert(values, rawmm.MMImageRef)
    sidecar.mm_items = {"image": reference}
    for call in (rawmm.validate, rawmm.encode_json, rawmm.to_builtins):
        assert code_of(partial(call, sidecar)) == "historical_form"


class FailsOnEquality(str):
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError


def test_text_that_fails_on_comparison_is_read_as_its_text() -> None:
    item = rawmm.raw_mm_item(
        modality="image",
        family="qwen_vl",
        layout_fingerprint="0" * 32,
        payload={"image_grid_thw": [[1, 4, 4]]},
        raw_image_id=f"{'a' * 64}.png",
    )
    item.kind = FailsOnEquality("x")  # type: ignore[assignment]
    for call in (rawmm.validate, rawmm.encode_json):
        assert code_of(partial(call, item)) == "bad_value"


def test_to_builtins_refuses_text_with_a_lone_surrogate() -> None:
    message = rawmm.UserMessage(content="x")
    message.content = "\ud800"
    with pytest.raises(RawMMError) as caught:
        rawmm.to_builtins([message])
    assert (caught.value.code, caught.value.path) == ("not_json", "$[0].content")
