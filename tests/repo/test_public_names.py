"""The public names of `rawmm`, and what importing it loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rawmm
from rawmm._generated import exports

SOURCE = ast.parse(Path(rawmm.__file__).read_text("utf-8"))


def names(body: list[ast.stmt]) -> dict[str, str]:
    """The names that the import statements of a block bind, with their modules."""
    return {
        alias.asname or alias.name: node.module or ""
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def type_checkers_only() -> dict[str, str]:
    for node in SOURCE.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return names(node.body)
    raise AssertionError


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_lazy_names_are_visible_to_type_checkers() -> None:
    modules = {name: home.rpartition(".")[0] for name, home in exports.MODULES.items()}
    assert type_checkers_only() == modules | exports.HOMES


def test_all_lists_every_public_name_once() -> None:
    assert set(rawmm.__all__) == set(type_checkers_only())
    assert len(rawmm.__all__) == len(set(rawmm.__all__))
    assert set(rawmm.__all__) <= set(dir(rawmm))


@pytest.mark.parametrize("name", rawmm.__all__)
def test_public_name_loads_by_itself(name: str) -> None:
    value = getattr(rawmm, name)
    assert value is getattr(rawmm, name)
    home = type_checkers_only().get(name)
    if home and name not in exports.MODULES:
        assert value is getattr(sys.modules[home], name)


def test_star_import_binds_every_public_name() -> None:
    program = "from rawmm import *; import rawmm; print(all(n in globals() for n in rawmm.__all__))"
    assert run(program) == "True"


def test_import_loads_types_and_codecs_only() -> None:
    loaded = run("import sys, rawmm; print(*[n for n in sys.modules if n.startswith('rawmm.')])")
    parts = {name.split(".")[1] for name in loaded.split()}
    first = {"_version", "codec", "errors", "model", "validation", "versions"}
    later = {home.split(".")[1] for home in exports.HOMES.values()} | {*exports.MODULES} - {
        "schemas"
    }
    assert not parts & (later - first | {"cli", "testing", "integrations"})
    assert first - {"_version"} <= parts


def test_function_is_not_hidden_by_a_package_of_its_name() -> None:
    program = "import rawmm.upgrades.walk, rawmm.rules.graph, rawmm as r; "
    assert run(program + "print(callable(r.upgrade), callable(r.validate))") == "True True"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rawmm' has no attribute 'ImageStor'"):
        _ = rawmm.ImageStor  # type: ignore[attr-defined]
    program = "import rawmm\ntry: from rawmm import nothing\nexcept ImportError: print('no')"
    assert run(program) == "no"


FORKED = """
import os, rawmm
for home in {homes}:
    if not os.fork():  # each module is the first that its process loads
        os._exit(eval(home).__name__ != home)
    if os.wait()[1]:
        print(home)
"""


def test_lazily_loaded_module_is_an_attribute() -> None:
    assert run(FORKED.format(homes=sorted(set(exports.HOMES.values())))) == ""
