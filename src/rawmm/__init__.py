"""rawmm: the data contract for raw images in the rollouts of vision-language models.

To add a public name, import it below and run `python -m codegen`. Type checkers read the imports.
Python reads the generated table, and loads most modules on first use: importing all of them would
take twice as long.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rawmm._generated.exports import HOMES as _HOMES, MODULES as _MODULES

if TYPE_CHECKING:
    __all__: list[str]
    from rawmm._version import (
        __version__ as __version__,
    )
    from rawmm.codec import (
        convert as convert,
        decode_json as decode_json,
        decode_msgpack as decode_msgpack,
        encode_json as encode_json,
        encode_msgpack as encode_msgpack,
        to_builtins as to_builtins,
    )
    from rawmm.describe import (
        DescribedImage as DescribedImage,
        describe_image as describe_image,
        describe_prompt as describe_prompt,
        describe_trace as describe_trace,
        raw_mm_item as raw_mm_item,
    )
    from rawmm.dialects import (
        messages_from_request as messages_from_request,
        to_request as to_request,
    )
    from rawmm.engine import (
        check_engine_prompt as check_engine_prompt,
        collapse_placeholders as collapse_placeholders,
        content_parts as content_parts,
        generate_features as generate_features,
        generate_with_image_ref_retry as generate_with_image_ref_retry,
        is_raw_mm_ref as is_raw_mm_ref,
        raw_mm_ref as raw_mm_ref,
        split_raw_mm_ref as split_raw_mm_ref,
    )
    from rawmm.errors import (
        ContractError as ContractError,
        DeprecatedFieldWarning as DeprecatedFieldWarning,
        MaterializeError as MaterializeError,
        NonFiniteLogprobWarning as NonFiniteLogprobWarning,
        OffloadError as OffloadError,
        ProcessedPayloadError as ProcessedPayloadError,
        RawMMError as RawMMError,
    )
    from rawmm.graph import (
        Response as Response,
        TurnTokens as TurnTokens,
    )
    from rawmm.images import (
        ENGINE as ENGINE,
        STORED as STORED,
        ImageDecoding as ImageDecoding,
        Limits as Limits,
        decode_image as decode_image,
    )
    from rawmm.layouts import (
        image_layout_fingerprint as image_layout_fingerprint,
    )
    from rawmm.model.base import (
        replace as replace,
    )
    from rawmm.model.types import (
        PROCESSED_KEYS as PROCESSED_KEYS,
        SCHEMA_VERSION as SCHEMA_VERSION,
        AssistantMessage as AssistantMessage,
        ContentPart as ContentPart,
        EncodedArray as EncodedArray,
        Episode as Episode,
        GenerateFeatures as GenerateFeatures,
        ImageUrlContentPart as ImageUrlContentPart,
        ImageUrlSource as ImageUrlSource,
        Message as Message,
        MessageNode as MessageNode,
        MessagePart as MessagePart,
        MMImageItem as MMImageItem,
        MMImageRef as MMImageRef,
        MMRefs as MMRefs,
        MultiModalData as MultiModalData,
        PackedFlags as PackedFlags,
        PackedFloats as PackedFloats,
        PackedTokenIds as PackedTokenIds,
        ParentLink as ParentLink,
        PlaceholderRange as PlaceholderRange,
        RawMMItem as RawMMItem,
        RawMMRef as RawMMRef,
        SamplingMask as SamplingMask,
        SystemMessage as SystemMessage,
        TextContentPart as TextContentPart,
        Tool as Tool,
        ToolCall as ToolCall,
        ToolMessage as ToolMessage,
        TopLogprobs as TopLogprobs,
        Trace as Trace,
        Usage as Usage,
        UserMessage as UserMessage,
        WeightVersion as WeightVersion,
    )
    from rawmm.offload import (
        ImageOffloadStats as ImageOffloadStats,
        OffloadedRequest as OffloadedRequest,
        offload_image_to_run_assets as offload_image_to_run_assets,
        offload_images_async as offload_images_async,
        offload_images_inplace as offload_images_inplace,
        offload_request as offload_request,
    )
    from rawmm.store import (
        CachedStore as CachedStore,
        HttpsFetcher as HttpsFetcher,
        ImageStore as ImageStore,
        ObjectImageStore as ObjectImageStore,
        StoredImage as StoredImage,
        open_store as open_store,
        raw_image_path as raw_image_path,
        run_image_dir as run_image_dir,
    )
    from rawmm.trainer import (
        build_mm_refs as build_mm_refs,
    )
    from rawmm.upgrades import (
        Upgraded as Upgraded,
        upgrade as upgrade,
    )
    from rawmm.validation import (
        iter_errors as iter_errors,
        validate as validate,
    )
    from rawmm.versions import (
        SUPPORTED_VERSIONS as SUPPORTED_VERSIONS,
        negotiate as negotiate,
    )
    from rawmm import evolution as evolution
    from rawmm import graph as graph
    from rawmm import layouts as layouts
    from rawmm import materialize as materialize
    from rawmm.model import schemas as schemas
    from rawmm import sidecar as sidecar
    from rawmm import trainer as trainer

# Decoding and construction need the rules, which these modules register.
import_module("rawmm.codec")

if not TYPE_CHECKING:  # type checkers take a module with `__getattr__` to have every name
    __all__ = sorted({*_HOMES, *_MODULES})

    def __getattr__(name: str) -> Any:
        """Load a public name on first use."""
        if name in _MODULES or f"rawmm.{name}" in _HOMES.values():
            return import_module(_MODULES.get(name, f"rawmm.{name}"))
        if name not in _HOMES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=import_module(__name__))
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        """Every name, loaded or not."""
        return sorted({*globals(), *__all__})
