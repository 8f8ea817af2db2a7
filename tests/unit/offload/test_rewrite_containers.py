"""Offload in every kind of container: changed, undone on errors, refused."""

from __future__ import annotations

import collections
import collections.abc
import copy
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic
import pytest

import rawmm.model.types
from rawmm.errors import OffloadError
from rawmm.offload import ImageOffloadStats, offload_images_inplace
from rawmm.store import ImageStore
from tests.unit.images.pictures import assert_silent, part, picture, temporary_files, url_of
from tests.unit.offload.typed_parts import (
    CONTAINERS,
    DICTS,
    TYPED,
    FrozenClassPart,
    FrozenClassSource,
    FrozenMessage,
    FrozenPart,
    FrozenSource,
    Message,
    Named,
    Open,
    Renamed,
    StringPart,
    StructSource,
    Validated,
    image_url_of,
    parts_in,
)
from tests.zoo import Forged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = TYPED | DICTS


def all_parts() -> list[Any]:
    return [make(url_of(seed=seed)) for seed, make in enumerate(PARTS.values())]


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_every_part_in_every_container_is_rewritten(
    container: Callable[[list[Any]], Any], root: Path
) -> None:
    value = container(all_parts())
    kinds = [type(each) for each in parts_in(value)]
    stats = offload_images_inplace(value, image_dir=root)
    assert stats.images_rewritten == len(PARTS)
    found = parts_in(value)
    assert [type(each) for each in found] == kinds
    store = ImageStore(root)
    for seed, each in enumerate(found):
        assert store.read(image_url_of(each)) == picture(seed=seed)
        if isinstance(each, dict):
            assert each["type"] == "image_url"
            assert "image" not in each


class _Refusing(dict[str, Any]):
    """Refuses assignment, and quotes its value in the message."""

    def __setitem__(self, key: str, value: Any) -> None:
        if str(value).startswith("file:"):
            raise TypeError(f"no {value} for {self}")
        super().__setitem__(key, value)

    def clear(self) -> None:
        raise TypeError("no")


LAST = {
    "bad data": lambda: (part(url_of(seed=99)[:-1]), "bad_base64"),
    "web": lambda: (part("https://x.y/z"), "bad_locator"),
    "no url": lambda: ({"type": "image"}, "wrong_type"),
    "refuses to change": lambda: (
        {"type": "image_url", "image_url": _Refusing(url=url_of(seed=99))},
        "wrong_type",
    ),
    "validator refuses": lambda: (Validated(image=url_of(seed=99)), "wrong_type"),
    "cannot be written": lambda: (part(url_of(seed=99)), "store_failed"),
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("last", LAST.values(), ids=LAST)
def test_failure_in_the_last_part_changes_nothing(
    last: Callable[[], tuple[Any, str]], container: Callable[[list[Any]], Any], root: Path
) -> None:
    bad, code = last()
    if code == "store_failed":
        os.makedirs(root / ImageStore(root).prepare(url_of(seed=99)).raw_image_id)  # noqa: PTH103
    value = container([*all_parts(), bad])
    before = copy.deepcopy(value)
    objects = [id(each) for each in parts_in(value)]
    shown = repr(value)
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=root)
    assert caught.value.code == code
    assert_silent(caught.value, url_of(seed=99))
    assert value == before
    assert repr(value) == shown
    assert [id(each) for each in parts_in(value)] == objects
    assert not root.exists() or not temporary_files(root)


