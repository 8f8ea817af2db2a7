"""An S3 server on this machine, a bucket for each test, and a proxy that damages answers."""

from __future__ import annotations

import http.client
import itertools
import os
import threading
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer

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
    name = f"bucket-{os.getpid()}-{next(_buckets)}"
    connection = http.client.HTTPConnection(server)
    connection.request("PUT", f"/{name}")
    assert connection.getresponse().status == 200
    connection.close()
    return f"s3://{name}/run/images"


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy in front of the server, which damages nothing yet."""
    with Proxy(server) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()
