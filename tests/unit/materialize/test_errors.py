"""Errors of images, descriptors and tokens, with their paths."""

from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rawmm
from rawmm import (
    ContractError,
    MaterializeError,
    MMImageRef,
    MMRefs,
    MultiModalData,
    ProcessedPayloadError,
    RawMMError,
    layouts,
)
from rawmm.describe import describe_image
from rawmm.materialize import ProcessedImageCache, materialize
from tests.unit.images.pictures import assert_silent, data_url, picture, png_chunk
from tests.unit.materialize.processor import QWEN, PatchProcessor, file_of, ref_to, refs_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm import ImageStore

RED, BLUE = picture(size=(84, 56), seed=200), picture("JPEG", size=(56, 112), seed=7)
BLANK = picture(size=(56, 112))
LAID_OUT = (
    "the layout is qwen_vl with patch_size=14, merge_size=2, temporal_patch_size=2, "
    "min_pixels=3136, max_pixels=1003520; pass layout if it is another"
)


def refused(refs: Any, processor: Any, **more: Any) -> RawMMError:
    with pytest.raises(RawMMError) as caught:
        materialize(refs, image_processor=processor, **more)
    return caught.value


class TestFiles:
    """Each is refused beside a valid image, before the processor runs."""

    def check(self, refs: list[MMImageRef], processor: PatchProcessor) -> MaterializeError:
        for cache in (None, ProcessedImageCache()):
            error = refused(MMRefs(images=refs), processor, cache=cache)
            assert isinstance(error, MaterializeError)
            assert error.path == "$[0][1][2]"
            assert_silent(error)
            found = error
        assert {image.size for image in processor.seen} == {(84, 56)}
        return found

    def test_missing_file_is_refused(self, store: ImageStore, processor: PatchProcessor) -> None:
        refs = refs_to(store, RED, BLUE)
        file_of(refs[1], store).unlink()
        error = self.check(refs, processor)
        name = refs[1].uri.rpartition("/")[2]
        assert (error.code, error.path) == ("missing_image", "$[0][1][2]")
        assert error.expected == f"an image in {str(store.root)!r}"
        assert error.got == f"no file named '{name[:16]}…' (68 characters)"

    @pytest.mark.parametrize(
        "damage",
        [
            lambda raw: raw[:-1],
            lambda raw: raw + b"\0",
            lambda raw: raw[:200] + bytes([raw[200] ^ 1]) + raw[201:],
            lambda _: b"",
            lambda _: RED,
        ],
    )
    def test_changed_file_is_refused(
        self, damage: Callable[[bytes], bytes], store: ImageStore, processor: PatchProcessor
    ) -> None:
        refs = refs_to(store, RED, BLUE)
        file_of(refs[1], store).write_bytes(damage(BLUE))
        error = self.check(refs, processor)
        assert error.code == "hash_mismatch"
        assert error.expected == f"bytes whose SHA-256 begins with {refs[1].hash[:16]}…"

    def test_link_is_refused(self, store: ImageStore, processor: PatchProcessor) -> None:
        refs = refs_to(store, RED, BLUE)
        file = file_of(refs[1], store)
        file.symlink_to(file.rename(store.root / "moved.jpg"))
        assert self.check(refs, processor).code == "path_escape"

    def test_directory_is_refused(self, store: ImageStore, processor: PatchProcessor) -> None:
        refs = refs_to(store, RED, BLUE)
        file_of(refs[1], store).unlink()
        file_of(refs[1], store).mkdir()
        assert self.check(refs, processor).code == "missing_image"

    def test_damaged_image_is_refused(self, store: ImageStore, processor: PatchProcessor) -> None:
        start, end = BLANK.index(b"IDAT") + 4, BLANK.index(b"IEND") - 8
        damaged = b"".join((BLANK[: start - 8], png_chunk(b"IDAT", bytes(9)), BLANK[end + 4 :]))
        error = self.check([*refs_to(store, RED), ref_to(store.put(damaged), offset=20)], processor)
        assert str(error).startswith(
            "$[0][1][2]: expected an image file that can be decoded, got "
            f"{len(damaged)} damaged bytes; write the image again "
        )
        assert str(error).endswith(", or leave it out [not_an_image]")


