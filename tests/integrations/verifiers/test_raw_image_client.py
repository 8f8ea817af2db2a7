"""The mixin in verifiers clients: which images move, and that branches stay whole."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from renderers.qwen3_vl import _load_pil_image
from verifiers.v1 import graph
from verifiers.v1.clients import (
    Client,
    EvalClient,
    EvalClientConfig,
    ModelContext,
    TrainClient,
    TrainClientConfig,
)
from verifiers.v1.clients.train import serialize_completion
from verifiers.v1.configs.runtime import NetworkPolicyConfig
from verifiers.v1.dialects import AnthropicDialect, ChatDialect, ResponsesDialect
from verifiers.v1.dialects.chat import message_to_wire
from verifiers.v1.interception import InterceptionServer
from verifiers.v1.session import RolloutSession

import rawmm
from rawmm.errors import OffloadError
from rawmm.integrations.verifiers import RawImageClientMixin
from tests.integrations.verifiers.objects import same
from tests.integrations.verifiers.rollout import (
    ask,
    finished_trace,
    reply,
    respond,
    take_turn,
    tool_result,
    wire_trace,
)
from tests.unit.images.pictures import assert_silent, data_url, picture, url_of
from tests.unit.offload.form_bodies import NOT_PARTS, PARTS, filled, places
from tests.unit.offload.gated_store import GatedStore
from tests.unit.store.web import RAW, Web

if TYPE_CHECKING:
    from pathlib import Path

CHAT = ChatDialect()
OTHERS = (ResponsesDialect(), AnthropicDialect())


class Renderer(RawImageClientMixin, TrainClient):
    pass


class Relay(RawImageClientMixin, EvalClient):
    pass


class OwnRelay(RawImageClientMixin, TrainClient):
    """Renders, and relays streams. Its methods count, not its base class."""

    async def relay(self, *_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError


class Forwarder(RawImageClientMixin, TrainClient):
    """Forwards requests in get_response, and declares it."""

    keeps_inline_images = True


@pytest.fixture
def store(tmp_path: Path) -> rawmm.ImageStore:
    return rawmm.ImageStore(tmp_path / "images")


@pytest.fixture
def client(store: rawmm.ImageStore) -> Any:
    client = Renderer(TrainClientConfig(base_url="http://127.0.0.1:9/v1"))
    client.image_store = store
    return client


def body(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), "temperature": 0.5}


def urls_of(messages: Any) -> list[str]:
    """URLs of the image parts of dicts or of typed messages, in order."""
    plain = rawmm.convert(list(messages), list[rawmm.Message])
    return [
        part.image_url.url
        for message in plain
        if isinstance(message.content, list)
        for part in message.content
        if isinstance(part, rawmm.ImageUrlContentPart)
    ]


def uris(store: rawmm.ImageStore, *seeds: int) -> list[str]:
    return [store.put(picture(seed=seed)).uri for seed in seeds]


# --- which images move


def test_request_body_has_references_afterwards(client: Any, store: rawmm.ImageStore) -> None:
    request = body(ask("a", 0), reply("b", "c1"), tool_result("c1", "d", 1), ask("again", 0))
    messages = request["messages"]
    returned = asyncio.run(client.prepare_request_body(CHAT, request))
    assert returned is request
    assert request["messages"] is messages
    assert urls_of(CHAT.parse_request(request).messages) == uris(store, 0, 1, 0)
    assert (request["model"], request["temperature"]) == ("m", 0.5)
    stats = client.image_offload_stats
    assert (stats.images_seen, stats.images_rewritten, stats.images_deduplicated) == (3, 3, 1)
    # Re-sent, as a harness does; the numbers add up.
    asyncio.run(client.prepare_request_body(CHAT, body(ask("a", 0))))
    assert client.image_offload_stats is stats
    assert (stats.images_seen, stats.images_rewritten, stats.images_deduplicated) == (4, 4, 2)
    assert stats.bytes_written == sum(path.stat().st_size for path in store.root.iterdir())


def test_message_shapes_unknown_to_verifiers_are_converted(
    client: Any, store: rawmm.ImageStore
) -> None:
    parts = [{"type": "image", "image": url_of()}, {"type": "image_url", "image_url": url_of()}]
    request = body({"role": "user", "content": parts})
    asyncio.run(client.prepare_request_body(CHAT, request))
    assert urls_of(CHAT.parse_request(request).messages) == uris(store, 0, 0)


def test_other_fields_of_a_request_are_unchanged(client: Any) -> None:
    example = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"examples": [example]}}}]
    request = {**body(ask("a", 0)), "tools": tools}
    before = copy.deepcopy(tools)
    asyncio.run(client.prepare_request_body(CHAT, request))
    assert request["tools"] == before
    odd_ones: list[dict[str, Any]] = [{}, {"messages": None}, {"messages": []}]
    for odd in odd_ones:
        assert asyncio.run(client.prepare_request_body(CHAT, odd)) is odd


def test_typed_messages_and_dicts_and_structs_are_taken(
    client: Any, store: rawmm.ImageStore
) -> None:
    raw = body(ask("a", 0), tool_result("c", "b", 1))["messages"]
    typed = CHAT.parse_request(body(*raw)).messages
    structs = rawmm.convert(raw, list[rawmm.Message])
    for messages in (raw, typed, structs):
        kinds = [type(message) for message in messages]
        assert asyncio.run(client.prepare_messages(CHAT, messages)) is messages
        assert [type(message) for message in messages] == kinds
        assert urls_of(messages) == uris(store, 0, 1)


@pytest.mark.parametrize("dialect", OTHERS, ids=lambda dialect: type(dialect).__name__)
def test_other_dialects_are_left_alone(dialect: Any, client: Any, store: rawmm.ImageStore) -> None:
    request = body(ask("a", 0))
    before = copy.deepcopy(request)
    assert asyncio.run(client.prepare_request_body(dialect, request)) is request
    assert asyncio.run(client.prepare_messages(dialect, request["messages"])) is request["messages"]
    assert request == before
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (Relay, EvalClientConfig(base_url="http://127.0.0.1:9/v1")),
        (OwnRelay, TrainClientConfig(base_url="http://127.0.0.1:9/v1")),
        (Forwarder, TrainClientConfig(base_url="http://127.0.0.1:9/v1")),
    ],
)
def test_client_that_relays_keeps_its_images_inline(
    kind: Any, config: Any, store: rawmm.ImageStore
) -> None:
    client = kind(config)
    client.image_store = store
    assert client.keeps_inline_images
    request = body(ask("a", 0), {"role": "user", "content": [{"type": "image_url"}]})
    before = copy.deepcopy(request)
    asyncio.run(client.prepare_request_body(CHAT, request))
    assert request == before
    assert not store.root.exists()
    assert client.image_offload_stats == rawmm.ImageOffloadStats()


def test_directory_comes_from_the_environment_unless_a_store_is_set(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VF_RENDERER_IMAGE_OFFLOAD_DIR", str(tmp_path / "run"))
    client.image_store = None
    request = asyncio.run(client.prepare_request_body(CHAT, body(ask("a", 0))))
    assert urls_of(request["messages"]) == uris(rawmm.ImageStore(tmp_path / "run"), 0)

    class PerRun(Renderer):
        @property
        def image_store(self) -> Any:  # type: ignore[override]
            return rawmm.ImageStore(tmp_path / "hook")

    other = PerRun(TrainClientConfig(base_url="http://127.0.0.1:9/v1"))
    request = asyncio.run(other.prepare_request_body(CHAT, body(ask("a", 0))))
    assert urls_of(request["messages"]) == uris(rawmm.ImageStore(tmp_path / "hook"), 0)
    assert other.image_offload_stats.images_rewritten == 1
    assert client.image_offload_stats.images_rewritten == 1


def test_image_on_the_web_is_fetched_by_a_store_that_may(client: Any, tmp_path: Path) -> None:
    server = Web(None)
    address = f"http://localhost:{server.port}/image"
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}
    try:
        with pytest.raises(OffloadError, match="fetcher=HttpsFetcher"):
            asyncio.run(client.prepare_request_body(CHAT, body(copy.deepcopy(message))))
        assert server.asked == []
        fetcher = rawmm.HttpsFetcher([f"localhost:{server.port}"], allow_loopback=True)
        client.image_store = rawmm.ImageStore(tmp_path / "fetched", fetcher=fetcher)
        request = asyncio.run(client.prepare_request_body(CHAT, body(message)))
    finally:
        server.stop()
    stored = client.image_store.prepare(RAW).raw_image_id
    assert urls_of(request["messages"]) == [(tmp_path / "fetched" / stored).as_uri()]
    assert client.image_store.read(stored) == RAW


# --- failures, cancellation, calls at once


@pytest.mark.parametrize("typed", [False, True])
def test_failure_names_the_part_and_leaves_the_rest(
    typed: bool,  # noqa: FBT001
    client: Any,
    store: rawmm.ImageStore,
) -> None:
    bad = data_url(picture()[:-20])
    last = ask("x", 0)
    last["content"][1]["image_url"]["url"] = bad
    request = body(ask("a", 0), reply("b"), last)
    messages = CHAT.parse_request(request).messages if typed else request["messages"]
    before = copy.deepcopy(messages)
    with pytest.raises(OffloadError) as caught:
        asyncio.run(client.prepare_messages(CHAT, messages))
    assert caught.value.path == "$[2].content[1].image_url.url"
    assert messages == before
    if not typed:
        with pytest.raises(OffloadError) as caught:
            asyncio.run(client.prepare_request_body(CHAT, request))
        assert caught.value.path == "$.messages[2].content[1].image_url.url"
        assert caught.value.code == "not_an_image"
        assert request["messages"] == before
    assert_silent(caught.value, bad, url_of())
    assert not store.root.exists()
    assert client.image_offload_stats == rawmm.ImageOffloadStats()


@pytest.mark.parametrize("cancelled", [False, True])
def test_loop_goes_on_and_a_cancelled_call_changes_nothing_later(
    cancelled: bool,  # noqa: FBT001
    client: Any,
    tmp_path: Path,
) -> None:
    client.image_store = store = GatedStore(tmp_path / "images")
    request = body(ask("a", 0))
    before = copy.deepcopy(request)

    async def story() -> None:
        task = asyncio.create_task(client.prepare_request_body(CHAT, request))
        assert await asyncio.to_thread(store.reached.wait, 30)
        assert request == before
        if cancelled:
            task.cancel()
        else:
            asyncio.get_running_loop().call_soon(store.gate.set)
        await asyncio.gather(task, return_exceptions=True)
        store.gate.set()
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(story())
    assert (request == before) is cancelled
    assert client.image_offload_stats.images_rewritten == int(not cancelled)
    assert len(list(store.root.iterdir())) == 1


def test_calls_at_once_with_the_same_images_rewrite_each_part_once(
    client: Any, store: rawmm.ImageStore
) -> None:
    requests = [body(ask("a", 0), ask("b", 1), ask("c", index)) for index in range(4)]
    shared = CHAT.parse_request(requests[0]).messages

    async def story() -> None:
        await asyncio.gather(
            *(client.prepare_request_body(CHAT, request) for request in requests),
            *(client.prepare_messages(CHAT, shared) for _ in range(3)),
            client.prepare_messages(CHAT, [*shared, *shared]),
        )

    asyncio.run(story())
    for index, request in enumerate(requests):
        assert urls_of(request["messages"]) == uris(store, 0, 1, index)
    assert urls_of(shared) == uris(store, 0, 1, 0)
    assert client.image_offload_stats.images_rewritten == 4 * 3 + 3


# --- the graph


def conversation(turns: int) -> list[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """The requests of a harness that re-sends every image inline, with their answers."""
    history = [{"role": "system", "content": "see"}, ask("first", 0)]
    out = []
    for index in range(turns):
        answer = reply(f"answer {index}", f"call{index}")
        out.append((copy.deepcopy(history), answer))
        history += [answer, tool_result(f"call{index}", f"view {index}", index + 1)]
    return out


def test_each_turn_reuses_the_whole_prefix(client: Any, store: rawmm.ImageStore) -> None:
    trace = wire_trace()
    for index, (messages, answer) in enumerate(conversation(5)):
        request = asyncio.run(client.prepare_request_body(CHAT, body(*messages)))
        turn = take_turn(trace, request, answer)
        assert len(turn.prefix_node_ids) == (2 * index + 1 if index else 0)
    assert trace.num_branches == 1
    assert len(trace.nodes) == 2 + 5 + 4
    assert urls_of(node.message for node in trace.nodes) == uris(store, 0, 1, 2, 3, 4)
    assert client.image_offload_stats.images_seen == 15
    assert client.image_offload_stats.images_deduplicated == 10


def test_offload_after_parse_request_forks_the_next_turn(client: Any) -> None:
    """Shows why the call comes first: a stored reference does not match inline images."""
    trace = wire_trace()
    (first, answer), (second, _) = conversation(2)
    prompt = CHAT.parse_request(body(*first)).messages
    turn = graph.prepare_turn(trace, prompt)
    asyncio.run(client.prepare_messages(CHAT, prompt))
    turn.commit(respond(prompt, answer))
    late = graph.prepare_turn(trace, CHAT.parse_request(body(*second)).messages)
    assert len(late.prefix_node_ids) == 1


def test_messages_with_references_are_unchanged(client: Any, store: rawmm.ImageStore) -> None:
    trace = wire_trace()
    for messages, answer in conversation(3):
        request = asyncio.run(client.prepare_request_body(CHAT, body(*messages)))
        take_turn(trace, request, answer)
    before = trace.model_copy(deep=True)
    messages = trace.messages
    kept = list(messages)
    seen = client.image_offload_stats.images_rewritten
    asyncio.run(client.prepare_messages(CHAT, messages))
    assert all(one is other for one, other in zip(messages, kept, strict=True))
    assert same(trace, before)
    assert client.image_offload_stats.images_rewritten == seen
    assert len(graph.prepare_turn(trace, messages).prefix_node_ids) == len(messages)


def test_messages_of_an_inline_trace_change_in_it_once(
    client: Any, store: rawmm.ImageStore
) -> None:
    trace = finished_trace()
    branches = [branch.messages for branch in trace.branches]
    asyncio.run(client.prepare_messages(CHAT, [*branches[0], *branches[1]]))
    assert urls_of(node.message for node in trace.nodes) == uris(store, 0, 1, 2, 4)
    assert client.image_offload_stats.images_rewritten == 4
    # verifiers indexes nodes by hash when they are committed; a loaded trace, anew.
    loaded = type(trace).model_validate(trace.model_dump(mode="python"))
    for messages in branches:
        turn = graph.prepare_turn(loaded, messages, loaded.nodes[0].tools)
        assert len(turn.prefix_node_ids) == len(messages)


# --- the real server, and who reads the references


class OffloadingClient(RawImageClientMixin, Client):
    """A train client whose engine is a function; what it saw is kept."""

    def __init__(self, store: rawmm.ImageStore) -> None:
        self.image_store = store
        self.prompts: list[Any] = []

    async def get_response(self, _: Any, body: Any, *_args: Any, turn: Any, **_more: Any) -> Any:
        self.prompts.append(turn.prompt)
        response = respond(turn.prompt, reply(f"answer {len(self.prompts)}"))
        response.raw = serialize_completion(response, body["model"])
        return response


class Server(InterceptionServer):
    """verifiers' own server with one call put before its own: the adoption."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client = client

    def _client(self, _config: Any) -> Any:
        return self.client

    async def handle_request(self, request: Any, dialect: Any) -> Any:
        body = json.loads(await request.read())
        try:
            await self.client.prepare_request_body(dialect, body)
        except OffloadError as error:
            return web.json_response(dialect.error_body(str(error)), status=400)
        request._read_bytes = json.dumps(body).encode()
        return await super().handle_request(request, dialect)


