"""Checks the images of records for `check`, without writing anything."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from rawmm.engine import split_raw_mm_ref
from rawmm.errors import (
    OffloadError,
    RawMMError,
    contract_error,
    json_path,
    shown,
    shown_text,
)
from rawmm.locators import Problem, file_path, locator_of, scheme_of
from rawmm.model.types import (
    TYPES,
    ContentPart,
    Contract,
    GenerateFeatures,
    MMImageItem,
    MMImageRef,
    RawMMItem,
)
from rawmm.offload import inline_url, offload_images_inplace, record_parts
from rawmm.store import check_exists, served_schemes
from rawmm.values.fields import fields_holding, iter_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rawmm.store import Store

    Path: TypeAlias = tuple[str | int, ...]


class NotChecked(NamedTuple):
    """The number of images that were not checked.

    Attributes:
        files: images in an image directory, when none is given.
        elsewhere: images whose URL has a scheme that no store serves.
    """

    files: int = 0
    elsewhere: int = 0

    def plus(self, other: NotChecked) -> NotChecked:
        """The sum of both."""
        return NotChecked(self.files + other.files, self.elsewhere + other.elsewhere)


_LOCATED: Final = frozenset(
    kind
    for kind in TYPES.values()
    if "raw_image_id" in kind.__struct_fields__
    or kind in (MMImageRef, GenerateFeatures, ContentPart)
)
"""The structs that name an image outside of messages."""
_FILE: Final = NotChecked(files=1)
_ELSEWHERE: Final = NotChecked(elsewhere=1)


class _Reference(NamedTuple):
    """A place in a record that refers to an image, or contains it."""

    locator: str | Problem
    path: Callable[[], str]
    in_part: bool


class ImageChecker:
    """Checks the images of records. Inline images must be valid for `offload`.

    Args:
        store: where the other images must be; None checks no files.
        required: whether an image that cannot be checked is an error.
    """

    def __init__(self, store: Store | None, *, required: bool = False) -> None:
        self._store = store
        self._required = required

    def findings(self, value: Any, *, is_request: bool) -> Iterator[OffloadError | NotChecked]:
        """Every error of the images of a record, then the number of unchecked images, if any.

        An image in a message and in its descriptor counts once.

        Args:
            value: a request as plain data, or another record as structs.
            is_request: whether `offload` must accept the image parts.
        """
        strict = is_request or self._store is not None
        verdicts: dict[str, OffloadError | NotChecked | None] = {}
        names: set[str] = set()
        not_checked = NotChecked()
        for locator, path, in_part in _references(value, is_request=is_request):
            if isinstance(locator, Problem):
                if strict or locator.code == "unknown_image_form":
                    yield OffloadError(
                        locator.code, path(), expected=locator.expected, got=locator.got
                    )
                continue
            name = "" if scheme_of(locator) == "data" else locator.rpartition("/")[2]
            if name and not in_part and name in names:
                continue
            names.add(name)
            if locator not in verdicts:
                verdicts[locator] = self._verdict(locator, strict=strict)
            verdict = verdicts[locator]
            if isinstance(verdict, NotChecked):
                not_checked = not_checked.plus(verdict)
                verdict = _required(locator) if self._required else None
            if verdict is not None:
                yield OffloadError(
                    verdict.code,
                    path(),
                    expected=verdict.expected,
                    got=verdict.got,
                    hint=verdict.hint,
                )
        if any(not_checked) and not self._required:
            yield not_checked

    def _verdict(self, locator: str, *, strict: bool) -> OffloadError | NotChecked | None:
        scheme = scheme_of(locator)
        if not scheme or (scheme in served_schemes() and self._store is None):
            return self._file_verdict(locator, strict=strict)
        if scheme not in {"data", *served_schemes()} and not strict:
            return _ELSEWHERE
        part = {"type": "image_url", "image_url": {"url": locator}}
        try:
            offload_images_inplace(part, store=self._store, mode="inline")
        except OffloadError as error:
            return error
        return None

    def _file_verdict(self, locator: str, *, strict: bool) -> OffloadError | NotChecked | None:
        if self._store is None:
            where = file_path(locator) if strict and scheme_of(locator) in {"", "file"} else None
            if isinstance(where, Problem):
                return OffloadError(where.code, expected=where.expected, got=where.got)
            return _FILE
        try:
            check_exists(self._store, locator)
        except OffloadError as error:
            return error
        return None


def ambiguous_items(value: Any) -> Iterator[OffloadError]:
    """An error for each item of a record whose image programs may decode differently."""
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, current = stack.pop()
        if isinstance(current, RawMMItem | MMImageItem):
            if current.ambiguous:
                yield OffloadError(
                    "ambiguous_image",
                    json_path((*path, "ambiguous")),
                    expected="an image that all programs decode in the same way",
                    got=f"one whose {' and '.join(current.ambiguous)} they treat differently",
                    hint="store it upright and opaque, with ImageStore(normalize=True)",
                )
            continue
        stack += reversed([((*path, key), child) for key, child in iter_children(current)])


def foreign_layouts(
    value: Any, allowed: Mapping[str, frozenset[str] | None]
) -> Iterator[RawMMError]:
    """An error for each item of a record whose layout is none of the allowed ones.

    Args:
        value: the record, as structs.
        allowed: the fingerprints of each family; None allows all of the family.
    """
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, current = stack.pop()
        if not isinstance(current, RawMMItem | MMImageItem):
            stack += reversed([((*path, key), child) for key, child in iter_children(current)])
            continue
        prints = allowed.get(current.family, frozenset())
        given = current.layout_fingerprint
        if prints is None or given in prints or (prints and given is None):
            continue
        yield contract_error(
            "mixed_layouts",
            (*path, "layout_fingerprint" if prints else "family"),
            expected=f"a layout that is allowed here ({', '.join(sorted(allowed))})",
            got=shown(given) if prints else f"the family {shown_text(current.family)}",
            hint="describe the images with the layout of the model",
        )


def _required(locator: str) -> OffloadError:
    scheme = scheme_of(locator)
    if scheme in {"", *served_schemes()}:
        return OffloadError(
            "no_image_dir",
            expected="an image directory to look for the image in",
            got="none",
            hint="give --image-dir",
        )
    return OffloadError(
        "bad_locator",
        expected="an image that is inline or in the image directory",
        got=f"the scheme {shown_text(scheme)}, which no store serves",
    )


def _references(value: Any, *, is_request: bool) -> Iterator[_Reference]:
    found = record_parts(value)
    for part in found.parts:
        yield _Reference(part.fault or inline_url(part), partial(found.path, part), in_part=True)
    for path, locator in () if is_request else _descriptor_locators(value):
        yield _Reference(locator, partial(json_path, path), in_part=False)


def _descriptor_locators(value: Any) -> Iterator[tuple[Path, str]]:
    """The path and locator of every descriptor, reference and content part in structs."""
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, current = stack.pop()
        if isinstance(current, Contract):
            if "raw_image_id" in current.__struct_fields__:
                locator = locator_of(current)
                if locator is not None:
                    own = locator == current.raw_image_id  # type: ignore[attr-defined]
                    name = "raw_image_id" if own else "raw_image_uri"
                    yield (*path, name), locator
                continue
            if isinstance(current, MMImageRef) and locator_of(current.item) is None:
                yield (*path, 2), current.uri
            elif isinstance(current, GenerateFeatures):
                yield from _slot_locators(current, path)
            elif isinstance(current, ContentPart):
                yield (*path, "url"), current.url
        stack += reversed([((*path, key), child) for key, child in _children(current)])


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """What `iter_children` finds and may hold one of `_LOCATED`: no messages, no streams."""
    kind: Any = type(value)
    if not issubclass(kind, Contract):
        yield from iter_children(value)
        return
    values = msgspec.structs.astuple(value)
    for field in fields_holding(kind, _LOCATED):
        child = values[field.position]
        if type(child) not in field.skipped_types:
            yield field.key, child


def _slot_locators(features: GenerateFeatures, path: Path) -> Iterator[tuple[Path, str]]:
    for modality, slots in (features.kwargs_data or {}).items():
        for index, slot in enumerate(slots):
            locator = None
            with suppress(RawMMError):  # another rule reports a malformed reference
                locator = None if slot is None else locator_of(split_raw_mm_ref(slot))
            if locator is not None:
                yield (*path, "kwargs_data", modality, index), locator
