"""The error classes, the table of error codes, and how messages show values.

::

    RawMMError(Exception)
    ├── ContractError(ValueError)          the data breaks the shape or a rule
    ├── ProcessedPayloadError(TypeError)   a processed or non-JSON value instead of raw data
    ├── OffloadError(RuntimeError)         an image cannot be offloaded
    └── MaterializeError(RuntimeError)     a stored image cannot be read back

Each error has a ``code`` (a key of `CODES`), a ``path`` (a JSON path from the checked value),
``expected``, ``got`` and sometimes a ``hint``. ``__str__`` builds the sentence.

No message contains image data. Everything from a value passes through `shown`, `shown_text`,
`shown_path`, `type_name` or `json_path`, which show at most 16 consecutive characters that could be
content. Exceptions of other libraries quote values, so they never stay in the chain: use
`raise_alone` while handling one.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root of a value."""

CODES: Final[dict[str, str]] = {
    # Bytes and shape, as JSON Schema checks them.
    "malformed": "the bytes are not one complete JSON or MessagePack document in valid UTF-8",
    "wrong_type": "a value does not have the type of its schema",
    "missing_field": "a required field is absent",
    "unknown_field": "a closed object has a field that its schema does not have",
    "unknown_tag": "the tag of a union (role, type) is absent or names no member",
    "bad_value": "a value is not one of those that its schema allows",
    "bad_format": "a string does not match the pattern of its field",
    "out_of_range": "a number is outside the bounds of its field",
    "bad_length": "a string or array is too long, or an array-like type is too short",
    "unsupported_version": "this package does not know the version",
    "not_in_version": "the version of the contract to write for has no place for the value",
    "bad_schema": "a value is no JSON Schema of draft 2020-12, or cannot be found or read alone",
    "historical_form": "the data has a wire form that is older than the contract",
    "unknown_type": "the value does not show which type of the contract it is",
    "duplicate_key": "an object has the same key twice",
    # Payloads: raw data only.
    "processed_payload": "a descriptor has a key that only processors and encoders write, or an "
    "open object has such a key with numbers",
    "array_payload": "a payload holds an array, tensor, image object or bytes",
    "not_json": "a payload holds a value that JSON has no form for",
    "too_deep": "a payload nests more than 64 levels, or contains itself",
    "too_large": "a payload holds more values or text than any image's geometry needs",
    # Rules between fields.
    "count_mismatch": "lists that describe the same media have different lengths",
    "modality_mismatch": "an item is listed under another modality than its own",
    "placeholder_order": "ranges of tokens are unsorted, overlap, or leave their tokens",
    "stream_length": "a per-token stream and its tokens have different lengths",
    "array_size": "the bytes of an encoded array do not fill its shape",
    "token_mismatch": "the engine's tokens differ from those of the renderer or the graph",
    "media_mismatch": "a renderer's media differ from those of the graph for the same messages",
    "parent_order": "a node's parent is not an earlier node",
    "orphan_image": "image-typed tokens have no item or image, or one of these has no such tokens",
    "sampled_image_token": "the policy sampled an image-typed token",
    "locator_conflict": "a descriptor has more than one locator",
    "bad_locator": "rawmm does not read this kind of locator",
    "path_escape": "a locator points outside its directory",
    "no_locator": "an item without a locator is used where its image is needed",
    # The trainer.
    "unsupported_modality": "only images are accepted here, and there are other media",
    "mixed_layouts": "images, or images and the trainer, have different layouts or decodings",
    # Offload.
    "bad_base64": "the text of a data URL is not strict base64",
    "not_an_image": "the bytes are not a complete PNG, JPEG, WebP or GIF",
    "image_type_mismatch": "the image does not have the type that is declared for it",
    "unknown_image_form": "a message holds an image in a form that rawmm does not know",
    "other_media": "a message holds audio, video or a document, which the limits refuse",
    "ambiguous_image": "programs may decode the image differently, and such images are refused",
    "image_limit": "an image or a request exceeds a limit",
    "no_image_dir": "no image directory is given or configured",
    "store_failed": "the image directory or another store cannot be read or written",
    "store_denied": "an object store refuses the credentials, or they lack a permission",
    "store_missing": "there is no bucket or container of that name",
    "store_throttled": "an object store was too busy, also after retries",
    "store_changed": "others change or delete an image while it is written",
    "torn_read": "the answers of an object store ended early, also after retries",
    "fetch_refused": "the fetcher does not ask for this URL, host or address",
    "fetch_failed": "a web server did not answer with a whole image in time",
    # Reading back.
    "hash_mismatch": "bytes, a file name or a node do not match their hash",
    "missing_image": "the image is not in the image directory",
    "geometry_mismatch": "an image and its descriptor differ in grid or number of tokens",
    "describe_failed": "the function that describes images raised an exception",
    "processor_failed": "the image processor raised an exception or returned no pixels",
    # Maintenance of the image directory.
    "unreferenced_image": "no record refers to an image",
    "stale_file": "a process left a file behind when it was killed",
    "foreign_file": "a file in the image directory has a name that no store gives",
    "no_references": "the records refer to none of the images in a directory",
}
"""Every error code, with its meaning. Codes are stable; messages are not."""

