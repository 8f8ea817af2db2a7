"""Compare and convert prompts: with one placeholder token per image, and as the engine expands it.

A request with ``content_parts`` has one placeholder token for each image. The engine replaces each
by the tokens of its image, and answers with the expanded prompt and the ranges in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from operator import attrgetter, ne
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rawmm.codec import convert
from rawmm.engine.ranges import EngineRange, engine_ranges
from rawmm.errors import RawMMError, contract_error, counted, shown, shown_hash
from rawmm.graph import stream_of
from rawmm.media import IMAGE, iter_media
from rawmm.model.types import MultiModalData
from rawmm.real_class import is_a
from rawmm.values.strict_json import read_json
from rawmm.values.views import as_mapping, field_of, scalar_of_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.errors import Path
    from rawmm.media import Medium

_PROMPT: Final = ("prompt_token_ids", "prompt_ids")
"""Names of the expanded prompt in an engine's answer and in a client's `TurnTokens`."""
_RANGES: Final = "mm_placeholders"

_ASK: Final = "send the request with return_token_ids=true"
_EXPANDED: Final = (
    "the tokens were expanded already; with content_parts the engine expands the first of them "
    "again, so send one placeholder token for each image, as collapse_placeholders makes them"
)
_EXIF: Final = (
    "the engine turned the image upright by its EXIF orientation and the sidecar describes the "
    "stored pixels: pass the engine's decoding where images are described"
)
_SAMPLED: Final = (
    "the prompt has more placeholder tokens than images: the policy sampled one, a text contains "
    "one, or an image is not in the sidecar"
)
_UNDESCRIBED: Final = "the request had images that the sidecar does not describe"
_TOKENIZER: Final = "the tokens come from another tokenizer or chat template, or another prompt"
_OTHER_PROMPT: Final = "the sidecar is that of another prompt, or the tokens are collapsed already"


def collapse_placeholders(token_ids: Any, sidecar: Any, placeholder_id: int) -> list[int]:
    """A prompt with one placeholder token for each image, as the engine expects it.

    The inverse of the engine's expansion: each range becomes its first token, so separators inside
    of a range vanish, too.

    Args:
        token_ids: the expanded prompt: a list, another sequence, a packed stream or a
            one-dimensional array.
        sidecar: the `MultiModalData` of the prompt, or a value that converts to it; or None for a
            prompt without images.
        placeholder_id: the id of the image's placeholder token.

    Returns:
        A new list.

    Raises:
        ContractError: ``placeholder_order`` for a range that leaves the tokens; ``orphan_image``
            for a range that does not begin with a placeholder token, or for one outside of all
            ranges; ``unsupported_modality`` for media other than images; ``wrong_type`` or
            ``out_of_range`` for an invalid `placeholder_id`; and any violation of the contract
            in tokens and sidecar.
        ProcessedPayloadError: an item is not raw, or the tokens are an array of another kind.
    """
    ids = stream_of(token_ids, "TokenIds", ("token_ids",))
    token = _token_id(placeholder_id)
    media = _media_of(sidecar)
    collapsed: list[int] = []
    for start, end, medium in _gaps(ids, media):
        gap = ids[start:end]
        if token in gap:
            raise _orphan_token(token, ("token_ids", start + gap.index(token)))
        collapsed += gap
        if medium is None:
            break
        if medium.modality != IMAGE.name:
            raise contract_error(
                "unsupported_modality",
                medium.placeholder_path,
                expected="images only",
                got=f"a range of {medium.modality}",
                hint="a placeholder token belongs to one modality",
            )
        if ids[end] != token:
            raise contract_error(
                "orphan_image",
                medium.placeholder_path,
                expected=f"a range that begins with the placeholder token {token}",
                got=f"the token {ids[end]}",
                hint=_OTHER_PROMPT,
            )
        collapsed.append(token)
    return collapsed


def check_engine_prompt(sidecar: Any, token_ids: Any, response: Any) -> None:
    """Check that the engine expanded a prompt as its sidecar says. Return None if it did.

    The sidecar states where the layout puts the tokens of each image. The engine states what it
    made of the request. A difference is an error that names the image, both counts and the likely
    cause: the layout's parameters, an EXIF orientation, an image that the chat template dropped,
    tokens that were expanded already, another tokenizer, or a request without
    ``return_token_ids``.

    Args:
        sidecar: the `MultiModalData` of the whole prompt, with ranges in the expanded prompt, or a
            value that converts to it; or None for a prompt without media.
        token_ids: the prompt that was sent: with one placeholder token per medium, as with
            ``content_parts``; or expanded, as with ``features``.
        response: the engine's answer to ``/inference/v1/generate``: its JSON as text, bytes or
            plain data, a model or struct of it, or a client's `TurnTokens` or `Response`. A
            prompt without media needs neither ranges nor tokens in it.

    Raises:
        ContractError: paths begin with ``$.response`` for what the engine said:
            ``missing_field`` if it lacks the prompt; ``count_mismatch`` for another number of
            ranges; ``modality_mismatch``; ``geometry_mismatch`` for a range of another length;
            ``token_mismatch`` for a range at another place, or for another token;
            ``orphan_image`` for a placeholder token without image, or a range without placeholder
            token; ``placeholder_order`` if its ranges overlap or are not sorted; ``malformed``
            for a body that is not JSON; ``wrong_type`` and the like for another shape. Other
            paths are those of the sidecar, or begin with ``$.token_ids``.
        ProcessedPayloadError: an item of the sidecar is not raw.
    """
    media = _media_of(sidecar)
    sent = stream_of(token_ids, "TokenIds", ("token_ids",))
    answer = _read_answer(response)
    if media:
        _Check(media, sent, answer).run()
    else:
        _check_text(sent, answer)


class _Answer(NamedTuple):
    """The parts of an engine's answer that concern the prompt, with their paths."""

    prompt: list[int] | None
    prompt_path: Path
    ranges: list[EngineRange] | None
    ranges_path: Path


