"""The fuzz targets. Each takes any bytes and must return a value or raise a `RawMMError`.

A target raises nothing else. An exception is a finding, and so is a broken promise about the
result: an unknown error code, or a value that does not round-trip.
"""

from __future__ import annotations

import base64
import json
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

import rawmm
from rawmm.errors import CODES, RawMMError
from rawmm.images import ENGINE, decode_pixels
from rawmm.images.data_url import decode_data_url, parse_data_url
from rawmm.images.prepare import check_image
from rawmm.trainer import decode_sample, encode_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).parents[3]
WIRE: Final = ROOT / "tests" / "data" / "wire"
VECTORS: Final = ROOT / "schemas" / "conformance"

KINDS: Final[tuple[Any, ...]] = (
    list[rawmm.MessageNode],
    rawmm.MessageNode,
    rawmm.Trace,
    rawmm.MultiModalData,
    rawmm.RawMMItem,
    rawmm.RawMMRef,
    rawmm.GenerateFeatures,
    rawmm.MMRefs,
    dict[str, rawmm.RawMMItem],
    rawmm.Message,
)
"""The first byte of an input to a decoder chooses the type."""

_LIMITS: Final = rawmm.Limits(max_pixels=1 << 20, max_bytes=1 << 20)
# NaN is not equal to itself, so values are compared as they are written.
_SAME: Final = msgspec.msgpack.Encoder()


class Target(NamedTuple):
    """`run` takes any bytes; `seeds` are inputs from the tests' data to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def refusable(action: Callable[[], Any]) -> Any:
    """The result of `action`; None if it raises an error of the contract."""
    try:
        return action()
    except RawMMError as error:
        refused = error
    assert refused.code in CODES, refused.code
    assert str(refused)
    assert refused.path.startswith("$")
    return None


def _decoded(
    data: bytes, decode: Callable[[bytes, Any], Any], encode: Callable[[Any], bytes]
) -> None:
    kind = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    value = refusable(lambda: decode(data[1:], kind))
    if value is not None:
        written = encode(value)
        assert encode(decode(written, kind)) == written


def _json(data: bytes) -> None:
    # MessagePack can hold values that JSON cannot, never the reverse.
    _decoded(data, rawmm.decode_json, rawmm.encode_json)


def _msgpack(data: bytes) -> None:
    _decoded(data, rawmm.decode_msgpack, rawmm.encode_msgpack)


def _ref(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    ref = refusable(lambda: rawmm.split_raw_mm_ref(text))
    if ref is not None:
        written = _written(ref)
        assert _written(rawmm.split_raw_mm_ref(written)) == written


def _written(ref: rawmm.RawMMRef) -> str:
    """The reference that rawmm writes for `ref`.

    Older writers left the fingerprint out. Readers accept that; writers add it.
    """
    fields = {name: getattr(ref, name) for name in ref.__struct_fields__}
    if ref.fingerprint is None:
        assert refusable(lambda: rawmm.raw_mm_ref(**fields)) is None
        fields["fingerprint"] = "0" * 16
    return rawmm.raw_mm_ref(**fields)


def _data_url(data: bytes) -> None:
    url = data.decode("utf-8", "surrogateescape")
    parsed = refusable(lambda: parse_data_url(url))
    raw = None if parsed is None else refusable(lambda: decode_data_url(parsed))
    if raw is not None:
        assert base64.b64encode(raw).decode() == url[parsed.start :]
        assert len(raw) <= parsed.max_bytes
    refusable(lambda: check_image(url, _LIMITS))


def _image(data: bytes) -> None:
    if refusable(lambda: check_image(data, _LIMITS)) is not None:
        refusable(lambda: decode_pixels(data, ENGINE))


def _upgrade(data: bytes) -> None:
    kind = None if not data or data[0] % 2 else KINDS[data[0] // 2 % len(KINDS)]
    value: Any = data[1:].decode("utf-8", "surrogateescape")
    for decode in (msgspec.json.decode, msgspec.msgpack.decode):
        with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            value = decode(data[1:])
            break
    upgraded = refusable(lambda: rawmm.upgrade(value, kind))
    if upgraded is not None and isinstance(upgraded.value, msgspec.Struct):
        again = rawmm.upgrade(upgraded.value, type(upgraded.value))
        assert not again.notes
        assert _SAME.encode(again.value) == _SAME.encode(upgraded.value)


def _sample(data: bytes) -> None:
    sample = refusable(lambda: decode_sample(data))
    if sample is not None:
        written = encode_sample(sample)
        assert encode_sample(decode_sample(written)) == written


class _Stores:
    """A directory that is emptied after each input that wrote something."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="rawmm-fuzz-")
        self.root = Path(self._directory.name, "images")

    def new(self) -> rawmm.ImageStore:
        return rawmm.ImageStore(self.root, limits=_LIMITS, durable=False)

    def empty(self) -> None:
        assert not self.new().verify()
        for path in self.root.iterdir():
            path.unlink()