def test_real_server_keeps_one_branch(store: rawmm.ImageStore) -> None:
    trace = wire_trace()
    client = OffloadingClient(store)
    config = TrainClientConfig(base_url="http://127.0.0.1:9/v1")
    session = RolloutSession(ctx=ModelContext(model="m", client=config), trace=trace)

    async def story() -> tuple[int, str]:
        server = Server(client)
        async with (
            server,
            server.acquire(session) as (url, secret, _),
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as harness,
        ):

            async def post(*messages: Any) -> tuple[int, str]:
                to = f"{url}/v1/chat/completions"
                async with harness.post(to, json=body(*messages)) as answer:
                    return answer.status, await answer.text()

            history = [ask("first", 0)]
            for index in range(4):
                status, text = await post(*history)
                assert status == 200, text
                answer = json.loads(text)["choices"][0]["message"]
                history += [answer, ask(f"more {index}", index + 1)]
            bad = ask("bad", 0)
            bad["content"][1]["image_url"]["url"] = "https://example.com/a.png"
            return await post(*history, bad)

    status, text = asyncio.run(story())
    assert status == 400
    assert "$.messages[9].content[1].image_url.url" in text
    assert trace.num_branches == 1
    assert [node.sampled for node in trace.nodes] == [False, True] * 4
    assert urls_of(node.message for node in trace.nodes) == uris(store, 0, 1, 2, 3)
    assert all(url.startswith("file:///") for prompt in client.prompts for url in urls_of(prompt))


