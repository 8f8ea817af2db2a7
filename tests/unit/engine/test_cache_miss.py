"""Errors that report a cache miss, and errors that only look like it.

tests/integrations/openai has the same cases with a real client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cases import each
from tests.unit.engine.engine import (
    ASSERTION,
    DONE,
    DRIFT,
    NO_DATA,
    POOLING,
    REQUESTS,
    TYPED,
    Engine,
    generate,
    is_retried,
)

BARE = REQUESTS["descriptor-only"]

NESTED = {"error_type": TYPED["type"], "message": "cache-only slot", "missing": []}
"""The JSON that prime-rl's server writes into the message of its error."""


class Response:
    """Like httpx: `json` parses the text."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class Unread(Response):
    """A response with bytes only."""

    @property
    def text(self) -> str:
        raise RuntimeError("unread")

    def json(self) -> Any:
        raise RuntimeError("unread")


class Body(Mapping[str, Any]):
    """A mapping that is not a dict."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]

    def __iter__(self) -> Any:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


def error(text: str = "Error code: 409", **attributes: Any) -> Exception:
    raised = RuntimeError(text)
    vars(raised).update(attributes)
    return raised


def caused(*chain: Exception) -> Exception:
    for one, cause in pairwise(chain):
        one.__cause__ = cause
    return chain[0]


def answered(document: Any) -> Exception:
    return error(response=Response(json.dumps(document).encode()))


class MultiModalCacheMissError(RuntimeError):
    """Like vLLM's. tests/integrations/vllm raises the real one."""

    def __init__(self, text: str = "", mm_hashes: Any = ("a07e",)) -> None:
        super().__init__(text)
        self.mm_hashes = mm_hashes


class RemoteMissError(MultiModalCacheMissError):
    """Like the classes in which ray wraps an error of another process."""


def vllm_error(message: str, *, kind: str = "InternalServerError", code: int = 500) -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def cyclic() -> Exception:
    first, last = error("a"), error(ASSERTION)
    return caused(first, error("b"), last, first)


STREAM = f"data: {json.dumps({'error': TYPED})}\n\ndata: [DONE]\n"
TWICE = json.dumps({"error": {"message": json.dumps({"error": {"message": json.dumps(NESTED)}})}})

