"""Writes the page: one HTML file with its data, style and script, and a policy that allows no more.

The data is JSON in script elements of a type that no browser runs. The policy names the hashes of
the style and the script, so that nothing else runs or loads, whatever a record says.
"""

from __future__ import annotations

import hashlib
import html
import json
from base64 import b64encode
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from rawmm._version import __version__
from rawmm.view.compare import shown_differences
from rawmm.view.nodes import shown_rollout
from rawmm.view.pictures import DEFAULT_BUDGET, Pictures
from rawmm.view.rollouts import NOTHING, nearest, rollouts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from rawmm.errors import RawMMError
    from rawmm.layouts import Layout
    from rawmm.store import Store
    from rawmm.view.rollouts import Rollout

_ASSETS: Final = Path(__file__).parent / "assets"
_SCRIPTS: Final = ("dom", "list", "strip", "graph", "images", "cards", "app")
"""The parts of the script, in order."""
_GENERATOR: Final = '<meta name="generator" content="rawmm view'
_MB: Final = 1_000_000

T = TypeVar("T")


class ViewedRecord(NamedTuple):
    """A record of a page.

    Attributes:
        name: the name of its file.
        line: its line or number in the file, or None.
        value: the record as plain data; None if it cannot be decoded.
        errors: its violations.
    """

    name: str
    line: int | None
    value: Any
    errors: list[RawMMError]


