"""Requests: vLLM's classes, the test engine and rawmm accept and refuse the same."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from vllm.entrypoints.scale_out.token_in_token_out.protocol import (
    GenerateRequest,
    GenerateTokensResponse,
    MultiModalFeatures,
)
from vllm.multimodal.media import MediaConnector
from vllm.multimodal.processing.processor import PromptReplacement, apply_token_matches

import rawmm
from rawmm import (
    ContractError,
    GenerateFeatures,
    check_engine_prompt,
    collapse_placeholders,
    content_parts,
    generate_features,
    raw_mm_item,
)
from tests.integrations.engine import protocol
from tests.integrations.engine.server import Engine
from tests.integrations.transformers.real import qwen_vl
from tests.unit.images.pictures import data_url, part, picture

if TYPE_CHECKING:
    from pathlib import Path

HASHES = ("0123456789abcdef" * 2, "fedcba9876543210" * 2)
FINGERPRINT = "5eed" * 8
KEYS = [(one, FINGERPRINT) for one in HASHES]
IMAGE = 9


def features(
    hashes: dict[str, list[str]], ranges: dict[str, list[tuple[int, int]]], **more: Any
) -> dict[str, Any]:
    placeholders = {
        modality: [{"offset": offset, "length": length} for offset, length in found]
        for modality, found in ranges.items()
    }
    return {"mm_hashes": hashes, "mm_placeholders": placeholders, **more}


def request(**fields: Any) -> dict[str, Any]:
    return {"token_ids": list(range(8)), "sampling_params": {}, **fields}


ONE = features({"image": [HASHES[0]]}, {"image": [(0, 2)]})
TWO = features({"image": list(HASHES)}, {"image": [(0, 2), (2, 3)]})
PART = {"type": "image_url", "url": "file:///data/a.png"}

ACCEPTED: dict[str, dict[str, Any]] = {
    "text": request(),
    "parts": request(content_parts=[PART]),
    "a part of an unknown type": request(content_parts=[{"type": "image", "image": "a"}]),
    "no parts beside features": request(content_parts=[], features=ONE),
    "adjacent ranges": request(features=TWO),
    "ranges in any order": request(
        features=features({"image": list(HASHES)}, {"image": [(2, 3), (0, 2)]})
    ),
    "ranges to the last token": request(
        features=features({"image": [HASHES[0]]}, {"image": [(0, 8)]})
    ),
    "a UUID for a hash": request(features=features({"image": ["turn 1/é"]}, {"image": [(0, 2)]})),
    "an empty hash": request(features=features({"image": [""]}, {"image": [(0, 2)]})),
    "null for a cached item": request(features={**ONE, "kwargs_data": {"image": [None]}}),
    "a reference": request(features={**ONE, "kwargs_data": {"image": ["mmraw:{}"]}}),
    "metadata with an item": request(
        features={**ONE, "kwargs_data": {"image": ["YWE="]}, "mm_metadata": {"image": ["YmI="]}}
    ),
    "metadata alone with a connector": request(
        features={**ONE, "mm_metadata": {"image": ["YmI="]}}, ec_transfer_params={"id": 1}
    ),
    "no modalities": request(features=features({}, {})),
    "unknown fields": request(features={**ONE, "is_embed": []}, more=1),
}

UNEQUAL = "must have the same length"
MODALITIES = "must use the same modalities"
OVERLAP = "mm_placeholders must be globally non-overlapping and sorted"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no tokens": (request(token_ids=[]), "at least 1 item"),
    "a negative token": (request(token_ids=[1, -1]), "must not contain negative values"),
    "no sampling parameters": ({"token_ids": [1]}, "Field required"),
    "parts beside features": (
        request(content_parts=[PART], features=ONE),
        "content_parts and features are mutually exclusive",
    ),
    "a range past the tokens": (
        request(features=features({"image": [HASHES[0]]}, {"image": [(7, 2)]})),
        "must remain within the token_ids sequence",
    ),
    "metadata alone": (
        request(features={**ONE, "mm_metadata": {"image": ["YmI="]}}),
        "metadata-only multimodal items require ec_transfer_params",
    ),
    "an empty range": (
        request(features=features({"image": [HASHES[0]]}, {"image": [(0, 0)]})),
        "greater than 0",
    ),
    "a negative offset": (
        request(features=features({"image": [HASHES[0]]}, {"image": [(-1, 2)]})),
        "greater than or equal to 0",
    ),
    "a hash too many": (
        request(features=features({"image": list(HASHES)}, {"image": [(0, 2)]})),
        UNEQUAL,
    ),
    "a null too many": (
        request(features={**ONE, "kwargs_data": {"image": [None, None]}}),
        UNEQUAL,
    ),
    "metadata too many": (
        request(features={**ONE, "mm_metadata": {"image": [None, None]}}),
        UNEQUAL,
    ),
    "ranges of another modality": (
        request(features=features({"image": [HASHES[0]]}, {"video": [(0, 2)]})),
        MODALITIES,
    ),
    "items of another modality": (
        request(features={**ONE, "kwargs_data": {"vision_chunk": [None]}}),
        MODALITIES,
    ),
    "an empty object for items": (request(features={**ONE, "kwargs_data": {}}), MODALITIES),
    "metadata of another modality": (
        request(features={**ONE, "mm_metadata": {}}),
        MODALITIES,
    ),
    "overlapping ranges": (
        request(features=features({"image": list(HASHES)}, {"image": [(0, 3), (2, 3)]})),
        OVERLAP,
    ),
    "ranges that overlap across modalities": (
        request(
            features=features(
                {"image": [HASHES[0]], "video": [HASHES[1]]}, {"image": [(0, 3)], "video": [(2, 3)]}
            )
        ),
        OVERLAP,
    ),
    "no ranges": (request(features={"mm_hashes": {}}), "Field required"),
    "a number for an item": (
        request(features={**ONE, "kwargs_data": {"image": [1]}}),
        "valid string",
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted_request_is_accepted_by_the_engine(case: str) -> None:
    body = ACCEPTED[case]
    GenerateRequest.model_validate(body)
    protocol.GenerateRequest.model_validate(body)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_request_is_refused_by_the_engine_with_the_same_words(case: str) -> None:
    body, words = REFUSED[case]
    said = []
    for cls in (GenerateRequest, protocol.GenerateRequest):
        with pytest.raises(ValidationError, match=words) as raised:
            cls.model_validate(body)
        said.append([(error["loc"], error["msg"]) for error in raised.value.errors()])
    assert said[0] == said[1]


modality_names = st.sampled_from(["image", "video"])
slots = st.none() | st.just("mmraw:{}")


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Features of which about a third are sound."""
    modalities = draw(st.lists(modality_names, unique=True, max_size=2))
    size = draw(st.integers(0, 3))

    def lists(entries: st.SearchStrategy[Any]) -> Any:
        sized = st.lists(entries, min_size=size, max_size=size)
        right = st.fixed_dictionaries(dict.fromkeys(modalities, sized))
        wrong = st.dictionaries(modality_names, st.lists(entries, max_size=3), max_size=2)
        return draw(st.one_of(right, right, right, wrong))

    optional = draw(st.sampled_from([(), ("kwargs_data",), ("mm_metadata",)]))
    return features(
        lists(st.sampled_from(HASHES)),
        lists(st.tuples(st.integers(-1, 12), st.integers(0, 3))),
        **{name: lists(slots) for name in optional},
    )


