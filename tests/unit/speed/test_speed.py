"""The C part accepts common structs, and none that Python would refuse."""

from __future__ import annotations

import copy
import gc
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import build_speed
import rawmm
from benchmarks import data
from codegen import emit
from codegen.tables import text_of
from rawmm import media, native, schemas
from rawmm._digest import TABLES_DIGEST
from rawmm.model.types import PATTERNS, TYPES
from rawmm.rules import PER_SAMPLED, USES_C, MediaChecks, checking
from rawmm.validation import revalidate
from tests import differential

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

YES: Final = (1 | native.HAS_LISTS) * USES_C
"""The answer to a valid struct with lists. Without the C part, Python looks at each."""
YES_PACKED: Final = (1 | native.HAS_PACKED) * USES_C


@pytest.fixture
def asked() -> Iterator[None]:
    """Run the Python checks on each struct that C accepts."""
    before = len(differential.APART)
    differential.install()
    yield
    if not os.environ.get("RAWMM_DIFFERENTIAL"):
        differential.remove()
    assert differential.APART[before:] == []


def trace(*, packed: bool = False) -> rawmm.Trace:
    wire = rawmm.encode_msgpack(rawmm.convert(data.trace(2), rawmm.Trace), packed=packed)
    return rawmm.decode_msgpack(wire, rawmm.Trace)


def test_compiled_part_is_used_unless_pure_is_chosen() -> None:
    assert native.COMPILED == USES_C
    if os.environ.get("RAWMM_PURE") == "1":
        assert not USES_C


def test_pure_mode_is_chosen_by_the_environment() -> None:
    code = "from rawmm.rules import USES_C; print(USES_C)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "RAWMM_PURE": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("packed", [False, True])
def test_trace_of_a_rollout_is_judged_in_c(*, packed: bool) -> None:
    whole = trace(packed=packed)
    yes = YES_PACKED if packed else YES
    assert native.valid(whole) == yes
    assert [native.valid(node) for node in whole.nodes] == [yes] * len(whole.nodes)


def test_unknown_properties_are_told() -> None:
    whole = trace()
    whole.nodes[0].extra = {"note": [1, {"a": None}]}
    assert native.valid(whole) == (YES | native.HAS_EXTRA) * USES_C
    assert rawmm.decode_json(rawmm.encode_json(whole), rawmm.Trace) == whole


def test_common_outputs_of_an_engine_are_judged_in_c() -> None:
    node: Any = {
        "message": {"role": "assistant", "content": "a", "tool_calls": None},
        "sampled": True,
        "token_ids": [1, 2],
        "mask": [True, False],
        "logprobs": [-0.5],
        "loss_weights": {"a": [1.0, 0.5]},
        "weight_versions": [{"version": "7", "start": 0, "end": 1}],
        "routed_experts": {"__nd__": True, "dtype": "uint8", "shape": [2, 3], "data": b"abcdef"},
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.5},
    }
    assert native.valid(rawmm.convert(node, rawmm.MessageNode)) == YES


@pytest.mark.parametrize("name", sorted(TYPES))
def test_valid_vectors_are_judged_alike(name: str, asked: None) -> None:
    for vector in rawmm.schemas.conformance_vectors():
        if vector["type"] == name and "code" not in vector:
            native.valid(rawmm.decode_json(vector["document"], TYPES[name]))


@pytest.mark.parametrize("name", PER_SAMPLED)
def test_stream_without_a_value_for_each_sampled_token_is_not_accepted(name: str) -> None:
    """rules.c lists these fields, too."""
    node = rawmm.MessageNode(
        message=rawmm.AssistantMessage(content="a"), token_ids=[1, 2], mask=[True, False]
    )
    setattr(node, name, [0.5])
    assert native.valid(node) == YES
    setattr(node, name, [0.5, 0.5])
    assert native.valid(node) == 0


def test_registered_modality_is_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trace()
    monkeypatch.setitem(media.IN_MESSAGES, "sound", media.Modality(name="sound"))
    assert native.valid(whole) == 0
    monkeypatch.undo()
    monkeypatch.setitem(media.TOKEN_TYPES, 7, "sound")
    assert native.valid(whole) == 0
    assert native.valid(whole.nodes[0]) == YES