class Page:
    """A page of records. Use it as a context: add records, then write it.

    Args:
        title: the title.
        store: where stored images are; None shows inline images only.
        megabytes: the size that images may take in the page.
        layout: the layout of the model, for records that do not name it.
        max_records: the number of rollouts in the page; None for any. `left_out` counts the others.
    """

    def __init__(
        self,
        title: str,
        store: Store | None = None,
        *,
        megabytes: float = DEFAULT_BUDGET,
        layout: Layout | None = None,
        max_records: int | None = None,
    ) -> None:
        self._title = title
        self._max_records = max_records
        self._layout = layout
        self._pictures = Pictures(store, int(megabytes * _MB))
        self._index: list[dict[str, Any]] = []
        self._records: list[bytes] = []
        self._compared = False
        self.left_out = 0
        self.violations = 0
        self.messages = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads that make thumbnails."""
        self._pictures.__exit__()

    @property
    def images(self) -> int:
        """The number of different images."""
        return len(self._pictures)

    @property
    def records(self) -> int:
        """The number of rollouts in the list of the page."""
        return len(self._index)

    @property
    def is_full(self) -> bool:
        """Whether further rollouts are only counted."""
        return self._max_records is not None and self.records >= self._max_records

    def add(self, record: ViewedRecord) -> None:
        """Add a record: each of its traces, if it has several."""
        rollouts = self._with_room(rollouts_of(record.value))
        if not rollouts:
            return
        errors = _by_rollout(record.errors, rollouts)
        for rollout, own in zip(rollouts, errors, strict=True):
            self._append(record, rollout, [self._shown(record, rollout, own)])

    def add_pair(self, one: ViewedRecord, other: ViewedRecord) -> None:
        """Add two records side by side, with their differences."""
        self._compared = True
        pairs = self._with_room(
            [*zip_longest(rollouts_of(one.value), rollouts_of(other.value), fillvalue=NOTHING)]
        )
        if not pairs:
            return
        records = (one, other)
        errors = [
            _by_rollout(record.errors, [pair[side] for pair in pairs])
            for side, record in enumerate(records)
        ]
        found = shown_differences(one.value, other.value, pairs, self._pictures)
        for index, pair in enumerate(pairs):
            sides = [
                self._shown(record, pair[side], errors[side][index])
                for side, record in enumerate(records)
            ]
            self._append(one, pair[0], sides, found[index], other.name)

    def html(self) -> Iterator[bytes]:
        """The page in pieces."""
        style, script = _assets()
        images = self._pictures.facts()
        files = [(fact.pop("small"), fact["whole"]) for fact in images]
        for fact, (small, whole) in zip(images, files, strict=True):
            fact["small"] = small is not None
            fact["whole"] = whole is not None
        policy = (
            f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
            "img-src blob:; base-uri 'none'; form-action 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )
        yield _encoded(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f'{_GENERATOR} {__version__}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n'
            f"<title>{html.escape(self._title)}</title>\n"
            f"<style>{style}</style></head><body>\n"
            "<noscript>This page needs JavaScript. It loads nothing and sends nothing."
            "</noscript>\n"
        )
        index = {
            "title": self._title,
            "version": __version__,
            "records": self._index,
            "images": images,
            "compare": self._compared,
            "leftOut": self.left_out,
        }
        yield _data("index", _json(index))
        for number, record in enumerate(self._records):
            yield _data(f"r{number}", record)
        for number, (small, whole) in enumerate(files):
            if small is not None:
                yield _data(f"s{number}", small.encode())
            if isinstance(whole, str):
                yield _data(f"w{number}", whole.encode())
        yield _encoded(f"<script>{script}</script></body></html>\n")

    def _with_room(self, rollouts: list[T]) -> list[T]:
        """As many of the rollouts, or pairs, as the page has room for."""
        if self._max_records is None:
            return rollouts
        room = max(0, self._max_records - self.records)
        self.left_out += len(rollouts[room:])
        return rollouts[:room]

    def _shown(
        self, record: ViewedRecord, rollout: Rollout, errors: list[RawMMError]
    ) -> dict[str, Any]:
        shown = shown_rollout(rollout, record.value, errors, self._pictures, self._layout)
        self.violations += len(shown["errors"]) + shown["moreErrors"]
        self.messages += len(shown["nodes"])
        return shown

    def _append(
        self,
        record: ViewedRecord,
        rollout: Rollout,
        sides: list[dict[str, Any]],
        found: dict[str, Any] | None = None,
        other: str | None = None,
    ) -> None:
        nodes = [node for side in sides for node in side["nodes"]]
        errors = [error for side in sides for error in side["errors"]]
        self._index.append(
            {
                "file": record.name,
                "other": other,
                "line": record.line,
                "path": rollout.path,
                "name": sides[0]["name"],
                "nodes": len(sides[0]["nodes"]),
                "tokens": sum(node["tokens"] for node in sides[0]["nodes"]),
                "images": sum("image" in part for node in nodes for part in node["content"]),
                "forks": sum(side["forks"] for side in sides),
                "errors": len(errors) + sum(side["moreErrors"] for side in sides),
                "codes": sorted({error["code"] for error in errors}),
                "differs": None if found is None else found["first"] is not None,
            }
        )
        self._records.append(_json({"sides": sides, "differences": found}))


def _by_rollout(errors: list[RawMMError], rollouts: Sequence[Rollout]) -> list[list[RawMMError]]:
    """The violations of each rollout of a record. The first also has those outside of all."""
    at = {rollout.path: index for index, rollout in enumerate(rollouts) if rollout is not NOTHING}
    found: list[list[RawMMError]] = [[] for _ in rollouts]
    for error in errors:
        found[at.get(nearest(error.path, at) or "", 0)].append(error)
    return found


def is_page(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a page that `Page` wrote."""
    return _GENERATOR.encode() in head[:4096]


@cache
def _assets() -> tuple[str, str]:
    """Style and script of the page."""
    script = "".join((_ASSETS / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)
    return (_ASSETS / "page.css").read_text("utf-8"), f'"use strict";\n(() => {{\n{script}}})();\n'


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> bytes:
    """JSON that stands in a script element: no ``<``, and no separator that a parser may split."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return _encoded(text)


def _data(name: str, data: bytes) -> bytes:
    return b'<script type="application/json" id="%s">%s</script>\n' % (name.encode(), data)


def _encoded(text: str) -> bytes:
    # A lone surrogate becomes its escape, which JSON reads.
    return text.encode("utf-8", "backslashreplace")
