"""What a layout makes of an image, beside what the record has: descriptor and placeholder."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from rawmm import layouts
from rawmm.errors import RawMMError
from rawmm.images import ENGINE, STORED
from rawmm.view.lenient import as_json, dict_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.images import ImageDecoding, ImageHeader
    from rawmm.layouts import Layout

_SHOWN: Final = 400


class Accounts:
    """The layouts that may describe the images of one record.

    Args:
        given: the layout that the user named, or None.
        model: the id of the record's model, or None.
    """

    def __init__(self, given: Layout | None, model: str | None) -> None:
        self._known: list[tuple[str, Layout]] = []
        if given is not None:
            self._known.append(("the given layout", given))
        if model is not None:
            with suppress(RawMMError):
                self._known.append(
                    (f"the published parameters of {model}", layouts.for_model(model))
                )

    def of_item(
        self, item: dict[Any, Any], header: ImageHeader | None, length: int | None
    ) -> dict[str, Any] | None:
        """The account for the image of a descriptor; None for an unknown family or image.

        Args:
            item: the descriptor as plain data.
            header: the header of its image, if it was read.
            length: the length of its placeholder range, if it has one.
        """
        family, fingerprint = text_of(item.get("family")), text_of(item.get("layout_fingerprint"))
        if header is None or family is None:
            return None
        for source, layout in self._candidates(family):
            for decoding in (ENGINE, STORED):
                if fingerprint in {None, layout.fingerprint(decoding)}:
                    account = _account(source, layout, decoding, header, length)
                    return account and account | {
                        "payload": account["payload"] == item.get("payload")
                    }
        for source, layout in self._candidates(family):
            account = _account(source, layout, ENGINE, header, length)
            return account and account | {
                "payload": account["payload"] == item.get("payload"),
                "doubt": "the fingerprint is that of other parameters",
            }
        return None

    def of_run(self, header: ImageHeader, length: int) -> dict[str, Any] | None:
        """The account for an image without descriptor, which has a run of `length` tokens."""
        for source, layout in self._known:
            account = _account(source, layout, ENGINE, header, length)
            return account and account | {"payload": None}
        return None

    def _candidates(self, family: str) -> Iterator[tuple[str, Layout]]:
        yield from (known for known in self._known if known[1].family == family)
        if family in layouts.FAMILIES:
            yield f"the default parameters of {family}", layouts.get(family)


def _account(
    source: str, layout: Layout, decoding: ImageDecoding, header: ImageHeader, length: int | None
) -> dict[str, Any] | None:
    try:
        geometry = layout.describe(*decoding.size_of(header))
    except RawMMError as error:
        return {
            "family": layout.family,
            "source": source,
            "refused": error.message,
            "payload": None,
        }
    marks = len(layout.marks(geometry))
    # A run of image tokens lacks the marks; a range may have one token that the engine expands.
    fits = {geometry.num_tokens, geometry.num_tokens - marks, geometry.placeholder_length}
    return {
        "family": layout.family,
        "source": source,
        "decoding": "" if decoding == ENGINE else "as stored",
        "grid": geometry.grid,
        "tokens": geometry.num_tokens,
        "length": length,
        "fits": None if length is None else length in fits,
        "payload": geometry.payload,
    }


def item_facts(
    modality: str, item: Any, sha256: Any, span: tuple[int, int] | None
) -> dict[str, Any]:
    """What the page says of a descriptor, or of a hash or range without one."""
    fields = dict_of(item)
    return {
        "modality": modality,
        "hash": text_of(sha256),
        "offset": None if span is None else span[0],
        "length": None if span is None else span[1],
        "family": text_of(fields.get("family")),
        "fingerprint": text_of(fields.get("layout_fingerprint")),
        "payload": as_json(fields["payload"])[:_SHOWN] if "payload" in fields else None,
        "ambiguous": as_json(fields["ambiguous"])[:_SHOWN] if "ambiguous" in fields else None,
        "isItem": type(item) is dict,
    }
