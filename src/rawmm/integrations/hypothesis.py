"""Hypothesis: ``st.from_type(rawmm.MessageNode)`` draws values that obey the contract.

The entry point of the group ``hypothesis`` calls `register` when Hypothesis is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def register() -> None:
    """Register a strategy for every struct of the contract."""
    from hypothesis import strategies as st

    from rawmm.model.types import TYPES, Contract

    for kind in TYPES.values():
        if isinstance(kind, type) and issubclass(kind, Contract):
            st.register_type_strategy(kind, _strategy)


def _strategy(kind: Any) -> SearchStrategy[Any]:
    # Most programs that import Hypothesis draw no value of the contract.
    from rawmm.testing import strategies

    return strategies.instances(kind)
