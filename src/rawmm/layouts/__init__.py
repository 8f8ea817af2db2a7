"""Layouts, one file per model family: what an image processor makes of an image of a given size.

`get` returns the layout of a family. `Layout.describe` computes grid, token count and payload of
an image, and `Layout.fingerprint` identifies family and parameters in 32 hex digits. A family's
parameters are those of its image processor. Everything is integer and float arithmetic: no
pixels, no arrays, no I/O.

A family is one file here and one entry of `FAMILIES`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, shown, shown_text
from rawmm.layouts.base import Geometry, Layout
from rawmm.layouts.fingerprint import image_layout_fingerprint, unversioned_fingerprint
from rawmm.layouts.gemma3 import Gemma3
from rawmm.layouts.glm4v import Glm4v
from rawmm.layouts.internvl import InternVL
from rawmm.layouts.kimi_k25 import KimiK25
from rawmm.layouts.pixtral import Pixtral
from rawmm.layouts.qwen_vl import QwenVL
from rawmm.layouts.settings import NEUTRAL, Settings
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FAMILIES",
    "Geometry",
    "Layout",
    "get",
    "image_layout_fingerprint",
    "layout_of",
    "unversioned_fingerprint",
]

FAMILIES: Final[Mapping[str, type[Layout]]] = MappingProxyType(
    {cls.family: cls for cls in (Gemma3, Glm4v, InternVL, KimiK25, Pixtral, QwenVL)}
)
"""Layout classes by the name of the family in descriptors."""


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
    settings.check_arguments(cls.settings() | NEUTRAL)
    return cls(**cls.stated_by(settings))


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
    name = type(image_processor).__name__
    for cls in FAMILIES.values():
        if name in {known + variant for known in cls.processors for variant in _VARIANTS}:
            return cls
    raise contract_error(
        "bad_value",
        (),
        expected="an image processor of a known class",
        got=shown_text(name),
        hint=f"pass its family, one of {', '.join(FAMILIES)}",
    )


_VARIANTS: Final = ("", "Fast", "Pil")
"""Endings of the class names of one image processor's implementations in transformers."""
