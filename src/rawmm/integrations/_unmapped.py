"""Keeps the fields that a verifiers trace does not have in ``trace.info``, a free dict.

verifiers drops unknown fields silently, but preserves ``trace.info`` everywhere. So unmapped fields
are stored under one key of it, as JSON values with their paths. Those of a node also record a hash
of its branch. Restoring them fails if that node was dropped, moved or changed.
"""

from __future__ import annotations

import hashlib
from array import array
from math import isnan
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from rawmm.errors import RawMMError, contract_error, counted, raise_alone, shown, shown_hash
from rawmm.graph import message_hash
from rawmm.values.payload import Mode, payload_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Path = tuple[str | int, ...]

KEY: Final = "rawmm"
"""The key of ``trace.info`` for unmapped fields."""

_PLACE: Final = ("info", KEY)
_DIGEST_SIZE: Final = 16


class UnmappedField(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A value and its path."""

    path: Annotated[list[str | int], msgspec.Meta(min_length=1)]
    value: Any


class NodeFields(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Unmapped fields of one node. Paths begin at the node.

    Attributes:
        node: its index.
        hash: the hash of its branch.
        fields: its unmapped fields.
        rounded: streams that verifiers holds rounded, with their exact numbers.
    """

    node: int
    hash: str
    fields: list[UnmappedField] = []
    rounded: list[UnmappedField] = []


class UnmappedFields(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """All unmapped fields of one trace.

    Attributes:
        version: the version of this format.
        fields: those outside the nodes.
        nodes: those of each node that has any.
        generated: values that verifiers generated, such as the time or a new id.
    """

    version: Literal[1]
    fields: list[UnmappedField] = []
    nodes: list[NodeFields] = []
    generated: list[UnmappedField] = []


def unmapped_fields(given: Any, kept: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The values of `given` that are missing in `kept`, with their paths.

    Raises:
        ContractError: ``bad_value`` if `kept` has another value instead.
    """
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from unmapped_fields(value, kept[key], (*path, key))
            else:
                yield (*path, key), value
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from unmapped_fields(one, other, (*path, index))
    elif kept is None and given is not None:
        yield path, given
    elif not _same(given, kept):
        raise contract_error(
            "bad_value",
            path,
            expected="a value that verifiers preserves",
            got=shown(given),
            hint=f"verifiers would change it to {shown(kept)}",
        )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, float) and isinstance(other, float) and isnan(one):
        return isnan(other)
    return bool(one == other)


def pack(
    fields: list[tuple[Path, Any]],
    nodes: dict[int, list[tuple[Path, Any]]],
    rounded: dict[int, list[tuple[Path, list[float]]]],
    generated: list[tuple[Path, Any]],
    kept_nodes: Sequence[dict[str, Any]],
) -> dict[str, Any] | None:
    """Unmapped fields as JSON values for ``trace.info``; None if there are none.

    Args:
        fields: unmapped fields outside the nodes.
        nodes: unmapped fields by node.
        rounded: the exact streams of nodes that verifiers holds rounded, by node.
        generated: values that verifiers generated.
        kept_nodes: the trace's nodes as verifiers has them.

    Raises:
        ProcessedPayloadError: ``not_json`` for a value that JSON cannot express.
    """
    if not (fields or nodes or rounded or generated):
        return None
    for path, value in fields:
        for error in payload_errors(value, path, Mode.JSON):
            raise error
    owners = sorted({*nodes, *rounded})
    hashes = branch_hashes(kept_nodes) if owners else []
    unmapped = UnmappedFields(
        version=1,
        fields=_listed(fields),
        nodes=[
            NodeFields(
                index,
                hashes[index],
                _listed(nodes.get(index, [])),
                _listed(rounded.get(index, [])),
            )
            for index in owners
        ],
        generated=_listed(generated),
    )
    # This encodes the bytes of arrays as base64, as in JSON.
    plain: dict[str, Any] = msgspec.to_builtins(unmapped)
    return plain


def _listed(found: Sequence[tuple[Path, Any]]) -> list[UnmappedField]:
    return [UnmappedField(list(path), value) for path, value in found]


def unpack(plain: Any, document: dict[str, Any]) -> None:
    """Restore the fields that `pack` stored, in a trace's plain data.

    Raises:
        ContractError: ``unsupported_version`` or ``wrong_type`` if the key holds something else,
            ``hash_mismatch`` if a node was dropped or changed, ``missing_field`` if an object was
            removed, ``duplicate_key`` if the field has another value now.
    """
    unmapped = _read(plain)
    nodes: list[dict[str, Any]] = document["nodes"]
    hashes = branch_hashes(nodes) if unmapped.nodes else []
    for owner in unmapped.nodes:
        there = 0 <= owner.node < len(nodes)
        if not there or hashes[owner.node] != owner.hash:
            raise contract_error(
                "hash_mismatch",
                ("nodes", owner.node),
                expected=f"the node of branch hash {shown_hash(owner.hash)}, "
                "which has unmapped fields",
                got="another message or other tokens" if there else counted(len(nodes), "node"),
                hint="nodes were dropped, moved or changed after to_verifiers(); change the struct "
                f"instead, or delete trace.info[{KEY!r}] and lose these fields",
            )
        for field in owner.fields:
            _put(nodes[owner.node], field, ("nodes", owner.node))
        for stream in owner.rounded:
            # If the stream differs, it was set after it was rounded.
            parent = at(nodes[owner.node], stream.path[:-1])
            if isinstance(parent, dict) and parent.get(stream.path[-1]) == rounded(stream.value):
                parent[stream.path[-1]] = stream.value
    for field in unmapped.fields:
        _put(document, field, ())
    for one in unmapped.generated:
        # If the value differs, it was set after it was generated.
        parent = at(document, one.path[:-1])
        if isinstance(parent, dict) and parent.get(one.path[-1]) == one.value:
            del parent[one.path[-1]]


def rounded(stream: Any) -> list[float] | None:
    """A stream as float32, as verifiers 0.4.1.dev86 holds it; None if it is not one of numbers."""
    if not isinstance(stream, list) or not {int, float}.issuperset(map(type, stream)):
        return None
    return array("f", stream).tolist()


def _read(plain: Any) -> UnmappedFields:
    version = plain.get("version") if isinstance(plain, dict) else None
    if isinstance(version, int) and version != 1:
        raise contract_error(
            "unsupported_version", (*_PLACE, "version"), expected="1", got=shown(version)
        )
    try:
        return msgspec.convert(plain, UnmappedFields)
    except msgspec.ValidationError:
        raise_alone(
            contract_error(
                "wrong_type",
                _PLACE,
                expected="the value that to_verifiers() stored",
                got=shown(plain),
                hint="use another key of trace.info for other notes",
            )
        )


def _put(root: Any, field: UnmappedField, above: Path) -> None:
    path = (*above, *field.path)
    parent = at(root, field.path[:-1])
    if not isinstance(parent, dict):
        raise contract_error(
            "missing_field",
            path[:-1],
            expected=f"an object for the field {shown(path[-1])} in info.{KEY}",
            got="none",
        )
    found = parent.get(field.path[-1])
    if found is not None and found != field.value:
        raise contract_error(
            "duplicate_key",
            path,
            expected=f"no value other than the one in info.{KEY}",
            got=shown(found),
        )
    parent[field.path[-1]] = field.value


def at(root: Any, path: Sequence[str | int]) -> Any:
    """The value at a path, or None."""
    for key in path:
        if isinstance(root, dict):
            root = root.get(key)
        elif isinstance(root, list) and isinstance(key, int) and 0 <= key < len(root):
            root = root[key]
        else:
            return None
    return root


def branch_hashes(nodes: Sequence[dict[str, Any]]) -> list[str]:
    """For each node the hash of its branch up to it: of every message and its tokens.

    Values computed or annotated later (log-probabilities, advantages, links) are excluded.
    """
    hashes: list[str] = []
    for index, node in enumerate(nodes):
        parent = node["parent"]
        digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)
        if parent in range(index):
            digest.update(hashes[parent].encode())
        try:
            digest.update(message_hash(node["message"]).encode())
        except RawMMError as error:
            raise error.at(("nodes", index, "message")) from None
        digest.update(msgspec.msgpack.encode(node["token_ids"]))
        hashes.append(digest.hexdigest())
    return hashes
