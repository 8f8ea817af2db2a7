"""The rules between the images of a sample and its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.errors import contract_error, counted
from rawmm.locators import scheme_of
from rawmm.rules import TOKEN_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rawmm.errors import RawMMError
    from rawmm.model.types import MMImageRef, PlaceholderRange

    Path = tuple[str | int, ...]

IMAGE: Final = "image"
"""The only modality on this transport."""

TEXT_TYPE: Final = 0
IMAGE_TYPE: Final = next(kind for kind, name in TOKEN_TYPES.items() if name == IMAGE)
"""What ``mm_token_type_ids`` says of an image's placeholder tokens."""


def span_errors(
    spans: Sequence[PlaceholderRange | MMImageRef],
    num_tokens: int | None,
    types: list[int] | None,
    *,
    at: Callable[[int], Path],
    types_at: Path,
) -> Iterator[RawMMError]:
    """Images that leave their sample, and image tokens and images that do not cover each other.

    Args:
        spans: placeholder ranges, sorted, not overlapping.
        num_tokens: length of the sample; None if it is not known.
        types: ``mm_token_type_ids``, as long as the sample; or None.
        at: where a span stands, by its index.
        types_at: where the types stand.
    """
    for index, span in enumerate(spans):
        end = span.offset + span.length
        if num_tokens is not None and end > num_tokens:
            yield contract_error(
                "placeholder_order",
                at(index),
                expected=f"a range inside the sample's {counted(num_tokens, 'token')}",
                got=f"{span.offset} to {end}",
            )
            return
    if types is not None:
        yield from _typed(spans, types, at, types_at)


def _typed(
    spans: Sequence[Any], types: list[int], at: Callable[[int], Path], types_at: Path
) -> Iterator[RawMMError]:
    covered = 0
    for index, span in enumerate(spans):
        typed = types[span.offset : span.offset + span.length].count(IMAGE_TYPE)
        covered += typed
        if typed != span.length:
            yield contract_error(
                "orphan_image",
                at(index),
                expected=f"{counted(span.length, 'image-typed token')} in the range",
                got=str(typed),
            )
    total = types.count(IMAGE_TYPE)
    if total > covered:
        yield contract_error(
            "orphan_image",
            types_at,
            expected=f"{counted(covered, 'image-typed token')}, as the images cover",
            got=str(total),
            hint="image tokens without an image: it was lost",
        )
    if total + types.count(TEXT_TYPE) != len(types):
        first = next(i for i, kind in enumerate(types) if kind not in (TEXT_TYPE, IMAGE_TYPE))
        kind = types[first]
        yield contract_error(
            "unsupported_modality",
            (*types_at, first),
            expected=f"{TEXT_TYPE} for text or {IMAGE_TYPE} for an image",
            got=f"{kind} for {TOKEN_TYPES[kind]}" if kind in TOKEN_TYPES else str(kind),
        )


def uri_error(uri: str, path: Path) -> RawMMError | None:
    """Why the trainer does not take a URI that is otherwise right, or None."""
    if scheme_of(uri) != "data":
        return None
    return contract_error(
        "bad_locator",
        path,
        expected="a file:// URL or a store URL",
        got="an inline image",
        hint="offload it: the transport carries references",
    )