@given(documents())
def test_engine_judges_features_as_vllm_does(document: dict[str, Any]) -> None:
    said = []
    for cls in (MultiModalFeatures, protocol.MultiModalFeatures):
        try:
            said.append(cls.model_validate(document).model_dump())
        except ValidationError as error:
            said.append([one["msg"] for one in error.errors()])
    # The modalities of vLLM are a set, so which of several faults it names differs.
    assert isinstance(said[0], dict) == isinstance(said[1], dict)
    if isinstance(said[0], dict):
        assert said[0] == said[1]


# --- rawmm


def sidecar(*sizes: int, vllm_modality: str | None = None) -> rawmm.MultiModalData:
    """Images of the given numbers of tokens, one token between them."""
    offsets = [sum(sizes[:index]) + index for index, _ in enumerate(sizes)]
    more = {} if vllm_modality is None else {"vllm_modality": vllm_modality}
    return rawmm.convert(
        {
            "mm_hashes": {"image": list(HASHES[: len(sizes)])},
            "mm_placeholders": {
                "image": [
                    {"offset": offset, "length": length}
                    for offset, length in zip(offsets, sizes, strict=True)
                ]
            },
            "mm_items": {
                "image": [
                    raw_mm_item(
                        modality="image",
                        family="qwen_vl",
                        layout_fingerprint=FINGERPRINT,
                        payload={"image_grid_thw": [1, 2, 2 * length]},
                        raw_image_id=f"{HASHES[number]}.png",
                        **more,
                    )
                    for number, length in enumerate(sizes)
                ]
            },
        },
        rawmm.MultiModalData,
    )


