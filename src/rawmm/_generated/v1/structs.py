"""The structs of the rawmm data contract 1.2, generated from schemas/v1: DO NOT EDIT.

`python -m codegen` writes this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias, Union

from msgspec import Meta, field

from rawmm.model.base import ABSENT, EXTRA, Absent, Contract, Extra, OneOf, Referable, Ruled
from rawmm.model.packed import PackedStream


SCHEMA_VERSION: Final = "1.2"
"""Version of the contract: major.minor."""

PROCESSED_KEYS: Final = frozenset(
    {
        "audio_embeds",
        "audio_features",
        "audio_hidden_states",
        "audio_input_features",
        "codebook_pixel_values",
        "conditional_pixel_values",
        "decoder_inputs_embeds",
        "flattened_patches",
        "high_res_pixel_values",
        "image_embeddings",
        "image_embeds",
        "image_features",
        "image_hidden_states",
        "image_patches",
        "image_pixel_values",
        "images_crop",
        "input_audio_embeds",
        "input_audio_features",
        "input_features",
        "input_features_padded",
        "input_image_embeds",
        "input_values",
        "inputs_embeds",
        "noise_sequence",
        "patch_pixel_values",
        "pixel_values",
        "pixel_values_flat",
        "pixel_values_flat_video",
        "pixel_values_images",
        "pixel_values_local",
        "pixel_values_videos",
        "prompt_depth",
        "prompt_embeds",
        "prompt_masks",
        "prompt_pixel_values",
        "query_pixel_values",
        "video_embeds",
        "video_features",
        "video_hidden_states",
        "video_pixel_values",
        "vision_features",
        "vision_hidden_states",
        "visual_embeds",
        "whisper_input_features",
    }
)
"""Keys that only processors and encoders write, in lower case."""

MAX_DEPTH: Final = 64
"""Levels that a payload may nest."""

MAX_VALUES: Final = 16384
"""Values that a payload may hold. A shared value counts each time it occurs."""

MAX_TEXT: Final = 262144
"""Total bytes of UTF-8 in the keys and strings of a payload."""

MAX_FREE_VALUES: Final = 10000000
"""Values that other free JSON may hold, counted in the same way."""

PATTERNS: Final[dict[str, str]] = {
    "Name": r"^[A-Za-z0-9_.-]+\Z",
    "LayoutFingerprint": r"^[0-9a-f]{16,64}\Z",
    "ImageHash": r"^[0-9a-f]{16,128}\Z",
    "MediaId": r"^[^\u0000-\u001f\u007f]+\Z",
    "RawImageId": r"^([A-Za-z0-9_-]|\.([A-Za-z0-9_-]|\.[A-Za-z0-9_.-]))[A-Za-z0-9_.-]*\Z",
    "RawImageUri": r"^(file://|data:image/[a-z0-9.+-]+;base64,|[a-z][a-z0-9+.-]*://)",
    "ArrayData": r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z",
}
"""Patterns of the strings that have a definition, by its name."""


Name: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+\Z", max_length=255)]
"""A name that is safe in file names and references: at most 255 ASCII letters, digits, '_', '.'
and '-'.
"""


LayoutFingerprint: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{16,64}\Z")]
"""Lowercase hex prefix of a SHA-256, 16 to 64 digits, over the parameters that turn an image's
size into a token grid. Sides with different fingerprints lay out images differently.
"""


ImageHash: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{16,128}\Z")]
"""Lowercase hex, 16 to 128 digits: a prefix of the SHA-256 of the raw encoded bytes. Writers
use 32 digits; a reader compares every digit given.
"""


MediaId: TypeAlias = Annotated[str, Meta(pattern=r"^[^\u0000-\u001f\u007f]+\Z")]
"""Identifier of a media item in the engine's caches: any text without control characters, at
least one character. rawmm uses image hashes; callers may use ids of their own.
"""


RawImageId: TypeAlias = Annotated[str, Meta(pattern=r"^([A-Za-z0-9_-]|\.([A-Za-z0-9_-]|\.[A-Za-z0-9_.-]))[A-Za-z0-9_.-]*\Z", max_length=255)]
"""A file name inside the run's image directory, never '.' or '..'. It stays valid when the
directory moves.
"""


RawImageUri: TypeAlias = Annotated[str, Meta(pattern=r"^(file://|data:image/[a-z0-9.+-]+;base64,|[a-z][a-z0-9+.-]*://)")]
"""A complete URL: file:// with an absolute path and no host, data:image/...;base64, or a
store's own scheme.
"""


Ambiguity: TypeAlias = Literal["orientation", "transparency"]
"""A property of an image file that programs treat in different ways: an EXIF orientation other
than 1, or an alpha channel or transparent colours.
"""


TokenCount: TypeAlias = Annotated[int, Meta(ge=0, le=9007199254740991)]
"""A number of tokens."""


TokenId: TypeAlias = Annotated[int, Meta(ge=0, le=4294967295)]
"""Id of a token in the model's vocabulary."""


