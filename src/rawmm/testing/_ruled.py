"""Strategies for JSON data that satisfies the rules between fields, without filters."""

from __future__ import annotations

import base64
import re
import struct
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from rawmm.engine import written_ref
from rawmm.locators import names_image, stored_hash
from rawmm.model import schemas
from rawmm.model.types import PATTERNS
from rawmm.rules import PER_SAMPLED
from rawmm.testing._profile import MAX_LIST, Json, Strategy, drawn_as, from_schema

if TYPE_CHECKING:
    from collections.abc import Callable

_HEX: Final = "0123456789abcdef"
_IMAGE_HASH: Final = re.compile(PATTERNS["ImageHash"]).match


@cache
def _fields(name: str, *drawn_apart: str) -> Strategy:
    """Objects of the schema of a definition, without the fields that a strategy draws itself."""
    schema = schemas.bundle()["$defs"][name]
    if not drawn_apart:
        return from_schema(schema)
    kept = {key: field for key, field in schema["properties"].items() if key not in drawn_apart}
    required = [key for key in schema["required"] if key in kept]
    return from_schema({**schema, "properties": kept, "required": required})


@st.composite
def _uri(draw: st.DrawFn) -> str:
    name = draw(st.text(_HEX, min_size=1, max_size=16))
    return draw(
        st.sampled_from(
            [
                f"file:///data/outputs/run_x/assets/images/{name}.png",
                f"file://localhost/images/{name}.jpg",
                f"s3://bucket/{name}",
                f"data:image/png;base64,{base64.b64encode(name.encode()).decode()}",
            ]
        )
    )


@st.composite
def _located(draw: st.DrawFn, name: str) -> Json:
    """A descriptor with at most one locator."""
    item = draw(_fields(name))
    if "raw_image_uri" in item and "raw_image_id" in item:
        del item[draw(st.sampled_from(["raw_image_uri", "raw_image_id"]))]
    return item


@st.composite
def _hash_of(draw: st.DrawFn, *locators: str | None) -> str:
    """A hash of the image at `locators`: shorter or longer than the hash in its file name, if any.

    If two locators name different images, the first one counts.
    """
    named = next(filter(None, map(stored_hash, filter(None, locators))), None)
    drawn: str = draw(drawn_as("ImageHash", rules=True))
    if named is not None:
        drawn = draw(st.sampled_from([named, named[:16], named + drawn]))
    return drawn[:128]


@st.composite
def _ranges(draw: st.DrawFn, start: int, gaps: int = 4) -> Json:
    """Sorted, disjoint ranges at or after `start`."""
    out = []
    for _ in range(draw(st.integers(0, MAX_LIST))):
        start += draw(st.integers(0, gaps))
        length = draw(st.integers(1, 5))
        out.append({"offset": start, "length": length})
        start += length
    return out


def _locators(item: Json) -> tuple[str | None, str | None]:
    return item.get("raw_image_id"), item.get("raw_image_uri")


@st.composite
def _sidecar(draw: st.DrawFn, modality: str | None = None, ranges: Json = None) -> Json:
    """Hashes, ranges and items of equal length, each optional."""
    names = (
        [modality]
        if modality
        else draw(st.lists(drawn_as("Name", rules=True), max_size=2, unique=True))
    )
    out: dict[str, Any] = {"mm_hashes": {}, "mm_placeholders": {}, "mm_items": {}}
    for name in names:
        spans = ranges if ranges is not None else draw(_ranges(0))
        items = [draw(drawn_as("RawMMItem", rules=True)) for _ in spans]
        values: dict[str, Any] = {
            "mm_hashes": [draw(_hash_of(*_locators(item))) for item in items],
            "mm_placeholders": spans,
            "mm_items": [{**item, "modality": name} for item in items],
        }
        for key, value in values.items():
            if modality or draw(st.booleans()):
                out[key][name] = value
    keep_empty: bool = draw(st.booleans())
    return {key: value for key, value in out.items() if value or keep_empty}


