"""The settings of an image processor of transformers: attributes, and arguments of a call."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rawmm.errors import contract_error, shown, shown_text
from rawmm.real_class import is_a
from rawmm.values.views import field_of

ABSENT: Final = object()
"""Stands for a setting that nothing states."""

NEUTRAL: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        "resample": (int,),
        "do_rescale": (bool,),
        "rescale_factor": (float,),
        "do_normalize": (bool,),
        "image_mean": (float, list, tuple),
        "image_std": (float, list, tuple),
        "do_convert_rgb": (bool,),
        "return_tensors": (str,),
        "data_format": (str,),
        "input_data_format": (str,),
        "device": (object,),
        "disable_grouping": (bool,),
    }
)
"""Arguments of a call that change values of pixels, but no geometry; their types beside None."""

SIZES: Final = ("size", "crop_size", "pad_size")
"""The settings of every image processor that are sizes."""

_SIZE_ENTRIES: Final = (
    "height",
    "width",
    "shortest_edge",
    "longest_edge",
    "max_height",
    "max_width",
    "min_pixels",
    "max_pixels",
)
"""The entries of a ``SizeDict``."""


class Settings:
    """The settings of one call of an image processor.

    In transformers 5, a call takes each setting from its own arguments, then from the
    ``images_kwargs`` of the processor around the image processor, then from the image processor's
    attribute. It reads only the attributes that ``_valid_kwargs_names`` lists.
    """

    def __init__(self, processor: Any, call: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Read no setting yet.

        Args:
            processor: an image processor, or a processor that has one as ``image_processor``.
            call: the arguments of the call, by name.
        """
        inner = field_of(processor, "image_processor")
        self.image_processor: Final = processor if inner is None else inner
        self._processor: Final = None if inner is None else processor
        around = getattr(self._processor, "images_kwargs", None)
        self._around: Final = around if is_a(around, Mapping) else {}
        self._call: Final = call
        names = getattr(self.image_processor, "_valid_kwargs_names", None)
        self._names: Final = names if is_a(names, list | tuple) else None

    @property
    def has_processor(self) -> bool:
        """Whether the image processor is that of a processor."""
        return self._processor is not None

    def get(self, name: str) -> Any:
        """A setting; `ABSENT` if nothing states it."""
        for source in (self._call, self._around):
            if name in source:
                return source[name]
        if self._names is not None and name not in self._names:
            return ABSENT
        return getattr(self.image_processor, name, ABSENT)

    def is_given(self, name: str) -> bool:
        """Whether the call, or the processor for each call, states a setting."""
        return name in self._call or name in self._around

    def of_processor(self, name: str) -> Any:
        """An attribute of the processor around the image processor; `ABSENT` if it is None."""
        value = None if self._processor is None else field_of(self._processor, name)
        return ABSENT if value is None else value

    def mark(self, name: str, default: str) -> str:
        """The text of a token that the processor names; `default` if it does not."""
        value = self.of_processor(name)
        return value if is_a(value, str) else default

    def own(self, name: str) -> Any:
        """An attribute that the processor around the image processor has, or else that one."""
        for owner in (self._processor, self.image_processor):
            value = getattr(owner, name, None)
            if value is not None:
                return value
        return ABSENT

    def token_counts(self, texts: list[str]) -> list[int] | None:
        """The number of tokens of each text in the processor's tokenizer; None without one.

        Raises:
            ContractError: ``wrong_type`` for a tokenizer that cannot be called.
        """
        tokenizer = None if self._processor is None else field_of(self._processor, "tokenizer")
        if tokenizer is None:
            return None
        try:
            found = tokenizer(texts, add_special_tokens=False)["input_ids"]
            counts = [len(one) for one in found]
        except Exception:  # noqa: BLE001  (another library's object may raise anything)
            counts = []
        if len(counts) == len(texts):
            return counts
        raise contract_error(
            "wrong_type",
            ("tokenizer",),
            expected="a tokenizer to call with a list of texts",
            got=shown(tokenizer),
        )

    def refused_tokenizer(self, expected: str) -> Exception:
        """The error for a tokenizer under which the family's layout is not known."""
        return contract_error(
            "bad_value",
            ("tokenizer",),
            expected=expected,
            got="another number",
            hint="the layout does not cover this tokenizer; pass that of the model",
        )

    def read(self, attribute: str) -> Any:
        """A setting by its name, or an entry of it: ``size.longest_edge``.

        ``size.height=width`` is the value of two entries that must be equal.

        Raises:
            ContractError: ``bad_value`` if they are not.
        """
        name, _, path = attribute.partition(".")
        if not path:
            value = self.get(name)
            return ABSENT if value is None else value
        entries = self.entries(name)
        sides = [entries.get(entry, ABSENT) for entry in path.split("=")]
        if all(side is ABSENT for side in sides):
            return ABSENT
        if any(side is ABSENT or side != sides[0] for side in sides):
            raise self.refused(name, f"equal {path.replace('=', ' and ')}")
        return sides[0]

    def entries(self, name: str) -> Mapping[str, Any]:
        """The entries of a setting that is a size in any form; none if it is absent.

        Raises:
            ContractError: ``bad_value`` for something that is not a size.
        """
        value = self.get(name)
        if value is ABSENT or value is None:
            return {}
        if is_a(value, bool):
            raise self.refused(name, "a size")
        if is_a(value, int):
            square = self.get("default_to_square") if name == "size" else True
            return {"height": value, "width": value} if square else {"shortest_edge": value}
        if is_a(value, list | tuple):
            if len(value) != 2 or (name != "size" and name in self._call):
                raise self.refused(name, "a height and a width")
            return dict(zip(("height", "width"), value, strict=True))
        if is_a(value, Mapping):
            found = dict(value)
        elif name in self._call:  # there, image processors refuse even their own SizeDict
            raise self.refused(name, "a size as dict, list, tuple or int")
        else:
            found = {entry: getattr(value, entry, None) for entry in _SIZE_ENTRIES}
            if all(entry is None for entry in found.values()):
                raise self.refused(name, "a size")
        return {key: entry for key, entry in found.items() if entry is not None}

    def is_required(self, name: str) -> bool:
        """Whether a call would use this setting even if it is None."""
        return name in self._call or (self._names is not None and name in self._names)

    def refused(self, name: str, expected: str) -> Exception:
        """The error for a setting under which the family's layout is not known."""
        value = self.get(name)
        return contract_error(
            "bad_value",
            (name,),
            expected=expected,
            got="nothing" if value is ABSENT else shown(value),
            hint=f"the layout does not cover this setting of {name}",
        )

    def check_arguments(self, known: frozenset[str], switches: frozenset[str]) -> None:
        """Refuse arguments of the call other than these, or that the image processor refuses.

        A call checks types, which attributes need not have: 1 is not a switch there.

        Args:
            known: the arguments whose effect is known, beside `NEUTRAL`.
            switches: those that are true or false.

        Raises:
            ContractError: ``unknown_field``, or ``bad_value`` for a value of another type and for
                None, which is not a default in a call.
        """
        for name, value in self._call.items():
            if value is None and name not in NEUTRAL:
                raise self.refused(name, "a value")
            unread = self._names is not None and name not in self._names
            if unread or name not in known | NEUTRAL.keys():
                raise contract_error(
                    "unknown_field",
                    (name,),
                    expected="an argument whose effect on the layout is known",
                    got=shown_text(name),
                    hint=f"known are {', '.join(sorted(known | NEUTRAL.keys()))}",
                )
        for name, value in {**self._around, **self._call}.items():
            types = (bool,) if name in switches else NEUTRAL.get(name, (object,))
            numbers = value if is_a(value, list | tuple) and float in types else ()
            fits = is_a(value, types) and all(is_a(one, float) for one in numbers)
            if value is not None and not fits:
                raise self.refused(name, " or ".join(kind.__name__ for kind in types))
