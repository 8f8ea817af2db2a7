"""rawmm: the data contract for raw images in the rollouts of vision-language models."""

from rawmm import graph as graph
from rawmm import layouts as layouts
from rawmm import materialize as materialize
from rawmm import sidecar as sidecar
from rawmm import trainer as trainer
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
from rawmm.features import (
    generate_features,
)
from rawmm.layouts import (
    image_layout_fingerprint,
)
from rawmm.offload import (
    ImageOffloadStats,
    ImageStore,
    Limits,
    OffloadedRequest,
    StoredImage,
    offload_image_to_run_assets,
    offload_images_async,
    offload_images_inplace,
    offload_request,
    raw_image_path,
    run_image_dir,
)
from rawmm.refs import (
    is_raw_mm_ref,
    raw_mm_ref,
    split_raw_mm_ref,
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
from rawmm.trainer import (
    build_mm_refs,
)
from rawmm.upgrade import (
    Upgraded,
    upgrade,
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
    "OffloadedRequest",
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
    "Upgraded",
    "Usage",
    "UserMessage",
    "__version__",
    "build_mm_refs",
    "convert",
    "decode_json",
    "decode_msgpack",
    "describe_image",
    "encode_json",
    "encode_msgpack",
    "generate_features",
    "generate_with_image_ref_retry",
    "graph",
    "image_layout_fingerprint",
    "is_raw_mm_ref",
    "iter_errors",
    "layouts",
    "materialize",
    "offload_image_to_run_assets",
    "offload_images_async",
    "offload_images_inplace",
    "offload_request",
    "raw_image_path",
    "raw_mm_item",
    "raw_mm_ref",
    "run_image_dir",
    "sidecar",
    "split_raw_mm_ref",
    "to_builtins",
    "trainer",
    "upgrade",
    "validate",
]
