"""References: round trips, all historical forms, and errors for any other text."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawmm import RawMMError, RawMMRef, to_builtins
from rawmm.engine.refs import is_raw_mm_ref, raw_mm_ref, split_raw_mm_ref
from rawmm.errors import CODES
from rawmm.testing.strategies import instances
from tests.builders import json_base64

located = instances(RawMMRef).filter(
    lambda ref: (ref.raw_image_id or ref.raw_image_uri) is not None and ref.fingerprint is not None
)
"""References that an engine can do something with."""


def emit(ref: RawMMRef) -> str:
    return raw_mm_ref(**to_builtins(ref))


def with_payload(ref: RawMMRef) -> RawMMRef:
    return RawMMRef(**{"payload": {}} | to_builtins(ref))


def historical(ref: RawMMRef, run_id: str) -> dict[str, str]:
    """The reference in each old form that can represent it."""
    fields = to_builtins(with_payload(ref))
    out = {"json": f"mmraw:{json.dumps(fields)}", "b64": f"mmraw:{json_base64(fields)}"}
    older = dict(fields)
    uri = older.pop("raw_image_uri", None)
    if uri is not None:
        older["raw_uri"] = uri
        if uri.startswith("data:"):
            inline = {key: value for key, value in fields.items() if key != "raw_image_uri"}
            out["inline"] = f"mmraw:{json.dumps(inline | {'raw_image_data': uri})}"
    else:
        named = [ref.family, ref.fingerprint, ref.modality, ref.mm_hash, ref.raw_image_id]
        out["v2"] = ":".join(["mmraw:v2", run_id, *map(str, named), json_base64(fields["payload"])])
    out["v3"] = f"mmraw:v3:{json_base64(older)}"
    out["v3 with run"] = f"mmraw:v3:{json_base64(older | {'run_id': run_id})}"
    return out


@given(located)
def test_written_reference_reads_back_equal(ref: RawMMRef) -> None:
    text = emit(ref)
    assert is_raw_mm_ref(text)
    assert split_raw_mm_ref(text) == with_payload(ref)
    assert emit(split_raw_mm_ref(text)) == text


@given(located)
def test_reference_is_compact_sorted_ascii_json(ref: RawMMRef) -> None:
    text = emit(ref).removeprefix("mmraw:")
    assert text.isascii()
    document = json.loads(text)
    assert text == json.dumps(document, sort_keys=True, separators=(",", ":"))


@given(located)
def test_missing_locator_is_refused(ref: RawMMRef) -> None:
    ref.raw_image_id = ref.raw_image_uri = None
    with pytest.raises(RawMMError) as caught:
        emit(ref)
    assert caught.value.code == "no_locator"


@given(located, st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True))
def test_historical_forms_read_as_the_same_reference(ref: RawMMRef, run_id: str) -> None:
    forms = historical(ref, run_id)
    assert {"json", "b64", "v3"} < set(forms)
    for form, text in forms.items():
        assert split_raw_mm_ref(text) == with_payload(ref), form


PREFIXES = ["", "mmraw:", "mmraw:v2:", "mmraw:v3:", "mmraw:v9:", "mmraw:{", "mmfile:v1:"]


def judged(text: Any) -> None:
    """A value that round-trips, or an error without content."""
    try:
        ref = split_raw_mm_ref(text)
    except RawMMError as caught:
        error = caught
    else:
        assert split_raw_mm_ref(emit(ref)) == with_payload(ref)
        return
    assert error.code in CODES
    assert error.path.startswith("$")
    assert len(str(error)) < 500
    assert not re.search(r"eyJ[A-Za-z0-9_-]{24}", str(error))


@given(st.sampled_from(PREFIXES), st.text())
def test_any_text_gives_a_reference_or_an_error(prefix: str, text: str) -> None:
    judged(prefix + text)


@given(st.sampled_from(PREFIXES), st.binary())
def test_any_encoded_bytes_give_a_reference_or_an_error(prefix: str, raw: bytes) -> None:
    judged(prefix + base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(located, st.sampled_from(sorted(RawMMRef.__struct_fields__)), json_values)
def test_any_field_value_gives_a_reference_or_an_error(
    ref: RawMMRef, field: str, value: Any
) -> None:
    document = json.dumps(to_builtins(ref) | {field: value})
    judged(f"mmraw:{document}")
    judged(f"mmraw:v3:{base64.urlsafe_b64encode(document.encode()).rstrip(b'=').decode()}")


@given(located, st.data())
def test_damaged_reference_gives_a_reference_or_an_error(
    ref: RawMMRef, data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from(sorted(historical(ref, "demo").values())))
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(st.text(max_size=2))
    judged(text[:at] + new + text[at + data.draw(st.integers(0, 3)) :])


@given(st.none() | st.integers() | st.binary() | st.lists(st.text()) | st.text())
def test_any_object_gives_a_reference_or_an_error(value: Any) -> None:
    assert is_raw_mm_ref(value) is (isinstance(value, str) and value[:6] == "mmraw:")
    judged(value)
