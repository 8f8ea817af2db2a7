"""Build the training samples of a trace, one for each branch of its message graph."""

from __future__ import annotations

import os
from collections import Counter
from copy import copy
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rawmm.codec import convert
from rawmm.describe import describe_trace
from rawmm.errors import RawMMError, contract_error, counted, raise_alone, shown
from rawmm.graph import Branch, branches, media_count, read, stream_of
from rawmm.images import ENGINE, ImageDecoding, prepare_image
from rawmm.locators import scheme_of
from rawmm.media import IN_MESSAGES, media_urls
from rawmm.model.types import MessageNode, Trace
from rawmm.real_class import is_a
from rawmm.store import checked_store, open_store, put_image
from rawmm.trainer import experts
from rawmm.trainer.mm_refs import build_mm_refs
from rawmm.trainer.sample import TrainingSample, sample_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from rawmm.layouts import Layout
    from rawmm.model.types import EncodedArray, MMRefs, MultiModalData, RawMMItem
    from rawmm.store import Store

_WEIGHTS: Final = ("rl", "ce", "ref_kl")
_NONE: Final[frozenset[int]] = frozenset()


def samples_from(
    trace: Any,
    *,
    layout: str | Layout | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    store: Store | None = None,
    to_uri: Callable[[str], str] | None = None,
    image_token_ids: int | Iterable[int] | None = None,
    decoding: ImageDecoding = ENGINE,
    env_name: str = "",
    temperature: float = 1.0,
) -> list[TrainingSample]:
    """The training samples of a trace, one for each branch, in the order of the branches.

    A sampled node trains once, as in prime-rl: its tokens are true in the mask of the first branch
    that has it. In later branches they are context, with false in the mask; their other streams,
    such as log-probabilities, stay. In the same way the loss weights of a node count in the first
    branch only. Left out are branches that are not trainable, and those that train nothing: no
    token of their masks is true, and no loss weight ``ce`` or ``ref_kl`` is left. The first branch
    is the first one that is not left out.

    Args:
        trace: a `Trace`, or a value that converts to it. It is not changed.
        layout: the model's image layout, or its family for the default parameters. It describes
            the images of a record without sidecars, as `rawmm.describe_trace` does. A record with
            sidecars needs none.
        image_dir: the image directory; see `build_mm_refs`. Inline images are stored in it.
        store: a store instead of `image_dir`.
        to_uri: a function from an id to a URI, instead of both.
        image_token_ids: placeholder tokens of images, for a record without sidecars whose
            ``mm_token_type_id_map`` names none.
        decoding: how the engine decoded images, for a record without sidecars.
        env_name: the environment of the rollout.
        temperature: the sampling temperature of the rollout.

    Raises:
        ContractError, ProcessedPayloadError: as `sample_from`. A path outside of
            ``$.nodes`` begins with the branch: ``$.branches[1].mm_refs``.
        OffloadError, MaterializeError: an image is missing, invalid, or cannot be stored.
        TypeError: both `store` and `image_dir` are given.
    """
    images = _Images(image_dir, store, to_uri)
    checked = convert(trace, Trace)
    if layout is not None:
        checked = images.described(checked, layout, image_token_ids, decoding)
    trained: dict[str, set[int]] = {name: set() for name in ("mask", *_WEIGHTS)}
    samples = []
    for branch in branches(checked):
        if not branch.trainable:
            continue
        nodes = dict(zip(branch.node_ids, branch.nodes, strict=True))
        masks = _masks(nodes)
        fresh = _untrained(nodes, masks, trained)
        if not any(fresh[name] for name in ("mask", "ce", "ref_kl")):
            continue
        own = (one if i in fresh["mask"] else [False] * len(one) for i, one in masks.items())
        try:
            sample = _sample(
                branch,
                images,
                mask=list(chain.from_iterable(own)),
                seen=trained,
                env_name=env_name,
                temperature=temperature,
            )
        except RawMMError as error:
            inside = error.path.startswith("$.nodes")
            raise_alone(error.at(() if inside else ("branches", branch.index)))
        for name, found in fresh.items():
            trained[name] |= found
        samples.append(sample)
    return samples


