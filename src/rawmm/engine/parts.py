"""The ``content_parts`` of an engine request: the images of its messages, in prompt order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.codec import convert
from rawmm.errors import RawMMError, contract_error, shown_text
from rawmm.images import Limits, prepare_image
from rawmm.locators import MM_HASH_DIGITS, Problem, file_path, scheme_of, stored_hash
from rawmm.media import IMAGE, IN_MESSAGES
from rawmm.model.types import ContentPart, Message
from rawmm.real_class import is_a
from rawmm.validation import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawmm.errors import Path

_WEB: Final = frozenset({"http", "https"})
_FILE: Final = "file://"
_SHA256_DIGITS: Final = 64


def content_parts(messages: Iterable[Any]) -> list[ContentPart]:
    """The content parts of all images in messages, in order, for an engine request.

    Each is ``{type: "image_url", url, uuid}``. ``url`` is that of the message; an engine reads
    ``file://``, ``data:`` and web URLs. vLLM needs ``--allowed-local-media-path`` to read files:
    without the option it answers 500, and 400 for a file outside of that directory. ``uuid``
    identifies the image in the engine's caches. It is the hash that sidecars have: the first 32
    digits of the SHA-256, read from the name of a stored file or computed from a data URL. Other
    images have none, and the engine hashes them.

    The request's tokens must have one placeholder token for each part, see
    `collapse_placeholders`. Nothing is read from disk.

    Args:
        messages: the messages of the prompt, or values that `convert` turns into messages, in the
            order in which the chat template renders them.

    Raises:
        ContractError: ``bad_locator`` or ``path_escape`` for a URL that engines do not read;
            ``unsupported_modality`` for media other than images, which vLLM would skip; and any
            violation of the contract.
        OffloadError: a data URL is not an image: ``bad_base64``, ``not_an_image``,
            ``image_limit`` or ``bad_locator``.
    """
    found = list(in_order(messages, (), "a list of messages"))
    parts = []
    for index, message in enumerate(convert(found, list[Message])):
        for modality in IN_MESSAGES.values():
            if modality is not IMAGE and modality.urls(message):
                raise contract_error(
                    "unsupported_modality",
                    (index, *next(modality.url_paths(message))),
                    expected="images only",
                    got=f"a part of {modality.name}",
                    hint="the engine would skip it without an error",
                )
        if urls := IMAGE.urls(message):
            for path, url in zip(IMAGE.url_paths(message), urls, strict=True):
                parts.append(_part(url, (index, *path)))
    return parts


def _part(url: str, path: Path) -> ContentPart:
    try:
        url, sha256 = _read(url)
    except RawMMError as error:
        refusal = error.at(path)
    else:
        if sha256 is None:
            return ContentPart(url=url)
        return ContentPart(url=url, uuid=sha256[:MM_HASH_DIGITS])
    raise refusal


def _read(url: str) -> tuple[str, str | None]:
    """A URL as the engine reads it, and the SHA-256 of its image where the URL tells."""
    scheme = scheme_of(url)
    if scheme == "data":
        return url, prepare_image(url, Limits()).sha256
    if scheme in _WEB:
        return url, None
    if scheme != "file":
        raise contract_error(
            "bad_locator",
            (),
            expected="a file://, data: or web URL",
            got=shown_text(url),
            hint="engines read no other; store the images in a directory that the engine has",
        )
    located = file_path(url)
    if is_a(located, Problem):
        raise contract_error(located.code, (), expected=located.expected, got=located.got)
    # Engines take a host for the first part of the path.
    url = _FILE + url[url.index("/", len(_FILE)) :]
    sha256 = stored_hash(url)
    # Names from before the contract have 16 digits, which two images may share.
    return url, sha256 if sha256 is not None and len(sha256) == _SHA256_DIGITS else None
