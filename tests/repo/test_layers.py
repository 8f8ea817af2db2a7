"""Imports between packages follow the layers, and importing loads little."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cases import each

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "rawmm"
INIT = PACKAGE / "__init__.py"

LAYERS: Final = (
    ("_version", "_digest", "_speed", "native", "real_class", "collector", "errors", "locators"),
    ("_generated", "model"),
    ("media", "values"),
    ("rules",),
    ("validation",),
    ("versions",),
    ("codec",),
    ("images", "layouts", "dialects", "graph", "sidecar", "engine"),
    ("store", "offload", "describe"),
    ("upgrades", "trainer", "materialize", "evolution", "view"),
    ("checks", "parallel"),
    ("batch", "cli", "testing", "integrations"),
    ("__main__",),
)
"""Each part of the package by its layer. A part imports those before it, in its layer, too."""
ORDER: Final = [part for layer in LAYERS for part in layer]
OPEN: Final = {"collector", "errors", "locators", "model", "values", "_generated"}
"""Packages whose modules other packages import. Of others they use what ``__init__`` names."""
FIRST_WITH_IO: Final = ORDER.index("store")

HEAVY = {
    "PIL", "blake3", "pybase64", "jsonschema", "jsonschema_rs", "hypothesis", "numpy",
    "pydantic", "pydantic_core", "renderers", "verifiers", "openai", "msgpack",
}  # fmt: skip
ONLY_IN = {
    "backports": {"cli/compressed.py"},
    "blake3": {"store/text_hash.py"},
    "cyclopts": {"cli"},
    "jsonschema": {"evolution/engine.py"},
    "jsonschema_rs": {"evolution/engine.py"},
    "msgpack": {"cli/msgpack_stream.py"},
    "pyarrow": {"cli/tables.py"},
    "rich": {"cli"},
    "hypothesis": {"testing", "integrations/hypothesis.py"},
    "ray": {"parallel/ray_tasks.py"},
    "pytest": {"integrations/pytest.py"},
    "PIL": {"images", "materialize", "testing/_layouts.py"},
    "pydantic": {"integrations/pydantic.py"},
    "pydantic_core": {"integrations/pydantic.py"},
    "renderers": {"integrations/renderers.py"},
    "verifiers": {"integrations/verifiers.py"},
    "openai": {"integrations/verifiers.py"},
    # Image processors and arrays are the caller's.
    "numpy": {"integrations/verifiers.py"},  # of which it is a dependency
    "torch": set[str](),
    "transformers": set[str](),
}
"""Each library, and the parts or files that alone may import it."""

IO_MODULES = {"os", "pathlib", "tempfile", "shutil", "socket", "subprocess"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".pyi").removesuffix(".py")


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py*") if p.suffix in {".py", ".pyi"} and p != INIT)


@functools.cache
def imports(path: Path) -> list[str]:
    """Dotted names a module imports, at any depth; type-checking blocks included."""
    tree = ast.parse(path.read_text("utf-8"))
    found = []
    for node in ast.walk(tree):
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
    assert {part_of(path) for path in sources()} == set(ORDER)


@each("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = part_of(path)
    for name in imports(path):
        if not name.startswith("rawmm."):
            continue
        other = name.split(".")[1]
        if other == own or (other not in ORDER and own in LAYERS[-2]):
            continue  # within a part; or a public name, which outermost parts may use
        if own in {"model", "_generated"}:
            assert other in {"errors", "native", "real_class", "model", "_generated"}
            continue
        assert ORDER.index(other) < ORDER.index(own), f"{own} imports {other}"


@each("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_part_reaches_into_another(path: Path) -> None:
    own = part_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "rawmm" or len(parts) < 3 or parts[1] in OPEN | {own}:
            continue
        assert (PACKAGE / parts[1]).with_suffix(".py").exists(), f"{own} imports {name}"


@each("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_have_one_home(path: Path) -> None:
    homes = {part_of(path), path.relative_to(PACKAGE).as_posix()}
    for name in imports(path):
        assert homes & ONLY_IN.get(name.split(".")[0], homes), f"{path} imports {name}"


@each("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_upper_layers_do_io(path: Path) -> None:
    if ORDER.index(part_of(path)) < FIRST_WITH_IO:
        used = {name.split(".")[0] for name in imports(path)}
        if part_of(path) == "collector":
            used.remove("os")  # for `register_at_fork`
        assert not IO_MODULES & used


def test_only_model_types_imports_generated_code() -> None:
    users = {
        part_of(path)
        for path in sources()
        for name in imports(path)
        if name.startswith("rawmm._generated")
    }
    assert users == {"model"}


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


def test_importing_loads_no_slow_module_of_the_standard_library() -> None:
    # msgspec loads inspect and dataclasses only if there are typing_extensions.
    code = (
        "import sys; sys.modules['typing_extensions'] = None\n"
        "import msgspec; before = set(sys.modules)\n"
        "import rawmm; print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    slow = {"base64", "copy", "dataclasses", "inspect", "json", "string", "urllib.parse", "weakref"}
    assert slow & set(loaded) == set()
