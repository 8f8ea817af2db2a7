"""Build the references to a sample's media from the sidecar of its branch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rawmm.codec import convert
from rawmm.errors import RawMMError, contract_error, counted, shown, shown_text
from rawmm.graph import stream_of
from rawmm.media import LISTS, iter_media, mm_refs_names
from rawmm.model.types import MMImageItem, MMImageRef, MMRefs, MultiModalData
from rawmm.real_class import is_a
from rawmm.store import open_store, url_of_id
from rawmm.trainer.spans import span_errors, uri_error
from rawmm.values.plain import plain_copy

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from rawmm.media import Medium

    ToUri = Callable[[str], str]


def build_mm_refs(
    sidecar: Any,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    to_uri: Callable[[str], str] | None = None,
    num_tokens: int | None = None,
    mm_token_type_ids: list[int] | None = None,
) -> MMRefs | None:
    """References to the media of a sample, in token order, for the transport to the trainer.

    An item with a ``raw_image_uri`` keeps it. A ``raw_image_id`` is a file name; `image_dir` or
    `to_uri` turns it into a complete URI.

    Args:
        sidecar: `MultiModalData` of the whole branch, or a value that converts to it; or None.
        image_dir: the image directory, whose ids become ``file://`` URIs, or the URL of another
            store, whose ids become URLs below it.
        to_uri: a function from an id to a URI, such as that of a store; instead of `image_dir`.
        num_tokens: the length of the sample.
        mm_token_type_ids: for each token of the sample 0 for text, 1 for an image.

    Returns:
        The references; None without media. They share nothing with `sidecar`.

    Raises:
        ContractError: ``unsupported_modality`` for media that the transport cannot carry;
            ``no_locator`` for a descriptor-only item; ``no_image_dir`` for an id without
            `image_dir` and `to_uri`; ``bad_locator`` for an inline image; ``count_mismatch`` if
            hashes, ranges or items are missing; ``placeholder_order`` for a range outside of the
            sample; ``orphan_image`` for a range on tokens of another type and for typed
            tokens outside of all ranges; and any violation of the contract in the sidecar.
        ProcessedPayloadError: an item is not raw.
    """
    if image_dir is not None and to_uri is not None:
        raise contract_error(
            "bad_value",
            (),
            expected="image_dir or to_uri",
            got="both",
            hint="pass one of them",
        )
    checked = convert(MultiModalData() if sidecar is None else sidecar, MultiModalData)
    _check_modalities(checked)
    found = sorted(iter_media(checked), key=lambda one: one.placeholder.offset)
    if to_uri is not None and not callable(to_uri):
        raise contract_error("wrong_type", (), expected="a function as to_uri", got=shown(to_uri))
    locate = to_uri if image_dir is None else _in(image_dir)
    images = [_image_ref(one, locate) for one in found]
    if num_tokens is not None and (type(num_tokens) is not int or num_tokens < 0):
        raise contract_error(
            "out_of_range",
            ("num_tokens",),
            expected="a number of tokens of at least 0",
            got=shown(num_tokens),
        )
    types = None
    if mm_token_type_ids is not None:
        types = stream_of(mm_token_type_ids, "TokenIds", ("mm_token_type_ids",))
    if types is not None and num_tokens not in (None, len(types)):
        raise contract_error(
            "stream_length",
            ("mm_token_type_ids",),
            expected=f"{counted(num_tokens or 0, 'value')}, one per token",
            got=str(len(types)),
        )
    for error in span_errors(
        images,
        num_tokens if types is None else len(types),
        types,
        at=lambda index: found[index].placeholder_path,
        types_at=("mm_token_type_ids",),
    ):
        raise error
    return MMRefs(images=images) if images else None


def _check_modalities(sidecar: MultiModalData) -> None:
    wanted = mm_refs_names()
    for name in LISTS:
        for modality, entries in getattr(sidecar, name).items():
            if entries and modality not in wanted:
                raise contract_error(
                    "unsupported_modality",
                    (name, modality),
                    expected=f"{' or '.join(f'{one}s' for one in wanted)} only",
                    got=f"{counted(len(entries), 'entry', 'entries')} of {shown_text(modality)}",
                )


def _in(image_dir: str | os.PathLike[str]) -> ToUri:
    return partial(url_of_id, open_store(image_dir))


def _image_ref(one: Medium, locate: ToUri | None) -> MMImageRef:
    item, path = one.item, one.path
    uri: Any
    if item.raw_image_uri is not None:
        path, uri = (*path, "raw_image_uri"), item.raw_image_uri
    elif item.raw_image_id is None:
        raise contract_error(
            "no_locator",
            path,
            expected="raw_image_id or raw_image_uri",
            got="a descriptor-only item",
            hint="the trainer reads every file; the sidecars of the message graph keep locators",
        )
    elif locate is None:
        raise contract_error(
            "no_image_dir",
            (*path, "raw_image_id"),
            expected="image_dir or to_uri, to turn the id into a URI",
            got="neither",
            hint="image_dir=rawmm.run_image_dir()",
        )
    else:
        path, uri = (*path, "raw_image_id"), locate(item.raw_image_id)
    if not is_a(uri, str):
        raise contract_error("wrong_type", path, expected="a URI from to_uri", got=shown(uri))
    if error := uri_error(uri, path):
        raise error
    fields = {name: getattr(item, name) for name in MMImageItem.__struct_fields__}
    try:
        return MMImageRef(
            item=MMImageItem(**fields | {"payload": plain_copy(item.payload)}),
            hash=one.sha256,
            uri=uri,
            offset=one.placeholder.offset,
            length=one.placeholder.length,
        )
    except RawMMError as error:
        refusal = error
    # Everything else was checked with the sidecar, so the URI is invalid.
    raise contract_error(
        refusal.code, path, expected=refusal.expected, got=refusal.got, hint=refusal.hint
    )
