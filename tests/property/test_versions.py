"""Documents of every released version go up and down, and readers of each accept what we write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rawmm import (
    SUPPORTED_VERSIONS,
    RawMMError,
    convert,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    schemas,
    to_builtins,
)
from rawmm.rules import BY_ITSELF
from rawmm.testing import strategies
from rawmm.versions import version_errors
from tests.property.released import CASES, VERSIONS, accepts, fitted, kind_of


def judged(document: Any, name: str, version: str) -> list[RawMMError]:
    return list(version_errors(document, kind_of(name), version, BY_ITSELF))


def _outcome(write: Any, value: Any, version: str) -> Any:
    """What is written, or None if the version has no place for it."""
    try:
        return write(value, version=version)
    except RawMMError as error:
        if error.code != "not_in_version" or f"contract {version}" not in str(error):
            raise
        return None


@pytest.mark.parametrize(("version", "name"), CASES)
class TestEveryVersion:
    @settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
    @given(st.data())
    def test_its_documents_are_written_for_every_later_version(
        self, version: str, name: str, data: st.DataObject
    ) -> None:
        drawn = convert(data.draw(strategies.documents(name)), kind_of(name))
        plain = json.loads(encode_json(drawn, packed=False))
        document = fitted(plain, version, name)
        assume(not judged(document, name, version))
        text = json.dumps(document).encode()
        assert accepts(version, name, text)
        value = decode_json(text, kind_of(name))
        for target in VERSIONS[VERSIONS.index(version) :]:
            written = encode_json(value, version=target)
            assert accepts(target, name, written)
            assert not judged(json.loads(written), name, target)
            assert decode_json(written, kind_of(name)) == value
            binary = encode_msgpack(value, version=target)
            assert decode_msgpack(binary, kind_of(name)) == value

    @given(st.data())
    def test_a_document_of_today_is_written_for_it_or_refused(
        self, version: str, name: str, data: st.DataObject
    ) -> None:
        value = data.draw(strategies.instances(kind_of(name)))
        results = [
            _outcome(write, value, version) for write in (encode_json, encode_msgpack, to_builtins)
        ]
        if None in results:
            assert results == [None] * 3
            return
        written = results[0]
        assert accepts(version, name, written)
        assert not judged(json.loads(written), name, version)
        assert decode_json(written, kind_of(name)) == value


@pytest.mark.parametrize("version", dict(CASES))
@given(st.data())
def test_released_schema_and_the_judge_agree(version: str, data: st.DataObject) -> None:
    """The judge refuses for a rule what the schema alone accepts, and never the reverse."""
    names = [name for known, name in CASES if known == version]
    name = data.draw(st.sampled_from(names))
    document = data.draw(strategies.mutated(name))
    errors = judged(document, name, version)
    if not accepts(version, name, json.dumps(document).encode()):
        assert errors


@pytest.mark.parametrize("version", VERSIONS)
def test_streams_have_the_same_elements_in_every_version(version: str) -> None:
    """Writing for a version checks all of a node but the elements of its streams."""
    from rawmm.versions.streams import STREAMS

    def elements(schema: Any, defs: Any) -> list[Any]:
        while "$ref" in schema:
            schema = defs[schema["$ref"].rpartition("/")[2]]
        found = []
        for member in schema.get("anyOf", ()):
            found += elements(member, defs)
        if schema.get("type") == "object" and isinstance(schema["additionalProperties"], dict):
            found += elements(schema["additionalProperties"], defs)
        if schema.get("type") == "array":
            item = schema["items"]
            while "$ref" in item:
                item = defs[item["$ref"].rpartition("/")[2]]
            found.append({key: item[key] for key in item if key != "description"})
        return found

    old, new = schemas.released(version)["$defs"], schemas.annotated()["$defs"]
    for name in STREAMS:
        fields = [defs["MessageNode"]["properties"][name] for defs in (old, new)]
        assert elements(fields[0], old) == elements(fields[1], new) != []


def test_this_package_supports_all_releases() -> None:
    assert set(VERSIONS) <= set(SUPPORTED_VERSIONS)
