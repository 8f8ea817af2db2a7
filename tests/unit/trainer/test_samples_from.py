"""`samples_from`: every sampled token of a trace trains once."""

from __future__ import annotations

import base64
import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import (
    AssistantMessage,
    ContractError,
    ImageStore,
    MessageNode,
    RawMMError,
    Trace,
    UserMessage,
    convert,
    decode_json,
    decode_msgpack,
    encode_msgpack,
    to_builtins,
)
from rawmm.graph import branches
from rawmm.model.types import PackedStream
from rawmm.trainer import decode_sample, encode_sample, pack, sample_from, samples_from
from rawmm.trainer.sample import images_of
from tests.unit.graph.turns import TYPES, play, response, sidecar, url, user, with_images

FLOW = Path(__file__).parent.parent.parent / "data/wire/flow-0.4.0"
DIRECTORY = "/run/assets/images"


def node(parent: int | None, *ids: int, sampled: bool = False, **fields: Any) -> MessageNode:
    """A node whose tokens are all sampled, or none."""
    message: Any = AssistantMessage(content="ok") if sampled else UserMessage(content="look")
    return MessageNode(
        parent=parent,
        message=message,
        sampled=sampled,
        token_ids=list(ids),
        mask=[sampled] * len(ids),
        logprobs=[-0.5] * len(ids) if sampled else [],
        **fields,
    )


def forked() -> Trace:
    """A prompt and a reply, shared by two branches of a prompt and a reply each."""
    return Trace(
        nodes=[
            node(None, 1, 2),
            node(0, 3, 4, sampled=True),
            node(1, 5),
            node(2, 6, 7, sampled=True),
            node(1, 8),
            node(4, 9, sampled=True),
        ]
    )


def array(dtype: str, size: int, value: int = 0) -> dict[str, Any]:
    """An encoded array of one value."""
    data = value.to_bytes(4, "little") * size
    text = base64.b64encode(data).decode()
    return {"__nd__": True, "dtype": dtype, "shape": [size], "data": text}


class TestMasks:
    def test_shared_reply_trains_in_the_first_branch(self) -> None:
        first, second = samples_from(forked(), env_name="demo", temperature=0.7)
        assert first.token_ids == [1, 2, 3, 4, 5, 6, 7]
        assert first.mask == [False, False, True, True, False, True, True]
        assert second.token_ids == [1, 2, 3, 4, 8, 9]
        assert second.mask == [False, False, False, False, False, True]
        assert second.logprobs == [0.0, 0.0, -0.5, -0.5, 0.0, -0.5]
        assert (second.env_name, second.temperatures) == ("demo", [0.7] * 6)

    def test_samples_differ_from_those_of_branches_in_masks_only(self) -> None:
        trace = forked()
        trace.nodes[1].advantages = [1.0, 2.0]
        trace.nodes[5].reference_logprobs = [-3.0]
        for sample, branch in zip(samples_from(trace), branches(trace), strict=True):
            assert sample == sample_from(branch, mask=sample.mask)

    def test_branch_without_own_replies_is_left_out(self) -> None:
        trace = forked()
        trace.nodes[5:] = [node(4, 10)]
        (only,) = samples_from(trace)
        assert only.token_ids == [1, 2, 3, 4, 5, 6, 7]
        assert samples_from(Trace(nodes=[node(None, 1)])) == []
        assert samples_from(Trace(nodes=[])) == []

    def test_compaction_attempt_does_not_train(self) -> None:
        """Nor does it take the shared reply from the branch that the harness continued."""
        document = to_builtins(forked())
        document["nodes"][3]["semantic_parents"] = [{"type": "compaction_attempt", "node": 2}]
        trace = convert(document, Trace)
        assert [branch.trainable for branch in branches(trace)] == [False, True]
        (only,) = samples_from(trace)
        assert only.token_ids == [1, 2, 3, 4, 8, 9]
        assert only.mask == [False, False, True, True, False, True]

    def test_loss_weights_of_a_shared_node_count_once(self) -> None:
        trace = forked()
        trace.nodes[0].loss_weights = {"ce": [0.1, 0.2]}
        trace.nodes[1].loss_weights = {"rl": [2.0, 3.0], "ce": [0.0, 0.0]}
        trace.nodes[4].loss_weights = {"ce": [0.3]}
        first, second = samples_from(trace)
        assert first.ce_weights == [0.1, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]
        assert first.rl_weights == [0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0]
        assert second.ce_weights == [0.0, 0.0, 0.0, 0.0, 0.3, 0.0]
        # Absent means 1 for every token of the mask; zeros would undo the reply's own training.
        assert second.rl_weights is None

    def test_branch_with_loss_weights_only_is_kept(self) -> None:
        trace = forked()
        trace.nodes[5:] = [node(4, 10, loss_weights={"ce": [1.0]})]
        _, second = samples_from(trace)
        assert second.mask == [False] * 6
        assert second.ce_weights == [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]

    @given(st.data())
    def test_every_sampled_token_trains_in_exactly_one_sample(self, data: st.DataObject) -> None:
        nodes: list[MessageNode] = []
        ids = iter(range(1, 1000))
        for index in range(data.draw(st.integers(0, 12), "nodes")):
            parent = data.draw(st.integers(-1, index - 1), "parent")
            mask = data.draw(st.lists(st.booleans(), max_size=4), "mask")
            sampled = any(mask)
            message: Any = AssistantMessage() if sampled else UserMessage(content="")
            nodes.append(
                MessageNode(
                    parent=None if parent < 0 else parent,
                    message=message,
                    sampled=sampled,
                    token_ids=[next(ids) for _ in mask],
                    mask=mask,
                    logprobs=[-1.0] * mask.count(True),
                )
            )
        trace = Trace(nodes=nodes)
        samples = samples_from(trace)
        trained = Counter(
            token
            for sample in samples
            for token, trains in zip(sample.token_ids, sample.mask, strict=True)
            if trains
        )
        sampled_tokens = [
            token
            for one in nodes
            for token, trains in zip(one.token_ids, one.mask, strict=True)
            if trains
        ]
        assert trained == Counter(sampled_tokens)
        assert all(any(sample.mask) for sample in samples)
        paths = [branch.token_ids for branch in branches(trace)]
        kept = [sample.token_ids for sample in samples]
        rest = iter(paths)
        assert all(one in rest for one in kept), "in the order of the branches"
        assert samples_from(trace) == samples


