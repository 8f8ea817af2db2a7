"""What a verifiers trace has no field for, kept in the notes of that trace.

verifiers drops unknown fields in silence, but keeps ``trace.info``, a free dict, on every hop.
So a trace's leftovers ride under one key of it, as JSON values, each with the path it belongs
to. A node's leftovers also name the node by a hash over its branch: when nodes were dropped,
moved or changed since, that is an error, and nothing is put back where it may not belong.
"""

from __future__ import annotations

import hashlib
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
"""The key of ``trace.info`` that leftovers ride under."""

_PLACE: Final = ("info", KEY)
_DIGEST_SIZE: Final = 16


class Leftover(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A value, and the path it stands at."""

    path: Annotated[list[str | int], msgspec.Meta(min_length=1)]
    value: Any


class OfNode(msgspec.Struct, forbid_unknown_fields=True):
    """Leftovers of one node; paths begin at the node."""

    node: int
    hash: str
    fields: list[Leftover]


class Carried(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """All leftovers of one trace.

    Attributes:
        version: of this form.
        fields: what verifiers has no field for, outside the nodes.
        nodes: the same, of each node that has any.
        made_up: what verifiers filled in and no constant of it: the time, a new id.
    """

    version: Literal[1]
    fields: list[Leftover] = []
    nodes: list[OfNode] = []
    made_up: list[Leftover] = []


def leftovers(given: Any, kept: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The values of `given` that have no counterpart in `kept`, with their paths.

    Raises:
        ContractError: ``bad_value`` where `kept` has another value in its place.
    """
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from leftovers(value, kept[key], (*path, key))
            else:
                yield (*path, key), value
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from leftovers(one, other, (*path, index))
    elif kept is None and given is not None:
        yield path, given
    elif not _same(given, kept):
        raise contract_error(
            "bad_value",
            path,
            expected="a value that verifiers keeps as it is",
            got=shown(given),
            hint=f"verifiers would make it {shown(kept)}",
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
    made_up: list[tuple[Path, Any]],
    kept_nodes: Sequence[dict[str, Any]],
) -> dict[str, Any] | None:
    """Leftovers as JSON values for ``trace.info``; None if there are none.

    Args:
        fields: leftovers outside the nodes.
        nodes: leftovers by node.
        made_up: what verifiers filled in.
        kept_nodes: the trace's nodes as verifiers has them.

    Raises:
        ProcessedPayloadError: ``not_json`` for one that JSON cannot say, so that a record of
            the trace would change it.
    """
    if not (fields or nodes or made_up):
        return None
    for path, value in fields:
        for error in payload_errors(value, path, Mode.JSON):
            raise error
    hashes = branch_hashes(kept_nodes) if nodes else []
    carried = Carried(
        version=1,
        fields=_listed(fields),
        nodes=[OfNode(index, hashes[index], _listed(left)) for index, left in nodes.items()],
        made_up=_listed(made_up),
    )
    # The bytes of encoded arrays become base64 here, as in JSON.
    plain: dict[str, Any] = msgspec.to_builtins(carried)
    return plain


def _listed(found: list[tuple[Path, Any]]) -> list[Leftover]:
    return [Leftover(list(path), value) for path, value in found]


def unpack(plain: Any, document: dict[str, Any]) -> None:
    """Put what `pack` made back into a trace's plain data.

    Raises:
        ContractError: ``unsupported_version`` or ``wrong_type`` for something else under the
            key, ``hash_mismatch`` for nodes that are gone or changed, ``missing_field`` for an
            object that is gone, ``duplicate_key`` for a place that is taken.
    """
    carried = _read(plain)
    nodes: list[dict[str, Any]] = document["nodes"]
    hashes = branch_hashes(nodes) if carried.nodes else []
    for owner in carried.nodes:
        there = 0 <= owner.node < len(nodes)
        if not there or hashes[owner.node] != owner.hash:
            raise contract_error(
                "hash_mismatch",
                ("nodes", owner.node),
                expected=f"the node of branch hash {shown_hash(owner.hash)}, "
                "to which leftovers belong",
                got="another message or other tokens" if there else counted(len(nodes), "node"),
                hint="nodes were dropped, moved or changed since to_verifiers(); do that to the "
                f"struct, or delete trace.info[{KEY!r}] and with it what it carries",
            )
        for left in owner.fields:
            _put(nodes[owner.node], left, ("nodes", owner.node))
    for left in carried.fields:
        _put(document, left, ())
    for one in carried.made_up:
        # Another value in its place is not made up: somebody set it since.
        parent = at(document, one.path[:-1])
        if isinstance(parent, dict) and parent.get(one.path[-1]) == one.value:
            del parent[one.path[-1]]


def _read(plain: Any) -> Carried:
    version = plain.get("version") if isinstance(plain, dict) else None
    if isinstance(version, int) and version != 1:
        raise contract_error(
            "unsupported_version", (*_PLACE, "version"), expected="1", got=shown(version)
        )
    try:
        return msgspec.convert(plain, Carried)
    except msgspec.ValidationError:
        raise_alone(
            contract_error(
                "wrong_type",
                _PLACE,
                expected="what to_verifiers() put there",
                got=shown(plain),
                hint="use another key of trace.info for other notes",
            )
        )


def _put(root: Any, left: Leftover, above: Path) -> None:
    path = (*above, *left.path)
    parent = at(root, left.path[:-1])
    if not isinstance(parent, dict):
        raise contract_error(
            "missing_field",
            path[:-1],
            expected=f"an object for the field {shown(path[-1])} that info.{KEY} carries",
            got="none",
        )
    found = parent.get(left.path[-1])
    if found is not None and found != left.value:
        raise contract_error(
            "duplicate_key",
            path,
            expected=f"no value beside the one that info.{KEY} carries",
            got=shown(found),
        )
    parent[left.path[-1]] = left.value


def at(root: Any, path: Sequence[str | int]) -> Any:
    """The value at a path; None if there is none."""
    for key in path:
        if isinstance(root, dict):
            root = root.get(key)
        elif isinstance(root, list) and isinstance(key, int) and 0 <= key < len(root):
            root = root[key]
        else:
            return None
    return root


def branch_hashes(nodes: Sequence[dict[str, Any]]) -> list[str]:
    """For each node the hash of its branch up to it: of what every message says, and its tokens.

    What is computed or annotated later (log-probabilities, advantages, links) has no part in it.
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