@pytest.mark.parametrize("cached", [None, KEYS[:1], KEYS])
@pytest.mark.parametrize("vllm_modality", [None, "vision_chunk"])
def test_generate_features_are_accepted(cached: Any, vllm_modality: str | None) -> None:
    made = generate_features(sidecar(4, 3, vllm_modality=vllm_modality), cached=cached)
    assert made is not None
    document = json.loads(rawmm.encode_json(made))
    accepted = GenerateRequest.model_validate(request(features=document)).features
    assert accepted is not None
    # Nothing is dropped and nothing is added but the fields that are null.
    assert {name: value for name, value in accepted.model_dump().items() if value is not None} == {
        name: value for name, value in document.items() if value is not None
    }


FEATURES_REFUSED = (
    "an empty range",
    "a negative offset",
    "a hash too many",
    "a null too many",
    "metadata too many",
    "ranges of another modality",
    "items of another modality",
    "an empty object for items",
    "metadata of another modality",
    "overlapping ranges",
    "ranges that overlap across modalities",
    "no ranges",
    "a number for an item",
)
FEATURES_ACCEPTED = (
    "adjacent ranges",
    "null for a cached item",
    "ranges to the last token",
    "a UUID for a hash",
    "metadata with an item",
    "metadata alone with a connector",
    "no modalities",
)


@pytest.mark.parametrize(
    "document",
    [
        *(ACCEPTED[case]["features"] for case in FEATURES_ACCEPTED),
        features({"image": ["turn 1/step 2"]}, {"image": [(0, 2)]}),
    ],
)
def test_features_that_vllm_accepts_are_accepted(document: dict[str, Any]) -> None:
    GenerateRequest.model_validate(request(features=document, ec_transfer_params={"id": 1}))
    kept = json.loads(rawmm.encode_json(rawmm.convert(document, GenerateFeatures)))
    assert kept == document


@pytest.mark.parametrize("name", ["", "a\nb", "\0"])
def test_hash_that_cannot_be_printed_is_refused(name: str) -> None:
    """vLLM takes it."""
    document = features({"image": [name]}, {"image": [(0, 2)]})
    MultiModalFeatures.model_validate(document)
    with pytest.raises(ContractError):
        rawmm.convert(document, GenerateFeatures)


@pytest.mark.parametrize("case", FEATURES_REFUSED)
def test_features_that_vllm_refuses_are_refused(case: str) -> None:
    with pytest.raises(ContractError):
        rawmm.convert(REFUSED[case][0]["features"], GenerateFeatures)


