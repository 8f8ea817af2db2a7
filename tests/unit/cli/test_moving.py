"""Records that move: relocate, inline and bundle."""

from __future__ import annotations

import json
import os
import resource
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import rawmm as package
from rawmm.materialize import materialize
from rawmm.offload import replace_locators
from rawmm.trainer import samples_from
from tests.unit.images.pictures import picture
from tests.unit.materialize.processor import PatchProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawmm.offload import FoundLocator

    Run = Callable[..., Any]

FLOW = Path(__file__).resolve().parents[2] / "data" / "wire" / "flow-0.4.0"
OLD = "/data/outputs/run_demo/assets/images"
NAMES = sorted(path.name for path in (FLOW / "images").iterdir())
REF = {"family": "qwen_vl", "fingerprint": "0" * 32, "modality": "image", "mm_hash": NAMES[0][:32]}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A copy of the images in another folder."""
    return Path(shutil.copytree(FLOW / "images", tmp_path / "moved"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return Path(shutil.copy(FLOW / "offloaded.trace.json", tmp_path / "trace.json"))


def changed(value: Any, replace: Callable[[FoundLocator], str]) -> Any:
    replace_locators(value, replace)
    return value


def other(found: FoundLocator) -> str:
    return f"file:///new/{found.locator.rpartition('/')[2]}"


OLD_URL, NEW_URL = f"file:///old/{NAMES[0]}", f"file:///new/{NAMES[0]}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": "image_url", "image_url": {"url": OLD_URL}}, {"type": "image_url", "image_url": {"url": NEW_URL}}),
        ({"type": "input_image", "image_url": OLD_URL}, {"type": "input_image", "image_url": NEW_URL}),
        ({"type": "image", "image": OLD_URL}, {"type": "image", "image": NEW_URL}),
        ({"raw_image_id": NAMES[0], "a": 1}, {"a": 1, "raw_image_uri": NEW_URL}),
        ({"raw_image_uri": f"s3://b/{NAMES[0]}"}, {"raw_image_uri": NEW_URL}),
        ({"url": NAMES[0]}, {"url": NEW_URL}),
        ([[{"kind": "x"}, "h", OLD_URL, 1, 2]], [[{"kind": "x"}, "h", NEW_URL, 1, 2]]),
        ({"deep": [{"x": [1, {"custom": OLD_URL}]}]}, {"deep": [{"x": [1, {"custom": NEW_URL}]}]}),
        (
            [package.raw_mm_ref(**REF, raw_image_id=NAMES[0])],
            [package.raw_mm_ref(**REF, raw_image_uri=NEW_URL)],
        ),
    ],
)  # fmt: skip
def test_locator_is_found_in_every_place(before: Any, after: Any) -> None:
    assert changed(before, other) == after


@pytest.mark.parametrize(
    "value",
    [
        {"type": "text", "text": OLD_URL},
        {"role": "user", "content": OLD_URL},
        {"arguments": OLD_URL},
        {"reasoning_content": OLD_URL},
        {"note": "file:///etc/passwd"},
        {"note": NAMES[0]},
        {"url": "data:image/png;base64,aGVsbG8="},
        {"raw_image_uri": "data:image/png;base64,aGVsbG8="},
        ["text", NAMES[0], 1, None],
        {"note": f"see {OLD_URL}"},
    ],
)
def test_text_and_inline_images_are_left_alone(value: Any) -> None:
    assert changed(json.loads(json.dumps(value)), other) == value


def test_error_has_the_path_of_the_locator() -> None:
    def refuse(_: FoundLocator) -> str:
        raise package.OffloadError("missing_image", expected="x", got="y")

    with pytest.raises(package.OffloadError) as caught:
        replace_locators({"a": [{"url": OLD_URL}]}, refuse)
    assert caught.value.path == "$.a[0].url"


def test_reference_of_an_earlier_form_is_to_be_upgraded_first() -> None:
    nodes = json.loads((FLOW.parent / "pruned" / "item_uri.json").read_text())
    assert nodes  # the fixture exists
    old = "mmraw:v3:" + "eyJhIjoxfQ=="
    with pytest.raises(package.RawMMError) as caught:
        replace_locators({"a": [old]}, other)
    assert caught.value.path.startswith("$.a[0]")


# --- relocate


def test_relocated_records_name_the_new_place_and_are_verified(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    done = rawmm("relocate", trace, "-o", out, "--from", OLD, "--to", images)
    assert done == (0, "", "1 record, 3 references rewritten, 3 images verified\n")
    assert rawmm("check", out, "--image-dir", images, "--require-images").code == 0
    assert out.read_text().count(f"file://{images}/") == 3
    back = rawmm("relocate", out, "-o", out, "--from", images.as_uri(), "--to", FLOW / "images")
    assert back.code == 0
    assert rawmm("relocate", out, "-o", "-", "--from", "/elsewhere", "--to", images).err.endswith(
        "no images verified, 3 elsewhere\n"
    )


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_missing_or_changed_image_stops_relocate(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path, damage: str
) -> None:
    image = images / NAMES[1]
    if damage == "gone":
        image.unlink()
    else:
        image.write_bytes(image.read_bytes()[:-1] + b"x")
    code, _, err = rawmm(
        "relocate", trace, "-o", tmp_path / "o.json", "--from", OLD, "--to", images
    )
    assert code == 1
    assert f"[{'missing_image' if damage == 'gone' else 'hash_mismatch'}]" in err
    assert "content[" in err
    assert not (tmp_path / "o.json").exists()


def test_relocate_copies_what_is_missing_if_asked_to(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path
) -> None:
    here, out = tmp_path / "here.json", tmp_path / "out.json"
    assert rawmm("relocate", trace, "-o", here, "--from", OLD, "--to", images).code == 0
    done = rawmm("relocate", here, "-o", out, "--from", images, "--to", tmp_path / "new", "--copy")
    assert done.err == "1 record, 3 references rewritten, 3 images verified, 3 copied\n"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == NAMES


def test_id_stays_and_its_image_must_be_at_the_new_place(
    rawmm: Run, images: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"nodes": [], "x": {"raw_image_id": NAMES[0]}}) + "\n")
    assert rawmm("relocate", source, "-o", source, "--from", OLD, "--to", images).code == 0
    assert f'"raw_image_id":"{NAMES[0]}"' in source.read_text()
    (images / NAMES[0]).unlink()
    assert rawmm("relocate", source, "-o", source, "--from", OLD, "--to", images).code == 1


def test_images_can_move_to_an_object_store_and_back(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    assert rawmm("relocate", trace, "-o", here, "--from", OLD, "--to", images).code == 0
    place = "memory://bucket/relocated"
    done = rawmm("relocate", here, "-o", there, "--from", images, "--to", place, "--copy")
    assert done.code == 0, done.err
    assert there.read_text().count(f"{place}/") == 3
    assert rawmm("relocate", there, "-o", here, "--from", place, "--to", images).code == 0
    assert here.read_text().count(images.as_uri()) == 3


# --- inline


def test_inline_is_the_opposite_of_offload(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path
) -> None:
    out, again = tmp_path / "out.json", tmp_path / "again.json"
    done = rawmm("inline", trace, "-o", out, "--image-dir", images)
    assert done.code == 0
    assert done.err.startswith("1 record, 3 images inlined, ")
    assert rawmm("check", out) == (0, "", "1 file, 1 record, no errors\n")
    assert rawmm("offload", out, "-o", again, "--image-dir", images).code == 0
    restored = again.read_text().replace(images.as_uri(), f"file://{OLD}")
    assert json.loads(restored) == json.loads(trace.read_text())


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_missing_or_changed_image_stops_inline(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path, damage: str
) -> None:
    (images / NAMES[0]).write_bytes(picture(seed=3)) if damage == "changed" else (
        images / NAMES[0]
    ).unlink()
    code, _, err = rawmm("inline", trace, "-o", tmp_path / "out.json", "--image-dir", images)
    assert code == 1
    assert f"[{'missing_image' if damage == 'gone' else 'hash_mismatch'}]" in err
    assert not (tmp_path / "out.json").exists()


def test_trainer_reference_cannot_be_inline(rawmm: Run, images: Path, tmp_path: Path) -> None:
    source = tmp_path / "refs.json"
    url = (images / NAMES[0]).as_uri()
    source.write_text(json.dumps([[[{"kind": "x"}, NAMES[0][:32], url, 0, 1]]]))
    for command in ("inline", "bundle"):
        code, _, err = rawmm(command, source, "-o", tmp_path / "out.json")
        assert code == 1
        assert "$[0][0][2]: " in err
        assert "trainer reference" in err


# --- bundle


def content(path: Path) -> dict[str, bytes]:
    """Every file of a bundle."""
    if path.is_dir():
        return {
            str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()
        }
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def bundled(rawmm: Run, trace: Path, images: Path, tmp_path: Path) -> Path:
    out = tmp_path / "run.zip"
    assert rawmm("bundle", trace, "-o", out, "--image-dir", images).code == 0
    return out


def test_bundle_reads_back_anywhere(
    rawmm: Run, bundled: Path, images: Path, trace: Path, tmp_path: Path
) -> None:
    shutil.rmtree(images)
    trace.unlink()
    place = tmp_path / "another" / "machine"
    with zipfile.ZipFile(bundled) as archive:
        archive.extractall(place)
    assert "file://" not in (place / "records" / "trace.jsonl").read_text()
    checked = rawmm("check", place, "--image-dir", place / "images", "--require-images")
    assert checked == (0, "", "1 file, 1 record, no errors\n")
    assert rawmm("fsck", place / "images", "--refs", place).code == 0
    assert (
        rawmm(
            "relocate",
            place,
            "-o",
            place / "urls",
            "--from",
            place / "images",
            "--to",
            place / "images",
        ).code
        == 0
    )
    record = package.decode_json(
        (place / "urls" / "records" / "trace.jsonl").read_bytes(), package.Trace
    )
    assert record.nodes
    assert rawmm("inline", place, "-o", place / "inline", "--image-dir", place / "images").code == 0


def test_bundled_sidecars_materialize_at_another_path(rawmm: Run, tmp_path: Path) -> None:
    described, store = tmp_path / "in.json", tmp_path / "store"
    source = FLOW / "inline.trace.json"
    argv = (source, "-o", described, "--image-dir", store, "--layout", "qwen_vl")
    assert rawmm("offload", *argv).code == 0
    assert rawmm("bundle", described, "-o", tmp_path / "b", "--image-dir", store).code == 0
    shutil.rmtree(store)
    place = tmp_path / "elsewhere"
    (tmp_path / "b").rename(place)
    trace = package.decode_json((place / "records" / "in.jsonl").read_bytes(), package.Trace)
    processor = PatchProcessor(16, size={"shortest_edge": 65_536, "longest_edge": 16_777_216})
    for sample in samples_from(trace, image_dir=place / "images"):
        assert sample.mm_refs is not None
        done = materialize(
            sample.mm_refs,
            image_processor=processor,
            image_dir=place / "images",
            return_tensors="np",
        )
        assert done.model_inputs()
    assert len(processor.seen) >= 3


def test_equal_input_gives_equal_bundles(
    rawmm: Run, bundled: Path, trace: Path, images: Path, tmp_path: Path
) -> None:
    assert rawmm("bundle", trace, "-o", tmp_path / "b.zip", "--image-dir", images).code == 0
    assert (tmp_path / "b.zip").read_bytes() == bundled.read_bytes()
    assert rawmm("bundle", bundled, "-o", tmp_path / "folder").code == 0
    assert content(tmp_path / "folder") == content(bundled)
    assert rawmm("bundle", tmp_path / "folder", "-o", tmp_path / "c.zip").code == 0
    assert (tmp_path / "c.zip").read_bytes() == bundled.read_bytes()


def test_runs_merge_and_images_are_there_once(rawmm: Run, bundled: Path, tmp_path: Path) -> None:
    inline = FLOW / "inline.trace.json"
    assert rawmm("bundle", inline, "-o", tmp_path / "two").code == 0
    done = rawmm("bundle", bundled, tmp_path / "two", bundled, inline, "-o", tmp_path / "all.zip")
    assert done.err.startswith("4 records, 3 images of ")
    files = content(tmp_path / "all.zip")
    assert sorted(name for name in files if name.startswith("records/")) == [
        "records/inline.trace-2.jsonl", "records/inline.trace.jsonl",
        "records/trace-2.jsonl", "records/trace.jsonl",
    ]  # fmt: skip
    assert sorted(name for name in files if name.startswith("images/")) == [
        f"images/{name}" for name in NAMES
    ]
    assert (
        rawmm("bundle", tmp_path / "all.zip", "--verify").err == "4 records, 3 images: no errors\n"
    )


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_flipped_bit_is_found(rawmm: Run, bundled: Path, tmp_path: Path, form: str) -> None:
    before = content(bundled)
    folder = tmp_path / "folder"
    assert rawmm("bundle", bundled, "-o", folder).code == 0
    assert rawmm("bundle", folder, "--verify").code == 0
    files = [bundled] if form == "zip" else [path for path in folder.rglob("*") if path.is_file()]
    found = harmless = 0
    for path in files:
        whole = path.read_bytes()
        for at in range(0, len(whole), 37 if form == "zip" else max(len(whole) // 12, 1)):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << at % 8
            path.write_bytes(damaged)
            code, _, err = rawmm("bundle", bundled if form == "zip" else folder, "--verify")
            assert "internal error" not in err
            if code:
                found += 1
            else:
                assert form == "zip" or path.name == "bundle.manifest"
                # A time, or white space of the manifest: the content is what it was.
                assert {k: v for k, v in content(bundled).items() if k != "bundle.manifest"} == {
                    k: v for k, v in before.items() if k != "bundle.manifest"
                }
                harmless += 1
            path.write_bytes(whole)
    assert found > 10 * harmless


def test_missing_or_additional_image_is_found(rawmm: Run, bundled: Path, tmp_path: Path) -> None:
    for change in ("missing", "additional"):
        folder = tmp_path / change
        assert rawmm("bundle", bundled, "-o", folder).code == 0
        if change == "missing":
            (folder / "images" / NAMES[0]).unlink()
        else:
            (folder / "images" / f"{'a' * 64}.png").write_bytes(picture(seed=1))
        code, _, err = rawmm("bundle", folder, "--verify")
        assert code == 1
        assert "expected 3 images" in err
    assert rawmm("bundle", tmp_path / "missing", "-o", tmp_path / "x").code == 1
    assert not (tmp_path / "x").exists()


def test_bundle_is_written_completely_or_not_at_all(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path
) -> None:
    (images / NAMES[2]).unlink()
    before = sorted(tmp_path.iterdir())
    for out in (tmp_path / "b.zip", tmp_path / "b"):
        code, _, err = rawmm("bundle", trace, "-o", out, "--image-dir", images)
        assert code == 1
        assert "[missing_image]" in err
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert rawmm("bundle", trace, "-o", tmp_path / "full").code == 2


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "bundle.manifest"),
        ({"bundle.manifest": b"{}"}, "manifest of a bundle"),
        ({"bundle.manifest": b'{"kind":"rawmm_bundle","version":2,"records":{},"images":0}'}, "version 1"),
        (
            {"bundle.manifest": b'{"kind":"rawmm_bundle","version":1,"records":{"../x":{"sha256":"","count":0}},"images":0}'},
            "names of files",
        ),
        (
            {"bundle.manifest": b'{"kind":"rawmm_bundle","version":1,"records":{"x.jsonl":{"sha256":"","count":0}},"images":0}'},
            "records/x.jsonl",
        ),
    ],
)  # fmt: skip
def test_other_zip_file_is_refused(
    rawmm: Run, tmp_path: Path, members: dict[str, bytes], says: str
) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    code, _, err = rawmm("bundle", tmp_path / "b.zip", "--verify")
    assert code == 1
    assert says in err
    assert "[malformed]" in err


def test_wrong_usage_of_bundle_is_one_line(rawmm: Run, trace: Path, tmp_path: Path) -> None:
    for argv in (("-o", "x"), (trace,), (trace, "--verify"), (trace, "-o", "x", "--verify")):
        code, out, err = rawmm("bundle", *argv)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1


def test_messagepack_is_bundled_as_json(rawmm: Run, tmp_path: Path, images: Path) -> None:
    source = tmp_path / "in.msgpack"
    value = json.loads((FLOW / "offloaded.trace.json").read_text())
    value["raw"] = {"__nd__": True, "dtype": "uint8", "shape": [2], "data": b"ab"}
    source.write_bytes(msgspec.msgpack.encode(value))
    assert rawmm("bundle", source, "-o", tmp_path / "b", "--image-dir", images).code == 0
    line = json.loads((tmp_path / "b" / "records" / "in.jsonl").read_text())
    assert line["raw"]["data"] == "YWI="


def test_bundle_at_a_url_is_refused_with_words(rawmm: Run, trace: Path, tmp_path: Path) -> None:
    code, _, err = rawmm("bundle", trace, "-o", "s3://bucket/b.zip", "--image-dir", tmp_path)
    assert code == 2
    assert "a bundle is written to this machine" in err


def test_failing_store_of_bundle_is_no_error_of_the_data(
    process: Callable[..., Any], trace: Path, images: Path, tmp_path: Path
) -> None:
    done = process(
        *("bundle", trace, "-o", tmp_path / "b", "--image-dir", images),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"rawmm: expected to write ")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("command", ["diff", "bundle"])
def test_quiet_command_prints_its_error(rawmm: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "bad.jsonl").write_text("{")
    (tmp_path / "good.jsonl").write_text("{}\n")
    more = [tmp_path / "good.jsonl"] if command == "diff" else ["-o", tmp_path / "b"]
    code, _, err = rawmm(command, tmp_path / "bad.jsonl", *more, "-q")
    assert code == 1
    assert "[malformed]" in err


def test_diff_of_folders_and_bundles_names_what_it_takes(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path
) -> None:
    for name in ("a", "b.zip"):
        assert rawmm("bundle", trace, "-o", tmp_path / name, "--image-dir", images).code == 0
    assert rawmm("diff", tmp_path / "a", tmp_path / "b.zip").code == 0
    for name in "xy":
        shutil.copy(trace, tmp_path / "a" / f"{name}.json")
    (tmp_path / "a" / "bundle.manifest").unlink()
    code, _, err = rawmm("diff", tmp_path / "a", tmp_path / "b.zip")
    assert code == 2
    assert "has 3 files, and diff compares two files; name one, e.g." in err


def test_images_and_records_in_memory_are_said_to_end(
    rawmm: Run, examples: Path, trace: Path, images: Path, tmp_path: Path
) -> None:
    def said(*argv: str | Path) -> str:
        done = rawmm(*argv)
        assert done.code == 0, done.err
        return str(done.err)

    out = tmp_path / "out.json"
    place = "memory://said-to-end/i"
    note = f"{place} ends with this command, and what is written to it\n"
    inline = examples / "trace.json"
    assert said("offload", inline, "-o", out, "--image-dir", place).startswith(note)
    places = ("--from", images, "--to", place, "--copy")
    assert said("relocate", trace, "-o", out, *places).startswith(note)
    assert said("convert", trace, "-o", place).startswith(note)
    assert "ends with" not in said("offload", trace, "-o", out, "--image-dir", images)


@pytest.mark.parametrize("out", ["b", "b.zip"])
def test_name_that_is_no_text_is_bundled_and_in_a_manifest(
    rawmm: Run, trace: Path, images: Path, tmp_path: Path, out: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (b"\xff.json", b"a\n\\.json", b"-o [x].json"):
        shutil.copy(trace, os.fsdecode(os.fsencode(folder) + b"/" + name))
    bundle = tmp_path / out
    assert rawmm("bundle", folder, "-o", bundle, "--image-dir", images).code == 0
    assert rawmm("check", bundle).err == "3 files, 3 records, no errors\n"
    assert rawmm("bundle", "--verify", bundle).code == 0
    argv = ("-o", tmp_path / "out", "--manifest", tmp_path / "manifest")
    assert rawmm("upgrade", folder, *argv).code == 0
    assert "3 files (3 by an earlier run)" in rawmm("upgrade", folder, *argv).err
    done = rawmm("view", folder / "a\n\\.json", "-o", tmp_path / "a\n.html")
    assert (done.code, done.err.count("\n")) == (0, 1)
