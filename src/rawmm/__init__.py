"""rawmm: the data contract for raw images in the rollouts of vision-language models.

Importing loads what reads and writes the types; the rest loads on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

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
from rawmm.descriptors import (
    raw_mm_item,
)
from rawmm.errors import (
    ContractError,
    MaterializeError,
    NonFiniteLogprobWarning,
    OffloadError,
    ProcessedPayloadError,
    RawMMError,
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
    PackedFlags,
    PackedFloats,
    PackedTokenIds,
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
from rawmm.upgrade import (
    Upgraded,
    upgrade,
)
from rawmm.validate import (
    iter_errors,
    validate,
)

if TYPE_CHECKING:
    from rawmm import graph as graph
    from rawmm import layouts as layouts
    from rawmm import materialize as materialize
    from rawmm import sidecar as sidecar
    from rawmm import trainer as trainer
    from rawmm.describe import (
        DescribedImage,
        describe_image,
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
    from rawmm.trainer import (
        build_mm_refs,
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
    "NonFiniteLogprobWarning",
    "OffloadError",
    "OffloadedRequest",
    "PackedFlags",
    "PackedFloats",
    "PackedTokenIds",
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

_ON_FIRST_USE: Final[dict[str, tuple[str, ...]]] = {
    "rawmm.describe": (
        "DescribedImage",
        "describe_image",
    ),
    "rawmm.features": ("generate_features",),
    "rawmm.layouts": ("image_layout_fingerprint",),
    "rawmm.offload": (
        "ImageOffloadStats",
        "ImageStore",
        "Limits",
        "OffloadedRequest",
        "StoredImage",
        "offload_image_to_run_assets",
        "offload_images_async",
        "offload_images_inplace",
        "offload_request",
        "raw_image_path",
        "run_image_dir",
    ),
    "rawmm.refs": (
        "is_raw_mm_ref",
        "raw_mm_ref",
        "split_raw_mm_ref",
    ),
    "rawmm.response": (
        "Response",
        "TurnTokens",
    ),
    "rawmm.retry": ("generate_with_image_ref_retry",),
    "rawmm.trainer": ("build_mm_refs",),
}
_MODULES: Final = ("graph", "layouts", "materialize", "sidecar", "trainer")
_HOMES: Final = {name: home for home, names in _ON_FIRST_USE.items() for name in names}

if not TYPE_CHECKING:  # to a type checker, a module with `__getattr__` has every name

    def __getattr__(name: str) -> Any:
        """A public name whose module is not loaded yet."""
        if name in _MODULES or f"rawmm.{name}" in _ON_FIRST_USE:
            return import_module(f"rawmm.{name}")
        if name not in _HOMES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=import_module(__name__))
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value


def __dir__() -> list[str]:
    """Every name, loaded or not."""
    return sorted({*globals(), *__all__})
