"""Hypothesis strategies for every type of the contract.

`documents` draws plain JSON data, `instances` structs. Both read the schema bundle, so a new
field or type is covered the day it is written; a keyword they do not know is an error. What
the schema cannot say (equal counts, stream lengths, ranges inside their tokens) is drawn
right from the start, not filtered.

`shaped` obeys the schema but not the rules. `mutated` and `lexemes` draw what is wrong or
merely odd: changed structure, and JSON text with other spellings.
"""

from __future__ import annotations

import base64
import copy
import json
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hypothesis import strategies as st

from rawmm import codec, schemas
from rawmm.structs import PROCESSED_KEYS, TYPES, Contract
from rawmm.validate import iter_errors

if TYPE_CHECKING:
    from collections.abc import Callable

S = TypeVar("S", bound=Contract)
Json = Any
Strategy = st.SearchStrategy[Any]

_HEX: Final = "0123456789abcdef"
_KNOWN: Final = frozenset(
    {
        "$ref", "anyOf", "oneOf", "type", "const", "enum", "pattern", "contentEncoding",
        "minimum", "maximum", "items", "prefixItems", "minItems", "maxItems", "properties",
        "required", "additionalProperties", "propertyNames", "title", "description", "default",
    }
)  # fmt: skip
MAX_LIST: Final = 3
"""Longest list drawn where nothing else says how long."""


def documents(name: str) -> Strategy:
    """Valid JSON data of type `name`: dicts, lists, strings and finite numbers.

    Raises:
        KeyError: no definition has that name.
    """
    return _documents(name, rules=True)


def shaped(name: str) -> Strategy:
    """JSON data of type `name` that obeys the schema; rules between fields may be broken."""
    return _documents(name, rules=False)


def instances(kind: type[S]) -> st.SearchStrategy[S]:
    """Valid structs of class `kind`."""
    names = {struct: name for name, struct in TYPES.items()}
    return documents(names[kind]).map(lambda document: codec.convert(document, kind))


@cache
def _documents(name: str, *, rules: bool) -> Strategy:
    schema = schemas.bundle()["$defs"][name]
    if name in _FREE:
        return _FREE[name]
    if rules and name in _RULED:
        return _RULED[name]()
    return from_schema(schema, rules=rules)


