"""Layouts: what an image processor makes of an image, from its width and height alone.

`get` returns the layout of a family; `Layout.describe` gives grid, token count and payload,
`Layout.fingerprint` names family and knobs in 32 hex digits. Knobs are those of the family's
processor. Integer and float arithmetic only: no pixels, no arrays, no I/O.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, shown, shown_text
from rawmm.layouts.base import Geometry, Layout
from rawmm.layouts.fingerprint import image_layout_fingerprint
from rawmm.layouts.gemma3 import Gemma3
from rawmm.layouts.glm4v import Glm4v
from rawmm.layouts.internvl import InternVL
from rawmm.layouts.kimi_k25 import KimiK25
from rawmm.layouts.pixtral import Pixtral
from rawmm.layouts.qwen_vl import QwenVL
from rawmm.real_class import is_a

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FAMILIES", "Geometry", "Layout", "get", "image_layout_fingerprint"]

FAMILIES: Final[Mapping[str, type[Layout]]] = MappingProxyType(
    {cls.family: cls for cls in (Gemma3, Glm4v, InternVL, KimiK25, Pixtral, QwenVL)}
)
"""Each family by the name that descriptors carry."""


def get(family: str, **knobs: Any) -> Layout:
    """The layout of a family, with `knobs` in place of its defaults.

    Raises:
        ContractError: ``bad_value`` for a family that is not one of `FAMILIES`,
            ``unknown_field`` for a knob that it does not have, and ``wrong_type``,
            ``out_of_range``, ``bad_value`` or ``bad_length`` for a value that is none.
    """
    cls = FAMILIES.get(family) if is_a(family, str) else None
    if cls is None:
        raise contract_error(
            "bad_value",
            ("family",),
            expected=f"one of {', '.join(FAMILIES)}",
            got=shown(family),
        )
    for name in knobs:
        if name not in cls.defaults():
            raise contract_error(
                "unknown_field",
                (name,),
                expected=f"a knob of {family}",
                got=shown_text(name),
                hint=cls.known_knobs(),
            )
    return cls(**knobs)
