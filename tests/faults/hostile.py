"""Input made to cost time or memory, through every entry point, in child processes."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import struct
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

import rawmm
from rawmm.cli.app import run
from rawmm.errors import CODES, RawMMError
from rawmm.images.data_url import parse_data_url
from rawmm.store.references import Referenced
from rawmm.trainer import decode_sample
from tests.unit.images.hostile_images import HOSTILE
from tests.unit.images.pictures import assert_silent, data_url, huge_png, picture

if TYPE_CHECKING:
    from collections.abc import Callable

MILLION: Final = 10**6
_KINDS: Final[tuple[Any, ...]] = (rawmm.MessageNode, rawmm.RawMMItem)
_LONGEST_MESSAGE: Final = 10_000
_LONGEST_REPORT: Final = 100_000

TAKEN: Final = "taken"


def said(action: Callable[[], object]) -> str:
    """The code of the refusal, or `TAKEN`. The message is short, and quotes no image."""
    try:
        action()
    except RawMMError as error:
        refused = error
    else:
        return TAKEN
    assert refused.code in CODES, refused.code
    assert len(str(refused)) < _LONGEST_MESSAGE
    assert_silent(refused)
    return refused.code


# Documents as JSON or MessagePack.


def _nested(opening: bytes, closing: bytes) -> bytes:
    return opening * MILLION + closing * MILLION


def _item(payload: bytes) -> bytes:
    return (
        b'{"rawmm": 1, "modality": "image", "family": "f", "layout_fingerprint": "0123456789abcdef",'
        b' "payload": ' + payload + b"}"
    )


def _message(content: bytes) -> bytes:
    return (
        b'{"message": {"role": "user", "content": ' + content + b'}, "token_ids": [], "mask": []}'
    )


def _parts() -> bytes:
    part = b'{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}'
    return b"[" + b",".join([part] * MILLION) + b"]"


def _long_keys(count: int) -> bytes:
    key = "k" * (10 * MILLION)
    return json.dumps({f"{key}{number}": number for number in range(count)}).encode()


JSON: Final[dict[str, Callable[[], bytes]]] = {
    "nested arrays": lambda: _nested(b"[", b"]"),
    "nested objects": lambda: _nested(b'{"a":', b"}"),
    "nested arrays, never closed": lambda: b"[" * MILLION,
    "nested payload": lambda: _item(_nested(b"[", b"]")),
    "nested content": lambda: _message(_nested(b"[", b"]")),
    "10 MB key": lambda: _long_keys(1),
    "10 MB keys in a payload": lambda: _item(_long_keys(2)),
    "a million keys": lambda: json.dumps({f"key{i}": i for i in range(MILLION)}).encode(),
    "the same key a million times": lambda: b"{" + b",".join([b'"a":1'] * MILLION) + b"}",
    "a million digits": lambda: _item(b"9" * MILLION),
    "a million digits alone": lambda: b"1" * MILLION,
    "a large exponent": lambda: _item(b"1e999999999"),
    "escapes": lambda: b'["' + b"\\u0041" * MILLION + b'"]',
    "escaped key": lambda: b'{"' + b"\\ud83d\\ude00" * MILLION + b'": 1}',
    "a gap of white space": lambda: b"[" + b" \n\t" * (10 * MILLION) + b"]",
}

MSGPACK: Final[dict[str, Callable[[], bytes]]] = {
    "nested arrays": lambda: b"\x91" * MILLION + b"\xc0",
    "nested maps": lambda: b"\x81\xa1a" * MILLION + b"\xc0",
    "an array of 4 billion that is not there": lambda: b"\xdd\xff\xff\xff\xff",
    "a map of 4 billion that is not there": lambda: b"\xdf\xff\xff\xff\xff",
    "a string of 4 GB that is not there": lambda: b"\xdb\xff\xff\xff\xff",
    "bytes of 4 GB that are not there": lambda: b"\xc6\xff\xff\xff\xff",
    "10 MB key": lambda: msgspec.msgpack.encode({"k" * 10 * MILLION: 1}),
    "an extension": lambda: b"\xc9\x00\x98\x96\x80\x05" + bytes(10 * MILLION),
}

TEXTS: Final[dict[str, Callable[[], str]]] = {
    "version of a million digits": lambda: "mmraw:v" + "1" * MILLION + ":x",
    "colons": lambda: "mmraw:v2" + ":" * (10 * MILLION),
    "base64 letters": lambda: "mmraw:" + "A" * (10 * MILLION),
    "almost base64": lambda: "mmraw:" + "A" * (10 * MILLION) + "!",
    "v3 letters": lambda: "mmraw:v3:" + "A" * (10 * MILLION),
    "almost a scheme": lambda: "a" * (10 * MILLION),
    "schemes": lambda: "a:" * (5 * MILLION),
    "nested arrays": lambda: "mmraw:" + _nested(b"[", b"]").decode(),
    "nested arrays in base64": lambda: (
        "mmraw:" + base64.urlsafe_b64encode(_nested(b"[", b"]")).decode().rstrip("=")
    ),
    "nested payload": lambda: (
        'mmraw:{"family":"f","payload":' + _nested(b'{"a":', b"}").decode() + "}"
    ),
    "a million digits": lambda: 'mmraw:{"family":' + "1" * MILLION + "}",
    "10 MB key": lambda: "mmraw:" + _long_keys(1).decode(),
    "surrogates": lambda: "mmraw:" + "\ud800" * MILLION,
    "almost a data URL": lambda: "data:image/" + "a" * (10 * MILLION),
    "dots and dashes": lambda: "data:image/a" + ".-+" * (3 * MILLION) + ";base64,",
    "a data URL in a ref": lambda: (
        'mmraw:{"raw_image_data":"data:image/png;base64,' + "A" * (10 * MILLION) + '"}'
    ),
    "base64 and white space": lambda: "data:image/png;base64," + "AAAA\n" * (2 * MILLION),
    "padding": lambda: "data:image/png;base64," + "=" * (12 * MILLION),
}


def take_json(name: str) -> dict[str, str]:
    """The answers of all entry points for JSON and for parsed JSON."""
    data = JSON[name]()
    answers = {
        f"decode {kind.__name__}": said(partial(rawmm.decode_json, data, kind)) for kind in _KINDS
    }
    answers["offload_request"] = said(lambda: rawmm.offload_request(data, image_dir=_nowhere()))
    answers["split_raw_mm_ref"] = said(lambda: rawmm.split_raw_mm_ref("mmraw:" + data.decode()))
    answers |= _take_value(_plain(name, data))
    answers["rawmm check"] = _checked(data, ".json")
    return answers


def take_msgpack(name: str) -> dict[str, str]:
    """The same for MessagePack."""
    data = MSGPACK[name]()
    answers = {
        f"decode {kind.__name__}": said(partial(rawmm.decode_msgpack, data, kind))
        for kind in _KINDS
    }
    answers["decode_sample"] = said(lambda: decode_sample(data))
    answers["rawmm check"] = _checked(data, ".msgpack")
    return answers


def take_text(name: str) -> dict[str, str]:
    """The answers of all entry points for references and URLs."""
    text = TEXTS[name]()
    part = {"type": "image", "image": text}
    return {
        "split_raw_mm_ref": said(lambda: rawmm.split_raw_mm_ref(text)),
        "upgrade": said(lambda: rawmm.upgrade(text, rawmm.RawMMRef)),
        "parse_data_url": said(lambda: parse_data_url(text)),
        "put_data_url": said(lambda: rawmm.ImageStore(_nowhere()).put_data_url(text)),
        "offload_images_inplace": said(
            lambda: rawmm.offload_images_inplace([part], image_dir=_nowhere())
        ),
        "read": said(lambda: rawmm.ImageStore(_nowhere()).read(text)),
        "raw_mm_item": said(
            lambda: rawmm.raw_mm_item(
                modality=text, family=text, layout_fingerprint=text, payload={}, raw_image_uri=text
            )
        ),
        "references": said(lambda: Referenced([]).add([text])),
    }


def take_parts() -> dict[str, str]:
    """A million image parts."""
    parts = _parts()
    data = _message(parts)
    value = msgspec.json.decode(data)
    packed = msgspec.msgpack.encode(value)
    node, root = rawmm.MessageNode, _nowhere()
    return {
        "decode_json": said(lambda: rawmm.decode_json(data, node)),
        "decode_msgpack": said(lambda: rawmm.decode_msgpack(packed, node)),
        "convert": said(lambda: rawmm.convert(value, node)),
        "iter_errors": said(lambda: list(islice(rawmm.iter_errors(value, node), 100))),
        "offload_request": said(lambda: rawmm.offload_request(parts, image_dir=root)),
        "offload_images_inplace": said(lambda: rawmm.offload_images_inplace(value, image_dir=root)),
        "rawmm check": _checked(data, ".json"),
    }


def take_gigabyte() -> dict[str, str]:
    """A gigabyte of base64 zeros, through every entry point that reads URLs."""
    answers = _take_url("data:image/png;base64," + "A" * (1 << 30))
    body = b'[{"type":"image","image":"data:image/png;base64,' + b"A" * (1 << 30) + b'"}]'
    answers["offload_request"] = said(lambda: rawmm.offload_request(body, image_dir=_nowhere()))
    answers["decode_json"] = said(lambda: rawmm.decode_json(body, list[rawmm.MessageNode]))
    answers["rawmm check"] = _checked(body, ".json")
    return answers


def _take_url(url: str) -> dict[str, str]:
    return {
        "put_data_url": said(lambda: rawmm.ImageStore(_nowhere()).put_data_url(url)),
        "describe_image": said(lambda: rawmm.describe_image(url, "qwen_vl")),
        "offload_images_inplace": said(
            lambda: rawmm.offload_images_inplace(
                [{"type": "image", "image": url}], image_dir=_nowhere()
            )
        ),
        "convert": said(lambda: rawmm.convert({"raw_image_uri": url}, rawmm.RawMMItem)),
        "split_raw_mm_ref": said(lambda: rawmm.split_raw_mm_ref(url)),
    }


def _plain(name: str, data: bytes) -> Any:
    """A value that a lenient decoder may return, nested deeper than other decoders accept."""
    if name.startswith("nested"):
        value: Any = None
        for _ in range(MILLION):
            value = {"a": value} if name == "nested objects" else [value]
        return {"payload": value} if name == "nested payload" else value
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError):
        return data.decode()


def _take_value(value: Any) -> dict[str, str]:
    answers = {}
    kind = rawmm.RawMMItem if isinstance(value, dict) and "payload" in value else rawmm.MessageNode
    answers["convert"] = said(lambda: rawmm.convert(value, kind))
    answers["upgrade"] = said(lambda: rawmm.upgrade(value, kind))
    answers["upgrade of any type"] = said(lambda: rawmm.upgrade(value, None))
    answers["errors of iter_errors"] = str(len(list(islice(rawmm.iter_errors(value, kind), 100))))
    answers["offload_images_inplace"] = said(
        lambda: rawmm.offload_images_inplace(value, image_dir=_nowhere())
    )
    answers["references"] = said(lambda: Referenced([]).add(value))
    return answers


def _checked(data: bytes, suffix: str) -> str:
    """The exit code of ``rawmm check``. What it prints is short."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"records{suffix}")
        file.write_bytes(data)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(["check", str(file)])
    assert len(out.getvalue()) + len(err.getvalue()) < _LONGEST_REPORT
    return f"exit {code}"


