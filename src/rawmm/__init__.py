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
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    to_builtins,
)
from rawmm.errors import (
    ContractError,
    MaterializeError,
    NonFiniteLogprobWarning,
    OffloadError,
    ProcessedPayloadError,
    RawMMError,
)
from rawmm.model.base import (
    replace,
)
from rawmm.model.types import (
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
from rawmm.validation import (
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
        raw_mm_item,
    )
    from rawmm.engine import (
        generate_features,
        generate_with_image_ref_retry,
        is_raw_mm_ref,
        raw_mm_ref,
        split_raw_mm_ref,
    )
    from rawmm.graph import (
        Response,
        TurnTokens,
    )
    from rawmm.images import (
        Limits,
    )
    from rawmm.layouts import (
        image_layout_fingerprint,
    )
    from rawmm.model import schemas as schemas
    from rawmm.offload import (
        ImageOffloadStats,
        OffloadedRequest,
        offload_image_to_run_assets,
        offload_images_async,
        offload_images_inplace,
        offload_request,
    )
    from rawmm.store import (
        ImageStore,
        StoredImage,
        open_store,
        raw_image_path,
        run_image_dir,
    )
    from rawmm.trainer import (
        build_mm_refs,
    )
    from rawmm.upgrades import (
        Upgraded,
        upgrade,
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
    "open_store",
    "raw_image_path",
    "raw_mm_item",
    "raw_mm_ref",
    "replace",
    "run_image_dir",
    "schemas",
    "sidecar",
    "split_raw_mm_ref",
    "to_builtins",
    "trainer",
    "upgrade",
    "validate",
]

_ON_FIRST_USE: Final[dict[str, tuple[str, ...]]] = {
    "rawmm.describe": ("DescribedImage", "describe_image", "raw_mm_item"),
    "rawmm.engine": (
        "generate_features",
        "generate_with_image_ref_retry",
        "is_raw_mm_ref",
        "raw_mm_ref",
        "split_raw_mm_ref",
    ),
    "rawmm.graph": ("Response", "TurnTokens"),
    "rawmm.images": ("Limits",),
    "rawmm.layouts": ("image_layout_fingerprint",),
    "rawmm.offload": (
        "ImageOffloadStats",
        "OffloadedRequest",
        "offload_image_to_run_assets",
        "offload_images_async",
        "offload_images_inplace",
        "offload_request",
    ),
    "rawmm.store": (
        "ImageStore",
        "StoredImage",
        "open_store",
        "raw_image_path",
        "run_image_dir",
    ),
    "rawmm.trainer": ("build_mm_refs",),
    "rawmm.upgrades": ("Upgraded", "upgrade"),
}
"""Public names by the module that has them."""
_MODULES: Final = {
    "graph": "rawmm.graph",
    "layouts": "rawmm.layouts",
    "materialize": "rawmm.materialize",
    "schemas": "rawmm.model.schemas",
    "sidecar": "rawmm.sidecar",
    "trainer": "rawmm.trainer",
}
"""Public modules."""
_HOMES: Final = {name: home for home, names in _ON_FIRST_USE.items() for name in names}

if not TYPE_CHECKING:  # to a type checker, a module with `__getattr__` has every name

    def __getattr__(name: str) -> Any:
        """A public name whose module is not loaded yet."""
        if name in _MODULES or f"rawmm.{name}" in _ON_FIRST_USE:
            return import_module(_MODULES.get(name, f"rawmm.{name}"))
        if name not in _HOMES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=import_module(__name__))
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value


def __dir__() -> list[str]:
    """Every name, loaded or not."""
    return sorted({*globals(), *__all__})