def is_sorted(document: dict[str, Any]) -> bool:
    """Whether the ranges of each modality are sorted, which only rawmm requires."""
    found = document["mm_placeholders"].values()
    return all(ranges == sorted(ranges, key=lambda one: one["offset"]) for ranges in found)


@given(documents())
def test_features_are_judged_as_vllm_does(document: dict[str, Any]) -> None:
    """Except for what rawmm requires besides: sorted ranges, references that can be read."""
    for name in ("kwargs_data", "mm_metadata"):
        for of in document.get(name, {}).values():
            of[:] = [slot and "gaRkYXRhwA==" for slot in of]
    try:
        MultiModalFeatures.model_validate(document)
    except ValidationError:
        with pytest.raises(ContractError):
            rawmm.convert(document, GenerateFeatures)
    else:
        if is_sorted(document):
            made = rawmm.convert(document, GenerateFeatures)
            assert json.loads(rawmm.encode_json(made)) == document


@pytest.mark.parametrize("item", ["", "a", "aa=", "a b=", "http://a", "mmraw:{}", "mmraw:v9:x"])
def test_item_that_the_engine_cannot_decode_is_refused(item: str) -> None:
    with pytest.raises(ContractError):
        rawmm.convert({**ONE, "kwargs_data": {"image": [item]}}, GenerateFeatures)


def test_content_part_is_what_the_engine_reads() -> None:
    parts = [
        rawmm.ContentPart(url="file:///data/a.png", uuid=HASHES[0]),
        rawmm.ContentPart(url=PART["url"]),
    ]
    body = request(content_parts=json.loads(rawmm.encode_json(parts)))
    assert GenerateRequest.model_validate(body).content_parts == [PART | {"uuid": HASHES[0]}, PART]


@given(
    st.dictionaries(
        st.sampled_from(["image", "video"]), st.lists(st.sampled_from(HASHES)), max_size=2
    ),
    st.dictionaries(
        st.sampled_from(["image", "video"]),
        st.lists(st.tuples(st.integers(-1, 9), st.integers(0, 3)), max_size=2),
        max_size=2,
    ),
)
def test_features_of_several_modalities_that_vllm_refuses_are_refused(
    found: dict[str, list[str]], where: dict[str, list[tuple[int, int]]]
) -> None:
    document = features(found, where)
    try:
        MultiModalFeatures.model_validate(document)
    except ValidationError:
        with pytest.raises(ContractError):
            rawmm.convert(document, GenerateFeatures)


# --- content parts


def messages(*urls: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [part(url) for url in urls]}]


def test_content_parts_are_accepted_and_read(tmp_path: Path) -> None:
    """Each image that vLLM loads from a part is the one of the message."""
    image_dir = tmp_path / "ümlaut dir"
    store = rawmm.ImageStore(image_dir)
    raw = [picture(size=(8 + seed, 8), seed=seed) for seed in range(3)]
    path = store.put(raw[1]).uri
    odd = image_dir / "a%20b c.png"
    odd.write_bytes(raw[2])
    urls = [data_url(raw[0]), path, path.replace("file://", "FILE://localhost"), odd.as_uri()]
    document = json.loads(rawmm.encode_json(content_parts(messages(*urls))))
    accepted = GenerateRequest.model_validate(request(content_parts=document)).content_parts
    assert accepted == document
    connector = MediaConnector(allowed_local_media_path=str(tmp_path))
    sizes = [connector.fetch_image(one["url"]).media.size for one in document]
    assert sizes == [(8, 8), (9, 8), (9, 8), (10, 8)]
    hashes = [hashlib.sha256(one).hexdigest()[:32] for one in raw]
    assert [one.get("uuid") for one in document] == [hashes[0], hashes[1], hashes[1], None]