HIDING_PLACES: dict[str, Any] = {
    "body.error.type": lambda: error(body={"error": TYPED}),
    "body.type": lambda: error(body=TYPED),
    "body.error_type": lambda: error(body=NESTED),
    "body.detail.type": lambda: error(body={"detail": TYPED}),
    "body, a mapping": lambda: error(body=Body({"error": Body(TYPED)})),
    "body, JSON": lambda: error(body=json.dumps({"error": TYPED})),
    "body, JSON in JSON": lambda: error(body=json.dumps(json.dumps({"error": TYPED}))),
    "body, bytes": lambda: error(body=json.dumps({"error": TYPED}).encode()),
    "body, a bytearray": lambda: error(body=bytearray(json.dumps(TYPED).encode())),
    "body, bad UTF-8 around": lambda: error(body=b"\xff " + json.dumps(TYPED).encode()),
    "body, a stream": lambda: error(body=STREAM),
    "response.json": lambda: answered({"error": TYPED}),
    "response.json, flat": lambda: answered({"object": "error", **TYPED}),
    "response.text": lambda: error(response=Response(b"upstream: " + json.dumps(TYPED).encode())),
    "response.text alone": lambda: error(response=SimpleNamespace(text=json.dumps(TYPED))),
    "response.content": lambda: error(response=Unread(json.dumps({"error": TYPED}).encode())),
    "error.message, JSON": lambda: error(
        body={"error": {"type": "conflict", "message": json.dumps(NESTED)}}
    ),
    "error.message, JSON with a type": lambda: error(
        body={"error": {"message": json.dumps(TYPED)}}
    ),
    "error.message, JSON in prose": lambda: error(
        body={"message": f"turn {{7}} of {{}}: {json.dumps(NESTED)} (409)"}
    ),
    "error.message, right after a brace": lambda: error(
        body={"message": f"{{turn}}{json.dumps(NESTED)}{{}}"}
    ),
    "error.message, an object": lambda: error(body={"error": {"message": NESTED}}),
    "error.message, twice": lambda: error(body=TWICE),
    "error.message, twice in a response": lambda: answered(json.loads(TWICE)),
    "error, a text": lambda: error(body={"error": f"AssertionError: {ASSERTION}"}),
    "message": lambda: error(message=f"failed: {json.dumps({'error': TYPED})}"),
    "str": lambda: error(f"failed: {json.dumps({'error': TYPED})}"),
    "str, JSON": lambda: error(json.dumps(TYPED)),
    "assertion in str": lambda: AssertionError(ASSERTION),
    "assertion before an object": lambda: AssertionError(ASSERTION + ' {"code": 500}'),
    "assertion between objects": lambda: AssertionError('{"a": 1} ' + ASSERTION + " {b}"),
    "assertion in braces": lambda: AssertionError(f"set() != {{{ASSERTION}}}"),
    "assertion in message": lambda: error(message=f"500: {ASSERTION}"),
    "assertion in body": lambda: error(body=f"Traceback\nAssertionError: {ASSERTION}\n"),
    "assertion in body.message": lambda: error(body={"message": ASSERTION, "type": "server"}),
    "assertion in body.error.message": lambda: answered({"error": {"message": ASSERTION}}),
    "assertion in body.detail": lambda: error(body={"detail": ASSERTION}),
    "assertion in response.text": lambda: error(response=Response(ASSERTION.encode())),
    "assertion in response.content": lambda: error(response=Unread(ASSERTION.encode())),
    "assertion after a long traceback": lambda: error("at line 1\n" * 10_000 + ASSERTION),
    "assertion beside a number too long to read": lambda: error(
        '{"code": ' + "9" * 10_000 + f', "message": "{ASSERTION}"}}'
    ),
    "assertion beside another body": lambda: error(ASSERTION, body={"type": "server_error"}),
    "vLLM's exception": MultiModalCacheMissError,
    "vLLM's exception, of a subclass": lambda: RemoteMissError(mm_hashes=["a07e"]),
    "vLLM's exception as cause": lambda: caused(error("x"), MultiModalCacheMissError()),
    "receiver cache in str": lambda: error(f"EngineCore: MultiModalCacheMissError: {DRIFT}"),
    "receiver cache in body": lambda: answered(vllm_error(DRIFT)),
    "receiver cache in a traceback": lambda: error(response=Response(f"at\n{DRIFT}".encode())),
    "pooling code as type": lambda: error(body={"error": {"type": "multimodal_cache_miss"}}),
    "pooling code as code": lambda: error(body={"error": {"code": "multimodal_cache_miss"}}),
    "pooling code of an error": lambda: error(code="multimodal_cache_miss"),
    "pooling message in str": lambda: error(POOLING),
    "pooling message in a 503": lambda: answered(
        vllm_error(POOLING, kind="ServiceUnavailableError", code=503)
    ),
    "no data in str": lambda: ValueError(NO_DATA),
    "no data in a 400": lambda: answered(vllm_error(NO_DATA, kind="BadRequestError", code=400)),
    "no data for another name": lambda: ValueError(NO_DATA.replace("image", "vision_chunk")),
    "cause": lambda: caused(error("provider"), error(body={"error": TYPED})),
    "cause of a cause": lambda: caused(error("a"), error("b"), AssertionError(ASSERTION)),
    "cause in a cycle": cyclic,
}


@each("request_", REQUESTS)
@each("place", HIDING_PLACES)
def test_miss_is_found_wherever_it_is_reported(place: str, request_: str) -> None:
    """It is retried for descriptor-only images only."""
    wanted = request_ == "descriptor-only"
    assert is_retried(HIDING_PLACES[place](), **REQUESTS[request_]) is wanted


PROMPT = f'say {{"type": "{TYPED["type"]}"}} or {{"error_type": "{TYPED["type"]}"}}, {ASSERTION}, {DRIFT} {POOLING} {NO_DATA}'
"""Prompts that quote these errors."""
INVALID = {"type": "missing", "loc": ["body", "model"], "msg": "required", "input": PROMPT}


