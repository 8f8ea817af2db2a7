"""The wire forms of samples, read and written."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rawmm import (
    ImageStore,
    MaterializeError,
    MMRefs,
    OffloadError,
    RawMMError,
    describe_image,
    layouts,
)
from rawmm.trainer import (
    SAMPLE_FIELDS,
    SAMPLE_FORMS,
    TrainingSample,
    build_mm_refs,
    decode_sample,
    encode_sample,
)
from rawmm.trainer.sample import images_of
from rawmm.upgrades import upgrade
from tests import builders
from tests.cases import each
from tests.unit.images.pictures import assert_silent, data_url, picture
from tests.unit.trainer.samples import FullImage, experts, sample

WIRE = Path(__file__).parent.parent.parent / "data/wire/trainer"
LAYOUT = layouts.get("qwen_vl", min_pixels=1024)
FORMS = list(SAMPLE_FORMS)


class UrlImage(msgspec.Struct, array_like=True):
    """What prime-rl decodes in late August 2026."""

    url: str
    offset: int
    length: int


class UrlRefs(msgspec.Struct, array_like=True):
    images: list[UrlImage]


class FullRefs(msgspec.Struct, array_like=True):
    images: list[FullImage]


class DescriptorRefs(msgspec.Struct, array_like=True):
    """What it decodes in June 2026."""

    descriptor: dict[str, Any]
    uris: list[str]


READERS: dict[str, Any] = {
    "image_refs": FullRefs,
    "urls": UrlRefs,
    "descriptor_and_uris": DescriptorRefs,
}


def wire(form: str) -> bytes:
    name = "inline" if form == "urls" else form
    return (WIRE / f"training_sample.{name}.msgpack").read_bytes()


def values(data: bytes, form: str) -> dict[str, Any]:
    return dict(zip(SAMPLE_FORMS[form], msgspec.msgpack.decode(data), strict=True))


def as_read(data: bytes, form: str) -> Any:
    """The references as the form's reader sees them."""
    return msgspec.convert(values(data, form)["mm_refs"], READERS[form])


def rewritten(form: str, **changes: Any) -> bytes:
    return msgspec.msgpack.encode(list((values(wire(form), form) | changes).values()))


def refused(call: Any, *args: Any, **kwargs: Any) -> RawMMError:
    with pytest.raises(RawMMError) as caught:
        call(*args, **kwargs)
    return caught.value


@pytest.fixture
def stored(store: ImageStore) -> TrainingSample:
    """A sample of two stored images."""
    images = [describe_image(store.put(picture(size=(64, 40 + i))), LAYOUT) for i in range(2)]
    lengths = [one.placeholder_length for one in images]
    spans = [(1, lengths[0]), (lengths[0] + 3, lengths[1])]
    sidecar = builders.sidecar(
        *(one.item for one in images), spans=spans, hashes=[one.mm_hash for one in images]
    )
    refs = build_mm_refs(sidecar, image_dir=store.root)
    return sample(sum(lengths) + 5, *spans, mm_refs=refs)


