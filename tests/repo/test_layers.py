"""The house: who may import whom, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "rawmm"

LAYERS = {
    "errors": 0,
    "json_text": 0,
    "real_class": 0,
    "_version": 0,
    "locators": 1,
    "_contract": 1,
    "_packed": 1,
    "_generated": 1,
    "structs": 1,
    "schemas": 1,
    "validate": 2,
    "writing": 3,
    "logprob_floor": 3,
    "codec": 3,
    "plain_json": 3,
    "conversion": 3,
    "descriptors": 3,
    "retry": 3,
    "response": 3,
    "sidecar": 3,
    "graph": 3,
    "refs": 3,
    "features": 3,
    "layouts": 3,
    "offload": 4,
    "describe": 4,
    "upgrade": 4,
    "trainer": 4,
    "materialize": 4,
    "integrations": 5,
    "cli": 5,
    "testing": 5,
    "__main__": 6,
}
"""Each part of the package by its layer; ARCHITECTURE.md gives the reasons."""

ORDER_IN_LAYER = {
    "_contract": 0,
    "locators": 0,
    "_packed": 1,
    "_generated": 2,
    "structs": 3,
    "schemas": 3,
    "logprob_floor": 0,
    "writing": 0,
    "codec": 1,
    "plain_json": 2,
    "conversion": 1,
    "descriptors": 1,
    "retry": 1,
    "response": 1,
    "sidecar": 2,
    "graph": 3,
    "refs": 2,
    "features": 4,
    "layouts": 1,
    "describe": 1,
    "trainer": 1,
    "upgrade": 2,
    "materialize": 2,
}
"""Layer 1 stacks the base, what is generated on it, the doors to that; layer 3 the checks
before writing, and what writes.
"""

UPWARD = {("_contract", "rawmm.integrations.pydantic")}
"""The one import against the grain: methods that only pydantic calls load what answers it.
Without it, a struct in a model would be an error that asks the user for an import.
"""

HEAVY = {
    "PIL", "blake3", "pybase64", "jsonschema", "jsonschema_rs", "hypothesis", "numpy",
    "pydantic", "pydantic_core", "renderers", "verifiers", "openai",
}  # fmt: skip
ONLY_IN = {
    "blake3": {"offload/known.py"},
    "cyclopts": {"cli"},
    "rich": {"cli"},
    "hypothesis": {"testing"},
    "PIL": {"offload", "materialize"},
    "pydantic": {"integrations/pydantic.py"},
    "pydantic_core": {"integrations/pydantic.py"},
    "renderers": {"integrations/renderers.py"},
    "verifiers": {"integrations/verifiers.py"},
    "openai": {"integrations/verifiers.py"},
    # Image processors and arrays are the caller's.
    "numpy": set[str](),
    "torch": set[str](),
    "transformers": set[str](),
}
"""Each library, and the parts or files that alone may import it."""

IO_LAYER = 4
IO_MODULES = {"os", "pathlib", "tempfile", "shutil", "io", "socket", "subprocess"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def imports(path: Path, *, top_only: bool = False) -> list[str]:
    """Dotted names a module imports, at any depth; type-checking blocks included."""
    tree = ast.parse(path.read_text("utf-8"))
    found = []
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "rawmm":
                found += [f"rawmm.{alias.name}" for alias in node.names]
            else:
                found.append(node.module or "")
    return found


def test_every_part_has_a_layer() -> None:
    assert {part_of(path) for path in sources()} == set(LAYERS)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = part_of(path)
    for name in imports(path):
        if not name.startswith("rawmm."):
            continue
        other = name.split(".")[1]
        if (own, name) in UPWARD:
            assert name not in imports(path, top_only=True), f"{own} loads {name} on import"
            continue
        if other == own or (other not in LAYERS and LAYERS[own] >= LAYERS["cli"]):
            continue  # within a part; or a public name, which outermost parts may use
        below = (LAYERS[other], ORDER_IN_LAYER.get(other, 0))
        assert below < (LAYERS[own], ORDER_IN_LAYER.get(own, 0)), f"{own} imports {other}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_have_one_home(path: Path) -> None:
    homes = {part_of(path), path.relative_to(PACKAGE).as_posix()}
    for name in imports(path):
        assert homes & ONLY_IN.get(name.split(".")[0], homes), f"{path} imports {name}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_upper_layers_do_io(path: Path) -> None:
    if LAYERS[part_of(path)] < IO_LAYER:
        assert not IO_MODULES & {name.split(".")[0] for name in imports(path)}


def test_nothing_but_the_door_imports_generated_code() -> None:
    users = {
        part_of(path)
        for path in sources()
        for name in imports(path)
        if name.startswith("rawmm._generated")
    }
    assert users == {"structs"}


def test_importing_loads_msgspec_and_the_standard_library_only() -> None:
    code = "import sys, rawmm; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert loaded & HEAVY == set()
    outside = {name for name in loaded - set(sys.stdlib_module_names) if name[0] != "_"}
    # msgspec itself loads what it finds, and site-packages may have start-up files.
    bare = subprocess.run(
        [sys.executable, "-c", code.replace("rawmm", "msgspec")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert outside - set(bare) == {"rawmm"}