def test_checks_of_a_caller_are_left_to_python() -> None:
    whole = trace()
    with checking(MediaChecks(require_sidecars=True)):
        assert native.valid(whole) == 0
    assert native.valid(whole) == YES


def test_compiled_part_of_other_schemas_is_not_used(tmp_path: Path) -> None:
    copy = tmp_path / "rawmm"
    shutil.copytree(Path(rawmm.__file__).parent, copy)
    digest = copy / "_digest.py"
    digest.write_text(digest.read_text("utf-8").replace(TABLES_DIGEST, "0" * 16), "utf-8")
    code = (
        "import rawmm; from rawmm.native import COMPILED; print(rawmm.__file__, COMPILED)\n"
        "print(rawmm.RawMMItem(modality='image', family='f', payload={}).family)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == f"{copy / '__init__.py'} False\nf\n"


def test_digest_is_of_the_schemas_and_the_c_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So a file compiled before a change of either is not used."""
    assert emit.Emitter(schemas.annotated(), "v1").digest == TABLES_DIGEST
    sources = shutil.copytree(Path(build_speed.PACKAGE) / "_speed", tmp_path / "_speed")
    monkeypatch.setattr(emit, "_C_PART", sources)
    (sources / "notes.txt").write_text("no source")
    assert emit.Emitter(schemas.annotated(), "v1").digest == TABLES_DIGEST
    with (sources / "rules.c").open("a") as file:
        file.write("/* a change */\n")
    assert emit.Emitter(schemas.annotated(), "v1").digest != TABLES_DIGEST


class Text(str):
    """A text whose comparisons cannot be trusted."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


class Whole(int):
    """An integer that is not exactly an int."""


NESTED: Final[list[Any]] = []
NESTED.append(NESTED)
CYCLE: Final[dict[str, Any]] = {}
CYCLE["a"] = CYCLE
DEEP: Final[dict[str, Any]] = {}
for _ in range(70):
    DEEP["a"] = dict(DEEP)
ODD: Final[list[Any]] = [
    None, True, False, 0, 1, -1, 2**31, 2**32, 2**53 - 1, 2**53, -(2**53), 2**60, 2**63, 2**64, 10**30,
    0.0, -1.5, float("nan"), float("inf"), 1e300, 2.0**53, msgspec.UNSET, "", "a", "image", "\ud800", "é",
    "\u0130", "a" * 300, "../x", ".", "..", "a/b", "deadbeefdeadbeef", "DEADBEEFDEADBEEF", "0" * 64, "f" * 129,
    "file:///a/%61.png", "data:image/png;base64,AAAA", "mmraw:{}", b"", b"\0\1", b"\xff" * 8, [], [None], [True],
    [1], [0], [1.5], [float("nan")], [2**40], [-1], ["a"], [[]], {}, {"a": 1}, {"image": []}, {"image": [1]},
    {"pixel_values": 1}, {"PIXEL_VALUES": [1.5]}, {"__nd__": True}, {"\ud800": 1}, {"é": 1}, {1: 2}, {None: 1},
    {Text("image"): []}, Text("image"), Whole(1), (), (1,), NESTED, CYCLE, DEEP, {"151655": 1}, {"151655": 2},
    {"151655": 0}, {"01": 1}, {"4294967296": 1}, {"a": float("nan")}, {"a": b"x"}, {"a": 2**70}, object(),
    lambda: rawmm.PackedTokenIds.pack([1, 2]), lambda: rawmm.PackedFlags.pack([True]),
    lambda: rawmm.PackedFloats.pack([0.5]),
    lambda: rawmm.EncodedArray(dtype="int32", shape=[1], data=b"\0" * 4),
    lambda: rawmm.WeightVersion(version="1", start=0, end=1),
    lambda: rawmm.PlaceholderRange(offset=0, length=1), rawmm.MultiModalData,
    lambda: rawmm.UserMessage(content="a"),
    lambda: rawmm.Usage(prompt_tokens=1, completion_tokens=1),
]  # fmt: skip
"""Values that code may assign to a field, or functions that make them."""


def parts_of(value: Any) -> list[Any]:
    """Every struct, list and dict in a value of the contract."""
    found: list[Any] = []
    stack, seen = [value], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, msgspec.Struct):
            found.append(one)
            stack += [getattr(one, name, None) for name in type(one).__struct_fields__]
        elif type(one) is list:
            found.append(one)
            stack += one
        elif type(one) is dict:
            found.append(one)
            stack += one.values()
    return found