@cache
def _stores() -> _Stores:
    return _Stores()


def _offload(data: bytes) -> None:
    """Values with images, in place. All or nothing, whatever the bytes."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return
    store = _stores().new()
    stats = refusable(lambda: rawmm.offload_images_inplace(value, store=store))
    if stats is None:
        assert value == msgspec.json.decode(data)
    elif stats.images_rewritten:
        again = rawmm.offload_images_inplace(value, store=store)
        assert (again.images_seen, again.images_rewritten) == (stats.images_seen, 0)
        _stores().empty()


def _request(data: bytes) -> None:
    """Offload of bytes gives what offload in place gives, or stores nothing."""
    store = _stores().new()
    offloaded = refusable(lambda: rawmm.offload_request(data, store=store))
    if offloaded is None:
        return
    value = json.loads(data)
    stats = rawmm.offload_images_inplace(value, store=_stores().new())
    assert json.dumps(json.loads(offloaded.body)) == json.dumps(value)
    assert stats.images_seen == offloaded.stats.images_seen
    assert stats.images_rewritten == offloaded.stats.images_rewritten
    if stats.images_rewritten:
        # The store now finds these images by their text.
        assert rawmm.offload_request(data, store=store).body == offloaded.body
        _stores().empty()


def _documents(suffix: str) -> Iterator[tuple[int, bytes]]:
    """Documents of one wire, with the index of the type that each is of."""
    for path in sorted(WIRE.glob(f"*/*{suffix}")):
        yield (7 if "mm_refs" in path.name else 0), path.read_bytes()
    for path in sorted(VECTORS.glob(f"v1/**/*{suffix}")):
        yield (
            next((at for at, kind in enumerate(KINDS) if _names(path, kind)), 1),
            path.read_bytes(),
        )


def _names(path: Path, kind: Any) -> bool:
    return getattr(kind, "__name__", "") in path.parts


def _decoder_seeds(suffix: str) -> Callable[[], Iterator[bytes]]:
    return lambda: (bytes([kind]) + data for kind, data in _documents(suffix))


def _ref_seeds() -> Iterator[bytes]:
    def strings(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | dict):
            for each in value.values() if isinstance(value, dict) else value:
                yield from strings(each)

    for text in strings(json.loads((WIRE / "trainer" / "refs.json").read_bytes())):
        yield text.encode()


def _image_seeds() -> Iterator[bytes]:
    from tests.unit.images.pictures import FORMATS, picture

    for path in sorted((WIRE / "inline").glob("*.png")):
        yield path.read_bytes()
    yield from (picture(kind) for kind in FORMATS)
    yield picture("WEBP", lossless=True)
    yield picture("JPEG", progressive=True)


def _url_seeds() -> Iterator[bytes]:
    for raw in _image_seeds():
        kind = check_image(raw, _LIMITS).header.media_type
        yield f"data:{kind};base64,".encode() + base64.b64encode(raw)


def _offload_seeds() -> Iterator[bytes]:
    for url in _url_seeds():
        source = {"url": url.decode()}
        part = {"type": "image_url", "image_url": source}
        yield json.dumps({"messages": [{"role": "user", "content": [part, part]}]}).encode()
        yield json.dumps([{"type": "image", "image": source["url"]}]).encode()
    yield (WIRE / "released" / "nodes.json").read_bytes()


def _upgrade_seeds() -> Iterator[bytes]:
    for suffix in (".json", ".msgpack"):
        for kind, data in _documents(suffix):
            yield bytes([kind * 2]) + data
            yield b"\x01" + data
    for ref in _ref_seeds():
        yield bytes([KINDS.index(rawmm.RawMMRef) * 2]) + ref


def _sample_seeds() -> Iterator[bytes]:
    for path in sorted((WIRE / "trainer").glob("training_sample.*.msgpack")):
        yield path.read_bytes()


TARGETS: Final[dict[str, Target]] = {
    "decode_json": Target(_json, _decoder_seeds(".json")),
    "decode_msgpack": Target(_msgpack, _decoder_seeds(".msgpack")),
    "split_raw_mm_ref": Target(_ref, _ref_seeds),
    "data_url": Target(_data_url, _url_seeds),
    "image": Target(_image, _image_seeds),
    "offload_images_inplace": Target(_offload, _offload_seeds),
    "offload_request": Target(_request, _offload_seeds),
    "upgrade": Target(_upgrade, _upgrade_seeds),
    "decode_sample": Target(_sample, _sample_seeds),
}
