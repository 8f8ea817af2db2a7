"""The registry of URL schemes: one in-memory store, and every function that asks the registry."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

import rawmm
from rawmm.errors import (
    ContractError,
    MaterializeError,
    OffloadError,
    RawMMError,
)
from rawmm.images import Limits, PreparedImage, prepare_image
from rawmm.materialize import materialize
from rawmm.store import (
    ImageStore,
    Store,
    StoredImage,
    check_exists,
    collect_garbage,
    fsck,
    open_store,
    register_scheme,
    registry,
    served_schemes,
    store_for,
)
from tests.unit.images.pictures import data_url, picture
from tests.unit.materialize.processor import QWEN, PatchProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawmm.images import ImageInfo

PLACE = "mem://bucket/images"
ABSENT = f"{'a' * 64}.png"
OTHER = f"{'b' * 64}.png"


class MemoryStore:
    """Images in a dict, as an object store keeps them in a bucket."""

    buckets: ClassVar[dict[str, dict[str, bytes]]] = {}

    def __init__(self, root: str, *, limits: Limits | None = None) -> None:
        self.root = root
        self.limits = limits or Limits()
        self.images = self.buckets.setdefault(root, {})

    def uri(self, info: ImageInfo) -> str:
        return f"{self.root}/{info.raw_image_id}"

    def put(
        self, raw: bytes | bytearray | memoryview | PreparedImage, *, verify: bool = False
    ) -> StoredImage:
        del verify
        image = raw if isinstance(raw, PreparedImage) else prepare_image(raw, self.limits)
        written = image.raw_image_id not in self.images
        self.images[image.raw_image_id] = image.raw
        return StoredImage.of(image.info, self.uri(image.info), written=written)

    def read(self, locator: str, expected_hash: str | None = None) -> bytes:
        name = self._name(locator)
        if name not in self.images:
            raise MaterializeError("missing_image", expected="an image", got="none")
        raw = self.images[name]
        if not hashlib.sha256(raw).hexdigest().startswith(expected_hash or name.split(".")[0]):
            raise MaterializeError("hash_mismatch", expected="its bytes", got="others")
        return raw

    def exists(self, locator: str, *, renew: bool = False) -> bool:
        del renew
        return self._name(locator) in self.images

    def names(self) -> list[str]:
        return sorted(self.images)

    def delete(self, raw_image_id: str) -> None:
        self.images.pop(raw_image_id, None)

    def _name(self, locator: str) -> str:
        root, _, name = locator.rpartition("/")
        if root not in {"", self.root}:
            raise OffloadError("bad_locator", expected=f"a URL in {self.root}", got="another")
        return name


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store at `PLACE`. This is all that a new scheme takes."""
    monkeypatch.setattr(registry, "_SCHEMES", dict(registry._SCHEMES))
    register_scheme("mem", MemoryStore)
    yield open_store(PLACE)
    MemoryStore.buckets.clear()


def message(*urls: str) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": parts}]


def urls_of(messages: list[dict[str, Any]]) -> list[str]:
    return [part["image_url"]["url"] for part in messages[0]["content"]]


def in_place(value: Any, **where: Any) -> Any:
    rawmm.offload_images_inplace(value, **where)
    return value


def asynchronous(value: Any, **where: Any) -> Any:
    asyncio.run(rawmm.offload_images_async(value, **where))
    return value


def as_bytes(value: Any, **where: Any) -> Any:
    return json.loads(rawmm.offload_request(json.dumps(value).encode(), **where).body)


OFFLOADS: tuple[Callable[..., Any], ...] = (in_place, asynchronous, as_bytes)


@pytest.mark.usefixtures("store")
def test_registered_scheme_is_served() -> None:
    assert served_schemes() == ("az", "file", "gs", "mem", "memory", "s3")
    assert isinstance(open_store(PLACE), MemoryStore)
    assert isinstance(store_for(f"{PLACE}/{ABSENT}"), MemoryStore)
    assert store_for(f"{PLACE}/{ABSENT}").root == PLACE


@pytest.mark.parametrize("offload", OFFLOADS)
def test_offload_writes_and_read_returns_the_bytes(
    store: Store, offload: Callable[..., Any]
) -> None:
    pictures = [picture(seed=seed) for seed in (1, 2, 1)]
    for where in ({"image_dir": PLACE}, {"store": store}):
        value = offload(message(*map(data_url, pictures)), **where)
        assert [url.rpartition("/")[0] for url in urls_of(value)] == [PLACE] * 3
        assert [store_for(url).read(url) for url in urls_of(value)] == pictures
        assert len(list(store.names())) == 2
        assert offload(value, **where) == value  # the URLs stay


@pytest.mark.parametrize("offload", OFFLOADS)
def test_offload_normalizes_parts_that_hold_a_url_of_the_store(
    store: Store, offload: Callable[..., Any]
) -> None:
    uri = store.put(picture()).uri
    value = offload([{"role": "user", "content": [{"type": "image", "image": uri}]}], store=store)
    assert value == message(uri)