class TestImages:
    def test_images_of_a_fork_are_in_both_samples(self) -> None:
        trace = with_images()
        play(
            trace,
            [*(one.message for one in trace.nodes[:2]), user("other")],
            response(
                [1, 7, 7, 2, 90, 91, 3],
                message_spans=[None, None, (6, 7)],
                mm_token_type_id_map=TYPES,
                multi_modal_data=sidecar((0, 1, 2)),
                bridged=True,
            ),
        )
        first, second = samples_from(trace, image_dir=DIRECTORY)
        assert [one.uri for one in images_of(first)] == [url(0), url(1)]
        assert [one.uri for one in images_of(second)] == [url(0)]
        assert second.mask == [False] * 7 + [True, True]
        assert sum(first.mask) == 4

    def test_store_locates_ids(self, tmp_path: Path) -> None:
        store = ImageStore(tmp_path / "images")
        (sample,) = samples_from(with_images(), store=store)
        same = samples_from(with_images(), image_dir=store.root)
        assert [sample] == same
        assert all(one.uri.startswith(tmp_path.as_uri()) for one in images_of(sample))

    def test_path_of_an_error_names_the_branch(self) -> None:
        with pytest.raises(RawMMError) as caught:
            samples_from(with_images())
        assert (caught.value.code, caught.value.path) == (
            "no_image_dir",
            "$.branches[0].multi_modal_data.mm_items.image[0].raw_image_id",
        )
        trace = with_images()
        trace.nodes[2].multi_modal_data = None
        with pytest.raises(RawMMError) as caught:
            samples_from(trace, image_dir=DIRECTORY)
        assert caught.value.path.startswith("$.nodes[2].")

    def test_two_places_are_refused(self, tmp_path: Path) -> None:
        store = ImageStore(tmp_path)
        with pytest.raises(TypeError):
            samples_from(with_images(), store=store, image_dir=tmp_path)
        for more in ({"store": store}, {"image_dir": tmp_path}):
            with pytest.raises(ContractError):
                samples_from(with_images(), to_uri=str, **more)

    @pytest.mark.parametrize("value", [None, 3, [], "trace"])
    def test_other_value_is_refused(self, value: Any) -> None:
        with pytest.raises(RawMMError):
            samples_from(value)


