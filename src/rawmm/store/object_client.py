"""The requests that an object store answers, over obstore, with typed failures.

What a store does is written once, as a generator of requests (`Steps`). `run` and `run_async` send
them to a client; tests send them one at a time, in any order.

The exceptions of obstore quote URLs, headers and bodies. Their text is searched for what went wrong
and never leaves this module.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from rawmm.errors import type_name
from rawmm.store.errors import FailedRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")


class Blob(NamedTuple):
    """What a store says about an object.

    Attributes:
        size: in bytes.
        modified: when it was written, by the clock of the store, in nanoseconds.
        e_tag, version: name the object's content; `Replace` compares them.
    """

    size: int
    modified: int
    e_tag: str | None = None
    version: str | None = None


class Loaded(NamedTuple):
    """An object and its content."""

    raw: bytes
    blob: Blob


class Head(NamedTuple):
    """Asks for the `Blob` of an object; the answer is None if there is none."""

    key: str


class Get(NamedTuple):
    """Asks for the `Loaded` content of an object; the answer is None if there is none."""

    key: str


class GetRange(NamedTuple):
    """Asks for the bytes from `begin` to `end` of `blob`.

    The answer is False if it has changed, and None if there is none.
    """

    key: str
    begin: int
    end: int
    blob: Blob


class Upload(NamedTuple):
    """Writes a file as an object, whole or not at all, in place of any. The answer is True."""

    key: str
    path: Path


class Create(NamedTuple):
    """Writes an object where there is none. The answer is whether it was written."""

    key: str
    raw: bytes
    media_type: str = ""


class Replace(NamedTuple):
    """Writes an object in place of `blob`. The answer is False if another one is there."""

    key: str
    raw: bytes
    blob: Blob
    media_type: str = ""


class Delete(NamedTuple):
    """Deletes an object, if there is one. The answer is None."""

    key: str


class List(NamedTuple):
    """Asks for every object below a prefix: a dict from names, relative to it, to blobs."""

    prefix: str


class Pause(NamedTuple):
    """Waits. The answer is None."""

    seconds: float


Step: TypeAlias = Head | Get | GetRange | Upload | Create | Replace | Delete | List | Pause
Steps: TypeAlias = Generator[Step, Any, T]
"""A task: yields requests, is sent their answers, and returns a result."""

_BUSY: Final = frozenset({429, 503})
_NO_RANGE: Final = 416
_DENIED: Final = frozenset({401, 403, 407})
_STATUS: Final = re.compile(r"status: (\d{3})")
_NO_BUCKET: Final = re.compile(r"NoSuchBucket|ContainerNotFound|specified bucket does not exist")
_REFUSED: Final = re.compile(
    r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|AuthenticationFailed"
)
_SLOW: Final = re.compile(r"SlowDown|TooManyRequests|ServerBusy|RequestLimitExceeded")
_TIMED_OUT: Final = re.compile(r"TimedOut|kind: Timeout")
_CLOSED: Final = re.compile(r"IncompleteMessage|kind: (?:Request|Body|Interrupted)")
_NOT_REACHED: Final = re.compile(r"kind: Connect")
_TORN: Final = re.compile(r"kind: (?:Body|Decode|Interrupted)|IncompleteBody|UnexpectedEof")
_PLAIN: Final = re.compile(r"scheme is not allowed|BadScheme")
_ENVIRONMENT: Final = ("AWS_", "AZURE_", "GOOGLE_", "GCP_", "HTTP_PROXY", "HTTPS_PROXY")
_RETRY_SECONDS: Final = 30
_LISTED_AT_ONCE: Final = 1000
_NO_PREFIX: Final = ".rawmm-none"
"""A prefix without objects."""

LOG_IN_HINT: Final = "check the credentials in the environment and their permissions"


class _Runtime:
    """Whether obstore's threads run. A forked child has none of them, and would wait for ever."""

    started = False
    lost = False

    @classmethod
    def enter(cls) -> None:
        """Call before a request.

        Raises:
            FailedRequestError: this process was forked after its parent had sent one.
        """
        if cls.lost:
            raise _failure(
                "store_failed",
                "a process that was forked after its parent had used an object store",
                "start processes with spawn or forkserver, or use the store in them only",
            )
        cls.started = True

    @classmethod
    def forked(cls) -> None:
        cls.lost = cls.lost or cls.started


os.register_at_fork(after_in_child=_Runtime.forked)