def _nowhere() -> Path:
    """A directory that cannot be made: hostile input is refused before it is needed."""
    return Path("/proc/self/nowhere")


# Small files of large images.

_SIDE: Final = 60_000


def _png() -> bytes:
    return huge_png(_SIDE, _SIDE // 10)


def _jpeg() -> bytes:
    raw = bytearray(picture("JPEG"))
    frame = raw.index(b"\xff\xc0")
    struct.pack_into(">HH", raw, frame + 5, _SIDE, _SIDE)
    return bytes(raw)


def _gif() -> bytes:
    raw = bytearray(picture("GIF"))
    struct.pack_into("<HH", raw, 6, _SIDE, _SIDE)
    return bytes(raw)


def _webp() -> bytes:
    raw = bytearray(picture("WEBP", lossless=True))
    # VP8L: 14 bits of width less one, 14 of height less one.
    bits = struct.unpack_from("<I", raw, 21)[0] & ~0xFFFFFFF
    struct.pack_into("<I", raw, 21, bits | 0xFFFFFFF)
    return bytes(raw)


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "png": _png,
    "jpeg": _jpeg,
    "gif": _gif,
    "webp": _webp,
}


def take_bomb(kind: str) -> dict[str, str]:
    """The answers of all entry points for images, with the default limits and without limits."""
    raw = BOMBS[kind]()
    url = data_url(raw, f"image/{kind}")
    body = json.dumps([{"type": "image", "image": url}]).encode()
    store = rawmm.ImageStore(_nowhere())
    lax = rawmm.Limits(max_pixels=1 << 62, max_edge=1 << 31)
    return {
        "put": said(lambda: store.put(raw)),
        "put_data_url": said(lambda: store.put_data_url(url)),
        "offload_request": said(lambda: rawmm.offload_request(body, store=store)),
        "describe_image": said(lambda: rawmm.describe_image(raw, "qwen_vl")),
        "without limits": said(lambda: rawmm.ImageStore(_nowhere(), limits=lax).prepare(raw)),
        "decode_image": said(lambda: rawmm.decode_image(raw)),
    }


