"""Writers and collectors of an object store, request by request: no image in use is lost."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from rawmm.store.errors import FailedRequestError
from rawmm.store.object_client import Delete, List, Replace
from rawmm.store.tombstones import DELETING, KEPT, MARKED
from tests.unit.store.interleaving import every_order
from tests.unit.store.object_world import DAMAGED, DAY, IMAGES, Actor, Seen, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawmm.store.object_client import Blob
    from tests.unit.store.interleaving import Choose

OLD = 2 * DAY
WRITERS = ("writer", "comparing writer", "keeper")


def scene(content: bytes | None = IMAGES[0], state: bytes | None = MARKED, age: int = OLD) -> World:
    world = World()
    if content is not None:
        world.place(world.key(0), content, OLD)
    if state is not None:
        world.place_tombstone(0, state, age)
    return world


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("content", [IMAGES[0], DAMAGED, None], ids=["good", "damaged", "absent"])
@pytest.mark.parametrize("state", [None, MARKED, KEPT], ids=["no tombstone", "marked", "kept"])
def test_image_that_was_stored_is_there_in_every_order(
    kind: str, content: bytes | None, state: bytes | None
) -> None:
    outcomes: Counter[str] = Counter()

    def run(choose: Choose) -> None:
        world = scene(content, state)
        actors = {"writer": world.actor(kind), "collector": world.actor("collector")}
        world.play(actors, choose)
        writer, collector = (actors[name].result for name in ("writer", "collector"))
        assert isinstance(collector, Seen), world.log
        assert isinstance(writer, bool), world.log
        found = kind != "keeper" or writer
        if found and content != DAMAGED:
            assert world.has(0), world.log
        outcomes.update(collector.outcomes.values())

    orders = every_order(run)
    assert orders > 1
    if content is not None and state is MARKED:
        assert outcomes["deleted"] > 0
        assert outcomes["young"] > 0
    elif content is not None:
        assert outcomes["marked"] > 0
        assert outcomes["deleted"] == 0


def test_two_collectors_lose_no_image_of_a_writer() -> None:
    for seed in range(300):
        world = scene()
        kinds = {"writer": "writer", "one": "collector", "other": "collector"}
        actors = {name: world.actor(kind) for name, kind in kinds.items()}
        world.play(actors, random.Random(seed).choice)
        assert isinstance(actors["writer"].result, bool), world.log
        assert world.has(0), world.log


class Life:
    """A random life of a store: actors begin, send requests, die; time passes.

    The premise of the grace period holds: a writer's record is there within it, and nobody pauses
    for longer between two requests.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.actors: list[Actor] = []
        self.promised: list[Actor] = []
        self.counts: Counter[str] = Counter()
        for image in (0, 1):
            if self.random.random() < 0.7:
                self.world.place(self.world.key(image), IMAGES[image], OLD)
                state = self.random.choice([None, None, MARKED, MARKED, KEPT, DELETING])
                if state is not None:
                    age = self.random.choice([OLD, DAY // 2])
                    self.world.place_tombstone(image, state, age)

    def begin(self) -> None:
        kind = self.random.choice([*WRITERS, "collector", "collector", "collector"])
        self.actors.append(self.world.actor(kind, self.random.choice((0, 1))))

    def advance(self, actor: Actor) -> None:
        self.world.advance(actor)
        if actor.step is not None:
            return
        self.actors.remove(actor)
        self.counts[actor.kind] += 1
        if isinstance(actor.result, FailedRequestError):
            assert actor.result.code == "store_changed", self.world.log
            self.counts["refused"] += 1
        elif isinstance(actor.result, Seen):
            self.counts.update(actor.result.outcomes.values())
        elif actor.kind != "keeper" or actor.result:
            self.promised.append(actor)

    def publish(self, actor: Actor) -> None:
        """Write the record of an image."""
        self.promised.remove(actor)
        self.world.records.add(self.world.names[actor.image])

    def die(self) -> None:
        self.actors.remove(self.random.choice(self.actors))
        self.counts["died"] += 1

    def pass_time(self) -> None:
        then = self.world.now + self.random.choice((DAY // 4, DAY // 2))
        for actor in list(self.promised):
            if actor.began + DAY <= then:
                self.publish(actor)
        for actor in list(self.actors):
            is_late = actor.began if actor.kind in WRITERS else actor.latest
            while actor in self.actors and is_late + DAY <= then:
                self.advance(actor)
        for actor in list(self.promised):
            if actor.began + DAY <= then:
                self.publish(actor)
        self.world.now = then

    def live(self, moments: int) -> None:
        for _ in range(moments):
            dice = self.random.random()
            if not self.actors or (dice < 0.08 and len(self.actors) < 5):
                self.begin()
            elif dice < 0.11:
                self.pass_time()
            elif dice < 0.125:
                self.die()
            elif dice < 0.14 and self.promised:
                self.publish(self.random.choice(self.promised))
            else:
                self.advance(self.random.choice(self.actors))
            self.check()

    def check(self) -> None:
        names = {self.world.names[one.image] for one in self.promised} | self.world.records
        for image, name in enumerate(self.world.names):
            if name in names:
                assert self.world.has(image), self.world.log[-60:]


def lives(seeds: Sequence[int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in seeds:
        life = Life(seed)
        life.live(120)
        counts += life.counts
    return counts


def assert_eventful(counts: Counter[str], lived: int) -> None:
    """Shows that the random lives reach every event."""
    for event in ("writer", "keeper", "collector", "deleted", "marked", "young", "died"):
        assert counts[event] > lived // 20, counts
    assert counts["refused"] > 0


def test_image_that_a_record_names_is_never_lost() -> None:
    assert_eventful(lives(range(200)), 200)


@pytest.mark.slow
def test_image_that_a_record_names_is_never_lost_in_many_lives() -> None:
    assert_eventful(lives(range(1000, 13_000)), 12_000)


def test_unnamed_image_is_marked_and_a_grace_period_later_deleted() -> None:
    world = scene(state=None)
    for outcome in ("marked", "young"):
        collector = world.actor("collector")
        world.finish(collector)
        assert collector.result.outcomes == {world.names[0]: outcome}
    world.now += DAY + 1
    collector = world.actor("collector")
    world.finish(collector)
    assert collector.result.outcomes == {world.names[0]: "deleted"}
    assert left(world) == {}


@pytest.mark.parametrize("steps", range(9))
def test_collector_that_dies_at_any_request_is_followed_by_another(steps: int) -> None:
    world = scene()
    died = world.actor("collector")
    for _ in range(steps):
        if died.step is not None:
            world.advance(died)
    world.now += DAY + 1
    for _ in range(2):  # an object that it wrote to read the time is as young as the first
        world.finish(world.actor("collector"))
        world.now += DAY + 1
    assert left(world) == {}


def test_writer_waits_for_a_collector_and_then_gives_up() -> None:
    world = scene()
    died = world.actor("collector")
    while not isinstance(died.step, Delete) or died.step.key != world.key(0):
        world.advance(died)
    writer = world.actor("writer")
    world.finish(writer)
    assert isinstance(writer.result, FailedRequestError)
    assert writer.result.code == "store_changed"
    assert sum("Pause" in one for one in world.log) > 10
    world.now += DAY + 1
    world.finish(world.actor("collector"))
    again = world.actor("writer")
    world.finish(again)
    assert again.result is True
    assert world.has(0)


def test_writer_removes_the_tombstone_that_it_finds() -> None:
    world = scene()
    writer = world.actor("writer")
    world.finish(writer)
    assert writer.result is False
    assert list(left(world)) == [world.names[0]]


@pytest.mark.parametrize("state", [MARKED, KEPT, DELETING])
@pytest.mark.parametrize("content", [IMAGES[0], None], ids=["named", "gone"])
def test_old_tombstone_of_no_use_is_removed(state: bytes, content: bytes | None) -> None:
    world = scene(content, state)
    if content is not None:
        world.records.add(world.names[0])
    world.finish(world.actor("collector"))
    assert list(left(world)) == ([world.names[0]] if content else [])


def test_damaged_object_is_replaced_only_if_it_is_unchanged() -> None:
    world = scene(DAMAGED, None)
    writer = world.actor("writer")
    while not isinstance(writer.step, Replace):
        world.advance(writer)
    other = world.actor("writer")
    world.finish(other)
    assert other.result is True
    world.finish(writer)
    assert writer.result is False  # the other was faster
    assert world.has(0)
    assert world.store.counters.verify_failures == 2


def test_tombstone_that_changed_is_not_cleared() -> None:
    world = scene(None, MARKED)
    collector = world.actor("collector")
    while not isinstance(collector.step, Replace):
        world.advance(collector)
    key = world.tombstone(0)
    assert world.client.do(Delete(key)) is None
    world.place_tombstone(0, DELETING, 0)
    world.finish(collector)
    assert list(left(world)) == [f".gc/{world.names[0]}"]


@pytest.mark.parametrize("content", [IMAGES[0], None], ids=["named", "gone"])
def test_young_tombstone_is_left_alone(content: bytes | None) -> None:
    world = scene(content, MARKED, DAY // 2)
    world.records.add(world.names[0])
    world.finish(world.actor("collector"))
    assert f".gc/{world.names[0]}" in left(world)
    assert not any("Get" in one for one in world.log)


def test_young_tombstone_of_garbage_is_not_read() -> None:
    world = scene(age=DAY // 2)
    collector = world.actor("collector")
    world.finish(collector)
    assert collector.result.outcomes == {world.names[0]: "young"}
    assert not any("Get" in one for one in world.log)


def left(world: World) -> dict[str, Blob]:
    """What is in the store."""
    objects: dict[str, Blob] = world.client.do(List(world.store.prefix))
    return objects