class Client:
    """Sends requests to the bucket of a URL. Thread-safe.

    Args:
        bucket: from obstore.
        retries: how often a request that failed on its way is sent again.
    """

    def __init__(self, bucket: Any, retries: int) -> None:
        self._bucket = bucket
        self._retries = retries
        self._reached = False

    def do(self, step: Step) -> Any:
        """Send one request and return its answer.

        Raises:
            FailedRequestError: the store cannot answer it.
        """
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return self._again_if_torn(step)

    async def do_async(self, step: Step) -> Any:
        """As `do`, without blocking the thread."""
        import asyncio  # takes as long to load as the rest of the store

        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, List | GetRange | Upload):
            return await asyncio.to_thread(self.do, step)
        attempt = 0
        while True:
            try:
                answer = await self._sent_async(step)
            except BaseException as error:  # noqa: BLE001  (sorted below)
                failure, answer = self._sorted(step, error)
            else:
                return self._answered(answer)
            if failure is None:
                return await asyncio.to_thread(self._confirmed, answer)
            attempt += 1
            if failure.code != "torn_read" or attempt > self._retries:
                raise failure
            await asyncio.sleep(_backoff(attempt))

    def listed(self, prefix: str) -> Iterator[tuple[str, Blob]]:
        """Yield every object below a prefix, as `List`, without holding all of them.

        Raises:
            FailedRequestError: as `do`.
        """
        import obstore

        _Runtime.enter()
        failure = None
        try:
            for chunk in obstore.list(self._bucket, prefix or None, chunk_size=_LISTED_AT_ONCE):
                for meta in chunk:
                    yield meta["path"].removeprefix(prefix).removeprefix("/"), _blob(meta)
        except BaseException as error:  # noqa: BLE001  (sorted below)
            failure, _ = self._sorted(List(prefix), error)
            if failure is None:
                return
        if failure is not None:
            raise failure
        self._reached = True

    def _again_if_torn(self, step: Step) -> Any:
        attempt = 0
        while True:
            failure = None
            try:
                return self._answered(self._sent(step))
            except BaseException as error:  # noqa: BLE001  (sorted below)
                failure, answer = self._sorted(step, error)
            if failure is None:
                return self._confirmed(answer)
            attempt += 1
            if failure.code != "torn_read" or attempt > self._retries:
                raise failure
            time.sleep(_backoff(attempt))

    def _answered(self, answer: Any) -> Any:
        self._reached = True
        return answer

    def _confirmed(self, answer: Any) -> Any:
        """Return that there is no object, once it is known that there is a bucket.

        A store may answer both in the same way.
        """
        if answer is None and not self._reached:
            try:
                for _ in self.listed(_NO_PREFIX):
                    break
            except FailedRequestError as error:
                if error.code == "store_missing":
                    raise
            self._reached = True
        return answer

    def _sent(self, step: Step) -> Any:
        import obstore

        _Runtime.enter()
        bucket = self._bucket
        match step:
            case Head(key):
                return _blob(obstore.head(bucket, key))
            case Get(key):
                found = obstore.get(bucket, key)
                return _loaded(found.bytes().to_bytes(), found.meta)
            case GetRange(key, begin, end, blob):
                how: Any = {"range": (begin, end), "if_match": blob.e_tag}
                raw = obstore.get(bucket, key, options=how).bytes().to_bytes()
                return _complete(raw, end - begin)
            case Upload(key, path):
                obstore.put(bucket, key, path)
                return True
            case Delete(key):
                obstore.delete(bucket, key)
                return None
            case List(prefix):
                return dict(self.listed(prefix))
            case _:
                obstore.put(bucket, step.key, step.raw, **_how(step))  # type: ignore[union-attr]
                return True

    async def _sent_async(self, step: Step) -> Any:
        import obstore

        _Runtime.enter()
        bucket = self._bucket
        match step:
            case Head(key):
                return _blob(await obstore.head_async(bucket, key))
            case Get(key):
                found = await obstore.get_async(bucket, key)
                return _loaded((await found.bytes_async()).to_bytes(), found.meta)
            case Delete(key):
                await obstore.delete_async(bucket, key)
                return None
            case _:
                await obstore.put_async(
                    bucket,
                    step.key,  # type: ignore[union-attr]
                    step.raw,  # type: ignore[union-attr]
                    **_how(step),
                )
                return True

    def _sorted(self, step: Step, error: BaseException) -> tuple[FailedRequestError | None, Any]:
        """Return the failure that an exception means, or None and the answer that it means."""
        if isinstance(error, FailedRequestError):
            return error, None
        if not isinstance(error, Exception) and type(error).__module__ != "pyo3_runtime":
            raise error  # an interrupt
        names = {one.__name__ for one in type(error).__mro__}
        text = str(error)
        if _NO_BUCKET.search(text):
            return _failure("store_missing", "no such bucket", "create it, or correct the URL"), 0
        if isinstance(error, FileNotFoundError) or "NotFoundError" in names:
            return None, False if isinstance(step, Replace) else None
        if names & {"AlreadyExistsError", "PreconditionError", "NotModifiedError"}:
            return None, False
        return _failure(*self._reason(step, names, text)), None

    def _reason(self, step: Step, names: set[str], text: str) -> tuple[str, str, str]:
        """Return code, reason and hint of a failure."""
        if "InvalidPathError" in names:
            return (
                "store_failed",
                "an object with an empty folder, '.' or '..' in its name",
                "rename or delete it; obstore cannot list what is beside it",
            )
        found = _STATUS.search(text)
        status = int(found[1]) if found else 0
        denied = {"PermissionDeniedError", "UnauthenticatedError"}
        if names & denied or status in _DENIED or _REFUSED.search(text):
            return "store_denied", "no permission", LOG_IN_HINT
        if status in _BUSY or _SLOW.search(text):
            return (
                "store_throttled",
                f"a store that was too busy, also after {self._retries} retries",
                "send fewer requests at once, or try again later",
            )
        if isinstance(step, Get | GetRange) and (
            status == _NO_RANGE or (not status and _TORN.search(text))
        ):
            # obstore asks for the rest of a body that was cut; there may be none.
            return "torn_read", "an answer that ended early", "try again"
        if status:
            return "store_failed", f"the HTTP status {status}", "check the URL and its region"
        if _NOT_REACHED.search(text):
            return "store_failed", "no connection", "check the network and the endpoint"
        if _TIMED_OUT.search(text):
            return "store_failed", "no answer in time", "check the network, or raise timeout"
        if _PLAIN.search(text):
            return "store_failed", "an endpoint without TLS", "allow it: AWS_ALLOW_HTTP=true"
        if _CLOSED.search(text):
            return "store_failed", "a connection that was closed", "try again"
        kind = next(iter(names & {"GenericError", "NotSupportedError"}), "an exception")
        return "store_failed", f"{kind} from obstore", "call obstore directly to see all of it"


