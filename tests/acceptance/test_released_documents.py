"""The valid vectors of earlier versions are valid today, and go down and up without a change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from rawmm import ContractError, decode_json, decode_msgpack, encode_json, encode_msgpack, schemas
from rawmm.model.types import SCHEMA_VERSION, TYPES, MessagePart
from tests.property.oracle import without_defaults
from tests.property.released import accepts

DATA: Final = Path(__file__).parent.parent / "data" / "versions"
DOCUMENTS: Final = [
    (path.stem, case, text)
    for path in sorted(DATA.glob("*.json"))
    for case, text in json.loads(path.read_text("utf-8")).items()
]
REFUSED: Final = ("1.0", "GenerateFeatures/full")
"""Until 1.1, the references in ``kwargs_data`` were not read. This one is no reference."""
RENAMED: Final[dict[str, Any]] = {"ContentPart": MessagePart}
"""Until 1.2, ContentPart was the union that is MessagePart today."""


def test_every_earlier_release_has_its_vectors() -> None:
    assert {version for version, *_ in DOCUMENTS} == {*schemas.released_versions()} - {
        SCHEMA_VERSION
    }


@pytest.mark.parametrize(
    ("version", "case", "text"),
    [one for one in DOCUMENTS if one[:2] != REFUSED],
    ids=lambda value: value if len(value) < 60 else "",
)
def test_document_of_a_release_is_read_and_written_back_for_it(
    version: str, case: str, text: str
) -> None:
    name = case.partition("/")[0]
    kind = RENAMED.get(name, TYPES[name])
    value = decode_json(text, kind)
    written = encode_json(value, version=version)
    assert without_defaults(json.loads(written), json.loads(text)) == json.loads(text)
    assert accepts(version, name, written)
    assert decode_json(written, kind) == value
    assert decode_msgpack(encode_msgpack(value, version=version), kind) == value
    assert decode_json(encode_json(value, version=SCHEMA_VERSION), kind) == value


def test_the_one_narrowed_document_names_the_reference() -> None:
    (text,) = [text for *key, text in DOCUMENTS if tuple(key) == REFUSED]
    with pytest.raises(ContractError, match=r"\$\.kwargs_data\.image\[0\]") as refused:
        decode_json(text, TYPES["GenerateFeatures"])
    assert refused.value.code == "missing_field"
