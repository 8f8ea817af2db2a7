"""The table of modalities: a new entry is enough for media to go from a message to the trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rawmm import (
    ContractError,
    MultiModalData,
    UserMessage,
    generate_features,
    media,
    split_raw_mm_ref,
)
from rawmm.describe import raw_mm_item
from rawmm.sidecar import merge, split_by_message
from rawmm.trainer import as_sample, build_mm_refs, pack, truncate
from tests.unit.graph.turns import url

if TYPE_CHECKING:
    from collections.abc import Iterator


class VideoUrl(msgspec.Struct):
    """The definition that a schema would have for the URL of a video."""

    url: str


class VideoUrlContentPart(msgspec.Struct, tag="video_url"):
    """A made-up content part."""

    video_url: VideoUrl


@pytest.fixture
def _video() -> Iterator[None]:
    """Registers a modality for the duration of a test."""
    tables: list[dict[Any, Any]] = [
        media.MODALITIES, media.IN_MESSAGES, media.TOKEN_TYPES, media._URL_READERS,
    ]  # fmt: skip
    before = [table.copy() for table in tables]
    media.register(
        media.Modality(
            name="video",
            token_type=2,
            parts={VideoUrlContentPart: ("video_url", "url")},
            in_mm_refs=True,
        )
    )
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


def message(*parts: Any) -> UserMessage:
    out = UserMessage(content="")
    out.content = list(parts)  # the schema has no video part, so construction refuses it
    return out


def image_part(number: int) -> Any:
    content: Any = UserMessage(
        content=[{"type": "image_url", "image_url": {"url": url(number)}}]
    ).content
    return content[0]


def video_part(number: int) -> VideoUrlContentPart:
    return VideoUrlContentPart(video_url=VideoUrl(url=f"file:///run/{number}.mp4"))


def item(modality: str, number: int) -> Any:
    return raw_mm_item(
        modality=modality,
        family="house_vl",
        layout_fingerprint="ab" * 16,
        payload={"grid": [number]},
        raw_image_id=f"{modality}{number}.bin",
    )


MESSAGES = [
    message(image_part(0), video_part(0)),
    message(video_part(1)),
    message(image_part(1)),
]
SIDECAR = MultiModalData(
    mm_hashes={"image": ["a" * 32, "b" * 32], "video": ["c" * 32, "d" * 32]},
    mm_placeholders={
        "image": [{"offset": 0, "length": 1}, {"offset": 10, "length": 2}],
        "video": [{"offset": 2, "length": 3}, {"offset": 6, "length": 3}],
    },
    mm_items={
        "image": [item("image", 0), item("image", 1)],
        "video": [item("video", 0), item("video", 1)],
    },
)
TOKEN_TYPES = [1, 0, 2, 2, 2, 0, 2, 2, 2, 0, 1, 1, 0]


@pytest.mark.usefixtures("_video")
class TestRegisteredModality:
    def test_sidecar_is_split_by_message_and_merged_again(self) -> None:
        parts = split_by_message(SIDECAR, MESSAGES)
        counts = [
            {name: len(items) for name, items in part.mm_items.items()} for part in parts if part
        ]
        assert counts == [{"image": 1, "video": 1}, {"video": 1}, {"image": 1}]
        assert merge(parts) == SIDECAR

    def test_item_without_a_part_is_refused(self) -> None:
        with pytest.raises(ContractError) as caught:
            split_by_message(SIDECAR, MESSAGES[:1])
        assert caught.value.path == "$.mm_hashes.image"
        with pytest.raises(ContractError) as caught:
            split_by_message(SIDECAR, [MESSAGES[0], MESSAGES[2]])
        assert caught.value.path == "$.mm_hashes.video"

    def test_engine_gets_references(self) -> None:
        features = generate_features(SIDECAR)
        assert features is not None
        assert features.kwargs_data is not None
        refs = [split_raw_mm_ref(ref) for ref in features.kwargs_data["video"] if ref]
        assert [(ref.modality, ref.raw_image_id) for ref in refs] == [
            ("video", "video0.bin"),
            ("video", "video1.bin"),
        ]

    def test_trainer_gets_references_in_token_order(self) -> None:
        refs = build_mm_refs(SIDECAR, to_uri="file:///run/{}".format, mm_token_type_ids=TOKEN_TYPES)
        assert refs is not None
        assert [(ref.item.modality, ref.offset) for ref in refs.images] == [
            ("image", 0),
            ("video", 2),
            ("video", 6),
            ("image", 10),
        ]

    def test_samples_are_cut_before_it_and_packed(self) -> None:
        sample = as_sample(
            {
                "token_ids": list(range(13)),
                "mask": [False] * 13,
                "logprobs": [0.0] * 13,
                "temperatures": [1.0] * 13,
                "mm_refs": build_mm_refs(SIDECAR, to_uri="file:///run/{}".format),
                "mm_token_type_ids": TOKEN_TYPES,
            }
        )
        cut = truncate(sample, 7)
        assert len(cut.token_ids) == 6
        refs = pack([cut, sample]).mm_refs
        assert refs is not None
        assert [(ref.item.modality, ref.offset) for ref in refs.images] == [
            ("image", 0), ("video", 2), ("image", 6), ("video", 8), ("video", 12), ("image", 16),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("index", "kind", "path", "expected"),
        [
            (3, 0, "$.mm_placeholders.video[0]", "3 video-typed tokens in the range"),
            (5, 2, "$.mm_token_type_ids", "6 video-typed tokens, as the videos cover"),
            (5, 3, "$.mm_token_type_ids[5]", "0 for text or 1 for image or 2 for video"),
        ],
    )
    def test_tokens_of_another_type_are_refused(
        self, index: int, kind: int, path: str, expected: str
    ) -> None:
        types = TOKEN_TYPES.copy()
        types[index] = kind
        with pytest.raises(ContractError) as caught:
            build_mm_refs(SIDECAR, to_uri="file:///run/{}".format, mm_token_type_ids=types)
        assert (caught.value.path, caught.value.expected) == (path, expected)


def test_unregistered_modality_is_refused_by_the_trainer() -> None:
    with pytest.raises(ContractError) as caught:
        build_mm_refs(SIDECAR, to_uri="file:///run/{}".format)
    assert (caught.value.code, caught.value.expected) == ("unsupported_modality", "images only")


def test_every_token_type_belongs_to_one_modality() -> None:
    typed = {one.name: one.token_type for one in media.MODALITIES.values() if one.token_type}
    assert {name: kind for kind, name in media.TOKEN_TYPES.items()} == typed
    assert media.TEXT_TYPE not in media.TOKEN_TYPES
