"""Pages of the Python API, one for each module that has public names. Docstrings fill them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import rawmm
from rawmm._generated.exports import HOMES, MODULES
from sitegen.pages import cell

FOLDER: Final = "api"
SOURCES: Final = Path(__file__).resolve().parent.parent / "src"

PUBLIC: Final = {
    **{home: f"rawmm.{name}" for name, home in MODULES.items()},
    **{
        name: name
        for name in (
            "rawmm.store",
            "rawmm.batch",
            "rawmm.testing",
            "rawmm.testing.strategies",
            "rawmm.integrations.verifiers",
            "rawmm.integrations.renderers",
        )
    },
}
"""Modules all of whose public names are documented, and the names that programs import them by."""

TYPES: Final = "rawmm.model.types"
_NO_VALUES: Final = (
    "    options:\n      show_attribute_values: false\n"  # how msgspec writes defaults
)

MORE: Final = {"rawmm.errors": ("CODES",), "rawmm.store": ("register_scheme",)}
"""Names that are public and that no `__all__` has."""


@dataclass(frozen=True)
class Module:
    """A page: the module, its title, what it is for, and the paths of its names."""

    home: str
    path: str
    text: str
    names: tuple[str, ...]

    @property
    def page(self) -> str:
        """The path of the page."""
        return f"{FOLDER}/{self.path.removeprefix('rawmm.')}.md"


@cache
def modules() -> tuple[Module, ...]:
    """Every documented module."""
    homes = sorted({*HOMES.values(), *PUBLIC} - {"rawmm._version"})
    return tuple(_module(home) for home in homes)


def pages() -> dict[str, str]:
    """The pages by their path, in the form that mkdocstrings reads."""
    out = {}
    rows = []
    for module in modules():
        options = _NO_VALUES if module.home == TYPES else ""
        body = "".join(f"\n::: {name}\n{options}" for name in module.names)
        first, _, rest = module.text.partition("\n")
        out[module.page] = f"# {module.path}\n\n{first}\n{rest.replace('::', ':')}\n{body}"
        rows.append(f"| [`{module.path}`]({module.page.partition('/')[2]}) | {cell(first)} |")
    table = "\n".join(["| module | what it is for |", "|---|---|", *rows])
    intro = (
        "Names that are shown as `rawmm.NAME` are imported from `rawmm` itself. "
        f"This is rawmm {rawmm.__version__}."
    )
    out[f"{FOLDER}/index.md"] = f"# Python API\n\n{intro}\n\n{table}\n"
    return out


def _module(home: str) -> Module:
    tree = ast.parse(_source(home).read_text("utf-8"))
    exported = sorted(name for name, module in HOMES.items() if module == home)
    names = [f"rawmm.{name}" for name in exported]
    own = _public(tree) if home in PUBLIC else []
    own += MORE.get(home, ())
    names += [f"{home}.{name}" for name in own if name not in exported]
    path = PUBLIC.get(home, home)
    return Module(home, path, ast.get_docstring(tree) or "", tuple(names))


def _source(home: str) -> Path:
    path = SOURCES / home.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _public(tree: ast.Module) -> list[str]:
    """The names in `__all__`, or else the functions and classes without underscore."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    found = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    return [name for name in dict.fromkeys(found) if not name.startswith("_")]
