"""The options that name the model's image layout, its decoding and its image tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

from rawmm import layouts
from rawmm.cli.output import UsageError
from rawmm.errors import RawMMError, shown_text
from rawmm.images import ENGINE, STORED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawmm.layouts import Layout

ImageTokens: TypeAlias = Annotated[
    list[int] | None,
    Parameter(
        name="--image-token",
        negative=(),
        help="Placeholder token of images, for records whose mm_token_type_id_map names none; may "
        "be repeated.",
    ),
]

Decoding: TypeAlias = Annotated[
    Literal["engine", "stored"],
    Parameter(
        help="What the engine made of orientation and transparency, for --layout: engine, as "
        "vLLM 0.33, or stored, as renderers 0.1.12 and bare image processors.",
    ),
]

DECODINGS: Final = {"engine": ENGINE, "stored": STORED}
"""The values of ``--decoding``."""

_MOST_DIGITS: Final = 18
"""Decimal digits that always fit an integer of 64 bits."""


def allowed_layouts(names: Iterable[str]) -> dict[str, frozenset[str] | None] | None:
    """The fingerprints of layouts by family; None for a family without parameters, and for no name.

    Raises:
        UsageError: as `named_layout`.
    """
    allowed: dict[str, frozenset[str] | None] = {}
    for name in names:
        layout, before = (
            named_layout(name, "--require-layout"),
            allowed.get(name.partition(",")[0], frozenset()),
        )
        prints = {layout.fingerprint(decoding) for decoding in DECODINGS.values()}
        is_whole = "," not in name or before is None
        allowed[layout.family] = None if is_whole else frozenset(before or ()) | prints
    return allowed or None


def named_layout(text: str, option: str = "--layout") -> Layout:
    """The layout that an option, or a key of the configuration, names: ``FAMILY,NAME=INTEGER,...``.

    Raises:
        UsageError: no such family or parameter, or an invalid value.
    """
    family, *given = text.split(",")
    parameters = {}
    for parameter in given:
        name, _, number = parameter.partition("=")
        is_number = number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
        if not is_number or name == "family":
            raise UsageError(f"{option} takes FAMILY,NAME=INTEGER,...; got {shown_text(parameter)}")
        parameters[name] = int(number)
    try:
        return layouts.get(family, **parameters)
    except RawMMError as error:
        raise UsageError(f"{option}: {error.message}") from None
