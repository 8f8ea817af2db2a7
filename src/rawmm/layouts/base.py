"""The base class of all layouts, and the geometry that they compute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from rawmm.errors import contract_error, shown
from rawmm.layouts.fingerprint import image_layout_fingerprint
from rawmm.layouts.settings import ABSENT, SIZES
from rawmm.real_class import is_a
from rawmm.values.plain import MAX_INT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rawmm.errors import RawMMError
    from rawmm.images import ImageDecoding
    from rawmm.layouts.settings import Settings

MAX_SIDE: Final = 2**31 - 1
"""The longest side in pixels that an image file can state (PNG)."""


class Run(NamedTuple):
    """Equal tokens that follow each other.

    Attributes:
        token: the token's text in the family's published tokenizers.
        length: how often it follows itself.
    """

    token: str
    length: int


class Geometry(NamedTuple):
    """What a family's image processor makes of an image of some size.

    Attributes:
        grid: ``[frames, rows, columns]`` of the vision encoder's patches. Frames is 1, or the
            number of tiles. The product of the three, times the area of a patch, is the number of
            pixels that reach the encoder. It is ``[1, 1, patches]`` where tiles and overview
            differ in size.
        num_tokens: the number of tokens that stand for the image in an expanded prompt: those of
            patches, and the row, tile, start and end marks that `Layout.placeholder` lists.
        payload: what the image processor returns beside the pixels for a batch of this one image,
            as JSON; for a descriptor.
        placeholder_length: the number of tokens that stand for the image in a message:
            `num_tokens`, or 1 where the engine expands them (Kimi).
    """

    grid: list[int]
    num_tokens: int
    payload: dict[str, Any]
    placeholder_length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout(ABC):
    """How one family lays out images, with given parameters. Frozen, compared by parameters.

    The fields of a subclass are its parameters. Each has a default, and those of type int are
    positive. A subclass defines `family`, `image_token` and `_lay_out`; `_runs`, if an image has
    marks; and `processors` and `attributes` for `layout_of`.
    """

    family: ClassVar[str]
    vllm_modality: ClassVar[str | None] = None
    """vLLM's modality for images of the family, if it is not ``image``."""
    image_token: ClassVar[str]
    """The token of a patch in an expanded prompt, as in `Run`."""
    row_separators: ClassVar[bool] = False
    """Whether other tokens separate those of patches: an image is several runs of image tokens."""
    processors: ClassVar[tuple[str, ...]] = ()
    """Class names of the family's image processors in transformers."""
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """For each parameter the settings in which processors state it, most important first.

    ``size.longest_edge`` is an entry of the setting ``size``, and ``size.height=width`` the value
    of two equal ones. By default it is the setting with the parameter's own name."""
    prompt_parameters: ClassVar[frozenset[str]] = frozenset()
    """Parameters that belong to the processor around the image processor."""
    requires: ClassVar[Mapping[str, bool]] = MappingProxyType(
        {"do_resize": True, "do_center_crop": False}
    )
    """Switches of the image processor for which the layout covers one position only."""
    options: ClassVar[frozenset[str]] = frozenset()
    """Switches that `stated_by` reads and that are neither parameters nor in `requires`."""
    nullable: ClassVar[frozenset[str]] = frozenset()
    """Parameters for which None is a value."""
    output_names: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Names that the port in transformers has for keys of the payload, where they differ."""
    output_settings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """For keys of the payload the arguments of a call that make image processors return them.

    Processors drop these outputs, because models do not take them."""

    def __post_init__(self) -> None:
        """Check the parameters.

        Raises:
            ContractError: ``wrong_type``, ``out_of_range`` or ``bad_length``.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                self._check_count(field.name, value)
            elif field.type == "bool" and type(value) is not bool:
                raise self._error(field.name, "wrong_type", "true or false", value)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The family's parameters with their defaults."""
        return {field.name: field.default for field in fields(cls)}

    @classmethod
    def stated_by(cls, settings: Settings) -> dict[str, Any]:
        """The parameters that the settings of an image processor state, by name.

        Raises:
            ContractError: ``bad_value`` for a setting that the layout does not cover.
        """
        for name, wanted in cls.requires.items():
            if (value := settings.get(name)) is not ABSENT and bool(value) is not wanted:
                raise settings.refused(name, f"{wanted}")
        for name in SIZES:
            settings.entries(name)  # image processors read all, and raise for invalid sizes
        found = {}
        for name in cls.defaults():
            attributes = cls.attributes.get(name, (name,))
            value = settings.own(name) if name in cls.prompt_parameters else ABSENT
            if name in cls.nullable and settings.get(attributes[0]) is None:
                value = None
            for attribute in attributes if value is ABSENT else ():
                if (value := settings.read(attribute)) is not ABSENT:
                    break
            if value is not ABSENT:
                found[name] = value
            elif name not in cls.prompt_parameters and cls.defaults()[name] is not None:
                cls._check_unstated(settings, attributes)
        for name in {"size"} & {base for base, _ in cls._entries()}:
            known = {entry for base, entry in cls._entries() if base == name}
            if unknown := settings.entries(name).keys() - known:
                raise settings.refused(name, f"no {', '.join(sorted(unknown))}")
        return found

    @classmethod
    def settings(cls) -> frozenset[str]:
        """The names of the settings that `stated_by` reads."""
        named = (cls.attributes.get(name, (name,)) for name in cls.defaults())
        bases = {attribute.partition(".")[0] for group in named for attribute in group}
        return frozenset(bases | cls.switches())

    @classmethod
    def switches(cls) -> frozenset[str]:
        """The names of the settings that are true or false."""
        own = {field.name for field in fields(cls) if field.type == "bool"}
        return frozenset(own | cls.requires.keys() | cls.options | {"default_to_square"})

    @classmethod
    def _entries(cls) -> set[tuple[str, str]]:
        """The entries of settings that state parameters: ``("size", "height")``."""
        found = set()
        for attributes in cls.attributes.values():
            for attribute in attributes:
                name, _, path = attribute.partition(".")
                found |= {(name, entry) for entry in path.split("=") if entry}
        return found

    @classmethod
    def _check_unstated(cls, settings: Settings, attributes: tuple[str, ...]) -> None:
        """Refuse settings that are there, but state nothing for a parameter.

        An image processor raises for them, or does what the layout does not cover.
        """
        for attribute in attributes:
            name, _, path = attribute.partition(".")
            value = settings.get(name)
            if value is not ABSENT and (value is not None or settings.is_required(name)):
                entries = path.replace("=", " and ")
                raise settings.refused(name, f"a size with {entries}" if path else "a value")

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of this layout, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def fingerprint(self, decoding: ImageDecoding | None = None) -> str:
        """The fingerprint of family and parameters: 32 hex digits, for ``layout_fingerprint``.

        It has what `decoding` does differently from `rawmm.ENGINE`, the default, so images that
        two programs decode differently have two fingerprints.
        """
        values = self.parameters if decoding is None else self.parameters | decoding.differences
        return image_layout_fingerprint(family=self.family, **values)

    def describe(
        self, width: int, height: int, *, index: int = 0, images: int | None = None
    ) -> Geometry:
        """Lay out an image of `width` x `height` pixels, as decoded.

        The tokens of a few families depend on the other images of the prompt. All others ignore
        `index` and `images`.

        Args:
            width: of the image.
            height: of the image.
            index: how many images precede it in the prompt.
            images: how many images the prompt has, if the processor lays them out together. See
                the family. None lays out each by itself, as `rawmm.materialize` does.

        Raises:
            ContractError: ``wrong_type`` or ``out_of_range`` for an invalid size or number,
                ``image_limit`` where the family's image processor raises.
        """
        width, height = _side("width", width), _side("height", height)
        first = _number("index", index, 0)
        count = None if images is None else _number("images", images, first + 1)
        return self._lay_out_in_prompt(width, height, first, count)

    def placeholder(
        self, width: int, height: int, *, index: int = 0, images: int | None = None
    ) -> list[Run]:
        """The tokens that stand for an image in an expanded prompt, in order.

        Their lengths sum to `Geometry.num_tokens`.

        Raises:
            ContractError: as `describe` does.
        """
        return list(self._runs(self.describe(width, height, index=index, images=images)))

    def accepts(self, geometry: Geometry, length: int) -> bool:
        """Whether the placeholder of an image may have this length in tokens.

        Args:
            geometry: of the image, at the first place in the prompt that it may have.
            length: of the placeholder.
        """
        return length in (geometry.placeholder_length, geometry.num_tokens)

    def marks(self, geometry: Geometry) -> Sequence[int]:
        """Positions in an image's placeholder of its row, tile, start and end marks.

        A map of a renderer may name only the token of patches.
        """
        found: list[int] = []
        position = 0
        for token, length in self._runs(geometry):
            if token != self.image_token:
                found += range(position, position + length)
            position += length
        return found

    def has_text(self, geometry: Geometry) -> bool:
        """Whether line feeds or digits are among an image's marks.

        Outside of images they are text, so a map of token types by id cannot name them.
        """
        return any(token.isspace() or token.isdigit() for token, _ in self._runs(geometry))

    def _runs(self, geometry: Geometry) -> Iterable[Run]:
        """The tokens that stand for an image."""
        return (Run(self.image_token, geometry.num_tokens),)

    def _lay_out_in_prompt(
        self,
        width: int,
        height: int,
        index: int,  # noqa: ARG002
        images: int | None,  # noqa: ARG002
    ) -> Geometry:
        """`describe`, for valid numbers. For families whose tokens depend on other images."""
        return self._lay_out(width, height)

    @abstractmethod
    def _lay_out(self, width: int, height: int) -> Geometry:
        """`describe` of an image that is alone in its prompt, for a valid size."""

    def _check_count(self, name: str, value: object) -> None:
        if type(value) is not int:
            raise self._error(name, "wrong_type", "an integer", value)
        if not 1 <= value <= MAX_INT:
            raise self._error(name, "out_of_range", "an integer from 1 to 2^53-1", value)

    def _limit(self, expected: str, width: int, height: int) -> RawMMError:
        """The error for an image that the family's image processor refuses."""
        return contract_error(
            "image_limit",
            (),
            expected=expected,
            got=f"{width} x {height} pixels",
            hint="crop or pad the image",
        )

    def _check_bound(self, name: str, most: int) -> None:
        value = getattr(self, name)
        if value > most:
            raise self._error(name, "out_of_range", f"an integer from 1 to {most}", value)

    def _check_at_most(self, name: str, limit: str) -> None:
        value, most = getattr(self, name), getattr(self, limit)
        if value > most:
            raise self._error(name, "out_of_range", f"at most {limit}, which is {most}", value)

    def _check_multiple(self, name: str, unit: str) -> None:
        value, step = getattr(self, name), getattr(self, unit)
        if value % step:
            raise self._error(name, "bad_value", f"a multiple of {unit}, which is {step}", value)

    def _error(self, name: str, code: str, expected: str, value: object) -> RawMMError:
        """The error for a parameter."""
        return contract_error(
            code, (name,), expected=expected, got=shown(value), hint=self.parameters_hint()
        )

    @classmethod
    def parameters_hint(cls) -> str:
        """A hint that lists the family's parameters and their defaults."""
        listed = ", ".join(f"{name}={value!r}" for name, value in cls.defaults().items())
        return f"the parameters of {cls.family} and their defaults are {listed}"


def _side(name: str, value: object) -> int:
    return _number(name, value, 1, MAX_SIDE, "a number of pixels from 1 to 2^31-1")


def _number(name: str, value: object, least: int, most: int = MAX_INT, expected: str = "") -> int:
    is_int = is_a(value, int) and not is_a(value, bool)
    number = int.__index__(value) if is_int else 0  # type: ignore[arg-type]
    if not is_int or not least <= number <= most:
        raise contract_error(
            "out_of_range" if is_int else "wrong_type",
            (name,),
            expected=expected or f"a number of images from {least}",
            got=shown(value),
            hint=None if is_int else f"pass int({name})",
        )
    return number