ArrayShape: TypeAlias = Annotated[list[Annotated[int, Meta(ge=0, le=9007199254740991)]], Meta(max_length=64)]
"""Length of each dimension of an array, outermost first; at most 64, as in numpy."""


ArrayData: TypeAlias = bytes
"""The elements of an array in C order, little-endian: bytes in MessagePack, base64 in JSON."""


class PackedTokenIds(PackedStream[int], kw_only=True, frozen=True, gc=False):  # type: ignore[misc]  # its base is mutable
    """Token ids as the bytes of one array. Each element is a TokenId."""

    __filled__: ClassVar[dict[str, Any]] = {"__nd__": True}
    __dtypes__: ClassVar[tuple[str, ...]] = ("int32", "int64",)
    __rules__: ClassVar[tuple[str, ...]] = ("packed",)

    if TYPE_CHECKING:
        nd: Literal[True] = field(default=ABSENT)
    else:
        nd: Literal[True] = field(name="__nd__")
    """Marks an encoded array."""

    dtype: Literal["int32", "int64"]
    """Type of one element, by its numpy name, little-endian. Writers use the first that holds
    all elements.
    """

    shape: ArrayShape
    """One dimension: the number of elements."""

    data: ArrayData
    """The elements: bytes in MessagePack, base64 in JSON."""


class PackedFlags(PackedStream[bool], kw_only=True, frozen=True, gc=False):  # type: ignore[misc]  # its base is mutable
    """Flags as the bytes of one array, one byte each: 0 or 1."""

    __filled__: ClassVar[dict[str, Any]] = {"__nd__": True}
    __dtypes__: ClassVar[tuple[str, ...]] = ("bool", "uint8",)
    __rules__: ClassVar[tuple[str, ...]] = ("packed",)

    if TYPE_CHECKING:
        nd: Literal[True] = field(default=ABSENT)
    else:
        nd: Literal[True] = field(name="__nd__")
    """Marks an encoded array."""

    dtype: Literal["bool", "uint8"]
    """Type of one element, by its numpy name; both are read as flags. Writers use bool."""

    shape: ArrayShape
    """One dimension: the number of elements."""

    data: ArrayData
    """The elements: bytes in MessagePack, base64 in JSON."""


class PackedFloats(PackedStream[float], kw_only=True, frozen=True, gc=False):  # type: ignore[misc]  # its base is mutable
    """Finite numbers as the bytes of one array."""

    __filled__: ClassVar[dict[str, Any]] = {"__nd__": True}
    __dtypes__: ClassVar[tuple[str, ...]] = ("float32", "float64",)
    __rules__: ClassVar[tuple[str, ...]] = ("packed",)

    if TYPE_CHECKING:
        nd: Literal[True] = field(default=ABSENT)
    else:
        nd: Literal[True] = field(name="__nd__")
    """Marks an encoded array."""

    dtype: Literal["float32", "float64"]
    """Type of one element, by its numpy name, little-endian. Writers use the first that holds
    all elements exactly.
    """

    shape: ArrayShape
    """One dimension: the number of elements."""

    data: ArrayData
    """The elements: bytes in MessagePack, base64 in JSON."""


TokenIds: TypeAlias = list[TokenId] | PackedTokenIds
"""One id per token, in token order."""


TokenFlags: TypeAlias = list[bool] | PackedFlags
"""One flag per token, in token order."""


TokenStream: TypeAlias = list[float] | PackedFloats
"""One finite number per sampled token, in token order."""


class PlaceholderRange(Contract, kw_only=True, gc=False):
    """Position of one media item's placeholder tokens in the cumulative token sequence of its
    branch.
    """

    offset: Annotated[int, Meta(ge=0, le=9007199254740991)]
    """Index of the first placeholder token, counted from the first token of the branch."""

    length: Annotated[int, Meta(ge=1, le=9007199254740991)]
    """Number of consecutive placeholder tokens, at least one."""


