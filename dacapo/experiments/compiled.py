"""Compiling loops over voxels, so that threads can run them side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Compile a function when it is first called, to run without the interpreter's lock.

    The machine code is kept on disk where numba finds a place to keep it.  Dividing by 0 gives
    infinity or NaN, as in numpy.  Options are those of ``numba.njit``.
    """
    options = {"nogil": True, "error_model": "numpy", **options}

    def decorate(function: F) -> F:
        try:
            return cast(F, numba.njit(cache=True, **options)(function))
        except RuntimeError:  # neither the package nor the user's cache folder can be written to
            return cast(F, numba.njit(**options)(function))

    return decorate
