"""The errors of a commit, word for word. A failed commit changes nothing."""

from __future__ import annotations

import base64
import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rawmm import (
    MultiModalData,
    ProcessedPayloadError,
    RawMMError,
    Response,
    Trace,
    TurnTokens,
    encode_msgpack,
    to_builtins,
    validate,
)
from rawmm.graph import branches, prepare_turn
from tests.builders import item, mm_hash_of
from tests.cases import each
from tests.unit.graph.turns import (
    PAD,
    TYPES,
    history_of,
    new_trace,
    play,
    reply,
    response,
    sidecar,
    url,
    user,
    with_images,
)

if TYPE_CHECKING:
    from collections.abc import Callable

BEFORE = [1, PAD, PAD, 2, 90, 91, 1, PAD, PAD, PAD, 2, 90, 91]
NEW = [1, PAD, 2]
MEDIA = (0, 1, 2), (1, 7, 3), (2, 14, 1)


def good(**tokens: Any) -> Response:
    """The third turn of `with_images`, with an image; `fields` replace those of its tokens."""
    fields = {
        "message_spans": [None] * 4 + [(13, 16)],
        "is_content": [True] * 16,
        "mm_token_type_id_map": TYPES,
        "multi_modal_data": sidecar(*MEDIA),
        "bridged": True,
    }
    prompt = tokens.pop("prompt_ids", [*BEFORE, *NEW])
    return response(prompt, **(fields | tokens))


def of(**fields: Any) -> Response:
    """The good response; `fields` replace its own."""
    answer = good()
    for name, value in fields.items():
        setattr(answer, name, value)
    return answer


def damaged(change: Callable[[MultiModalData], Any], *media: tuple[int, int, int]) -> Any:
    """A sidecar that was changed after its construction."""
    out = sidecar(*(media or MEDIA))
    change(out)
    return out


def mask(ids: Any, counts: Any) -> Any:
    return {
        name: {
            "__nd__": True,
            "dtype": "int32",
            "shape": [len(values)],
            "data": b"".join(value.to_bytes(4, "little") for value in values),
        }
        for name, values in (("ids", ids), ("counts", counts))
    }


def routing(rows: int, **fields: Any) -> dict[str, Any]:
    data = base64.b64encode(bytes(rows * 2)).decode()
    return {"data": data, "shape": [rows, 2, 1]} | fields


class Opaque:
    """Neither a mapping nor an object with fields."""


