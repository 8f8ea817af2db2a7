"""Mutants of a function, each with one comparison, condition or refusal weakened."""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import textwrap
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LAXER: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Eq: (ast.LtE, ast.GtE),
    ast.NotEq: (ast.Lt, ast.Gt),
}
"""Replacements of a comparison, each with another result for some values."""


def mutants(function: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each mutant of a module's function, with the changed expression."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for number, candidate in enumerate(ast.walk(tree)):
        if not isinstance(candidate, (ast.If, ast.BoolOp, ast.Compare)):
            continue  # nothing below changes it, and a copy of the tree takes long
        for change in _CHANGES:
            changed = copy.deepcopy(tree)
            node = list(ast.walk(changed))[number]
            for mutated in change(node):
                yield f"{function.__name__}: {ast.unparse(mutated)}", _compiled(changed, function)


def _compiled(tree: ast.Module, function: Callable[..., Any]) -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    flags = (
        __future__.annotations.compiler_flag
    )  # as in the module, so annotations are not evaluated
    code = compile(ast.fix_missing_locations(tree), "<mutant>", "exec", flags)
    exec(code, function.__globals__, namespace)
    mutant: Callable[..., Any] = namespace[function.__name__]
    return mutant


def _without_refusal(node: ast.AST) -> Iterator[ast.AST]:
    """``if ...: return False`` whose condition is never true."""
    if isinstance(node, ast.If) and ast.unparse(node.body[0]) == "return False":
        test = node.test
        node.test = ast.Constant(value=False)
        yield ast.BoolOp(op=ast.And(), values=[ast.Constant(value=False), test])


def _without_operand(node: ast.AST) -> Iterator[ast.AST]:
    """``a or b`` without one of them."""
    if isinstance(node, ast.BoolOp):
        operands = node.values
        for operand in operands:
            left = [one for one in operands if one is not operand]
            node.values = left if len(left) > 1 else left * 2  # an operator needs two
            yield node
        node.values = operands


def _other_comparison(node: ast.AST) -> Iterator[ast.AST]:
    """``==`` as ``<=``, in each place of a chain."""
    if isinstance(node, ast.Compare):
        operators = node.ops
        for at, operator in enumerate(operators):
            for other in _LAXER.get(type(operator), ()):
                node.ops = [*operators[:at], other(), *operators[at + 1 :]]
                yield node
        node.ops = operators


def _shifted(node: ast.AST) -> Iterator[ast.AST]:
    """``a < b`` as ``a < b - 1``."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        right = node.comparators[0]
        for operator, step in ((ast.Lt, ast.Sub()), (ast.Gt, ast.Add()), (ast.GtE, ast.Add())):
            if isinstance(node.ops[0], operator):
                node.comparators = [ast.BinOp(left=right, op=step, right=ast.Constant(value=1))]
                yield node


_CHANGES: Final = (_without_refusal, _without_operand, _other_comparison, _shifted)
