"""The released bundles, which never change, and the file that locks them.

`schemas/released/<version>.json` is the bundle of a version of the contract with its annotations,
as its last revision had it. `LOCK.json` has the SHA-256 hash of each file.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from codegen import bundle, profile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOCK: Final = "LOCK.json"
_VERSION: Final = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)", re.ASCII)


def number(version: str) -> tuple[int, int]:
    """Major and minor, to compare versions."""
    if not (match := _VERSION.fullmatch(version)):
        raise profile.ProfileError(f"{version!r} is not a version of the form major.minor")
    return int(match[1]), int(match[2])


def texts(root: Path) -> dict[str, str]:
    """The text of each released bundle by its version, in order.

    Raises:
        ProfileError: a file differs from its lock, or is missing or not listed there.
    """
    folder = root / "schemas/released"
    locked: dict[str, Any] = profile.load(folder / LOCK)
    found = {path.stem: path.read_bytes() for path in folder.glob("*.json") if path.name != LOCK}
    wrong = [f"{v}.json is locked, but missing" for v in locked if v not in found]
    for version, data in found.items():
        if version not in locked:
            wrong.append(f"{version}.json is not in {LOCK}; `python -m codegen release` adds it")
        elif hashlib.sha256(data).hexdigest() != locked[version]:
            wrong.append(f"{version}.json changed after its release")
    if wrong:
        raise profile.ProfileError("\n".join(f"schemas/released: {line}" for line in wrong))
    return {version: found[version].decode() for version in sorted(found, key=number)}


def table(versions: Iterable[str]) -> str:
    """The source of the list of versions, so that importing the package reads no folder."""
    listed = "".join(f'    "{version}",\n' for version in versions)
    return (
        f"\nfrom typing import Final\n\nVERSIONS: Final = (\n{listed})\n"
        '"""The released versions of the contract, in order."""\n'
    )


def release(root: Path) -> Path:
    """Write the working bundle as the next release, and lock it.

    Raises:
        ProfileError: this version is released, or it is not the highest.
    """
    folder = root / "schemas/released"
    before = texts(root)
    working = max((root / "schemas").glob("v*"), key=lambda path: int(path.name[1:]))
    annotated = bundle.read(working).annotated
    version = annotated["x-rawmm-version"]
    if before and number(version) <= number(list(before)[-1]):
        raise profile.ProfileError(
            f"{version} is not higher than {list(before)[-1]}, which is released: raise "
            f"x-rawmm-version in schemas/{working.name}/{bundle.ANNOTATIONS}"
        )
    text = bundle.dump(annotated)
    path = folder / f"{version}.json"
    path.write_bytes(text.encode())
    lock = profile.load(folder / LOCK) | {version: hashlib.sha256(text.encode()).hexdigest()}
    (folder / LOCK).write_bytes(bundle.dump(lock).encode())
    return path