_SHOWN: Final = 64
_PATH_SHOWN: Final = 1024
_RUN: Final = 16
"""The most consecutive characters that could be content to show."""
_HEAD: Final = 8
# `re` compiles and keeps these on first use. Compiling them would slow down every import.
_PLAIN_KEY = r"[A-Za-z_][A-Za-z0-9_]*\Z"
_DATA_URL = (
    r"(?i:data:(?:(?:application|audio|font|image|model|multipart|text|video)/[a-z0-9.+-]{0,16})?"
    r"(?:;charset=utf-8)?(?:;base64)?,)"
)
_PIECE = r"[^\W_]+|[\W_]+"
_THRICE = r"(.)\1\1"
_CONSONANT = "[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]"
_WORD = (
    rf"(?=.*[AEIOUYaeiouy])(?!.*{_CONSONANT}{{5}})"
    r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,})*[0-9]{0,2}\Z"
)
_ABBREVIATION = rf"(?:[A-Z]{{3,}}|[a-z]{{1,2}}|{_CONSONANT}{{3,4}})[0-9]{{0,2}}\Z"
_HASH = r"[0-9a-f]{16}"
_TIME = (
    r"(?<![0-9A-Za-z])20\d\d[-_.]?[01]\d[-_.]?[0-3]\d"
    r"(?:[T_.-]?[0-2]\d[-_.:]?[0-5]\d(?:[-_.:]?[0-5]\d)?)?(?![0-9A-Za-z])"
)
_SEPARATOR = r"[^\\%]{1,4}\Z"


def _is_word(token: str) -> bool:
    if token.isascii():
        return bool(re.match(_WORD, token))
    one_case = token.islower() or token.isupper() or token.istitle() or token.swapcase() == token
    return one_case and token.isalpha()


def _cost(token: str) -> int:
    """How much a token changes the doubt about a text: words lower it, other tokens raise it."""
    size = len(token)
    if size > 24 or re.search(_THRICE, token):
        return _width(token)
    if size > 2 and _is_word(token):
        return -size if size > 5 else 3 - size  # random text often has words of three letters
    return 0 if re.match(_ABBREVIATION, token) else _width(token)


def _quoted(text: str) -> str:
    import json  # slow to import

    return json.dumps(text)


def _width(text: str) -> int:
    return len(_quoted(text)) - 2


