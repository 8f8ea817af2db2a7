"""No message or chained exception holds content, where an image is given in place of a name."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rawmm
from rawmm import layouts
from rawmm.errors import RawMMError
from rawmm.materialize import materialize
from rawmm.store import ImageStore, check_exists
from tests import builders
from tests.cases import each
from tests.unit.images.pictures import data_url, part, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

RAW = picture(size=(64, 64))
BASE64 = base64.b64encode(RAW * 4).decode()
MOST = 16

CONTENTS: dict[str, str] = {
    "base64": BASE64,
    "a little base64": BASE64[:60],
    "URL-safe base64": BASE64.replace("+", "-").replace("/", "_"),
    "base64 cut by dots": ".".join(BASE64[at : at + 20] for at in range(0, len(BASE64), 20)),
    "base64 cut by slashes": "/".join(BASE64[at : at + 20] for at in range(0, len(BASE64), 20)),
    "base64 after a comma": "x," + BASE64,
    "hex": RAW.hex(),
    "a little hex": RAW.hex()[:40],
    "a data URL": data_url(RAW),
    "a data URL of no image": "data:" + BASE64,
    "a data URL in capitals": "DATA:image/png;base64," + BASE64,
    "a file URL": "file:///" + BASE64,
    "a file URL of base64 in another directory": f"file:///nonexistent/{BASE64}/a.png",
    "a store's URL": "s3://" + BASE64,
    "a scheme": BASE64.replace("/", ".").replace("=", "") + "://x",
    "a home directory": "~" + BASE64,
    "an absolute path": "/" + BASE64,
    "a relative path": "./" + BASE64[:200] + "/a.png",
}


def _sidecar(**locator: str) -> Any:
    return builders.sidecar(builders.item(**locator))


def _raised(errors: list[RawMMError]) -> None:
    for error in errors:
        raise error


ENTRY_POINTS: dict[str, Callable[[ImageStore, Any], object]] = {
    "describe_image": lambda _, text: rawmm.describe_image(text, "qwen_vl"),
    "describe_image, path": lambda _, text: rawmm.describe_image(Path(text), "qwen_vl"),
    "describe_image, in a directory": lambda store, text: rawmm.describe_image(
        text, "qwen_vl", image_dir=store.root
    ),
    "describe_image, directory": lambda store, text: rawmm.describe_image(
        store.put(RAW).path, "qwen_vl", image_dir=text
    ),
    "describe_image, family": lambda _, text: rawmm.describe_image(RAW, text),
    "put_data_url": lambda store, text: store.put_data_url(text),
    "read": lambda store, text: store.read(text),
    "read, hash": lambda store, text: store.read(store.put(RAW).uri, text),
    "path": lambda store, text: store.path(text).read_bytes,
    "exists": check_exists,
    "raw_image_path": lambda store, text: rawmm.raw_image_path(
        raw_image_id=text, image_dir=store.root
    ),
    "a store": lambda _, text: ImageStore(text).read("a.png"),
    "a store below": lambda _, text: ImageStore("/proc/" + text).put(RAW),
    "a store that is probed": lambda _, text: ImageStore("/dev/null/" + text).probe(),
    "a store that lists": lambda _, text: _raised(ImageStore("/dev/null/" + text).verify()),
    "run_image_dir": lambda _, text: rawmm.run_image_dir({"PRIME_RL_RUN_DIR": text, "RUN_ID": ""}),
    "RUN_ID": lambda _, text: rawmm.run_image_dir({"RUN_ID": text}),
    "offload_images_inplace": lambda store, text: rawmm.offload_images_inplace(text, store=store),
    "offload_images_inplace, URL": lambda store, text: rawmm.offload_images_inplace(
        [part(text)], store=store
    ),
    "offload_images_inplace, mode": lambda store, text: rawmm.offload_images_inplace(
        [], store=store, mode=text
    ),
    "offload_images_inplace, store": lambda _, text: rawmm.offload_images_inplace(
        [],
        store=text,
    ),
    "offload_images_inplace, key": lambda store, text: rawmm.offload_images_inplace(
        {text: [part("x")]}, store=store
    ),
    "offload_images_async": lambda store, text: asyncio.run(
        rawmm.offload_images_async([part(text)], store=store)
    ),
    "offload_request": lambda store, text: rawmm.offload_request(
        json.dumps([part(text)]).encode(), store=store
    ),
    "offload_request, text": lambda store, text: rawmm.offload_request(text.encode(), store=store),
    "offload_request, key": lambda store, text: rawmm.offload_request(
        json.dumps({text: [part("x")]}).encode(), store=store
    ),
    "a parameter": lambda _, text: layouts.get("qwen_vl", patch_size=text),
    "a parameter's name": lambda _, text: layouts.get("qwen_vl", **{text: 1}),
    "a family": lambda _, text: layouts.get(text),
    "a fingerprint": lambda _, text: layouts.image_layout_fingerprint(family=text),
    "describe": lambda _, text: layouts.get("qwen_vl").describe(text, 1),
    "materialize": lambda _, text: materialize(text, image_processor=print),
    "materialize, id": lambda store, text: materialize(
        _sidecar(raw_image_id=text), image_processor=print, store=store
    ),
    "materialize, URL": lambda _, text: materialize(
        _sidecar(raw_image_uri=text), image_processor=print
    ),
    "materialize, directory": lambda _, text: materialize(
        _sidecar(raw_image_id="a.png"), image_processor=print, image_dir=text
    ),
    "materialize, read": lambda _, text: materialize(
        _sidecar(raw_image_id="a.png"),
        image_processor=print,
        store=type("Reader", (), {"read": lambda *_: text})(),
    ),
}


def said(error: BaseException) -> str:
    """Everything that a traceback of an error and its chain would print."""
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        assert isinstance(link, RawMMError)
        texts += [str(link), repr(link), repr(link.args)]
        link = link.__cause__ or link.__context__
    return " ".join(texts)


@each("content", CONTENTS)
@each("entry_point", ENTRY_POINTS)
def test_errors_show_no_content(
    entry_point: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = CONTENTS[content]
    store = ImageStore(tmp_path / "images", durable=False)
    try:
        ENTRY_POINTS[entry_point](store, text)
    except RawMMError as error:
        message = said(error)
    else:
        return
    secrets = [BASE64, BASE64.replace("+", "-").replace("/", "_"), RAW.hex()]
    secrets += [CONTENTS["base64 cut by dots"], CONTENTS["base64 cut by slashes"]]
    for secret in secrets:
        runs = {secret[at : at + MOST + 1] for at in range(len(secret) - MOST)}
        assert not [run for run in runs if run in message], message
