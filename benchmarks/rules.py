"""Time of each rule per object, and of the walk through payloads."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import rawmm
from benchmarks import data, reference
from benchmarks.harness import at_most, growth, race, single
from rawmm.rules.registry import RULES
from rawmm.values.payload import Mode, is_clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Row, Settings


def run(settings: Settings) -> Iterator[Row]:
    """Time the fast check of each rule on an object of a rollout, and the walk at several sizes."""
    for name, one in _subjects(settings).items():
        call = partial(RULES[name].fast(), one)
        timed = race({"rule": call}, settings)
        what = f"{name}, on one {type(one).__name__}"
        yield single("rules", what, timed.median("rule") * 1e6, "µs")
    sizes = settings.pick((10, 100, 1000, 10_000, 100_000), (10, 100, 1000))
    yield growth("walk", "time over the values of a payload", sizes, _walk, settings, at_most(1.1))
    values = data.payload(settings.pick(1000, 10))
    timed = race(
        {
            "rawmm": partial(is_clean, values, Mode.DESCRIPTOR),
            "reference": partial(reference.check_raw, values),
        },
        settings,
    )
    yield timed.row("walk", "1,000 values: times as fast as the reference", "reference", "rawmm")


def _walk(values: int) -> Callable[[], object]:
    return partial(is_clean, data.payload(values), Mode.DESCRIPTOR)


def _subjects(settings: Settings) -> dict[str, Any]:
    """An object for each rule."""
    trace: Any = rawmm.convert(data.trace(settings.pick(20, 2)), rawmm.Trace)
    prompt, reply = trace.nodes[:2]
    sidecar = prompt.multi_modal_data
    item = sidecar.mm_items["image"][0]
    tool = rawmm.Tool(name="click", description="", parameters={"type": "object", "properties": {}})
    features = rawmm.GenerateFeatures(
        mm_hashes=sidecar.mm_hashes, mm_placeholders=sidecar.mm_placeholders
    )
    sha, where = sidecar.mm_hashes["image"][0], sidecar.mm_placeholders["image"][0]
    url = prompt.message.content[1].image_url.url
    parts = [rawmm.to_builtins(item), sha, url, where.offset, where.length]
    refs: Any = rawmm.convert([[parts]], rawmm.MMRefs)
    sampled = len(reply.token_ids)
    mask = rawmm.SamplingMask(
        ids=_array("int32", [7] * 4 * sampled), counts=_array("int32", [4] * sampled)
    )
    top = rawmm.TopLogprobs(
        ids=mask.ids, logprobs=_array("float32", [-0.5] * 4 * sampled), counts=mask.counts
    )
    reply = rawmm.replace(
        reply,
        weight_versions=[{"version": "1", "start": 0, "end": reply.mask.count(True)}],
    )
    packed: Any = rawmm.decode_msgpack(rawmm.encode_msgpack(trace, packed=True), rawmm.Trace)
    ref = rawmm.RawMMRef(
        family=item.family,
        fingerprint=item.layout_fingerprint,
        modality="image",
        mm_hash=sha,
        raw_image_uri=url,
    )
    objects = (
        *(
            item,
            sidecar,
            reply,
            tool,
            trace,
            features,
            ref,
            refs.images[0],
            refs,
            mask.ids,
            mask,
            top,
        ),
        packed.nodes[0].token_ids,
    )
    first = {rule: one for one in reversed(objects) for rule in type(one).__rules__}
    return first | {"images": prompt}


def _array(dtype: Literal["int32", "float32"], values: list[Any]) -> rawmm.EncodedArray:
    data = struct.pack(f"<{len(values)}{dtype[0]}", *values)
    return rawmm.EncodedArray(dtype=dtype, shape=[len(values)], data=data)
