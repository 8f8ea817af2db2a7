"""A damaged image file, hash, grid or offset is refused before the forward pass."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import rawmm
from rawmm import RawMMError
from rawmm.materialize import ProcessedImageCache
from rawmm.trainer import SAMPLE_FIELDS
from tests.integrations.e2e.trainer import batch_of, samples_of
from tests.integrations.e2e.worker import SIZES, screenshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rawmm import MMImageRef
    from rawmm.trainer import MicroBatch
    from tests.integrations.e2e.conftest import Story
    from tests.integrations.e2e.trainer import Trainer

    Damage = Callable[[Any], None]


@pytest.fixture(scope="module")
def cache() -> ProcessedImageCache:
    """The cache of a trainer that has processed every image. It must not hide damage."""
    return ProcessedImageCache()


@pytest.fixture(autouse=True)
def _warm(story: Story, trainer: Trainer, cache: ProcessedImageCache) -> None:
    trainer.cache = cache
    trainer.materialize(story.batch())
    assert trainer.forwards == 0


def caught(run: Callable[[], Any], trainer: Trainer) -> RawMMError:
    with pytest.raises(RawMMError) as error:
        run()
    assert trainer.forwards == 0
    return error.value


def refs_of(batch: MicroBatch) -> list[MMImageRef]:
    assert batch.mm_refs is not None
    return batch.mm_refs.images


def flipped(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replaced(path: Path) -> None:
    """By another image of the same size, so that nothing but the hash can tell."""
    path.write_bytes(screenshot(0) if path.read_bytes() != screenshot(0) else screenshot(3))


def linked(path: Path) -> None:
    path.symlink_to(path.rename(path.parent.parent / path.name))


FILES: dict[Callable[[Path], Any], str] = {
    flipped: "hash_mismatch",
    shortened: "hash_mismatch",
    replaced: "hash_mismatch",
    lambda path: path.write_bytes(b""): "hash_mismatch",
    lambda path: path.unlink(): "missing_image",
    linked: "path_escape",
}


def test_damaged_image_file_is_refused(story: Story, trainer: Trainer) -> None:
    batch = story.batch()
    uris = [ref.uri for ref in refs_of(batch)]
    for uri in uris:
        path = story.store.root / uri.rpartition("/")[2]
        raw = path.read_bytes()
        for damage, code in FILES.items():
            damage(path)
            error = caught(lambda: trainer.step(batch), trainer)
            path.unlink(missing_ok=True)
            path.write_bytes(raw)
            assert isinstance(error, rawmm.MaterializeError)
            assert (error.code, error.path) == (code, f"$[0][{uris.index(uri)}][2]")
    trainer.materialize(batch)  # all is well again


def a_hash(ref: Any) -> None:
    ref.hash = ("1" if ref.hash[0] == "0" else "0") + ref.hash[1:]


def a_grid(ref: Any) -> None:
    _, rows, columns = ref.item.payload["image_grid_thw"][0]
    ref.item.payload = {"image_grid_thw": [[1, rows, columns + 2]]}


def a_turned_grid(ref: Any) -> None:
    """The same number of tokens, in another shape."""
    _, rows, columns = ref.item.payload["image_grid_thw"][0]
    other = [1, columns, rows] if rows != columns else [1, rows // 2, columns * 2]
    ref.item.payload = {"image_grid_thw": [other]}


def an_offset(ref: Any) -> None:
    ref.offset += 1


def an_offset_the_other_way(ref: Any) -> None:
    ref.offset -= 1


def a_length(ref: Any) -> None:
    ref.length -= 1


REFERENCES: dict[Damage, str] = {
    a_hash: "hash_mismatch",
    a_grid: "geometry_mismatch",
    a_turned_grid: "geometry_mismatch",
    an_offset: "orphan_image",
    an_offset_the_other_way: "orphan_image",
    a_length: "orphan_image",
}
"""Each way to damage what is said of an image, and the code of the error."""


@pytest.mark.parametrize("damage", REFERENCES)
def test_damage_in_the_micro_batch_is_refused(
    damage: Damage, story: Story, trainer: Trainer
) -> None:
    for index in range(len(refs_of(story.batch()))):
        batch = story.batch()
        damage(refs_of(batch)[index])
        error = caught(lambda batch=batch: trainer.step(batch), trainer)  # type: ignore[misc]
        assert error.code == REFERENCES[damage]
        where = "$.mm_token_type_ids" if damage is a_length else f"$[0][{index}]"
        assert error.path.startswith(where), error


def on_the_transport(story: Story, damage: Damage) -> Iterator[list[bytes]]:
    """The samples as they arrive with one image damaged, for each image."""
    place = SAMPLE_FIELDS.index("mm_refs")
    for number, sample in enumerate(story.samples):
        for index in range(len(msgspec.msgpack.decode(sample)[place][0])):
            wire = msgspec.msgpack.decode(sample)
            refs = rawmm.convert(wire[place], rawmm.MMRefs)
            damage(refs.images[index])
            wire[place] = msgspec.to_builtins(refs)
            out = copy.copy(story.samples)
            out[number] = msgspec.msgpack.encode(wire)
            yield out


@pytest.mark.parametrize("damage", REFERENCES)
def test_damage_on_the_transport_is_refused(damage: Damage, story: Story, trainer: Trainer) -> None:
    tried = 0
    for samples in on_the_transport(story, damage):
        error = caught(lambda samples=samples: trainer.step(batch_of(samples)), trainer)  # type: ignore[misc]
        assert error.code == REFERENCES[damage]
        tried += 1
    assert tried == len(refs_of(story.batch()))


def in_the_graph(story: Story, damage: Damage) -> Iterator[list[bytes]]:
    """The rollouts as they arrive with one image damaged, for each image."""
    for number, rollout in enumerate(story.rollouts):
        for node, one in enumerate(msgspec.msgpack.decode(rollout)["nodes"]):
            sidecar = one.get("multi_modal_data") or {"mm_items": {"image": []}}
            for index in range(len(sidecar["mm_items"]["image"])):
                document = msgspec.msgpack.decode(rollout)
                damage_described(document["nodes"][node]["multi_modal_data"], index, damage)
                out = copy.copy(story.rollouts)
                out[number] = msgspec.msgpack.encode(document)
                yield out


def damage_described(sidecar: dict[str, Any], index: int, damage: Damage) -> None:
    """Damage one image of a node, where a sidecar has what a reference has in one place."""
    item, span = (sidecar[name]["image"][index] for name in ("mm_items", "mm_placeholders"))
    hashes = sidecar["mm_hashes"]["image"]
    image = SimpleNamespace(
        item=SimpleNamespace(payload=item["payload"]), hash=hashes[index], **span
    )
    damage(image)
    item["payload"], hashes[index] = image.item.payload, image.hash
    span["offset"], span["length"] = image.offset, image.length


@pytest.mark.parametrize("damage", REFERENCES)
def test_damage_in_the_message_graph_is_refused(
    damage: Damage, story: Story, trainer: Trainer
) -> None:
    tried = 0
    for rollouts in in_the_graph(story, damage):

        def run(rollouts: list[bytes] = rollouts) -> None:
            trainer.step(batch_of(samples_of(rollouts, story.store.root)))

        assert caught(run, trainer).code in {REFERENCES[damage], "placeholder_order"}
        tried += 1
    assert tried == len(SIZES)


def test_undamaged_rollout_reaches_the_forward(story: Story, trainer: Trainer) -> None:
    """Shows that `forwards` counts, which the tests above rely on."""
    trainer.step(batch_of(samples_of(story.rollouts, story.store.root)))
    assert trainer.forwards == 1
