"""Compares two schemas: a verdict in each direction, and the differences with counterexamples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from rawmm.errors import ContractError
from rawmm.evolution import counterexamples, engine
from rawmm.evolution.differences import Edit, edits
from rawmm.evolution.documents import Document, children, parts_of, pointer
from rawmm.evolution.prover import Prover

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawmm.evolution.documents import Node
    from rawmm.evolution.engine import Schema, Verdict

Bump = Literal["none", "minor", "major"]

ROOT: Final = "#"
# Not part of JSON Schema: an edit is compatible in these directions (backward, forward).
_OF_RAWMM: Final[dict[str, tuple[Verdict, Verdict]]] = {
    "rule_added": ("no", "yes"),
    "rule_removed": ("yes", "no"),
    "max_depth_lowered": ("no", "yes"),
    "max_depth_raised": ("yes", "no"),
    "max_values_lowered": ("no", "yes"),
    "max_values_raised": ("yes", "no"),
    "max_text_lowered": ("no", "yes"),
    "max_text_raised": ("yes", "no"),
    "tag_changed": ("yes", "yes"),
    "code_changed": ("yes", "yes"),
    "default_changed": ("yes", "yes"),
}
_RANK: Final[dict[Verdict, int]] = {"yes": 0, "unknown": 1, "no": 2}


class Difference(NamedTuple):
    """One change from the old schema to the new one.

    Attributes:
        rule: what changed, such as ``required_property_added``.
        pointer: JSON pointer of the change, in the new schema, or the old one for what was removed.
        definition: the definition that holds it, or None for the root.
        backward: whether the new schema accepts all that the old one did, in spite of this change.
        forward: the reverse.
        was: the old value, or None.
        now: the new value, or None.
        counterexample: if `has_counterexample`, a document of the definition that the old schema
            accepts and the new one refuses. Two validators agree on it.
    """

    rule: str
    pointer: str
    definition: str | None
    backward: Verdict
    forward: Verdict
    was: Any = None
    now: Any = None
    counterexample: Any = None
    has_counterexample: bool = False

    @property
    def breaks(self) -> bool:
        """Whether the new schema may refuse what the old one accepts."""
        return self.backward != "yes"


class Part(NamedTuple):
    """The verdicts on one definition, or on the root (``#``)."""

    backward: Verdict
    forward: Verdict


class Comparison(NamedTuple):
    """What `compare` returns.

    Attributes:
        backward: whether a reader of the new schema accepts all that writers of the old one wrote.
            Only "yes" means compatible; "unknown" means that no proof was found.
        forward: whether a reader of the old schema accepts all that writers of the new one write.
        differences: the changes, breaking ones first.
        parts: the verdicts by definition, if definitions are compared. ``#`` is the root.
    """

    backward: Verdict
    forward: Verdict
    differences: tuple[Difference, ...]
    parts: dict[str, Part]

    @property
    def breaking(self) -> tuple[Difference, ...]:
        """The changes because of which the new schema may refuse old documents."""
        return tuple(one for one in self.differences if one.breaks)

    @property
    def bump(self) -> Bump:
        """Which number of a version ``major.minor`` must be raised."""
        if self.backward != "yes":
            return "major"
        return "none" if self.forward == "yes" else "minor"


def compare(old: Any, new: Any, *, definitions: bool | None = None) -> Comparison:
    """Compare two JSON Schemas of draft 2020-12.

    A verdict is "yes" only if it is proved. ``format`` and the other annotations do not count.

    Args:
        old: the older schema, as plain data.
        new: the newer schema.
        definitions: whether each schema under ``$defs`` is compared as a type of its own. None
            does so for bundles: documents with ``x-rawmm-version``, or whose roots accept
            everything.

    Raises:
        ContractError: one of them is not a schema, or refers to other documents (``bad_schema``).
    """
    return _Comparer(Document(old), Document(new), definitions=definitions).result()


class _Comparer:
    def __init__(self, old: Document, new: Document, *, definitions: bool | None) -> None:
        self.old, self.new = old, new
        self.prover = Prover()
        by_name = definitions
        if by_name is None:
            by_name = all(_is_bundle(one) for one in (old, new))
        self.by_name = by_name
        self.shared = [name for name in old.definitions if name in new.definitions]

    def result(self) -> Comparison:
        parts = {ROOT: self._root()}
        found: list[Difference] = []
        same = parts[ROOT] == Part("yes", "yes")
        if self.by_name or not same or _is_annotated(self.old) or _is_annotated(self.new):
            found += self._of_definitions(parts)
            broken = {one.definition for one in found if one.breaks and one.definition}
            if not self.by_name:
                found = [*self._of_root(parts[ROOT]), *found]
            elif parts[ROOT].backward != "yes":
                found += self._of_bundle(parts[ROOT], broken)
        if self.by_name:
            found += self._added_or_removed()
        else:
            parts = {ROOT: parts[ROOT]}
            found = [one if _is_of_rawmm(one) else _within(one, parts[ROOT]) for one in found]
            if same:
                found = [one for one in found if _is_of_rawmm(one)]
        found += self._unexplained(parts, found)
        found.sort(key=lambda one: -_RANK[one.backward])
        backward = _worst([*(one.backward for one in parts.values())])
        forward = _worst([*(one.forward for one in parts.values())])
        counted = [one for one in found if self.by_name or _is_of_rawmm(one)]
        backward = _worst([backward, *(one.backward for one in counted)])
        forward = _worst([forward, *(one.forward for one in counted)])
        return Comparison(backward, forward, tuple(found), parts)

    # Parts ------------------------------------------------------------------------------------

    def _root(self) -> Part:
        one, two = self.old.node(self.old.root), self.new.node(self.new.root)
        return Part(
            self._verdict(one, two, self.old.source, self.new.source),
            self._verdict(two, one, self.new.source, self.old.source),
        )

    def _of_root(self, part: Part) -> Iterator[Difference]:
        old, new = (_without_definitions(one.source) for one in (self.old, self.new))
        yield from self._local(None, old, new, part)

    def _of_bundle(self, part: Part, causes: set[str]) -> Iterator[Difference]:
        """The root of a bundle lists its types. It is judged as a whole, beside these."""
        restored = self._restored(causes)
        one = self._pair(self.old, None)
        if restored is not None:
            two = self._pair(restored, None)
            if self._verdict(one, two) == "yes":
                return
            whole = one.schema if isinstance(one.schema, dict) else {}
            # One member at a time, as most of them are accepted.
            members = [one.sub(member) for member in whole.get("anyOf", ())] or [one]
            broken = [member for member in members if self._verdict(member, two) != "yes"]
            found = (counterexamples.find(member, two) for member in broken)
            example = next((one for one in found if one is not None), None)
            if example is not None and not self._pair(self.new, None).accepts(example.document):
                yield Difference(
                    "root_narrowed", ROOT, None, "no", part.forward, **_evidence(example)
                )
                return
        yield Difference("root_narrowed", ROOT, None, part.backward, part.forward)

    def _of_definitions(self, parts: dict[str, Part]) -> Iterator[Difference]:
        reached = None if self.by_name else self._reached()
        for name in self.shared:
            if reached is not None and name not in reached:
                continue
            one = self.old.definition(self.old.name_of(name))
            two = self.new.definition(self.new.name_of(name))
            was, now = self.old.definitions[name], self.new.definitions[name]
            part = Part(self._verdict(one, two), self._verdict(two, one))
            found = list(self._local(name, was, now, part))
            parts[name] = Part(
                _worst([part.backward, *(d.backward for d in found)]),
                _worst([part.forward, *(d.forward for d in found)]),
            )
            yield from found

    def _reached(self) -> set[str]:
        """The definitions that the roots lead to."""
        out: set[str] = set()
        for document in (self.old, self.new):
            todo: list[Any] = [_without_definitions(document.source)]
            while todo:
                schema = todo.pop()
                ref = schema.get("$ref", "") if isinstance(schema, dict) else ""
                path = parts_of(ref)
                name = path[1] if len(path) > 1 and path[0] == "$defs" else None
                if name is not None and name not in out and name in document.definitions:
                    out.add(name)
                    todo.append(document.definitions[name])
                todo += [child for _, child in children(schema)]
        return out

    def _added_or_removed(self) -> Iterator[Difference]:
        for name in self.old.definitions:
            if name not in self.new.definitions:
                yield Difference("definition_removed", _at(name), name, "no", "yes")
        for name in self.new.definitions:
            if name not in self.old.definitions:
                yield Difference("definition_added", _at(name), name, "yes", "no")

    def _unexplained(self, parts: dict[str, Part], found: list[Difference]) -> Iterator[Difference]:
        """Parts that break although no difference in them or in what they refer to does."""
        broken = {one.definition for one in found if one.breaks}
        causes = {name for name in broken if name is not None}
        for name, part in parts.items():
            own = None if name == ROOT else name
            if part.backward == "yes" or own in broken or (own is None and broken):
                continue
            if self._is_restored(own, causes):
                continue
            example = counterexamples.find(self._pair(self.old, own), self._pair(self.new, own))
            yield Difference(
                "schema_narrowed",
                _at(own),
                own,
                part.backward if example is None else "no",
                part.forward,
                **_evidence(example),
            )

    def _restored(self, causes: set[str]) -> Document | None:
        """The new document with the definitions that break as they were."""
        if not isinstance(self.new.source, dict):
            return None
        old = {name: one for name, one in self.old.definitions.items() if name in causes}
        return _document({**self.new.source, "$defs": {**self.new.definitions, **old}})

    def _is_restored(self, name: str | None, causes: set[str]) -> bool:
        """Whether a part breaks only because it refers to definitions that do."""
        restored = self._restored(causes)
        if restored is None:
            return False
        return self._verdict(self._pair(self.old, name), self._pair(restored, name)) == "yes"

    def _pair(self, document: Document, name: str | None) -> Node:
        if name is None:
            return document.node(document.root)
        return document.definition(document.name_of(name))

    # Verdicts ---------------------------------------------------------------------------------

    def _verdict(
        self,
        old: Node,
        new: Node,
        old_source: Schema | None = None,
        new_source: Schema | None = None,
    ) -> Verdict:
        """Whether `new` accepts all that `old` does; "no" only with a proof or an example."""
        if self.prover.proves(old, new):
            return "yes"
        dynamic = old.document.is_dynamic or new.document.is_dynamic
        if dynamic and (old_source is None or new_source is None):
            return "unknown"
        one = old_source if dynamic else old.document.alone(old.schema)
        two = new_source if dynamic else new.document.alone(new.schema)
        assert one is not None
        assert two is not None
        proved = engine.covers(two, one)
        if proved == "unknown" and not dynamic and old_source is not None and not self.by_name:
            return "unknown" if counterexamples.find(old, new) is None else "no"
        return proved

    def _local(self, name: str | None, old: Any, new: Any, part: Part) -> Iterator[Difference]:
        """The differences of one schema, each judged by the step that it makes."""
        step, last = old, None
        for edit in edits(old, new):
            path = (*(() if name is None else ("$defs", name)), *edit.path)
            if not edit.changes:
                backward, forward = self._of_rawmm(edit)
                if backward != "yes" or forward != "yes" or "changed" in edit.rule:
                    rule = edit.rule.format(_direction(backward, forward))
                    yield Difference(
                        rule, pointer(path), name, backward, forward, edit.was, edit.now
                    )
                continue
            before = self._step(name, step) if last is None else last
            step = edit.applied(step)
            last = self._step(name, step)
            backward = forward = "unknown"
            if before is not None and last is not None:
                one, two = self._pair(before, name), self._pair(last, name)
                backward, forward = self._verdict(one, two), self._verdict(two, one)
            if part.backward == "yes":
                backward = "yes"
            if part.forward == "yes":
                forward = "yes"
            example = None
            if backward != "yes":
                example = self._example(name, before, last)
                if example is not None:
                    backward = "no"
            yield Difference(
                edit.rule.format(_direction(backward, forward)),
                pointer(path),
                name,
                backward,
                forward,
                edit.was,
                edit.now,
                **_evidence(example),
            )

    def _example(
        self, name: str | None, before: Document | None, after: Document | None
    ) -> counterexamples.Found | None:
        """A document that the old schema accepts, and the new one refuses because of a step."""
        one, two = self._pair(self.old, name), self._pair(self.new, name)
        if before is not None and after is not None:
            found = counterexamples.find(self._pair(before, name), self._pair(after, name))
            if found is not None:
                document = found.document
                if one.accepts(document) and not two.accepts(document):
                    return found
        return counterexamples.find(one, two)

    def _of_rawmm(self, edit: Edit) -> tuple[Verdict, Verdict]:
        if not edit.rule.startswith("elements"):
            return _OF_RAWMM[edit.rule]
        one, two = (
            _document({"$defs": document.definitions, "allOf": [schema]})
            for document, schema in ((self.old, edit.was), (self.new, edit.now))
        )
        if one is None or two is None:
            return "unknown", "unknown"
        was, now = one.node(one.root), two.node(two.root)
        return self._verdict(was, now), self._verdict(now, was)

    def _step(self, name: str | None, schema: Any) -> Document | None:
        """The new document with a schema in the place of one of its definitions, or of its root."""
        base = self.new.source if isinstance(self.new.source, dict) else {}
        defined = {**self.old.definitions, **self.new.definitions}
        if name is not None:
            return _document({**base, "$defs": {**defined, name: schema}})
        if isinstance(schema, bool):
            return _document(schema)
        return _document({**schema, "$defs": defined} if defined else schema)


def _document(schema: Any) -> Document | None:
    try:
        return Document(schema)
    except ContractError:
        return None  # a step between two schemas need not be one


def _evidence(example: counterexamples.Found | None) -> dict[str, Any]:
    if example is None or not example.is_confirmed:
        return {}
    return {"counterexample": example.document, "has_counterexample": True}


def _is_bundle(document: Document) -> bool:
    source = document.source
    return isinstance(source, dict) and (
        "x-rawmm-version" in source or ("$defs" in source and document.root == {})
    )


def _is_annotated(document: Document) -> bool:
    """Whether some schema holds keywords of rawmm, which the verdict on the root leaves out."""
    return '"x-rawmm-' in json.dumps(document.source)


def _is_of_rawmm(one: Difference) -> bool:
    return one.rule in _OF_RAWMM or one.rule.startswith("elements")


def _without_definitions(schema: Schema) -> Any:
    if isinstance(schema, bool):
        return schema
    return {key: value for key, value in schema.items() if key != "$defs"}


def _within(difference: Difference, part: Part) -> Difference:
    """A difference as it counts for the root alone."""
    backward = "yes" if part.backward == "yes" else difference.backward
    forward = "yes" if part.forward == "yes" else difference.forward
    return difference._replace(backward=backward, forward=forward)


def _at(name: str | None) -> str:
    return ROOT if name is None else pointer(("$defs", name))


def _worst(verdicts: list[Verdict]) -> Verdict:
    return max(verdicts, key=_RANK.__getitem__, default="yes")


def _direction(backward: Verdict, forward: Verdict) -> str:
    if backward == "yes":
        return "rewritten" if forward == "yes" else "widened"
    return "narrowed" if forward == "yes" else "changed"