FAILURES: list[tuple[str, Callable[[], Any], str]] = [
    # Media that were lost, doubled, replaced or moved.
    (
        "no sidecar",
        lambda: good(multi_modal_data=None),
        "$.tokens.multi_modal_data: expected a sidecar with 3 image items, got none; give a "
        "bridging renderer the previous sidecar, or its media are lost [count_mismatch]",
    ),
    (
        "no sidecar, no spans and no map of token types",
        lambda: good(multi_modal_data=None, message_spans=None, mm_token_type_id_map=None),
        "$.tokens.multi_modal_data: expected a sidecar with 3 image items, got none; give a "
        "bridging renderer the previous sidecar, or its media are lost [count_mismatch]",
    ),
    (
        "the sidecar of the new tail only",
        lambda: good(multi_modal_data=sidecar((2, 14, 1))),
        "$.tokens.multi_modal_data.mm_hashes.image: expected 3 entries, one per image of the "
        "prompt's messages, got 1; the sidecar must cover the whole prompt; give a bridging "
        "renderer the previous sidecar [count_mismatch]",
    ),
    (
        "an empty sidecar",
        lambda: good(multi_modal_data=MultiModalData()),
        "$.tokens.multi_modal_data.mm_items: expected 3 image items, got no list of images; the "
        "renderer lost them [count_mismatch]",
    ),
    (
        "another image in the reused prefix",
        lambda: good(multi_modal_data=sidecar((0, 1, 2), (5, 7, 3), (2, 14, 1))),
        "$.tokens.multi_modal_data.mm_hashes.image[1]: expected the entry of the reused "
        "nodes, got a different entry; the renderer changed, moved or added media of "
        "earlier turns [media_mismatch]",
    ),
    (
        "a moved range in the reused prefix",
        lambda: good(multi_modal_data=sidecar((0, 1, 1), (1, 7, 3), (2, 14, 1))),
        "$.tokens.multi_modal_data.mm_placeholders.image[0]: expected the entry of the reused "
        "nodes, got a different entry; the renderer changed, moved or added media of earlier turns [media_mismatch]",
    ),
    (
        "another image than the new message shows",
        lambda: good(multi_modal_data=sidecar((0, 1, 2), (1, 7, 3), (3, 14, 1))),
        "$.nodes[4].message.content[0].image_url.url [hash_mismatch]",
    ),
    (
        "a hash of another image than its item",
        lambda: good(
            multi_modal_data=damaged(lambda s: s.mm_hashes["image"].__setitem__(2, mm_hash_of(9)))
        ),
        "$.tokens.multi_modal_data.mm_items.image[2].raw_image_id [hash_mismatch]",
    ),
    (
        "a range outside the message's tokens",
        lambda: good(multi_modal_data=sidecar((0, 1, 2), (1, 7, 3), (2, 16, 1))),
        "$.nodes[4].multi_modal_data.mm_placeholders.image[0]: expected a range inside the node's "
        "own tokens, 13 to 16, got 16 to 17; offsets count from the first token of the branch "
        "[placeholder_order]",
    ),
    (
        "a range over text",
        lambda: good(multi_modal_data=sidecar((0, 1, 2), (1, 7, 3), (2, 13, 1))),
        "$.nodes[4].multi_modal_data.mm_placeholders.image[0]: expected 1 image-typed token in "
        "the range, got 0; the range is that of another prompt, or the tokens were cut "
        "[orphan_image]",
    ),
    (
        "more image tokens than the range has",
        lambda: good(prompt_ids=[*BEFORE, 1, PAD, PAD], is_content=None),
        "$.nodes[4].token_ids: expected 1 image-typed token, as in the items' ranges, got 2; image "
        "tokens outside all ranges have lost their items [orphan_image]",
    ),
    (
        "an image token in the completion",
        lambda: good(completion_ids=[90, PAD], completion_logprobs=[]),
        "$.nodes[5].token_ids: expected no image-typed token where mask is true, got 1, the first "
        "at index 1; the policy sampled the token and no image was lost; the engine takes it for "
        "the next image, so end the rollout here or sample with the token forbidden "
        "[sampled_image_token]",
    ),
    (
        "a processed payload in the new tail",
        lambda: good(
            multi_modal_data=damaged(
                lambda s: s.mm_items["image"][2].payload.update(pixel_values=[0.5])
            )
        ),
        "$.tokens.multi_modal_data.mm_items.image[2].payload.pixel_values: expected raw media "
        "only, got the key 'pixel_values' with an array of 1 [processed_payload]",
    ),
    (
        "a processed payload in the reused prefix",
        lambda: good(
            multi_modal_data=damaged(
                lambda s: s.mm_items["image"][0].payload.update(image_embeds=b"\0" * 9)
            )
        ),
        "$.tokens.multi_modal_data.mm_items.image[0].payload.image_embeds: expected raw media "
        "only, got the key 'image_embeds' with 9 bytes [processed_payload]",
    ),
    (
        "a sidecar that is none",
        lambda: good(multi_modal_data=["pixel_values"]),
        "$.tokens.multi_modal_data: expected an object, got an array of 1 [wrong_type]",
    ),
    (
        "an item under another modality",
        lambda: good(
            multi_modal_data=to_builtins(sidecar(*MEDIA[:2]))
            | {"mm_items": {"image": [to_builtins(item(0, modality="video"))]}}
        ),
        "$.tokens.multi_modal_data.mm_items.image: expected 2 entries (mm_hashes 2, "
        "mm_placeholders 2, mm_items 1), got 1; every item has one hash and one range "
        "[count_mismatch]",
    ),
    # Tokens that differ from the renderer's or the graph's.
    (
        "an engine that tokenized by itself",
        lambda: good(prompt_ids=[1, PAD, PAD, 3, *BEFORE[4:], *NEW]),
        "$.tokens.prompt_ids: expected the 13 tokens of the stored prefix, which the renderer "
        "extended, got tokens that differ from those of node 0, which begins at position 0; the "
        "engine tokenized or truncated the prompt itself [token_mismatch]",
    ),
    (
        "an engine that cut the prompt",
        lambda: good(prompt_ids=BEFORE[:9], is_content=None),
        "$.tokens.prompt_ids: expected the 13 tokens of the stored prefix, which the renderer "
        "extended, got tokens that differ from those of node 2, which begins at position 6; the "
        "engine tokenized or truncated the prompt itself [token_mismatch]",
    ),
    (
        "a renderer with other tokens",
        lambda: good(
            renderer_prompt_ids=[*BEFORE, 1, PAD, 3],
            mm_placeholders=[(at, 1) for at, token in enumerate([*BEFORE, *NEW]) if token == PAD],
        ),
        "$.tokens.prompt_ids: expected the renderer's tokens with expanded media, got "
        "different tokens from position 15 on; the engine tokenized or truncated the prompt itself "
        "[token_mismatch]",
    ),
    (
        "an engine that expands and does not say where",
        lambda: good(renderer_prompt_ids=[*BEFORE, 1, PAD, PAD, 2], is_content=None),
        "$.tokens.mm_placeholders: expected 7 ranges, one per media token of the renderer's "
        "prompt, got 0; the engine must return its ranges where it expands media "
        "[placeholder_order]",
    ),
    (
        "an engine that lays out media differently",
        lambda: good(mm_placeholders=[(1, 2), (7, 3), (13, 1)]),
        "$.tokens.mm_placeholders: expected the 3 ranges of the renderer's sidecar, got 3 ranges "
        "at other positions; engine and renderer lay out media differently [placeholder_order]",
    ),
    # Streams.
    (
        "a log-probability too few",
        lambda: good(completion_logprobs=[-0.5]),
        "$.nodes[5].logprobs: expected none or 2, one per sampled token, got 1 [stream_length]",
    ),
    (
        "a log-probability that is no number",
        lambda: good(completion_logprobs=[-0.5, float("nan")]),
        "$.tokens.completion_logprobs[1]: expected a finite number, got nan [not_json]",
    ),
    (
        "a flag too few",
        lambda: good(is_content=[True] * 15),
        "$.tokens.is_content: expected none or 16 flags, one per token of the renderer's prompt, "
        "got 15 [stream_length]",
    ),
    (
        "a span that leaves the prompt",
        lambda: good(message_spans=[None] * 4 + [(13, 17)]),
        "$.tokens.message_spans[4]: expected a span of the renderer's 16 tokens, got 13 to 17 "
        "[out_of_range]",
    ),
    (
        "a span before the prompt",
        lambda: good(message_spans=[None] * 4 + [(-1, 16)]),
        "$.tokens.message_spans[4]: expected a span of the renderer's 16 tokens, got -1 to 16 "
        "[out_of_range]",
    ),
    (
        "a span that ends before it begins",
        lambda: good(message_spans=[None] * 4 + [(14, 13)]),
        "$.tokens.message_spans[4]: expected a span of the renderer's 16 tokens, got 14 to 13 "
        "[out_of_range]",
    ),
    (
        "a sampling mask of other tokens",
        lambda: good(sampling_mask=mask([1, 2, 3], [1, 1, 1])),
        "$.nodes[5].sampling_mask: expected 2 counts, one per sampled token, got 3 [stream_length]",
    ),
    (
        "a sampling mask whose counts do not add up",
        lambda: good(sampling_mask=mask([1, 2, 3], [1, 1])),
        "$.tokens.sampling_mask.ids: expected 2 ids, the sum of counts, got 3 [stream_length]",
    ),
    (
        "expert routing that does not fill its shape",
        lambda: good(routed_experts=routing(17, shape=[18, 2, 1])),
        "$.tokens.routed_experts.data: expected 36 bytes for uint8 of shape 18x2x1, got 34 bytes "
        "[array_size]",
    ),
    # Fields of wrong types.
    (
        "no prompt",
        lambda: of(tokens=SimpleNamespace(completion_ids=[1])),
        "$.tokens: expected the field 'prompt_ids', got an object without it [missing_field]",
    ),
    (
        "tokens that are none",
        lambda: of(tokens=Opaque()),
        "$.tokens: expected the field 'prompt_ids', got an object without it [missing_field]",
    ),
    *(
        (
            f"{name} that are text",
            lambda name=name: of(tokens=SimpleNamespace(**{"prompt_ids": BEFORE, name: "ab"})),
            f"$.tokens.{name}: expected a list of one value per token, got 'ab' [wrong_type]",
        )
        for name in ("prompt_ids", "completion_ids", "renderer_prompt_ids", "is_content")
    ),
    *(
        (
            f"{name} that are no pairs",
            lambda name=name: good(**{name: [(1, 2, 3)]}),
            f"$.tokens.{name}: expected an array of pairs of integers, got an array of 1; {hint} "
            "[wrong_type]",
        )
        for name, hint in (
            ("message_spans", "pass the renderer's spans"),
            (
                "mm_placeholders",
                "pass the ranges of all media, sorted, as pairs of offset and length",
            ),
        )
    ),
    (
        "a token id below zero",
        lambda: good(
            prompt_ids=[*BEFORE, -1], is_content=None, message_spans=[None] * 4 + [(13, 14)]
        ),
        "$.tokens.prompt_ids[13]: expected an integer from 0 to 4294967295, got -1 [out_of_range]",
    ),
    (
        "a kind of medium that is no number",
        lambda: good(mm_token_type_id_map={PAD: "image"}),
        "$.tokens.mm_token_type_id_map[\"7\"]: expected an integer, got the string 'image' "
        "[wrong_type]",
    ),
    (
        "a token type of no token",
        lambda: good(mm_token_type_id_map={"pad": 1}),
        "$.tokens.mm_token_type_id_map: expected a string that matches ^(0|[1-9][0-9]{0,9})$, got "
        "'pad' [bad_format]",
    ),
    (
        "token types that are no map",
        lambda: good(mm_token_type_id_map=[PAD]),
        "$.tokens.mm_token_type_id_map: expected an object, got an array of 1 [wrong_type]",
    ),
    # The reply.
    (
        "no reply",
        lambda: SimpleNamespace(tokens=good().tokens),
        "$.message: expected an object, got null [wrong_type]",
    ),
    (
        "a reply of the user",
        lambda: of(message=user("x")),
        "$.message.role: expected 'assistant', got 'user' [bad_value]",
    ),
    (
        "a reason that is none",
        lambda: of(finish_reason="content_filter"),
        "$.nodes[5].finish_reason: expected 'stop' or 'length' or 'tool_calls', got "
        "'content_filter' [bad_value]",
    ),
    (
        "a token account below zero",
        lambda: of(usage={"prompt_tokens": -1, "completion_tokens": 2}),
        "$.usage.prompt_tokens: expected an integer from 0 to 9007199254740991, got -1 "
        "[out_of_range]",
    ),
]