def spoil(draw: Any, part: Any) -> None:
    """Change one place of a struct, list or dict."""
    odd = draw(st.sampled_from(ODD))
    odd = odd() if callable(odd) else copy.deepcopy(odd)
    if isinstance(part, msgspec.Struct):
        name = draw(st.sampled_from(type(part).__struct_fields__))
        if type(part).__struct_config__.frozen:
            msgspec.structs.force_setattr(part, name, odd)
        elif draw(st.integers(0, 20)):
            setattr(part, name, odd)
        else:
            with suppress(AttributeError):  # of an optional field
                delattr(part, name)
    elif type(part) is list:
        action = draw(st.sampled_from(["set", "append", "pop", "repeat"]))
        if action == "append" or not part:
            part.append(odd)
        elif action == "pop":
            part.pop()
        elif action == "repeat":
            part.append(part[-1])
        else:
            part[draw(st.integers(0, len(part) - 1))] = odd
    elif draw(st.booleans()) and part:
        part[draw(st.sampled_from(list(part)))] = odd
    else:
        part[draw(st.sampled_from(["image", "a", "extra", "é", "pixel_values", "__nd__"]))] = odd


def small_trace(draw: Any) -> rawmm.Trace:
    """A valid trace with few tokens, so that a change often hits what a rule reads."""
    sha, packed = "0123456789abcdef" * 4, draw(st.booleans())
    item = rawmm.RawMMItem(
        modality="image", family="f", payload={"grid": [[1, 2, 2]]}, raw_image_id=f"{sha}.png"
    )
    sidecar = rawmm.MultiModalData(
        mm_hashes={"image": [sha[:32]]},
        mm_placeholders={"image": [rawmm.PlaceholderRange(offset=1, length=2)]},
        mm_items={"image": [item]},
    )
    parts: Any = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": f"file:///x/{sha}.png"}},
    ]
    first: dict[str, Any] = {
        "message": {"role": "user", "content": parts},
        "token_ids": [5, 9, 9, 6],
        "mask": [False] * 4,
    }
    if draw(st.booleans()):
        first["multi_modal_data"] = sidecar
    reply = {
        "parent": 0,
        "message": {"role": "assistant", "content": "b", "provider_state": [{"a": 1}]},
        "token_ids": [7, 8],
        "mask": [True, False],
        "is_content": [True, True],
        "logprobs": [-0.5],
        "usage": {"prompt_tokens": 4, "completion_tokens": 1, "cost": 0.5},
        "weight_versions": [{"version": "1", "start": 0, "end": 1}],
    }
    document = {"id": 1, "nodes": [first, reply], "mm_token_type_id_map": {"9": 1}}
    whole = rawmm.convert(document, rawmm.Trace)
    return rawmm.decode_msgpack(rawmm.encode_msgpack(whole, packed=packed), rawmm.Trace)


@given(st.data())
def test_changed_structs_are_never_accepted_by_c_alone(drawn: Any) -> None:
    """C accepts nothing that Python refuses, whatever code assigns."""
    whole = small_trace(drawn.draw)
    for _ in range(drawn.draw(st.integers(0, 3))):
        spoil(drawn.draw, drawn.draw(st.sampled_from(parts_of(whole))))
    for one in [part for part in parts_of(whole) if isinstance(part, msgspec.Struct)]:
        if not (answer := native.valid(one)):
            continue
        native.enable(False)
        try:
            revalidate(one)
        finally:
            native.enable(True)
        extra = any(getattr(part, "extra", None) for part in parts_of(one))
        assert bool(answer & native.HAS_EXTRA) == extra


def check_yes(whole: Any) -> None:
    """Python accepts a struct if C does."""
    if native.valid(whole):
        native.enable(False)
        try:
            revalidate(whole)
        finally:
            native.enable(True)


def refuse(_struct: Any, _question: str, answer: int) -> None:
    """An observer that skips the Python checks if C does not accept a struct."""
    if not answer:
        raise LookupError


def check_rules(struct: Any) -> None:
    """Python finds the rules of a struct obeyed, too, if C does."""
    if native.observe is None:
        return
    native.observe(refuse)
    try:
        struct.__post_init__()
    except LookupError:
        return
    finally:
        native.observe(None)
        if os.environ.get("RAWMM_DIFFERENTIAL"):
            differential.install()
    struct.__check_rules__()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("described", [False, True])
