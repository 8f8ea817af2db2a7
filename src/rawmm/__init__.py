"""rawmm: the data contract for raw images in the rollouts of vision-language models."""

from rawmm import graph as graph
from rawmm import layouts as layouts
from rawmm import sidecar as sidecar
from rawmm._version import (
    __version__,
)
from rawmm.codec import (
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
)
from rawmm.conversion import (
    convert,
    to_builtins,
)
from rawmm.describe import (
    DescribedImage,
    describe_image,
)
from rawmm.descriptors import (
    raw_mm_item,
)
from rawmm.errors import (
    ContractError,
    MaterializeError,
    OffloadError,
    ProcessedPayloadError,
    RawMMError,
)
from rawmm.layouts import (
    image_layout_fingerprint,
)
from rawmm.offload import (
    ImageOffloadStats,
    ImageStore,
    Limits,
    StoredImage,
    offload_image_to_run_assets,
    offload_images_async,
    offload_images_inplace,
    raw_image_path,
    run_image_dir,
)
from rawmm.response import (
    Response,
    TurnTokens,
)
from rawmm.retry import (
    generate_with_image_ref_retry,
)
from rawmm.structs import (
    PROCESSED_KEYS,
    SCHEMA_VERSION,
    AssistantMessage,
    ContentPart,
    EncodedArray,
    GenerateFeatures,
    ImageUrlContentPart,
    ImageUrlSource,
    Message,
    MessageNode,
    MMImageItem,
    MMImageRef,
    MMRefs,
    MultiModalData,
    ParentLink,
    PlaceholderRange,
    RawMMItem,
    RawMMRef,
    SamplingMask,
    SystemMessage,
    TextContentPart,
    Tool,
    ToolCall,
    ToolMessage,
    Trace,
    Usage,
    UserMessage,
)
from rawmm.validate import (
    iter_errors,
    validate,
)

__all__ = [
    "PROCESSED_KEYS",
    "SCHEMA_VERSION",
    "AssistantMessage",
    "ContentPart",
    "ContractError",
    "DescribedImage",
    "EncodedArray",
    "GenerateFeatures",
    "ImageOffloadStats",
    "ImageStore",
    "ImageUrlContentPart",
    "ImageUrlSource",
    "Limits",
    "MMImageItem",
    "MMImageRef",
    "MMRefs",
    "MaterializeError",
    "Message",
    "MessageNode",
    "MultiModalData",
    "OffloadError",
    "ParentLink",
    "PlaceholderRange",
    "ProcessedPayloadError",
    "RawMMError",
    "RawMMItem",
    "RawMMRef",
    "Response",
    "SamplingMask",
    "StoredImage",
    "SystemMessage",
    "TextContentPart",
    "Tool",
    "ToolCall",
    "ToolMessage",
    "Trace",
    "TurnTokens",
    "Usage",
    "UserMessage",
    "__version__",
    "convert",
    "decode_json",
    "decode_msgpack",
    "describe_image",
    "encode_json",
    "encode_msgpack",
    "generate_with_image_ref_retry",
    "graph",
    "image_layout_fingerprint",
    "iter_errors",
    "layouts",
    "offload_image_to_run_assets",
    "offload_images_async",
    "offload_images_inplace",
    "raw_image_path",
    "raw_mm_item",
    "run_image_dir",
    "sidecar",
    "to_builtins",
    "validate",
]
