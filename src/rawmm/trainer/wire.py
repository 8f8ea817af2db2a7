"""Read and write samples as prime-rl's transport does: MessagePack arrays in field order.

`forms` lists what the revisions of the transport read and write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rawmm import layouts
from rawmm.codec import decode_msgpack, enc_hook
from rawmm.errors import RawMMError, contract_error, counted, shown, shown_names
from rawmm.images import ENGINE, checked_decoding
from rawmm.model.kinds import schema_of
from rawmm.model.types import MMRefs
from rawmm.real_class import is_a
from rawmm.store import ImageStore, check_store_arguments, open_store
from rawmm.trainer.forms import IMAGE_REFS, URLS, form_named, form_of_refs, inlined
from rawmm.trainer.sample import FIELDS, TrainingSample, as_sample, images_of, sample_of
from rawmm.upgrades import Walk, find_form
from rawmm.values.plain import to_plain
from rawmm.values.views import as_sequence

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rawmm.images import ImageDecoding
    from rawmm.layouts import Layout
    from rawmm.store import ImageReader
    from rawmm.trainer.forms import SampleForm

_FAILED: Final = object()
_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=enc_hook)
_REFS: Final = "mm_refs"


def decode_sample(
    data: Any,
    *,
    form: str = IMAGE_REFS.name,
    fields: Sequence[str] | None = None,
    layout: str | Layout | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    decoding: ImageDecoding = ENGINE,
) -> TrainingSample:
    """One sample from the transport's bytes.

    An array has no field names, so its length must be that of `fields`. The sample has the same
    references, whatever the form; see `encode_sample`. The form ``urls`` has neither hashes nor
    descriptors: both are computed again from the images, with the model's layout.

    Args:
        data: one MessagePack document, an array.
        form: a key of `SAMPLE_FORMS`.
        fields: names of the transport's fields, in order; by default those of the form.
        layout: the model's image layout, or its family for the default parameters. Only the form
            ``urls`` needs it.
        image_dir: where the inline images of ``urls`` are stored.
        decoding: how the engine decoded the images of ``urls``, as for `describe_image`.

    Raises:
        ContractError: ``malformed`` for bytes that are not MessagePack; ``bad_length`` for more
            or fewer fields; ``bad_value`` or ``historical_form`` for references in another form,
            and ``historical_form`` without a layout; ``no_image_dir`` for an inline image without
            `image_dir`; ``geometry_mismatch`` if the layout computes another number of tokens; and
            the errors of `as_sample`, with a ``path`` of positions: ``$[7][0][1]`` is the second
            image.
        ProcessedPayloadError: the sample holds the output of an image processor.
        OffloadError, MaterializeError: an image of ``urls`` is missing, invalid or cannot be
            stored.
    """
    named = form_named(form)
    names = _names(named.fields if fields is None else fields)
    values = dict(zip(names, _decoded(data, names), strict=True))
    places = {name: index for index, name in enumerate(names)}
    walk = None
    if named is not IMAGE_REFS and values.get(_REFS) is not None:
        store = None if image_dir is None else ImageStore(image_dir)
        known = layout if layout is None else _layout(layout)
        walk = Walk(store, known, checked_decoding(decoding))
        values[_REFS] = _read_refs(values[_REFS], named, walk, places[_REFS])
    try:
        sample = sample_of(values, lambda name: (places.get(name, name),))
    except RawMMError as error:
        refusal = _named_form(error, values.get(_REFS))
    else:
        if walk is not None:
            walk.store_images()
        return sample
    raise refusal


def _decoded(data: Any, names: list[str]) -> list[Any]:
    """The values of a document, as many as `names`."""
    if not is_a(data, (bytes, bytearray, memoryview)):
        raise contract_error(
            "wrong_type", (), expected="the bytes of one document", got=shown(data)
        )
    try:
        values = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, BufferError):
        values = _FAILED  # raised below, so that msgspec's error is not in the chain
    if values is _FAILED:
        decode_msgpack(data, MMRefs)  # fails again, with rawmm's error
    if not is_a(values, list):
        raise contract_error("wrong_type", (), expected="an array", got=shown(values))
    if len(values) != len(names):
        raise contract_error(
            "bad_length",
            (),
            expected=f"{counted(len(names), 'field')}: {shown_names(names)}",
            got=str(len(values)),
            hint="pass the fields of the transport that wrote it",
        )
    out: list[Any] = values
    return out


def _layout(layout: Any) -> Layout:
    return layout if is_a(layout, layouts.Layout) else layouts.get(layout)


def _read_refs(value: Any, form: SampleForm, walk: Walk, index: int) -> Any:
    """References of a form in the form of the contract. Their images are not yet stored."""
    plain = to_plain(value, MMRefs, (index,))
    found = find_form("MMRefs", plain)
    if found is None and plain == [[]]:
        return None
    given = IMAGE_REFS.refs if found is None else found.name
    if given != form.refs:
        raise contract_error(
            "bad_value",
            (index,),
            expected=f"references in the form {form.name}",
            got=f"another form, perhaps {form_of_refs(given)}",
            hint=f"form={form_of_refs(given)!r}",
        )
    return walk.upgraded(plain, schema_of(MMRefs), (index,))


def _named_form(error: RawMMError, refs: Any) -> RawMMError:
    """An error about references in another form, with the argument that reads them."""
    found = find_form("MMRefs", refs) if error.code == "historical_form" else None
    if found is None:
        return error
    return error.at(hint=f"form={form_of_refs(found.name)!r} reads it")


def encode_sample(
    sample: Any,
    *,
    form: str = IMAGE_REFS.name,
    fields: Sequence[str] | None = None,
    inline: bool = False,
    store: ImageReader | None = None,
    image_dir: str | os.PathLike[str] | None = None,
) -> bytes:
    """One sample as the transport's bytes. Fields that the sample lacks are null.

    The forms are those that the revisions of prime-rl read:

    ``descriptor_and_uris`` (June 2026)
        ``[sidecar, uris]``. All that a reference holds.
    ``image_refs`` (August 2026)
        ``[[[item, hash, uri, offset, length], ...]]``. All that a reference holds, with the URI in
        place of an item's ``raw_image_id``.
    ``urls`` (late August 2026), in `rawmm.upgrade` ``inline_urls``
        ``[[[url, offset, length], ...]]``. No hashes and no descriptors: readers compute them from
        the images. prime-rl itself reads ``data:`` URLs only; write these with `inline`.

    Args:
        sample: a `TrainingSample`, or a value that `as_sample` accepts.
        form: a key of `SAMPLE_FORMS`.
        fields: names of the transport's fields, in order; by default those of the form.
        inline: whether the form ``urls`` holds the images themselves. They are read, and compared
            with their hashes.
        store: the store to read them from; by default the one that each URL names.
        image_dir: a directory instead of a store.

    Raises:
        ContractError: ``unknown_field`` if the transport has no field for a value of the sample,
            ``bad_value`` for an unknown form or for `inline` with another form than ``urls``, and
            the errors of `as_sample`.
        ProcessedPayloadError: the sample holds the output of an image processor, or a value that
            MessagePack cannot represent.
        MaterializeError, OffloadError: with `inline`, an image is missing, changed or invalid.
        TypeError: both `store` and `image_dir` are given.
    """
    named = form_named(form)
    names = _names(named.fields if fields is None else fields)
    reader = _reader(named, inline, store, image_dir)
    checked = as_sample(sample)
    values = {name: getattr(checked, name) for name in FIELDS - {"streams", "info"}}
    values |= checked.streams | checked.info
    for name, value in values.items():
        if name not in names and value is not None and not _implied(checked, name):
            raise contract_error(
                "unknown_field",
                (name,),
                expected=f"only the fields {shown_names(names)}",
                got=shown(value),
                hint="it would be lost: pass the fields of the transport",
            )
    if (routed := checked.routed_experts) is not None:
        values["routed_experts"] = [routed.data, routed.shape, routed.dtype]
    if images := images_of(checked):
        values[_REFS] = inlined(images, reader, (_REFS,)) if inline else named.write(images)
    try:
        return _ENCODER.encode([values.get(name, named.defaults.get(name)) for name in names])
    except OverflowError:
        pass  # raised below; only an integer beyond 64 bits can fail here
    raise contract_error(
        "not_json",
        (),
        expected="values that MessagePack can represent",
        got="an integer beyond 64 bits",
    )


def _reader(form: SampleForm, inline: Any, store: Any, image_dir: Any) -> ImageReader | None:
    """The store of the images to write; None for that of each URL."""
    check_store_arguments(image_dir, store)
    if type(inline) is not bool:
        raise contract_error("wrong_type", ("inline",), expected="a bool", got=shown(inline))
    if inline and form is not URLS:
        raise contract_error(
            "bad_value",
            ("inline",),
            expected=f"inline=False, as in the form {form.name} images are references",
            got="True",
            hint=f"form={URLS.name!r}",
        )
    reader: ImageReader | None = store if image_dir is None else open_store(image_dir)
    return reader


def _implied(sample: TrainingSample, name: str) -> bool:
    """Whether readers know a value without it."""
    if name == "seq_lens":
        return sample.seq_lens == [len(sample.token_ids)]
    return name == "env_name" and not sample.env_name


def _names(fields: Any) -> list[str]:
    """Names of the transport's fields."""
    names = as_sequence(fields)
    if names is None or not all(is_a(name, str) for name in names):
        raise contract_error(
            "wrong_type", ("fields",), expected="a list of names", got=shown(fields)
        )
    for name in names:
        if names.count(name) > 1:
            raise contract_error(
                "duplicate_key", ("fields",), expected="unique names", got=shown(name)
            )
    return list(names)
