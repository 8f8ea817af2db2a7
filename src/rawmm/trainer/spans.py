"""The rules between the media of a sample and its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rawmm.errors import contract_error, counted
from rawmm.locators import scheme_of
from rawmm.media import MODALITIES, TEXT_TYPE, TOKEN_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rawmm.errors import RawMMError
    from rawmm.model.types import MMImageItem, RawMMItem

    Path = tuple[str | int, ...]


class Span(Protocol):
    """The placeholder tokens of one medium."""

    @property
    def item(self) -> RawMMItem | MMImageItem:
        """Its descriptor."""

    @property
    def offset(self) -> int:
        """The index of the first token in the sample."""

    @property
    def length(self) -> int:
        """The number of tokens."""


def span_errors(
    spans: Sequence[Span],
    num_tokens: int | None,
    types: list[int] | None,
    *,
    at: Callable[[int], Path],
    types_at: Path,
) -> Iterator[RawMMError]:
    """Errors of spans outside of the sample, and of tokens whose type does not match the spans.

    Args:
        spans: placeholder tokens of media, sorted, not overlapping.
        num_tokens: the length of the sample, or None.
        types: ``mm_token_type_ids``, as long as the sample; or None.
        at: the path of a span, by index.
        types_at: the path of `types`.
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
    spans: Sequence[Span], types: list[int], at: Callable[[int], Path], types_at: Path
) -> Iterator[RawMMError]:
    names = {kind: name for kind, name in TOKEN_TYPES.items() if MODALITIES[name].in_mm_refs}
    types_of = {name: kind for kind, name in names.items()}
    covered = dict.fromkeys(types_of, 0)
    for index, span in enumerate(spans):
        modality = span.item.modality
        typed = types[span.offset : span.offset + span.length].count(types_of[modality])
        covered[modality] += typed
        if typed != span.length:
            yield contract_error(
                "orphan_image",
                at(index),
                expected=f"{counted(span.length, f'{modality}-typed token')} in the range",
                got=str(typed),
            )
    known = types.count(TEXT_TYPE)
    for kind, modality in names.items():
        total = types.count(kind)
        known += total
        if total > covered[modality]:
            yield contract_error(
                "orphan_image",
                types_at,
                expected=f"{counted(covered[modality], f'{modality}-typed token')}, as the "
                f"{modality}s cover",
                got=str(total),
                hint=f"the {modality} of these tokens was lost",
            )
    if known != len(types):
        known_types = {TEXT_TYPE: "text", **names}
        first = next(i for i, kind in enumerate(types) if kind not in known_types)
        kind = types[first]
        yield contract_error(
            "unsupported_modality",
            (*types_at, first),
            expected=" or ".join(f"{kind} for {name}" for kind, name in known_types.items()),
            got=f"{kind} for {TOKEN_TYPES[kind]}" if kind in TOKEN_TYPES else str(kind),
        )


def uri_error(uri: str, path: Path) -> RawMMError | None:
    """The error for a valid URI that the transport must not carry, or None."""
    if scheme_of(uri) != "data":
        return None
    return contract_error(
        "bad_locator",
        path,
        expected="a file:// URL or a store URL",
        got="an inline image",
        hint="offload it: the transport carries references only",
    )
