"""Layouts, one file per model family: what an image processor makes of an image of a given size.

`get` returns the layout of a family. `Layout.describe` computes grid, token count and payload of
an image, and `Layout.fingerprint` identifies family and parameters in 32 hex digits. A family's
parameters are those of its image processor. Everything is integer and float arithmetic: no
pixels, no arrays, no I/O.

A family is one file here and one entry of `FAMILIES`. `register` adds one of your own.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, shown, shown_text
from rawmm.layouts import models
from rawmm.layouts.base import Geometry, Layout, Run
from rawmm.layouts.deepseek_ocr2 import DeepseekOcr2
from rawmm.layouts.fingerprint import image_layout_fingerprint, unversioned_fingerprint
from rawmm.layouts.gemma3 import Gemma3
from rawmm.layouts.gemma4 import Gemma4
from rawmm.layouts.glm4v import Glm4v
from rawmm.layouts.glm5_next import Glm5Next
from rawmm.layouts.hunyuan_vl import HunYuanVL
from rawmm.layouts.idefics3 import Idefics3
from rawmm.layouts.inkling import Inkling
from rawmm.layouts.internvl import InternVL
from rawmm.layouts.kimi_k25 import KimiK25
from rawmm.layouts.lfm2_vl import Lfm2VL
from rawmm.layouts.llama4 import Llama4
from rawmm.layouts.llava_onevision import LlavaOnevision
from rawmm.layouts.minicpmv4_6 import MiniCPMV4_6
from rawmm.layouts.molmo2 import Molmo2
from rawmm.layouts.muse_glimmer import MuseGlimmer
from rawmm.layouts.nemotron_h_omni import NemotronHOmni
from rawmm.layouts.ovis2 import Ovis2
from rawmm.layouts.paddleocr_vl import PaddleOCRVL
from rawmm.layouts.pixtral import Pixtral
from rawmm.layouts.qwen_vl import QwenVL
from rawmm.layouts.settings import Settings
from rawmm.layouts.step3p7 import Step3p7
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FAMILIES",
    "Geometry",
    "Layout",
    "Run",
    "for_model",
    "get",
    "image_layout_fingerprint",
    "layout_of",
    "register",
    "unversioned_fingerprint",
]

_families: Final[dict[str, type[Layout]]] = {
    cls.family: cls
    for cls in (
        DeepseekOcr2,
        Gemma3,
        Gemma4,
        Glm4v,
        Glm5Next,
        HunYuanVL,
        Idefics3,
        Inkling,
        InternVL,
        KimiK25,
        Lfm2VL,
        Llama4,
        LlavaOnevision,
        MiniCPMV4_6,
        Molmo2,
        MuseGlimmer,
        NemotronHOmni,
        Ovis2,
        PaddleOCRVL,
        Pixtral,
        QwenVL,
        Step3p7,
    )
}

FAMILIES: Final[Mapping[str, type[Layout]]] = MappingProxyType(_families)
"""Layout classes by the name of the family in descriptors. `register` adds to it."""


def register(cls: type[Layout]) -> type[Layout]:
    """Add a family of your own: a subclass of `Layout`. Returns the class, as a decorator does.

    Every function that takes the name of a family then knows it. Compare the layout with its image
    processor with `rawmm.testing.check_layout`.

    Raises:
        ContractError: ``wrong_type`` unless it is a subclass with a default for each parameter,
            ``bad_format`` for an invalid name, ``bad_value`` if another class has the name or an
            image processor.
    """
    if not is_a(cls, type) or not issubclass(cls, Layout) or cls.__abstractmethods__:
        raise contract_error(
            "wrong_type", (), expected="a subclass of Layout with _lay_out", got=shown(cls)
        )
    family = getattr(cls, "family", None)
    image_layout_fingerprint(family=family)  # type: ignore[arg-type]  # checks the name
    for name in ("family", "image_token"):
        if not is_a(getattr(cls, name, None), str):
            raise contract_error(
                "wrong_type", (name,), expected="a string", got=shown(getattr(cls, name, None))
            )
    for field in fields(cls):
        if field.default is MISSING:
            raise contract_error(
                "wrong_type", (field.name,), expected="a parameter with a default", got="none"
            )
    for other in _families.values():
        shared = sorted({*other.processors} & {*cls.processors})
        if other is not cls and (other.family == family or shared):
            raise contract_error(
                "bad_value",
                ("processors",) if shared else ("family",),
                expected="names that no other family has",
                got=shown(shared[0] if shared else family),
            )
    _families[family] = cls  # type: ignore[index]
    return cls


def get(family: str, **parameters: Any) -> Layout:
    """The layout of a family, with `parameters` in place of its defaults.

    Raises:
        ContractError: ``bad_value`` for a family that is not in `FAMILIES`, ``unknown_field`` for
            a parameter that it does not have, and ``wrong_type``, ``out_of_range``,
            ``bad_value`` or ``bad_length`` for an invalid value.
    """
    cls = _class_of(family)
    for name in parameters:
        if name not in cls.defaults():
            raise contract_error(
                "unknown_field",
                (name,),
                expected=f"a parameter of {family}",
                got=shown_text(name),
                hint=cls.parameters_hint(),
            )
    return cls(**parameters)


def layout_of(processor: Any, family: str | None = None, **call: Any) -> Layout:
    """The layout of what a processor of transformers does when it is called now.

    It follows attributes that were set after construction, ``size`` in all its forms, and the
    arguments of the call. Parameters that nothing states have the family's defaults.

    Args:
        processor: an image processor, or a processor that has one as ``image_processor``. A
            processor also states the parameters of its prompts, such as ``image_seq_length``, and
            its ``images_kwargs`` count.
        family: its family; by default the one whose `Layout.processors` have its class.
        call: arguments of the call, such as ``max_pixels``.

    Raises:
        ContractError: ``bad_value`` for an unknown family or, without `family`, an unknown class;
            ``bad_value`` for a setting that the layout does not cover, such as
            ``do_resize=False``; ``unknown_field`` for an argument whose effect is not known; and
            what `get` raises for an invalid value of a parameter. The path is the setting.
    """
    settings = Settings(processor, call)
    cls = _class_of_processor(settings.image_processor) if family is None else _class_of(family)
    settings.check_arguments(cls.settings(), cls.switches())
    return cls(**cls.stated_by(settings))


def for_model(config: Mapping[str, Any] | str) -> Layout:
    """The layout of a model, from its configuration or its id.

    Parameters count in this order: what ``preprocessor_config.json`` or ``processor_config.json``
    states, what the class it names has as defaults, the ``vision_config`` of ``config.json``, and
    the published parameters of the ``model_type``.

    Args:
        config: the text of these files as dicts, or several merged into one; or the id of a known
            model, such as ``Qwen/Qwen3-VL-8B-Instruct``, for its published parameters.

    Raises:
        ContractError: ``wrong_type`` for something else; ``bad_value`` for an unknown model, or
            one whose parameters only its ``preprocessor_config.json`` says; and what `layout_of`
            raises for a setting.
    """
    model, kind, settings, vision = models.read(config)
    if kind is not None:
        cls = _class_named(kind)
    elif model is not None:
        cls = _families[model.family]
    else:
        raise contract_error(
            "bad_value",
            (),
            expected="image_processor_type or model_type",
            got="a configuration without them",
        )
    stated = cls.stated_by(settings)
    known = None if model is None or model.family != cls.family else model.parameters
    if kind is not None:
        defaults = dict(models.CLASS_DEFAULTS.get(kind, {}))
        known = known or {}
        defaults |= {name: known[name] for name in cls.prompt_parameters & known.keys()}
    elif known is None and not stated:
        raise contract_error(
            "bad_value",
            (),
            expected="the model's preprocessor_config.json",
            got="a configuration without it",
            hint="its processor's parameters differ from model to model; merge both dicts",
        )
    else:
        defaults = dict(known or {})
    if kind is None or cls.prompt_parameters:
        defaults |= {
            name: value
            for name, value in models.vision_parameters(vision, cls.defaults()).items()
            if kind is None or name in cls.prompt_parameters
        }
    return cls(**defaults | stated)


def _class_of(family: object) -> type[Layout]:
    cls = FAMILIES.get(family) if is_a(family, str) else None
    if cls is None:
        raise contract_error(
            "bad_value",
            ("family",),
            expected=f"one of {', '.join(FAMILIES)}",
            got=shown(family),
        )
    return cls


def _class_of_processor(image_processor: object) -> type[Layout]:
    return _class_named(type(image_processor).__name__)


def _class_named(name: str) -> type[Layout]:
    for cls in _families.values():
        if name in {known + variant for known in cls.processors for variant in _VARIANTS}:
            return cls
    raise contract_error(
        "bad_value",
        (),
        expected="an image processor of a known class",
        got=shown_text(name),
        hint=f"the families are {', '.join(FAMILIES)}",
    )


_VARIANTS: Final = ("", "Fast", "Pil")
"""Endings of the class names of one image processor's implementations in transformers."""
