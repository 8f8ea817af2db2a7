"""Every error rawmm raises, and nothing else.

::

    RawMMError(Exception)
    ├── ContractError(ValueError)          data that breaks the shape or a rule
    ├── ProcessedPayloadError(TypeError)   a processed or non-JSON value where raw data belongs
    ├── OffloadError(RuntimeError)         an image that cannot be offloaded
    └── MaterializeError(RuntimeError)     a stored image that cannot be read back

Each carries ``code`` (a key of `CODES`), ``path`` (a JSON path from the value that was
checked), ``expected``, ``got`` and, where one helps, a ``hint``. The sentence is built in
``__str__``. Values are shown through `shown`, which cuts them to 64 characters and never
shows image bytes, base64 or the text after the comma of a data URL.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

CODES: Final[dict[str, str]] = {
    # The bytes and the shape: what JSON Schema can say.
    "malformed": "the bytes are not one complete JSON or MessagePack document in valid UTF-8",
    "wrong_type": "a value has another type than the schema says",
    "missing_field": "a required field is absent",
    "unknown_field": "a closed object has a field that the schema does not know",
    "unknown_tag": "the tag (role, type) of a union is absent or not one of its members",
    "bad_value": "a value is not one of those the schema allows",
    "bad_format": "a string does not match the pattern of its field",
    "out_of_range": "a number is outside the bounds of its field",
    "bad_length": "a string or array is too long, or an array-like type too short",
    "unsupported_version": "the version is not one this package knows",
    "historical_form": "the data has a wire form from before the contract",
    "unknown_type": "nothing in the value tells which type of the contract it is",
    "duplicate_key": "an object has the same key twice",
    # Payloads: raw data only.
    "processed_payload": "a descriptor holds a key that only an image processor writes",
    "array_payload": "a payload holds an array, tensor, image object or bytes",
    "not_json": "a payload holds a value that JSON cannot say",
    "too_deep": "a payload nests deeper than 64 levels, or contains itself",
    "too_large": "a payload holds more values or text than any image's geometry",
    # Rules between fields.
    "count_mismatch": "lists that describe the same media have different lengths",
    "modality_mismatch": "an item stands under another modality than its own",
    "placeholder_order": "placeholder ranges are unsorted, overlap, or leave their tokens",
    "stream_length": "a per-token stream has another length than its tokens",
    "array_size": "the bytes of an encoded array do not fill its shape",
    "token_mismatch": "the engine's tokens are not those that the renderer or the graph holds",
    "media_mismatch": "a renderer's media are not those that the graph holds for the same messages",
    "parent_order": "a node's parent is not an earlier node",
    "orphan_image": "image-typed tokens and items do not cover each other",
    "locator_conflict": "a descriptor has more than one locator",
    "bad_locator": "a locator is not of a kind that rawmm reads",
    "path_escape": "a locator leads out of its directory",
    "no_locator": "an item has no locator where its image is needed",
    # The trainer.
    "unsupported_modality": "the trainer takes images, and media of another kind are there",
    "mixed_layouts": "images that are trained on together are laid out in different ways",
    # Offload.
    "bad_base64": "the text of a data URL is not strict base64",
    "not_an_image": "the bytes are not a complete PNG, JPEG, WebP or GIF",
    "image_type_mismatch": "the image has another type than its URL declares",
    "image_limit": "an image, or a request, is over a limit",
    "no_image_dir": "no image directory is given or set",
    "store_failed": "the image directory cannot be written or read",
    # Reading back.
    "hash_mismatch": "bytes, a file named by them, or a node are not those that were hashed",
    "missing_image": "the image is not in the image directory",
    "geometry_mismatch": "an image has another grid or number of tokens than its descriptor says",
    "processor_failed": "the image processor raised, or returned no pixels",
    # Care for the image directory.
    "unreferenced_image": "an image that no record names",
    "stale_file": "a file that a process left behind when it died",
    "foreign_file": "a file in the image directory whose name no store gives",
    "no_references": "the records name none of the images of a directory",
}
"""Every error code, with its meaning. Codes are stable; messages are not."""

_SHOWN: Final = 64
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ENCODED_RUN = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"[0-9a-f]+\Z")


def _is_encoded(text: str) -> bool:
    """Whether a run in `text` may be base64: long, and not a hash or a plain word path."""
    return any(
        not _HEX.match(run) and re.search(r"[A-Z]", run) and re.search(r"[a-z0-9]", run)
        for run in _ENCODED_RUN.findall(text)
    )


def shown_text(text: str) -> str:
    """A string as it may stand in a message: cut to 64 characters, no base64, no secrets."""
    if text[:5].lower() == "data:":
        head, comma, _ = text[: _SHOWN + 1].partition(",")
        # Without a comma near the start, nothing tells the head from image bytes.
        head = f"{head + comma!r} (" if comma else "a data URL ("
        return f"{head}{len(text)} characters)"
    if _is_encoded(text[:4096]):
        return f"a string of {len(text)} characters"
    if len(text) > _SHOWN:
        return f"{text[: _SHOWN - 1] + '…'!r} ({len(text)} characters)"
    return repr(text)


def shown(value: Any) -> str:
    """Any value as it may stand in a message. Never more than a line, never its content."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    kind = type(value)
    if kind is int or kind is float:
        text = repr(value) if kind is float or abs(value) < 1 << 256 else "an integer too large"
        return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    if kind is str:
        return shown_text(value)
    if kind is bytes:
        return f"{len(value)} bytes"
    if kind is list or kind is tuple:
        return f"an array of {len(value)}"
    if kind is dict:
        keys = ", ".join(shown_text(str(key)).strip("'") for key in list(value)[:4])
        return f"an object with {keys}{', …' if len(value) > 4 else ''}" if value else "{}"
    return f"a {kind.__module__}.{kind.__qualname__}".replace("a builtins.", "a ")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: ``1 entry``, ``2 entries``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def json_path(parts: Iterable[str | int]) -> str:
    """Keys and indices as a JSON path: ``$.nodes[3].message``, odd keys in brackets."""
    out = ["$"]
    for part in parts:
        if isinstance(part, int):
            out.append(f"[{part}]")
        elif _PLAIN_KEY.match(part) and len(part) <= _SHOWN:
            out.append(f".{part}")
        else:
            # A key is the sender's text: it is cut, and escaped, like any other.
            safe = f"({len(part)} characters)" if _is_encoded(part[:4096]) else part[:_SHOWN]
            out.append(f"[{json.dumps(safe)}]")
    return "".join(out)