def _read_answer(response: Any) -> _Answer:
    path: Path = ("response",)
    if is_a(response, (str, bytes, bytearray, memoryview)):
        response = _read_body(response)
    name = _prompt_name(response)
    if name is None and _has(response, "tokens"):  # a client's Response
        response, path = field_of(response, "tokens"), (*path, "tokens")
        name = _prompt_name(response)
    if name is None:
        is_error = _has(response, "error")
        raise contract_error(
            "missing_field",
            path,
            expected=f"the field {_PROMPT[0]!r}",
            got="an error of the engine" if is_error else shown(response),
            hint="the engine refused the request" if is_error else "pass the engine's answer",
        )
    prompt_path, ranges_path = (*path, name), (*path, _RANGES)
    try:
        prompt, ranges = field_of(response, name), field_of(response, _RANGES)
    except RawMMError as error:
        refusal = error.at(path)
    else:
        return _Answer(
            None if prompt is None else stream_of(prompt, "TokenIds", prompt_path),
            prompt_path,
            engine_ranges(ranges, ranges_path),
            ranges_path,
        )
    raise refusal


def _read_body(body: Any) -> Any:
    try:
        if is_a(body, str):
            body = str.__str__(body).encode(errors="replace")
        return read_json(bytes(body))
    except RawMMError as error:
        refusal = error.at(("response",), hint="pass the JSON of the engine's answer")
    except ValueError:  # a released view
        refusal = contract_error("wrong_type", ("response",), expected="bytes", got=shown(body))
    raise refusal


def _prompt_name(response: Any) -> str | None:
    return next((name for name in _PROMPT if _has(response, name)), None)


def _has(value: Any, name: str) -> bool:
    """Whether an object or mapping has a field, which may be null."""
    if is_a(value, Mapping):
        return name in (as_mapping(value) or ())
    try:
        return hasattr(value, name)
    except Exception:  # noqa: BLE001  (the object's own code)
        return False


def _check_text(sent: list[int], answer: _Answer) -> None:
    """Check the answer to a prompt without media."""
    if answer.ranges:
        raise contract_error(
            "count_mismatch",
            answer.ranges_path,
            expected="no ranges, as in the sidecar",
            got=str(len(answer.ranges)),
            hint=_UNDESCRIBED,
        )
    if answer.prompt is not None and answer.prompt != sent:
        at = _first_difference(sent, answer.prompt)
        raise _other_token(sent, at, answer, at, _TOKENIZER)


