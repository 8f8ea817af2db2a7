"""Images on the web: `HttpsFetcher` reads them from allowed hosts, for offload into a store.

A request that names a URL makes this machine ask for it, so the URL is treated as hostile: only
``https``, only hosts on a list, only public addresses. The name is resolved once, and the
connection goes to the address that was checked, so a name server that changes its answer meanwhile
leads nowhere else (DNS rebinding). Each redirect is checked like a first URL.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from rawmm.errors import OffloadError, contract_error, raise_alone, shown, shown_text
from rawmm.real_class import is_a
from rawmm.store.errors import calling

if TYPE_CHECKING:
    import http.client
    import socket
    import ssl
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

WEB_SCHEMES: Final = ("http", "https")

_HOST: Final = re.compile(r"(?:\*\.)?([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([0-9]{1,5}))?\Z")
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f\\]")
_MAX_URL: Final = 8192
_CHUNK: Final = 1 << 16
_HTTP_PORT: Final = 80
_HTTPS_PORT: Final = 443
_LAST_PORT: Final = 65_535
_OK: Final = 200
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NAT64: Final = "64:ff9b::/96"
_SPECIAL: Final = ("192.0.0.0/24", "192.88.99.0/24", "::/96", "64:ff9b:1::/48")
"""Networks that are not for hosts, and that `ipaddress` calls public in some versions."""
_WHAT: Final = "an image on the web"


class Fetcher(Protocol):
    """What a store needs to take images from the web."""

    def fetch(self, url: str) -> bytes:
        """Return the bytes at a URL whose scheme is ``https`` or ``http``. Called from threads.

        Raises:
            OffloadError: the URL is refused, or the bytes cannot be read.
        """
        ...


class _Target(NamedTuple):
    """A URL that may be asked for.

    Attributes:
        host: in lower case, ASCII.
        is_tls: whether the scheme is ``https``.
        path: path and query, as they are sent.
    """

    host: str
    port: int
    is_tls: bool
    path: str

    @property
    def authority(self) -> str:
        """The value of the header ``Host``."""
        default = _HTTPS_PORT if self.is_tls else _HTTP_PORT
        return self.host if self.port == default else f"{self.host}:{self.port}"


class HttpsFetcher:
    """Fetches images over HTTPS from a list of hosts. Thread-safe.

    Proxies of the environment, cookies, credentials and content encodings are not used.

    Args:
        hosts: the hosts that may be asked: ``images.example.org``, or ``*.example.org`` for every
            host below that domain. A port other than 443 is stated, as in
            ``images.example.org:8443``.
        max_bytes: size of one answer in bytes.
        timeout: seconds for one image: names, connections, redirects and all of its bytes.
        max_redirects: redirects that are followed for one image.
        allow_loopback: also connect to this machine, without TLS too. For tests.
        ssl_context: which certificates are trusted; those of the system by default.

    Raises:
        ContractError: ``wrong_type``, ``bad_format`` or ``out_of_range`` for such an argument.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        max_bytes: int = 64 * 1024 * 1024,
        timeout: float = 30.0,
        max_redirects: int = 3,
        allow_loopback: bool = False,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.hosts = _checked_hosts(hosts)
        self.max_bytes = _checked_number("max_bytes", max_bytes, int, 1)
        self.timeout = _checked_number("timeout", timeout, float, 0.001)
        self.max_redirects = _checked_number("max_redirects", max_redirects, int, 0)
        self.allow_loopback = allow_loopback is True
        self._ssl_context = ssl_context

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.hosts)!r})"

    def fetch(self, url: str) -> bytes:
        """Return the bytes at a URL.

        Raises:
            OffloadError: ``fetch_refused`` for a URL, a redirect or an address that is not allowed;
                ``image_limit`` for more than `max_bytes`; ``fetch_failed`` if the server cannot be
                reached in time, or does not answer with status 200 and a whole body.
        """
        deadline = time.monotonic() + self.timeout
        for _ in range(self.max_redirects + 1):
            target = self._target(url)
            answer = self._answer(target, deadline)
            if is_a(answer, bytes):
                return answer
            from urllib.parse import urljoin

            try:
                url = urljoin(url, answer)
            except ValueError:
                raise_alone(_refused("a redirect to a URL", "one to no URL"))
        raise _refused(f"at most {self.max_redirects} redirects", "one more")

    # --- what may be asked

    def _target(self, url: str) -> _Target:
        from urllib.parse import quote, urlsplit

        if not is_a(url, str) or len(url) > _MAX_URL or _FORBIDDEN.search(url):
            expected = f"a URL of at most {_MAX_URL} characters without white space"
            raise _refused(expected, shown(url) if not is_a(url, str) else "another URL")
        try:
            parts = urlsplit(url)
            port, host = parts.port, (parts.hostname or "").encode("idna").decode("ascii")
        except ValueError:  # of a bracket, a port or a name
            raise_alone(_refused("a URL with a host and a port", "one that cannot be read"))
        is_tls = parts.scheme.lower() == "https"
        if not is_tls and not (self.allow_loopback and parts.scheme.lower() == "http"):
            raise _refused("a URL with the scheme https", f"the scheme {shown_text(parts.scheme)}")
        if "@" in parts.netloc:
            raise _refused("a URL without a user name or password", "one with them")
        host, port = host.lower().removesuffix("."), port or (_HTTPS_PORT if is_tls else _HTTP_PORT)
        if not self._allows(host, port, default=_HTTPS_PORT if is_tls else _HTTP_PORT):
            raise OffloadError(
                "fetch_refused",
                expected=f"one of the allowed hosts ({', '.join(self.hosts[:8])})",
                got=f"the host {shown_text(host)}, port {port}",
                hint="allow the host, or leave its images out",
            )
        safe = "/%:@!$&'()*+,;=~-._"
        path = quote(parts.path, safe=safe) or "/"
        query = f"?{quote(parts.query, safe=safe + '?')}" if parts.query else ""
        return _Target(host, port, is_tls, path + query)

    def _allows(self, host: str, port: int, *, default: int) -> bool:
        for pattern in self.hosts:
            name, _, stated = pattern.partition(":")
            if port != int(stated or default):
                continue
            if host == name or (name.startswith("*.") and host.endswith(name[1:])):
                return True
        return False

    def _addresses(self, target: _Target, deadline: float) -> list[str]:
        """The addresses of a host, each of which is public."""
        from ipaddress import ip_address

        found = list(dict.fromkeys(_resolved(target, deadline)))
        if not found:
            raise _failed(target, "no address of that name", "check the name and the network")
        for text in found:
            address = ip_address(text.partition("%")[0])
            if address.is_loopback and self.allow_loopback:
                continue
            if not target.is_tls:
                raise _refused("https, except for this machine", "a host elsewhere over http")
            if not _is_public(address):
                raise _refused(
                    f"a public address of {shown_text(target.host)}",
                    "one of a private network, or of this machine",
                )
        return found

    # --- how it is asked

    def _answer(self, target: _Target, deadline: float) -> bytes | str:
        """The body of the answer, or where it redirects to."""
        import http.client
        import threading

        sock = self._encrypted(self._connected(target, deadline), target)
        # A server may send a byte from time to time, for ever. Then the connection is shut down.
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), _shut_down, [sock])
        watchdog.daemon = True
        connection = http.client.HTTPConnection(target.host, target.port)
        response = None
        try:
            watchdog.start()
            _shake_hands(sock, target)
            connection.sock = sock
            headers = {"Host": target.authority, "Accept": "image/*", "Accept-Encoding": "identity"}
            connection.request("GET", target.path, headers={**headers, "User-Agent": "rawmm"})
            response = connection.getresponse()
            if response.status in _REDIRECTS and response.getheader("Location"):
                return str(response.getheader("Location"))
            if response.status != _OK:
                hint = "check that the URL is still valid"
                raise _failed(target, f"status {response.status}", hint)
            if (response.getheader("Content-Encoding") or "identity").lower() != "identity":
                raise _failed(target, "a content encoding", "serve the image as it is")
            return self._body(response)
        except OffloadError:
            raise
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            # The texts of these exceptions may quote the answer. A closed socket raises any.
            pass
        finally:
            watchdog.cancel()
            if response is not None:
                response.close()
            connection.close()
            sock.close()
        if time.monotonic() >= deadline:
            raise self._too_slow(target)
        raise _failed(target, "an empty answer, or one that was cut", "try again")

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        import http.client

        stated = response.length
        pieces: list[bytes] = []
        size = 0
        while max(size, stated or 0) <= self.max_bytes and (piece := response.read(_CHUNK)):
            pieces.append(piece)
            size += len(piece)
        if max(size, stated or 0) > self.max_bytes:
            raise OffloadError(
                "image_limit",
                expected=f"at most {self.max_bytes} bytes from the web",
                got=f"{stated} bytes" if stated else "more",
                hint="raise max_bytes of the fetcher, or leave the image out",
            )
        if not size or (stated is not None and size != stated):
            raise http.client.IncompleteRead(b"")
        return b"".join(pieces)

    def _connected(self, target: _Target, deadline: float) -> socket.socket:
        import socket

        for address in self._addresses(target, deadline):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                return socket.create_connection((address, target.port), timeout=left)
            except OSError:
                continue
        if time.monotonic() >= deadline:
            raise self._too_slow(target)
        raise _failed(target, "no connection", "check that the host is up and the port is open")

    def _encrypted(self, sock: socket.socket, target: _Target) -> socket.socket:
        import ssl

        if not target.is_tls:
            return sock
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        return self._ssl_context.wrap_socket(
            sock, server_hostname=target.host, do_handshake_on_connect=False
        )

    def _too_slow(self, target: _Target) -> OffloadError:
        return _failed(
            target, f"nothing whole within {self.timeout:g} s", "raise timeout, or try again"
        )


