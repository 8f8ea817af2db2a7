"""The table of image forms: how the messages of each client hold an image.

To add a form, add an entry to `FORMS` and a row to the table of tests. Every entry point that looks
for images reads this table: offload of values and of bytes, the verifiers mixin, and the commands.

An image is at the end of the keys `ImageForm.at`, below an object that has the values
`ImageForm.having`. `ImageForm.written` is what changes in this object when the image is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.media import IMAGE
from rawmm.offload.containers import REMOVED

if TYPE_CHECKING:
    from collections.abc import Mapping

    Keys = tuple[str, ...]


class Fill(Enum):
    """A value that the stored image gives."""

    URL = auto()
    """Its URL."""
    MEDIA_TYPE = auto()
    """Its media type, e.g. ``image/png``."""
    FORMAT = auto()
    """Its media type without ``image/``."""
    FILE_NAME = auto()
    """Its file name in the store."""


class Within(NamedTuple):
    """Changes of an object inside of the form.

    Attributes:
        changes: new values of its fields.
        name: its new key, if it gets one.
        unless_empty: whether it is removed when the changes leave nothing in it.
    """

    changes: Mapping[str, Any]
    name: str | None = None
    unless_empty: bool = False


class Moved(NamedTuple):
    """The text at other keys of the form, or a new value if there is none."""

    keys: Keys
    otherwise: Fill


class Holds(Enum):
    """What stands in the place of the image."""

    URL = auto()
    """A URL, or base64. A reference can stand there."""
    BASE64 = auto()
    """Base64 or bytes only."""
    EACH = auto()
    """A list of images: URLs, base64, bytes, pictures of Pillow, or objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForm:
    """One way in which a client holds an image.

    Attributes:
        name: the name in errors and in docs/image-forms.md.
        at: keys from the object of the form to the image.
        types: what the ``type`` of the object may be; empty for any. None stands for a missing or
            null ``type``.
        having: further fields, by their keys from the object, and their values. True stands for any
            value but null; a tuple for one of its values; a type for values of it.
        media_type: names under which the object that holds the image may declare its type.
        holds: what stands in the place of the image.
        labelled: whether the form holds other media, too. It is an image if its declared type, or
            its data, says so.
        url_safe: whether clients write base64 in the URL-safe alphabet.
        in_list: whether the object must be an entry of a list of images.
        written: what changes when the image is stored. A declared type that is wrong is corrected.
        replaces: keys of values that the reference may replace, because they say where the image
            came from. A value under any other key of a new URL is refused.
    """

    name: str
    at: Keys
    types: tuple[str | None, ...] = ()
    having: Mapping[Keys, Any] = field(default_factory=dict)
    media_type: Keys = ()
    holds: Holds = Holds.URL
    labelled: bool = False
    url_safe: bool = False
    in_list: bool = False
    written: Mapping[str, Any]
    replaces: Keys = ()
    in_place: bool = field(init=False)
    """Whether the reference stands where the image was."""

    def __post_init__(self) -> None:
        """Compute what follows from the entry."""
        slot: Any = self.written
        for key in self.at:
            slot = slot.changes if isinstance(slot, Within) else slot
            slot = slot.get(key) if isinstance(slot, dict) else None
        object.__setattr__(self, "in_place", slot is Fill.URL or self.holds is Holds.EACH)


_CHAT_TYPES: Final = (*IMAGE.wire_types, None)
CHAT: Final = {"type": "image_url", "image_url": {"url": Fill.URL}}
"""What becomes of a part without a place for a URL."""
_MEDIA_TYPE: Final = ("mediaType", "mimeType", "media_type", "mime_type", "contentType")


def _in_place(*keys: str) -> Mapping[str, Any]:
    """Put the reference where the image was."""
    first, *rest = keys
    return {first: Within(_in_place(*rest)) if rest else Fill.URL}


