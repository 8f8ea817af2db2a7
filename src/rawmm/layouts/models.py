"""Which family lays out the images of a model, by its configuration or its id."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final, NamedTuple

from rawmm.errors import contract_error, shown, shown_text
from rawmm.layouts.settings import Settings
from rawmm.real_class import is_a
from rawmm.values.views import as_mapping


class Model(NamedTuple):
    """The family of a model, and its published parameters where they are not the family's defaults.

    `parameters` is None if only the model's ``preprocessor_config.json`` says them.
    """

    family: str
    parameters: Mapping[str, Any] | None = MappingProxyType({})


_QWEN2: Final = MappingProxyType({"patch_size": 14, "min_pixels": 3_136, "max_pixels": 12_845_056})
_MISTRAL_SMALL: Final = MappingProxyType(
    {"patch_size": 14, "spatial_merge_size": 2, "longest_edge": 1_540}
)
_ERNIE: Final = MappingProxyType(
    {"patch_size": 14, "temporal_patch_size": 1, "min_pixels": 3_136, "max_pixels": 4_842_768}
)
_VIDEO_LLAMA_3: Final = MappingProxyType(
    {"patch_size": 14, "merge_size": 1, "temporal_patch_size": 1, "min_pixels": 3_136}
    | {"max_pixels": 1_003_520}
)

MODEL_TYPES: Final[Mapping[str, Model]] = MappingProxyType(
    {
        "deepseek_ocr2": Model("deepseek_ocr2"),
        "ernie4_5_vl_moe": Model("qwen_vl", _ERNIE),
        "gemma3": Model("gemma3"),
        "gemma4": Model("gemma4"),
        "glm46v": Model("glm4v"),
        "glm4v": Model("glm4v"),
        "glm4v_moe": Model("glm4v"),
        "glm5_next": Model("glm5_next"),
        "glmga": Model("glm4v", None),
        "hunyuan_vl": Model("hunyuan_vl"),
        "idefics3": Model("idefics3", None),
        "inkling_mm_model": Model("inkling"),
        "internvl": Model("internvl"),
        "kimi_k25": Model("kimi_k25"),
        "lfm2_vl": Model("lfm2_vl", None),
        "lfm3_vl": Model("qwen_vl", None),
        "llama4": Model("llama4"),
        "minicpmv4_6": Model("minicpmv4_6"),
        "minicpmv4_7": Model("minicpmv4_6"),
        "mistral3": Model("pixtral", _MISTRAL_SMALL),
        "mistral_large4": Model("pixtral", None),
        "molmo2": Model("molmo2", None),
        "muse_glimmer": Model("muse_glimmer"),
        "nemotron_h_omni": Model("nemotron_h_omni"),
        "ovis2": Model("ovis2"),
        "paddleocr_vl": Model("paddleocr_vl"),
        "pixtral": Model("pixtral"),
        "qwen2_5_vl": Model("qwen_vl", _QWEN2),
        "qwen2_vl": Model("qwen_vl", _QWEN2),
        "qwen3_5": Model("qwen_vl"),
        "qwen3_5_moe": Model("qwen_vl"),
        "qwen3_vl": Model("qwen_vl"),
        "qwen3_vl_moe": Model("qwen_vl"),
        "smolvlm": Model("idefics3", None),
        "step3p7": Model("step3p7", None),
        "video_llama_3": Model("qwen_vl", _VIDEO_LLAMA_3),
    }
)
"""Models by the ``model_type`` of their configuration."""

CLASS_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "Ernie4_5_VLMoeImageProcessor": _ERNIE,
        "Gemma3ImageProcessor": MappingProxyType({"image_size": 224}),
        "Glm46VImageProcessor": MappingProxyType({"max_pixels": 11_760_000}),
        "Glm4vImageProcessor": MappingProxyType({"max_pixels": 11_760_000}),
        "GlmgaImageProcessor": MappingProxyType({"max_pixels": 11_760_000}),
        "Qwen2VLImageProcessor": MappingProxyType({**_QWEN2, "max_pixels": 1_003_520}),
        "VideoLlama3ImageProcessor": _VIDEO_LLAMA_3,
    }
)
"""Defaults of image processors in transformers that are not those of their family.

