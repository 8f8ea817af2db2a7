"""Servers of three clouds on this machine, buckets for each test, a proxy that damages answers."""

from __future__ import annotations

import http.client
import itertools
import os
import threading
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer

from tests.integrations.stores import clouds
from tests.integrations.stores.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

# The canaries: no message may contain them.
KEY_ID = "AKIACANARYCANARYCANA"
SECRET = "canary/SECRET+canary/SECRET+canary/SECRE"
TOKEN = "canaryTOKENcanaryTOKENcanaryTOKEN"

_buckets = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The host and port of the server. The environment of this process names it."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    before = dict(os.environ)
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ALLOW_HTTP="true",
        AWS_ACCESS_KEY_ID=KEY_ID,
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_SESSION_TOKEN=TOKEN,
        AWS_REGION="us-east-1",
    )
    yield f"{host}:{port}"
    os.environ.clear()
    os.environ.update(before)
    moto.stop()


@pytest.fixture
def bucket(server: str) -> str:
    """The URL of a folder in a new bucket."""
    return f"s3://{_new_bucket(server)}/run/images"


def _new_bucket(server: str) -> str:
    name = f"bucket-{os.getpid()}-{next(_buckets)}"
    connection = http.client.HTTPConnection(server)
    connection.request("PUT", f"/{name}")
    assert connection.getresponse().status == 200
    connection.close()
    return name


@pytest.fixture(scope="session")
def google(server: str) -> Iterator[str]:
    """A server that answers as Google's. The environment names it."""
    with clouds.GoogleFront(server) as front:
        thread = threading.Thread(target=front.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        os.environ.update(
            GOOGLE_SERVICE_ACCOUNT_KEY=clouds.service_account(front.base_url),
            GOOGLE_ALLOW_HTTP="true",
        )
        yield front.base_url
        front.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Azurite. The environment names it."""
    with clouds.azurite(tmp_path_factory.mktemp("azurite")) as host:
        os.environ.update(
            AZURE_STORAGE_ACCOUNT_NAME=clouds.ACCOUNT,
            AZURE_STORAGE_ACCOUNT_KEY=clouds.ACCOUNT_KEY,
            AZURE_STORAGE_ENDPOINT=f"http://{host}/{clouds.ACCOUNT}",
            AZURE_ALLOW_HTTP="true",
        )
        yield host


@pytest.fixture(params=["s3", "gs", pytest.param("az", marks=pytest.mark.xdist_group("azure"))])
def any_bucket(request: pytest.FixtureRequest, server: str) -> str:
    """The URL of a folder in a new bucket of each cloud."""
    scheme = request.param
    if scheme == "az":
        name = f"container-{os.getpid()}-{next(_buckets)}"
        clouds.make_container(request.getfixturevalue("azure"), name)
    else:
        name = _new_bucket(server)
        if scheme == "gs":
            request.getfixturevalue("google")
    return f"{scheme}://{name}/run/images"


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy in front of the server, which damages nothing yet."""
    with Proxy(server) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()