def test_offload_counts_what_it_wrote(store: Store) -> None:
    value = message(*[data_url(picture(seed=seed)) for seed in (1, 2, 1)])
    stats = rawmm.offload_images_inplace(value, store=store)
    assert (stats.images_rewritten, stats.images_deduplicated) == (3, 1)
    assert stats.bytes_written == sum(len(picture(seed=seed)) for seed in (1, 2))


def test_offload_refuses_an_image_that_the_store_lacks(store: Store) -> None:
    value = message(data_url(picture()), f"{PLACE}/{ABSENT}")
    for mode in ("inline", "offload"):
        with pytest.raises(OffloadError) as caught:
            rawmm.offload_images_inplace(value, store=store, mode=mode)
        assert caught.value.code == "missing_image"
        assert caught.value.path == "$[0].content[1].image_url.url"
    assert list(store.names()) == []


def test_run_assets_are_described_and_materialized(store: Store) -> None:
    stored = rawmm.offload_image_to_run_assets(data_url(picture()), PLACE)
    assert stored is not None
    uri, size = stored
    assert size == len(picture())
    name = uri.rpartition("/")[2]
    assert rawmm.describe_image(uri, QWEN).item.raw_image_uri == uri
    described = rawmm.describe_image(uri, QWEN, image_dir=PLACE)
    assert described.item.raw_image_id == name
    with pytest.raises(OffloadError) as caught:
        rawmm.describe_image(uri, QWEN, image_dir="mem://bucket/other")
    assert caught.value.code == "path_escape"
    sidecar = rawmm.MultiModalData(
        mm_hashes={"image": [described.mm_hash]},
        mm_placeholders={"image": [rawmm.PlaceholderRange(0, described.num_tokens)]},
        mm_items={"image": [described.item]},
    )
    for where in ({"image_dir": PLACE}, {"store": store}):
        images = materialize(
            sidecar, image_processor=PatchProcessor(), return_tensors="np", **where
        )
        assert len(images.images) == 1


def test_fsck_reports_missing_corrupt_and_orphaned_images(store: Store) -> None:
    kept, damaged, orphan = (store.put(picture(seed=seed)) for seed in (1, 2, 3))
    MemoryStore.buckets[PLACE][damaged.raw_image_id] += b"x"
    records = [message(kept.uri, damaged.uri, f"{PLACE}/{ABSENT}", f"mem://elsewhere/{OTHER}")]
    found = {(one.kind, one.file.name, one.error.code) for one in fsck(PLACE, records)}
    assert found == {
        ("missing", ABSENT, "missing_image"),
        ("outside", OTHER, "bad_locator"),
        ("corrupt", damaged.raw_image_id, "hash_mismatch"),
        ("orphaned", orphan.raw_image_id, "unreferenced_image"),
    }
    with pytest.raises(ContractError, match="an image directory to repair"):
        fsck(PLACE, repair=True)


def test_gc_deletes_what_no_record_names(store: Store) -> None:
    kept, garbage = (store.put(picture(seed=seed)) for seed in (1, 2))
    records = [message(kept.uri)]
    with pytest.raises(ContractError, match="a grace period of zero"):
        collect_garbage(PLACE, records)
    nothing = timedelta(0)
    for dry_run in (True, False):
        assert list(store.names()) == sorted([kept.raw_image_id, garbage.raw_image_id])
        stats = collect_garbage(PLACE, records, grace=nothing, dry_run=dry_run)
        assert stats.deleted == [garbage.raw_image_id]
    assert list(store.names()) == [kept.raw_image_id]
    with pytest.raises(ContractError, match="records that name none"):
        collect_garbage(PLACE, [], grace=nothing)


class BrokenStore(MemoryStore):
    def put(self, *_: object, **__: object) -> StoredImage:
        raise OSError(picture().hex())

    def exists(self, *_: object, **__: object) -> bool:
        raise KeyError(picture().hex())


@pytest.mark.usefixtures("store")
def test_exception_of_a_client_is_a_store_error_without_its_text() -> None:
    broken = BrokenStore("mem://broken")
    for url in (data_url(picture()), f"mem://broken/{ABSENT}"):
        with pytest.raises(OffloadError) as caught:
            rawmm.offload_images_inplace(message(url), store=broken)
        assert caught.value.code == "store_failed"
        assert caught.value.__context__ is None
        assert picture().hex() not in str(caught.value)


@pytest.mark.parametrize("url", ["hdfs://bucket/images", "HDFS://b", "https://host/x", "data:,x"])
def test_unknown_scheme_is_an_error_with_the_schemes_served(url: str) -> None:
    for action in (open_store, store_for, fsck):
        with pytest.raises(RawMMError) as caught:
            action(url)
        assert caught.value.code == "bad_locator"
        assert caught.value.expected.endswith(" a served scheme (az, file, gs, memory, s3)")


@pytest.mark.usefixtures("store")
def test_unknown_scheme_lists_registered_schemes() -> None:
    with pytest.raises(OffloadError, match=r"a served scheme \(az, file, gs, mem, memory, s3\)"):
        open_store("hdfs://bucket")