class RawMMItem(Ruled, kw_only=True):
    """The descriptor of one raw media item. It is JSON-safe, takes a few hundred bytes and
    never holds pixels. Without a locator it is descriptor-only: the engine is expected to have
    the item in its cache.
    """

    __filled__: ClassVar[dict[str, Any]] = {"kind": "prime_raw_mm_item", "version": 1}
    __descriptor_fields__: ClassVar[tuple[str, ...]] = ("payload",)
    __rules__: ClassVar[tuple[str, ...]] = ("payload", "locator",)

    if TYPE_CHECKING:
        kind: Literal["prime_raw_mm_item"] = field(default=ABSENT)
    else:
        kind: Literal["prime_raw_mm_item"]
    """Marks a raw media descriptor."""

    if TYPE_CHECKING:
        version: Literal[1] = field(default=ABSENT)
    else:
        version: Literal[1]
    """Version of the descriptor. Readers must refuse versions that they do not know."""

    modality: Name
    """Kind of media, e.g. 'image'. Equal to the item's key in a sidecar."""

    family: Name
    """The image layout that owns the payload, e.g. 'qwen_vl' or 'kimi_k25'."""

    layout_fingerprint: LayoutFingerprint | Absent = field(default=ABSENT)
    """Fingerprint of the layout's parameters. Optional in data; rawmm always writes it."""

    payload: dict[str, Any]
    """The family's own data, such as image_grid_thw [t, h, w] in patches."""

    vllm_modality: Name | Absent = field(default=ABSENT)
    """The engine's name for the modality if it differs, e.g. 'vision_chunk' for Kimi."""

    raw_image_id: RawImageId | Absent = field(default=ABSENT)
    """Locator: the file name of the raw image inside the run's image directory."""

    raw_image_uri: RawImageUri | Absent = field(default=ABSENT)
    """Locator: a complete URL of the raw image. At most one locator is set."""

    ambiguous: list[Ambiguity] | Absent = field(default=ABSENT)
    """What programs may decode differently, because the image states an orientation or has
    transparent colours. Absent if all decode the same pixels, or if the writer did not look.
    """


class MultiModalData(Ruled, kw_only=True):
    """The sidecar of a message or a prompt: hashes, placeholder ranges and descriptors by
    modality. For each modality, the lists that are present have equal length and describe the
    same media in prompt order.
    """

    __rules__: ClassVar[tuple[str, ...]] = ("sidecar",)

    mm_hashes: dict[Name, list[ImageHash]] = field(default_factory=dict)
    """Modality to hashes of the raw bytes, in prompt order."""

    mm_placeholders: dict[Name, list[PlaceholderRange]] = field(default_factory=dict)
    """Modality to placeholder ranges, sorted by offset, not overlapping."""

    mm_items: dict[Name, list[RawMMItem]] = field(default_factory=dict)
    """Modality to descriptors, in prompt order."""


class TextContentPart(Contract, kw_only=True, tag_field="type", tag="text", gc=False):
    """A text content part."""

    type: ClassVar[Literal["text"]] = "text"
    """The tag of the part."""

    text: str
    """The text."""


class ImageUrlSource(Contract, kw_only=True, gc=False):
    """Location of a content part's image."""

    url: str
    """Before the offload data:image/...;base64, and after it file:///absolute/path or a store's
    URL.
    """

    detail: str | Absent = field(default=ABSENT)
    """Resolution hint of OpenAI-style clients ('auto', 'low', 'high'), passed through."""


class ImageUrlContentPart(Contract, kw_only=True, tag_field="type", tag="image_url", gc=False):
    """An image content part."""

    type: ClassVar[Literal["image_url"]] = "image_url"
    """The tag of the part."""

    image_url: ImageUrlSource
    """Location of the image."""


MessagePart: TypeAlias = Union[TextContentPart, ImageUrlContentPart]
"""One part of a message's content, tagged by 'type'."""


MessageContent: TypeAlias = str | list[MessagePart]
"""Plain text, or content parts in prompt order."""


class ToolCall(Contract, kw_only=True, gc=False):
    """A tool call by the model."""

    id: str
    """Id that the tool's reply repeats."""

    type: Literal["function", "custom"] | Absent = field(default=ABSENT)
    """Kind of tool. Absent means function."""

    name: str
    """Name of the tool."""

    namespace: str | None | Absent = field(default=ABSENT)
    """Provider namespace that qualifies the name, or null."""

    arguments: str
    """The raw arguments, exactly as the model emitted them; often JSON text, never parsed here.
    """


class SystemMessage(Contract, kw_only=True, tag_field="role", tag="system"):
    """An instruction of the environment."""

    role: ClassVar[Literal["system"]] = "system"
    """The tag of the message."""

    content: MessageContent
    """Text of the message."""


class UserMessage(Contract, kw_only=True, tag_field="role", tag="user"):
    """A message of the user or the environment."""

    role: ClassVar[Literal["user"]] = "user"
    """The tag of the message."""

    content: MessageContent
    """Text and images of the message."""