class _Check:
    """The comparison of a prompt with media and the engine's answer to it."""

    def __init__(self, media: list[Medium], sent: list[int], answer: _Answer) -> None:
        self._media = media
        self._sent = sent
        self._answer = answer
        self._ranges = answer.ranges or []
        self._is_expanded = self._has_all_tokens()

    def run(self) -> None:
        prompt = self._answer.prompt
        if prompt is None:
            raise contract_error(
                "missing_field",
                self._answer.prompt_path,
                expected="the tokens of the engine's prompt",
                got="null",
                hint=_ASK,
            )
        self._check_count()
        for medium, one in zip(self._media, self._ranges, strict=True):
            self._check_range(medium, one)
            if one.offset + one.length > len(prompt):
                raise contract_error(
                    "placeholder_order",
                    one.path,
                    expected=f"a range inside the engine's {counted(len(prompt), 'token')}",
                    got=f"one that ends at {one.offset + one.length}",
                    hint="the answer was cut, or its tokens and ranges are those of two prompts",
                )
        self._check_tokens(prompt)

    def _has_all_tokens(self) -> bool:
        """Whether the sent prompt has the tokens of all images instead of one for each."""
        spans = [(one.placeholder.offset, one.placeholder.length) for one in self._media]
        if spans[-1][0] + spans[-1][1] > len(self._sent) or all(size == 1 for _, size in spans):
            return False
        # The first two tokens of each range, because rows may end with separators.
        found = [self._sent[offset : offset + min(size, 2)] for offset, size in spans]
        return len({token for tokens in found for token in tokens}) == 1

    def _placeholders_sent(self) -> int:
        """How many placeholder tokens the sent prompt has."""
        # The first range begins at the same index in both prompts.
        first = self._media[0].placeholder.offset
        return self._sent.count(self._sent[first]) if first < len(self._sent) else 0

    def _check_count(self) -> None:
        wanted, found = len(self._media), len(self._ranges)
        if wanted == found:
            return
        got = str(found or "none")
        if found < wanted:
            pairs = zip(self._media, self._ranges, strict=False)
            equal = [medium.placeholder.length == one.length for medium, one in pairs]
            medium = self._media[[*equal, False].index(False)]
            got += f", without that of {_name(medium)}"
        raise contract_error(
            "count_mismatch",
            self._answer.ranges_path,
            expected=f"{counted(wanted, 'range')}, as in the sidecar",
            got=got,
            hint=self._cause_of_count(wanted, found),
        )

    def _cause_of_count(self, wanted: int, found: int) -> str:
        if found > wanted:
            return _UNDESCRIBED
        if self._is_expanded:
            return _EXPANDED
        if not found:
            return "the request had neither content_parts nor features"
        placed = self._placeholders_sent()
        if placed < wanted:
            return (
                f"the prompt has {counted(placed, 'placeholder token')}: the chat template dropped "
                "an image, as some do in system messages"
            )
        return "the request had fewer content_parts than the prompt has images"

    def _check_range(self, medium: Medium, one: EngineRange) -> None:
        wanted = medium.placeholder
        if one.modality not in (None, medium.modality, medium.item.vllm_modality):
            raise contract_error(
                "modality_mismatch",
                one.path,
                expected=f"the range of {_name(medium)}",
                got=f"one of the modality {shown(one.modality)}",
                hint="the request and the sidecar have the media in different order",
            )
        if one.length != wanted.length:
            raise contract_error(
                "geometry_mismatch",
                one.path,
                expected=f"{counted(wanted.length, 'token')} for {_name(medium)}",
                got=str(one.length),
                hint=self._cause_of_length(),
            )
        if one.offset != wanted.offset:
            raise contract_error(
                "token_mismatch",
                one.path,
                expected=f"{_name(medium)} at the offset {wanted.offset}",
                got=str(one.offset),
                hint=self._cause_of_token(),
            )

    def _cause_of_length(self) -> str:
        pairs = zip(self._media, self._ranges, strict=True)
        if any(medium.placeholder.length == one.length for medium, one in pairs):
            return (
                "other images agree, so the engine saw another picture here: the file was "
                f"replaced, or {_EXIF}"
            )
        return (
            "the parameters of the layout differ from those of the engine's image processor, or "
            f"{_EXIF}"
        )

    def _cause_of_token(self) -> str:
        if self._is_expanded:
            return _EXPANDED
        placed = self._placeholders_sent()
        return _SAMPLED if placed > len(self._media) else _TOKENIZER

    def _check_tokens(self, prompt: list[int]) -> None:
        """Compare the engine's prompt with the sent one, and look for tokens of lost images."""
        sent = self._sent
        is_expanded = prompt == sent
        image_tokens: set[int] = set()
        shift = 0
        gaps = []
        for start, end, medium in _gaps(prompt, self._media):
            first, at = start - shift, end - shift
            ours, gap = sent[first:] if medium is None else sent[first:at], prompt[start:end]
            if ours != gap or (medium is not None and at == len(sent)):
                index = _first_difference(ours, gap)
                raise _other_token(
                    sent, first + index, self._answer, start + index, self._cause_of_token()
                )
            gaps.append((start, gap))
            if medium is None:
                break
            span = prompt[end : end + medium.placeholder.length]
            token, count = Counter(span).most_common(1)[0]
            # Separators are rarer than image tokens, or as many if each row has one token.
            if sent[at] not in span or 2 * count < len(span):
                raise contract_error(
                    "orphan_image",
                    (*self._answer.prompt_path, end),
                    expected=f"the {counted(len(span), 'token')} of {_name(medium)}",
                    got="other tokens",
                    hint="the engine did not expand the placeholder where its range is",
                )
            image_tokens.add(token)
            if not is_expanded:
                image_tokens.add(sent[at])
                shift += len(span) - 1
        for start, gap in gaps:
            for token in image_tokens:
                if token in gap:
                    path = (*self._answer.prompt_path, start + gap.index(token))
                    raise _orphan_token(token, path, self._cause_of_token())