class TestReleased:
    """Records without sidecars, written by verifiers 0.4.0."""

    def record(self) -> Trace:
        return decode_json((FLOW / "inline.trace.json").read_bytes(), Trace)

    def test_inline_record_gives_samples_in_two_calls(self, tmp_path: Path) -> None:
        trace = self.record()
        before = copy.deepcopy(trace)
        (sample,) = samples_from(trace, layout="qwen_vl", image_dir=tmp_path)
        assert trace == before
        assert [(one.offset, one.length) for one in images_of(sample)] == [
            (9, 77),
            (108, 77),
            (207, 77),
        ]
        assert sum(sample.mask) == 18
        stored = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert stored == {path.name: path.read_bytes() for path in (FLOW / "images").iterdir()}
        for one in images_of(sample):
            assert one.uri == (tmp_path / str(one.item.raw_image_id)).as_uri()
        assert pack([decode_sample(encode_sample(sample))]).input_ids == sample.token_ids

    def test_offloaded_record_gives_the_same_samples(self, tmp_path: Path) -> None:
        """Its URLs name a directory of the machine that recorded it."""
        trace = decode_json((FLOW / "offloaded.trace.json").read_bytes(), Trace)
        (inline,) = samples_from(self.record(), layout="qwen_vl", image_dir=tmp_path)
        (sample,) = samples_from(trace, layout="qwen_vl", image_dir=FLOW / "images")
        assert (sample.token_ids, sample.mask) == (inline.token_ids, inline.mask)
        for one, other in zip(images_of(sample), images_of(inline), strict=True):
            assert (one.hash, one.item) == (other.hash, other.item)
            assert one.uri == (FLOW / "images" / str(one.item.raw_image_id)).as_uri()

    def test_inline_images_are_stored_once(self, tmp_path: Path) -> None:
        store = ImageStore(tmp_path)
        first = samples_from(self.record(), layout="qwen_vl", store=store)
        times = {path: path.stat().st_ino for path in tmp_path.iterdir()}
        assert samples_from(self.record(), layout="qwen_vl", store=store) == first
        assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == times

    def test_branch_gives_the_same_sample(self, tmp_path: Path) -> None:
        trace = self.record()
        (branch,) = branches(trace)
        options: Any = {"layout": "qwen_vl", "image_dir": tmp_path}
        assert [sample_from(branch, **options)] == samples_from(trace, **options)

    def test_packed_streams_give_the_same_samples(self, tmp_path: Path) -> None:
        trace = self.record()
        packed = decode_msgpack(encode_msgpack(trace, packed=True), Trace)
        assert isinstance(packed.nodes[0].token_ids, PackedStream)
        options: Any = {"layout": "qwen_vl", "image_dir": tmp_path}
        assert samples_from(packed, **options) == samples_from(trace, **options)

    def test_fields_of_later_versions_do_not_matter(self, tmp_path: Path) -> None:
        """verifiers 0.4.1 adds ``weight_versions`` and ``top_logprobs`` to nodes."""
        options: Any = {"layout": "qwen_vl", "image_dir": tmp_path}
        expected = samples_from(self.record(), **options)
        document = json.loads((FLOW / "inline.trace.json").read_bytes())
        for one in document["nodes"]:
            sampled = sum(one["mask"])
            if not sampled:
                continue
            one["weight_versions"] = [{"version": "3", "start": 0, "end": sampled}]
            one["top_logprobs"] = {
                "ids": array("int32", sampled),
                "logprobs": array("float32", sampled),
                "counts": array("int32", sampled, 1),
            }
        assert samples_from(convert(document, Trace), **options) == expected

    def test_missing_layout_is_named(self) -> None:
        with pytest.raises(RawMMError) as caught:
            samples_from(self.record())
        assert (caught.value.code, caught.value.path) == (
            "count_mismatch",
            "$.branches[0].multi_modal_data.mm_items.image",
        )
        assert "layout=" in str(caught.value.hint)

    def test_inline_images_need_a_place(self) -> None:
        with pytest.raises(RawMMError) as caught:
            samples_from(self.record(), layout="qwen_vl")
        assert caught.value.code == "bad_locator"
        assert "image_dir=" in str(caught.value.hint)
        assert "iVBOR" not in str(caught.value)

    def test_other_layout_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RawMMError) as caught:
            samples_from(self.record(), layout="kimi_k25", image_dir=tmp_path / "images")
        assert caught.value.path.startswith("$.nodes[0]")
        assert not (tmp_path / "images").exists()

    def test_record_without_a_map_needs_the_token_ids(self, tmp_path: Path) -> None:
        trace = self.record()
        expected = samples_from(trace, layout="qwen_vl", image_dir=tmp_path)
        trace.mm_token_type_id_map = None
        options: Any = {"layout": "qwen_vl", "image_dir": tmp_path}
        with pytest.raises(RawMMError) as caught:
            samples_from(trace, **options)
        assert caught.value.code == "missing_field"
        assert samples_from(trace, image_token_ids=375, **options) == expected
        (branch,) = branches(trace)
        assert [sample_from(branch, image_token_ids=375, **options)] == expected
