"""`sample_from`: the sample of a branch of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rawmm import (
    EncodedArray,
    MessageNode,
    MultiModalData,
    ProcessedPayloadError,
    RawMMError,
    Trace,
    decode_json,
)
from rawmm.graph import Branch, branches
from rawmm.trainer import TrainingSample, sample_from
from rawmm.trainer.sample import images_of
from tests.builders import mm_hash_of, sha256_of
from tests.unit.graph.turns import TYPES, new_trace, play, response, url, user, with_images
from tests.unit.trainer.samples import experts

DIRECTORY = "/run/assets/images"
WIRE = Path(__file__).parent.parent.parent / "data/wire"


def branch(trace: Trace) -> Branch:
    (one,) = branches(trace)
    return one


def made(trace: Trace, **kwargs: Any) -> TrainingSample:
    return sample_from(branch(trace), **{"image_dir": DIRECTORY} | kwargs)


def error(trace: Trace, **kwargs: Any) -> tuple[str, str]:
    with pytest.raises(RawMMError) as caught:
        made(trace, **kwargs)
    return caught.value.code, caught.value.path


class TestSample:
    def test_sample_has_tokens_streams_and_images_of_its_branch(self) -> None:
        sample = made(with_images(), env_name="demo", temperature=0.7)
        assert sample.token_ids == [1, 7, 7, 2, 90, 91, 1, 7, 7, 7, 2, 90, 91]
        assert sample.mask == [False] * 4 + [True] * 2 + [False] * 5 + [True] * 2
        assert sample.logprobs == [0.0] * 4 + [-0.5] * 2 + [0.0] * 5 + [-0.5] * 2
        assert sample.temperatures == [0.7] * 13
        assert sample.env_name == "demo"
        assert sample.mm_token_type_ids == [0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
        assert [(one.offset, one.length) for one in images_of(sample)] == [(1, 2), (7, 3)]
        assert [one.uri for one in images_of(sample)] == [url(0), url(1)]
        assert [one.hash for one in images_of(sample)] == [mm_hash_of(0), mm_hash_of(1)]
        for name in ("ref_logprobs", "advantages", "rl_weights", "ce_weights", "ref_kl_weights"):
            assert getattr(sample, name) is None
        assert sample.routed_experts is None

    def test_images_in_a_store_have_the_url_of_to_uri(self) -> None:
        sample = sample_from(branch(with_images()), to_uri=lambda name: f"s3://bucket/{name}")
        assert images_of(sample)[1].uri == f"s3://bucket/{sha256_of(1)}.png"

    def test_branch_of_text_has_no_references(self) -> None:
        trace = new_trace()
        play(trace, [user("hello")], response([1, 2, 3], message_spans=[(0, 3)]))
        sample = sample_from(branch(trace))
        assert (sample.mm_refs, sample.mm_token_type_ids) == (None, None)
        assert sample.token_ids == [1, 2, 3, 90, 91]

    def test_mask_argument_replaces_the_sampled_tokens(self) -> None:
        mask = [False] * 11 + [True] * 2
        assert made(with_images(), mask=mask).mask == mask
        assert error(with_images(), mask=mask[1:]) == ("stream_length", "$.mask")

    def test_advantages_and_reference_logprobs_are_filled_with_zeros(self) -> None:
        trace = with_images()
        trace.nodes[1].advantages = [0.5, 0.25]
        trace.nodes[3].reference_logprobs = [-1.0, -2.0]
        sample = made(trace)
        assert sample.advantages == [0.0] * 4 + [0.5, 0.25] + [0.0] * 7
        assert sample.ref_logprobs == [0.0] * 11 + [-1.0, -2.0]

    def test_absent_advantages_are_none(self) -> None:
        trace = with_images()
        trace.nodes[1].advantages = []
        assert made(trace).advantages == [0.0] * 13

    def test_loss_weights_are_sorted_by_name_and_filled(self) -> None:
        trace = with_images()
        trace.nodes[0].loss_weights = {"ce": [0.1, 0.2, 0.3, 0.4], "mine": [1.0] * 4}
        trace.nodes[3].loss_weights = {"ce": [0.5, 0.6], "ref_kl": [0.0, 0.0]}
        sample = made(trace)
        assert sample.ce_weights == [0.1, 0.2, 0.3, 0.4, *[0.0] * 7, 0.5, 0.6]
        assert sample.ref_kl_weights == [0.0] * 13
        assert sample.rl_weights is None


class TestRouting:
    def trace(self, *without: int) -> Trace:
        trace = with_images()
        for index, node in enumerate(trace.nodes):
            if index not in without:
                node.routed_experts = experts(len(node.token_ids))
        return trace

    def test_routing_of_every_node_is_joined(self) -> None:
        trace = self.trace()
        data = [experts(len(node.token_ids)).data for node in trace.nodes]
        assert made(trace).routed_experts == EncodedArray(
            dtype="uint8", shape=[13, 2, 3], data=b"".join(data)
        )

    @pytest.mark.parametrize("index", range(4))
    def test_routing_of_some_nodes_is_dropped(self, index: int) -> None:
        assert made(self.trace(index)).routed_experts is None

    def test_node_without_tokens_needs_no_routing(self) -> None:
        trace = self.trace()
        trace.nodes.append(MessageNode(parent=3, message=user("a note")))
        routed = made(trace).routed_experts
        assert routed is not None
        assert routed.shape == [13, 2, 3]

    def test_routing_of_two_shapes_is_refused(self) -> None:
        trace = self.trace()
        trace.nodes[2].routed_experts = experts(5, layers=3)
        assert error(trace) == ("bad_value", "$.nodes[2].routed_experts")


class TestRefused:
    def test_lost_sidecar_is_refused(self) -> None:
        """A node whose images were lost must not become a sample."""
        trace = with_images()
        trace.nodes[2].multi_modal_data = None
        assert error(trace) == ("count_mismatch", "$.nodes[2].multi_modal_data")
        trace.nodes[0].multi_modal_data = None
        assert error(trace) == ("count_mismatch", "$.nodes[0].multi_modal_data")

    def test_inline_images_without_items_are_refused(self) -> None:
        nodes = decode_json((WIRE / "released/nodes.json").read_bytes(), list[MessageNode])
        with pytest.raises(RawMMError) as caught:
            made(Trace(nodes=nodes))
        assert (caught.value.code, caught.value.path) == (
            "count_mismatch",
            "$.multi_modal_data.mm_items.image",
        )
        assert caught.value.hint
        assert "offload" in caught.value.hint

    def test_item_without_an_image_part_is_refused(self) -> None:
        trace = with_images()
        trace.nodes[2].message = user("again")
        assert error(trace) == ("count_mismatch", "$.nodes[2].multi_modal_data.mm_items.image")

    def test_moved_offset_is_refused(self) -> None:
        trace = with_images()
        assert isinstance(trace.nodes[2].multi_modal_data, MultiModalData)
        trace.nodes[2].multi_modal_data.mm_placeholders["image"][0].offset = 8
        assert error(trace) == ("orphan_image", "$.mm_refs[0][1]")
        trace.nodes[2].multi_modal_data.mm_placeholders["image"][0].offset = 11
        assert error(trace) == ("placeholder_order", "$.mm_refs[0][1]")

    def test_image_without_a_uri_is_refused(self) -> None:
        trace = with_images()
        path = "$.multi_modal_data.mm_items.image[1]"
        assert isinstance(trace.nodes[2].multi_modal_data, MultiModalData)
        trace.nodes[2].multi_modal_data.mm_items["image"][0].raw_image_id = None
        assert error(trace) == ("no_locator", path)
        assert error(with_images(), image_dir=None) == (
            "no_image_dir",
            "$.multi_modal_data.mm_items.image[0].raw_image_id",
        )

    def test_processed_data_are_refused(self) -> None:
        trace = with_images()
        assert isinstance(trace.nodes[2].multi_modal_data, MultiModalData)
        trace.nodes[2].multi_modal_data.mm_items["image"][0].payload["image_embeds"] = 1
        with pytest.raises(ProcessedPayloadError) as caught:
            made(trace)
        path = "$.nodes[2].multi_modal_data.mm_items.image[0].payload.image_embeds"
        assert caught.value.path == path

    def test_image_tokens_that_the_model_sampled_are_refused(self) -> None:
        trace = with_images()
        assert TYPES == {7: 1}
        trace.nodes[3].token_ids = [7, 91]
        assert error(trace) == ("orphan_image", "$.mm_token_type_ids")


def test_trace_is_unchanged() -> None:
    trace = with_images()
    before = repr(trace)
    sample = made(trace)
    sample.token_ids.clear()
    images_of(sample)[0].item.payload.clear()
    images_of(sample).clear()
    assert repr(trace) == before