def _gemini(inline: str, stored: str, uri: str, media_type: str) -> tuple[ImageForm, ImageForm]:
    return (
        ImageForm(
            name=f"Gemini {inline}",
            at=(inline, "data"),
            media_type=_MEDIA_TYPE,
            holds=Holds.BASE64,
            labelled=True,
            url_safe=True,
            written={
                inline: Within(
                    {"data": REMOVED, media_type: Fill.MEDIA_TYPE, uri: Fill.URL}, name=stored
                )
            },
        ),
        ImageForm(
            name=f"Gemini {stored}",
            at=(stored, uri),
            media_type=_MEDIA_TYPE,
            labelled=True,
            written=_in_place(stored, uri),
        ),
    )


FORMS: Final = (
    ImageForm(
        name="chat image_url",
        at=("image_url", "url"),
        types=_CHAT_TYPES,
        written={"type": "image_url", "image_url": Within({"url": Fill.URL})},
    ),
    ImageForm(
        name="chat image_url as a string", at=("image_url",), types=_CHAT_TYPES, written=CHAT
    ),
    ImageForm(
        name="AI SDK image",
        at=("image",),
        types=("image",),
        having={("mediaType",): True},
        media_type=_MEDIA_TYPE,
        written=_in_place("image"),
    ),
    ImageForm(
        name="AI SDK 4 image",
        at=("image",),
        types=("image",),
        having={("mimeType",): True},
        media_type=_MEDIA_TYPE,
        written=_in_place("image"),
    ),
    ImageForm(
        name="chat image", at=("image",), types=_CHAT_TYPES, written={**CHAT, "image": REMOVED}
    ),
    ImageForm(
        name="image of a datasets column",
        at=("image", "bytes"),
        types=_CHAT_TYPES,
        holds=Holds.BASE64,
        written={**CHAT, "image": REMOVED},
    ),
    ImageForm(
        name="Responses input_image",
        at=("image_url",),
        types=("input_image", "computer_screenshot"),
        written=_in_place("image_url"),
    ),
    ImageForm(
        name="Responses input_image with an object",
        at=("image_url", "url"),
        types=("input_image", "computer_screenshot"),
        written=_in_place("image_url", "url"),
    ),
    ImageForm(
        name="Responses input_file",
        at=("file_data",),
        types=("input_file",),
        labelled=True,
        written={"file_data": REMOVED, "file_url": Fill.URL},
    ),
    ImageForm(
        name="Responses input_file by URL",
        at=("file_url",),
        types=("input_file",),
        labelled=True,
        written=_in_place("file_url"),
    ),
    ImageForm(
        name="chat file",
        at=("file", "file_data"),
        types=("file", None),
        labelled=True,
        written={**CHAT, "file": Within({"file_data": REMOVED}, unless_empty=True)},
    ),
    ImageForm(
        name="Anthropic base64 source",
        at=("data",),
        types=("base64",),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        labelled=True,
        written={"type": "url", "url": Fill.URL, "data": REMOVED, "media_type": REMOVED},
    ),
    ImageForm(
        name="Anthropic url source",
        at=("source", "url"),
        types=("image",),
        having={("source", "type"): ("url",)},
        written=_in_place("source", "url"),
    ),
    ImageForm(
        name="AG-UI data source",
        at=("value",),
        types=("data",),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        labelled=True,
        written={"type": "url", "value": Fill.URL},
    ),
    ImageForm(
        name="AG-UI url source",
        at=("source", "value"),
        types=("image",),
        having={("source", "type"): ("url",)},
        written=_in_place("source", "value"),
    ),
    ImageForm(
        name="AG-UI binary",
        at=("data",),
        types=("binary",),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        labelled=True,
        written={"data": REMOVED, "url": Fill.URL},
    ),
    ImageForm(
        name="AG-UI binary by URL",
        at=("url",),
        types=("binary",),
        media_type=_MEDIA_TYPE,
        labelled=True,
        written=_in_place("url"),
    ),
    ImageForm(
        name="LangChain 0.3 base64",
        at=("data",),
        types=("image", "file"),
        having={("source_type",): ("base64",)},
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        labelled=True,
        written={"source_type": "url", "data": REMOVED, "url": Fill.URL},
    ),
    ImageForm(
        name="LangChain base64",
        at=("base64",),
        types=("image", "file"),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        labelled=True,
        written={"base64": REMOVED, "url": Fill.URL},
    ),
    ImageForm(
        name="LangChain media",
        at=("data",),
        types=("media",),
        having={("mime_type",): True},
        media_type=("mime_type",),
        holds=Holds.BASE64,
        labelled=True,
        written={"data": REMOVED, "file_uri": Fill.URL},
    ),
    ImageForm(
        name="LangChain media by URL",
        at=("file_uri",),
        types=("media",),
        media_type=("mime_type",),
        labelled=True,
        written=_in_place("file_uri"),
    ),
    ImageForm(
        name="image by url",
        at=("url",),
        types=("image", "image-url"),
        media_type=_MEDIA_TYPE,
        written=_in_place("url"),
    ),
    ImageForm(name="image by path", at=("path",), types=("image",), written=_in_place("path")),
    ImageForm(
        name="MCP image",
        at=("data",),
        types=("image",),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        written={
            "type": "resource_link",
            "uri": Fill.URL,
            "name": Moved(("name",), Fill.FILE_NAME),
            "data": REMOVED,
        },
    ),
    ImageForm(
        name="MCP resource",
        at=("resource", "blob"),
        types=("resource",),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        labelled=True,
        written={
            "type": "resource_link",
            "uri": Fill.URL,
            "name": Moved(("resource", "uri"), Fill.FILE_NAME),
            "mimeType": Fill.MEDIA_TYPE,
            "resource": Within(
                {"blob": REMOVED, "uri": REMOVED, **dict.fromkeys(_MEDIA_TYPE, REMOVED)},
                unless_empty=True,
            ),
        },
    ),
    ImageForm(
        name="MCP resource_link",
        at=("uri",),
        types=("resource_link",),
        media_type=_MEDIA_TYPE,
        labelled=True,
        written=_in_place("uri"),
    ),
    ImageForm(
        name="AI SDK image-data",
        at=("data",),
        types=("image-data",),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        written={"type": "image-url", "data": REMOVED, "url": Fill.URL},
    ),
    ImageForm(
        name="AI SDK file-data",
        at=("data",),
        types=("file-data",),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        labelled=True,
        written={"type": "file-url", "data": REMOVED, "url": Fill.URL},
    ),
    ImageForm(
        name="AI SDK media",
        at=("data",),
        types=("media",),
        media_type=("mediaType",),
        holds=Holds.BASE64,
        labelled=True,
        written={"type": "image-url", "data": REMOVED, "url": Fill.URL},
    ),
    ImageForm(
        name="AI SDK file",
        at=("data",),
        types=("file",),
        media_type=_MEDIA_TYPE,
        labelled=True,
        written=_in_place("data"),
    ),
    ImageForm(
        name="AI SDK file by URL",
        at=("url",),
        types=("file", "file-url"),
        media_type=_MEDIA_TYPE,
        labelled=True,
        written=_in_place("url"),
    ),
    ImageForm(
        name="AI SDK attachment",
        at=("url",),
        types=(None,),
        having={("contentType",): True},
        media_type=("contentType",),
        labelled=True,
        written=_in_place("url"),
    ),
    ImageForm(
        name="entry of a list by url",
        at=("url",),
        types=(None,),
        in_list=True,
        written=_in_place("url"),
    ),
    ImageForm(
        name="A2A file",
        at=("file", "bytes"),
        media_type=_MEDIA_TYPE,
        holds=Holds.BASE64,
        labelled=True,
        written={"file": Within({"bytes": REMOVED, "uri": Fill.URL})},
    ),
    ImageForm(
        name="A2A file by URL",
        at=("file", "uri"),
        media_type=_MEDIA_TYPE,
        labelled=True,
        written=_in_place("file", "uri"),
    ),
    *_gemini("inlineData", "fileData", "fileUri", "mimeType"),
    *_gemini("inline_data", "file_data", "file_uri", "mime_type"),
    ImageForm(
        name="Bedrock image",
        at=("image", "source", "bytes"),
        holds=Holds.BASE64,
        written={
            "image": Within(
                {
                    "format": Fill.FORMAT,
                    "source": Within({"bytes": REMOVED, "s3Location": {"uri": Fill.URL}}),
                }
            )
        },
    ),
    ImageForm(
        name="Bedrock image by URL",
        at=("image", "source", "s3Location", "uri"),
        written=_in_place("image", "source", "s3Location", "uri"),
    ),
    ImageForm(
        name="entry of a datasets column",
        at=("bytes",),
        holds=Holds.BASE64,
        labelled=True,
        written={"bytes": None, "path": Fill.URL},
        replaces=("path",),
    ),
    ImageForm(
        name="entry of a datasets column by path",
        at=("path",),
        having={("bytes",): (type(None),)},
        labelled=True,
        written=_in_place("path"),
    ),
    ImageForm(name="images beside the messages", at=("images",), holds=Holds.EACH, written={}),
    ImageForm(
        name="frames of a video",
        at=("video",),
        types=("video", None),
        holds=Holds.EACH,
        written={},
    ),
)
"""Every form. Where two fit an object, the first one counts."""

