"""Commands read bundles as they are, and everything that a bit can change in one is found."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rawmm as package
from rawmm.errors import OffloadError, RawMMError
from rawmm.materialize import materialize
from rawmm.store import BundleImages, ImageStore
from rawmm.trainer import samples_from
from tests.cases import each
from tests.unit.images.pictures import picture
from tests.unit.materialize.processor import PatchProcessor
from tests.zoo import ZOO

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

FLOW = Path(__file__).resolve().parents[2] / "data" / "wire" / "flow-0.4.0"
NAMES = sorted(path.name for path in (FLOW / "images").iterdir())
FORMS = ("b.zip", "b")


@pytest.fixture(params=FORMS)
def bundle(request: pytest.FixtureRequest, rawmm: Run, tmp_path: Path) -> Path:
    """A bundle of two files of records, moved from where it was written."""
    made, place = tmp_path / "made" / request.param, tmp_path / "elsewhere"
    files = [shutil.copy(FLOW / "offloaded.trace.json", tmp_path / f"{n}.json") for n in "ab"]
    assert rawmm("bundle", *files, "-o", made, "--image-dir", FLOW / "images").code == 0
    place.mkdir()
    return Path(shutil.move(made, place / request.param))


def image_of(bundle: Path) -> Path:
    """The bundle as a folder, and its first image there."""
    return bundle / "images" / NAMES[0]


@pytest.mark.parametrize("options", [(), ("--require-images",)])
def test_check_finds_records_and_images(rawmm: Run, bundle: Path, options: Any) -> None:
    done = rawmm("check", bundle, *options)
    assert done == (0, "", "2 files, 2 records, no errors\n")


@pytest.mark.parametrize(
    "bundle", ["b.zip", pytest.param("b", marks=pytest.mark.slow)], indirect=True
)
def test_check_finds_records_and_images_in_processes(rawmm: Run, bundle: Path) -> None:
    done = rawmm("check", bundle, "--jobs", "2")
    assert done == (0, "", "2 files, 2 records, no errors\n")


def test_pattern_names_bundles(rawmm: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"nodes": []}\n')
        out = tmp_path / "runs" / f"{name}.zip"
        assert rawmm("bundle", tmp_path / f"{name}.jsonl", "-o", out).code == 0
    assert rawmm("check", tmp_path / "runs/*.zip").err == "2 files, 2 records, no errors\n"
    assert rawmm("upgrade", tmp_path / "runs/*.zip", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out/b.zip/records/b.jsonl").is_file()


def test_error_of_a_record_is_at_its_line_in_the_bundle(rawmm: Run, tmp_path: Path) -> None:
    source, out = tmp_path / "x.jsonl", tmp_path / "b.zip"
    source.write_text(
        '{"nodes": []}\n{"nodes": [{"message": {"role": "user", "content": ""}, "parent": 3}]}\n'
    )
    assert rawmm("bundle", source, "-o", out).code == 0
    code, said, _ = rawmm("check", out)
    assert code == 1
    assert said.startswith(f"{out}/records/x.jsonl:2::$.nodes[0].parent: ")


def test_every_flipped_bit_that_changes_content_is_found(rawmm: Run, bundle: Path) -> None:
    def content() -> dict[str, bytes]:
        if bundle.is_dir():
            return {one.name: one.read_bytes() for one in bundle.rglob("*") if one.is_file()}
        with zipfile.ZipFile(bundle) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def of_bundle(files: dict[str, bytes]) -> dict[str, bytes]:
        return {name: data for name, data in files.items() if name != "bundle.manifest"}

    before = of_bundle(content())
    files = [bundle] if bundle.is_file() else [one for one in bundle.rglob("*") if one.is_file()]
    found = harmless = 0
    for path in files:
        whole = path.read_bytes()
        for at in range(0, len(whole), 211 if bundle.is_file() else max(len(whole) // 5, 1)):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << at % 8
            path.write_bytes(damaged)
            code, _, err = rawmm("check", bundle)
            assert "internal error" not in err
            if code:
                found += 1
            else:
                # A time, or white space of the manifest: the content is what it was.
                assert of_bundle(content()) == before
                harmless += 1
            path.write_bytes(whole)
    assert found > 4 * harmless


def test_image_that_is_missing_or_another_is_an_error_of_the_record(
    rawmm: Run, bundle: Path
) -> None:
    if bundle.is_file():
        with zipfile.ZipFile(bundle) as archive:
            archive.extractall(bundle.with_suffix(""))
        bundle = bundle.with_suffix("")
    image_of(bundle).write_bytes(picture(seed=1))
    code, out, _ = rawmm("check", bundle)
    assert code == 1
    assert "[hash_mismatch]" in out
    image_of(bundle).unlink()
    code, out, _ = rawmm("check", bundle)
    assert code == 1
    assert "[missing_image]" in out


def test_image_directory_that_is_given_counts(rawmm: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, _ = rawmm("check", bundle, "--image-dir", tmp_path / "empty")
    assert code == 1
    assert "[missing_image]" in out
    records = tmp_path / "a.json"
    assert rawmm("check", records, "--image-dir", bundle, "--no-config").code == 1  # full URLs
    assert rawmm("check", bundle, "--image-dir", bundle).code == 0


@pytest.mark.parametrize("command", ["offload", "upgrade", "convert", "inline", "view"])
@pytest.mark.parametrize("content", [b"PK\x03\x04", b"{}"])
def test_damaged_bundle_is_no_bug(rawmm: Run, tmp_path: Path, command: str, content: bytes) -> None:
    (tmp_path / "b.zip").write_bytes(content)
    more = ["--image-dir", tmp_path / "i"] if command in {"offload", "inline"} else []
    code, out, err = rawmm(command, tmp_path / "b.zip", "-o", tmp_path / "out", *more)
    if command == "view":
        assert code == 0
        assert "a complete ZIP file" in (tmp_path / "out").read_text()
        return
    assert (code, out) == (1, "")
    assert "b.zip::$: expected a complete ZIP file" in err
    assert err.count("\n") == 1


def test_other_zip_file_is_named_with_what_to_do(rawmm: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.jsonl", "{}")
    code, out, _ = rawmm("check", tmp_path / "x.zip")
    assert code == 1
    assert "got a ZIP file without it; unpack it, and give the files in it [malformed]" in out


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [(b"PK\x03\x04", 1, "a complete ZIP file"), (b"", 1, "a complete ZIP file"), (None, 2, "no such")],
)  # fmt: skip
@pytest.mark.parametrize("command", ["check", "stats"])
def test_what_is_no_bundle_is_said(
    rawmm: Run, tmp_path: Path, command: str, content: bytes | None, code: int, says: str
) -> None:
    path = tmp_path / "b.zip"
    if content is not None:
        path.write_bytes(content)
    done = rawmm(command, path)
    assert done.code == code
    assert says in done.out + done.err
    assert "internal" not in done.err


def test_stats_and_view_know_the_images(rawmm: Run, bundle: Path, tmp_path: Path) -> None:
    done = rawmm("stats", bundle, "--json")
    total = json.loads(done.out.splitlines()[-1])
    assert (done.code, total["records"], total["errors"]) == (0, 2, {})
    assert total["saved_bytes"] != 0
    page = tmp_path / "page.html"
    assert rawmm("view", bundle, "-o", page).err.startswith(f"{page}: 2 records, ")
    assert "3 different images" in rawmm("view", bundle, "-o", page).err
    (name,) = NAMES[:1]
    whole = page.read_text()
    assert name[:16] in whole
    assert "missing_image" not in whole


def test_bundle_is_materialized_where_it_is(rawmm: Run, tmp_path: Path) -> None:
    source, store = tmp_path / "in.jsonl", tmp_path / "store"
    record = json.loads((FLOW / "inline.trace.json").read_text())
    source.write_text(json.dumps(record) + "\n")
    described, out = tmp_path / "described.jsonl", tmp_path / "b.zip"
    argv = (source, "-o", described, "--image-dir", store, "--layout", "qwen_vl")
    assert rawmm("offload", *argv).code == 0
    assert rawmm("bundle", described, "-o", out, "--image-dir", store).code == 0
    shutil.rmtree(store)
    with zipfile.ZipFile(out) as archive:
        line = archive.read("records/described.jsonl")
    trace = package.decode_json(line, package.Trace)
    processor = PatchProcessor(16, size={"shortest_edge": 65_536, "longest_edge": 16_777_216})
    for sample in samples_from(trace, image_dir=out):
        assert sample.mm_refs is not None
        for where in ({"image_dir": out}, {"store": package.open_store(str(out))}):
            images = materialize(
                sample.mm_refs, image_processor=processor, return_tensors="np", **where
            )
            assert images.model_inputs()
    assert len(processor.seen) >= 3


def test_store_of_a_bundle_is_read_only_and_can_be_sent(bundle: Path) -> None:
    store = package.open_store(str(bundle))
    assert isinstance(store, BundleImages)
    assert store.names() == NAMES
    raw = store.read(NAMES[0])
    assert raw == (FLOW / "images" / NAMES[0]).read_bytes()
    assert pickle.loads(pickle.dumps(store)).read(NAMES[0]) == raw
    assert store.read(f"{store.root.as_uri()}/{NAMES[0]}") == raw
    actions: list[Callable[[], object]] = [
        lambda: store.put(picture()),
        lambda: store.delete(NAMES[0]),
    ]
    for action in actions:
        with pytest.raises(OffloadError) as caught:
            action()
        assert caught.value.code == "store_denied"
    assert store.exists(NAMES[0])
    assert not store.exists(f"{'a' * 64}.png")


@pytest.mark.parametrize(
    ("locator", "code"),
    [
        (f"{'a' * 64}.png", "missing_image"),
        ("../bundle.manifest", "path_escape"),
        ("s3://bucket/a.png", "path_escape"),
        ("a\0b", "path_escape"),
    ],
)
def test_locator_that_is_no_image_is_refused(bundle: Path, locator: str, code: str) -> None:
    with pytest.raises(RawMMError) as caught:
        BundleImages(bundle).read(locator)
    assert caught.value.code in {code, "bad_locator"}
    assert caught.value.__context__ is None


@each("name", ZOO)
def test_odd_object_as_a_locator_gives_a_value_or_an_error(bundle: Path, name: str) -> None:
    store: Any = BundleImages(bundle)
    for method in (store.read, store.exists, store.size, store.delete, store.put):
        with suppress(RawMMError):
            method(ZOO[name].make())


def test_folder_without_manifest_is_a_directory_of_images(tmp_path: Path) -> None:
    assert isinstance(package.open_store(str(tmp_path)), ImageStore)
    (tmp_path / "x.zip").mkdir()
    assert isinstance(package.open_store(str(tmp_path / "x.zip")), ImageStore)


def test_inline_takes_the_images_of_each_bundle(rawmm: Run, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert rawmm("inline", bundle, "-o", out).code == 0
    assert rawmm("check", out, "--require-images").code == 0
    if bundle.suffix == ".zip":
        shutil.copy(bundle, bundle.with_name("other.zip"))
        assert rawmm("inline", bundle.parent / "*.zip", "-o", tmp_path / "both").code == 0
        assert rawmm("check", tmp_path / "both").err.startswith("4 files, 4 records, no errors")


@pytest.mark.parametrize("argv", [["fsck", "--quarantine"], ["fsck", "--repair"], ["gc"]])
def test_store_that_cannot_do_it_is_wrong_usage(rawmm: Run, bundle: Path, argv: list[str]) -> None:
    if bundle.suffix != ".zip":
        return
    code, out, err = rawmm(argv[0], bundle, *argv[1:], "--refs", bundle)
    assert (code, out) == (2, "")
    assert err.startswith("rawmm: expected a")
    if argv[0] == "fsck":
        assert rawmm(argv[0], bundle, *argv[1:]).code == 2
