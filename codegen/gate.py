"""What a change of the schemas must satisfy, compared with every release of its major version.

- A released bundle never changes.
- The working bundle accepts all that a release accepts, or a waiver names the difference.
- If it accepts more than the last release, its minor version is higher.
- A waiver that is not used, or that expired, is an error.
- The changelog names a new version of the contract under the headings that its changes need.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from codegen import bundle, profile, released
from rawmm.evolution import Comparison, Difference, compare, shown_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIVERS: Final = "schemas/waivers.json"
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+")
_FIELDS: Final = frozenset({"from", "to", "pointer", "rule", "reason", "expires"})


class Waiver(NamedTuple):
    """An accepted break: what version `to` and later refuse of what version `from_` accepts.

    `expires` is a date (YYYY-MM-DD), or the version of the contract from which on it is invalid.
    """

    from_: str
    to: str
    pointer: str
    rule: str
    reason: str
    expires: str

    def matches(self, release: str, version: str, one: Difference) -> bool:
        """Whether it excuses a difference between a release and a version."""
        return (
            self.from_ == release
            and released.number(self.to) <= released.number(version)
            and (self.pointer, self.rule) == (one.pointer, one.rule)
        )

    def is_expired(self, version: str, today: dt.date) -> bool:
        """Whether it no longer counts."""
        if _VERSION.fullmatch(self.expires):
            return released.number(version) >= released.number(self.expires)
        return today >= dt.date.fromisoformat(self.expires)

    def __str__(self) -> str:
        return f"{self.rule} at {self.pointer} from {self.from_} to {self.to}"


def waivers(root: Path) -> list[Waiver]:
    """The waivers of a tree.

    Raises:
        ProfileError: the file is malformed, or a waiver lacks a field or a reason.
    """
    listed = profile.load(root / WAIVERS).get("waivers", ())
    out = []
    for one in listed:
        if (
            not isinstance(one, dict)
            or set(one) != _FIELDS
            or not all(isinstance(value, str) and value.strip() for value in one.values())
        ):
            raise profile.ProfileError(f"{WAIVERS}: a waiver has {', '.join(sorted(_FIELDS))}")
        fields = {"from_" if key == "from" else key: value for key, value in one.items()}
        out.append(Waiver(**fields))
        if not (_VERSION.fullmatch(one["expires"]) or _is_date(one["expires"])):
            raise profile.ProfileError(
                f"{WAIVERS}: expires is a date or a version, not {one['expires']!r}"
            )
    return out


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def problems(root: Path, today: dt.date | None = None) -> list[str]:
    """Everything that a change must mend. `today` decides which waivers expired."""
    today = today or dt.datetime.now(dt.UTC).date()
    out = list(_rewritten(root))
    try:
        texts = released.texts(root)
        excuses = waivers(root)
    except profile.ProfileError as error:
        return [*out, *str(error).splitlines()]
    folder = max((root / "schemas").glob("v*"), key=lambda path: int(path.name[1:]))
    working = bundle.read(folder).annotated
    version = working["x-rawmm-version"]
    major = released.number(version)[0]
    used: set[Waiver] = set()
    last: Comparison | None = None
    for release, text in texts.items():
        if released.number(release)[0] != major:
            continue
        last = compare(json.loads(text), working)
        out += _breaks(release, version, last, excuses, used)
    out += [f"waiver not used: {one}" for one in excuses if one not in used]
    out += [f"waiver expired: {one}" for one in excuses if one.is_expired(version, today)]
    if last is not None:
        out += _version(list(texts)[-1], version, last)
        out += _changelog(root, list(texts)[-1], version, last)
    return out


def _breaks(
    release: str, version: str, found: Comparison, excuses: list[Waiver], used: set[Waiver]
) -> Iterator[str]:
    for one in found.breaking:
        matching = [waiver for waiver in excuses if waiver.matches(release, version, one)]
        used.update(matching)
        if not matching:
            yield f"{one.pointer}: breaks {release} [{one.rule}]{_evidence(one)}"
    if found.backward != "yes" and not found.breaking:
        yield f"the bundle is not proved to accept all that {release} accepts"


def _evidence(one: Difference) -> str:
    if not one.has_counterexample:
        return ""
    return f"; {one.definition or 'the root'} accepted {shown_document(one.counterexample)}"


def _version(last: str, version: str, found: Comparison) -> Iterator[str]:
    if found.bump != "none" and released.number(version) <= released.number(last):
        major, minor = released.number(last)
        change = "accepts less" if found.bump == "major" else "is compatible, and accepts more"
        yield (
            f"the bundle {change} than {last}: raise x-rawmm-version to {major}.{minor + 1} in "
            f"{bundle.ANNOTATIONS}"
        )
    if found.bump == "none" and released.number(version) > released.number(last):
        yield f"the bundle accepts what {last} accepts: x-rawmm-version need not be {version}"


def _changelog(root: Path, last: str, version: str, found: Comparison) -> Iterator[str]:
    """A version that is not released is named under the headings that its changes need."""
    if released.number(version) <= released.number(last):
        return
    text = (root / "CHANGELOG.md").read_text("utf-8")
    unreleased = text.partition("## [Unreleased]")[2].partition("\n## ")[0]
    sections = {part.partition("\n")[0].strip(): part for part in unreleased.split("\n### ")[1:]}
    rules = {one.rule for one in found.differences}
    needed: dict[str, tuple[str, ...]] = {}
    if found.forward != "yes":
        needed = {"Added or Changed": ("Added", "Changed")}
    if found.backward != "yes":
        needed = {"Changed or Removed": ("Changed", "Removed")}
    if "definition_removed" in rules:
        needed["Removed"] = ("Removed",)
    for label, headings in needed.items():
        if not any(f"contract {version}" in sections.get(one, "") for one in headings):
            yield f"CHANGELOG.md: name what is new in contract {version} under {label}"


def _rewritten(root: Path) -> Iterator[str]:
    """Released files that differ from their first revision in git, whatever the lock says."""
    for path in sorted((root / "schemas/released").glob("*.json")):
        if path.name == released.LOCK:
            continue
        place = path.relative_to(root).as_posix()
        commits = _git(root, "log", "--format=%H", "--diff-filter=A", "--", place).split()
        if commits and _git(root, "show", f"{commits[-1]}:{place}") != path.read_text("utf-8"):
            yield f"{place} differs from the revision that released it"


def _git(root: Path, *words: str) -> str:
    """The output of git; empty outside a repository."""
    if not (root / ".git").exists():
        return ""
    command = ["git", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout if done.returncode == 0 else ""