def _readable(text: str, limit: int) -> int:
    """How many leading characters of `text` may be shown, at most `limit`.

    Encoded image bytes (base64, hex, percent-encoded or escaped, with or without separators) rarely
    look like words. So each token that is not a word adds its width to a doubt, and each word
    subtracts its width. Five tokens of equal length in a row count as encoded, too. When the doubt
    exceeds 16, the text is cut soon after the last point without doubt: after 8 characters, or 16
    digits of a hash.
    """
    place = start = doubt = between = 0
    alike = first = size = cost = 0
    for token in re.findall(_PIECE, text[: 4 * limit]):
        after = place + len(token)
        if token[0].isalnum():
            if len(token) != size:
                alike, first, size = 0, place, len(token)
            alike += 1
            cost = _cost(token)
            if cost > 0 and not doubt and re.match(_HASH, token):
                start = place
            # A separator between doubtful tokens is doubtful, too.
            doubt = max(0, doubt + cost + (between if doubt and cost > 0 else 0))
            between = 0
            if not doubt and size > 5:
                start = after
        elif token.isprintable() and re.match(_SEPARATOR, token):
            between = len(token)
            if cost < 0 and not doubt and " " in token:
                start = place + token.rfind(" ") + 1
        else:
            doubt += _width(token)
        if doubt > _RUN or (alike > 4 and after - first > _RUN):
            return min(_fitting(text, min(start, first)), limit)
        place = after
    return min(len(text), limit)


def _fitting(text: str, start: int) -> int:
    """Where to cut the doubtful text that begins at `start`."""
    if digits := re.match(_HASH, text[start : start + 16]):
        return start + digits.end()
    end = start
    while _width(text[start : end + 1]) <= _HEAD:
        end += 1
    return end


def _cut(text: str, limit: int = _SHOWN) -> str:
    """`text`, or the part of it that may be shown and '…'."""
    length = _readable(text, limit)
    if length == len(text):
        return text
    return text[: min(length, limit - 1)] + "…"


def shown_text(text: str) -> str:
    """A string for a message: at most 64 characters, without content."""
    if text[:5].lower() == "data:":
        head = re.match(_DATA_URL, text)
        # Other heads may contain image data.
        return f"{f'{head[0]!r}' if head else 'a data URL'} ({len(text)} characters)"
    cut = _cut(text)
    return repr(cut) if cut == text else f"{cut!r} ({len(text)} characters)"


def shown_path(path: object) -> str:
    """The path of a file or directory for a message: complete, without content."""
    text = str(path)
    # Runs are often named by their time, which does not look like words.
    length = _readable(re.sub(_TIME, lambda time: ("time" * 5)[: len(time[0])], text), _PATH_SHOWN)
    return repr(text if length == len(text) else text[:length] + "…")


def shown_file(name: str) -> str:
    """The name of a missing file for a message: as `shown_path`, without quotes."""
    return _cut(name, _PATH_SHOWN)


def shown_name(name: str) -> str:
    """A name for a message: one line, without quotes and content."""
    return printable(_cut(name))


def shown_names(names: Iterable[Any]) -> str:
    """Names separated by commas. They are cut as one text, as an image may be spread over them."""
    listed = ", ".join(one if type(one) is str else shown(one) for one in names)
    return printable(_cut(listed, _PATH_SHOWN))


def printable(text: str) -> str:
    """`text` with control characters escaped, so that it stays one line on any terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def shown(value: Any) -> str:
    """Any value for a message: one line, without content."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    kind = type(value)
    if kind is int:
        if abs(value) >= 1 << 256:
            return "an integer too large"
        return re.sub(r"(\d{16})\d+", r"\1…", str(value))
    if kind is float:
        text = repr(value)
        return text if len(re.findall(r"\d", text)) <= _RUN else f"{value:.9g}"
    if kind is str:
        return shown_text(value)
    if kind is bytes:
        return counted(len(value), "byte")
    if kind is list or kind is tuple:
        return f"an array of {len(value)}"
    if kind is dict:
        keys = shown_names(key[:_SHOWN] if type(key) is str else key for key in islice(value, 4))
        more = ", …" if len(value) > 4 and keys[-1:] != "…" else ""
        return f"an object with {keys}{more}" if value else "{}"
    return f"a {type_name(kind)}"


