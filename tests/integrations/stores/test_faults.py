"""Requests that fail on their way: retried, or a typed error without a secret."""

from __future__ import annotations

import asyncio
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rawmm.errors import RawMMError
from rawmm.store import ObjectImageStore, open_store
from tests.integrations.stores.conftest import KEY_ID, SECRET, TOKEN
from tests.integrations.stores.proxy import Fault
from tests.unit.images.pictures import picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integrations.stores.proxy import Proxy

RAW = picture(size=(200, 200), compress_level=0)
FOREVER = {
    "busy": "store_throttled",
    "too many": "store_throttled",
    "broken": "store_failed",
    "denied": "store_denied",
    "bad key": "store_denied",
    "expired": "store_denied",
    "slow": "store_failed",
    "reset": "store_failed",
}
BODIES = {
    "cut": "torn_read",
    "long": "torn_read",
    "short": "hash_mismatch",
    "other": "hash_mismatch",
}
ONCE = ["busy", "too many", "broken", "reset"]
ACTIONS: dict[str, tuple[str, Callable[[ObjectImageStore], Any]]] = {
    "put": ("PUT", lambda store: store.put(RAW)),
    "put_async": ("PUT", lambda store: asyncio.run(store.put_async(RAW))),
    "read": ("GET", lambda store: store.read(f"{store.root}/{'a' * 64}.png")),
    "read_async": ("GET", lambda store: asyncio.run(store.read_async(f"{'a' * 64}.png"))),
    "exists": ("HEAD", lambda store: store.exists(f"{'a' * 64}.png")),
    "names": ("GET", lambda store: store.names()),
    "probe": ("PUT", lambda store: store.probe()),
    "verify": ("GET", lambda store: store.verify()),
}


def store_at(bucket: str, proxy: Proxy, retries: int = 1, timeout: float = 1.0) -> ObjectImageStore:
    config = {"endpoint": proxy.endpoint}
    store = open_store(bucket, config=config, retries=retries, timeout=timeout)
    assert isinstance(store, ObjectImageStore)
    return store


def refused(action: Callable[[], object]) -> RawMMError:
    """The error of an action, which quotes nothing of requests and answers."""
    with pytest.raises(RawMMError) as caught:
        action()
    error = caught.value
    whole = "".join(traceback.format_exception(error)) + repr(error)
    for secret in (KEY_ID, SECRET, TOKEN, "Signature", "Error performing"):
        assert secret not in whole
    while error.__context__ is not None:
        pytest.fail(f"{error.__context__!r} in the chain")
    return error


@pytest.mark.parametrize("fault", FOREVER)
@pytest.mark.parametrize("action", ACTIONS)
def test_failure_that_lasts_is_a_typed_error(
    action: str, fault: str, bucket: str, proxy: Proxy
) -> None:
    method, call = ACTIONS[action]
    # Other answers are waited for, however busy the machine is.
    store = store_at(bucket, proxy, retries=0, timeout=0.5 if fault == "slow" else 30.0)
    proxy.damage(Fault(fault, method))
    error = refused(lambda: call(store))
    if method == "HEAD" and fault == "expired":
        assert error.code == "store_failed"  # its answer has no body that says why
    else:
        assert error.code == FOREVER[fault], error


@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_failure_that_passes_is_retried(method: str, fault: str, bucket: str, proxy: Proxy) -> None:
    store = store_at(bucket, proxy, retries=4, timeout=30.0)
    proxy.damage(Fault(fault, method, 1))
    stored = store.put(RAW)
    proxy.damage(Fault(fault, method, 1))
    assert store.read(stored.uri) == RAW
    assert store.exists(stored.uri)
    assert not store.put(RAW).written


def test_answer_that_is_lost_after_a_write_is_no_failure(bucket: str, proxy: Proxy) -> None:
    store = store_at(bucket, proxy, retries=4, timeout=30.0)
    proxy.damage(Fault("lost", "PUT", 1))
    store.put(RAW)
    assert store.read(store.names()[0]) == RAW


@pytest.mark.parametrize("fault", BODIES)
@pytest.mark.parametrize("times", [1, -1], ids=["once", "always"])
def test_damaged_body_is_read_again_or_an_error(
    fault: str, times: int, bucket: str, proxy: Proxy
) -> None:
    store = store_at(bucket, proxy, retries=2, timeout=30.0)
    stored = store.put(RAW)
    for read in (store.read, lambda locator: asyncio.run(store.read_async(locator))):
        proxy.damage(Fault(fault, "GET", times))
        if times == 1:
            assert read(stored.uri) == RAW
        else:
            assert refused(partial(read, stored.uri)).code == BODIES[fault]
    proxy.damage(None)
    assert store.read(stored.uri) == RAW


def test_missing_bucket_is_no_missing_image(server: str) -> None:
    store = open_store("s3://no-such-bucket/run", retries=0)
    image = f"{'a' * 64}.png"
    for action in (
        lambda: store.exists(image),
        lambda: store.exists(image, renew=True),
        lambda: store.read(image),
        lambda: store.put(RAW),
        store.names,
        lambda: asyncio.run(open_store("s3://no-such-bucket/run", retries=1).read_async(image)),  # type: ignore[attr-defined]
    ):
        assert refused(action).code == "store_missing"


def test_no_server_is_no_missing_image(server: str) -> None:
    store = open_store("s3://bucket/run", config={"endpoint": "http://127.0.0.1:9"}, retries=0)
    for action in (lambda: store.exists("a.png"), lambda: store.put(RAW), store.names):
        error = refused(action)
        assert (error.code, error.got) == ("store_failed", "no connection")


@pytest.mark.parametrize(
    "config", [{"secret_access_kei": SECRET}, {"endpoint": f"nonsense {SECRET}"}, {"region": 1}]
)
def test_configuration_that_is_refused_is_not_shown(config: Any, bucket: str) -> None:
    refused(lambda: open_store(bucket, config=config, retries=0).put(RAW))
