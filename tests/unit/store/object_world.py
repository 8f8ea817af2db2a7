"""An object store in memory whose requests are sent one at a time, by a clock of the test.

Actors are tasks of the store: writers, readers of references, collectors. The test says who sends
the next request, when time passes and who dies.
"""

from __future__ import annotations

import hashlib
import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from rawmm.store import ObjectImageStore
from rawmm.store.errors import FailedRequestError
from rawmm.store.object_client import (
    Blob,
    Create,
    Delete,
    Get,
    Head,
    List,
    Loaded,
    Pause,
    Replace,
    Step,
)
from rawmm.store.object_gc import look, settle, tidy
from rawmm.store.tombstones import tombstone
from tests.unit.images.pictures import picture

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

GRACE = timedelta(days=1)
DAY = GRACE // timedelta(microseconds=1) * 1000
START = 1_700_000_000_123_456_789
IMAGES = [picture(seed=seed) for seed in (1, 2)]
DAMAGED = b"damaged"

_names = itertools.count()


class Actor:
    """A task under way. `result` is None until it ends, then what it returned or raised."""

    def __init__(self, kind: str, image: int, task: Generator[Step, Any, Any], now: int) -> None:
        self.kind = kind
        self.image = image
        self.task = task
        self.began = self.latest = now
        self.step: Step | None = next(task)
        self.result: Any = None


class Seen(NamedTuple):
    """What a collector did."""

    outcomes: dict[str, str]


class World:
    """A store, its clock, the records, and the actors."""

    def __init__(self) -> None:
        self.store = ObjectImageStore(f"memory://world-{next(_names)}/run/images")
        self.client = self.store.client
        self.prepared = [self.store.prepare(raw) for raw in IMAGES]
        self.names = [one.raw_image_id for one in self.prepared]
        self.now = START
        self.written: dict[str, int] = {}
        self.records: set[str] = set()
        self.log: list[str] = []

    def key(self, image: int) -> str:
        return f"{self.store.prefix}/{self.names[image]}"

    def tombstone(self, image: int) -> str:
        return f"{self.store.prefix}/.gc/{self.names[image]}"

    def place(self, key: str, raw: bytes, age: int) -> None:
        """Add an object of this age."""
        assert self.client.do(Create(key, raw))
        self.written[key] = self.now - age

    def place_tombstone(self, image: int, state: bytes, age: int) -> None:
        self.place(self.tombstone(image), tombstone(state), age)

    def has(self, image: int) -> bool:
        found = self.client.do(Get(self.key(image)))
        return found is not None and found.raw == IMAGES[image]

    def answer(self, step: Step) -> Any:
        """Send a request, with the times of this world."""
        if isinstance(step, Pause):
            return None
        if isinstance(step, Replace) and not self._is_unchanged(step):
            return False
        answer = self.client.do(self._with_real_tag(step) if isinstance(step, Replace) else step)
        if isinstance(step, (Create, Replace)) and answer:
            self.written[step.key] = self.now
        if isinstance(step, Head) and answer is not None:
            return self._timed(step.key, answer)
        if isinstance(step, Get) and answer is not None:
            return Loaded(answer.raw, self._timed(step.key, answer.blob))
        if isinstance(step, List):
            return {name: self._timed(f"{step.prefix}/{name}", one) for name, one in answer.items()}
        return answer

    def _timed(self, key: str, blob: Blob) -> Blob:
        return blob._replace(modified=self.written[key], e_tag=self._e_tag(key))

    def _e_tag(self, key: str) -> str:
        """The MD5 of an object, as in S3: an object that is written again has the same one."""
        found = self.client.do(Get(key))
        return "" if found is None else hashlib.md5(found.raw).hexdigest()

    def _is_unchanged(self, step: Replace) -> bool:
        return self._e_tag(step.key) == step.blob.e_tag

    def _with_real_tag(self, step: Replace) -> Replace:
        blob: Blob = self.client.do(Head(step.key))
        return step._replace(blob=blob)

    def actor(self, kind: str, image: int = 0) -> Actor:
        task: Generator[Step, Any, Any]
        if kind == "writer":
            task = self.store._put(self.prepared[image], verify=False)
        elif kind == "comparing writer":
            task = self.store._put(self.prepared[image], verify=True)
        elif kind == "keeper":
            task = self.store._exists(self.key(image), renew=True)
        else:
            task = self.collect()
        return Actor(kind, image, task, self.now)

    def collect(self) -> Generator[Step, Any, Seen]:
        """A collection, as `collect_garbage` runs it: the records are read after the listing."""
        view = yield from look(self.store.prefix, GRACE)
        named = set(self.records)
        outcomes = {}
        for name in sorted(view.images):
            if name not in named:
                outcomes[name] = yield from settle(view, name)
        for name in sorted(view.tombstones.keys() - outcomes.keys()):
            yield from tidy(view, name)
        for key in view.clocks:
            yield Delete(key)
        return Seen(outcomes)

    def advance(self, actor: Actor) -> None:
        """Send the next request of an actor."""
        assert actor.step is not None
        self.log.append(f"{actor.kind} {actor.image}: {type(actor.step).__name__}")
        actor.latest = self.now
        answer = self.answer(actor.step)
        try:
            actor.step = actor.task.send(answer)
        except StopIteration as done:
            actor.step, actor.result = None, done.value
        except FailedRequestError as error:
            actor.step, actor.result = None, error

    def finish(self, actor: Actor) -> None:
        while actor.step is not None:
            self.advance(actor)

    def play(self, actors: dict[str, Actor], choose: Callable[[list[str]], str]) -> None:
        """Run actors to their ends, in an order."""
        while waiting := sorted(name for name, one in actors.items() if one.step is not None):
            # A pause lets the others go on: without it, a writer could poll without end.
            ready = [one for one in waiting if not isinstance(actors[one].step, Pause)]
            self.advance(actors[choose(ready or waiting)])