class RawMMError(Exception):
    """What every rawmm error is.

    Attributes:
        code: a key of `CODES`; stable, to branch on.
        path: JSON path of the offending value, e.g. ``$.nodes[3].multi_modal_data``.
        expected: what the contract wants there.
        got: what was there, shortened; never image bytes or base64.
        hint: what to do about it, or None.
    """

    def __init__(
        self, code: str, path: str = "$", *, expected: str, got: str, hint: str | None = None
    ) -> None:
        super().__init__(code, path, expected, got, hint)
        self.code = code
        self.path = path
        self.expected = expected
        self.got = got
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by keyword, so that an error crosses a process pool as it is now."""
        fields = (self.code, self.path, self.expected, self.got, self.hint)
        return _rebuild, (type(self), *fields)

    def under(self, parts: Iterable[str | int]) -> RawMMError:
        """This error as one of a larger value, in which the checked one stands at `parts`."""
        path = json_path(parts) + self.path.removeprefix("$")
        return _rebuild(type(self), self.code, path, self.expected, self.got, self.hint)

    def __str__(self) -> str:
        """``path: expected X, got Y [code] (hint)``."""
        return f"{self.path}: {self.message} [{self.code}]"

    @property
    def message(self) -> str:
        """The sentence without path and code."""
        tail = f"; {self.hint}" if self.hint else ""
        return f"expected {self.expected}, got {self.got}{tail}"


def _rebuild(
    cls: type[RawMMError], code: str, path: str, expected: str, got: str, hint: str | None
) -> RawMMError:
    return cls(code, path, expected=expected, got=got, hint=hint)


class ContractError(RawMMError, ValueError):
    """The data breaks the contract: its shape, a rule between fields, or its version."""


class ProcessedPayloadError(RawMMError, TypeError):
    """A processed payload, an array, or a value JSON cannot say, where raw data belongs."""


class OffloadError(RawMMError, RuntimeError):
    """An image cannot be offloaded. The value that held it is unchanged."""


class MaterializeError(RawMMError, RuntimeError):
    """A stored image cannot be read back as the image that its descriptor names."""


class NonFiniteLogprobWarning(UserWarning):
    """A reader replaced -inf in a stream of log-probabilities, as it was asked to."""


_PAYLOAD_CODES: Final = frozenset({"processed_payload", "array_payload", "not_json"})


def contract_error(
    code: str,
    path: Iterable[str | int],
    *,
    expected: str,
    got: str,
    hint: str | None = None,
) -> ContractError | ProcessedPayloadError:
    """The error of a broken rule; its class follows from its code."""
    cls = ProcessedPayloadError if code in _PAYLOAD_CODES else ContractError
    return cls(code, json_path(path), expected=expected, got=got, hint=hint)
