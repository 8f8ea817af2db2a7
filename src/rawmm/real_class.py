"""The class of a value, whatever the value says of itself.

`isinstance` also asks ``__class__``, which an object can forge: a proxy, or a mock with a ``spec``.
Such an object has none of the methods and none of the layout of the class that it claims.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["claims_another", "is_a"]

if TYPE_CHECKING:
    # Type checkers narrow by it just as by `isinstance`.
    from builtins import isinstance as is_a
else:

    def is_a(value: object, kind: object) -> bool:
        """Whether the real class of `value` is `kind`, or derives from it or is registered there.

        Args:
            value: what a caller gave.
            kind: a class, a union of classes, or a tuple of them.
        """
        return issubclass(type(value), kind)


def claims_another(value: object) -> bool:
    """Whether a value says that it is of another class than it is."""
    try:
        return value.__class__ is not type(value)
    except Exception:  # noqa: BLE001  (the object's own code)
        return True