def test_renderer_reads_the_same_pixels_from_the_reference(
    client: Any, store: rawmm.ImageStore
) -> None:
    request = body(ask("a", 3))
    inline: Any = copy.deepcopy(request["messages"][0]["content"][1])
    asyncio.run(client.prepare_request_body(CHAT, request))
    (message,) = CHAT.parse_request(request).messages
    wire = message_to_wire(message)
    assert wire == request["messages"][0]
    (reference,) = [part for part in wire["content"] if part["type"] == "image_url"]
    stored, sent = (np.asarray(_load_pil_image(part)) for part in (reference, inline))
    np.testing.assert_array_equal(stored, sent)
    assert reference["image_url"]["url"] == uris(store, 3)[0]


def test_restricted_network_drops_references(client: Any) -> None:
    """verifiers' own filter knows data URLs only. Whoever restricts the network must let
    ``file:`` pass there, once the offload has checked it."""
    request = body(ask("a", 0))
    asyncio.run(client.prepare_request_body(CHAT, request))
    policy = NetworkPolicyConfig(allow=["example.com"])
    assert policy.network_restricted
    mediated, paths = CHAT.mediate_external_capabilities(copy.deepcopy(request), policy)
    assert paths == ["messages[0].content[1].image_url.url"]
    assert urls_of(CHAT.parse_request(mediated).messages) == []


