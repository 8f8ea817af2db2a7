"""Checks of an object's real class, ignoring a forged ``__class__``.

`isinstance` also accepts an object by its ``__class__``, which proxies, and mocks with a ``spec``,
override. Such an object has neither the methods nor the layout of the class that it claims.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["claims_another", "is_a"]

if TYPE_CHECKING:
    # Type checkers narrow with it as with `isinstance`.
    from builtins import isinstance as is_a
else:

    def is_a(value: object, kind: object) -> bool:
        """Whether the real class of `value` is `kind` or a real or virtual subclass of it.

        Args:
            value: any object.
            kind: a class, a union of classes, or a tuple of classes.
        """
        return issubclass(type(value), kind)


def claims_another(value: object) -> bool:
    """Whether ``__class__`` of a value is not its real class."""
    try:
        return value.__class__ is not type(value)
    except Exception:  # noqa: BLE001  (the object's own code)
        return True
