"""Odd objects in samples and micro-batches lead to a value or a `RawMMError`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from rawmm import build_mm_refs
from rawmm.graph import branches
from rawmm.trainer import (
    SAMPLE_FIELDS,
    MicroBatch,
    TrainingSample,
    as_sample,
    decode_sample,
    encode_sample,
    pack,
    sample_from,
    truncate,
    unpack,
)
from tests.cases import each, every
from tests.unit.graph.test_odd_values import Tried, odd_places
from tests.unit.graph.turns import with_images
from tests.unit.graph.zoo import MAKERS
from tests.unit.trainer.samples import experts, sample, sidecar

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = (*SAMPLE_FIELDS, "own", "reward")


SAMPLE: Final = sample(4, (1, 2), routed_experts=experts(4))
BATCH: Final = pack([sample(4, (1, 2)), sample(3)])


def whole() -> TrainingSample:
    """A sample with fields that may be replaced, but not changed in place."""
    return dataclasses.replace(SAMPLE, streams={"own": [1, 2, 3, 4]}, info={"reward": 1})


def written(value: Any) -> bytes:
    """The sample's bytes, checked to decode to the same sample."""
    data, whole = encode_sample(value, fields=FIELDS), as_sample(value)
    # Null and absent are equal on this transport.
    whole.info = {name: one for name, one in whole.info.items() if one is not None}
    decoded = decode_sample(data, fields=FIELDS)
    assert (decoded.streams, decoded.info) == (whole.streams, whole.info)
    assert encode_sample(decoded, fields=FIELDS) == data
    return data


def through_a_batch(value: Any) -> None:
    assert unpack(pack([value])) == [as_sample(value)]


USES: tuple[Callable[[Any], Any], ...] = (
    as_sample,
    lambda value: truncate(value, 3),
    through_a_batch,
    written,
)


@every(2)
@each("name", MAKERS)
def test_odd_objects_in_a_sample_give_a_value_or_an_error(name: str, step: int) -> None:
    """Each use gets every object, or one of `step`; the next use gets the next ones."""
    make, tried = MAKERS[name], Tried()
    for use in USES[list(MAKERS).index(name) % step :: step]:
        tried.call("a sample", use, make())
        for field in dataclasses.fields(TrainingSample):
            odd = whole()
            setattr(odd, field.name, make())
            tried.call(field.name, use, odd)
        for place, key in (("streams", "own"), ("info", "reward")):
            odd = whole()
            getattr(odd, place)[key] = make()
            tried.call(f"{place} {key}", use, odd)
        for place in ("streams", "info"):
            odd = whole()
            try:
                getattr(odd, place)[make()] = [1, 2, 3, 4]
            except Exception:  # noqa: BLE001  (an unhashable key)
                continue
            tried.call(f"a key of {place}", use, odd)
        document = {one.name: getattr(whole(), one.name) for one in dataclasses.fields(whole())}
        tried.call("a field of its own", use, document | {"more": make()})


def test_odd_objects_in_references_give_a_value_or_an_error() -> None:
    tried = Tried()
    for what, _, assign in odd_places(lambda: sample(4, (1, 2)).mm_refs):
        odd = sample(4, (1, 2))
        odd.mm_refs = assign()
        for use in USES:
            tried.call(what, use, odd)
    assert tried.outcomes["refused"] > 200


@each("name", MAKERS)
def test_odd_objects_in_a_batch_give_a_value_or_an_error(name: str) -> None:
    make, tried = MAKERS[name], Tried()
    for field in dataclasses.fields(MicroBatch):
        tried.call(field.name, unpack, dataclasses.replace(BATCH, **{field.name: make()}))
        if (entries := getattr(BATCH, field.name)) and isinstance(entries, list):
            odd = dataclasses.replace(BATCH, **{field.name: [make(), *entries[1:]]})
            tried.call(f"{field.name}[0]", unpack, odd)
    assert sum(tried.outcomes.values()) > 20


@each("name", MAKERS)
def test_odd_arguments_give_a_value_or_an_error(name: str) -> None:
    make, tried = MAKERS[name], Tried()
    for function in (as_sample, pack, unpack, decode_sample, encode_sample, sample_from):
        tried.call(function.__name__, function, make())
    tried.call("pack", pack, [make()])
    tried.call("truncate", truncate, sample(4, (1, 2)), make())
    tried.call("fields", encode_sample, sample(4), fields=make())
    urls = encode_sample(sample(4, (1, 2)), form="urls")
    for key in ("form", "inline", "store", "image_dir"):
        tried.call(key, encode_sample, sample(4, (1, 2)), **{"form": "urls"} | {key: make()})
    for key in ("form", "layout", "image_dir"):
        tried.call(key, decode_sample, urls, **{"form": "urls"} | {key: make()})
    tried.call("fields", decode_sample, encode_sample(sample(4)), fields=make())
    for key in ("image_dir", "num_tokens", "mm_token_type_ids", "to_uri"):
        if key == "to_uri" and callable(make()):
            continue  # it is called, and raises its own exceptions
        more = {} if key in ("image_dir", "to_uri") else {"image_dir": "/x"}
        tried.call(key, build_mm_refs, sidecar((1, 2)), **more | {key: make()})
    branch = branches(with_images())[0]
    for key in ("env_name", "temperature", "mask"):
        tried.call(key, sample_from, branch, image_dir="/x", **{key: make()})