class AssistantMessage(Ruled, kw_only=True, tag_field="role", tag="assistant"):
    """A message of the model."""

    __json_fields__: ClassVar[tuple[str, ...]] = ("provider_state",)
    __rules__: ClassVar[tuple[str, ...]] = ("free_json",)

    role: ClassVar[Literal["assistant"]] = "assistant"
    """The tag of the message."""

    content: str | None | Absent = field(default=ABSENT)
    """The text, or null if there is none."""

    reasoning_content: str | None | Absent = field(default=ABSENT)
    """The reasoning text, if the model returns it separately."""

    tool_calls: list[ToolCall] | None | Absent = field(default=ABSENT)
    """The tool calls, in order, or null."""

    provider_state: list[dict[str, Any]] | None | Absent = field(default=ABSENT)
    """Opaque items of the provider (signed or encrypted reasoning), replayed unchanged."""


class ToolMessage(Contract, kw_only=True, tag_field="role", tag="tool"):
    """A tool's reply to a call."""

    role: ClassVar[Literal["tool"]] = "tool"
    """The tag of the message."""

    tool_call_id: str
    """Id of the call."""

    content: MessageContent
    """The result of the tool, images included."""

    name: str | None | Absent = field(default=ABSENT)
    """Name of the tool, for templates that need it, or null."""


Message: TypeAlias = Union[SystemMessage, UserMessage, AssistantMessage, ToolMessage]
"""One chat message, tagged by 'role'."""


class Tool(Ruled, kw_only=True):
    """A tool that the model may call. Provider-specific declaration fields are kept."""

    __json_fields__: ClassVar[tuple[str, ...]] = ("parameters",)
    __rules__: ClassVar[tuple[str, ...]] = ("free_json",)

    type: str | Absent = field(default=ABSENT)
    """Kind of tool; absent means 'function'."""

    name: str
    """Name of the tool."""

    namespace: str | None | Absent = field(default=ABSENT)
    """Provider namespace that qualifies the name, or null."""

    description: str | Absent = field(default=ABSENT)
    """Description of the tool for the model."""

    parameters: dict[str, Any] | Absent = field(default=ABSENT)
    """JSON Schema of its arguments, kept unchanged."""

    strict: bool | None | Absent = field(default=ABSENT)
    """Whether the provider enforces the parameters, or null."""

    extra: Extra | Absent = field(default=ABSENT, name=EXTRA)
    """Unknown properties, kept unchanged; or None."""


class Usage(Ruled, kw_only=True, gc=False):
    """Token counts of one model call, as reported by the provider."""

    __float_fields__: ClassVar[tuple[str, ...]] = ("cost",)
    __rules__: ClassVar[tuple[str, ...]] = ("finite",)

    prompt_tokens: TokenCount
    """Prompt tokens, without those read from a cache."""

    completion_tokens: TokenCount
    """Generated tokens, reasoning included."""

    cached_input_tokens: TokenCount | None | Absent = field(default=ABSENT)
    """Prompt tokens read from a cache, or null if not reported."""

    reasoning_tokens: TokenCount | None | Absent = field(default=ABSENT)
    """Generated tokens that were reasoning, or null if not reported."""

    cost: float | None | Absent = field(default=ABSENT)
    """Cost in US dollars, or null if not reported."""


class EncodedArray(Ruled, kw_only=True, gc=False):
    """An array of numbers as raw bytes. Allowed for routing and sampling masks, but never
    inside a sidecar.
    """

    __filled__: ClassVar[dict[str, Any]] = {"__nd__": True}
    __rules__: ClassVar[tuple[str, ...]] = ("array_size",)

    if TYPE_CHECKING:
        nd: Literal[True] = field(default=ABSENT)
    else:
        nd: Literal[True] = field(name="__nd__")
    """Marks an encoded array."""

    dtype: Literal[
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64"
    ]
    """Type of one element, by its numpy name, little-endian."""

    shape: ArrayShape
    """Length of each dimension, outermost first."""

    data: ArrayData
    """The elements in C order: bytes in MessagePack, base64 in JSON."""


class SamplingMask(Ruled, kw_only=True, gc=False):
    """The set of token ids that the sampling filters kept for each sampled token, flattened."""

    __rules__: ClassVar[tuple[str, ...]] = ("sampling_mask",)

    ids: EncodedArray
    """The kept token ids of all sampled tokens, one set after another: int32, one dimension."""

    counts: EncodedArray
    """The size of each set: int32, one per sampled token."""


class WeightVersion(Contract, kw_only=True, gc=False):
    """A span of sampled tokens and the version of the weights that sampled them."""

    version: str
    """The engine's label of the weights."""

    start: TokenCount
    """Index of the span's first token among the node's sampled tokens."""

    end: TokenCount
    """Index after the span's last token."""