class TestFields:
    @pytest.mark.parametrize("form", FORMS)
    def test_fields_are_those_of_prime_rl(self, form: str) -> None:
        name = "inline" if form == "urls" else form
        recorded = json.loads((WIRE / f"mm_refs.{name}.fields.json").read_text())
        assert SAMPLE_FORMS[form] == tuple(recorded["sample_fields"])
        assert SAMPLE_FORMS["image_refs"] == SAMPLE_FIELDS

    @pytest.mark.parametrize("form", ["image_refs", "descriptor_and_uris"])
    def test_recorded_bytes_come_back(self, form: str) -> None:
        decoded = decode_sample(wire(form), form=form)
        assert [(one.offset, one.length) for one in images_of(decoded)] == [(3, 6), (14, 8)]
        for one in images_of(decoded):
            assert one.item.raw_image_uri == one.uri
        assert encode_sample(decoded, form=form) == wire(form)

    def test_recorded_urls_are_the_sample_without_descriptors(self) -> None:
        """The recorded samples are one sample in three forms."""
        decoded = decode_sample(wire("image_refs"))
        written = values(encode_sample(decoded, form="urls"), "urls")
        recorded = values(wire("urls"), "urls")
        spans = [image[1:] for (images,) in [recorded.pop("mm_refs")] for image in images]
        assert [image[1:] for (images,) in [written.pop("mm_refs")] for image in images] == spans
        assert written == recorded

    @pytest.mark.parametrize("form", FORMS)
    def test_every_form_carries_the_streams(self, form: str) -> None:
        one = sample(4, mm_token_type_ids=None, routed_experts=experts(4))
        decoded = decode_sample(encode_sample(one, form=form), form=form)
        decoded.info.clear()
        assert decoded == one

    def test_field_that_is_never_null_has_its_default(self) -> None:
        one = sample(2)
        assert (
            values(encode_sample(one, form="descriptor_and_uris"), "descriptor_and_uris")[
                "training_mode"
            ]
            == "rl"
        )
        one.info["training_mode"] = "sft"
        decoded = decode_sample(
            encode_sample(one, form="descriptor_and_uris"), form="descriptor_and_uris"
        )
        assert decoded.info == {"training_mode": "sft"}

    @pytest.mark.parametrize(
        ("form", "fields"),
        [
            ("descriptor_and_uris", {"advantages": [1.0, 2.0]}),
            ("descriptor_and_uris", {"ref_logprobs": [-1.0, -2.0]}),
            ("urls", {"info": {"reward": 1.0}}),
            ("image_refs", {"info": {"training_mode": "sft"}}),
            ("urls", {"seq_lens": [1, 1]}),
        ],
    )
    def test_value_that_the_form_cannot_hold_is_refused(self, form: str, fields: Any) -> None:
        error = refused(encode_sample, sample(2, **fields), form=form)
        (name,) = fields.get("info", fields)
        assert (error.code, error.path) == ("unknown_field", f"$.{name}")

    @pytest.mark.parametrize("form", FORMS)
    def test_sequence_lengths_are_kept(self, form: str) -> None:
        fields = (*SAMPLE_FORMS[form], "seq_lens")
        one = sample(5, seq_lens=[2, 3])
        data = encode_sample(one, form=form, fields=fields)
        assert msgspec.msgpack.decode(data)[-1] == [2, 3]
        assert decode_sample(data, form=form, fields=fields).seq_lens == [2, 3]
        # The length of a single sequence is that of the sample.
        encode_sample(sample(5, seq_lens=[5]), form=form)


class TestReferences:
    @pytest.mark.parametrize("form", FORMS)
    def test_references_come_back(self, form: str, stored: TrainingSample) -> None:
        before = copy.deepcopy(stored)
        data = encode_sample(stored, form=form)
        assert stored == before
        decoded = decode_sample(data, form=form, layout=LAYOUT)
        assert len(images_of(decoded)) == 2
        for one, other in zip(images_of(decoded), images_of(stored), strict=True):
            assert (one.hash, one.uri) == (other.hash, other.uri)
            assert (one.offset, one.length) == (other.offset, other.length)
            assert one.item.payload == other.item.payload
            assert one.item.layout_fingerprint == LAYOUT.fingerprint()
            assert "raw_image" in repr(one.item)
        assert encode_sample(decoded, form=form) == data

    def test_full_references_name_the_file_in_the_item(self, stored: TrainingSample) -> None:
        """prime-rl reads an item's raw_image_uri; it has no directory for a raw_image_id."""
        refs = as_read(encode_sample(stored, form="image_refs"), "image_refs")
        for image in refs.images:
            assert image.item["raw_image_uri"] == image.uri
            assert "raw_image_id" not in image.item

    def test_item_without_a_locator_stays_without(self) -> None:
        one = sample(4, (1, 2))
        assert decode_sample(encode_sample(one)) == one

    def test_references_become_urls(self, stored: TrainingSample) -> None:
        refs = as_read(encode_sample(stored, form="urls"), "urls")
        assert [(one.url, one.offset, one.length) for one in refs.images] == [
            (one.uri, one.offset, one.length) for one in images_of(stored)
        ]

    def test_references_become_a_descriptor_and_uris(self, stored: TrainingSample) -> None:
        refs = as_read(encode_sample(stored, form="descriptor_and_uris"), "descriptor_and_uris")
        assert refs.uris == [one.uri for one in images_of(stored)]
        assert {item["version"] for item in refs.descriptor["mm_items"]["image"]} == {1}
        assert refs.descriptor["mm_hashes"] == {"image": [one.hash for one in images_of(stored)]}

    def test_version_is_written_where_readers_require_it(self) -> None:
        decoded = decode_sample(wire("image_refs"))
        assert {one.item.version for one in images_of(decoded)} == {None}
        refs = as_read(encode_sample(decoded, form="descriptor_and_uris"), "descriptor_and_uris")
        assert {item["version"] for item in refs.descriptor["mm_items"]["image"]} == {1}

    @pytest.mark.parametrize("form", FORMS)
    def test_no_images_are_null(self, form: str) -> None:
        data = encode_sample(sample(3), form=form)
        assert values(data, form)["mm_refs"] is None
        assert decode_sample(data, form=form).mm_refs is None

    @pytest.mark.parametrize(
        ("form", "empty"), [("image_refs", [[]]), ("urls", [[]]), ("descriptor_and_uris", [{}, []])]
    )
    def test_empty_references_are_none(self, form: str, empty: Any) -> None:
        data = rewritten(form, mm_refs=empty, mm_token_type_ids=None)
        assert decode_sample(data, form=form).mm_refs is None

    def test_readers_are_those_of_upgrade(self) -> None:
        """A sample and its references alone lead to the same."""
        refs = values(wire("descriptor_and_uris"), "descriptor_and_uris")["mm_refs"]
        decoded = decode_sample(wire("descriptor_and_uris"), form="descriptor_and_uris")
        assert decoded.mm_refs == upgrade(refs, MMRefs).value


