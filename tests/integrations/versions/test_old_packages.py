"""The packages of earlier versions, from the history of this repository, read what we write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings

from rawmm import RawMMError, decode_json, encode_json, encode_msgpack, iter_errors, schemas
from rawmm.model.kinds import schema_of
from rawmm.model.types import TYPES
from rawmm.rules import BY_ITSELF
from rawmm.testing import strategies
from rawmm.validation import shape_errors
from rawmm.versions import version_errors
from tests.integrations.versions.old_package import VERSIONS, OldPackage
from tests.property.released import CASES

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES: Final = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
NARROWED: Final = {"GenerateFeatures", "MMImageRef", "MMRefs"}
"""Types with documents that 1.0 accepted and later versions refuse.

1.0 did not read the references in ``kwargs_data``, and let references to any medium reach a trainer.
"""


@pytest.fixture(scope="module", params=sorted(VERSIONS))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def old(version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldPackage]:
    package = OldPackage(version, tmp_path_factory.mktemp(version))
    yield package
    package.close()


def test_every_earlier_version_has_its_package() -> None:
    assert sorted(VERSIONS) == sorted(dict(CASES))


def judged(text: str | bytes, name: str, version: str) -> list[str]:
    errors = version_errors(json.loads(text), TYPES[name], version, BY_ITSELF)
    return [error.code for error in errors]


def written_for(version: str, value: Any) -> bytes | None:
    """What is written for a version, or None if it has no place for the value."""
    try:
        return encode_json(value, version=version)
    except RawMMError as error:
        if error.code != "not_in_version":
            raise
        return None


@pytest.mark.parametrize("name", sorted({name for _, name in CASES}))
class TestReaders:
    def test_they_accept_what_is_written_for_them(
        self, old: OldPackage, version: str, name: str
    ) -> None:
        if (version, name) not in CASES:
            assert old.read(name, b"{}").code is not None
            return

        @EXAMPLES
        @given(strategies.instances(TYPES[name]))
        def holds(value: Any) -> None:
            today = encode_json(value, packed=False)
            # Whatever we write or refuse, the old package agrees.
            verdict = old.read(name, today)
            written = written_for(version, value)
            if written is None:
                assert verdict.code is not None
                return
            verdict = old.read(name, written)
            assert verdict.code is None, verdict.document
            assert decode_json(json.dumps(verdict.document), TYPES[name]) == value
            binary = old.read(name, encode_msgpack(value, version=version), "msgpack")
            assert binary == verdict

        holds()

    def test_their_own_documents_are_written_back_for_them(
        self, old: OldPackage, version: str, name: str
    ) -> None:
        for text in old.documents(name, 25) if (version, name) in CASES else ():
            assert judged(text, name, version) == []
            if name in NARROWED and any(iter_errors(json.loads(text), TYPES[name])):
                assert version == "1.0"
                continue
            value = decode_json(text, TYPES[name])
            back = old.read(name, encode_json(value, version=version))
            assert back == old.read(name, text.encode())

    def test_the_judge_gives_their_verdict(self, old: OldPackage, version: str, name: str) -> None:
        @EXAMPLES
        @given(strategies.mutated(name))
        def holds(document: Any) -> None:
            text = json.dumps(document).encode()
            verdict = old.read(name, text)
            refused = bool(judged(text, name, version))
            if not any(shape_errors(document, schema_of(TYPES[name]), ())):
                assert refused == (verdict.code is not None), verdict
            elif refused:  # rules are not checked if only the earlier schema accepts the shape
                assert verdict.code is not None, verdict

        if (version, name) in CASES:
            holds()


def test_the_judge_gives_their_verdict_on_the_vectors(old: OldPackage, version: str) -> None:
    for vector in schemas.conformance_vectors():
        name, text = vector["type"], vector["document"]
        if (version, name) not in CASES or vector.get("code") == "malformed":
            continue
        verdict = old.read(name, text.encode())
        assert bool(judged(text, name, version)) == (verdict.code is not None), vector["case"]
