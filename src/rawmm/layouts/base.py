"""What a layout is: the size of an image in, its grid and token count out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from rawmm.errors import contract_error, shown
from rawmm.layouts.fingerprint import image_layout_fingerprint
from rawmm.real_class import is_a
from rawmm.validate.plain import MAX_INT

if TYPE_CHECKING:
    from rawmm.errors import RawMMError

MAX_SIDE: Final = 2**31 - 1
"""The longest side in pixels that an image file can state (PNG)."""


class Geometry(NamedTuple):
    """What a family's image processor makes of an image of some size.

    Attributes:
        grid: ``[frames, rows, columns]`` of the vision encoder's patches. Frames is 1, or the
            number of tiles. Its product times the area of a patch is the number of pixels
            that reach the encoder.
        num_tokens: the image-typed tokens that the family's processor writes into a prompt for
            the image: its features, and whatever row and end marks the family types so.
        payload: what the image processor returns beside the pixels, as it does for a batch of
            this one image, as JSON; for a descriptor.
        placeholder_length: the tokens of a message that stand for the image: `num_tokens`, or 1
            where the engine expands them (Kimi).
    """

    grid: list[int]
    num_tokens: int
    payload: dict[str, Any]
    placeholder_length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout(ABC):
    """How one family lays images out, under given knobs. A value: frozen, compared by knobs.

    The fields of a subclass are its knobs; each has a default. Those of type int are positive.
    """

    family: ClassVar[str]
    vllm_modality: ClassVar[str | None] = None
    """The modality under which vLLM knows the family's images, where it is not ``image``."""

    def __post_init__(self) -> None:
        """Check the knobs.

        Raises:
            ContractError: ``wrong_type``, ``out_of_range`` or ``bad_length``.
        """
        for field in fields(self):
            if field.type == "int":
                self._check_count(field.name, getattr(self, field.name))

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The knobs of the family, with their defaults."""
        return {field.name: field.default for field in fields(cls)}

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs of this layout, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def fingerprint(self) -> str:
        """The fingerprint of family and knobs: 32 hex digits, for ``layout_fingerprint``."""
        return image_layout_fingerprint(family=self.family, **self.knobs)

    def describe(self, width: int, height: int) -> Geometry:
        """Lay out an image of `width` times `height` pixels, as they are stored.

        Raises:
            ContractError: ``wrong_type`` or ``out_of_range`` for what is no size,
                ``image_limit`` where the family's image processor raises.
        """
        return self._lay_out(_side("width", width), _side("height", height))

    @abstractmethod
    def _lay_out(self, width: int, height: int) -> Geometry:
        """`describe`, for a size that is one."""

    def _check_count(self, name: str, value: object) -> None:
        if type(value) is not int:
            raise self._refused(name, "wrong_type", "an integer", value)
        if not 1 <= value <= MAX_INT:
            raise self._refused(name, "out_of_range", "an integer from 1 to 2^53-1", value)

    def _check_at_most(self, name: str, limit: str) -> None:
        value, most = getattr(self, name), getattr(self, limit)
        if value > most:
            raise self._refused(name, "out_of_range", f"at most {limit}, which is {most}", value)

    def _check_multiple(self, name: str, unit: str) -> None:
        value, step = getattr(self, name), getattr(self, unit)
        if value % step:
            raise self._refused(name, "bad_value", f"a multiple of {unit}, which is {step}", value)

    def _refused(self, name: str, code: str, expected: str, value: object) -> RawMMError:
        """The error of a knob."""
        return contract_error(
            code, (name,), expected=expected, got=shown(value), hint=self.known_knobs()
        )

    @classmethod
    def known_knobs(cls) -> str:
        """The knobs of the family and their defaults, as a sentence."""
        listed = ", ".join(f"{name}={value!r}" for name, value in cls.defaults().items())
        return f"the knobs of {cls.family} and their defaults are {listed}"


def _side(name: str, value: object) -> int:
    is_int = is_a(value, int) and not is_a(value, bool)
    side = int.__index__(value) if is_int else 0  # type: ignore[arg-type]
    if not 1 <= side <= MAX_SIDE:
        raise contract_error(
            "out_of_range" if is_int else "wrong_type",
            (name,),
            expected="a number of pixels from 1 to 2^31-1",
            got=shown(value),
            hint=None if is_int else f"pass int({name})",
        )
    return side