class TopLogprobs(Ruled, kw_only=True, gc=False):
    """The sampler's most likely tokens for each sampled token, in rows of any length,
    flattened.
    """

    __rules__: ClassVar[tuple[str, ...]] = ("top_logprobs",)

    ids: EncodedArray
    """The token ids of all rows, one row after another, most likely first: int32, one
    dimension.
    """

    logprobs: EncodedArray
    """The log-probability of each of these tokens, in nats: float32, one dimension."""

    counts: EncodedArray
    """The length of each row: int32, one per sampled token."""


class ParentLink(Contract, kw_only=True, gc=False):
    """A causal link to another node that implies no shared tokens."""

    node: Annotated[int, Meta(ge=0, le=9007199254740991)]
    """Index of the other node in the trace."""

    type: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9._:-]{0,127}\Z")]
    """Meaning of the link, e.g. 'subagent_return'."""


if TYPE_CHECKING:
    TokenSets: TypeAlias = Union[SamplingMask, EncodedArray]
else:

    class TokenSets(OneOf):
        """A set of token ids per sampled token: as ids and counts (verifiers 0.4.0), or as one
        encoded array.
        """

        members = (SamplingMask, EncodedArray)

    TokenSets.register(SamplingMask)
    TokenSets.register(EncodedArray)


class MessageNode(Ruled, kw_only=True):
    """One message and the tokens it adds. Nodes form a graph by 'parent'; the tokens of a
    root-to-leaf path, concatenated, are one training sample. Unknown fields are kept and
    written back unchanged.
    """

    __float_fields__: ClassVar[tuple[str, ...]] = (
        "timestamp", "logprobs", "advantages", "reference_logprobs", "trainer_logprobs",
        "entropies", "loss_weights",
    )
    __rules__: ClassVar[tuple[str, ...]] = ("finite", "streams", "outputs", "images",)

    parent: Annotated[int, Meta(ge=0, le=9007199254740991)] | None | Absent = field(default=ABSENT)
    """Index of the node of the previous message, which comes before this one; null or absent
    for a root.
    """

    message: Message
    """The message."""

    sampled: bool = field(default=False)
    """Whether a model call produced the message; false if it came from a prompt."""

    timestamp: float | Absent = field(default=ABSENT)
    """Creation time of the node, in seconds since the epoch."""

    token_ids: TokenIds = field(default_factory=list)
    """The tokens this message adds, template scaffold included. Empty if no renderer ran."""

    mask: TokenFlags = field(default_factory=list)
    """One flag per token: true if the model sampled it, so that it is trained on."""

    is_content: TokenFlags = field(default_factory=list)
    """One flag per token: true for message text, false for template scaffold; or empty."""

    logprobs: TokenStream = field(default_factory=list)
    """Sampling log-probability of each token that is true in mask, in nats; or empty."""

    finish_reason: Literal[
        "stop", "length", "tool_calls"
    ] | None | Absent = field(default=ABSENT)
    """Why the model stopped, or null."""

    usage: Usage | None | Absent = field(default=ABSENT)
    """Token counts of the call, or null."""

    advantages: TokenStream | None | Absent = field(default=ABSENT)
    """Credit per sampled token. Null means not assigned, which is not zero."""

    reference_logprobs: TokenStream | None | Absent = field(default=ABSENT)
    """Log-probability under the reference model per sampled token, or null."""

    trainer_logprobs: TokenStream | None | Absent = field(default=ABSENT)
    """Log-probability recomputed by the trainer per sampled token, or null."""

    entropies: TokenStream | None | Absent = field(default=ABSENT)
    """Policy entropy per sampled token in nats, or null."""

    loss_weights: dict[str, TokenStream] | None | Absent = field(default=ABSENT)
    """Named loss weights, each one number per token of token_ids, or null."""

    tools: list[Tool] | Absent = field(default=ABSENT)
    """Tools rendered into the branch's prompt; on root nodes only."""

    semantic_parents: list[ParentLink] | Absent = field(default=ABSENT)
    """Causal links from other nodes, which add no tokens and may form cycles."""

    multi_modal_data: MultiModalData | None | Absent = field(default=ABSENT)
    """Sidecar of the media that this node's message introduces, or null."""

    routed_experts: EncodedArray | None | Absent = field(default=ABSENT)
    """Experts chosen for each token of this node: [tokens, layers, top_k], or null."""

    sampling_mask: TokenSets | None | Absent = field(default=ABSENT)
    """Token ids that survived the sampling filters, per sampled token, or null."""

    kept_tokens: TokenSets | None | Absent = field(default=ABSENT)
    """The name of sampling_mask before August 2026, or null."""

    weight_versions: list[WeightVersion] | None | Absent = field(default=ABSENT)
    """Versions of the weights that sampled the node's tokens, or null. Spans are sorted and
    disjoint.
    """

    top_logprobs: TopLogprobs | None | Absent = field(default=ABSENT)
    """The sampler's most likely tokens per sampled token, or null."""

    extra: Extra | Absent = field(default=ABSENT, name=EXTRA)
    """Unknown properties, kept unchanged; or None."""


