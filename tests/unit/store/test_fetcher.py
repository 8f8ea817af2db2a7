"""Images on the web: what is fetched from a real server with TLS, and what is never asked for."""

from __future__ import annotations

import asyncio
import copy
import json
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from rawmm import HttpsFetcher
from rawmm.errors import ContractError, OffloadError
from rawmm.images import Limits
from rawmm.offload import offload_images_async, offload_images_inplace, offload_request
from rawmm.store import ImageStore, ObjectImageStore
from tests.unit.images.pictures import assert_silent
from tests.unit.store.web import RAW, Web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "X-Amz-Signature=4f5e9c1d2b"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def web(authority: trustme.CA) -> Iterator[Web]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    server = Web(context)
    yield server
    server.stop()


@pytest.fixture
def plain_web() -> Iterator[Web]:
    server = Web(None)
    yield server
    server.stop()


@pytest.fixture
def fetcher(web: Web, trusted: ssl.SSLContext) -> Callable[..., HttpsFetcher]:
    """Makes a fetcher that may ask the server."""
    return partial(
        HttpsFetcher,
        [f"localhost:{web.port}"],
        allow_loopback=True,
        ssl_context=trusted,
    )


def url(web: Web, path: str = "image") -> str:
    return f"https://localhost:{web.port}/{path}"


def body(*urls: str) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": one}} for one in urls]
    return {"messages": [{"role": "user", "content": content}]}


def in_place(value: Any, store: ImageStore) -> Any:
    offload_images_inplace(value, store=store)
    return value


def in_a_thread(value: Any, store: ImageStore) -> Any:
    asyncio.run(offload_images_async(value, store=store))
    return value


def in_bytes(value: Any, store: ImageStore) -> Any:
    return json.loads(offload_request(json.dumps(value).encode(), store=store).body)


ENTRY_POINTS = {"value": in_place, "async": in_a_thread, "bytes": in_bytes}


def refusal(make: HttpsFetcher, address: str) -> OffloadError:
    with pytest.raises(OffloadError) as caught:
        make.fetch(address)
    assert_silent(caught.value, SECRET, "data:image/png;base64,AAAA")
    return caught.value


