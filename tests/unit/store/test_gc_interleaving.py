"""Writers and collectors on one file, step by step, in every order."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.errors import OffloadError
from rawmm.store import (
    GarbageStats,
    ImageStore,
    StoredImage,
    check_exists,
    collect_garbage,
    fsck,
)
from tests.unit.images.pictures import picture, temporary_files
from tests.unit.store.interleaving import Stage, Stopped, every_order, some_orders
from tests.unit.store.test_gc import let_time_pass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.store.interleaving import Choose

RAW = picture()
NOW = timedelta(0)


class Scene:
    """An image file older than the grace period, and the calls that work on it."""

    def __init__(self, root: Path, content: bytes | None = RAW) -> None:
        # Made, but not the file.
        self.store = ImageStore(root, durable=False)
        self.store.put(picture(seed=9))
        self.image = self.store.prepare(RAW)
        self.path = self.store.root / self.image.raw_image_id
        self.content = content

    def reset(self) -> None:
        self.path.unlink(missing_ok=True)
        if self.content is not None:
            self.path.write_bytes(self.content)
            let_time_pass(self.store.root)

    def write(self) -> StoredImage:
        return self.store.put(self.image)

    def collect(self) -> GarbageStats:
        return collect_garbage(self.store.root, [], grace=NOW, allow_empty=True)

    def keep(self) -> None:
        check_exists(self.store, self.path.as_uri(), renew=True)

    def play(
        self,
        calls: dict[str, Callable[[], Any]],
        choose: Choose,
        stop: tuple[str, int] | None = None,
    ) -> dict[str, Any]:
        self.reset()
        stage = Stage(lambda args: any(self.path.name in str(arg) for arg in args[:2]))
        return stage.run(calls, choose, stop)

    def is_there(self) -> bool:
        return self.path.exists() and self.path.read_bytes() == RAW

    def assert_tidy(self) -> None:
        assert temporary_files(self.store.root) == []


CONTENTS = {"old": RAW, "damaged": b"damaged", "absent": None}


@pytest.mark.parametrize("content", CONTENTS)
def test_image_that_was_stored_is_there_in_every_order(tmp_path: Path, content: str) -> None:
    scene = Scene(tmp_path / "images", CONTENTS[content])
    deleted = kept = 0

    def run(choose: Choose) -> None:
        nonlocal deleted, kept
        answers = scene.play({"writer": scene.write, "collector": scene.collect}, choose)
        assert isinstance(answers["writer"], StoredImage), answers
        stats = answers["collector"]
        assert isinstance(stats, GarbageStats), answers
        assert scene.is_there()
        scene.assert_tidy()
        gone = scene.path.name in stats.deleted
        deleted += gone
        kept += not gone

    orders = every_order(run)
    if content == "absent":
        assert (orders, deleted) == (1, 0)  # the collector has nothing to judge
    else:
        assert orders > 10
        assert deleted > 0
        assert kept > 0


@pytest.mark.parametrize("third", ["writer", "collector"])
@pytest.mark.parametrize("content", ["old", "damaged"])
def test_image_survives_a_writer_a_collector_and_one_more(
    tmp_path: Path, content: str, third: str
) -> None:
    scene = Scene(tmp_path / "images", CONTENTS[content])

    def run(choose: Choose) -> None:
        more = scene.write if third == "writer" else scene.collect
        answers = scene.play(
            {"writer": scene.write, "collector": scene.collect, "third": more}, choose
        )
        assert isinstance(answers["writer"], StoredImage), answers
        assert isinstance(answers["collector"], GarbageStats), answers
        assert isinstance(answers["third"], (StoredImage, GarbageStats)), answers
        assert scene.is_there()
        scene.assert_tidy()

    some_orders(run, 150)


def test_resent_reference_keeps_its_image_or_is_an_error(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path / "images")
    outcomes = set()

    def run(choose: Choose) -> None:
        answers = scene.play({"sender": scene.keep, "collector": scene.collect}, choose)
        error = answers["sender"]
        if error is None:
            assert scene.is_there()
        else:
            assert isinstance(error, OffloadError)
            assert error.code == "missing_image"
        scene.assert_tidy()
        outcomes.add(error is None)

    assert every_order(run) > 10
    assert outcomes == {True, False}


def test_damaged_file_that_is_sent_again_never_replaces_the_image(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "images", b"damaged")

    def run(choose: Choose) -> None:
        answers = scene.play(
            {"writer": scene.write, "sender": scene.keep, "collector": scene.collect}, choose
        )
        assert isinstance(answers["writer"], StoredImage), answers
        assert scene.is_there()
        scene.assert_tidy()

    some_orders(run, 150)


def test_copy_that_brings_its_old_time_along_stays(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "images")

    def copy() -> None:
        """As rsync does: the time of the original, and a rename."""
        copied = scene.path.with_name(".copied")
        copied.write_bytes(RAW)
        os.utime(copied, ns=(0, 0))
        os.replace(copied, scene.path)  # noqa: PTH105  (a step)

    def reset() -> None:
        scene_reset()
        os.utime(scene.path, ns=(0, 0))
        let_time_pass(scene.store.root)

    scene_reset, scene.reset = scene.reset, reset  # type: ignore[method-assign]

    def run(choose: Choose) -> None:
        scene.play({"copy": copy, "collector": scene.collect}, choose)
        assert scene.is_there()
        scene.path.unlink()
        scene.assert_tidy()

    assert every_order(run) > 5


@pytest.mark.parametrize("careful", ["writer", "collector", "fsck"])
def test_collector_that_dies_at_any_step_loses_nothing(tmp_path: Path, careful: str) -> None:
    scene = Scene(tmp_path / "images")
    in_order: Choose = lambda waiting: waiting[0]  # noqa: E731
    ended = []
    for step in range(1, 10):
        answer = scene.play({"collector": scene.collect}, in_order, ("collector", step))
        if not isinstance(answer["collector"], Stopped):
            ended.append(step)
            break
        left = [name for name in temporary_files(scene.store.root) if name.startswith(".gc-")]
        assert bool(left) == (not scene.path.exists())
        if careful == "writer":
            scene.write()
        record = {"raw_image_id": scene.path.name}
        if careful == "fsck":
            findings = fsck(scene.store.root, [record], repair=True)
            assert [(one.kind, one.repaired) for one in findings if one.kind != "orphaned"] == [
                ("stale", True)
            ] * len(left)
        else:
            stats = collect_garbage(scene.store.root, [record], grace=NOW)
            assert stats.restored == [scene.path.name] * len(left)
            assert scene.path.name not in stats.deleted
        assert scene.is_there()
        scene.assert_tidy()
        scene.store.put(picture(seed=9))
    assert ended == [5]  # stat, rename, open, unlink


def test_writer_that_dies_at_any_step_blocks_nobody(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "images", b"damaged")
    for step in range(1, 4):
        answers = scene.play({"writer": scene.write}, lambda waiting: waiting[0], ("writer", step))
        ended = not isinstance(answers["writer"], Stopped)
        scene.assert_tidy()
        assert scene.is_there() == ended
        scene.collect()
        assert not scene.path.exists()
    assert ended  # open, replace