class Trace(Referable, kw_only=True):
    """A rollout record: the message graph and other fields of the writer. Unknown fields are
    kept and written back unchanged.
    """

    __filled__: ClassVar[dict[str, Any]] = {"nodes": []}
    __wire_fields__: ClassVar[tuple[str, ...]] = (
        "version", "id", "verifiers", "task", "agent", "tools", "calls", "request_rewrites",
        "response_rewrites", "rewards", "metrics", "info", "root_reply", "extra_usage",
        "is_completed", "ok", "stop_condition", "is_timeout", "errors", "timing",
        "num_input_tokens", "num_output_tokens", "num_total_tokens",
    )
    __rules__: ClassVar[tuple[str, ...]] = ("wire_values", "graph",)

    version: Any | Absent = field(default=ABSENT)
    """Version of the writer's record, not of this contract."""

    id: Any | Absent = field(default=ABSENT)
    """Unique id of the rollout."""

    verifiers: Any | Absent = field(default=ABSENT)
    """Version of the package that wrote the record."""

    task: Any | Absent = field(default=ABSENT)
    """The task that was solved."""

    agent: Any | Absent = field(default=ABSENT)
    """The agent that solved it."""

    tools: Any | Absent = field(default=ABSENT)
    """Tools seen across requests."""

    if TYPE_CHECKING:
        nodes: list[MessageNode] = field(default=ABSENT)
    else:
        nodes: list[MessageNode]
    """The message graph. A node's parent comes before it."""

    calls: Any | Absent = field(default=ABSENT)
    """The model calls that committed nodes."""

    mm_token_type_id_map: dict[Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,9})\Z")], Annotated[int, Meta(ge=0, le=255)]] | Absent = field(default=ABSENT)
    """Placeholder token id, as text, to the kind of media: 1 image, 2 video."""

    request_rewrites: Any | Absent = field(default=ABSENT)
    """Changes made to requests, in order."""

    response_rewrites: Any | Absent = field(default=ABSENT)
    """Changes made to responses, in order."""

    rewards: Any | Absent = field(default=ABSENT)
    """Named rewards."""

    metrics: Any | Absent = field(default=ABSENT)
    """Named metrics."""

    info: Any | Absent = field(default=ABSENT)
    """The task's own notes."""

    root_reply: Any | Absent = field(default=ABSENT)
    """The root agent's reply, if the trace has descendants."""

    extra_usage: Any | Absent = field(default=ABSENT)
    """Token counts of calls outside the graph."""

    is_completed: Any | Absent = field(default=ABSENT)
    """Whether the rollout ended."""

    ok: Any | Absent = field(default=ABSENT)
    """Whether it ended without an error."""

    stop_condition: Any | Absent = field(default=ABSENT)
    """What ended it."""

    is_timeout: Any | Absent = field(default=ABSENT)
    """Whether a deadline ended it."""

    errors: Any | Absent = field(default=ABSENT)
    """Errors of all attempts, oldest first."""

    timing: Any | Absent = field(default=ABSENT)
    """Start and end of its stages, in seconds since the epoch."""

    num_input_tokens: Any | Absent = field(default=ABSENT)
    """Tokens fed in, as the writer counted them."""

    num_output_tokens: Any | Absent = field(default=ABSENT)
    """Tokens generated, as the writer counted them."""

    num_total_tokens: Any | Absent = field(default=ABSENT)
    """Both together."""

    extra: Extra | Absent = field(default=ABSENT, name=EXTRA)
    """Unknown properties, kept unchanged; or None."""


