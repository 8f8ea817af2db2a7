"""Tombstones: how images of an object store are deleted beside running writers.

An object store cannot rename, lock, or delete only what is unchanged. It can create an object only
if there is none, and replace one only if it is unchanged. So an image that no record names gets a
tombstone, an object ``.gc/<name>`` with a state and a random number. Each change of its state is
conditional. A collection marks, and a later one, after the grace period, deletes:

===========================================  ===================================================
a writer, before it looks for the image      a collector that has read all records
===========================================  ===================================================
W1 reads the tombstone: none, or ``kept``:   G1 no tombstone, and the image is older than the
   goes on                                      grace period: creates one that says ``marked``
W2 ``marked``: replaces it by ``kept``, if   G2 ``marked`` for the whole grace period: replaces
   it is unchanged, deletes it, and goes on     it by ``deleting``, if it is unchanged
W3 ``deleting``: waits until it is gone      G3 deletes the image
W4 looks for the image, and writes it if     G4 deletes the tombstone
   there is none
===========================================  ===================================================

The grace period exceeds the time from the first request of a writer to the record that names its
image, and any pause of a process between two requests. Then no image that a record names is lost:

- W1 finds no tombstone, or ``kept``. A collector that marks the image later deletes it a grace
  period later, and reads the records before. Then one names the image.
- W2 before G2. G2 finds another tombstone and leaves the image alone.
- G2 before W2 or W1. The writer waits for G4, and then writes the image again.
- A writer dies after it has replaced the tombstone. ``kept`` protects nothing: a collection that
  finds it a grace period later marks the image again.
- A collector dies between G2 and G4. Writers of this image get the error ``store_changed`` until
  the next collection, a grace period later, begins at G2 again. They may not go on, because the
  request of G3 may still be on its way. No other image is affected.

The entity tag of an image could not do the same: in S3 it is the MD5 of its bytes, so an image that
was just written again has the tag of the old one. The random number in tombstones makes each of
them unique.

Times are those of the store. A grace period of zero marks and deletes in one collection; by it the
caller states that no writer is running.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from rawmm.store.errors import FailedRequestError
from rawmm.store.object_client import Create, Delete, Get, Head, Pause, Replace

if TYPE_CHECKING:
    from rawmm.store.object_client import Blob, Loaded, Steps

FOLDER: Final = ".gc"
"""The folder of tombstones, in that of the images. No image name begins with a dot."""
MARKED: Final = b"marked"
KEPT: Final = b"kept"
DELETING: Final = b"deleting"

_CLOCK: Final = "now-"
"""Prefix of objects that are written to read the time of the store."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_PATIENCE: Final = 60.0
"""Seconds that a writer waits for a collector that is deleting its image."""


def tombstone(state: bytes) -> bytes:
    """Return the content of a new tombstone."""
    return state + b" " + secrets.token_hex(16).encode()


def state_of(loaded: Loaded) -> bytes:
    """Return the state of a tombstone."""
    return loaded.raw.partition(b" ")[0]


def keep(key: str) -> Steps[None]:
    """Remove the tombstone at `key`, before the caller looks for its image.

    Raises:
        FailedRequestError: ``store_changed`` if a collector does not finish the deletion that it
            began, and as the requests.
    """
    waited, pause = 0.0, _FIRST_PAUSE
    while waited < _PATIENCE:
        found: Loaded | None = yield Get(key)
        if found is None or state_of(found) == KEPT:
            return
        if state_of(found) == DELETING:
            yield Pause(pause)
            waited += pause
            pause = min(2 * pause, _LONGEST_PAUSE)
        elif (yield Replace(key, tombstone(KEPT), found.blob)):
            yield Delete(key)
            return
        else:
            waited += pause
    raise FailedRequestError(
        "store_changed",
        "a collector that began to delete this image",
        "try again; if that collector has died, run rawmm gc once more",
    )


def mark(key: str, found: Loaded | None) -> Steps[bool]:
    """Mark an image: G1. Returns whether this call did."""
    written: bool
    if found is None:
        written = yield Create(key, tombstone(MARKED))
    else:
        written = yield Replace(key, tombstone(MARKED), found.blob)
    return written


def delete_marked(image_key: str, key: str, found: Loaded) -> Steps[bool]:
    """Delete an image and its tombstone, unless that has changed: G2 to G4."""
    if not (yield Replace(key, tombstone(DELETING), found.blob)):
        return False
    yield Delete(image_key)
    yield Delete(key)
    return True


def clear(key: str, found: Loaded) -> Steps[None]:
    """Delete a tombstone that is of no use, unless it has changed."""
    if (yield Replace(key, tombstone(KEPT), found.blob)):
        yield Delete(key)


def time_of_store(folder: str) -> Steps[int]:
    """Return the time by the clock of the store, in nanoseconds."""
    key = f"{folder}/{_CLOCK}{secrets.token_hex(16)}"
    yield Create(key, b"now")
    blob: Blob | None = yield Head(key)
    yield Delete(key)
    if blob is None:
        raise FailedRequestError("store_changed", "an object that disappeared", "try again")
    return blob.modified


def is_clock(name: str) -> bool:
    """Whether a name in the folder is that of an object of `time_of_store`."""
    return name.startswith(_CLOCK)