They count where ``preprocessor_config.json`` does not state a parameter."""

_IDS: Final = (
    ("Qwen/Qwen2-VL-", "qwen2_vl"),
    ("Qwen/Qwen2.5-VL-", "qwen2_5_vl"),
    ("Qwen/Qwen3-VL-", "qwen3_vl"),
    ("Qwen/Qwen3.5-", "qwen3_5"),
    ("Qwen/Qwen3.6-", "qwen3_5"),
    ("google/gemma-3-", "gemma3"),
    ("google/gemma-4-", "gemma4"),
    ("meta-llama/Llama-4-", "llama4"),
    ("meta-models/Muse-Glimmer-", "muse_glimmer"),
    ("mistral-community/pixtral-12b", "pixtral"),
    ("mistralai/Mistral-Small-3.1-", "mistral3"),
    ("mistralai/Mistral-Small-3.2-", "mistral3"),
    ("moonshotai/Kimi-K2.5", "kimi_k25"),
    ("moonshotai/Kimi-K2.6", "kimi_k25"),
    ("nvidia/NVIDIA-Nemotron-3.5-", "nemotron_h_omni"),
    ("openbmb/MiniCPM-V-4.6", "minicpmv4_6"),
    ("thinkingmachines/Inkling", "inkling_mm_model"),
    ("zai-org/GLM-4.1V-", "glm4v"),
    ("zai-org/GLM-4.5V", "glm4v"),
    ("zai-org/GLM-4.6V", "glm4v"),
    ("zai-org/GLM-5.3-Flash", "glm5_next"),
)
"""Beginnings of the ids of known models, and their ``model_type``."""

_VISION: Final = MappingProxyType(
    {
        "patch_size": "patch_size",
        "temporal_patch_size": "temporal_patch_size",
        "merge_size": "spatial_merge_size",
        "spatial_merge_size": "spatial_merge_size",
    }
)
"""Parameters that the ``vision_config`` of a configuration states, and its name for them."""


class Described(NamedTuple):
    """What a configuration says of a model."""

    model: Model | None
    image_processor: str | None
    """The class of the image processor, without the ending of its implementation."""
    settings: Settings
    vision: Mapping[str, Any]


def read(config: object) -> Described:
    """What the id or the configuration of a model says.

    Raises:
        ContractError: ``wrong_type`` for what is neither, ``bad_value`` for an unknown id or
            ``model_type``.
    """
    if is_a(config, str):
        return Described(_by_id(config), None, Settings(SimpleNamespace()), {})
    pairs = as_mapping(config) if is_a(config, Mapping) else None
    if pairs is None or not all(is_a(key, str) for key in pairs):
        raise contract_error(
            "wrong_type",
            (),
            expected="a configuration as a dict, or the id of a model",
            got=shown(config),
        )
    own = dict(pairs)
    model_type = own.pop("model_type", None)
    if model_type is not None and not (is_a(model_type, str) and model_type in MODEL_TYPES):
        raise _unknown("model_type", model_type)
    inner = own.get("image_processor")
    nested = is_a(inner, Mapping)
    stated = dict(inner) if nested else own  # type: ignore[arg-type]
    kind = stated.get("image_processor_type")
    image_processor = SimpleNamespace(**stated)
    around = SimpleNamespace(**own | {"image_processor": image_processor})
    vision = own.get("vision_config")
    return Described(
        None if model_type is None else MODEL_TYPES[model_type],
        kind.removesuffix("Fast").removesuffix("Pil") if is_a(kind, str) else None,
        Settings(around if nested else image_processor),
        vision if is_a(vision, Mapping) else {},
    )


def vision_parameters(vision: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with these names that a ``vision_config`` states."""
    found = {}
    for name in names.keys() & _VISION.keys():
        value = vision.get(_VISION[name])
        if is_a(value, list) and len(set(map(str, value))) == 1:
            value = value[0]
        if value is not None:
            found[name] = value
    return found


def _by_id(text: str) -> Model:
    for beginning, model_type in _IDS:
        if text.startswith(beginning):
            return MODEL_TYPES[model_type]
    raise _unknown("", text)


def _unknown(name: str, value: object) -> Exception:
    return contract_error(
        "bad_value",
        (name,) if name else (),
        expected="a known model_type" if name else "the id of a known model",
        got=shown_text(value) if is_a(value, str) else shown(value),
        hint=f"pass its preprocessor_config.json as a dict; known are {', '.join(MODEL_TYPES)}",
    )