class Episode(Ruled, kw_only=True):
    """The traces of one run of an environment, and the record around them: a line of verifiers'
    traces.jsonl. Unknown fields are kept and written back unchanged.
    """

    __filled__: ClassVar[dict[str, Any]] = {"traces": []}
    __wire_fields__: ClassVar[tuple[str, ...]] = (
        "id", "env", "task", "group", "run", "ok", "is_timeout", "errors", "num_input_tokens",
        "num_output_tokens", "num_total_tokens",
    )
    __rules__: ClassVar[tuple[str, ...]] = ("wire_values",)

    id: Any | Absent = field(default=ABSENT)
    """Unique id of the episode."""

    env: Any | Absent = field(default=ABSENT)
    """The environment that ran it."""

    task: Any | Absent = field(default=ABSENT)
    """The task that was dispatched."""

    group: Any | Absent = field(default=ABSENT)
    """The rollout group that it belongs to."""

    run: Any | Absent = field(default=ABSENT)
    """The run that it belongs to."""

    ok: Any | Absent = field(default=ABSENT)
    """Whether it ended without an error."""

    is_timeout: Any | Absent = field(default=ABSENT)
    """Whether a deadline of the environment ended it."""

    errors: Any | Absent = field(default=ABSENT)
    """Errors of all attempts, oldest first."""

    if TYPE_CHECKING:
        traces: list[Trace] = field(default=ABSENT)
    else:
        traces: list[Trace]
    """The traces of its agents, in order of completion."""

    num_input_tokens: Any | Absent = field(default=ABSENT)
    """Tokens fed in, as the writer counted them."""

    num_output_tokens: Any | Absent = field(default=ABSENT)
    """Tokens generated, as the writer counted them."""

    num_total_tokens: Any | Absent = field(default=ABSENT)
    """Both together."""

    extra: Extra | Absent = field(default=ABSENT, name=EXTRA)
    """Unknown properties, kept unchanged; or None."""


class RawMMRef(Ruled, kw_only=True):
    """The content of a reference string 'mmraw:<compact sorted JSON>': the image, its layout
    and its location.
    """

    __descriptor_fields__: ClassVar[tuple[str, ...]] = ("payload",)
    __rules__: ClassVar[tuple[str, ...]] = ("payload", "locator", "ref",)

    family: Name
    """The image layout that owns the payload."""

    fingerprint: LayoutFingerprint | Absent = field(default=ABSENT)
    """Fingerprint of the layout's parameters; absent in references of August 2026."""

    modality: Name
    """Kind of media, e.g. 'image'."""

    mm_hash: ImageHash
    """Hash of the raw bytes."""

    payload: dict[str, Any] | Absent = field(default=ABSENT)
    """The family's own data."""

    raw_image_id: RawImageId | Absent = field(default=ABSENT)
    """Locator: a file name inside the run's image directory."""

    raw_image_uri: RawImageUri | Absent = field(default=ABSENT)
    """Locator: a complete URL."""