BAD_URLS = [
    "s3://bucket/a.png",
    "images/a.png",
    "data:image/png;base64,aGVs*bG8=",
    "data:image/png;base64,aGVsbG8=",
    "data:image/png,abc",
    "data:image/png;base64",
    "file://host/a.png",
    "file:///{}/images/../a.png",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_url_that_vllm_refuses_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "images").mkdir()
    url = url.replace("/{}", str(tmp_path))
    connector = MediaConnector(allowed_local_media_path=str(tmp_path / "images"))
    with pytest.raises((ValueError, NotImplementedError)):
        connector.fetch_image(url)
    with pytest.raises(rawmm.RawMMError):
        content_parts(messages(url))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=2), st.lists(st.integers(0, 5), max_size=3))
def test_vllm_expands_what_was_collapsed(sizes: list[int], text: list[int]) -> None:
    media = sidecar(*sizes)
    tokens: list[int] = []
    for size in sizes:
        tokens += [IMAGE] * size + [1]
    tokens += text
    collapsed = collapse_placeholders(tokens, media, IMAGE)
    update = PromptReplacement(
        modality="image", target=[IMAGE], replacement=lambda index: [IMAGE] * sizes[index]
    )
    updates = {"image": [[update.resolve(index)] for index, _ in enumerate(sizes)]}
    assert apply_token_matches(collapsed, updates)[0] == tokens
    found = [{"offset": one.offset, "length": one.length} for one in media.mm_placeholders["image"]]
    answer = GenerateTokensResponse.model_validate(
        {
            "model": "m",
            "choices": [{"index": 0, "token_ids": [3]}],
            "prompt_token_ids": tokens,
            "mm_placeholders": {"image": found},
            "usage": {},
        }
    )
    for response in (answer, answer.model_dump(), answer.model_dump_json()):
        check_engine_prompt(media, collapsed, response)


def test_vllms_expansion_of_expanded_tokens_is_named() -> None:
    media = sidecar(3, 2)
    tokens = [*[IMAGE] * 3, 1, IMAGE, IMAGE, 1]
    update = PromptReplacement(
        modality="image", target=[IMAGE], replacement=lambda index: [IMAGE] * (3, 2)[index]
    )
    updates = {"image": [[update.resolve(index)] for index in range(2)]}
    prompt, _ = apply_token_matches(tokens, updates)
    found = {"image": [{"offset": 0, "length": 3}, {"offset": 3, "length": 2}]}
    with pytest.raises(ContractError, match="expanded already"):
        check_engine_prompt(
            media, tokens, {"prompt_token_ids": list(prompt), "mm_placeholders": found}
        )


# --- answers


def test_engine_answers_are_those_of_vllm() -> None:
    engine = Engine(qwen_vl().image_processor, IMAGE, [[3, 4]])
    parts = [{"type": "image_url", "url": data_url(picture(size=(320, 200)))}]
    answer = engine.answer(request(token_ids=[1, IMAGE, 2], content_parts=parts, model="m"))
    accepted = GenerateTokensResponse.model_validate(answer)
    dumped = accepted.model_dump()
    for entry in answer["choices"][0]["logprobs"]["content"]:
        del entry["token"]  # of earlier versions, which renderers 0.1.12 reads
    assert {name: dumped[name] for name in answer if name != "usage"} == {
        name: value for name, value in answer.items() if name != "usage"
    }


@given(
    prompt=st.lists(st.sampled_from([IMAGE, 1]), min_size=1, max_size=8),
    counts=st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
def test_engine_expands_prompts_as_vllm_does(prompt: list[int], counts: list[int]) -> None:
    update = PromptReplacement(
        modality="image", target=[IMAGE], replacement=lambda index: [IMAGE] * counts[index]
    )
    updates = {"image": [[update.resolve(index)] for index, _ in enumerate(counts)]}
    expanded, found = apply_token_matches(prompt, updates)
    engine = Engine(None, IMAGE, [])
    if None in found["image"]:
        with pytest.raises(protocol.EngineError, match="prompt placeholders"):
            engine._expand(prompt, counts)
    else:
        assert engine._expand(prompt, counts)[0] == expanded
