"""`describe_prompt`: a sidecar from messages and the ranges that an engine returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm import ImageStore, describe_prompt, layouts
from rawmm.errors import RawMMError
from rawmm.model.types import PlaceholderRange
from tests.unit.images.pictures import data_url, part, picture

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = layouts.get("qwen_vl")
SIZES = [(320, 200), (384, 200), (448, 200)]
LENGTHS = [77, 72, 84]
RANGES = [(9, 77), (108, 72), (202, 84)]


def image(number: int) -> bytes:
    return picture(size=SIZES[number], seed=number)


def messages(*urls: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": [{"type": "text", "text": "see"}, part(url)]} for url in urls
    ]


def inline() -> list[dict[str, Any]]:
    return messages(*(data_url(image(number)) for number in range(3)))


def stored(directory: Path) -> list[dict[str, Any]]:
    store = ImageStore(directory, durable=False)
    return messages(*(store.put(image(number)).uri for number in range(3)))


def wire(ranges: Any = RANGES, modality: str = "image") -> dict[str, Any]:
    return {modality: [{"offset": offset, "length": length} for offset, length in ranges]}


@dataclass
class Range:
    offset: int
    length: int
    is_embed: Any = None


FORMS = {
    "wire": wire(),
    "live": RANGES,
    "lists": [list(pair) for pair in RANGES],
    "structs": {"image": [PlaceholderRange(offset=one, length=two) for one, two in RANGES]},
    "dataclasses": [Range(*pair) for pair in RANGES],
    "other_lists_empty": wire() | {"video": []},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_ranges_gives_the_same_sidecar(form: str) -> None:
    sidecar = describe_prompt(inline(), FORMS[form], LAYOUT)
    assert sidecar is not None
    found = sidecar.mm_placeholders["image"]
    assert [(one.offset, one.length) for one in found] == RANGES
    assert sidecar == describe_prompt(inline(), RANGES, "qwen_vl")
    rawmm.validate(sidecar)
    described = [rawmm.describe_image(data_url(image(number)), LAYOUT) for number in range(3)]
    assert sidecar.mm_items["image"] == [one.item for one in described]
    assert sidecar.mm_hashes["image"] == [one.mm_hash for one in described]


def locators(sidecar: Any) -> list[tuple[bool, bool]]:
    items = sidecar.mm_items["image"]
    return [(item.raw_image_id is not None, item.raw_image_uri is not None) for item in items]


def test_images_in_the_image_dir_have_their_name_there(tmp_path: Path) -> None:
    given = stored(tmp_path)
    in_dir = describe_prompt(given, RANGES, LAYOUT, image_dir=tmp_path)
    assert locators(in_dir) == [(True, False)] * 3
    assert describe_prompt(given, RANGES, LAYOUT, store=ImageStore(tmp_path)) == in_dir
    assert describe_prompt(inline(), RANGES, LAYOUT, image_dir=tmp_path) == in_dir
    assert locators(describe_prompt(given, RANGES, LAYOUT)) == [(False, True)] * 3
    elsewhere = describe_prompt(given, RANGES, LAYOUT, image_dir=tmp_path / "other")
    assert locators(elsewhere) == [(False, True)] * 3


def test_urls_of_another_machine_are_found_by_name(tmp_path: Path) -> None:
    given = stored(tmp_path)
    moved = [str(one["content"][1]["image_url"]["url"]).rpartition("/")[2] for one in given]
    there = messages(*(f"file:///data/run/{name}" for name in moved))
    assert describe_prompt(there, RANGES, LAYOUT, image_dir=tmp_path) == describe_prompt(
        given, RANGES, LAYOUT, image_dir=tmp_path
    )


def test_name_without_a_hash_is_not_taken_from_another_directory(tmp_path: Path) -> None:
    for name, number in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "frame.png").write_bytes(image(number))
    url = (tmp_path / "a" / "frame.png").as_uri()
    sidecar = describe_prompt(messages(url), [(0, 77)], LAYOUT, image_dir=tmp_path / "b")
    assert sidecar is not None
    assert sidecar.mm_items["image"][0].raw_image_uri == url


def test_same_image_is_read_once_and_prompt_without_images_has_no_sidecar(tmp_path: Path) -> None:
    reads: list[str] = []

    class Spy(ImageStore):
        def read(self, locator: str, expected_hash: str | None = None) -> bytes:
            reads.append(locator)
            return super().read(locator, expected_hash)

    (first, *_) = stored(tmp_path)
    describe_prompt([first] * 3, [(0, 77), (80, 77), (160, 77)], LAYOUT, store=Spy(tmp_path))
    assert len(reads) == 1
    assert describe_prompt([{"role": "user", "content": "hi"}], None, LAYOUT) is None
    assert describe_prompt([], {}, LAYOUT) is None


BAD: dict[str, tuple[Any, str, str]] = {
    "one_too_few": (RANGES[:2], "count_mismatch", "$.mm_placeholders"),
    "one_too_many": ([*RANGES, (300, 4)], "count_mismatch", "$.mm_placeholders"),
    "none": (None, "count_mismatch", "$.mm_placeholders"),
    "empty": ({}, "count_mismatch", "$.mm_placeholders.image"),
    "one_token_too_many": (
        [*RANGES[:2], (202, 85)],
        "geometry_mismatch",
        "$.mm_placeholders[2].length",
    ),
    "wire_one_token_too_many": (
        wire([(9, 78), *RANGES[1:]]),
        "geometry_mismatch",
        "$.mm_placeholders.image[0].length",
    ),
    "out_of_order": (RANGES[::-1], "placeholder_order", "$.mm_placeholders[1]"),
    "wire_out_of_order": (wire(RANGES[::-1]), "placeholder_order", "$.mm_placeholders.image[1]"),
    "overlapping": ([(9, 77), (85, 72), (202, 84)], "placeholder_order", "$.mm_placeholders[1]"),
    "wrong_modality": (wire(modality="video"), "modality_mismatch", "$.mm_placeholders.video"),
}


@pytest.mark.parametrize("name", BAD)
def test_ranges_that_do_not_fit_are_refused(name: str) -> None:
    ranges, code, path = BAD[name]
    with pytest.raises(rawmm.ContractError) as caught:
        describe_prompt(inline(), ranges, LAYOUT)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("ranges", "path"),
    [
        ("9:77", "$.mm_placeholders"),
        ("<html></html>", "$.mm_placeholders"),
        ([9, 77, 3], "$.mm_placeholders[0]"),
        ([(1, 2, 3)] * 3, "$.mm_placeholders[0]"),
        ([("a", 77)] * 3, "$.mm_placeholders[0].offset"),
        ([(-1, 77)] * 3, "$.mm_placeholders[0].offset"),
        ([(1, 0)] * 3, "$.mm_placeholders[0].length"),
        ({"image": 7}, "$.mm_placeholders.image"),
        ({7: RANGES}, '$.mm_placeholders["7"]'),
        (object(), "$.mm_placeholders"),
    ],
)
def test_rubbish_is_refused_with_its_path(ranges: Any, path: str) -> None:
    with pytest.raises(RawMMError) as caught:
        describe_prompt(inline(), ranges, LAYOUT)
    assert caught.value.path == path
    if caught.value.code == "wrong_type" and not path.endswith("offset"):
        assert caught.value.hint


def test_mismatch_names_image_and_both_counts() -> None:
    with pytest.raises(rawmm.ContractError) as caught:
        describe_prompt(inline(), [*RANGES[:2], (202, 85)], LAYOUT)
    assert "84 tokens for image 2 of the prompt" in str(caught.value)
    assert "448 x 200 pixels" in str(caught.value)
    assert caught.value.got == "85"


def test_turned_image_is_the_likely_cause() -> None:
    url = data_url(picture(size=(320, 200)))
    upright = layouts.get("pixtral").describe(320, 200).num_tokens
    turned = layouts.get("pixtral").describe(200, 320).num_tokens
    assert upright != turned
    with pytest.raises(rawmm.ContractError, match="EXIF orientation"):
        describe_prompt(messages(url), [(0, turned)], "pixtral")


def test_engine_range_of_kimi_is_expanded_or_one_token() -> None:
    layout = layouts.get("kimi_k25")
    one = messages(data_url(picture(size=(320, 200))))
    expanded = layout.describe(320, 200).num_tokens
    for length in (1, expanded):
        assert describe_prompt(one, {"vision_chunk": [(0, length)]}, layout) is not None
    with pytest.raises(rawmm.ContractError):
        describe_prompt(one, [(0, 2)], layout)


def test_image_that_is_gone_is_refused_at_its_url(tmp_path: Path) -> None:
    given = stored(tmp_path)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    for options in ({}, {"image_dir": tmp_path}):
        with pytest.raises(rawmm.MaterializeError) as caught:
            describe_prompt(given, RANGES, LAYOUT, **options)
        assert caught.value.code == "missing_image"
        assert caught.value.path == "$.messages[0].content[1].image_url.url"
        assert caught.value.hint


def test_url_without_scheme_is_looked_for_in_the_image_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VF_RENDERER_IMAGE_OFFLOAD_DIR", "PRIME_RL_RUN_DIR", "RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "screen.png").write_bytes(image(0))
    sidecar = describe_prompt(messages("screen.png"), RANGES[:1], LAYOUT, image_dir=tmp_path)
    assert sidecar is not None
    assert sidecar.mm_items["image"][0].raw_image_id == "screen.png"


def test_damaged_image_is_refused(tmp_path: Path) -> None:
    given = stored(tmp_path)
    for path in tmp_path.glob("*.png"):
        path.write_bytes(image(0) + b"x")
    with pytest.raises(rawmm.MaterializeError) as caught:
        describe_prompt(given, RANGES, LAYOUT, image_dir=tmp_path)
    assert caught.value.code == "hash_mismatch"
    assert caught.value.path.startswith("$.messages[0].content[1]")


def test_placeholder_may_have_the_number_of_an_image_after_others() -> None:
    layout = layouts.get("minicpmv4_6")
    url = data_url(picture(size=(320, 200)))
    first, later = (layout.describe(320, 200, index=index).num_tokens for index in (0, 10))
    for length in (first, later):  # as these may be the new messages of a turn
        assert describe_prompt(messages(url), [(0, length)], layout)
    with pytest.raises(rawmm.ContractError) as caught:
        describe_prompt(messages(url), [(0, first - 1)], layout)
    assert caught.value.code == "geometry_mismatch"
    urls = [url] * 11
    ranges = [(index * 1_000, later if index > 9 else first) for index in range(11)]
    assert describe_prompt(messages(*urls), ranges, layout)
    ranges[10] = (10_000, first)
    with pytest.raises(rawmm.ContractError, match=f"expected {later} tokens for image 10"):
        describe_prompt(messages(*urls), ranges, layout)
