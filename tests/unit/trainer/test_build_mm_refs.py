"""The rules for references to the trainer, each broken separately."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rawmm import (
    ContractError,
    MMRefs,
    MultiModalData,
    PlaceholderRange,
    ProcessedPayloadError,
    RawMMError,
    RawMMItem,
    decode_msgpack,
    encode_msgpack,
    to_builtins,
)
from rawmm.trainer import build_mm_refs
from tests.builders import item, mm_hash_of, sha256_of
from tests.unit.trainer.samples import DIRECTORY, sidecar, uri

WIRE = Path(__file__).parent.parent.parent / "data/wire/trainer"
TYPES = [0, 1, 1, 0, 1, 0]
SPANS = ((1, 2), (4, 1))


def refused(*args: Any, **kwargs: Any) -> RawMMError:
    with pytest.raises(RawMMError) as caught:
        build_mm_refs(*args, **kwargs)
    return caught.value


def error(*args: Any, **kwargs: Any) -> tuple[str, str]:
    caught = refused(*args, **kwargs)
    return caught.code, caught.path


def built(*args: Any, **kwargs: Any) -> MMRefs:
    refs = build_mm_refs(*args, **kwargs)
    assert refs is not None
    return refs


class TestReferences:
    def test_fields_are_those_of_the_transport(self) -> None:
        """The recorded sidecar leads to the recorded bytes."""
        (images,) = json.loads((WIRE / "mm_refs.image_refs.fields.json").read_text())["value"]
        given = {
            "mm_items": {"image": [{"version": 1, **image[0]} for image in images]},
            "mm_hashes": {"image": [image[1] for image in images]},
            "mm_placeholders": {"image": [{"offset": i[3], "length": i[4]} for i in images]},
        }
        refs = built(given, num_tokens=27)
        for image in refs.images:
            assert image.item.version == 1
            image.item.version = None
        assert encode_msgpack(refs) == (WIRE / "mm_refs.image_refs.msgpack").read_bytes()

    @pytest.mark.parametrize("image_dir", [DIRECTORY, Path(DIRECTORY), DIRECTORY + "/"])
    def test_id_in_the_image_directory_becomes_its_url(self, image_dir: Any) -> None:
        refs = built(sidecar(*SPANS), image_dir=image_dir, mm_token_type_ids=TYPES)
        assert [image.uri for image in refs.images] == [uri(0), uri(1)]
        assert [image.hash for image in refs.images] == [mm_hash_of(0), mm_hash_of(1)]
        assert [(image.offset, image.length) for image in refs.images] == list(SPANS)
        assert refs.images[0].item.raw_image_id == f"{sha256_of(0)}.png"
        assert decode_msgpack(encode_msgpack(refs), MMRefs) == refs

    def test_directory_that_needs_escapes_is_escaped(self) -> None:
        refs = built(sidecar((0, 1)), image_dir="/data/my run#1/ü")
        assert refs.images[0].uri == f"file:///data/my%20run%231/%C3%BC/{sha256_of(0)}.png"

    def test_id_in_a_store_becomes_the_url_of_to_uri(self) -> None:
        refs = built(sidecar((0, 1)), to_uri=lambda name: f"hdfs://bucket/{name}")
        assert refs.images[0].uri == f"hdfs://bucket/{sha256_of(0)}.png"

    def test_uri_is_unchanged(self) -> None:
        given = sidecar((0, 1), raw_image_uri="gs://bucket/a.png")
        assert built(given).images[0].uri == "gs://bucket/a.png"
        assert built(given, image_dir="/x").images[0].uri == "gs://bucket/a.png"

    @pytest.mark.parametrize(
        "nothing", [None, MultiModalData(), {"mm_items": {"image": [], "video": []}}]
    )
    def test_no_images_give_no_references(self, nothing: Any) -> None:
        assert build_mm_refs(nothing) is None
        assert build_mm_refs(nothing, num_tokens=0, mm_token_type_ids=[]) is None
        assert build_mm_refs(nothing, mm_token_type_ids=[0, 0]) is None

    def test_nothing_is_shared_or_changed(self) -> None:
        given = sidecar(*SPANS)
        before = copy.deepcopy(given)
        refs = built(given, image_dir=DIRECTORY)
        refs.images[0].item.payload["image_grid_thw"].append(9)
        refs.images[0].item.family = "other"
        refs.images[1].offset = 77
        assert given == before

    def test_plain_data_is_accepted(self) -> None:
        given = sidecar(*SPANS)
        assert built(to_builtins(given), image_dir=DIRECTORY) == built(given, image_dir=DIRECTORY)


class TestLocators:
    def test_descriptor_only_item_is_refused(self) -> None:
        given = sidecar(*SPANS)
        given.mm_items["image"][1].raw_image_id = None
        error = refused(given, image_dir=DIRECTORY)
        assert error.code == "no_locator"
        assert str(error).startswith(
            "$.mm_items.image[1]: expected raw_image_id or raw_image_uri, got a descriptor-only"
            " item; the trainer reads every file; "
        )

    def test_id_without_a_directory_is_refused(self) -> None:
        assert str(refused(sidecar((0, 1)))) == (
            "$.mm_items.image[0].raw_image_id: expected image_dir or to_uri, to turn the id into a "
            "URI, got neither; image_dir=rawmm.run_image_dir() [no_image_dir]"
        )

    def test_inline_image_is_refused(self) -> None:
        given = sidecar((0, 1), raw_image_uri="data:image/png;base64,aGVsbG8=")
        caught = refused(given)
        assert (caught.code, caught.path) == ("bad_locator", "$.mm_items.image[0].raw_image_uri")
        assert "aGVs" not in str(caught)

    @pytest.mark.parametrize(
        ("made", "code"),
        [
            ("data:image/png;base64,aGVsbG8=", "bad_locator"),
            ("http://host/a.png", "bad_locator"),
            ("/plain/path.png", "bad_locator"),
            ("file:///a/../b.png", "path_escape"),
            ("file://host/b.png", "bad_locator"),
            (f"hdfs://bucket/{sha256_of(5)}.png", "hash_mismatch"),
            (None, "wrong_type"),
            (b"hdfs://bucket/a.png", "wrong_type"),
        ],
    )
    def test_result_of_to_uri_is_checked(self, made: Any, code: str) -> None:
        assert error(sidecar((0, 1)), to_uri=lambda _: made) == (
            code,
            "$.mm_items.image[0].raw_image_id",
        )

    @pytest.mark.parametrize("image_dir", ["images", "./images", "x/../images", Path("images")])
    def test_relative_directory_is_resolved(
        self, image_dir: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        refs = built(sidecar((0, 1)), image_dir=image_dir)
        assert refs.images[0].uri == f"{tmp_path.resolve().as_uri()}/images/{sha256_of(0)}.png"

    @pytest.mark.parametrize(
        ("image_dir", "code"),
        [("", "no_image_dir"), ("hdfs://bucket/images", "bad_locator"), (b"/x", "wrong_type")],
    )
    def test_other_directory_is_refused(self, image_dir: Any, code: str) -> None:
        assert error(sidecar((0, 1)), image_dir=image_dir) == (code, "$")

    def test_image_dir_and_to_uri_together_are_refused(self) -> None:
        assert str(refused(sidecar((0, 1)), image_dir="/x", to_uri=str)) == (
            "$: expected image_dir or to_uri, got both; pass one of them [bad_value]"
        )


class TestMedia:
    @pytest.mark.parametrize("name", ["mm_items", "mm_hashes", "mm_placeholders"])
    @pytest.mark.parametrize("modality", ["video", "audio"])
    def test_other_media_are_refused(self, modality: str, name: str) -> None:
        given = sidecar((0, 1))
        entry: Any = {
            "mm_items": RawMMItem(modality=modality, family="f", payload={}),
            "mm_hashes": sha256_of(9),
            "mm_placeholders": PlaceholderRange(offset=8, length=1),
        }[name]
        getattr(given, name)[modality] = [entry]
        assert str(refused(given, image_dir=DIRECTORY)) == (
            f"$.{name}.{modality}: expected images only, got 1 entry of '{modality}'"
            " [unsupported_modality]"
        )

    @pytest.mark.parametrize("name", ["mm_items", "mm_hashes", "mm_placeholders"])
    def test_wrong_counts_are_refused(self, name: str) -> None:
        given = sidecar(*SPANS)
        getattr(given, name)["image"].pop()
        assert error(given, image_dir=DIRECTORY) == ("count_mismatch", f"$.{name}.image")
        getattr(given, name).clear()
        assert error(given, image_dir=DIRECTORY) == ("count_mismatch", f"$.{name}.image")

    def test_hashes_in_another_order_are_refused(self) -> None:
        given = sidecar(*SPANS)
        given.mm_items["image"].reverse()
        assert error(given, image_dir=DIRECTORY)[0] == "hash_mismatch"

    def test_processed_data_are_refused(self) -> None:
        given = sidecar((0, 1))
        given.mm_items["image"][0].payload["pixel_values"] = [0.5]
        with pytest.raises(ProcessedPayloadError):
            build_mm_refs(given, image_dir=DIRECTORY)


class TestRanges:
    @pytest.mark.parametrize("spans", [((4, 1), (1, 2)), ((1, 2), (2, 2)), ((1, 2), (1, 2))])
    def test_unsorted_or_overlapping_ranges_are_refused(self, spans: Any) -> None:
        given = sidecar(*SPANS)
        for one, (offset, length) in zip(given.mm_placeholders["image"], spans, strict=True):
            one.offset, one.length = offset, length
        assert error(given, image_dir=DIRECTORY) == (
            "placeholder_order",
            "$.mm_placeholders.image[1]",
        )

    @pytest.mark.parametrize("value", [True, 1.0, "1", None, -1])
    @pytest.mark.parametrize("field", ["offset", "length"])
    def test_non_integer_ranges_are_refused(self, field: str, value: Any) -> None:
        given = to_builtins(sidecar(*SPANS))
        given["mm_placeholders"]["image"][1][field] = value
        code, path = error(given, image_dir=DIRECTORY)
        assert code in {"wrong_type", "out_of_range"}
        assert path == f"$.mm_placeholders.image[1].{field}"

    @pytest.mark.parametrize("how", [{"num_tokens": 4}, {"mm_token_type_ids": [0, 1, 1, 0]}])
    def test_ranges_outside_the_sample_are_refused(self, how: Any) -> None:
        caught = refused(sidecar(*SPANS), image_dir=DIRECTORY, **how)
        assert str(caught) == (
            "$.mm_placeholders.image[1]: expected a range inside the sample's 4 tokens, got 4 to 5"
            " [placeholder_order]"
        )
        fits = built(sidecar((1, 3)), image_dir=DIRECTORY, num_tokens=4)
        assert (fits.images[0].offset, fits.images[0].length) == (1, 3)

    def test_types_are_as_long_as_the_sample(self) -> None:
        args = {"image_dir": DIRECTORY, "num_tokens": 7, "mm_token_type_ids": TYPES}
        assert error(sidecar(*SPANS), **args) == ("stream_length", "$.mm_token_type_ids")
        refs = built(sidecar(*SPANS), **args | {"num_tokens": 6})
        assert refs == built(sidecar(*SPANS), image_dir=DIRECTORY)

    @pytest.mark.parametrize(
        ("types", "path", "expected"),
        [
            ([0, 1, 0, 0, 1, 0], "$.mm_placeholders.image[0]", "2 image-typed tokens in the range"),
            ([0, 1, 1, 0, 0, 1], "$.mm_placeholders.image[1]", "1 image-typed token in the range"),
            ([0, 1, 1, 0, 2, 0], "$.mm_placeholders.image[1]", "1 image-typed token in the range"),
            (
                [1, 1, 1, 0, 1, 0],
                "$.mm_token_type_ids",
                "3 image-typed tokens, as the images cover",
            ),
        ],
    )
    def test_ranges_cover_image_typed_tokens(
        self, types: list[int], path: str, expected: str
    ) -> None:
        caught = refused(sidecar(*SPANS), image_dir=DIRECTORY, mm_token_type_ids=types)
        assert isinstance(caught, ContractError)
        assert (caught.code, caught.path, caught.expected) == ("orphan_image", path, expected)

    def test_image_tokens_without_a_sidecar_are_refused(self) -> None:
        assert error(None, mm_token_type_ids=[0, 1]) == ("orphan_image", "$.mm_token_type_ids")

    @pytest.mark.parametrize("kind", [2, 3, 255])
    def test_tokens_of_other_media_are_refused(self, kind: int) -> None:
        types = [*TYPES[:-1], kind]
        assert error(sidecar(*SPANS), image_dir=DIRECTORY, mm_token_type_ids=types) == (
            "unsupported_modality",
            "$.mm_token_type_ids[5]",
        )


def test_items_of_the_engines_own_modality_are_images() -> None:
    given = sidecar((0, 1), vllm_modality="vision_chunk")
    assert built(given, image_dir=DIRECTORY).images[0].item.vllm_modality == "vision_chunk"
    assert item(0).vllm_modality is None
