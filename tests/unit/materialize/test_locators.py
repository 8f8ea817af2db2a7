"""Reading images: URLs, ids and limits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import ImageStore, Limits, MaterializeError, MultiModalData
from rawmm.describe import describe_image
from rawmm.materialize import materialize
from tests.unit.images.pictures import assert_silent, data_url, huge_png, picture
from tests.unit.materialize.processor import QWEN, PatchProcessor, file_of, ref_to, refs_to

if TYPE_CHECKING:
    from pathlib import Path

RED = picture(size=(84, 56), seed=200)


def refused(refs: Any, processor: Any, **more: Any) -> MaterializeError:
    with pytest.raises(MaterializeError) as caught:
        materialize(refs, image_processor=processor, **more)
    return caught.value


def sidecar_of(store: ImageStore) -> MultiModalData:
    described = describe_image(store.put(RED), QWEN)
    return MultiModalData(
        mm_items={"image": [described.item]},
        mm_hashes={"image": [described.mm_hash]},
        mm_placeholders={"image": [{"offset": 0, "length": 6}]},
    )


class TestUrls:
    def test_url_is_read_without_a_store(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        assert materialize(refs_to(store, RED), image_processor=processor).images

    def test_url_is_read_from_its_store(self, store: ImageStore, processor: PatchProcessor) -> None:
        refs = refs_to(store, RED)
        assert materialize(refs, image_processor=processor, store=store).images
        assert materialize(refs, image_processor=processor, image_dir=store.root).images
        assert materialize(refs, image_processor=processor, image_dir=str(store.root)).images

    def test_url_outside_of_the_store_is_refused(
        self, tmp_path: Path, store: ImageStore, processor: PatchProcessor
    ) -> None:
        outside = tmp_path / "secret.png"
        outside.write_bytes(RED)
        ref = ref_to(RED, outside.as_uri())
        for where in ({"store": store}, {"image_dir": store.root}):
            error = refused(ref, processor, **where)
            assert (error.code, error.path) == ("path_escape", "$[2]")
        assert materialize(ref, image_processor=processor).images

    def test_url_through_a_linked_directory_is_refused(
        self, tmp_path: Path, store: ImageStore, processor: PatchProcessor
    ) -> None:
        (ref,) = refs_to(store, RED)
        elsewhere = ImageStore(tmp_path / "elsewhere", durable=False)
        elsewhere.put(RED)
        file_of(ref, store).unlink()
        (store.root / "run").symlink_to(elsewhere.root)
        ref.uri = (store.root / "run" / ref.uri.rpartition("/")[2]).as_uri()
        assert refused(ref, processor, store=store).code == "path_escape"

    @pytest.mark.parametrize("cut", ["", "store"])
    def test_link_is_refused(self, cut: str, store: ImageStore, processor: PatchProcessor) -> None:
        (ref,) = refs_to(store, RED)
        file = file_of(ref, store)
        file.symlink_to(file.rename(store.root / "moved.png"))
        error = refused(ref, processor, **({cut: store} if cut else {}))
        assert (error.code, error.path) == ("path_escape", "$[2]")

    def test_fifo_is_refused(self, store: ImageStore, processor: PatchProcessor) -> None:
        (ref,) = refs_to(store, RED)
        file_of(ref, store).unlink()
        os.mkfifo(file_of(ref, store))
        assert refused(ref, processor).code == "missing_image"

    def test_url_that_was_assigned_is_checked(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        """URLs are checked again when they are used."""
        from rawmm import ContractError

        (ref,) = refs_to(store, RED)
        for uri, code in (
            (ref.uri.replace("/images/", "/images/../images/"), "path_escape"),
            (ref.uri.replace("file://", "file://host"), "bad_locator"),
            ("https://example.org/page.png", "bad_locator"),
        ):
            ref.uri = uri
            with pytest.raises(ContractError) as caught:
                materialize(ref, image_processor=processor)
            assert caught.value.code == code

    def test_inline_images_are_read(self, processor: PatchProcessor) -> None:
        url = data_url(RED)
        assert materialize(ref_to(RED, url), image_processor=processor).images
        for damaged, code in (
            (url[:-4] + "*" * 4, "bad_base64"),
            (data_url(b"no image at all"), "not_an_image"),
            (data_url(picture(seed=3)), "hash_mismatch"),
        ):
            error = refused(ref_to(RED, damaged), processor)
            assert (error.code, error.path) == (code, "$[2]")
            assert_silent(error, damaged)


class TestIds:
    def test_id_is_read_from_the_given_directory(
        self, store: ImageStore, processor: PatchProcessor
    ) -> None:
        sidecar = sidecar_of(store)
        assert materialize(sidecar, image_processor=processor, store=store).images
        assert materialize(sidecar, image_processor=processor, image_dir=store.root).images

    def test_id_is_read_from_the_run_directory(
        self, store: ImageStore, processor: PatchProcessor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sidecar = sidecar_of(store)
        monkeypatch.setenv("VF_RENDERER_IMAGE_OFFLOAD_DIR", str(store.root))
        assert materialize(sidecar, image_processor=processor).images

    def test_id_without_a_directory_is_refused(
        self, store: ImageStore, processor: PatchProcessor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID"):
            monkeypatch.delenv(name, raising=False)
        error = refused(sidecar_of(store), processor)
        assert (error.code, error.path) == ("no_image_dir", "$.mm_items.image[0].raw_image_id")
        assert "pass image_dir" in str(error)

    def test_id_in_another_directory_is_missing(
        self, tmp_path: Path, store: ImageStore, processor: PatchProcessor
    ) -> None:
        error = refused(sidecar_of(store), processor, image_dir=tmp_path / "other")
        assert (error.code, error.path) == ("missing_image", "$.mm_items.image[0].raw_image_id")


class TestLimits:
    def test_limits_are_enforced(self, store: ImageStore, processor: PatchProcessor) -> None:
        ref = refs_to(store, RED)
        for limits in (Limits(max_bytes=100), Limits(max_edge=60), Limits(max_pixels=4_000)):
            error = refused(ref, processor, limits=limits)
            assert (error.code, error.path) == ("image_limit", "$[0][0][2]")
        assert materialize(ref, image_processor=processor, limits=Limits(max_edge=84)).images

    def test_default_limits_are_those_of_the_store(
        self, tmp_path: Path, processor: PatchProcessor
    ) -> None:
        small = ImageStore(tmp_path, limits=Limits(max_edge=60), durable=False)
        refs = refs_to(ImageStore(tmp_path, durable=False), RED)
        assert refused(refs, processor, store=small).code == "image_limit"
        assert materialize(refs, image_processor=processor, store=small, limits=Limits()).images

    def test_limit_of_pillow_is_an_error(
        self, store: ImageStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """More pixels than Pillow allows, but within the limits."""
        wide = Limits(max_pixels=10**9)
        store = ImageStore(store.root, limits=wide, durable=False)
        ref = ref_to(store.put(huge_png(14_000, 14_000)))
        for pixels in (90_000_000, 180_000_000):  # an error, a warning
            monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", pixels)
            error = refused(ref, PatchProcessor(), store=store)
            assert str(error) == (
                f"$[2]: expected at most {pixels} pixels, got more; raise "
                "PIL.Image.MAX_IMAGE_PIXELS to Limits.max_pixels [image_limit]"
            )