# Input that must be read in linear time: images, and bodies with images.


_PART: Final = '{"type":"image_url","image_url":{"url":"' + data_url(picture()) + '"}}'
_OLD_PART: Final = '{"type":"image","image":"' + data_url(picture()) + '"}'


def _many(text: str, size: int) -> str:
    return ",".join([text] * (size // (len(text) + 1) + 1))


def _parts_of(part: str, size: int) -> str:
    return ",".join([part] * min(10_000, size // (len(part) + 1) + 1))


BODIES: Final[dict[str, Callable[[int], str]]] = {
    "keys that look like URLs": lambda size: (
        "{" + ",".join(f'"data:{number}":1' for number in range(size // 14)) + "}"
    ),
    "URLs of no image": lambda size: "[" + _many('"data:,"', size) + "]",
    "URLs in a string": lambda size: '["' + '\\"data:' * (size // 7) + '"]',
    "backslashes in a URL": lambda size: '["data:' + "\\\\" * (size // 2) + '"]',
    "URLs with escapes": lambda size: "[" + _many('"data:\\\\\\""', size) + "]",
    "a string without end": lambda size: '["data:' + 'x\\"' * (size // 3),
    "white space after a key": lambda size: '{"data:a"' + " " * size + ":1}",
    "empty objects": lambda size: "[" + _OLD_PART + "," + _many("{}", size) + "]",
    "nested arrays": lambda size: "[" + _OLD_PART + "," + _many("[[]]", size) + "]",
    "an image many times": lambda size: "[" + _parts_of(_PART, size) + "]",
    "parts of an old shape": lambda size: "[" + _parts_of(_OLD_PART, size) + "]",
    "URLs spelled with escapes": lambda size: (
        "[" + _parts_of(_PART.replace("data:", "\\u0064ata:"), size) + "]"
    ),
    "a long key above parts": lambda size: (
        '{"' + "k" * (size // 2) + '":[' + _parts_of(_OLD_PART, size // 2) + "]}"
    ),
    "a long key in a part": lambda size: "[" + _OLD_PART[:-1] + ',"' + "k" * size + '":1}]',
}


def judge_image(name: str, size: int) -> tuple[str, float]:
    """A store's answer to a hostile image, and the processor time."""
    raw = HOSTILE[name](size)
    store = rawmm.ImageStore(_nowhere())
    begun = time.process_time()
    answer = said(lambda: store.prepare(raw))
    return answer, time.process_time() - begun


def offload_body(name: str, size: int) -> tuple[str, float]:
    """The answers to a body, as bytes and as a value, and the processor time."""
    body = BODIES[name](size).encode()
    with tempfile.TemporaryDirectory() as folder:
        store = rawmm.ImageStore(folder, durable=False)
        begun = time.process_time()
        answer = said(lambda: rawmm.offload_request(body, store=store))
        if answer == TAKEN:
            rawmm.offload_images_inplace(json.loads(body), store=store)
        return answer, time.process_time() - begun