class GenerateFeatures(Ruled, kw_only=True):
    """The 'features' object of an engine request, as vLLM 0.33 reads it: per modality the ids,
    ranges and data of the media in the prompt. All maps have the same modalities, with lists of
    the same lengths.
    """

    __rules__: ClassVar[tuple[str, ...]] = ("features",)

    mm_hashes: dict[Name, list[MediaId]]
    """Modality to the ids of the media in the engine's caches, in prompt order: image hashes,
    or ids of the caller.
    """

    mm_placeholders: dict[Name, list[PlaceholderRange]]
    """Modality to placeholder ranges in the prompt, sorted by offset. No two overlap, whatever
    their modalities.
    """

    kwargs_data: dict[Name, list[Annotated[str, Meta(pattern=r"^(mmraw:|[A-Za-z0-9+/]{2})")] | None]] | None | Absent = field(default=ABSENT)
    """Modality to the data of each item: a reference 'mmraw:...', the engine's own encoding in
    base64, or null, which means 'resolve from the engine's cache'. Null for all, too.
    """

    mm_metadata: dict[Name, list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{2}")] | None]] | None | Absent = field(default=ABSENT)
    """Modality to the engine's own encoding of each item's metadata, without its data, in
    base64; or null.
    """


class ContentPart(Contract, kw_only=True, gc=False):
    """One image of an engine request's 'content_parts', as vLLM 0.33 reads it: the engine loads
    the image and expands its placeholder token.
    """

    __filled__: ClassVar[dict[str, Any]] = {"type": "image_url"}

    if TYPE_CHECKING:
        type: Literal["image_url"] = field(default=ABSENT)
    else:
        type: Literal["image_url"]
    """Kind of the part."""

    url: str
    """URL of the image: file://, data: or http(s)://."""

    uuid: MediaId | Absent = field(default=ABSENT)
    """Id of the image in the engine's caches, in place of a hash of its content."""


class MMImageItem(Ruled, kw_only=True):
    """The descriptor inside a trainer-bound reference: a RawMMItem whose version may be absent,
    because the transport of 2026-08 omits it.
    """

    __filled__: ClassVar[dict[str, Any]] = {"kind": "prime_raw_mm_item"}
    __descriptor_fields__: ClassVar[tuple[str, ...]] = ("payload",)
    __rules__: ClassVar[tuple[str, ...]] = ("payload", "locator",)

    if TYPE_CHECKING:
        kind: Literal["prime_raw_mm_item"] = field(default=ABSENT)
    else:
        kind: Literal["prime_raw_mm_item"]
    """Marks a raw media descriptor."""

    version: Literal[1] | Absent = field(default=ABSENT)
    """Version of the descriptor, if the writer gives one."""

    modality: Name
    """Kind of media: 'image' on this transport."""

    family: Name
    """The image layout that owns the payload."""

    layout_fingerprint: LayoutFingerprint | Absent = field(default=ABSENT)
    """Fingerprint of the layout's parameters."""

    payload: dict[str, Any]
    """The family's own data, such as image_grid_thw."""

    vllm_modality: Name | Absent = field(default=ABSENT)
    """The engine's name for the modality if it differs."""

    raw_image_id: RawImageId | Absent = field(default=ABSENT)
    """Locator: a file name inside the run's image directory."""

    raw_image_uri: RawImageUri | Absent = field(default=ABSENT)
    """Locator: a complete URL."""

    ambiguous: list[Ambiguity] | Absent = field(default=ABSENT)
    """What programs may decode differently, because the image states an orientation or has
    transparent colours. Absent if all decode the same pixels, or if the writer did not look.
    """


class MMImageRef(Ruled, array_like=True):
    """One image of a training sample: its descriptor, hash, URL and placeholder span."""

    __rules__: ClassVar[tuple[str, ...]] = ("image_ref",)

    item: MMImageItem
    """The descriptor."""

    hash: ImageHash
    """Hash of the raw bytes."""

    uri: RawImageUri
    """URL from which the trainer reads the raw image."""

    offset: Annotated[int, Meta(ge=0, le=9007199254740991)]
    """Index of the first placeholder token in the sample."""

    length: Annotated[int, Meta(ge=1, le=9007199254740991)]
    """Number of placeholder tokens."""


class MMRefs(Ruled, array_like=True):
    """The images of one training sample, in token order."""

    __rules__: ClassVar[tuple[str, ...]] = ("image_refs",)

    images: list[MMImageRef]
    """The references, sorted by offset, not overlapping."""


__all__ = [
    "Ambiguity",
    "ArrayData",
    "ArrayShape",
    "AssistantMessage",
    "ContentPart",
    "EncodedArray",
    "Episode",
    "GenerateFeatures",
    "ImageHash",
    "ImageUrlContentPart",
    "ImageUrlSource",
    "LayoutFingerprint",
    "MMImageItem",
    "MMImageRef",
    "MMRefs",
    "MediaId",
    "Message",
    "MessageContent",
    "MessageNode",
    "MessagePart",
    "MultiModalData",
    "Name",
    "PackedFlags",
    "PackedFloats",
    "PackedTokenIds",
    "ParentLink",
    "PlaceholderRange",
    "RawImageId",
    "RawImageUri",
    "RawMMItem",
    "RawMMRef",
    "SamplingMask",
    "SystemMessage",
    "TextContentPart",
    "TokenCount",
    "TokenFlags",
    "TokenId",
    "TokenIds",
    "TokenSets",
    "TokenStream",
    "Tool",
    "ToolCall",
    "ToolMessage",
    "TopLogprobs",
    "Trace",
    "Usage",
    "UserMessage",
    "WeightVersion",
]


TYPES: Final[dict[str, type[Contract]]] = {
    "PackedTokenIds": PackedTokenIds,
    "PackedFlags": PackedFlags,
    "PackedFloats": PackedFloats,
    "PlaceholderRange": PlaceholderRange,
    "RawMMItem": RawMMItem,
    "MultiModalData": MultiModalData,
    "TextContentPart": TextContentPart,
    "ImageUrlSource": ImageUrlSource,
    "ImageUrlContentPart": ImageUrlContentPart,
    "ToolCall": ToolCall,
    "SystemMessage": SystemMessage,
    "UserMessage": UserMessage,
    "AssistantMessage": AssistantMessage,
    "ToolMessage": ToolMessage,
    "Tool": Tool,
    "Usage": Usage,
    "EncodedArray": EncodedArray,
    "SamplingMask": SamplingMask,
    "WeightVersion": WeightVersion,
    "TopLogprobs": TopLogprobs,
    "ParentLink": ParentLink,
    "MessageNode": MessageNode,
    "Trace": Trace,
    "Episode": Episode,
    "RawMMRef": RawMMRef,
    "GenerateFeatures": GenerateFeatures,
    "ContentPart": ContentPart,
    "MMImageItem": MMImageItem,
    "MMImageRef": MMImageRef,
    "MMRefs": MMRefs,
}
"""Every struct by the name of its definition."""