def test_interrupt_while_rewriting_is_undone_and_passed_on(root: Path) -> None:
    class Interrupting(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            raise KeyboardInterrupt

    value = [part(url_of()), {"type": "image", "image": url_of(seed=1)}, Interrupting()]
    value[2].update(type="image_url", image_url=url_of(seed=2))
    before = copy.deepcopy(value[:2])
    keys = list(value[1])
    with pytest.raises(KeyboardInterrupt):
        offload_images_inplace(value, image_dir=root)
    assert value[:2] == before
    assert list(value[1]) == keys
    assert value[2]["image_url"] == url_of(seed=2)


def test_refused_model_is_unchanged(root: Path) -> None:
    model = Validated(image=url_of())
    set_before = set(model.model_fields_set)
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace([model], image_dir=root)
    assert model.image == url_of()
    assert model.model_fields_set == set_before == {"image"}
    assert caught.value.path == "$[0].image"
    assert caught.value.__context__ is None


def test_default_that_was_changed_and_restored_is_unset_again(root: Path) -> None:
    class WithDefault(pydantic.BaseModel):
        type: str = "image"
        image: str = url_of()

    model = WithDefault()
    with pytest.raises(OffloadError):
        offload_images_inplace([model, Validated(image=url_of())], image_dir=root)
    assert model.model_fields_set == set()
    assert model.model_dump(exclude_unset=True) == {}


# --- frozen parts


@pytest.mark.parametrize(
    "value",
    [
        FrozenPart(image_url=FrozenSource(url=url_of())),
        (FrozenClassPart(FrozenClassSource(url_of())),),
        FrozenMessage((FrozenPart(image_url=FrozenSource(url=url_of())),)),
        Named(FrozenPart(image_url=FrozenSource(url=url_of())), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_is_written_without_a_mutable_parent(value: Any, root: Path) -> None:
    before = copy.deepcopy(value)
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=root)
    assert caught.value.code == "wrong_type"
    assert caught.value.path.endswith("image_url.url")
    assert "pass it in a list or dict, or convert it to dicts first" in str(caught.value)
    assert_silent(caught.value, url_of())
    assert value == before
    assert not root.exists()


def test_tuple_of_dict_parts_needs_no_parent(root: Path) -> None:
    value = (part(url_of()), ({"type": "image", "image": url_of()},))
    assert offload_images_inplace(value, image_dir=root).images_rewritten == 2


def test_unknown_tuple_class_cannot_be_rebuilt(root: Path) -> None:
    class Own(tuple[Any, ...]):
        __slots__ = ()

    value = [Own([FrozenPart(image_url=FrozenSource(url=url_of()))])]
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=root)
    assert caught.value.code == "wrong_type"
    assert not root.exists()


def test_frozen_part_in_two_places_is_replaced_in_both(root: Path) -> None:
    shared = FrozenClassPart(FrozenClassSource(url_of()))
    inner = (shared, "x")
    value: list[Any] = [{"a": shared}, inner, [(inner, shared)]]
    stats = offload_images_inplace(value, image_dir=root)
    assert stats.images_seen == 1
    new = value[0]["a"]
    assert new.image_url.url.startswith("file://")
    assert new.unrelated == 7
    assert value[1] == (new, "x")
    assert value[1][0] is new
    assert value[2][0][0] is value[1]
    assert value[2][0][1] is new
    assert shared.image_url.url == url_of()


def test_siblings_of_a_frozen_part_are_the_same_objects(root: Path) -> None:
    other = {"type": "text", "text": "x"}
    first, second = (FrozenPart(image_url=FrozenSource(url=url_of(seed=s))) for s in (1, 2))
    message = FrozenMessage((first, other, second))
    value = [message]
    offload_images_inplace(value, image_dir=root)
    assert value[0] is not message
    assert value[0].content[1] is other
    assert message.content == (first, other, second)


def test_frozen_objects_that_contain_themselves_are_refused(root: Path) -> None:
    message = FrozenMessage(FrozenPart(image_url=FrozenSource(url=url_of())))
    loop = FrozenMessage((message, None))
    object.__setattr__(message, "role", loop)
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace([loop], image_dir=root)
    assert caught.value.code == "wrong_type"


# --- sharing, cycles, depth


def test_cycles_end_and_shared_parts_count_once(root: Path) -> None:
    shared = part(url_of())
    value: dict[str, Any] = {"a": [shared], "b": {"c": shared}}
    value["self"] = value
    value["a"].append(value["a"])
    stats = offload_images_inplace(value, image_dir=root)
    assert stats == ImageOffloadStats(1, 1, 0, len(picture()), len(picture()))
    assert value["b"]["c"] is shared


def test_source_that_parts_share_is_stored_once(root: Path) -> None:
    source = {"url": url_of()}
    value = [{"type": "image_url", "image_url": source} for _ in range(3)]
    stats = offload_images_inplace(value, image_dir=root)
    assert (stats.images_seen, stats.images_deduplicated) == (3, 2)
    assert source["url"].startswith("file://")


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}, Message])
def test_part_below_100000_levels_is_rewritten(wrap: Callable[[Any], Any], root: Path) -> None:
    innermost = part(url_of())
    value: Any = innermost
    for _ in range(100_000):
        value = wrap(value)
    assert offload_images_inplace([value], image_dir=root).images_rewritten == 1
    assert innermost["image_url"]["url"].startswith("file://")
    innermost["image_url"]["url"] = "s3://x"
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace([value], image_dir=root)
    assert caught.value.path.count(".") + caught.value.path.count("[") >= 100_000
    # Comparing or printing a value this deep would recurse; let it go level by level.
    while isinstance(value, (list, tuple, Message)) or (isinstance(value, dict) and "a" in value):
        value = value.content if isinstance(value, Message) else (
            value["a"] if isinstance(value, dict) else value[0]
        )  # fmt: skip


