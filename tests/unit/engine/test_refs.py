"""References: all forms that were ever written, and errors for everything else."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import ContractError, ProcessedPayloadError, RawMMError, RawMMRef
from rawmm.engine.refs import is_raw_mm_ref, raw_mm_ref, split_raw_mm_ref
from tests.builders import urlsafe_base64
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES: dict[str, str] = json.loads(
    (Path(__file__).parent.parent.parent / "data/wire/trainer/refs.json").read_text()
)
FIELDS: dict[str, Any] = {
    "family": "qwen_vl",
    "fingerprint": "1dc5ae5b68174891b6aa9850aa05ee33",
    "modality": "image",
    "mm_hash": "2e7c616c370f1c87c9311bc410fcf43b",
    "payload": {"image_grid_thw": [[1, 4, 6]]},
}
URI = "file:///data/outputs/run_demo/assets/images/2e7c616c370f1c87.png"
ID = "2e7c616c370f1c87.png"
MILLIONS = 10_000_000


def as_json(**fields: Any) -> str:
    return json.dumps(FIELDS | fields)


class TestSamples:
    @pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"processed"}))
    def test_every_form_reads_the_same(self, name: str) -> None:
        locators = {
            "v2": {"raw_image_id": ID},
            "v3_id": {"raw_image_id": ID},
            "json_data": {"raw_image_uri": "data:image/png;base64,aGVsbG8="},
        }
        locator = locators.get(name, {"raw_image_uri": URI})
        assert is_raw_mm_ref(SAMPLES[name])
        assert split_raw_mm_ref(SAMPLES[name]) == RawMMRef(**FIELDS, **locator)

    def test_written_as_the_consumers_write_it(self) -> None:
        assert raw_mm_ref(**FIELDS, raw_image_uri=URI) == SAMPLES["json_uri"]

    def test_processed_is_refused(self) -> None:
        assert not is_raw_mm_ref(SAMPLES["processed"])
        with pytest.raises(ProcessedPayloadError) as caught:
            split_raw_mm_ref(SAMPLES["processed"])
        assert str(caught.value) == (
            "$: expected a reference to a raw image, mmraw:…, got an mmfile: reference, to the"
            " output of an image processor; run again from the source image [processed_payload]"
        )


class TestEmit:
    def test_keys_are_sorted_at_every_level(self) -> None:
        ref = raw_mm_ref(
            **FIELDS | {"payload": {"z": {"b": 1, "a": "é"}, "a": 0.5}}, raw_image_id=ID
        )
        assert ref == (
            'mmraw:{"family":"qwen_vl","fingerprint":"1dc5ae5b68174891b6aa9850aa05ee33",'
            '"mm_hash":"2e7c616c370f1c87c9311bc410fcf43b","modality":"image",'
            '"payload":{"a":0.5,"z":{"a":"\\u00e9","b":1}},"raw_image_id":"2e7c616c370f1c87.png"}'
        )

    def test_absent_payload_is_empty(self) -> None:
        ref = raw_mm_ref(**FIELDS | {"payload": None}, raw_image_id=ID)
        assert split_raw_mm_ref(ref).payload == {}

    def test_reference_needs_one_locator(self) -> None:
        with pytest.raises(ContractError) as caught:
            raw_mm_ref(**FIELDS)
        assert str(caught.value) == (
            "$: expected raw_image_id or raw_image_uri, got neither; an image that the engine has cached is"
            " a null in its slot, not a reference [no_locator]"
        )
        with pytest.raises(ContractError) as caught:
            raw_mm_ref(**FIELDS, raw_image_id=ID, raw_image_uri=URI)
        assert caught.value.code == "locator_conflict"

    @pytest.mark.parametrize(
        ("field", "value", "code", "path"),
        [
            ("family", "qwen vl", "bad_format", "$.family"),
            ("fingerprint", None, "missing_field", "$"),
            ("fingerprint", "1DC5AE5B68174891", "bad_format", "$.fingerprint"),
            ("mm_hash", "2e7c", "bad_format", "$.mm_hash"),
            ("payload", {"pixel_values": [1]}, "processed_payload", "$.payload.pixel_values"),
            ("payload", {"a": float("nan")}, "not_json", "$.payload.a"),
            ("payload", {"a": b"x"}, "array_payload", "$.payload.a"),
            ("raw_image_id", "../a.png", "path_escape", "$.raw_image_id"),
            ("raw_image_uri", "http://x/a.png", "bad_locator", "$.raw_image_uri"),
        ],
    )
    def test_invalid_fields_are_refused(self, field: str, value: Any, code: str, path: str) -> None:
        locator = {} if field.startswith("raw") else {"raw_image_id": ID}
        with pytest.raises(RawMMError) as caught:
            raw_mm_ref(**FIELDS | locator | {field: value})
        assert (caught.value.code, caught.value.path) == (code, path)

    def test_input_is_not_changed(self) -> None:
        payload = {"b": (1, 2), "a": {"c": 1}}
        raw_mm_ref(**FIELDS | {"payload": payload}, raw_image_id=ID)
        assert list(payload) == ["b", "a"]
        assert payload["b"] == (1, 2)


class TestRunIds:
    """Old forms contain the run id, which is dropped."""

    def test_run_id_of_v3_is_accepted(self) -> None:
        ref = "mmraw:v3:" + urlsafe_base64(as_json(run_id="run_a.b-1", raw_image_id=ID))
        assert split_raw_mm_ref(ref) == RawMMRef(**FIELDS, raw_image_id=ID)

    @pytest.mark.parametrize("run_id", ["", "a b", "../x", 3, ["demo"]])
    def test_run_id_must_be_a_name(self, run_id: Any) -> None:
        with pytest.raises(ContractError) as caught:
            split_raw_mm_ref("mmraw:v3:" + urlsafe_base64(as_json(run_id=run_id, raw_image_id=ID)))
        assert (caught.value.code, caught.value.path) == ("bad_format", "$.run_id")

    def test_run_id_of_v2_is_read(self) -> None:
        with pytest.raises(ContractError) as caught:
            split_raw_mm_ref(SAMPLES["v2"].replace(":demo:", ":de/mo:"))
        assert (caught.value.code, caught.value.path) == ("bad_format", "$.run_id")

    @pytest.mark.parametrize("prefix", ["mmraw:", "mmraw:b64"])
    def test_other_forms_have_no_run_id(self, prefix: str) -> None:
        text = as_json(run_id="demo", raw_image_id=ID)
        ref = "mmraw:" + (urlsafe_base64(text) if "b64" in prefix else text)
        with pytest.raises(ContractError) as caught:
            split_raw_mm_ref(ref)
        assert (caught.value.code, caught.value.path) == ("unknown_field", "$.run_id")


def v2(**changed: str) -> str:
    fields = {
        "run": "demo",
        "family": "qwen_vl",
        "fingerprint": FIELDS["fingerprint"],
        "modality": "image",
        "hash": FIELDS["mm_hash"],
        "id": ID,
        "payload": urlsafe_base64('{"image_grid_thw":[[1,4,6]]}'),
    }
    return ":".join(["mmraw:v2", *(fields | changed).values()])


class TestErrors:
    @pytest.mark.parametrize(
        ("ref", "sentence"),
        [
            ("", "$: expected a reference that begins with mmraw:, got '' [bad_format]"),
            (
                "https://host/a.png",
                "$: expected a reference that begins with mmraw:, got one that begins with https:"
                " [bad_format]",
            ),
            (
                "mmraw:v4:e30",
                "$: expected mmraw:, mmraw:v2:, mmraw:v3:, the forms that this package reads, got"
                " mmraw:v4: [unsupported_version]",
            ),
            (
                "mmraw:v1:demo:qwen_vl",
                "$: expected mmraw:, mmraw:v2:, mmraw:v3:, the forms that this package reads, got"
                " mmraw:v1: [unsupported_version]",
            ),
            (
                "mmraw:v2:demo:qwen_vl",
                "$: expected mmraw:v2: and the fields run_id, family, fingerprint, modality,"
                " mm_hash, raw_image_id, payload, separated by colons, got 2 fields [bad_format]",
            ),
            (
                "mmraw:",
                "$: expected base64url without padding, got 0 characters of other text [bad_base64]",
            ),
            (
                'mmraw:{"family":1,"family":2}',
                "$: expected each key once, got 'family' again [duplicate_key]",
            ),
            (
                "mmraw:" + urlsafe_base64("hello"),
                "$: expected one complete JSON document, got something else at byte 0 of 5 [malformed]",
            ),
            (
                "mmraw:" + urlsafe_base64(b"\xff\xfe"),
                "$: expected one complete JSON document, got something else at byte 0 of 2 [malformed]",
            ),
            (
                "mmraw:" + urlsafe_base64("[1]"),
                "$: expected an object, got an array of 1 [wrong_type]",
            ),
        ],
    )
    def test_errors_have_whole_sentences(self, ref: str, sentence: str) -> None:
        with pytest.raises(ContractError) as caught:
            split_raw_mm_ref(ref)
        error = caught.value
        assert (error.hint is not None) == (error.code == "unsupported_version")
        assert str(error.at(hint=None)) == sentence

    @pytest.mark.parametrize("ref", [None, b"mmraw:{}", 3, ["mmraw:"], ValueError("mmraw:{}")])
    def test_other_type_is_refused(self, ref: Any) -> None:
        assert not is_raw_mm_ref(ref)
        with pytest.raises(ContractError) as caught:
            split_raw_mm_ref(ref)
        assert caught.value.code == "wrong_type"

    @each(
        ("ref", "code", "path"),
        [
            (v2(family="qwen vl"), "bad_format", "$.family"),
            (v2(fingerprint="xyz"), "bad_format", "$.fingerprint"),
            (v2(modality=""), "bad_format", "$.modality"),
            (v2(hash="2e7c"), "bad_format", "$.mm_hash"),
            (v2(id=".."), "path_escape", "$.raw_image_id"),
            (v2(id="a/b.png"), "path_escape", "$.raw_image_id"),
            (v2(payload=urlsafe_base64("[]")), "wrong_type", "$.payload"),
            (v2(payload=urlsafe_base64("{}") + ":more"), "bad_base64", "$.payload"),
            (v2(payload=""), "bad_base64", "$.payload"),
            (
                v2(payload=urlsafe_base64('{"pixel_values":1}')),
                "processed_payload",
                "$.payload.pixel_values",
            ),
            ("mmraw:v3:" + urlsafe_base64(as_json(raw_uri=3)), "wrong_type", "$.raw_uri"),
            ("mmraw:v3:" + urlsafe_base64(as_json(raw_uri=None)), "wrong_type", "$.raw_uri"),
            (
                "mmraw:v3:" + urlsafe_base64(as_json(raw_uri="ftp://x/y")),
                "bad_locator",
                "$.raw_uri",
            ),
            (
                "mmraw:v3:" + urlsafe_base64(as_json(raw_uri="file:///../a")),
                "path_escape",
                "$.raw_uri",
            ),
            (
                "mmraw:v3:" + urlsafe_base64(as_json(raw_uri=URI, raw_image_id=ID)),
                "locator_conflict",
                "$",
            ),
            (
                "mmraw:v3:" + urlsafe_base64(as_json(raw_uri=URI, raw_image_uri=URI)),
                "locator_conflict",
                "$",
            ),
            (
                "mmraw:v3:" + urlsafe_base64(as_json(raw_image_data=URI)),
                "unknown_field",
                "$.raw_image_data",
            ),
            ("mmraw:v3:" + as_json(raw_uri=URI), "bad_base64", "$"),
            ("mmraw:v3:" + urlsafe_base64(as_json()), "no_locator", "$"),
            ("mmraw:" + as_json(), "no_locator", "$"),
            ("mmraw:" + as_json(raw_uri=URI), "unknown_field", "$.raw_uri"),
            ("mmraw:" + as_json(raw_image_data=URI), "bad_locator", "$.raw_image_data"),
            ("mmraw:" + as_json(raw_image_data=3), "wrong_type", "$.raw_image_data"),
            ("mmraw:" + as_json(raw_image_data="data:x"), "bad_locator", "$.raw_image_data"),
            ("mmraw:" + as_json(raw_image_uri="x"), "bad_locator", "$.raw_image_uri"),
            ("mmraw:" + as_json(raw_image_uri=URI, payload=[]), "wrong_type", "$.payload"),
            ("mmraw:" + as_json(raw_image_uri=URI, extra=1), "unknown_field", "$.extra"),
            ("mmraw:foo:bar", "bad_base64", "$"),
            ("mmraw: {}", "bad_base64", "$"),
            ('mmraw:{"family":NaN}', "malformed", "$"),
            ('mmraw:{"family":-Infinity}', "malformed", "$"),
            ('mmraw:{"family":1}{', "malformed", "$"),
            ('mmraw:{"family":1', "malformed", "$"),
            ('mmraw:{"family":"\t"}', "malformed", "$"),
            ("mmraw:" + as_json(raw_image_id="\ud800"), "malformed", "$"),
            ('mmraw:{"payload":{"a":[{"b":1,"b":1}]}}', "duplicate_key", "$"),
            ("mmraw:" + as_json(raw_image_id=ID)[:-1] + ',"payload":{}}', "duplicate_key", "$"),
        ],
    )
    def test_each_defect_has_its_code(self, ref: str, code: str, path: str) -> None:
        with pytest.raises(RawMMError) as caught:
            split_raw_mm_ref(ref)
        assert (caught.value.code, caught.value.path) == (code, path)
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value)

    def test_numbers_beyond_any_double_are_refused(self) -> None:
        text = as_json(raw_image_id=ID).replace("[1,", "[1e999,").replace("[1, ", "[1e999, ")
        with pytest.raises(ProcessedPayloadError) as caught:
            split_raw_mm_ref("mmraw:" + text)
        assert caught.value.code == "not_json"
        assert caught.value.path == "$.payload.image_grid_thw[0][0]"


class TestStrictBase64:
    """Text that a lenient decoder would skip or repair is an error."""

    @each("form", ["v2", "v3_id", "v3_uri", "b64"])
    @each(
        "damage",
        [
            lambda text: text + "=",
            lambda text: text + "==",
            lambda text: text[:-1],
            lambda text: text[:-4] + "\n" + text[-4:],
            lambda text: text[:-4] + "*" + text[-4:],
            lambda text: text[:-4] + " " + text[-4:],
            lambda text: text[:-4] + "é" + text[-4:],
            lambda text: text + "A",
        ],
    )
    def test_damaged_base64_is_refused(self, form: str, damage: Any) -> None:
        with pytest.raises(RawMMError) as caught:
            split_raw_mm_ref(damage(SAMPLES[form]))
        assert caught.value.code in {"bad_base64", "malformed"}

    def test_trailing_bits_are_refused(self) -> None:
        assert SAMPLES["v2"].endswith("fQ")
        with pytest.raises(ContractError) as caught:
            split_raw_mm_ref(SAMPLES["v2"][:-1] + "R")
        assert caught.value.code == "bad_base64"

    @pytest.mark.parametrize(("url", "standard"), [("-", "+"), ("_", "/")])
    def test_standard_alphabet_is_refused(self, url: str, standard: str) -> None:
        text = next(
            encoded
            for shift in range(3)
            for sign in ("~~~", "???", "ÿÿÿ", "þþþ")
            if url
            in (
                encoded := urlsafe_base64(
                    as_json(raw_image_id=ID, payload={"a": "x" * shift + sign})
                )
            )
        )
        assert split_raw_mm_ref("mmraw:" + text).raw_image_id == ID
        with pytest.raises(ContractError) as caught:
            split_raw_mm_ref("mmraw:" + text.replace(url, standard))
        assert caught.value.code == "bad_base64"


HOSTILE: dict[str, Callable[[], str]] = {
    "nesting": lambda: 'mmraw:{"a":' + "[" * MILLIONS,
    "encoded nesting": lambda: "mmraw:" + urlsafe_base64("[" * MILLIONS),
    "colons": lambda: "mmraw:v2:" + ":" * MILLIONS,
    "letters": lambda: "mmraw:" + "A" * MILLIONS,
    "digits": lambda: 'mmraw:{"a":' + "9" * MILLIONS + "}",
    "version": lambda: "mmraw:v" + "9" * MILLIONS + ":",
    "scheme": lambda: "a" * MILLIONS,
    "keys": lambda: "mmraw:{" + '"a":1,' * (MILLIONS // 6) + '"b":2}',
    "umlauts": lambda: "mmraw:" + "ü" * MILLIONS,
    "family": lambda: v2(family="a b" * (MILLIONS // 3)),
    "run": lambda: v2(run="a" * MILLIONS + "/"),
    "file": lambda: "mmraw:" + as_json(raw_image_uri="file:///" + "x/" * (MILLIONS // 2) + ".."),
}


class TestHostile:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_ten_megabytes_are_refused(self, name: str) -> None:
        """Each would take hours if any step were quadratic."""
        ref = HOSTILE[name]()
        with pytest.raises(RawMMError) as caught:
            split_raw_mm_ref(ref)
        assert len(str(caught.value)) < 400

    def test_large_inline_image_is_accepted(self) -> None:
        uri = "data:image/png;base64," + "A" * MILLIONS
        assert split_raw_mm_ref(raw_mm_ref(**FIELDS, raw_image_uri=uri)).raw_image_uri == uri

    @pytest.mark.parametrize("field", ["family", "fingerprint", "mm_hash", "raw_image_id"])
    def test_errors_show_no_base64(self, field: str) -> None:
        secret = base64.b64encode(b"a secret image, told by nobody!").decode()
        for text in (secret, f"data:image/png;base64,{secret}"):
            for ref in (
                "mmraw:" + as_json(**{"raw_image_id": ID} | {field: text}),
                "mmraw:v3:" + urlsafe_base64(as_json(**{"raw_image_id": ID} | {field: text})),
                "mmraw:" + as_json(raw_image_id=ID)[:-1] + f',"{text}":1,"{text}":2}}',
                text,
            ):
                with pytest.raises(RawMMError) as caught:
                    split_raw_mm_ref(ref)
                assert secret[:12] not in str(caught.value)


def test_object_that_claims_to_be_text_is_no_reference() -> None:
    class Claim:
        __class__: Any = property(lambda _: str)

    assert not is_raw_mm_ref(Claim())
    with pytest.raises(ContractError) as caught:
        split_raw_mm_ref(Claim())
    assert caught.value.code == "wrong_type"