def sample_from(
    branch: Branch,
    *,
    layout: str | Layout | None = None,
    image_dir: str | os.PathLike[str] | None = None,
    store: Store | None = None,
    to_uri: Callable[[str], str] | None = None,
    image_token_ids: int | Iterable[int] | None = None,
    decoding: ImageDecoding = ENGINE,
    env_name: str = "",
    temperature: float = 1.0,
    mask: Sequence[bool] | None = None,
) -> TrainingSample:
    """The training sample of a branch: its tokens, their streams, and references to its media.

    ``ref_logprobs`` and ``advantages`` come from the nodes, with 0.0 for tokens of nodes without
    them. ``rl_weights``, ``ce_weights`` and ``ref_kl_weights`` are the nodes' loss weights ``rl``,
    ``ce`` and ``ref_kl``. Each is None if no node has it. Expert routing is None unless every node
    with tokens has it. Two calls train a node that both branches share twice; see `samples_from`.

    Args:
        branch: one of `rawmm.graph.branches`.
        layout: the model's image layout, for a record without sidecars; see `samples_from`.
        image_dir: the image directory; see `build_mm_refs`. Inline images are stored in it.
        store: a store instead of `image_dir`.
        to_uri: a function from an id to a URI, instead of both.
        image_token_ids: placeholder tokens of images, for a record without sidecars whose
            ``mm_token_type_id_map`` names none.
        decoding: how the engine decoded images, for a record without sidecars.
        env_name: the environment of the rollout.
        temperature: the sampling temperature of the branch.
        mask: for each token whether it trains; by default sampled tokens train.

    Raises:
        ContractError: ``count_mismatch`` if the number of media in messages and sidecars differ,
            as in records without sidecars if there is no `layout`; ``bad_locator`` for an inline
            image without `image_dir` and `store`; the errors of `rawmm.describe_trace`; the errors
            of `build_mm_refs`, with ``path`` in the branch's ``multi_modal_data``; and the errors
            of `as_sample`.
        ProcessedPayloadError: an item is not raw.
        OffloadError, MaterializeError: an image is missing, invalid, or cannot be stored.
        TypeError: both `store` and `image_dir` are given.
    """
    images = _Images(image_dir, store, to_uri)
    if not is_a(branch, Branch):
        raise contract_error(
            "wrong_type",
            (),
            expected="a Branch",
            got=shown(branch),
            hint="rawmm.graph.branches(trace) returns them",
        )
    if layout is not None:
        branch = images.described(branch, layout, image_token_ids, decoding)
    return _sample(branch, images, mask=mask, env_name=env_name, temperature=temperature)


def _sample(
    branch: Branch,
    images: _Images,
    *,
    mask: Sequence[bool] | None,
    seen: Mapping[str, Collection[int]] | None = None,
    env_name: str,
    temperature: float,
) -> TrainingSample:
    """The sample of a branch. `seen` are the nodes whose loss weights count elsewhere, by name."""
    nodes = _checked(branch)
    sidecar = branch.multi_modal_data
    _check_counts(branch, nodes, sidecar)
    token_ids = branch.token_ids
    values: dict[str, Any] = {
        "token_ids": token_ids,
        "mask": branch.mask if mask is None else mask,
        "logprobs": branch.logprobs,
        "temperatures": [temperature] * len(token_ids),
        "env_name": env_name,
        "ref_logprobs": _spread(branch, "reference_logprobs"),
        "mm_refs": images.refs(sidecar),
        "routed_experts": _routed(nodes),
        "mm_token_type_ids": branch.mm_token_type_ids,
        "advantages": _spread(branch, "advantages"),
    }
    for name in _WEIGHTS:
        values[f"{name}_weights"] = _weights(nodes, name, _NONE if seen is None else seen[name])
    return sample_of(values, lambda name: (name,))


class _Images:
    """Where the images of samples are.

    Args:
        image_dir, store, to_uri: as in `samples_from`.

    Raises:
        TypeError, ContractError: more than one of them, or a wrong one.
    """

    def __init__(
        self,
        image_dir: str | os.PathLike[str] | None,
        store: Store | None,
        to_uri: Callable[[str], str] | None,
    ) -> None:
        self._given = checked_store(image_dir, store)
        self._image_dir = image_dir
        self._place = self._given if image_dir is None else image_dir
        self._to_uri = to_uri
        if store is not None:
            if to_uri is not None:
                raise contract_error(
                    "bad_value", (), expected="store or to_uri", got="both", hint="pass one of them"
                )
            self._to_uri = self._in_store
        self._stored: dict[str, str] = {}

    def described(
        self, of: Any, layout: str | Layout, token_ids: Any, decoding: ImageDecoding
    ) -> Any:
        """A trace or branch with sidecars."""
        return describe_trace(
            of,
            layout,
            image_token_ids=token_ids,
            image_dir=self._image_dir,
            store=self._given,
            decoding=decoding,
        )

    def refs(self, sidecar: MultiModalData | None) -> MMRefs | None:
        """References to the media of a sidecar. Inline images are stored if there is a place."""
        try:
            if self._place is not None and sidecar is not None:
                sidecar = self._without_inline(sidecar)
            return build_mm_refs(sidecar, image_dir=self._image_dir, to_uri=self._to_uri)
        except RawMMError as error:
            hint = error.hint
            if error.code == "bad_locator" and self._place is None and _has_inline(sidecar):
                hint = "pass image_dir= or store=, where inline images are stored"
            refusal = error.at(("multi_modal_data",), hint=hint)
        raise refusal

    def _in_store(self, raw_image_id: str) -> str:
        assert self._given is not None
        root = self._given.root
        if is_a(root, os.PathLike):
            return (Path(root) / raw_image_id).as_uri()
        return f"{str(root).removesuffix('/')}/{raw_image_id}"

    def _writable(self) -> Store:
        if self._image_dir is not None:
            return open_store(self._image_dir)
        assert self._given is not None  # called only if there is a place
        return self._given

    def _without_inline(self, sidecar: MultiModalData) -> MultiModalData:
        """A sidecar whose inline images are in the store."""
        out = copy(sidecar)
        out.mm_items = {
            modality: [
                self._stored_item(item, ("mm_items", modality, index))
                for index, item in enumerate(items)
            ]
            for modality, items in sidecar.mm_items.items()
        }
        return out

    def _stored_item(self, item: RawMMItem, path: tuple[str | int, ...]) -> RawMMItem:
        url = item.raw_image_uri
        if url is None or scheme_of(url) != "data":
            return item
        name = self._stored.get(url)
        if name is None:
            try:
                store = self._writable()
                name = put_image(store, prepare_image(url, store.limits)).raw_image_id
            except RawMMError as error:
                raise_alone(error.at((*path, "raw_image_uri"), path="$"))
            self._stored[url] = name
        out = copy(item)
        out.raw_image_uri, out.raw_image_id = None, name
        return out


