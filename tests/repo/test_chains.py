"""No handler raises an error of rawmm beside the exception that it handles.

``raise ... from None`` hides the handled exception and keeps it as the context, where its text
may quote an image. `raise_alone` does not; nor does a raise after the handler.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import rawmm
from rawmm import errors
from tests.cases import each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = Path(rawmm.__file__).parent
OURS = {
    name
    for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, rawmm.RawMMError)
}
NO_MESSAGES = {
    "AttributeError",
    "TooLargeError",
    "TypeError",
    "UsageError",
    "MissingExtraError",
    "pytest.UsageError",
    "_WorkerDiedError",
    "msgspec.ValidationError",
}
"""Exceptions for the module's own caller, which handles them or ends the command with one line."""
PASSED_ON = {"retry.py"}
"""Modules that handle exceptions of the caller's code."""


def caught(handler: ast.ExceptHandler) -> set[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(kind) if kind else "everything" for kind in kinds}


def raised(nodes: Iterable[ast.AST]) -> Iterator[ast.Raise]:
    for node in nodes:
        if isinstance(node, ast.Raise):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from raised(ast.iter_child_nodes(node))


@each("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_errors_do_not_chain_exceptions_of_other_libraries(path: Path) -> None:
    if path.name in PASSED_ON:
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ExceptHandler) or caught(node) <= OURS:
            continue
        for one in raised(node.body):
            if one.exc is None:
                continue  # what is raised again has no other context
            name = ast.unparse(one.exc.func if isinstance(one.exc, ast.Call) else one.exc)
            assert name in NO_MESSAGES or name.endswith(("_unreadable", "_failed")), (
                f"{path}:{one.lineno} raises {name} while {caught(node)} is handled: use raise_alone"
            )