def checked_fetcher(fetcher: Any) -> Fetcher | None:
    """Return the argument `fetcher` of a store.

    Raises:
        ContractError: ``wrong_type`` if it has no method ``fetch``.
    """
    if fetcher is None or callable(getattr(type(fetcher), "fetch", None)):
        checked: Fetcher | None = fetcher
        return checked
    raise contract_error(
        "wrong_type",
        ("fetcher",),
        expected="an HttpsFetcher, or another object with a method fetch(url)",
        got=shown(fetcher),
        hint='HttpsFetcher(["images.example.org"])',
    )


def fetched(fetcher: Fetcher, url: str) -> bytes:
    """Return the bytes at a URL.

    Raises:
        OffloadError: as `Fetcher.fetch`; ``wrong_type`` if it returns anything but bytes.
    """
    with calling("fetch", _WHAT):
        raw: object = fetcher.fetch(url)
    if is_a(raw, bytes):
        return raw
    raise OffloadError("wrong_type", expected="bytes from the fetcher", got=shown(raw))


def _checked_hosts(hosts: object) -> tuple[str, ...]:
    """The hosts of an allow-list, in lower case."""
    if not is_a(hosts, list | tuple | set | frozenset):
        raise contract_error(
            "wrong_type",
            ("hosts",),
            expected="a list of host names",
            got=shown(hosts),
            hint='pass ["images.example.org"]; there is no default',
        )
    checked = []
    for index, host in enumerate(hosts):
        match = _HOST.match(host.lower()) if is_a(host, str) else None
        if match is None or not 0 < int(match[2] or _HTTPS_PORT) <= _LAST_PORT:
            raise contract_error(
                "bad_format" if is_a(host, str) else "wrong_type",
                ("hosts", index),
                expected="a host such as images.example.org, *.example.org or example.org:8443",
                got=shown(host),
                hint="leave scheme and path out; write names in ASCII (xn--...)",
            )
        checked.append(host.lower())
    return tuple(checked)