def test_lost_file_of_a_cached_image_is_refused(
    store: ImageStore, processor: PatchProcessor
) -> None:
    cache = ProcessedImageCache()
    (ref,) = refs_to(store, RED)
    materialize(ref, image_processor=processor, cache=cache)
    file_of(ref, store).write_bytes(BLUE)
    assert refused(ref, processor, cache=cache).code == "hash_mismatch"
    file_of(ref, store).unlink()
    assert refused(ref, processor, cache=cache).code == "missing_image"


def named_otherwise(store: ImageStore) -> MMImageRef:
    """A reference to a file whose name is not a hash."""
    path = store.root / "page.png"
    store.put(RED)
    path.write_bytes(RED)
    return ref_to(RED, path.as_uri())


class TestHashes:
    def test_hash_that_differs_from_the_name_is_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        refs = MMRefs(images=refs_to(store, RED))
        refs.images[0].hash = "ab" * 16
        error = refused(refs, processor)
        assert isinstance(error, ContractError)
        assert (error.code, error.path) == ("hash_mismatch", "$[0][0][0].raw_image_id")

    def test_hash_of_another_image_is_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        ref = named_otherwise(store)
        assert materialize(ref, image_processor=processor).images
        ref.hash = "ab" * 16
        error = refused(ref, processor)
        assert isinstance(error, MaterializeError)
        assert (error.code, error.path) == ("hash_mismatch", "$[2]")

    def test_all_digits_of_the_name_are_compared(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        """A file name that begins with the short hash of its bytes, and then differs."""
        stored = store.put(RED)
        name = stored.sha256[:40] + ("0" if stored.sha256[40] != "0" else "1") * 24 + ".png"
        (store.root / name).write_bytes(RED)
        ref = ref_to(RED, (store.root / name).as_uri(), hash=stored.sha256[:16])
        for more in ({}, {"store": store}, {"store": Elsewhere(RED)}):
            error = refused(ref, processor, **more)
            assert (error.code, error.path) == ("hash_mismatch", "$[2]")
            assert "SHA-256 is the file's name" in error.expected

    def test_hash_longer_than_sha256_is_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        ref = named_otherwise(store)
        ref.hash = hashlib.sha256(RED).hexdigest()
        assert materialize(ref, image_processor=processor).images
        ref.hash += "0"
        assert refused(ref, processor).code == "hash_mismatch"

    def test_hash_of_an_inline_image_is_checked(self, processor: PatchProcessor) -> None:
        url = data_url(RED)
        error = refused(ref_to(RED, url, hash="ab" * 16), processor)
        assert (error.code, error.path) == ("hash_mismatch", "$[2]")
        assert_silent(error, url)


class Elsewhere:
    """A store that returns the same bytes for every locator."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def read(self, locator: str, expected_hash: str | None = None) -> Any:
        del locator, expected_hash
        return self.raw


class TestAnotherStore:
    def test_bytes_of_a_store_without_checks_are_verified(self, processor: PatchProcessor) -> None:
        ref = ref_to(RED, "s3://bucket/page.png")
        found = materialize(ref, image_processor=processor, store=Elsewhere(RED))
        assert len(found.images) == 1
        error = refused(ref, processor, store=Elsewhere(BLUE))
        assert (error.code, error.path) == ("hash_mismatch", "$[2]")
        # The hash is checked first.
        assert refused(ref, processor, store=Elsewhere(b"no image")).code == "hash_mismatch"

    @pytest.mark.parametrize("answer", [None, "text", bytearray(RED)])
    def test_store_that_returns_other_types_is_refused(
        self, answer: Any, store: ImageStore, processor: PatchProcessor
    ) -> None:
        error = refused(ref_to(store.put(RED)), processor, store=Elsewhere(answer))
        assert (error.code, error.path) == ("wrong_type", "$[2]")

    def test_store_of_length_zero_is_used(self, processor: PatchProcessor) -> None:
        class Empty(Elsewhere):
            def __len__(self) -> int:
                return 0

        ref = ref_to(RED, "hdfs://bucket/page.png")
        assert materialize(ref, image_processor=processor, store=Empty(RED)).images

    def test_unknown_scheme_needs_a_store(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        ref = ref_to(RED, "hdfs://bucket/page.png")
        error = refused(ref, processor)
        assert (error.code, error.path) == ("bad_locator", "$[2]")
        assert error.expected.startswith("a raw_image_id, or a URL ")
        assert error.got == "the scheme 'hdfs'"
        assert refused(ref, processor, store=store).code == "bad_locator"


class TestGeometry:
    def test_wrong_payload_is_refused(self, store: ImageStore, processor: PatchProcessor) -> None:
        refs = refs_to(store, RED, BLUE)
        refs[1].item.payload = {"image_grid_thw": [[1, 8, 6]]}
        error = refused(MMRefs(images=refs), processor)
        assert isinstance(error, MaterializeError)
        assert str(error) == (
            "$[0][1][0].payload.image_grid_thw: expected [1, 8, 4], got [1, 8, 6]; "
            f"{LAID_OUT} [geometry_mismatch]"
        )
        assert len(processor.seen) == 1

    @pytest.mark.parametrize(
        ("payload", "got"),
        [
            ({}, "nothing"),
            ({"image_grid_thw": None}, "nothing"),
            ({"image_grid_thw": [[1, 4, 6], [1, 4, 6]]}, "[[1, 4, 6], [1, 4, 6]]"),
            ({"image_grid_thw": [[[1, 4, 6]]]}, "[[1, 4, 6]]"),
            ({"image_grid_thw": "1x4x6"}, "'1x4x6'"),
            ({"image_grid_thw": 24}, "24"),
            ({"grid": [[1, 4, 6]]}, "nothing"),
        ],
    )
    def test_missing_payload_key_is_refused(
        self, payload: Any, got: str, store: ImageStore, processor: PatchProcessor
    ) -> None:
        ref = ref_to(store.put(RED))
        ref.item.payload = payload
        error = refused(ref, processor)
        assert (error.code, error.path) == ("geometry_mismatch", "$[0].payload.image_grid_thw")
        assert (error.expected, error.got) == ("[1, 4, 6]", got)

    @pytest.mark.parametrize("length", [1, 5, 7, 24])
    def test_wrong_number_of_tokens_is_refused(
        self, length: int, store: ImageStore, processor: PatchProcessor
    ) -> None:
        error = refused(ref_to(store.put(RED), length=length), processor)
        assert isinstance(error, MaterializeError)
        assert str(error) == (
            f"$[4]: expected 6 placeholder tokens for the image, got {length}; {LAID_OUT} "
            "[geometry_mismatch]"
        )
        assert processor.seen == []

    @pytest.mark.parametrize("cache", [None, ProcessedImageCache()])
    def test_wrong_grid_of_the_processor_is_refused(
        self,
        cache: ProcessedImageCache | None,
        store: ImageStore,
        processor: PatchProcessor,
    ) -> None:
        """Its attributes differ from what it does."""

        def other(images: Any, return_tensors: Any) -> Any:
            out = processor(images=images, return_tensors=return_tensors)
            return out | {"image_grid_thw": out["image_grid_thw"][:, [0, 2, 1]]}

        for _ in range(2):
            error = refused(ref_to(store.put(RED)), other, layout=QWEN, cache=cache)
            assert isinstance(error, MaterializeError)
            assert str(error) == (
                "$[0].payload.image_grid_thw: expected [1, 6, 4], as the image processor "
                "returned, got [1, 4, 6]; the image was described with other settings of the "
                "processor [geometry_mismatch]"
            )
        assert len(processor.seen) == 2  # errors are not cached

    def test_processor_with_other_settings_is_refused(self, store: ImageStore) -> None:
        wide = ref_to(store.put(picture(size=(280, 140))))
        error = refused(wide, PatchProcessor(patch_size=16))
        assert (error.code, error.expected) == ("geometry_mismatch", "[1, 8, 18]")
        assert "patch_size=16" in str(error)

    def test_shape_that_the_layout_refuses_is_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        ref = ref_to(store.put(RED))
        long = store.put(picture(size=(402, 2)))
        ref.uri, ref.hash, ref.item.raw_image_id = long.uri, long.sha256[:32], None
        error = refused(ref, processor)
        assert isinstance(error, MaterializeError)
        assert (error.code, error.path) == ("image_limit", "$[2]")

    def test_wrong_geometry_in_a_sidecar_is_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        described = describe_image(store.put(RED), QWEN)

        def sidecar(**other: Any) -> MultiModalData:
            item = rawmm.to_builtins(described.item) | other.pop("item", {})
            span = {"offset": 3, "length": 6} | other
            return MultiModalData(
                mm_items={"image": [item]},
                mm_hashes={"image": [described.mm_hash]},
                mm_placeholders={"image": [span]},
            )

        grid = refused(
            sidecar(item={"payload": {"image_grid_thw": [1, 4, 4]}}), processor, store=store
        )
        assert grid.path == "$.mm_items.image[0].payload.image_grid_thw"
        tokens = refused(sidecar(length=5), processor, store=store)
        assert tokens.path == "$.mm_placeholders.image[0].length"
        (store.root / (described.item.raw_image_id or "")).unlink()
        lost = refused(sidecar(), processor, store=store)
        assert (lost.code, lost.path) == ("missing_image", "$.mm_items.image[0].raw_image_id")


class TestTokens:
    @pytest.mark.parametrize(
        ("types", "code", "path"),
        [
            ([0, 0, 0, 1, 1, 1, 1, 1, 1], "orphan_image", "$[0][0]"),
            ([0, 0, 1, 1, 1, 1, 1, 0, 0], "orphan_image", "$[0][0]"),
            ([0, 0, 1, 1, 1, 1, 1, 1, 1], "orphan_image", "$.mm_token_type_ids"),
            ([0, 0, 1, 1, 1, 1, 1], "placeholder_order", "$[0][0]"),
            ([0, 0, 2, 2, 2, 2, 2, 2, 0], "orphan_image", "$[0][0]"),
        ],
    )
    def test_tokens_off_their_image_are_refused(
        self,
        types: list[int],
        code: str,
        path: str,
        store: ImageStore,
        processor: PatchProcessor,
    ) -> None:
        refs = MMRefs(images=refs_to(store, RED))
        error = refused(refs, processor, mm_token_type_ids=types)
        assert isinstance(error, ContractError)
        assert (error.code, error.path) == (code, path)
        assert processor.seen == []

    def test_tokens_without_an_image_are_refused(self, processor: PatchProcessor) -> None:
        error = refused(None, processor, mm_token_type_ids=[0, 1])
        assert (error.code, error.path) == ("orphan_image", "$.mm_token_type_ids")

    def test_wrong_tokens_of_a_sidecar_are_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        described = describe_image(store.put(RED), QWEN)
        sidecar = MultiModalData(
            mm_items={"image": [described.item]},
            mm_hashes={"image": [described.mm_hash]},
            mm_placeholders={"image": [{"offset": 1, "length": 6}]},
        )
        error = refused(sidecar, processor, store=store, mm_token_type_ids=[1] * 6 + [0])
        assert (error.code, error.path) == ("orphan_image", "$.mm_placeholders.image[0]")

    def test_overlapping_images_are_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        refs = refs_to(store, RED, BLUE)
        refs[1].offset = refs[0].offset
        error = refused(refs, processor)
        assert (error.code, error.path) == ("placeholder_order", "$[0][1]")


class TestProcessor:
    def test_error_of_the_processor_is_reported(self, store: ImageStore) -> None:
        own = RuntimeError("out of memory")

        def failing(**_: Any) -> Any:
            raise own

        for more in ({}, {"cache": ProcessedImageCache()}):
            error = refused(ref_to(store.put(RED)), failing, layout=QWEN, **more)
            assert isinstance(error, MaterializeError)
            assert str(error) == (
                "$[2]: expected pixel_values of an image of 84 x 56 pixels, got RuntimeError from "
                "the image processor; call it with the image alone to see the whole error "
                "[processor_failed]"
            )
            assert_silent(error)

    @pytest.mark.parametrize(
        ("answer", "got"),
        [
            (None, "null"),
            ([np.zeros(3)], "an array of 1"),
            ({}, "{}"),
            ({"image_grid_thw": np.array([[1, 4, 6]])}, "an object with image_grid_thw"),
        ],
    )
    def test_output_without_pixels_is_refused(
        self, answer: Any, got: str, store: ImageStore
    ) -> None:
        error = refused(ref_to(store.put(RED)), lambda **_: answer, layout=QWEN)
        assert (error.code, error.got) == ("processor_failed", got)

    def test_interrupt_is_raised_unchanged(self, store: ImageStore) -> None:
        def interrupted(**_: Any) -> Any:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            materialize(ref_to(store.put(RED)), image_processor=interrupted, layout=QWEN)


class TestContract:
    def test_other_modality_is_refused(self, store: ImageStore, processor: PatchProcessor) -> None:
        refs = MMRefs(images=[ref_to(store.put(RED))])
        refs.images[0].item.modality = "video"
        error = refused(refs, processor)
        assert isinstance(error, ContractError)
        assert (error.code, error.path) == ("unsupported_modality", "$[0][0][0].modality")

    def test_item_without_a_locator_is_refused(self, processor: PatchProcessor) -> None:
        described = describe_image(RED, QWEN)
        sidecar = MultiModalData(
            mm_items={"image": [described.item]},
            mm_hashes={"image": [described.mm_hash]},
            mm_placeholders={"image": [{"offset": 1, "length": 6}]},
        )
        error = refused(sidecar, processor)
        assert isinstance(error, ContractError)
        assert (error.code, error.path) == ("no_locator", "$.mm_items.image[0]")

    def test_sidecar_with_a_missing_list_is_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        described = describe_image(store.put(RED), QWEN)
        sidecar = MultiModalData(mm_items={"image": [described.item]})
        error = refused(sidecar, processor, store=store)
        assert (error.code, error.path) == ("count_mismatch", "$.mm_hashes.image")

    def test_images_of_two_families_are_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        refs = refs_to(store, RED, BLUE)
        refs[1].item.family = "glm4v"
        error = refused(MMRefs(images=refs), processor)
        assert isinstance(error, ContractError)
        assert (error.code, error.path) == ("mixed_layouts", "$[0][1][0].family")

    def test_family_without_a_layout_is_refused(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        ref = ref_to(store.put(RED))
        ref.item.family = "house_vl"
        error = refused(ref, processor)
        assert isinstance(error, MaterializeError)
        assert str(error) == (
            f"$[0].family: expected one of {', '.join(layouts.FAMILIES)}, "
            "got 'house_vl'; pass layout, which knows the number of tokens of such an image [bad_value]"
        )

    @pytest.mark.parametrize(
        ("layout", "name"),
        [
            (layouts.get("qwen_vl"), "layout_fingerprint"),
            (layouts.get("glm4v"), "family"),
        ],
    )
    def test_fingerprint_of_another_layout_is_refused(
        self, layout: layouts.Layout, name: str, store: ImageStore, processor: PatchProcessor
    ) -> None:
        refs = MMRefs(images=refs_to(store, RED))
        error = refused(refs, processor, layout=layout)
        assert isinstance(error, ContractError)
        assert (error.code, error.path) == ("mixed_layouts", f"$[0][0][0].{name}")

    def test_other_value_is_refused(self, processor: PatchProcessor) -> None:
        for nothing in (3, "text", [3]):
            assert isinstance(refused(nothing, processor), ContractError)
        assert isinstance(refused(object(), processor), ProcessedPayloadError)

    def test_processed_item_is_refused(self, store: ImageStore, processor: PatchProcessor) -> None:
        document = rawmm.to_builtins(MMRefs(images=refs_to(store, RED)))
        document[0][0][0]["payload"]["pixel_values"] = [0.0]
        error = refused(document, processor)
        assert isinstance(error, ProcessedPayloadError)
        assert error.path == "$[0][0][0].payload.pixel_values"


def test_errors_can_be_pickled(store: ImageStore, processor: PatchProcessor) -> None:
    error = refused(ref_to(store.put(RED), length=5), processor)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
