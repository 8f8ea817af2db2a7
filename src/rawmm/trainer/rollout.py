"""Build the training sample of a branch of the message graph."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any

from rawmm.errors import RawMMError, contract_error, counted, shown
from rawmm.graph import Branch, media_count, read
from rawmm.media import IN_MESSAGES, media_urls
from rawmm.model.types import MessageNode
from rawmm.real_class import is_a
from rawmm.trainer import experts
from rawmm.trainer.mm_refs import build_mm_refs
from rawmm.trainer.sample import TrainingSample, sample_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from rawmm.model.types import EncodedArray, MMRefs, MultiModalData


def sample_from(
    branch: Branch,
    *,
    image_dir: str | os.PathLike[str] | None = None,
    to_uri: Callable[[str], str] | None = None,
    env_name: str = "",
    temperature: float = 1.0,
    mask: Sequence[bool] | None = None,
) -> TrainingSample:
    """The training sample of a branch: its tokens, their streams, and references to its media.

    ``ref_logprobs`` and ``advantages`` come from the nodes, with 0.0 for tokens of nodes without
    them. ``rl_weights``, ``ce_weights`` and ``ref_kl_weights`` are the nodes' loss weights ``rl``,
    ``ce`` and ``ref_kl``. Each is None if no node has it. Expert routing is None unless every node
    with tokens has it.

    Args:
        branch: one of `rawmm.graph.branches`.
        image_dir: the image directory; see `build_mm_refs`.
        to_uri: a function from an id to a URI, instead of `image_dir`.
        env_name: the environment of the rollout.
        temperature: the sampling temperature of the branch.
        mask: for each token whether it trains; by default sampled tokens train. A node that
            several branches share then trains in each of them.

    Raises:
        ContractError: ``count_mismatch`` if the number of media in messages and sidecars differ,
            as in records with inline images only; the errors of `build_mm_refs`, with
            ``path`` in the branch's ``multi_modal_data``; and the errors of `as_sample`.
        ProcessedPayloadError: an item is not raw.
    """
    if not is_a(branch, Branch):
        raise contract_error(
            "wrong_type",
            (),
            expected="a Branch",
            got=shown(branch),
            hint="rawmm.graph.branches(trace) returns them",
        )
    nodes = _checked(branch)
    sidecar = branch.multi_modal_data
    _check_counts(branch, nodes, sidecar)
    refs = _refs(sidecar, image_dir, to_uri)
    token_ids = branch.token_ids
    values: dict[str, Any] = {
        "token_ids": token_ids,
        "mask": branch.mask if mask is None else mask,
        "logprobs": branch.logprobs,
        "temperatures": [temperature] * len(token_ids),
        "env_name": env_name,
        "ref_logprobs": _spread(branch, "reference_logprobs"),
        "mm_refs": refs,
        "routed_experts": _routed(nodes),
        "mm_token_type_ids": branch.mm_token_type_ids,
        "advantages": _spread(branch, "advantages"),
    }
    for name in ("rl", "ce", "ref_kl"):
        values[f"{name}_weights"] = _weights(nodes, name)
    return sample_of(values, lambda name: (name,))


def _checked(branch: Branch) -> dict[int, MessageNode]:
    """The nodes of a branch by index, checked again, because they may have been assigned to."""
    return {
        index: read(node, MessageNode, "nodes", index)
        for index, node in zip(branch.node_ids, branch.nodes, strict=True)
    }


def _refs(
    sidecar: MultiModalData | None,
    image_dir: str | os.PathLike[str] | None,
    to_uri: Callable[[str], str] | None,
) -> MMRefs | None:
    try:
        return build_mm_refs(sidecar, image_dir=image_dir, to_uri=to_uri)
    except RawMMError as error:
        refusal = error.at(("multi_modal_data",))
    raise refusal


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
                hint=f"the trainer needs a descriptor of every {modality}: offload and describe "
                "them",
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


def _weights(nodes: dict[int, MessageNode], name: str) -> list[float] | None:
    own = [(node.loss_weights or {}).get(name) for node in nodes.values()]
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