def test_each_change_of_one_place_is_judged_alike(*, packed: bool, described: bool) -> None:
    answers = iter([packed, described])
    whole = small_trace(lambda _: next(answers))
    yes = YES_PACKED if packed else YES
    assert native.valid(whole) == yes
    values = [odd() if callable(odd) else odd for odd in ODD]
    ruled = [whole, *whole.nodes]
    for part in parts_of(whole):
        if isinstance(part, msgspec.Struct):
            for name in type(part).__struct_fields__:
                kept = getattr(part, name)
                for odd in values:
                    msgspec.structs.force_setattr(part, name, odd)
                    check_yes(whole)
                    for one in ruled:
                        check_rules(one)
                msgspec.structs.force_setattr(part, name, msgspec.UNSET if kept is None else kept)
            continue
        for key in list(part) if type(part) is dict else range(len(part)):
            kept = part[key]
            for odd in values:
                part[key] = odd
                check_yes(whole)
                for one in ruled:
                    check_rules(one)
            part[key] = kept
    assert native.valid(whole) == yes


def test_deep_and_cyclic_maps_of_numbers_are_refused() -> None:
    message = rawmm.UserMessage(content="a")
    node = rawmm.MessageNode(message=message, token_ids=[1], mask=[True])
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for weights in (deep, CYCLE):
        with pytest.raises(rawmm.RawMMError, match="wrong_type"):
            msgspec.structs.replace(node, loss_weights=weights)


@given(st.data())
def test_decoded_documents_are_judged_alike(drawn: Any) -> None:
    """Documents with a changed place are accepted by C and Python, or refused alike."""
    whole = rawmm.to_builtins(small_trace(drawn.draw))
    for _ in range(drawn.draw(st.integers(0, 2))):
        part = drawn.draw(st.sampled_from(parts_of(whole)))
        plain = st.sampled_from([odd for odd in ODD if type(odd) in {int, float, str, bytes, bool}])
        if type(part) is dict and part:
            part[drawn.draw(st.sampled_from(list(part)))] = drawn.draw(plain)
        elif type(part) is list and part:
            part[drawn.draw(st.integers(0, len(part) - 1))] = drawn.draw(plain)
    try:
        wire = msgspec.msgpack.encode(whole)
    except (OverflowError, UnicodeEncodeError):
        return
    answers = []
    for flag in (True, False):
        native.enable(flag)
        try:
            answers.append(rawmm.encode_msgpack(rawmm.decode_msgpack(wire, rawmm.Trace)))
        except rawmm.RawMMError as error:
            answers.append(str(error).encode())
        finally:
            native.enable(True)
    assert answers[0] == answers[1]


@given(st.data())
def test_texts_of_the_tables_match_their_patterns(drawn: Any) -> None:
    name = drawn.draw(st.sampled_from(sorted(PATTERNS)))
    pattern = PATTERNS[name]
    text = text_of(pattern.removesuffix(r"\Z") + "$", 255)
    if text is None:
        assert name in {"MediaId", "RawImageUri", "ArrayData"}
        return
    # The longest text is tried in each example.
    most = text.longest or 300
    size = drawn.draw(st.sampled_from([text.shortest, most]) | st.integers(text.shortest, most))
    first, rest = (
        st.from_regex(rf"[{one}]", fullmatch=True, alphabet=st.characters(max_codepoint=127))
        for one in (text.first, text.rest)
    )
    written = drawn.draw(first) + drawn.draw(rest) * (size - 1)
    assert re.search(pattern, written)


