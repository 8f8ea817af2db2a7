"""Deprecating a field touches the schemas only: shown on a copy of the repository."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.repo.test_new_rule import ANNOTATIONS, copied, run

if TYPE_CHECKING:
    from pathlib import Path

FIELDS: Final = {
    "messages.schema.json": ("ToolCall", "namespace"),
    "trace.schema.json": ("MessageNode", "timestamp"),
    "sidecar.schema.json": ("MultiModalData", "mm_hashes"),
}
WRITE: Final = """
import json, sys, warnings
import rawmm
from rawmm import encode_json, encode_msgpack, to_builtins

call = rawmm.ToolCall(id="1", name="n", arguments="{}", namespace="old")
plain = rawmm.ToolCall(id="1", name="n", arguments="{}")
node = rawmm.MessageNode(
    message=rawmm.AssistantMessage(tool_calls=[call, call]), sampled=True, timestamp=1.0
)

def written(write, value):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        write(value)
    for one in found:
        assert one.category is rawmm.DeprecatedFieldWarning and one.filename == "<string>"
    print(*sorted(str(one.message).split()[0] for one in found))

for _ in range(2):
    written(encode_json, plain)  # no deprecated field is present
    written(encode_json, rawmm.MultiModalData())  # written with its default
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        encode_json([node])
    print(len(found), {one.lineno for one in found} <= {LINE})
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    to_builtins(call), encode_msgpack(call)
    encode_msgpack(call)
print(len(found))
written(encode_json, rawmm.MultiModalData(mm_hashes={"image": []}))
print(rawmm.ToolCall.__deprecated__)
"""


@pytest.fixture(scope="module")
def deprecated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    branch = copied(tmp_path_factory.mktemp("branch"))
    annotations = json.loads((branch / ANNOTATIONS).read_text("utf-8"))
    for name, (kind, field) in FIELDS.items():
        path = branch / "schemas/v1" / name
        document = json.loads(path.read_text("utf-8"))
        document["$defs"][kind]["properties"][field]["deprecated"] = True
        path.write_text(json.dumps(document), "utf-8")
        annotations[f"/$defs/{kind}/properties/{field}"] = {"x-rawmm-deprecated-since": "1.3"}
    (branch / ANNOTATIONS).write_text(json.dumps(annotations), "utf-8")
    result = run(branch, "-m", "codegen")
    assert result.returncode == 0, result.stderr
    return branch


def test_writing_warns_once_for_each_field_and_place(deprecated: Path) -> None:
    lines = WRITE.splitlines()
    program = WRITE.replace("LINE", str(lines.index("        encode_json([node])") + 1))
    result = run(deprecated, "-c", program)
    assert result.stdout.splitlines() == [
        "", "", "2 True",  # two fields, each once, though the value has one of them twice
        "", "", "0 True",  # the same place again
        "2",  # other places
        "MultiModalData.mm_hashes",
        "{'namespace': '1.3'}",
    ], result.stderr  # fmt: skip


@pytest.mark.slow
def test_check_notes_deprecated_fields(deprecated: Path, tmp_path: Path) -> None:
    node = {"message": {"role": "user", "content": "a"}, "sampled": False, "parent": None}
    file = tmp_path / "nodes.jsonl"
    lines = [node, node | {"timestamp": 1.5}, node | {"timestamp": 2.5}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    note = "2 records have MessageNode.timestamp, deprecated since 1.3"
    result = run(deprecated, "-m", "rawmm", "check", str(file))
    assert result.returncode == 0, result.stderr
    assert f"note: {note}" in result.stderr
    for jobs in ("1", "2"):
        result = run(deprecated, "-m", "rawmm", "check", str(file), "--format", "json", "-j", jobs)
        (notice,) = [json.loads(line) for line in result.stdout.splitlines()]
        assert (notice["level"], notice["message"]) == ("notice", note)


def test_documentation_and_schema_mark_deprecated_fields(deprecated: Path) -> None:
    source = (deprecated / "src/rawmm/_generated/v1/structs.py").read_text("utf-8")
    assert '"""Deprecated since contract 1.3. ' in source
    result = run(deprecated, "-m", "rawmm", "schema", "ToolCall")
    assert json.loads(result.stdout)["$defs"]["ToolCall"]["properties"]["namespace"]["deprecated"]