@st.composite
def _features(draw: st.DrawFn) -> Json:
    """Up to two modalities, with ranges that do not overlap, and the same ones in all maps."""
    names = draw(st.lists(st.sampled_from(["image", "video", "x.y"]), max_size=2, unique=True))
    out: dict[str, Any] = {"mm_hashes": {}, "mm_placeholders": {}}
    start = 0
    for name in names:
        spans = draw(_ranges(start))
        start = spans[-1]["offset"] + spans[-1]["length"] if spans else start
        kind = draw(st.sampled_from(["ImageHash", "MediaId"]))
        out["mm_placeholders"][name] = spans
        out["mm_hashes"][name] = [draw(drawn_as(kind, rules=True)) for _ in spans]
    for key in ("kwargs_data", "mm_metadata"):
        choice = draw(st.sampled_from(["absent", "null", "slots"]))
        if choice == "null":
            out[key] = None
        elif choice == "slots":
            out[key] = {
                name: [draw(_slot_or_null(key, name, sha)) for sha in shas]
                for name, shas in out["mm_hashes"].items()
            }
    return out


def _slot_or_null(key: str, modality: str, sha: str) -> Strategy:
    """An entry of ``kwargs_data`` or ``mm_metadata``."""
    item = st.binary(min_size=1, max_size=8).map(lambda raw: base64.b64encode(raw).decode())
    if key == "mm_metadata":
        return st.none() | item
    is_hash = bool(_IMAGE_HASH(sha))
    return st.none() | item | (_slot(sha, modality) if is_hash else _slot("0" * 32, modality))


@st.composite
def _slot(draw: st.DrawFn, sha: str, modality: str) -> str:
    """A reference to the image of this hash, with more or fewer digits of it."""
    fields = draw(_ref())
    longer = sha + draw(st.text(_HEX, max_size=8))
    fields["mm_hash"] = draw(st.sampled_from([sha, sha[:16], longer[:128]]))
    fields.pop("raw_image_uri", None)
    fields["raw_image_id"] = f"{sha[:16]}.png"
    return written_ref(fields | {"modality": modality})


@st.composite
def _ref(draw: st.DrawFn) -> Json:
    """The fields of a reference whose locator matches its hash."""
    fields = draw(_located("RawMMRef"))
    locators = [locator for locator in _locators(fields) if locator]
    return fields | {"mm_hash": draw(_hash_of(*locators))}


def _encoded(dtype: str, shape: list[int], raw: bytes) -> Json:
    data = base64.b64encode(raw).decode()
    return {"__nd__": True, "dtype": dtype, "shape": shape, "data": data}


_LAYOUTS: Final = {
    "PackedTokenIds": {"int32": "i", "int64": "q"},
    "PackedFlags": {"bool": "?", "uint8": "?"},
    "PackedFloats": {"float32": "f", "float64": "d"},
}
"""Element types of the packed streams, with the format characters of `struct`."""
_ELEMENTS: Final[dict[str, Strategy]] = {
    "PackedTokenIds": st.integers(0, 200_000) | st.integers(0, 2**32 - 1),
    "PackedFlags": st.booleans(),
    "PackedFloats": st.floats(-30, 0) | st.floats(allow_nan=False, allow_infinity=False),
}


def _held(layout: str, values: list[Any]) -> bytes | None:
    """The bytes of `values`; None if the type cannot hold them."""
    kind = f"<{len(values)}{layout}"
    try:
        raw = struct.pack(kind, *values)
    except (struct.error, OverflowError):
        return None
    return raw if list(struct.unpack(kind, raw)) == values else None


@st.composite
def _packed(draw: st.DrawFn, name: str, values: list[Any] | None = None) -> Json:
    """A packed stream of `values`, in any element type that can hold them."""
    if values is None:
        values = draw(st.lists(_ELEMENTS[name], max_size=MAX_LIST))
    held = {dtype: _held(layout, values) for dtype, layout in _LAYOUTS[name].items()}
    dtype = draw(st.sampled_from([dtype for dtype, raw in held.items() if raw is not None]))
    return _encoded(dtype, [len(values)], held[dtype] or b"")


