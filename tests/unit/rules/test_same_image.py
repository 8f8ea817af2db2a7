"""A file name with a hash must agree with the hash of the image."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from rawmm import (
    ContractError,
    MessageNode,
    MMImageItem,
    MMImageRef,
    MultiModalData,
    PlaceholderRange,
    RawMMItem,
    Trace,
    convert,
    decode_json,
    encode_json,
    iter_errors,
    to_builtins,
)
from rawmm.locators import locator_of, names_image, stored_hash
from tests.builders import item_document

A = sha256(b"a").hexdigest()  # ca978112ca1bbdca…
B = sha256(b"b").hexdigest()  # 3e23e8160039594a…


class TestFileNames:
    """Stores name a file by 64 digits, or 16 before the contract."""

    @pytest.mark.parametrize(
        "locator",
        [
            f"{A}.png",
            f"file:///run/assets/images/{A}.jpeg",
            f"file://localhost/{A}.webp",
            f"s3://bucket/run/{A}.gif",
            f"{A[:16]}.png",
            f"file:///run/{A[:16]}.jpg",
            f"/{A}.x",
        ],
    )
    def test_hash_in_a_name_of_a_store_is_read(self, locator: str) -> None:
        assert stored_hash(locator) in {A, A[:16]}
        for digits in (16, 17, 32, 63, 64):
            assert names_image(locator, A[:digits])
            assert not names_image(locator, B[:digits])
        assert names_image(locator, A + "0" * 64)

    @pytest.mark.parametrize(
        "locator",
        [
            "step-3.png",
            "screenshot.png",
            f"{A[:32]}.png",  # as long as an MD5
            f"{A[:15]}.png",
            f"{A[:17]}.png",
            f"{A[:63]}.png",
            f"{A}0.png",
            f"{A.upper()}.png",
            A,
            A[:16],
            f"{A}.",
            f"{A}.PNG",
            f"{A}.tar.gz",
            f"{A}.png?v=2",
            f"{A}.png/thumbnail",
            f"{A}/image.png",
            f"img_{A}.png",
            f"{A}.png\n",
            "1718000000123456.png",  # a time in microseconds
            f"data:image/png;base64,AAAA/{A}.png",
            "",
        ],
    )
    def test_other_names_have_no_hash(self, locator: str) -> None:
        assert stored_hash(locator) is None
        assert names_image(locator, A)
        assert names_image(locator, B)

    @pytest.mark.parametrize(
        "locator",
        [
            f"file:///images/%{ord(A[0]):02x}{A[1:]}.png",
            f"FILE:///images/{A[:-1]}%{ord(A[-1]):02X}.png",
            f"file:///images/{A}%2Epng",
            f"file:///images%2F{A}.png",
            f"file:///images/%2f{A}.png",
            f"file:///{B}%2F{A}.png",
            "file:///images/" + "".join(f"%{ord(char):02x}" for char in f"{A}.png"),
            f"s3://bucket/{A}.png?versionId=/{B}.png",
            f"s3://bucket/{A}.png#/{B}.png",
        ],
    )
    def test_urls_are_decoded_before_comparison(self, locator: str) -> None:
        assert stored_hash(locator) == A
        assert names_image(locator, A[:32])
        assert not names_image(locator, B)

    @pytest.mark.parametrize(
        "locator",
        [
            f"file:///images/%25{ord(A[0]):02x}{A[1:]}.png",  # a name with a percent sign
            f"file:///images/a%5C{A}.png",  # a backslash is an ordinary character
            f"file:///images/a\\{A}.png",
            f"file:///images/{A}.png%20",
            f"file:///images/{A}.png%2Fx",
            f"%{ord(A[0]):02x}{A[1:]}.png",  # an id is not percent-decoded
        ],
    )
    def test_other_names_have_no_hash_in_any_spelling(self, locator: str) -> None:
        assert stored_hash(locator) is None
        assert names_image(locator, B)

    def test_name_with_half_of_the_hash_differs(self) -> None:
        assert not names_image(f"{A[:16]}.png", A[:15] + ("0" if A[15] != "0" else "1"))
        assert not names_image(f"{A}.png", A[:63] + ("0" if A[63] != "0" else "1"))

    def test_locator_of_an_item_is_its_id_or_url(self) -> None:
        bare: dict[str, Any] = {"modality": "image", "family": "f", "payload": {}}
        assert locator_of(RawMMItem(**bare)) is None
        assert locator_of(RawMMItem(**bare, raw_image_id="a.png")) == "a.png"
        assert locator_of(RawMMItem(**bare, raw_image_uri="file:///a")) == "file:///a"
        assert locator_of(MMImageItem(**bare, raw_image_id="a.png")) == "a.png"


def refused(value: Any, kind: Any, *sentences: str) -> None:
    assert [str(error) for error in iter_errors(value, kind)] == [*sentences]
    for act in (lambda: convert(value, kind), lambda: decode_json(json.dumps(value), kind)):
        with pytest.raises(ContractError) as caught:
            act()
        assert str(caught.value) == sentences[0]
        assert caught.value.code == "hash_mismatch"


def accepted(value: Any, kind: Any) -> None:
    assert list(iter_errors(value, kind)) == []
    assert decode_json(encode_json(convert(value, kind)), kind) == convert(value, kind)


HINT = "the items and hashes are in different order, or one was replaced [hash_mismatch]"


class TestItemAndHash:
    @pytest.mark.parametrize("digits", [16, 32, 64])
    @pytest.mark.parametrize("field", ["raw_image_id", "raw_image_uri"])
    def test_item_of_another_image_is_refused(self, field: str, digits: int) -> None:
        name = f"{A}.png" if field == "raw_image_id" else f"file:///run/{A}.png"
        shown = f"'{name.partition(A)[0]}{A[:16]}…' ({len(name)} characters)"
        lists: dict[str, Any] = {
            "mm_hashes": {"image": [A, B[:digits]]},
            "mm_items": {"image": [item_document(), item_document(**{field: name})]},
        }
        refused(
            lists,
            MultiModalData,
            f"$.mm_items.image[1].{field}: expected the image of hash {B[:16]}, got "
            f"{shown}; {HINT}",
        )
        lists["mm_hashes"]["image"][1] = A[:digits]
        accepted(lists, MultiModalData)

    def test_two_swapped_images_are_refused(self) -> None:
        value = {
            "mm_hashes": {"image": [B, A]},
            "mm_items": {
                "image": [item_document(raw_image_id=f"{one[:16]}.png") for one in (A, B)]
            },
        }
        refused(
            value,
            MultiModalData,
            *(
                f"$.mm_items.image[{i}].raw_image_id: expected the image of hash {sha[:16]}, got "
                f"'{name[:16]}.png'; {HINT}"
                for i, (sha, name) in enumerate([(B, A), (A, B)])
            ),
        )

    def test_other_modalities_are_compared(self) -> None:
        value = {
            "mm_hashes": {"video": [B]},
            "mm_items": {"video": [item_document(raw_image_id=f"{A}.png") | {"modality": "video"}]},
        }
        assert [error.path for error in iter_errors(value, MultiModalData)] == [
            "$.mm_items.video[0].raw_image_id"
        ]

    @pytest.mark.parametrize(
        "locator",
        [
            {},
            {"raw_image_id": "step-3.png"},
            {"raw_image_id": f"{A[:32]}.png"},
            {"raw_image_uri": f"data:image/png;base64,AAAA/{A}"},
        ],
    )
    def test_locator_without_a_hash_is_accepted(self, locator: dict[str, str]) -> None:
        accepted(
            {"mm_hashes": {"image": [B]}, "mm_items": {"image": [item_document(**locator)]}},
            MultiModalData,
        )

    def test_items_without_hashes_are_accepted(self) -> None:
        accepted({"mm_items": {"image": [item_document(raw_image_id=f"{A}.png")]}}, MultiModalData)


def node(urls: list[str], **lists: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "look"}]
    for url in urls:
        parts += [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "."}]
    return {
        "message": {"role": "user", "content": parts},
        "token_ids": [7] * len(urls),
        "mask": [False] * len(urls),
        "multi_modal_data": {name: {"image": of} for name, of in lists.items()},
    }


def url_of(sha: str) -> str:
    return f"file:///run/assets/images/{sha}.png"


def mismatch(part: int, wanted: str, got: str) -> str:
    return (
        f"$.message.content[{part}].image_url.url: expected the image of hash {wanted[:16]}, as "
        f"in the sidecar, got one named {got[:16]}; the images and the sidecar are in different "
        "order, or one was replaced [hash_mismatch]"
    )


class TestMessageAndSidecar:
    def test_hash_of_another_image_is_refused(self) -> None:
        refused(
            node([url_of(A), url_of(B)], mm_hashes=[A[:32], A[:32]]), MessageNode, mismatch(3, A, B)
        )
        accepted(node([url_of(A), url_of(B)], mm_hashes=[A[:32], B[:32]]), MessageNode)

    def test_two_swapped_images_are_refused(self) -> None:
        refused(
            node([url_of(A), url_of(B)], mm_hashes=[B, A]),
            MessageNode,
            mismatch(1, B, A),
            mismatch(3, A, B),
        )

    def test_items_are_compared_if_hashes_are_absent(self) -> None:
        located = [
            item_document(raw_image_id=f"{B}.png"),
            item_document(raw_image_uri=url_of(B[:16])),
        ]
        refused(node([url_of(A), url_of(B)], mm_items=located), MessageNode, mismatch(1, B, A))
        accepted(node([url_of(B), url_of(B)], mm_items=located), MessageNode)

    def test_items_without_hashes_in_names_are_accepted(self) -> None:
        others = [
            item_document(),
            item_document(raw_image_id="step-3.png"),
            item_document(raw_image_uri="data:image/png;base64,AAAA"),
        ]
        accepted(node([url_of(A)] * 3, mm_items=others), MessageNode)

    def test_hashes_have_precedence_over_items(self) -> None:
        """Items are compared with the hashes, so URLs need not be compared with items."""
        document = node(
            [url_of(A)], mm_hashes=[A], mm_items=[item_document(raw_image_id=f"{B}.png")]
        )
        assert [error.path for error in iter_errors(document, MessageNode)] == [
            "$.multi_modal_data.mm_items.image[0].raw_image_id"
        ]

    @pytest.mark.parametrize(
        "url",
        [
            "data:image/png;base64,AAAA",
            "file:///run/step-3.png",
            f"file:///run/{A[:32]}.png",
            "https://example.org/a.png",
        ],
    )
    def test_url_without_a_hash_is_accepted(self, url: str) -> None:
        accepted(node([url], mm_hashes=[B]), MessageNode)

    def test_ranges_alone_are_accepted(self) -> None:
        span = {"offset": 0, "length": 1}
        accepted(node([url_of(A)], mm_placeholders=[span]), MessageNode)

    def test_message_without_tokens_is_compared(self) -> None:
        bare: dict[str, Any] = {"token_ids": [], "mask": []}
        accepted(node([url_of(A)], mm_hashes=[A]) | bare, MessageNode)
        accepted(node([], mm_hashes=[A]) | bare, MessageNode)
        accepted(node([url_of(A)]) | bare | {"multi_modal_data": None}, MessageNode)
        document = node([url_of(A)], mm_hashes=[B]) | bare
        assert [error.code for error in iter_errors(document, MessageNode)] == ["hash_mismatch"]
        document = node([url_of(A), url_of(B)], mm_hashes=[A]) | bare
        assert [error.code for error in iter_errors(document, MessageNode)] == ["count_mismatch"]

    def test_missing_image_is_a_count_mismatch(self) -> None:
        document = node([url_of(A), url_of(B)], mm_hashes=[B])
        assert [error.code for error in iter_errors(document, MessageNode)] == ["count_mismatch"]

    def test_error_in_a_trace_has_its_path(self) -> None:
        document = {
            "nodes": [
                node([url_of(A)], mm_hashes=[A]),
                node([url_of(A)], mm_hashes=[B]) | {"parent": 0},
            ]
        }
        refused(document, Trace, mismatch(1, B, A).replace("$.", "$.nodes[1]."))


class TestTrainerReferences:
    def reference(self, sha: str, uri: str, **locator: str) -> list[Any]:
        return [item_document(**locator), sha, uri, 0, 4]

    def test_uri_of_another_image_is_refused(self) -> None:
        url = url_of(A)
        shown = url.partition(A)[0] + A[:16]
        refused(
            self.reference(B[:32], url),
            MMImageRef,
            f"$[2]: expected a URI of the image of hash {B[:16]}, got '{shown}…' "
            f"({len(url)} characters) [hash_mismatch]",
        )
        accepted(self.reference(A[:32], url_of(A)), MMImageRef)

    def test_item_of_another_image_is_refused(self) -> None:
        for locator in (
            {"raw_image_id": f"{B[:16]}.png"},
            {"raw_image_uri": f"file:///{B[:16]}.png"},
        ):
            ((field, name),) = locator.items()
            refused(
                self.reference(A[:32], url_of(A), **locator),
                MMImageRef,
                f"$[0].{field}: expected the image of hash {A[:16]}, got '{name}'; {HINT}",
            )

    def test_both_errors_are_listed(self) -> None:
        document = self.reference(A, url_of(B), raw_image_id=f"{B}.png")
        assert [error.path for error in iter_errors(document, MMImageRef)] == [
            "$[0].raw_image_id",
            "$[2]",
        ]

    @pytest.mark.parametrize(
        "uri", ["data:image/png;base64,AAAA", "file:///run/step-3.png", "s3://b/k"]
    )
    def test_uri_without_a_hash_is_accepted(self, uri: str) -> None:
        accepted(self.reference(A, uri), MMImageRef)


def test_sidecar_changed_in_place_is_refused_by_the_encoder() -> None:
    sidecar = MultiModalData(
        mm_hashes={"image": [A]},
        mm_placeholders={"image": [PlaceholderRange(offset=0, length=1)]},
        mm_items={"image": [convert(item_document(raw_image_id=f"{A}.png"), RawMMItem)]},
    )
    sidecar.mm_hashes["image"][0] = B
    for act in (encode_json, to_builtins):
        with pytest.raises(ContractError) as caught:
            act(sidecar)
        assert caught.value.path == "$.mm_items.image[0].raw_image_id"
