"""rawmm: the data contract for raw images in the rollouts of vision-language models."""

from rawmm.codec import (
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    to_builtins,
)
from rawmm.descriptors import raw_mm_item
from rawmm.errors import (
    ContractError,
    MaterializeError,
    OffloadError,
    ProcessedPayloadError,
    RawMMError,
)
from rawmm.structs import (
    PROCESSED_KEYS,
    SCHEMA_VERSION,
    AssistantMessage,
    EncodedArray,
    GenerateFeatures,
    ImageUrlContentPart,
    ImageUrlSource,
    MessageNode,
    MMImageRef,
    MMRefs,
    MultiModalData,
    PlaceholderRange,
    RawMMItem,
    RawMMRef,
    SystemMessage,
    TextContentPart,
    Tool,
    ToolCall,
    ToolMessage,
    Trace,
    Usage,
    UserMessage,
)
from rawmm.validate import iter_errors, validate
