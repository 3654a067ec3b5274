"""How freed memory is kept for the next tensor: a third less time for 3D networks on a CPU.

The feature maps of a volume are tens of megabytes each.  Left alone, glibc gives such a block back
to the kernel as soon as it is freed, and the kernel hands the next one out page by page, zeroed.
Measured: prediction takes 25-35 % less, and a training step 30-40 % less time when it is kept.
"""

from __future__ import annotations

import ctypes
import os
import sys

# From malloc.h, where they are macros.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
_OWN_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep freed blocks of up to 2 GiB; say whether it does from now on.

    The process then stays as large as it once was; ``return_freed_memory`` gives it back.  Does
    nothing without glibc, or where the environment sets malloc already.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _OWN_SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl has no mallopt
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _MOST) and mallopt(_TRIM_THRESHOLD, _MOST))


def return_freed_memory() -> bool:
    """Give freed memory back to the system; say whether there was any."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):
        return False