def from_schema(schema: dict[str, Any], *, rules: bool = True) -> Strategy:
    """JSON data that obeys one schema of the bundle.

    Raises:
        ValueError: the schema has a keyword outside the authoring profile.
    """
    if unknown := {key for key in schema if not key.startswith("x-")} - _KNOWN:
        msg = f"no strategy for the keywords {sorted(unknown)}"
        raise ValueError(msg)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return st.deferred(lambda: _documents(name, rules=rules))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return st.one_of([from_schema(member, rules=rules) for member in schema[union]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _BY_TYPE[schema["type"]](schema, rules)


def _integer(schema: dict[str, Any], _: bool) -> Strategy:  # noqa: FBT001
    low, high = schema["minimum"], schema["maximum"]
    return st.integers(low, min(high, low + 1000)) | st.integers(low, high)


def _string(schema: dict[str, Any], _: bool) -> Strategy:  # noqa: FBT001
    if schema.get("contentEncoding") == "base64":
        return st.binary(max_size=12).map(lambda raw: base64.b64encode(raw).decode())
    if "pattern" in schema:
        pattern = schema["pattern"]
        if pattern.endswith("$"):
            return st.from_regex(pattern[:-1] + r"\Z", fullmatch=True)
        return st.from_regex(pattern)
    return st.text(max_size=12)


def _array(schema: dict[str, Any], rules: bool) -> Strategy:  # noqa: FBT001
    if "prefixItems" in schema:
        fields = [from_schema(item, rules=rules) for item in schema["prefixItems"]]
        return st.tuples(*fields).map(list)
    return st.lists(from_schema(schema["items"], rules=rules), max_size=MAX_LIST)


def _object(schema: dict[str, Any], rules: bool) -> Strategy:  # noqa: FBT001
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    drawn = {key: from_schema(value, rules=rules) for key, value in properties.items()}
    fixed = st.fixed_dictionaries(
        {key: drawn[key] for key in required},
        optional={key: value for key, value in drawn.items() if key not in required},
    )
    extra = schema["additionalProperties"]
    if extra is False:
        return fixed
    names = from_schema(schema.get("propertyNames", {"type": "string"}), rules=rules)
    others = st.dictionaries(
        names.filter(lambda key: key not in properties),
        from_schema(extra, rules=rules),
        max_size=MAX_LIST,
    )
    return st.tuples(others, fixed).map(lambda both: {**both[0], **both[1]})


_BY_TYPE: Final[dict[str, Callable[..., Strategy]]] = {
    "null": lambda *_: st.none(),
    "boolean": lambda *_: st.booleans(),
    "integer": _integer,
    "number": lambda *_: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
    "string": _string,
    "array": _array,
    "object": _object,
}

_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
_KEYS: Final = st.text(max_size=8).filter(lambda key: key not in PROCESSED_KEYS | {"__nd__"})
_VALUES: Final = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)
_OBJECTS: Final = st.dictionaries(_KEYS, _VALUES, max_size=3)
_FREE: Final = {
    "JsonValue": _VALUES,
    "JsonObject": _OBJECTS,
    "DescriptorValue": _VALUES,
    "DescriptorObject": _OBJECTS,
}


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
    """A descriptor with one locator or none."""
    item = draw(from_schema(schemas.bundle()["$defs"][name]))
    if "raw_image_uri" in item and "raw_image_id" in item:
        del item[draw(st.sampled_from(["raw_image_uri", "raw_image_id"]))]
    return item


@st.composite
def _ranges(draw: st.DrawFn, start: int, gaps: int = 4) -> Json:
    """Sorted ranges that do not overlap, the first at `start` or after."""
    out = []
    for _ in range(draw(st.integers(0, MAX_LIST))):
        start += draw(st.integers(0, gaps))
        length = draw(st.integers(1, 5))
        out.append({"offset": start, "length": length})
        start += length
    return out


@st.composite
def _sidecar(draw: st.DrawFn, modality: str | None = None, ranges: Json = None) -> Json:
    """Hashes, ranges and items of equal length, each present or not."""
    names = [modality] if modality else draw(st.lists(_documents("Name", rules=True), max_size=2))
    out: dict[str, Any] = {"mm_hashes": {}, "mm_placeholders": {}, "mm_items": {}}
    for name in names:
        spans = ranges if ranges is not None else draw(_ranges(0))
        items = [draw(_documents("RawMMItem", rules=True)) for _ in spans]
        values: dict[str, Any] = {
            "mm_hashes": [draw(_documents("ImageHash", rules=True)) for _ in spans],
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
    sidecar = draw(_sidecar("image"))
    count = len(sidecar["mm_hashes"]["image"])
    out = {key: sidecar[key] for key in ("mm_hashes", "mm_placeholders")}
    slots = st.lists(
        st.none() | st.text(max_size=5).map("mmraw:".__add__), min_size=count, max_size=count
    )
    choice = draw(st.sampled_from(["absent", "null", "slots"]))
    if choice != "absent":
        out["kwargs_data"] = None if choice == "null" else {"image": draw(slots)}
    return out


def _encoded(dtype: str, shape: list[int], raw: bytes) -> Json:
    data = base64.b64encode(raw).decode()
    return {"__nd__": True, "dtype": dtype, "shape": shape, "data": data}


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
def _node(draw: st.DrawFn, parent: int | None = None, start: int = 0) -> Json:
    """A node whose streams fit its tokens, and whose sidecar fits its message."""
    node = draw(from_schema(schemas.bundle()["$defs"]["MessageNode"]))
    spans = draw(_ranges(start))
    content = node["message"].get("content")
    can_hold = node["message"]["role"] != "assistant"
    texts = [part for part in content or [] if isinstance(part, dict) and part["type"] == "text"]
    if spans and can_hold:
        part = {"type": "image_url", "image_url": {"url": "file:///images/a.png"}}
        node["message"]["content"] = [*texts, *[copy.deepcopy(part) for _ in spans]]
        node["multi_modal_data"] = draw(_sidecar("image", spans))
    else:
        spans = []
        if isinstance(content, list) and can_hold:
            node["message"]["content"] = texts
        node.pop("multi_modal_data", None)
    end = spans[-1]["offset"] + spans[-1]["length"] if spans else start
    tokens = end - start + draw(st.integers(1 if spans else 0, 4))
    node["parent"] = parent
    node["token_ids"] = draw(st.lists(st.integers(0, 200_000), min_size=tokens, max_size=tokens))
    node["mask"] = draw(st.lists(st.booleans(), min_size=tokens, max_size=tokens))
    node["is_content"] = draw(
        st.just([]) | st.lists(st.booleans(), min_size=tokens, max_size=tokens)
    )
    sampled = sum(node["mask"])
    numbers = st.floats(-30, 0)
    for name in ("logprobs", "advantages", "reference_logprobs", "trainer_logprobs", "entropies"):
        if node.get(name) or name == "logprobs":
            stream = st.lists(numbers, min_size=sampled, max_size=sampled)
            node[name] = draw(stream | st.just([]))
    for key in node.get("loss_weights") or ():
        node["loss_weights"][key] = draw(st.lists(numbers, min_size=tokens, max_size=tokens))
    if node.get("routed_experts"):
        node["routed_experts"] = draw(_array_doc(tokens))
    for name in ("sampling_mask", "kept_tokens"):
        if node.get(name):
            node[name] = draw(_sets(sampled) | _array_doc())
    return node


@st.composite
def _trace(draw: st.DrawFn) -> Json:
    """A graph of up to four nodes: parents before children, ranges in their own tokens."""
    trace = draw(from_schema(schemas.bundle()["$defs"]["Trace"]))
    trace.pop("mm_token_type_id_map", None)
    nodes: list[Json] = []
    ends: list[int] = []
    for index in range(draw(st.integers(0, 4))):
        parent = draw(st.none() | st.integers(0, index - 1)) if index else None
        start = 0 if parent is None else ends[parent]
        nodes.append(draw(_node(parent, start)))
        ends.append(start + len(nodes[-1]["token_ids"]))
    trace["nodes"] = nodes
    return trace


@st.composite
def _image_refs(draw: st.DrawFn) -> Json:
    refs = []
    for span in draw(_ranges(0)):
        ref = draw(_documents("MMImageRef", rules=True))
        refs.append([*ref[:3], span["offset"], span["length"]])
    return [refs]


_RULED: Final[dict[str, Callable[[], Strategy]]] = {
    "RawImageUri": _uri,
    "RawMMItem": lambda: _located("RawMMItem"),
    "MMImageItem": lambda: _located("MMImageItem"),
    "RawMMRef": lambda: _located("RawMMRef"),
    "MultiModalData": _sidecar,
    "GenerateFeatures": _features,
    "EncodedArray": _array_doc,
    "SamplingMask": _sets,
    "MessageNode": _node,
    "Trace": _trace,
    "MMRefs": _image_refs,
}


def is_valid(document: Json, name: str) -> bool:
    """Whether plain data is a valid `name`, rules included."""
    return not any(iter_errors(document, TYPES[name]))


def _places(document: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    out = [path]
    if isinstance(document, dict):
        pairs = list(document.items())
    elif isinstance(document, list):
        pairs = list(enumerate(document))
    else:
        pairs = []
    for key, child in pairs:
        out += _places(child, (*path, key))
    return out


@st.composite
def mutated(draw: st.DrawFn, name: str) -> Json:
    """Data of type `name` with one or two changes of structure. It may still be valid."""
    document = draw(documents(name) | shaped(name))
    for _ in range(draw(st.integers(1, 2))):
        document = draw(_one_change(copy.deepcopy(document)))
    return document


_ODD: Final[Strategy] = st.sampled_from(
    [None, True, False, 0, -1, 1, 2**53, 10**20, 1.5, 1e300, "", "x", "a\n", "..", [], {}, [[]]]
)


@st.composite
def _one_change(draw: st.DrawFn, document: Json) -> Json:
    path = draw(st.sampled_from(_places(document)))
    if not path:
        return draw(st.one_of(st.just(document), _ODD))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    key = path[-1]
    value = parent[key]
    change = draw(st.sampled_from(["replace", "remove", "add", "poison", "bend", "repeat"]))
    if change == "replace":
        parent[key] = draw(_ODD | _VALUES)
    elif change == "remove":
        del parent[key]
    elif change == "repeat" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(value))
    elif change == "bend" and isinstance(value, str):
        parent[key] = draw(st.sampled_from([value + "\n", " " + value, value.upper(), value[:-1]]))
    elif change == "bend" and isinstance(value, bool):
        parent[key] = int(value)
    elif change == "bend" and isinstance(value, int):
        parent[key] = draw(st.sampled_from([-value - 1, float(value), str(value), bool(value)]))
    elif isinstance(value, dict):
        poison = draw(st.sampled_from([*sorted(PROCESSED_KEYS), "__nd__"]))
        extra = poison if change == "poison" else draw(st.text(max_size=5))
        value[extra] = draw(_ODD)
    elif isinstance(value, list):
        value.append(draw(_ODD))
    return document


@st.composite
def lexemes(draw: st.DrawFn, name: str) -> bytes:
    """JSON text of type `name` in an odd spelling: escapes, exponents, blanks, duplicates."""
    document = draw(documents(name) | mutated(name))
    text = json.dumps(document, ensure_ascii=draw(st.booleans()))
    for _ in range(draw(st.integers(1, 2))):
        text = draw(_respelled(text))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _respelled(draw: st.DrawFn, text: str) -> str:
    at = draw(st.integers(0, len(text)))
    change = draw(
        st.sampled_from(["number", "escape", "blank", "cut", "constant", "surrogate", "newline"])
    )
    if change == "number":
        for index in range(at, len(text)):
            ends_number = index + 1 == len(text) or text[index + 1] in ",]} "
            if text[index].isdigit() and ends_number:
                tail = draw(st.sampled_from([".0", "e0", "E1", ".5", "e400", ".0e-1", "0" * 20]))
                return text[: index + 1] + tail + text[index + 1 :]
        return text
    if change == "escape":
        index = text.find('"', at)
        if index < 0 or index + 1 >= len(text) or text[index + 1] in '"\\,]}: ':
            return text
        return f"{text[: index + 1]}\\u{ord(text[index + 1]) & 0xFFFF:04x}{text[index + 2 :]}"
    if change == "blank":
        blank = draw(st.sampled_from([" ", "\n", "\t\r", "\f", "\ufeff"]))
        return text[:at] + blank + text[at:]
    if change == "cut":
        return text[:at]
    inserted = {"constant": "NaN", "surrogate": '"\\ud800"', "newline": "\\n"}[change]
    return text[:at] + inserted + text[at:]


__all__ = [
    "documents",
    "from_schema",
    "instances",
    "is_valid",
    "lexemes",
    "mutated",
    "shaped",
]