class TestOffload:
    @pytest.mark.parametrize("entry_point", ENTRY_POINTS)
    def test_image_is_stored_and_named_by_its_file(
        self, web: Web, fetcher: Callable[..., HttpsFetcher], tmp_path: Path, entry_point: str
    ) -> None:
        store = ImageStore(tmp_path, fetcher=fetcher())
        stored = ImageStore(tmp_path).prepare(RAW).raw_image_id
        value = body(url(web), url(web, f"image/2?{SECRET}"), url(web))
        done = ENTRY_POINTS[entry_point](value, store)
        assert done == body(*[(tmp_path / stored).as_uri()] * 3)
        assert store.read(stored) == RAW
        assert sorted(web.asked) == ["/image", f"/image/2?{SECRET}"]
        assert ENTRY_POINTS[entry_point](copy.deepcopy(done), store) == done
        assert len(web.asked) == 2

    def test_statistics_count_the_image_once_it_is_written(
        self, web: Web, fetcher: Callable[..., HttpsFetcher], tmp_path: Path
    ) -> None:
        store = ImageStore(tmp_path, fetcher=fetcher())
        stats = offload_images_inplace(body(url(web), url(web, "image/2")), store=store)
        assert (stats.images_seen, stats.images_rewritten, stats.images_deduplicated) == (2, 2, 1)
        assert (stats.bytes_in, stats.bytes_written) == (2 * len(RAW), len(RAW))

    def test_store_in_a_bucket_fetches_too(
        self, web: Web, fetcher: Callable[..., HttpsFetcher]
    ) -> None:
        store = ObjectImageStore("memory://fetched/images", fetcher=fetcher())
        value = body(url(web))
        offload_images_inplace(value, store=store)
        part = value["messages"][0]["content"][0]
        assert store.read(part["image_url"]["url"]) == RAW

    @pytest.mark.parametrize("entry_point", ENTRY_POINTS)
    @pytest.mark.parametrize("path", ["status/404", "html", "redirect/https://example.org/x"])
    def test_image_that_is_not_fetched_changes_nothing(
        self,
        web: Web,
        fetcher: Callable[..., HttpsFetcher],
        tmp_path: Path,
        entry_point: str,
        path: str,
    ) -> None:
        value = body(url(web), url(web, path), url(web, "status/500"))
        before = copy.deepcopy(value)
        with pytest.raises(OffloadError) as caught:
            ENTRY_POINTS[entry_point](value, ImageStore(tmp_path / "images", fetcher=fetcher()))
        codes = {"status/404": "fetch_failed", "html": "not_an_image"}
        assert caught.value.code == codes.get(path, "fetch_refused")
        assert caught.value.path == "$.messages[0].content[1].image_url.url"
        assert value == before
        assert not (tmp_path / "images").exists()

    @pytest.mark.parametrize("entry_point", ENTRY_POINTS)
    def test_store_without_a_fetcher_asks_nobody(
        self, web: Web, tmp_path: Path, entry_point: str
    ) -> None:
        with pytest.raises(OffloadError) as caught:
            ENTRY_POINTS[entry_point](body(url(web)), ImageStore(tmp_path))
        assert caught.value.code == "bad_locator"
        assert "fetcher=HttpsFetcher" in str(caught.value)
        assert web.asked == []

    def test_inline_mode_checks_the_image_and_leaves_it(
        self, web: Web, fetcher: Callable[..., HttpsFetcher], tmp_path: Path
    ) -> None:
        store = ImageStore(tmp_path, fetcher=fetcher())
        value = body(url(web))
        assert offload_images_inplace(value, store=store, mode="inline").bytes_in == len(RAW)
        assert value == body(url(web))
        with pytest.raises(OffloadError, match="not_an_image"):
            offload_images_inplace(body(url(web, "html")), store=store, mode="inline")

    def test_limits_of_the_call_hold_for_fetched_images(
        self, web: Web, fetcher: Callable[..., HttpsFetcher], tmp_path: Path
    ) -> None:
        store = ImageStore(tmp_path, fetcher=fetcher())
        with pytest.raises(OffloadError, match="image_limit"):
            offload_images_inplace(body(url(web)), store=store, limits=Limits(max_edge=4))

    @pytest.mark.parametrize("answer", ["text", None, ValueError("iVBORw0KGgoAAAANSUhEUg")])
    def test_fetcher_of_the_user_that_fails_is_named(self, tmp_path: Path, answer: Any) -> None:
        class Own:
            def fetch(self, url: str) -> Any:  # noqa: ARG002
                if isinstance(answer, Exception):
                    raise answer
                return answer

        with pytest.raises(OffloadError) as caught:
            offload_images_inplace(
                body("https://example.org/a.png"), store=ImageStore(tmp_path, fetcher=Own())
            )
        assert caught.value.code == (
            "store_failed" if answer.__class__ is ValueError else "wrong_type"
        )
        assert_silent(caught.value, "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg")

    @pytest.mark.parametrize("given", [1, "https://example.org", object()])
    def test_store_refuses_what_cannot_fetch(self, tmp_path: Path, given: Any) -> None:
        for open_ in (lambda: ImageStore(tmp_path, fetcher=given),):
            with pytest.raises(ContractError) as caught:
                open_()
            assert (caught.value.code, caught.value.path) == ("wrong_type", "$.fetcher")