@pytest.mark.slow
def test_frozen_part_below_100000_tuples_is_replaced(root: Path) -> None:
    value: Any = FrozenPart(image_url=FrozenSource(url=url_of()))
    for _ in range(100_000):
        value = (value,)
    holder = [value]
    assert offload_images_inplace(holder, image_dir=root).images_rewritten == 1
    value = holder.pop()
    while isinstance(value, tuple):
        (value,) = value
    assert value.image_url.url.startswith("file://")


# --- particular containers


def test_parts_of_rawmm_messages_are_rewritten(root: Path) -> None:
    s = rawmm.model.types
    node = s.MessageNode(
        parent=None,
        message=s.UserMessage(
            content=[
                s.TextContentPart(text="x"),
                s.ImageUrlContentPart(image_url=s.ImageUrlSource(url=url_of())),
            ]
        ),
        sampled=False,
    )
    trace = s.Trace(nodes=[node])
    assert offload_images_inplace(trace, image_dir=root).images_rewritten == 1
    url = trace.nodes[0].message.content[1].image_url.url  # type: ignore[union-attr, index]
    assert ImageStore(root).read(url) == picture()
    trace.nodes[0].message.content[1].image_url.url = "s3://x"  # type: ignore[union-attr, index]
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(trace, image_dir=root)
    assert caught.value.path == "$.nodes[0].message.content[1].image_url.url"


def test_unknown_properties_of_an_open_struct_are_searched(root: Path) -> None:
    trace = rawmm.decode_json(
        msgspec.json.encode({"nodes": [], "unknown": {"prompt": [part("s3://x")]}}),
        rawmm.model.types.Trace,
    )
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(trace, image_dir=root)
    assert caught.value.path == "$.unknown.prompt[0].image_url.url"


def test_paths_use_the_names_of_the_wire(root: Path) -> None:
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace([Renamed(StructSource("s3://x"))], image_dir=root)
    assert caught.value.path == "$[0].image_url.url"
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace([Renamed()], image_dir=root)
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$[0].image_url")


def test_keys_that_are_not_plain_are_quoted_in_the_path(root: Path) -> None:
    value = {"a b": {3: [{("x", 1): [StringPart("s3://x")]}]}}
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=root)
    assert caught.value.path == '$["a b"]["3"][0]["(\'x\', 1)"][0].image'


def test_subclasses_of_dict_and_list_are_changed_in_place(root: Path) -> None:
    filled = collections.defaultdict(lambda: pytest.fail("filled"), role="user")
    ordered = collections.OrderedDict(type="image", image=url_of(), text=None)
    value = collections.UserList([1]), [filled, ordered]
    offload_images_inplace(value, image_dir=root)
    assert dict(filled) == {"role": "user"}
    assert list(ordered) == ["type", "text", "image_url"]


def test_undo_restores_the_order_of_an_ordered_dict(root: Path) -> None:
    ordered = collections.OrderedDict(image=url_of(), type="image", text=None)
    with pytest.raises(OffloadError):
        offload_images_inplace([ordered, Validated(image=url_of())], image_dir=root)
    assert list(ordered.items()) == [("image", url_of()), ("type", "image"), ("text", None)]