def _has_inline(sidecar: MultiModalData | None) -> bool:
    items = chain.from_iterable(sidecar.mm_items.values()) if sidecar is not None else ()
    return any(scheme_of(item.raw_image_uri or "") == "data" for item in items)


def _masks(nodes: Mapping[int, MessageNode]) -> dict[int, list[bool]]:
    return {
        index: stream_of(node.mask, "TokenFlags", ("nodes", index, "mask"))
        for index, node in nodes.items()
    }


def _untrained(
    nodes: Mapping[int, MessageNode],
    masks: Mapping[int, list[bool]],
    trained: Mapping[str, set[int]],
) -> dict[str, set[int]]:
    """The nodes of a branch that train in it first, by mask and by loss weight."""
    fresh = {name: nodes.keys() - seen for name, seen in trained.items()}
    trains = {"mask": {index for index in fresh["mask"] if any(masks[index])}}
    for name in _WEIGHTS:
        trains[name] = {
            index for index in fresh[name] if any((nodes[index].loss_weights or {}).get(name) or ())
        }
    return trains


def _checked(branch: Branch) -> dict[int, MessageNode]:
    """The nodes of a branch by index, checked again, because they may have been assigned to."""
    return {
        index: read(node, MessageNode, "nodes", index)
        for index, node in zip(branch.node_ids, branch.nodes, strict=True)
    }


def _check_counts(
    branch: Branch, nodes: dict[int, MessageNode], sidecar: MultiModalData | None
) -> None:
    """Check that sidecars describe all media: inline ones without a descriptor would be lost."""
    parts = Counter[str]()
    for message in branch.messages:
        parts.update(media_count(message))
    for modality in IN_MESSAGES:
        items = len(sidecar.mm_items.get(modality, ())) if sidecar is not None else 0
        if parts[modality] != items:
            lost = (index for index, node in nodes.items() if _without_stored_items(node))
            index = next(lost, None)
            raise contract_error(
                "count_mismatch",
                ("multi_modal_data", "mm_items", modality)
                if index is None
                else ("nodes", index, "multi_modal_data"),
                expected=f"{counted(parts[modality], f'{modality} item')}, one per {modality} part "
                "of the messages",
                got=str(items),
                hint="pass layout=, the model's image layout, or offload and describe the images"
                if sidecar is None
                else f"the trainer needs a descriptor of every {modality}",
            )


def _without_stored_items(node: MessageNode) -> bool:
    """Whether a node with tokens refers to stored media and has no sidecar."""
    if node.multi_modal_data is not None or not node.token_ids:
        return False
    return not all(url.startswith("data:") for url in media_urls(node.message))


def _spread(branch: Branch, name: str) -> list[float] | None:
    if all(getattr(node, name) is None for node in branch.nodes):
        return None
    return branch.spread(name)


def _weights(
    nodes: Mapping[int, MessageNode], name: str, seen: Collection[int]
) -> list[float] | None:
    own = [
        None if index in seen else (node.loss_weights or {}).get(name)
        for index, node in nodes.items()
    ]
    if all(one is None for one in own):
        return None
    return list(
        chain.from_iterable(
            [0.0] * len(node.token_ids) if weights is None else weights
            for node, weights in zip(nodes.values(), own, strict=True)
        )
    )


def _routed(nodes: dict[int, MessageNode]) -> EncodedArray | None:
    parts = []
    for index, node in nodes.items():
        if node.token_ids:
            if node.routed_experts is None:
                return None
            parts.append((node.routed_experts, ("nodes", index, "routed_experts")))
    return experts.joined(parts) if parts else None
