"""Locators: how a descriptor or a message points at a raw image. No I/O.

A locator is an id (a file name in the run's image directory), a ``file://`` URL, a
``data:image/...;base64,`` URL, or the URL of a store. Web URLs are refused. The schemes of stores
are in `rawmm.store.registry`.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from rawmm.errors import shown_text

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*+):")
_STORED: Final = re.compile(r"([0-9a-f]{64}|(?=[0-9]*[a-f])[0-9a-f]{16})\.[a-z0-9]+\Z")
_QUERY: Final = re.compile(r"[?#]")
_BREAK: Final = re.compile(r"[\t\r\n]")
# A password may hold slashes.
_SECRET: Final = re.compile(r"(?<=://)(?:[^/?#]*@|[^/?#]*:[^?#]*@)|(?<=\?).+", re.DOTALL)
_WEB: Final = frozenset({"http", "https", "ftp", "ftps", "javascript", "blob", "about"})


MM_HASH_DIGITS: Final = 32
"""Digits of a SHA-256 that writers put into ``mm_hashes``."""


class Problem(NamedTuple):
    """Why a locator is refused: the parts of an error."""

    code: str
    expected: str
    got: str


def locator_of(item: Any) -> str | None:
    """The locator of a descriptor; None if it is descriptor-only."""
    locator: str | None = item.raw_image_id
    return item.raw_image_uri if locator is None else locator


def without_credentials(location: str) -> str:
    """A path or URL for a message. A URL loses its user name and password, and its query."""
    is_url = (match := _SCHEME.match(location)) and location.startswith("//", match.end())
    return _SECRET.sub("…", location) if is_url else location


def stored_hash(locator: str) -> str | None:
    """The hash in the file name of an image, if a store gave the name; else None.

    Stores name a file by the SHA-256 of its bytes: all 64 digits, or the first 16 before the
    contract. 16 decimal digits are a time in microseconds, not a hash. The file name is read from
    the percent-decoded URL without its query.
    """
    if "%" in locator or "?" in locator or "#" in locator:
        locator = _as_opened(locator)
    match = _STORED.match(locator, locator.rfind("/") + 1)
    return match[1] if match and not _is_data(locator) else None


def names_image(locator: str, sha256: str) -> bool:
    """Whether a locator may point to the image with this hash, or hash prefix."""
    if "%" in locator or "?" in locator or "#" in locator:
        locator = _as_opened(locator)
    if locator.startswith(sha256, locator.rfind("/") + 1):
        return True
    stored = stored_hash(locator)
    return stored is None or stored.startswith(sha256) or sha256.startswith(stored)


def _as_opened(locator: str) -> str:
    """The file name that opening a URL would use: percent-decoded once, without a query."""
    if not _SCHEME.match(locator) or _is_data(locator):
        return locator
    path = unquoted(_QUERY.split(locator, maxsplit=1)[0])
    # A relative path, so that it is not decoded again.
    return "./" + path[path.rfind("/") + 1 :]


def _is_data(locator: str) -> bool:
    return locator[:5].lower() == "data:"


def scheme_of(uri: str) -> str:
    """The scheme of a URL in lower case; empty for a relative path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def unquoted(text: str) -> str:
    """`text`, percent-decoded once."""
    if "%" not in text:
        return text
    from urllib.parse import unquote  # slow to import

    return unquote(text)


def _split(uri: str) -> tuple[str, str, str]:
    """Scheme, host and path of a URL.

    Raises:
        ValueError: it is not one.
    """
    if uri[:8].lower() == "file:///" and not _BREAK.search(uri):
        return "file", "", uri[7:]
    from urllib.parse import urlsplit  # slow to import

    return urlsplit(uri)[:3]


def _leads_out(path: str) -> bool:
    return "\0" in path or ".." in path.replace("\\", "/").split("/")


def file_path(uri: str) -> str | Problem:
    """The absolute path of a ``file://`` URL, or why it is refused.

    The host must be empty or ``localhost`` (RFC 8089). The path is percent-decoded once. ``..`` and
    NUL are refused before any file access.
    """
    expected = "a file:///absolute/path URL"
    if "?" in uri or "#" in uri:
        return Problem("bad_locator", f"{expected} without '?' or '#'", shown_text(uri))
    try:
        scheme, host, path = _split(uri)
    except ValueError:
        return Problem("bad_locator", expected, shown_text(uri))
    if scheme != "file" or uri[:7].lower() != "file://":
        return Problem("bad_locator", expected, shown_text(uri))
    if host.lower() not in ("", "localhost"):
        return Problem("bad_locator", "a file:// URL with no host, or localhost", shown_text(uri))
    path = unquoted(path)
    # urlsplit drops tabs and newlines, so the original is checked, too.
    if _leads_out(path) or _leads_out(unquoted(uri)):
        return Problem("path_escape", "a path without '..' or NUL", shown_text(uri))
    if not path.startswith("/") or path.startswith("//") or _BREAK.search(uri):
        return Problem("bad_locator", expected, shown_text(uri))
    return path


def id_problem(raw_image_id: str) -> Problem | None:
    """Why a raw image id would lead out of its directory, or None."""
    if "/" in raw_image_id or "\\" in raw_image_id or raw_image_id in (".", ".."):
        return Problem(
            "path_escape", "a plain file name in the image directory", shown_text(raw_image_id)
        )
    if "\0" in raw_image_id:
        return Problem("path_escape", "a file name without NUL", shown_text(raw_image_id))
    return None


def uri_problem(uri: str) -> Problem | None:
    """Why a raw image URI is refused, or None. The content of a data URL is not checked."""
    scheme = scheme_of(uri)
    if scheme == "file":
        path = file_path(uri)
        return path if isinstance(path, Problem) else None
    if scheme == "data":
        return None
    if scheme in _WEB or "://" not in uri:
        return Problem(
            "bad_locator",
            "a file:// URL, a data:image/...;base64, URL or a store URL",
            shown_text(uri) if scheme in _WEB or not scheme else f"the scheme {shown_text(scheme)}",
        )
    if _leads_out(unquoted(uri)):
        return Problem("path_escape", "a path without '..' or NUL", shown_text(uri))
    return None