def run(client: Client, steps: Steps[T]) -> T:
    """Run a task.

    Raises:
        FailedRequestError: as `Client.do`, and what the task raises.
    """
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        answer = client.do(step)


async def run_async(client: Client, steps: Steps[T]) -> T:
    """As `run`, without blocking the thread."""
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        answer = await client.do_async(step)


def open_client(
    scheme: str, bucket: str, config: Mapping[str, str], retries: int, timeout: float
) -> Client:
    """Return the client of a bucket. The same one for equal arguments and environment.

    Raises:
        FailedRequestError: obstore is not installed, or refuses the configuration.
    """
    if scheme == "memory":
        return _memory(bucket)
    # Clients keep connections, so they are shared; not with a child, nor after a new login.
    secrets = [
        (name, value)
        for name, value in sorted(os.environ.items())
        if name.upper().startswith(_ENVIRONMENT)
    ]
    environment = hashlib.sha256(repr(secrets).encode()).digest()
    settings = tuple(sorted(config.items()))
    return _remote(scheme, bucket, settings, retries, timeout, environment, os.getpid())


_MEMORY: Final[dict[str, Client]] = {}


def _memory(bucket: str) -> Client:
    if bucket not in _MEMORY:
        _MEMORY.setdefault(bucket, Client(_stores().MemoryStore(), 0))
    return _MEMORY[bucket]


@lru_cache(maxsize=64)
def _remote(
    scheme: str,
    bucket: str,
    settings: tuple[tuple[str, str], ...],
    retries: int,
    timeout: float,
    *_: object,
) -> Client:
    stores = _stores()
    opener = {"s3": stores.S3Store, "gs": stores.GCSStore, "az": stores.AzureStore}[scheme]
    plain = any(
        name.lower().endswith(("endpoint", "endpoint_url")) and value.startswith("http://")
        for name, value in settings
    )
    # As settings, because client_options would put those of the environment out of force.
    config = {"timeout": f"{round(timeout * 1000)}ms", **dict(settings)}
    if plain:
        config.setdefault("allow_http", "true")
    retry = {
        "max_retries": retries,
        "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
    failure = None
    try:
        made = opener(bucket, config=config, retry_config=retry)
    except Exception as error:  # noqa: BLE001  (its text may quote the configuration)
        failure = _failure(
            "store_failed",
            f"a configuration that obstore refuses ({type_name(type(error))})",
            "set the account, region or endpoint: see docs/stores.md",
        )
    if failure is not None:
        raise failure
    return Client(made, retries)


def _stores() -> Any:
    try:
        from obstore import store
    except ImportError:
        store = None
    if store is None:
        raise _failure("store_failed", "no package obstore", "pip install 'rawmm[stores]'")
    return store


def _failure(code: str, got: str, hint: str) -> FailedRequestError:
    return FailedRequestError(code, got, hint)


def _backoff(attempt: int) -> float:
    return min(0.05 * 2.0**attempt, 2.0)


def _how(step: Any) -> dict[str, Any]:
    how: dict[str, Any] = {"mode": "create", "use_multipart": False}
    if isinstance(step, Replace):
        wanted = {"e_tag": step.blob.e_tag, "version": step.blob.version}
        how["mode"] = {name: value for name, value in wanted.items() if value is not None}
    if step.media_type:
        how["attributes"] = {"Content-Type": step.media_type}
    return how


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _blob(meta: Any) -> Blob:
    modified = (meta["last_modified"] - _EPOCH) // timedelta(microseconds=1) * 1000
    return Blob(meta["size"], modified, meta.get("e_tag"), meta.get("version"))


def _loaded(raw: bytes, meta: Any) -> Loaded:
    blob = _blob(meta)
    return Loaded(_complete(raw, blob.size), blob)


def _complete(raw: bytes, size: int) -> bytes:
    if len(raw) != size:
        raise _failure("torn_read", "an answer that ended early", "try again")
    return raw