class TestHosts:
    @pytest.mark.parametrize(
        ("listed", "address", "allowed"),
        [
            ("example.org", "https://example.org/a", True),
            ("example.org", "https://EXAMPLE.org./a", True),
            ("example.org", "https://www.example.org/a", False),
            ("example.org", "https://example.org:8443/a", False),
            ("example.org:8443", "https://example.org:8443/a", True),
            ("example.org:8443", "https://example.org/a", False),
            ("*.example.org", "https://a.b.example.org/a", True),
            ("*.example.org", "https://example.org/a", False),
            ("*.example.org", "https://badexample.org/a", False),
            ("example.org", "https://example.org.evil.net/a", False),
            ("example.org", "https://evil.net/example.org", False),
            ("example.org", "https://example.org@evil.net/a", False),
            ("example.org", "https://evil.net#example.org", False),
            ("example.org", "https://evil.net?@example.org/", False),
            ("example.org", "https://user:secret@example.org/a", False),
            ("example.org", "https://evil.net\\@example.org/a", False),
            ("example.org", "https://exa\nmple.org/a", False),
            ("example.org", "https:example.org/a", False),
            ("example.org", "http://example.org/a", False),
            ("example.org", "ftp://example.org/a", False),
            ("example.org", "https://example.org:99999/a", False),
            ("example.org", "https://[::1/a", False),
            ("example.org", "https:///a", False),
            ("example.org", "", False),
            ("xn--bcher-kva.example", "https://b\u00fccher.example/a", True),
            ("example.org", "https://example.org/" + "a" * 9000, False),
        ],
    )
    def test_only_listed_hosts_are_asked(
        self, monkeypatch: pytest.MonkeyPatch, listed: str, address: str, *, allowed: bool
    ) -> None:
        names = []

        def resolve(name: str, *args: Any, **options: Any) -> Any:
            names.append(name)
            raise socket.gaierror

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        error = refusal(HttpsFetcher([listed]), address)
        assert error.code == ("fetch_failed" if allowed else "fetch_refused")
        assert len(names) == allowed

    @pytest.mark.parametrize(
        "address",
        [
            *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0", "10.0.0.1", "172.16.0.1"),
            *("192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255"),
            "192.0.0.8",
        ],
    )
    def test_private_address_is_refused_in_every_spelling(self, address: str) -> None:
        error = refusal(HttpsFetcher([address]), f"https://{address}/latest/meta-data")
        assert (error.code, "public address" in str(error)) == ("fetch_refused", True)

    @pytest.mark.parametrize(
        "address",
        [
            *("::1", "::", "fe80::1%lo", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::7f00:1"),
            *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::"),
            *("169.254.169.254", "10.1.2.3"),
        ],
    )
    def test_name_that_leads_into_a_network_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        """One private address is enough, whichever the connection would use."""
        found = [(0, 0, 0, "", (one, 443)) for one in ("93.184.216.34", address)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(socket, "create_connection", None)
        assert (
            refusal(HttpsFetcher(["example.org"]), "https://example.org/a").code == "fetch_refused"
        )

    def test_connection_goes_to_the_address_that_was_checked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name server that answers differently the second time is not asked a second time."""
        answers = iter(["93.184.216.34", "127.0.0.1"])
        connected = []

        def connect(address: tuple[str, int], **options: Any) -> Any:
            connected.append(address)
            raise OSError

        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (next(answers), 443))]
        )
        monkeypatch.setattr(socket, "create_connection", connect)
        assert (
            refusal(HttpsFetcher(["example.org"]), "https://example.org/a").code == "fetch_failed"
        )
        assert connected == [("93.184.216.34", 443)]

    def test_this_machine_is_asked_on_demand_only(
        self, web: Web, plain_web: Web, trusted: ssl.SSLContext
    ) -> None:
        hosts = [f"localhost:{web.port}", f"localhost:{plain_web.port}"]
        for address in (url(web), f"http://localhost:{plain_web.port}/image"):
            error = refusal(HttpsFetcher(hosts, ssl_context=trusted), address)
            assert error.code == "fetch_refused"
            allowed = HttpsFetcher(hosts, ssl_context=trusted, allow_loopback=True)
            assert allowed.fetch(address) == RAW
        assert (len(web.asked), len(plain_web.asked)) == (1, 1)

    @pytest.mark.parametrize("hosts", ["example.org", None, [1], [""], ["*"], ["https://e.org"]])
    def test_list_of_hosts_is_checked(self, hosts: Any) -> None:
        with pytest.raises(ContractError) as caught:
            HttpsFetcher(hosts)
        assert caught.value.path.startswith("$.hosts")

    @pytest.mark.parametrize("option", ["max_bytes", "timeout", "max_redirects"])
    @pytest.mark.parametrize("value", [-1, "1", None, True, float("nan"), float("inf")])
    def test_limits_are_checked(self, option: str, value: Any) -> None:
        with pytest.raises(ContractError) as caught:
            HttpsFetcher(["example.org"], **{option: value})
        assert caught.value.path == f"$.{option}"


class TestAnswers:
    def test_redirects_are_followed_and_counted(
        self, web: Web, fetcher: Callable[..., HttpsFetcher]
    ) -> None:
        path = "redirect//redirect//redirect//image"
        assert fetcher().fetch(url(web, path)) == RAW
        error = refusal(fetcher(max_redirects=2), url(web, path))
        assert (error.code, "redirects" in str(error)) == ("fetch_refused", True)

    @pytest.mark.parametrize(
        "to",
        [
            *("https://example.org/a", "http://localhost/a", "file:///etc/passwd"),
            *(
                "https://169.254.169.254/",
                "//evil.net/a",
                "data:image/png;base64,AAAA",
                "https://[",
            ),
        ],
    )
    def test_redirect_is_checked_like_a_first_url(
        self, web: Web, fetcher: Callable[..., HttpsFetcher], to: str
    ) -> None:
        assert refusal(fetcher(), url(web, f"redirect/{to}")).code == "fetch_refused"

    @pytest.mark.parametrize("path", ["large", "endless"])
    def test_answer_that_is_too_large_is_not_read(
        self, web: Web, fetcher: Callable[..., HttpsFetcher], path: str
    ) -> None:
        assert refusal(fetcher(max_bytes=100_000), url(web, path)).code == "image_limit"

    @pytest.mark.parametrize("path", ["silent", "drop", "endless"])
    def test_answer_that_never_ends_is_given_up(
        self, web: Web, fetcher: Callable[..., HttpsFetcher], path: str
    ) -> None:
        error = refusal(fetcher(timeout=0.5, max_bytes=1 << 50), url(web, path))
        assert (error.code, "within 0.5 s" in str(error)) == ("fetch_failed", True)

    @pytest.mark.parametrize(
        "path", ["status/403", "status/204", "status/304", "cut", "packed", "empty", "no-http"]
    )
    def test_answer_without_a_whole_image_is_refused(
        self, web: Web, fetcher: Callable[..., HttpsFetcher], path: str
    ) -> None:
        error = refusal(fetcher(), url(web, f"{path}?{SECRET}" if "status" in path else path))
        assert error.code == "fetch_failed"
        assert "localhost" in str(error)

    def test_server_that_is_down_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        error = refusal(
            HttpsFetcher([f"localhost:{port}"], allow_loopback=True), f"https://localhost:{port}/"
        )
        assert (error.code, error.got) == ("fetch_failed", "no connection")

    def test_certificate_of_another_is_refused(self, web: Web, trusted: ssl.SSLContext) -> None:
        own = HttpsFetcher([f"localhost:{web.port}"], allow_loopback=True)
        assert "certificate" in str(refusal(own, url(web)))
        other = trustme.CA().issue_cert("example.org")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        other.configure_cert(context)
        server = Web(context)
        try:
            strange = HttpsFetcher(
                [f"localhost:{server.port}"], allow_loopback=True, ssl_context=trusted
            )
            assert "certificate" in str(refusal(strange, url(server)))
            assert server.asked == []
        finally:
            server.stop()
        assert web.asked == []