def test_list_that_took_a_copy_gets_the_frozen_part_back(root: Path) -> None:
    class Refusing(list[Any]):
        def __setitem__(self, index: Any, value: Any) -> None:
            raise TypeError("no")

    parts = [FrozenPart(image_url=FrozenSource(url=url_of(seed=seed))) for seed in range(4)]
    # The order of changes is unspecified, so there is a list on either side.
    value: list[Any] = [[parts[0]], (Message((parts[1],)), Refusing([parts[2]])), [parts[3]]]
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=root)
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$[1][1][0].image_url.url")
    found = [value[0][0], value[1][0].content[0], value[1][1][0], value[2][0]]
    assert [id(each) for each in found] == [id(each) for each in parts]


def test_extra_fields_of_a_model_are_changed_and_restored(root: Path) -> None:
    model = Open.model_validate({"role": "user", "type": "image", "image": url_of(), "n": 1})
    before = model.model_copy(deep=True)
    with pytest.raises(OffloadError):
        offload_images_inplace([model, Validated(image=url_of())], image_dir=root)
    assert model == before
    assert model.model_fields_set == before.model_fields_set
    offload_images_inplace(model, image_dir=root)
    assert model.model_extra is not None
    assert model.model_extra["image"].startswith("file://")
    assert model.model_extra["n"] == 1


def test_unset_field_of_a_struct_is_like_null(root: Path) -> None:
    class Either(msgspec.Struct):
        type: str
        image: str | msgspec.UnsetType = msgspec.UNSET
        image_url: StructSource | msgspec.UnsetType = msgspec.UNSET

    value = [Either("image", url_of()), Either("image_url", image_url=StructSource(url_of()))]
    assert offload_images_inplace(value, image_dir=root).images_rewritten == 2
    assert value[0].image_url is msgspec.UNSET


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: {"x": [one]}])
def test_mapping_that_cannot_be_read_is_refused(wrap: Any, tmp_path: Path) -> None:
    class Failing(collections.UserDict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise RuntimeError(f"{key} of {self.data}")

    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(wrap(Failing(a=part(url_of()))), image_dir=tmp_path)
    assert caught.value.code == "wrong_type"
    assert_silent(caught.value, url_of())
    assert caught.value.__context__ is None


def test_mapping_or_deque_around_a_changed_list_is_kept(tmp_path: Path) -> None:
    value: Any = collections.UserDict(messages=collections.deque([{"content": [part(url_of())]}]))
    assert offload_images_inplace(value, image_dir=tmp_path).images_rewritten == 1
    assert value["messages"][0]["content"][0]["image_url"]["url"].startswith("file://")


class Registered:
    """A mapping by registration only."""

    def __init__(self, **items: Any) -> None:
        self._items = items

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Any:
        return iter(self._items)


collections.abc.Mapping.register(Registered)


def test_registered_mapping_is_searched(tmp_path: Path) -> None:
    value = Registered(messages=[{"content": [part(url_of())]}])
    assert offload_images_inplace(value, image_dir=tmp_path).images_rewritten == 1


@pytest.mark.parametrize("kind", [dict, list, tuple, msgspec.Struct, Message, type])
def test_object_with_a_forged_class_is_not_a_container(kind: type, tmp_path: Path) -> None:
    value = [Forged(kind), {"content": [part(url_of())]}]
    assert offload_images_inplace(value, image_dir=tmp_path).images_rewritten == 1


@pytest.mark.parametrize(
    "around", [lambda one: collections.UserDict(x=one), lambda one: MappingProxyType({"x": one})]
)
def test_mapping_that_would_have_to_change_is_refused(around: Any, tmp_path: Path) -> None:
    value = [around(MappingProxyType({"type": "image", "image": url_of()}))]
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace(value, image_dir=tmp_path)
    assert (caught.value.code, caught.value.path) == ("wrong_type", "$[0].x.image")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", [b"k", None, 1.5])
def test_image_under_a_key_that_is_no_string_has_a_path(key: Any, tmp_path: Path) -> None:
    """MessagePack has such keys."""
    with pytest.raises(OffloadError) as caught:
        offload_images_inplace({key: url_of()}, image_dir=tmp_path)
    assert caught.value.code == "unknown_image_form"
    assert str(key) in caught.value.path