def _checked_number(name: str, value: Any, kind: type, least: float) -> Any:
    if not is_a(value, int | float) or is_a(value, bool) or (kind is int and not is_a(value, int)):
        expected = "an integer" if kind is int else "a number of seconds"
        raise contract_error("wrong_type", (name,), expected=expected, got=shown(value))
    if not least <= value < float("inf"):
        expected = f"a number of at least {least}"
        raise contract_error("out_of_range", (name,), expected=expected, got=shown(value))
    return value


def _resolved(target: _Target, deadline: float) -> list[str]:
    """The addresses of a host. Waits no longer than until the deadline."""
    import socket
    import threading

    found: list[str] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(str(answer[4][0]) for answer in answers)

    # The call cannot be interrupted, so a thread that waits for it is left behind.
    thread = threading.Thread(target=ask, name="rawmm-resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    return list(found)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address, or the one that it stands for, belongs to the public Internet."""
    from ipaddress import IPv4Address, IPv6Address, ip_network

    if is_a(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None:
            return False
        if address in ip_network(_NAT64):
            return _is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if any(address in ip_network(network) for network in _SPECIAL):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def _shake_hands(sock: socket.socket, target: _Target) -> None:
    import ssl

    if not is_a(sock, ssl.SSLSocket):
        return
    try:
        sock.do_handshake()
    except ssl.SSLCertVerificationError:
        hint = "trust its certificate with ssl_context, if it is right"
        raise_alone(_failed(target, "a certificate that is not trusted", hint))


def _shut_down(sock: socket.socket) -> None:
    import socket
    from contextlib import suppress

    # That of the base class, because an SSLSocket would forget its state while a thread reads.
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _refused(expected: str, got: str) -> OffloadError:
    hint = "see HttpsFetcher for what is allowed"
    return OffloadError("fetch_refused", expected=expected, got=got, hint=hint)


def _failed(target: _Target, got: str, hint: str) -> OffloadError:
    what = f"{_WHAT}, from {shown_text(target.host)}"
    return OffloadError("fetch_failed", expected=what, got=got, hint=hint)
