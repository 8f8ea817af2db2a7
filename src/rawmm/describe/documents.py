"""The sidecars of records as plain data. Everything else in them is unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rawmm.codec import convert, to_builtins
from rawmm.describe.image import layout_from
from rawmm.describe.messages import MessageImages
from rawmm.describe.trace import checked_token_ids, with_sidecars
from rawmm.errors import RawMMError, contract_error
from rawmm.images import ENGINE, ImageDecoding
from rawmm.media import IMAGE
from rawmm.model.types import MessageNode, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rawmm.describe.messages import Keep
    from rawmm.errors import Path
    from rawmm.layouts import Layout
    from rawmm.store import ImageReader


class DescribedNode(NamedTuple):
    """A node that got a sidecar, and the number of its images."""

    path: Path
    images: int


def describe_document(
    value: Any,
    layout: str | Layout,
    *,
    image_token_ids: int | Iterable[int] | None = None,
    store: ImageReader | None = None,
    keep: Keep | None = None,
    decoding: ImageDecoding = ENGINE,
) -> tuple[Any, list[DescribedNode]]:
    """Return a trace, an episode, a list of either, or the nodes of a trace, with sidecars.

    Args:
        value: plain data; it is not changed. Other values are returned as they are.
        layout: the model's image layout, or its family for the default parameters.
        image_token_ids: as for `describe_trace`.
        store: where stored images are looked for first.
        keep: see `MessageImages`.
        decoding: as for `describe_trace`.

    Returns:
        The document, and the nodes that got a sidecar.

    Raises:
        RawMMError: as `describe_trace`; ``parent_order`` for a node that is not a root and stands
            alone. Paths are those in the document.
    """
    images = MessageImages(layout_from(layout), store=store, keep=keep, decoding=decoding)
    ids = checked_token_ids(image_token_ids)
    described: list[DescribedNode] = []

    def with_nodes(graph: dict[str, Any], path: Path) -> dict[str, Any]:
        try:
            before = convert(graph, Trace)
            after = with_sidecars(before, images, ids)
        except RawMMError as error:
            refusal = error.at(path)
        else:
            return _merged(graph, before, after, path, described)
        raise refusal

    return _walk(value, (), with_nodes), described


def _walk(value: Any, path: Path, change: Callable[[dict[str, Any], Path], Any]) -> Any:
    """`value` with `change` applied to every message graph in it."""
    if isinstance(value, dict):
        if isinstance(value.get("nodes"), list):
            return change(value, path)
        if isinstance(value.get("traces"), list):
            return {**value, "traces": _walk(value["traces"], (*path, "traces"), change)}
        if _is_node(value):
            return _lone(value, path, change)
    if isinstance(value, list):
        if value and all(map(_is_node, value)):
            return _of_nodes(value, path, change)
        return [_walk(one, (*path, index), change) for index, one in enumerate(value)]
    return value


def _of_nodes(
    nodes: list[Any], path: Path, change: Callable[[dict[str, Any], Path], Any]
) -> list[Any]:
    """A list of nodes, as the nodes of a trace."""
    try:
        changed: list[Any] = change({"nodes": nodes}, ())["nodes"]
    except RawMMError as error:
        refusal = error.at(path, path="$" + error.path.removeprefix("$.nodes"))
    else:
        return changed
    raise refusal


def _lone(node: dict[str, Any], path: Path, change: Callable[[dict[str, Any], Path], Any]) -> Any:
    if node.get("parent") is not None and node.get("multi_modal_data") is None and _shows(node):
        raise contract_error(
            "parent_order",
            (*path, "parent"),
            expected="null, the parent of a node that stands alone",
            got="another node's index",
            hint="give the whole trace: the ranges of images count from its first token",
        )
    if node.get("parent") is not None:
        return node
    try:
        return _of_nodes([node], (), change)[0]
    except RawMMError as error:
        refusal = error.at(path, path="$" + error.path.removeprefix("$[0]"))
    raise refusal


def _shows(node: dict[str, Any]) -> bool:
    """Whether a node has an image and tokens."""
    checked = convert(node, MessageNode)
    return bool(len(checked.token_ids)) and bool(IMAGE.urls(checked.message))


def _merged(
    graph: dict[str, Any],
    before: Trace,
    after: Trace,
    path: Path,
    described: list[DescribedNode],
) -> dict[str, Any]:
    """The plain graph with the sidecars and the map of `after`."""
    if after is before:
        return graph
    nodes = []
    for index, (node, old, new) in enumerate(
        zip(graph["nodes"], before.nodes, after.nodes, strict=True)
    ):
        if new is old or new.multi_modal_data is None:
            nodes.append(node)
            continue
        nodes.append({**node, "multi_modal_data": to_builtins(new.multi_modal_data)})
        images = len(new.multi_modal_data.mm_items[IMAGE.name])
        described.append(DescribedNode((*path, "nodes", index), images))
    merged = {**graph, "nodes": nodes}
    if after.mm_token_type_id_map != before.mm_token_type_id_map:
        merged["mm_token_type_id_map"] = after.mm_token_type_id_map
    return merged


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "message" in value and "nodes" not in value
