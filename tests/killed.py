"""A process of its own that is killed, with signal 9, at the n-th time that it makes something last."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from pymongo.synchronous.collection import Collection

WRITES = ("insert_one", "insert_many", "replace_one", "update_one", "bulk_write")
OTHERS = ("find_one_and_replace", "find_one_and_update", "delete_one", "delete_many", "aggregate")
ON_FILES = ("fsync", "link", "rename", "replace", "unlink", "rmdir")


def killed_at_each_write(work: Callable[[], Any], every: int = 1) -> Iterator[int]:
    """Let processes do some work, each killed some writes later than the one before it.

    Yields at how many writes the last one was killed; ends when one comes to its end.  Writes are calls
    that change files or collections; the process is killed before one is made, as well as after it.
    """
    at = 0
    while _dies(work, at):
        yield at
        at += every


def _dies(work: Callable[[], Any], at: int) -> bool:
    """Do work in a forked process; return whether it was killed before its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that of forking beside threads
        process = os.fork()
    if process == 0:
        code = 3
        try:
            _count_down(at)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the work failed by itself; see the traceback above"
    return False


def _count_down(left: int) -> None:
    """Kill this process at a write: every write counts twice, before it and after it."""

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal left
            for moment in range(2):
                if left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                if moment == 0:
                    done = real(*given, **named)
            return done

        return call

    for name in ON_FILES:
        setattr(os, name, counted(getattr(os, name)))
    for name in (*WRITES, *OTHERS):
        setattr(Collection, name, counted(getattr(Collection, name)))
