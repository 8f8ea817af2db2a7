"""The sidecar of a prompt, from its messages and the placeholder ranges that the engine returned.

Released clients send image URLs and unexpanded tokens. The engine expands the placeholders and
returns their ranges, but no descriptors. With the model's layout, descriptors follow from the
images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rawmm.describe.geometry import wrong_length
from rawmm.describe.image import layout_from
from rawmm.describe.messages import MessageImages
from rawmm.errors import RawMMError, contract_error, counted, shown, shown_name
from rawmm.graph import read
from rawmm.images import ENGINE, ImageDecoding
from rawmm.media import IMAGE, IN_MESSAGES
from rawmm.model.types import Message, MultiModalData, PlaceholderRange
from rawmm.validation import in_order
from rawmm.values.views import as_mapping, as_sequence, field_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from rawmm.errors import Path
    from rawmm.layouts import Layout
    from rawmm.store import ImageReader

_RANGES: Final = ("mm_placeholders",)
_FROM_ENGINE: Final = "pass the engine's mm_placeholders"


def describe_prompt(
    messages: Iterable[Any],
    mm_placeholders: Any,
    layout: str | Layout,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    store: ImageReader | None = None,
    decoding: ImageDecoding = ENGINE,
) -> MultiModalData | None:
    """Return the sidecar of a prompt from its messages and the engine's placeholder ranges.

    The nth range is that of the nth image of the messages, so a chat template must not move
    images. Each range must have the length that the layout computes for its image. Images are read
    whole, because a stored image is verified against the hash in its name, but only their headers
    are decoded. An image that occurs several times is read once.

    A call takes time proportional to the images in `messages`. To describe the new messages of a
    turn only, pass them and their ranges, as `rawmm.graph.PendingTurn.commit` does.

    Args:
        messages: messages, or values that `convert` turns into messages. Image URLs are data URLs,
            or URLs of stored images.
        mm_placeholders: the ranges, as offset and length in the prompt's tokens: by modality, as
            in the engine's answer, ``{"image": [{"offset": 9, "length": 77}]}``; or a sorted list
            for all media together, as in `TurnTokens`. A range is a pair or has the fields
            ``offset`` and ``length``. None if the engine returned none.
        layout: the model's image layout, or its family for the default parameters.
        image_dir: the image directory. Images that lie in it get a ``raw_image_id``, also if
            their URLs name the same file in another directory. Other stored images get their URL
            as ``raw_image_uri``, and inline images their data URL.
        store: a store to use instead of `image_dir`.
        decoding: how the engine decodes images, as for `describe_image`; vLLM's by default.

    Returns:
        The sidecar; None without images. Ranges keep their offsets.

    Raises:
        TypeError: both `image_dir` and `store` are given.
        ContractError: ``count_mismatch`` if the numbers of ranges and images differ;
            ``placeholder_order`` for ranges that overlap or are not sorted; ``modality_mismatch``
            for ranges of another modality; ``geometry_mismatch`` for a range of another length
            than the layout computes, with both lengths and the likely cause; ``image_limit`` for
            a shape that the family refuses; ``bad_value`` for an unknown family; and any violation
            of the contract in a message. Paths begin with ``$.messages`` or ``$.mm_placeholders``.
        MaterializeError: ``missing_image``, ``hash_mismatch``, ``store_failed`` or ``path_escape``
            for a stored image.
        OffloadError: an image is invalid, or its URL cannot be read.
    """
    family = layout_from(layout)
    given = in_order(messages, ("messages",), "a list of messages")
    typed = [read(one, Message, "messages", index) for index, one in enumerate(given)]
    images = MessageImages(family, image_dir, store, decoding=decoding)
    ranges, at = _ranges(mm_placeholders, family)
    found = list(image_urls(typed))
    _check_count(len(ranges), len(found), mm_placeholders, at)
    if not found:
        return None
    sidecar = _placeholders(ranges, at)
    items, hashes = [], []
    for number, ((path, url), one) in enumerate(zip(found, ranges, strict=True)):
        image = images.describe(url, ("messages", *path), number)
        described = image.described
        # An engine may leave the expansion of a placeholder to the model.
        lengths = (described.num_tokens, described.placeholder_length)
        if one.length not in lengths and not family.accepts(
            family.describe(image.width, image.height, index=number), one.length
        ):
            name = f"image {number} of the prompt"
            raise wrong_length(image, name, one.length, family, (*at, number, "length"))
        items.append(described.item)
        hashes.append(described.mm_hash)
    return MultiModalData(
        mm_hashes={IMAGE.name: hashes},
        mm_placeholders=sidecar.mm_placeholders,
        mm_items={IMAGE.name: items},
    )


def image_urls(messages: Iterable[Message]) -> Iterator[tuple[Path, str]]:
    """The path and URL of each image of several messages, in order.

    Raises:
        ContractError: ``unsupported_modality`` for a message with media other than images.
    """
    for index, message in enumerate(messages):
        for name, modality in IN_MESSAGES.items():
            paths = modality.url_paths(message)
            for path, url in zip(paths, modality.urls(message), strict=True):
                if name != IMAGE.name:
                    raise contract_error(
                        "unsupported_modality",
                        ("messages", index, *path),
                        expected="images only, as layouts describe no other media",
                        got=shown_name(name),
                    )
                yield (index, *path), url


def _ranges(value: Any, layout: Layout) -> tuple[list[PlaceholderRange], Path]:
    """The ranges of images in either form, and their path."""
    if value is None:
        return [], _RANGES
    by_modality = as_mapping(value)
    if by_modality is None:
        return _each(value, _RANGES), _RANGES
    # vLLM has a modality of its own for the images of some families.
    names = (IMAGE.name, layout.vllm_modality)
    found: list[PlaceholderRange] = []
    at: Path = (*_RANGES, IMAGE.name)
    for name, ranges in by_modality.items():
        path = (*_RANGES, name if type(name) is str else shown(name))
        own = _each(ranges, path)
        if not own:
            continue
        if type(name) is not str or name not in names or found:
            raise contract_error(
                "modality_mismatch",
                path,
                expected=f"ranges of {IMAGE.name}, the modality of the messages' media",
                got=counted(len(own), f"range of {shown(name)}", f"ranges of {shown(name)}"),
                hint="the messages are not those of the prompt, or the layout is that of another "
                "model",
            )
        found, at = own, path
    return found, at


def _each(value: Any, path: Path) -> list[PlaceholderRange]:
    given = as_sequence(value)
    if given is None:
        raise contract_error(
            "wrong_type",
            path,
            expected="an array of ranges, offset and length",
            got=shown(value),
            hint=_FROM_ENGINE,
        )
    return [_range(one, (*path, index)) for index, one in enumerate(given)]


def _range(value: Any, path: Path) -> PlaceholderRange:
    pair = as_sequence(value)
    if pair is None:
        offset, length = field_of(value, "offset"), field_of(value, "length")
    elif len(pair) == 2:
        offset, length = pair
    else:
        offset = length = None
    if offset is None or length is None:
        raise contract_error(
            "wrong_type",
            path,
            expected="a range: a pair, or an object with offset and length",
            got=shown(value),
            hint=_FROM_ENGINE,
        )
    try:
        return PlaceholderRange(offset=offset, length=length)
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal


def _check_count(ranges: int, images: int, value: Any, path: Path) -> None:
    if ranges == images:
        return
    hint = "the chat template dropped an image, or the messages are not those of the prompt"
    if value is None:
        hint = "the engine returns its ranges if the request has return_token_ids"
    raise contract_error(
        "count_mismatch",
        path,
        expected=f"{counted(images, 'range')}, one per image of the messages",
        got="none" if value is None else str(ranges),
        hint=hint,
    )


def _placeholders(ranges: list[PlaceholderRange], path: Path) -> MultiModalData:
    """A sidecar of ranges only, whose construction checks their order."""
    try:
        return MultiModalData(mm_placeholders={IMAGE.name: ranges})
    except RawMMError as error:
        refusal = error
    inside = refusal.path.removeprefix(f"$.mm_placeholders.{IMAGE.name}")
    raise refusal.at(path, path=f"${inside}")
