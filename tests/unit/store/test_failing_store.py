"""Stores of other schemes whose code raises, or returns something other than it should."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm.errors import RawMMError
from rawmm.images import prepare_image
from rawmm.materialize.reading import read_image
from rawmm.store import collect_garbage, fsck, register_scheme, registry, store_for
from tests.unit.images.pictures import data_url, picture
from tests.unit.materialize.processor import QWEN
from tests.unit.store.test_registry import MemoryStore, message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACE = "odd://bucket"
SECRET = picture().hex()
NAME = prepare_image(picture(), rawmm.Limits()).raw_image_id
URL = f"{PLACE}/{NAME}"


class OddStore(MemoryStore):
    """Each method raises or returns what `answers` holds for it."""

    answers: dict[str, Any] = {}  # noqa: RUF012  (replaced by each test)

    def __getattribute__(self, name: str) -> Any:
        if name not in OddStore.answers:
            return super().__getattribute__(name)
        answer = OddStore.answers[name]
        return lambda *_, **__: answer() if callable(answer) else answer


def fails() -> Any:
    raise LookupError(SECRET)


def fails_midway() -> Iterator[str]:
    yield NAME
    raise LookupError(SECRET)


@pytest.fixture(autouse=True)
def _scheme(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_SCHEMES", dict(registry._SCHEMES))
    register_scheme("odd", OddStore)
    OddStore.answers = {}
    OddStore(PLACE).put(picture())
    yield
    OddStore.answers = {}
    MemoryStore.buckets.clear()


def collect() -> Any:
    return collect_garbage(PLACE, [], grace=timedelta(0), allow_empty=True)


def offload() -> Any:
    rawmm.offload_images_inplace(message(data_url(picture(seed=2))), image_dir=PLACE)


FAILURES: dict[str, tuple[str, Any, Callable[[], Any]]] = {
    "fsck, names": ("names", fails, lambda: fsck(PLACE)),
    "fsck, names midway": ("names", fails_midway, lambda: fsck(PLACE)),
    "fsck, read": ("read", fails, lambda: fsck(PLACE)),
    "fsck, exists": ("exists", fails, lambda: fsck(PLACE, [message(URL)])),
    "gc, names": ("names", fails, collect),
    "gc, names midway": ("names", fails_midway, collect),
    "gc, delete": ("delete", fails, collect),
    "offload, uri": ("uri", fails, offload),
    "offload, put": ("put", fails, offload),
    "offload to run assets": (
        "put",
        fails,
        lambda: rawmm.offload_image_to_run_assets(data_url(picture()), PLACE),
    ),
    "describe": ("read", fails, lambda: rawmm.describe_image(URL, QWEN)),
    "describe in directory": (
        "read",
        fails,
        lambda: rawmm.describe_image(URL, QWEN, image_dir=PLACE),
    ),
    "materialize": ("read", fails, lambda: read_image(URL, NAME[:16], None, rawmm.Limits())),
}


@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_exception_of_a_store_is_store_failed_without_its_text(
    case: tuple[str, Any, Callable[[], Any]],
) -> None:
    method, answer, action = case
    OddStore.answers = {method: answer}
    with pytest.raises(RawMMError) as caught:
        action()
    assert caught.value.code == "store_failed"
    assert f"LookupError from its method {method}" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("failing", ["open", "location_of"])
def test_exception_while_a_store_is_opened_is_store_failed(failing: str) -> None:
    def raising(_: str) -> Any:
        raise LookupError(SECRET)

    register_scheme("odd", **{"open": OddStore, failing: raising})
    with pytest.raises(RawMMError) as caught:
        store_for(URL)
    assert (caught.value.code, caught.value.__context__) == ("store_failed", None)
    assert SECRET not in str(caught.value)


LIES: dict[str, tuple[str, Any, Callable[[], Any]]] = {
    "fsck": ("names", [NAME, 7], lambda: fsck(PLACE)),
    "gc": ("names", [NAME, b"x"], collect),
    "describe": ("read", "text", lambda: rawmm.describe_image(URL, QWEN)),
    "materialize": ("read", None, lambda: read_image(URL, NAME[:16], None, rawmm.Limits())),
}


@pytest.mark.parametrize("case", LIES.values(), ids=LIES)
def test_answer_of_another_type_is_wrong_type(case: tuple[str, Any, Callable[[], Any]]) -> None:
    method, answer, action = case
    OddStore.answers = {method: answer}
    with pytest.raises(RawMMError) as caught:
        action()
    assert caught.value.code == "wrong_type"


@pytest.mark.parametrize(
    ("answer", "code"), [(picture(seed=2), "hash_mismatch"), ("text", "wrong_type")]
)
def test_fsck_finds_bytes_of_another_image_that_a_store_does_not_compare(
    answer: object, code: str
) -> None:
    OddStore.answers = {"read": answer}
    (finding,) = fsck(PLACE)
    assert (finding.kind, finding.file.name, finding.error.code) == ("corrupt", NAME, code)