def _other_token(sent: list[int], at: int, answer: _Answer, index: int, hint: str) -> RawMMError:
    """The error of a token of the engine's prompt that differs from the sent one at `at`."""
    prompt = answer.prompt or []
    return contract_error(
        "token_mismatch",
        (*answer.prompt_path, index),
        expected=_token_at(sent, at, "sent"),
        got=_token_at(prompt, index, "the engine's"),
        hint=hint,
    )


def _token_at(ids: list[int], index: int, whose: str) -> str:
    if index < len(ids):
        return f"the token {ids[index]}"
    return f"the end of the prompt ({whose}, {counted(len(ids), 'token')})"


def _first_difference(ours: list[int], theirs: list[int]) -> int:
    """The first index at which two lists differ; the length of the shorter if none does."""
    return [*map(ne, ours, theirs), True].index(True)


def _orphan_token(token: int, path: Path, hint: str | None = None) -> RawMMError:
    return contract_error(
        "orphan_image",
        path,
        expected="placeholder tokens inside the ranges of images only",
        got=f"the token {token} outside of them",
        hint=hint or _SAMPLED,
    )


def _name(medium: Medium) -> str:
    return f"{medium.modality} {medium.number} (hash {shown_hash(medium.sha256)})"


def _media_of(sidecar: Any) -> list[Medium]:
    """All media of a sidecar in prompt order.

    Raises:
        ContractError: ``placeholder_order`` if ranges of two modalities overlap, and any violation
            of the contract.
    """
    if sidecar is None:
        return []
    media = sorted(iter_media(convert(sidecar, MultiModalData)), key=_offset_of)
    end = 0
    for medium in media:
        if medium.placeholder.offset < end:
            raise contract_error(
                "placeholder_order",
                medium.placeholder_path,
                expected=f"an offset of at least {end}, where another range ends",
                got=str(medium.placeholder.offset),
            )
        end = medium.placeholder.offset + medium.placeholder.length
    return media


_offset_of = attrgetter("placeholder.offset")


def _gaps(ids: list[int], media: list[Medium]) -> Iterator[tuple[int, int, Medium | None]]:
    """Start and end of the tokens before each medium, with the medium, and of those after the last.

    Raises:
        ContractError: ``placeholder_order`` for a range that leaves the tokens.
    """
    start = 0
    for medium in media:
        one = medium.placeholder
        if one.offset + one.length > len(ids):
            raise contract_error(
                "placeholder_order",
                medium.placeholder_path,
                expected=f"a range inside the {counted(len(ids), 'token')}",
                got=f"one that ends at {one.offset + one.length}",
                hint=_OTHER_PROMPT,
            )
        yield start, one.offset, medium
        start = one.offset + one.length
    yield start, len(ids), None


def _token_id(value: Any) -> int:
    found = value if is_a(value, int) else scalar_of_array(value)
    if not is_a(found, int) or is_a(found, bool):
        raise contract_error(
            "wrong_type", ("placeholder_id",), expected="a token id", got=shown(value)
        )
    if found < 0:
        raise contract_error(
            "out_of_range", ("placeholder_id",), expected="at least 0", got=shown(found)
        )
    return int(found)