class TestInline:
    def test_images_travel_inline(self, stored: TrainingSample, store: ImageStore) -> None:
        data = encode_sample(stored, form="urls", inline=True)
        refs = as_read(data, "urls")
        for one, image in zip(images_of(stored), refs.images, strict=True):
            assert image.url == data_url(store.read(one.uri))
        assert data == encode_sample(stored, form="urls", inline=True, store=store)
        assert data == encode_sample(stored, form="urls", inline=True, image_dir=store.root)

    def test_inline_images_are_stored_on_arrival(
        self, stored: TrainingSample, tmp_path: Path
    ) -> None:
        data = encode_sample(stored, form="urls", inline=True)
        folder = tmp_path / "trainer"
        decoded = decode_sample(data, form="urls", layout=LAYOUT, image_dir=folder)
        for one, other in zip(images_of(decoded), images_of(stored), strict=True):
            assert (one.hash, one.item) == (other.hash, other.item)
            assert one.uri == (folder / str(other.item.raw_image_id)).as_uri()
            raw = (folder / str(other.item.raw_image_id)).read_bytes()
            assert hashlib.sha256(raw).hexdigest().startswith(one.hash)
        assert len(list(folder.iterdir())) == 2

    def test_nothing_is_stored_for_a_sample_that_is_refused(
        self, stored: TrainingSample, tmp_path: Path
    ) -> None:
        data = values(encode_sample(stored, form="urls", inline=True), "urls")
        data["mask"] = data["mask"][1:]
        folder = tmp_path / "trainer"
        error = refused(
            decode_sample,
            msgspec.msgpack.encode(list(data.values())),
            form="urls",
            layout=LAYOUT,
            image_dir=folder,
        )
        assert (error.code, error.path) == ("stream_length", "$[1]")
        assert not folder.exists()

    def test_changed_or_missing_image_is_refused(
        self, stored: TrainingSample, store: ImageStore
    ) -> None:
        second = images_of(stored)[1]
        path = Path(store.root) / str(second.item.raw_image_id)
        path.write_bytes(picture(size=(64, 41), seed=9))
        error = refused(encode_sample, stored, form="urls", inline=True)
        assert (error.code, error.path) == ("hash_mismatch", "$.mm_refs[0][1][0]")
        assert isinstance(error, MaterializeError)
        path.write_bytes(b"hello")
        error = refused(encode_sample, stored, form="urls", inline=True)
        assert error.path == "$.mm_refs[0][1][0]"
        assert isinstance(error, (OffloadError, MaterializeError))
        path.unlink()
        error = refused(encode_sample, stored, form="urls", inline=True)
        assert (error.code, error.path) == ("missing_image", "$.mm_refs[0][1][0]")

    def test_references_of_other_forms_are_never_inline(self, stored: TrainingSample) -> None:
        for form in ("image_refs", "descriptor_and_uris"):
            error = refused(encode_sample, stored, form=form, inline=True)
            assert (error.code, error.path, error.hint) == ("bad_value", "$.inline", "form='urls'")

    def test_store_and_directory_together_are_refused(
        self, stored: TrainingSample, store: ImageStore
    ) -> None:
        with pytest.raises(TypeError):
            encode_sample(stored, form="urls", inline=True, store=store, image_dir=store.root)