def type_name(kind: type) -> str:
    """The name of a class for a message."""
    return _cut(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."))


def shown_hash(sha256: str) -> str:
    """The first 16 digits of a hash."""
    return sha256[:_RUN]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: ``1 entry``, ``2 entries``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def _readable_key(key: str) -> int:
    """How many characters of a key may be shown: the head only of a data URL."""
    if key[:5].lower() == "data:":
        head = re.match(_DATA_URL, key)
        return len(head[0] if head else key[:5])
    return _readable(key, _SHOWN)


def json_path(parts: Iterable[str | int]) -> str:
    """Keys and indices as a JSON path: ``$.nodes[3].message``, with unusual keys in brackets."""
    out = ["$"]
    for part in parts:
        if isinstance(part, int):
            out.append(f"[{part}]")
        elif (size := _readable_key(part)) < len(part):
            # A key is part of the data and is cut like other text.
            cut = f"{part[:size]}... ({len(part)} characters)"
            out.append(f"[{_quoted(cut)}]")
        else:
            out.append(f".{part}" if re.match(_PLAIN_KEY, part) else f"[{_quoted(part)}]")
    return "".join(out)


class RawMMError(Exception):
    """The base of all errors.

    Attributes:
        code: a key of `CODES`. Codes are stable, so programs can branch on them.
        path: JSON path of the offending value, e.g. ``$.nodes[3].multi_modal_data``.
        expected: the value that the contract requires.
        got: the value found, shortened; never image bytes or base64.
        hint: how to fix it, or None.
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
        """Pickle the current attributes, so that errors cross process pools unchanged."""
        fields = (self.code, self.path, self.expected, self.got, self.hint)
        return _rebuild, (type(self), *fields)

    def at(
        self,
        parts: Iterable[str | int] = (),
        *,
        error_class: type[RawMMError] | None = None,
        **changes: Any,
    ) -> RawMMError:
        """A copy of this error for a value that holds the checked one at `parts`.

        Args:
            parts: keys and indices, from the root of the larger value.
            error_class: the class of the copy; None to keep the class.
            changes: new values for `code`, `path`, `expected`, `got` or `hint`. ``path="$"``
                removes the path inside the checked value.
        """
        fields = {name: getattr(self, name) for name in ("code", "path", "expected", "got", "hint")}
        fields |= changes
        fields["path"] = json_path(parts) + fields["path"].removeprefix("$")
        return _rebuild(error_class or type(self), *fields.values())

    def __str__(self) -> str:
        """``path: expected X, got Y [code] (hint)``."""
        return f"{self.path}: {self.message} [{self.code}]"

    @property
    def message(self) -> str:
        """The sentence, without path and code."""
        tail = f"; {self.hint}" if self.hint else ""
        return f"expected {self.expected}, got {self.got}{tail}"


def raise_alone(error: RawMMError) -> NoReturn:
    """Raise `error` without the exception that is being handled in its chain.

    ``from None`` only hides that exception. It stays the context, and its text may quote an image.
    """
    try:
        raise error from None
    finally:
        error.__context__ = None


def _rebuild(
    cls: type[RawMMError], code: str, path: str, expected: str, got: str, hint: str | None
) -> RawMMError:
    return cls(code, path, expected=expected, got=got, hint=hint)


class ContractError(RawMMError, ValueError):
    """The data breaks the contract: the shape, a rule between fields, or the version."""


class ProcessedPayloadError(RawMMError, TypeError):
    """A processed payload, an array or a non-JSON value instead of raw data."""


class OffloadError(RawMMError, RuntimeError):
    """An image cannot be offloaded. The value that contains it is unchanged."""


class MaterializeError(RawMMError, RuntimeError):
    """A stored image is missing, or is not the image of its descriptor."""


class NonFiniteLogprobWarning(UserWarning):
    """A reader replaced -inf in a stream of log-probabilities, as requested."""


class DeprecatedFieldWarning(FutureWarning):
    """A writer wrote a field that the contract has deprecated."""


_PAYLOAD_CODES: Final = frozenset({"processed_payload", "array_payload", "not_json"})


def contract_error(
    code: str,
    path: Iterable[str | int],
    *,
    expected: str,
    got: str,
    hint: str | None = None,
) -> ContractError | ProcessedPayloadError:
    """The error of a broken rule. Its code decides its class."""
    cls = ProcessedPayloadError if code in _PAYLOAD_CODES else ContractError
    return cls(code, json_path(path), expected=expected, got=got, hint=hint)
