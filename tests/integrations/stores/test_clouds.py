"""Failures of Google's and Azure's stores are those of S3's: typed, and without a secret."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from rawmm.store import open_store
from tests.integrations.stores.clouds import ACCOUNT_KEY
from tests.integrations.stores.test_faults import RAW, refused

if TYPE_CHECKING:
    from collections.abc import Callable

CLOUDS = [
    pytest.param("gs", "google"),
    pytest.param("az", "azure", marks=pytest.mark.xdist_group("azure")),
]
IMAGE = f"{'a' * 64}.png"


@pytest.mark.parametrize(("scheme", "cloud"), CLOUDS)
def test_missing_bucket_is_no_missing_image(
    scheme: str, cloud: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(cloud)
    store = open_store(f"{scheme}://no-such-bucket/run", retries=0)
    actions: list[Callable[[], object]] = [
        lambda: store.put(RAW),
        lambda: store.read(IMAGE),
        lambda: store.exists(IMAGE),
        store.names,
    ]
    for action in actions:
        assert refused(action).code == "store_missing"


@pytest.mark.xdist_group("azure")
def test_wrong_key_of_azure_is_a_lack_of_permission(azure: str) -> None:
    wrong = base64.b64encode(b"canary" * 8).decode()
    config = {"account_key": wrong, "endpoint": f"http://{azure}/devstoreaccount1"}
    store = open_store("az://any/run", config=config, retries=0)
    for action in (lambda: store.put(RAW), lambda: store.read(IMAGE), store.names):
        error = refused(action)
        assert error.code == "store_denied"
        assert wrong not in str(error)
        assert ACCOUNT_KEY not in str(error)