class TestRefused:
    def test_unknown_form(self) -> None:
        for call, value in ((encode_sample, sample(2)), (decode_sample, wire("image_refs"))):
            error = refused(call, value, form="refs")
            assert (error.code, error.path) == ("bad_value", "$.form")
            assert error.expected == "one of descriptor_and_uris, image_refs, urls"
            assert refused(call, value, form=None).code == "wrong_type"

    @pytest.mark.parametrize("form", ["urls", "descriptor_and_uris"])
    def test_other_form_is_named_with_its_argument(self, form: str) -> None:
        fields = SAMPLE_FORMS[form]
        place = fields.index("mm_refs")
        error = refused(decode_sample, wire(form), fields=fields)
        assert (error.code, error.path) == ("historical_form", f"$[{place}]")
        assert error.hint == f"form={form!r} reads it"
        for other in FORMS:
            if other not in (form, "image_refs"):
                error = refused(decode_sample, wire(form), form=other, fields=fields)
                assert (error.code, error.path) == ("bad_value", f"$[{place}]")
                assert error.hint == f"form={form!r}"

    def test_full_references_are_not_urls(self) -> None:
        error = refused(decode_sample, wire("image_refs"), form="urls", fields=SAMPLE_FIELDS)
        assert (error.code, error.path, error.hint) == ("bad_value", "$[7]", "form='image_refs'")

    def test_urls_need_a_layout(self) -> None:
        error = refused(decode_sample, wire("urls"), form="urls")
        assert (error.code, error.path) == ("historical_form", "$[6]")
        assert "layout" in str(error.hint)

    def test_inline_images_need_a_directory(self) -> None:
        error = refused(decode_sample, wire("urls"), form="urls", layout="qwen_vl")
        assert (error.code, error.path) == ("no_image_dir", "$[6][0][0][0]")

    def test_text_that_is_no_image(self, tmp_path: Path) -> None:
        error = refused(
            decode_sample, wire("urls"), form="urls", layout="qwen_vl", image_dir=tmp_path
        )
        assert (error.code, error.path) == ("not_an_image", "$[6][0][0][0]")
        assert_silent(error, "data:image/png;base64,aGVsbG8=")

    @pytest.mark.parametrize("layout", ["qwen", 3, object()])
    def test_unknown_layout(self, layout: Any) -> None:
        error = refused(decode_sample, wire("urls"), form="urls", layout=layout)
        assert error.code == "bad_value"

    def test_other_layout_than_the_models(self, stored: TrainingSample) -> None:
        data = encode_sample(stored, form="urls")
        error = refused(decode_sample, data, form="urls", layout=layouts.get("qwen_vl"))
        assert (error.code, error.path) == ("geometry_mismatch", "$[6][0][0][2]")

    @each("refs", [{}, [], "text", 3, [[], [], []], [[[]]], [[["a"]]], b"\x00"])
    @each("form", FORMS)
    def test_other_values(self, form: str, refs: Any) -> None:
        error = refused(decode_sample, rewritten(form, mm_refs=refs), form=form, layout="qwen_vl")
        assert error.path.startswith(f"$[{SAMPLE_FORMS[form].index('mm_refs')}]")

    def test_item_in_an_older_form(self) -> None:
        refs = values(wire("image_refs"), "image_refs")["mm_refs"]
        refs[0][0][0]["raw_image_data"] = refs[0][0][0].pop("raw_image_uri")
        error = refused(decode_sample, rewritten("image_refs", mm_refs=refs))
        assert error.path.startswith("$[7][0][0][0]")