def test_path_and_file_url_open_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "images"
    for location in ("images", Path("images"), "./images", str(root), root.as_uri()):
        opened = open_store(location, durable=False, limits=Limits(max_edge=7))
        assert isinstance(opened, ImageStore)
        assert opened.root == root
        assert (opened.durable, opened.limits.max_edge) == (False, 7)
    uri = root.as_uri() + f"/{ABSENT}"
    assert store_for(uri).root == root
    monkeypatch.setenv("VF_RENDERER_IMAGE_OFFLOAD_DIR", "images")
    assert store_for(ABSENT).root == root


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("location", [PLACE, "images"])
def test_unknown_option_is_refused_with_a_shortened_name(location: str) -> None:
    name = "iVBORw0KGgo" * 20
    with pytest.raises(ContractError) as caught:
        open_store(location, **{name: 1})
    assert caught.value.code == "unknown_field"
    assert name not in str(caught.value)


def test_directory_lists_and_deletes_images(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    assert store.names() == []
    store.delete(ABSENT)
    stored = store.put(picture())
    (store.root / "notes.txt").write_text("x")
    assert store.names() == [stored.raw_image_id]
    assert store.exists(stored.raw_image_id)
    assert store.exists(stored.uri)
    store.delete(stored.raw_image_id)
    assert not store.exists(stored.uri)
    assert store.names() == []
    for name, code in (("../x", "path_escape"), ("a b", "bad_locator")):
        with pytest.raises(OffloadError) as caught:
            store.delete(name)
        assert caught.value.code == code


def test_put_takes_a_prepared_image(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    stored = store.put(store.prepare(picture()))
    assert stored.written
    assert stored.path.read_bytes() == picture()
    assert not store.put(picture()).written


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(OffloadError) as caught:
        check_exists(ImageStore(tmp_path), (tmp_path / "none.png").as_uri())
    assert str(caught.value) == (
        f"$: expected an image in '{tmp_path}', got no file named 'none.png'; offload the image "
        "again, or copy it into the image directory [missing_image]"
    )


BOTH: dict[str, Callable[..., object]] = {
    "offload_images_inplace": lambda **both: rawmm.offload_images_inplace([], **both),
    "offload_images_inplace, inline": lambda **both: rawmm.offload_images_inplace(
        [], mode="inline", **both
    ),
    "offload_images_async": lambda **both: asyncio.run(rawmm.offload_images_async([], **both)),
    "offload_request": lambda **both: rawmm.offload_request(b"[]", **both),
    "offload_request, bad body": lambda **both: rawmm.offload_request(b"[", **both),
    "materialize": lambda **both: materialize(None, image_processor=print, **both),
}


@pytest.mark.parametrize("action", BOTH.values(), ids=BOTH)
def test_store_and_image_dir_are_a_type_error(
    action: Callable[..., object], tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match="pass image_dir or store, not both"):
        action(store=ImageStore(tmp_path), image_dir="images")


RELATIVE: dict[str, Callable[[str | Path], object]] = {
    "ImageStore": lambda images: ImageStore(images).put(picture()),
    "open_store": lambda images: open_store(images).put(picture()),
    "offload_images_inplace": lambda images: in_place(
        message(data_url(picture())), image_dir=images
    ),
    "offload_images_async": lambda images: asynchronous(
        message(data_url(picture())), image_dir=images
    ),
    "offload_request": lambda images: as_bytes(message(data_url(picture())), image_dir=images),
    "offload_image_to_run_assets": lambda images: rawmm.offload_image_to_run_assets(
        data_url(picture()), images
    ),
    "run_image_dir": lambda images: ImageStore(
        rawmm.run_image_dir({"VF_RENDERER_IMAGE_OFFLOAD_DIR": str(images)})
    ).put(picture()),
}


@pytest.mark.parametrize("images", ["images", "./images", "../here/images", Path("images")])
@pytest.mark.parametrize("action", RELATIVE.values(), ids=RELATIVE)
def test_relative_directory_is_written(
    action: Callable[[str | Path], object],
    images: str | Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    action(images)
    assert len(ImageStore(here / "images").names()) == 1


@pytest.mark.parametrize("images", ["images", "./images", "../here/images", Path("images")])
def test_relative_directory_is_read(
    images: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    stored = ImageStore("images").put(picture())
    item = rawmm.describe_image(Path(images) / stored.raw_image_id, QWEN, image_dir=images)
    assert item.item.raw_image_id == stored.raw_image_id
    assert rawmm.raw_image_path(raw_image_id=stored.raw_image_id, image_dir=images) == stored.path
    assert [one.kind for one in fsck(images)] == []
    assert collect_garbage(images, [stored.uri]).referenced == 1
    sidecar = rawmm.MultiModalData(
        mm_hashes={"image": [item.mm_hash]},
        mm_placeholders={"image": [rawmm.PlaceholderRange(0, item.num_tokens)]},
        mm_items={"image": [item.item]},
    )
    done = materialize(
        sidecar, image_processor=PatchProcessor(), image_dir=images, return_tensors="np"
    )
    assert len(done.images) == 1
    refs = rawmm.build_mm_refs(sidecar, image_dir=images)
    assert refs is not None
    assert refs.images[0].uri == stored.uri