# --- forms that verifiers does not read


@pytest.mark.parametrize("role", ["system", "user", "tool"])
@pytest.mark.parametrize("name", PARTS)
def test_no_form_of_an_image_is_dropped(
    name: str, role: str, client: Any, store: rawmm.ImageStore
) -> None:
    where = places(store)
    message = {"role": role, "content": [filled(PARTS[name][0], **where)], "tool_call_id": "c"}
    request = body(message)
    before = copy.deepcopy(request)
    if name in NOT_PARTS:
        with pytest.raises(OffloadError):
            asyncio.run(client.prepare_request_body(CHAT, request))
        assert request == before
    else:
        asyncio.run(client.prepare_request_body(CHAT, request))
        assert urls_of(CHAT.parse_request(request).messages) == [where["REF"]]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "URL"}}]},
        {"role": "user", "content": "x", "images": ["B64"]},
        {"role": "user", "content": [{"type": "text", "text": "x", "shot": "URL"}]},
    ],
)
def test_image_that_verifiers_drops_is_refused(
    message: Any, client: Any, store: rawmm.ImageStore
) -> None:
    request = body(filled(message))
    before = copy.deepcopy(request)
    assert urls_of(CHAT.parse_request(request).messages) == []
    with pytest.raises(OffloadError) as caught:
        asyncio.run(client.prepare_request_body(CHAT, request))
    assert caught.value.code == "unknown_image_form"
    assert caught.value.path.startswith("$.messages[0].")
    assert request == before
    assert not store.root.exists()