def calls_of_c() -> dict[str, Callable[[], object]]:
    """Calls that reach each function of the C part, on short streams."""
    node = rawmm.MessageNode(
        message=rawmm.AssistantMessage(content="a"), sampled=True, token_ids=[7, 70_000, 70_000],
        mask=[True, True, False], logprobs=[-0.5, -1.5], loss_weights={"a": [1.0, 0.5, 0.25]},
    )  # fmt: skip
    packed = rawmm.decode_msgpack(rawmm.encode_msgpack(node, packed=True), rawmm.MessageNode)
    ids, text = [7, 70_000, 70_000], rawmm.encode_json(node)
    made: dict[str, Callable[[], object]] = {
        "valid": lambda: native.valid(node),
        "valid, packed": lambda: native.valid(packed),
        "post_init": node.__post_init__,
        "packed": lambda: native.packed(rawmm.PackedTokenIds, ids),
        "checkable": lambda: native.checkable(rawmm.MessageNode),
    }
    if native.unique_keys is not None:
        made["unique_keys"] = partial(native.unique_keys, text)
    for form in ("json", "msgpack"):
        encode, decode = getattr(rawmm, f"encode_{form}"), getattr(rawmm, f"decode_{form}")
        for name, wire in (("lists", encode(node)), ("packed", encode(packed))):
            made[f"{form}, {name}"] = partial(decode, wire, rawmm.MessageNode)
            made[f"{form}, {name}, to packed"] = partial(
                decode, wire, rawmm.MessageNode, packed=True
            )
    return made


def refused_by_c() -> dict[str, Callable[[], object]]:
    """Calls that C does not accept because of a late element."""
    node = rawmm.to_builtins(rawmm.MessageNode(message=rawmm.UserMessage(content="a")))
    made: dict[str, Callable[[], object]] = {}
    for wrong in ([7, -1], [7, 2**32], [7.5], [7, None], "7"):
        for form in ("json", "msgpack"):
            wire = getattr(msgspec, form).encode(node | {"token_ids": wrong, "mask": [True, True]})
            for packed in (None, True):
                made[f"{wrong} in {form}, {packed}"] = partial(
                    getattr(rawmm, f"decode_{form}"), wire, rawmm.MessageNode, packed=packed
                )
    return made


def left_behind(call: Callable[[], object], times: int) -> int:
    """How many references and blocks of memory more calls leave behind.

    The least of three counts, as other threads of the process leave some, too.
    """

    def held() -> int:
        gc.collect()
        shared = (None, True, False, 7, msgspec.UNSET, *TYPES.values())
        return sum(map(sys.getrefcount, shared)) + sys.getallocatedblocks()

    def more(calls: int) -> int:
        before = held()
        for _ in range(calls):
            with suppress(rawmm.RawMMError):
                call()
        return held() - before

    more(10)  # what is made once is there afterwards
    return min(more(times) for _ in range(3))


@pytest.mark.parametrize("name", [*calls_of_c(), *refused_by_c()])
def test_calls_keep_no_references(name: str) -> None:
    assert left_behind((calls_of_c() | refused_by_c())[name], 300) < 150


@pytest.mark.slow
@pytest.mark.parametrize("name", calls_of_c())
def test_a_million_calls_keep_no_references(name: str) -> None:
    assert left_behind(calls_of_c()[name], 400_000) < 400


SUBINTERPRETER: Final = """
import sys
try:
    import _interpreters as interpreters
except ImportError:  # before Python 3.13
    import _xxsubinterpreters as interpreters
made = interpreters.create("legacy") if sys.version_info >= (3, 13) else interpreters.create(isolated=False)
check = '''
import rawmm
from rawmm.rules import USES_C
node = rawmm.decode_json(b'{"message": {"role": "user", "content": "a"}}', rawmm.MessageNode)
try:
    rawmm.decode_json(b'{"message": {"role": "user"}}', rawmm.MessageNode)
except rawmm.RawMMError as error:
    print(USES_C, rawmm.encode_json(node) != b"", error.code, flush=True)
'''
exec(check)
interpreters.run_string(made, check)
interpreters.destroy(made)
exec(check)
"""


def test_subinterpreter_uses_the_python_code() -> None:
    """The classes and tables in C are those of the interpreter that imported rawmm first."""
    ran = subprocess.run(
        [sys.executable, "-c", SUBINTERPRETER], capture_output=True, text=True, check=True
    )
    own = f"{USES_C} True missing_field\n"
    assert ran.stdout == f"{own}False True missing_field\n{own}"


def test_32_bit_python_uses_the_python_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C code casts 64-bit integers of a document to lengths."""
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert build_speed.why_pure() == "it needs a 64-bit build of Python"


def test_missing_compiler_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    assert build_speed.main([str(tmp_path / "out.so")]) == 1
    assert "none" in capsys.readouterr().err or build_speed.why_pure()