FORMS_BY_KEY: Final[dict[str, tuple[ImageForm, ...]]] = {
    key: tuple(form for form in FORMS if form.at[0] == key) for key in {one.at[0] for one in FORMS}
}
"""The forms by the key that the object of the form has."""

FORM_KEYS: Final = frozenset(FORMS_BY_KEY)

PARTS: Final = frozenset({*IMAGE.wire_types, "input_image", "computer_screenshot"})
"""Types of content parts that hold an image and nothing else."""

PART_KEYS: Final = frozenset(
    form.at[0] for form in FORMS if PARTS.intersection(one for one in form.types if one)
)
"""Keys under which such a part can hold it."""

OTHER_MEDIA: Final = frozenset(
    {
        *("audio", "audio_url", "input_audio", "video", "video_url", "input_video"),
        *("document", "file", "input_file"),
    }
)
"""Types of content parts that hold audio, video or a document."""

TEXT: Final = frozenset(
    {
        *("text", "content", "input", "output", "prompt", "instructions", "system"),
        *("system_prompt", "query", "question", "answer", "completion"),
        *("thinking", "reasoning", "reasoning_content", "refusal"),
    }
)
"""Keys of text. A string under them is never judged, whatever it looks like."""

ARGUMENTS: Final = frozenset({"arguments", "args", "partial_json"})
"""Keys of the arguments of a tool call. Nothing below them is an image, beside one of `CALLS`."""

DECLARATIONS: Final = frozenset(
    {
        *("tools", "functions", "function_declarations", "functionDeclarations", "toolConfig"),
        *("parameters", "schema", "json_schema", "input_schema", "inputSchema", "output_schema"),
        *("outputSchema", "response_format", "response_schema", "responseSchema"),
    }
)
"""Keys of tools and schemas. Nothing below them is an image, unless they are in a message."""

SIDECARS: Final = frozenset(
    {
        *("mm_items", "mm_hashes", "mm_placeholders", "kwargs_data"),
        *("raw_image_id", "raw_image_uri", "raw_image_data"),
    }
)
"""Keys of descriptors and sidecars, whose locators may be data URLs."""

CALLS: Final = frozenset({"name", "toolName", "toolUseId", "toolCallId", "tool_call_id"})
"""Keys of tool calls, whose arguments and ``input`` are free JSON."""


def form_names() -> str:
    """Names of some forms, for an error."""
    return (
        '{"type": "image_url", "image_url": {"url": ...}}, input_image, an Anthropic, MCP, '
        "LangChain, AI SDK, Gemini or Bedrock image, or a list under images"
    )
