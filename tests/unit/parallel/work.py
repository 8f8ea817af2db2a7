"""Functions that engines run in the tests of engines."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

POISON = 13


def make_square(folder: str) -> Callable[[Any], tuple[Any, Any]]:
    """Squares numbers. Dies once at 5, always at 13; raises at 7; and halves lists."""

    def square(piece: Any) -> tuple[Any, Any]:
        if isinstance(piece, list):
            return piece[0] ** 2, piece[1:] or None
        if piece == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        if piece == 5:
            try:
                (Path(folder) / "died").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        if piece == 7:
            raise ZeroDivisionError("a secret")
        return piece**2, None

    return square