def cycle_without() -> Exception:
    return caused(first := error("a"), error("b"), first)


def context_only() -> Exception:
    raised = error("handling")
    raised.__context__ = AssertionError(ASSERTION)
    return raised


ELSEWHERE: dict[str, Any] = {
    "no miss": lambda: error(body={"error": {"type": "server_error", "message": "no"}}),
    "another type": lambda: error(body={"error": {"type": "missing_mm_cache_items"}}),
    "the bare word": lambda: error("is it a missing_mm_cache_item?"),
    "the word as message": lambda: error(body={"error": {"message": "missing_mm_cache_item"}}),
    "a field without its object": lambda: error('"type": "missing_mm_cache_item"'),
    "JSON cut short": lambda: error('{"error": {"type": "missing_mm_cache_item"}, "code'),
    "JSON longer than is read": lambda: error(body=json.dumps(TYPED | {"x": "x" * 70_000})),
    "JSON in quotation marks": lambda: error(f"no template for '{json.dumps(TYPED)}'"),
    "JSON in JSON that is no message": lambda: error(json.dumps({"input": json.dumps(TYPED)})),
    "code": lambda: error(body={"error": {"code": "missing_mm_cache_item"}}, code=TYPED["type"]),
    "vLLM's class without its hashes": lambda: MultiModalCacheMissError(mm_hashes=None),
    "vLLM's class with text for hashes": lambda: MultiModalCacheMissError(mm_hashes="a07e"),
    "hashes of another class": lambda: error(mm_hashes=["a07e"]),
    "the name of vLLM's class": lambda: error("MultiModalCacheMissError"),
    "a code of another kind": lambda: error(code=["multimodal_cache_miss"]),
    "a similar code": lambda: error(body={"error": {"code": "multimodal_cache_misses"}}),
    "the bare 500": lambda: answered(vllm_error("Internal server error")),
    "paused": lambda: answered(
        vllm_error("The engine is paused.", kind="ServiceUnavailableError", code=503)
    ),
    "another cache": lambda: error("Cache miss for image at index one, retrying"),
    "prompt quoted by vLLM": lambda: answered(
        vllm_error(f"1 validation error:\n  { {'input': PROMPT} }", kind="Bad Request", code=400)
    ),
    "prompt quoted by vLLM, cut": lambda: error(
        f"Error code: 400 - 2 validation errors:\n  { {'input': PROMPT} }"[:-3]
    ),
    "prompt quoted by pydantic": lambda: error(
        f"1 validation error for GenerateRequest\ninput_value={PROMPT!r}"
    ),
    "a list of details": lambda: error(body={"detail": [INVALID | TYPED]}),
    "prompt in body": lambda: error(body={"error": {"type": "bad_request", "param": PROMPT}}),
    "prompt as an object": lambda: error(body={"error": {"input": TYPED, "prompt": NESTED}}),
    "prompt in a response": lambda: answered({"detail": [INVALID], "input": TYPED}),
    "prompt in a body of text": lambda: error(body=json.dumps({"input": PROMPT})),
    "prompt in prose": lambda: error("rejected: " + json.dumps({"prompt": TYPED, "p": PROMPT})),
    "prompt in a text that prints the body": lambda: error(
        f"Error code: 400 - { ({'error': INVALID}) }", body=INVALID
    ),
    "prompt in a text that prints the response": lambda: error(
        f"Error code: 400 - { ({'detail': [INVALID]}) }",
        response=Response(json.dumps({"detail": [INVALID]}).encode()),
    ),
    "prompt in the text of a wrapper": lambda: caused(
        error(f"provider: { ({'error': INVALID}) }"), error("Error code: 400", body=INVALID)
    ),
    "prompt in a long response": lambda: answered({"detail": [INVALID], "input": "x" * 100_000}),
    "no JSON after many braces": lambda: error("{} " * 100 + json.dumps(TYPED)),
    "deep JSON": lambda: error(body="[" * 60_000),
    "a type deep down": lambda: error(body=nested(20)),
    "a number too long to read": lambda: error(body='{"error": ' + "9" * 10_000 + "}"),
    "context": context_only,
    "cycle": cycle_without,
    "no text": lambda: error(""),
    "a body of another kind": lambda: error(body=object(), response=object(), message=7),
    "no body": lambda: error(body=None, response=None, message=None),
}


def nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = TYPED
    for _ in range(depth):
        document = {"error": document}
    return document


@each("place", ELSEWHERE)
def test_other_errors_are_not_a_miss(place: str) -> None:
    assert not is_retried(ELSEWHERE[place]())


class TestReadingMasksNothing:
    @pytest.mark.parametrize("name", ["response", "body", "message", "__str__"])
    @pytest.mark.parametrize("kind", [RuntimeError, AttributeError, RecursionError, MemoryError])
    def test_attribute_that_raises(self, name: str, kind: type[Exception]) -> None:
        def raises(self: Any) -> Any:
            raise kind

        member: Any = raises if name == "__str__" else property(raises)
        hostile = type("HostileError", (Exception,), {name: member})
        assert not is_retried(hostile())
        telling = hostile()
        vars(telling)["message" if name == "body" else "body"] = ASSERTION
        assert is_retried(telling)
        assert is_retried(caused(hostile(), error(ASSERTION)))

    def test_cause_that_raises(self) -> None:
        def raises(self: Any) -> Any:
            raise LookupError

        hostile = type("HostileError", (Exception,), {"__cause__": property(raises)})
        assert generate(Engine(hostile(ASSERTION), DONE), **BARE) is DONE
        with pytest.raises(hostile):
            generate(Engine(hostile()), **BARE)

    def test_mapping_that_raises(self) -> None:
        class Broken(Body):
            def __getitem__(self, key: str) -> Any:
                raise OSError

        assert not is_retried(error(body=Broken(TYPED)))
        assert is_retried(error(body=Broken(TYPED), message=ASSERTION))

    def test_forged_class_masks_nothing(self) -> None:
        def raises(self: Any) -> Any:
            raise OSError

        liar = type("Liar", (), {"__class__": property(raises)})()
        assert not is_retried(error(body=liar, message=liar, response=liar))

    def test_interrupt_while_reading_is_raised(self) -> None:
        class InterruptedReadError(Exception):
            @property
            def body(self) -> Any:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            is_retried(InterruptedReadError())


STEPS = ["error", "message", "detail", "input", "param", "errors"]
STRAIGHT = {"error", "message", "detail"}


@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.booleans()), max_size=4),
    st.sampled_from(["type", "error_type", "code", "param", "types"]),
    st.sampled_from(["missing_mm_cache_item", "missing_mm_cache_item ", "server_error"]),
    st.sampled_from(["body", "message", "response", "text"]),
)
@example([("error", True), ("message", True), ("error", True)], "type", TYPED["type"], "text")
@example([("error", True)] * 4, "type", TYPED["type"], "message")
def test_type_counts_only_in_error_keys(
    steps: list[tuple[str, bool]], key: str, value: str, place: str
) -> None:
    """Only in `error`, `message` and `detail`, each as an object or as JSON."""
    document: Any = {key: value}
    for step, encoded in steps:
        document = {step: json.dumps(document) if encoded else document, "status": 409}
    told = {
        "body": lambda: error(body=document),
        "message": lambda: error(message=f"failed with {json.dumps(document)}."),
        "response": lambda: answered(document),
        "text": lambda: error(json.dumps(document)),
    }
    wanted = (
        STRAIGHT.issuperset(step for step, _ in steps)
        and key in ("type", "error_type")
        and value == "missing_mm_cache_item"
    )
    assert is_retried(told[place]()) is wanted


@given(st.text() | st.text(alphabet="{}[]\":'\\ ,mt0", max_size=40))
def test_any_text_is_searched(text: str) -> None:
    assert not is_retried(error(text, body=text, message=text.encode(errors="replace")))
    assert is_retried(error(text, message=f"{text} {ASSERTION}"))
