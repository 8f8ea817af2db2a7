"""Find the images of an ordinary chat request quickly.

Most requests hold messages of texts and ``image_url`` parts, and nothing else that could be an
image. For such a request, `chat_parts` lists the images without noting where they stand; paths are
worked out only for an error. Any other value takes the general walk of `ImageParts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.offload.containers import NUMBERS
from rawmm.offload.forms import FORM_KEYS, FORMS, SIDECARS
from rawmm.offload.image_parts import ImagePart, ImageParts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawmm.offload.image_parts import Strings

_FORM: Final = next(form for form in FORMS if form.name == "chat image_url")
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_DETAILS: Final = frozenset({"auto", "low", "high"})
_MESSAGE: Final = frozenset({"role", "content"})
_NOT_PLAIN: Final = FORM_KEYS | SIDECARS | {"type", "role", "__nd__"}
_SHORT: Final = 16
"""Characters from which the general walk judges a string."""


def chat_parts(value: Any, strings: Strings) -> ImageParts:
    """What ``ImageParts(value, strings)`` finds in a decoded JSON text."""
    urls: list[str] = []
    if _is_plain(value, strings.mark, urls):
        return QuickParts(value, strings, urls)
    return ImageParts(value, strings)


class QuickParts(ImageParts):
    """Images whose places in a value are worked out only for an error. Only their URLs change."""

    def __init__(self, value: Any, strings: Strings, urls: Iterable[str]) -> None:
        self.parts = [ImagePart(url, None, _FORM.at, (), _FORM) for url in urls]
        self.other = []
        self.text_data_urls = 0
        self._value = value
        self._strings = strings

    def path(self, part: ImagePart) -> str:
        """The path that the general walk finds."""
        found = ImageParts(self._value, self._strings)
        index = next(number for number, one in enumerate(self.parts) if one is part)
        return found.path(found.parts[index])

    def has_shape(self, part: ImagePart) -> bool:
        """Every part has it."""
        del part
        return True


def _is_plain(value: Any, mark: str, urls: list[str]) -> bool:
    """Whether a value is an ordinary request. Adds the strings in the place of its URLs."""
    if type(value) is not dict or not _NOT_PLAIN.isdisjoint(value):
        return False
    for name, field in value.items():
        if name != "messages":
            if type(field) is str:
                if len(field) >= _SHORT:
                    return False
            elif type(field) not in NUMBERS:
                return False
    messages = value.get("messages")
    if type(messages) is not list:
        return False
    for message in messages:
        if type(message) is not dict or message.keys() != _MESSAGE:
            return False
        role, content = message["role"], message["content"]
        if type(role) is not str or role not in _ROLES:
            return False
        if type(content) is str:
            if _may_have_url(content, mark):
                return False
        elif type(content) is list:
            for part in content:
                if not _adds(part, mark, urls):
                    return False
        else:
            return False
    return True


def _adds(part: Any, mark: str, urls: list[str]) -> bool:
    """Whether a content part is an ordinary one. Adds the string in the place of its URL."""
    if type(part) is not dict or len(part) != 2:
        return False
    kind = part.get("type")
    if kind == "text":
        text = part.get("text")
        return type(text) is str and not _may_have_url(text, mark)
    image = part.get("image_url")
    if kind != "image_url" or type(image) is not dict:
        return False
    url = image.get("url")
    if type(url) is not str or not url.startswith(mark):
        return False
    if len(image) > 1:
        detail = image.get("detail")
        if len(image) > 2 or type(detail) is not str or detail not in _DETAILS:
            return False
    urls.append(url)
    return True


def _may_have_url(text: str, mark: str) -> bool:
    """Whether a data URL may be in a text, or the text stands for one."""
    return "data:" in text or text[:5].lower() == "data:" or text.startswith(mark)