def _stream(name: str, elements: Strategy, size: int) -> Strategy:
    """A stream of `size` elements, as a list or packed."""
    listed = st.lists(elements, min_size=size, max_size=size)
    return listed | listed.flatmap(lambda values: _packed(name, values))


def _int32(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


@st.composite
def _array_doc(draw: st.DrawFn, rows: int | None = None) -> Json:
    dtypes = {"uint8": 1, "int16": 2, "int32": 4, "float64": 8, "bool": 1}
    dtype = draw(st.sampled_from(sorted(dtypes)))
    shape = draw(st.lists(st.integers(0, 3), max_size=2))
    shape = shape if rows is None else [rows, *shape]
    size = prod(shape) * dtypes[dtype]
    return _encoded(dtype, shape, draw(st.binary(min_size=size, max_size=size)))


@st.composite
def _sets(draw: st.DrawFn, rows: int | None = None) -> Json:
    """A SamplingMask of `rows` sets."""
    rows = draw(st.integers(0, 3)) if rows is None else rows
    counts = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    ids = draw(st.lists(st.integers(0, 2**31 - 1), min_size=sum(counts), max_size=sum(counts)))
    return {
        "ids": _encoded("int32", [len(ids)], _int32(ids)),
        "counts": _encoded("int32", [rows], _int32(counts)),
    }


@st.composite
def _top(draw: st.DrawFn, rows: int | None = None) -> Json:
    """TopLogprobs of `rows` rows."""
    rows = draw(st.integers(0, 3)) if rows is None else rows
    counts = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    total = sum(counts)
    ids = draw(st.lists(st.integers(0, 2**31 - 1), min_size=total, max_size=total))
    finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
    values = draw(st.lists(finite, min_size=total, max_size=total))
    return {
        "ids": _encoded("int32", [total], _int32(ids)),
        "logprobs": _encoded("float32", [total], struct.pack(f"<{total}f", *values)),
        "counts": _encoded("int32", [rows], _int32(counts)),
    }


@st.composite
def _versions(draw: st.DrawFn, sampled: int) -> Json:
    """Sorted, disjoint spans of sampled tokens."""
    bounds = sorted(draw(st.lists(st.integers(0, sampled), max_size=4)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    return [{"version": draw(st.text(max_size=4)), "start": a, "end": b} for a, b in pairs]


_NODE_FIELDS: Final = (
    "parent", "token_ids", "mask", "is_content", "logprobs", "multi_modal_data",
)  # fmt: skip
"""What `_node` draws for every node, from its tokens and its content."""


@st.composite
def _node(draw: st.DrawFn, parent: int | None = None, start: int = 0) -> Json:
    """A node whose streams fit its tokens, and whose sidecar fits its message."""
    node = draw(_fields("MessageNode", *_NODE_FIELDS))
    spans = draw(_ranges(start))
    content = node["message"].get("content")
    can_hold = node["message"]["role"] != "assistant"
    texts = [part for part in content or [] if isinstance(part, dict) and part["type"] == "text"]
    if spans and can_hold:
        node["multi_modal_data"] = draw(_sidecar("image", spans))
        named = [f"{sha[:16]}.png" for sha in node["multi_modal_data"]["mm_hashes"]["image"]]
        names = named if draw(st.booleans()) else ["a.png"] * len(spans)
        urls = [{"url": f"file:///images/{name}"} for name in names]
        parts = [{"type": "image_url", "image_url": url} for url in urls]
        node["message"]["content"] = [*texts, *parts]
    else:
        spans = []
        if isinstance(content, list) and can_hold:
            node["message"]["content"] = texts
        node.pop("multi_modal_data", None)
    end = spans[-1]["offset"] + spans[-1]["length"] if spans else start
    tokens = end - start + draw(st.integers(1 if spans else 0, 4))
    node["parent"] = parent
    flags = _stream("PackedFlags", st.booleans(), tokens)
    node["token_ids"] = draw(_stream("PackedTokenIds", _ELEMENTS["PackedTokenIds"], tokens))
    mask = draw(st.lists(st.booleans(), min_size=tokens, max_size=tokens))
    node["mask"] = draw(st.just(mask) | _packed("PackedFlags", mask))
    node["is_content"] = draw(st.just([]) | _packed("PackedFlags", []) | flags)
    sampled = sum(mask)
    numbers = st.floats(-30, 0)
    for name in PER_SAMPLED:
        if node.get(name) or name == "logprobs":
            node[name] = draw(_stream("PackedFloats", numbers, sampled) | st.just([]))
    for key in node.get("loss_weights") or ():
        node["loss_weights"][key] = draw(_stream("PackedFloats", numbers, tokens))
    if node.get("routed_experts"):
        node["routed_experts"] = draw(_array_doc(tokens))
    for name in ("sampling_mask", "kept_tokens"):
        if node.get(name):
            node[name] = draw(_sets(sampled) | _array_doc())
    if node.get("weight_versions"):
        node["weight_versions"] = draw(_versions(sampled))
    if node.get("top_logprobs"):
        node["top_logprobs"] = draw(_top(sampled))
    return node


@st.composite
def _trace(draw: st.DrawFn) -> Json:
    """A graph of up to four nodes: parents before children, ranges in their own tokens."""
    trace = draw(_fields("Trace", "nodes", "mm_token_type_id_map"))
    trace.pop("mm_token_type_id_map", None)
    nodes: list[Json] = []
    ends: list[int] = []
    for index in range(draw(st.integers(0, 4))):
        parent = draw(st.none() | st.integers(0, index - 1)) if index else None
        start = 0 if parent is None else ends[parent]
        nodes.append(draw(_node(parent, start)))
        ids = nodes[-1]["token_ids"]
        ends.append(start + (len(ids) if isinstance(ids, list) else ids["shape"][0]))
    trace["nodes"] = nodes
    if not any(node.get("multi_modal_data") for node in nodes) and draw(st.booleans()):
        # Ten digits, but larger than any token id, so no node can contain it.
        token = draw(st.integers(schemas.bundle()["$defs"]["TokenId"]["maximum"] + 1, 10**10 - 1))
        trace["mm_token_type_id_map"] = {str(token): 1}
    return trace


@st.composite
def _image_refs(draw: st.DrawFn) -> Json:
    refs = []
    for span in draw(_ranges(0)):
        ref = draw(_image_ref())
        refs.append([*ref[:3], span["offset"], span["length"]])
    return [refs]


@st.composite
def _image_ref(draw: st.DrawFn) -> Json:
    """A reference whose item, hash and URL name the same image."""
    item, _, uri, offset, length = draw(_fields("MMImageRef"))
    item["modality"] = "image"
    sha = draw(_hash_of(*_locators(item), uri))
    own = item.get("raw_image_uri", "")
    if own.startswith("file:") and uri.startswith("file:"):
        uri = f"file:///images/{own.rpartition('/')[2]}"
    uri = uri if names_image(uri, sha) else f"s3://bucket/{sha[:16]}.png"
    return [item, sha, uri, offset, length]


BY_NAME: Final[dict[str, Callable[[], Strategy]]] = {
    "RawImageUri": _uri,
    "RawMMItem": lambda: _located("RawMMItem"),
    "MMImageItem": lambda: _located("MMImageItem"),
    "RawMMRef": _ref,
    "MultiModalData": _sidecar,
    "GenerateFeatures": _features,
    "EncodedArray": _array_doc,
    "PackedTokenIds": lambda: _packed("PackedTokenIds"),
    "PackedFlags": lambda: _packed("PackedFlags"),
    "PackedFloats": lambda: _packed("PackedFloats"),
    "SamplingMask": _sets,
    "TopLogprobs": _top,
    "MessageNode": _node,
    "Trace": _trace,
    "MMImageRef": _image_ref,
    "MMRefs": _image_refs,
}
"""Strategies by definition."""