def without_times(trace: Trace) -> dict[str, Any]:
    document: dict[str, Any] = to_builtins(trace)
    for node in document["nodes"]:
        del node["timestamp"]
    return document


@each(("make", "sentence"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_failed_commit_changes_nothing(make: Callable[[], Any], sentence: str) -> None:
    trace, control = with_images(), with_images()
    prompt = [*history_of(trace), user(url(2))]
    turn = prepare_turn(trace, prompt)
    before, tools = encode_msgpack(trace), [{"name": "click"}]
    with pytest.raises(RawMMError) as caught:
        turn.commit(make())
    error = caught.value
    # The rules' own tests pin the sentences of rules, and tests/unit/test_errors.py their hints.
    without_hint = str(error.at(hint=None))
    assert sentence in (str(error), without_hint, f"{error.path} [{error.code}]")
    assert encode_msgpack(trace) == before
    # A failed turn does not record its tools. This one has no prefix to begin with.
    if "tokens of the stored prefix" not in sentence:
        with pytest.raises(RawMMError):
            prepare_turn(trace, prompt, tools).commit(make())
        assert encode_msgpack(trace) == before
    # The next turn is committed normally.
    again = prepare_turn(trace, prompt)
    assert (again.prefix_node_ids, again.path_len) == ([0, 1, 2, 3], 13)
    assert turn.commit(good()) == prepare_turn(control, prompt).commit(good()) == 5
    validate(trace)
    assert without_times(trace) == without_times(control)
    assert [one.node_ids for one in branches(trace)] == [[0, 1, 2, 3, 4, 5]]


def test_valid_response_is_committed() -> None:
    trace = with_images()
    play(trace, [*history_of(trace), user(url(2))], good())
    whole = branches(trace)[0]
    assert whole.token_ids == [*BEFORE, *NEW, 90, 91]
    assert whole.multi_modal_data == sidecar(*MEDIA)
    assert whole.nodes[4].is_content == [True] * 3


def test_processed_payload_is_a_type_error() -> None:
    trace = with_images()
    bad = good(
        multi_modal_data=damaged(lambda s: s.mm_items["image"][2].payload.update(image_features=1))
    )
    with pytest.raises(ProcessedPayloadError) as caught:
        play(trace, [*history_of(trace), user(url(2))], bad)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("tools", "got"),
    [("click", "'click'"), (["click"], "an array of 1"), ({"a": 1}, "an object with a")],
)
def test_record_with_invalid_tools_is_refused(tools: Any, got: str) -> None:
    """The tools of a trace are free JSON."""
    trace = Trace(nodes=[], tools=tools)
    before = encode_msgpack(trace)
    turn = prepare_turn(trace, [user("x")], [{"name": "click"}])
    for act in (lambda: turn.commit(response([1])), turn.commit_prompt):
        with pytest.raises(RawMMError) as caught:
            act()
        assert str(caught.value) == (
            f"$.trace.tools: expected an array of objects, got {got} [wrong_type]"
        )
        assert encode_msgpack(trace) == before
    # A turn without tools does not read them.
    play(trace, [user("x")], response([1]))
    assert trace.tools == tools


def test_failed_commit_prompt_changes_nothing() -> None:
    trace = with_images()
    before = encode_msgpack(trace)
    broken = user("broken")
    turn = prepare_turn(trace, [*history_of(trace), user("fine"), broken])
    broken.content = "\ud800"
    with pytest.raises(RawMMError):
        turn.commit_prompt()
    assert encode_msgpack(trace) == before
    broken.content = "mended"
    turn.commit_prompt()
    assert [node.message.content for node in trace.nodes[4:]] == ["fine", "mended"]


PREPARING: list[tuple[str, Any, Any, str]] = [
    (
        "a message",
        [user("x"), {"role": "bot", "content": "y"}],
        None,
        "$.prompt[1].role: expected one of 'system', 'developer', 'user', 'assistant', 'tool', "
        "got 'bot' [unknown_tag]",
    ),
    (
        "a struct that is no message",
        [Trace(nodes=[])],
        None,
        "$.prompt[0]: expected role to be one of 'system', 'user', 'assistant', 'tool', got no "
        "role [unknown_tag]",
    ),
    (
        "text",
        ["look"],
        None,
        "$.prompt[0]: expected an object, got the string 'look' [wrong_type]",
    ),
    (
        "a tool",
        [user("x")],
        [{"name": "click"}, {"nam": "type"}],
        "$.tools[1]: expected the field 'name', got an object without it [missing_field]",
    ),
]


@pytest.mark.parametrize(
    ("prompt", "tools", "sentence"),
    [case[1:] for case in PREPARING],
    ids=[case[0] for case in PREPARING],
)
def test_invalid_prompt_is_refused(prompt: Any, tools: Any, sentence: str) -> None:
    trace = with_images()
    before = encode_msgpack(trace)
    with pytest.raises(RawMMError) as caught:
        prepare_turn(trace, prompt, tools)
    assert str(caught.value) == sentence
    assert encode_msgpack(trace) == before


def test_errors_show_no_content() -> None:
    """Errors describe the values of a response without showing them."""
    secret = base64.b64encode(bytes(range(256))).decode()
    trace = with_images()
    answer = good(routed_experts={"data": secret + "*", "shape": [1]})
    with pytest.raises(RawMMError) as caught:
        play(trace, [*history_of(trace), user(url(2))], answer)
    assert secret[:30] not in str(caught.value)
    assert caught.value.code == "bad_base64"


def test_response_is_not_changed() -> None:
    trace = with_images()
    answer = good(
        prompt_ids=(*BEFORE, *NEW),
        message_spans=((0, 4), None, None, None, (13, 16)),
        mm_token_type_id_map={"7": 1},
        sampling_mask=mask([1, 2], [1, 1]),
    )
    assert isinstance(answer.tokens, TurnTokens)
    before = copy.deepcopy(answer)
    play(trace, [*history_of(trace), user(url(2))], answer)
    assert answer == before
    # The graph shares no container with the response.
    kept = encode_msgpack(trace)
    answer.tokens.completion_ids.append(1)
    answer.tokens.completion_logprobs.clear()
    answer.tokens.multi_modal_data.mm_items["image"][2].payload.clear()  # type: ignore[union-attr]
    answer.tokens.multi_modal_data.mm_hashes["image"].clear()  # type: ignore[union-attr]
    assert encode_msgpack(trace) == kept
    assert trace.nodes[-1].message == reply()


def test_commit_refused_by_its_last_check_changes_nothing() -> None:
    """Image tokens of the completion are checked last."""
    trace = new_trace()
    play(trace, [user("a")], response([1], message_spans=[(0, 1)], routed_experts=routing(2)))
    turn = prepare_turn(trace, [user("a"), reply(), user(url(0))], [{"name": "click"}])
    before, document = copy.deepcopy(trace), encode_msgpack(trace)
    bad = response(
        [1, 90, 91, PAD, 2],
        [PAD],
        text="b",
        message_spans=[None, None, (3, 5)],
        multi_modal_data=sidecar((0, 3, 1)),
        mm_token_type_id_map=TYPES,
        routed_experts=routing(5),
    )
    for _ in range(2):
        with pytest.raises(RawMMError) as caught:
            turn.commit(bad)
        assert caught.value.code == "sampled_image_token"
        assert trace == before
        assert encode_msgpack(trace) == document
        assert not trace.mm_token_type_id_map
        assert trace.tools is None
