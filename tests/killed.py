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
EVERY_CALL_ON_FILES = (*ON_FILES, "write", "open", "mkdir", "ftruncate")


def killed_at_each_write(
    work: Callable[[], Any], every: int = 1, on_files: tuple[str, ...] = ON_FILES
) -> Iterator[int]:
    """Let processes do some work, each killed some writes later than the one before it.

    Yields at how many writes the last one was killed; ends when one comes to its end.  Writes are calls
    that change files or collections; the process is killed before one is made, as well as after it, and
    in the middle of what ``os.write`` is given.
    """
    at = 0
    while dies(work, at, on_files):
        yield at
        at += every


def dies(work: Callable[[], Any], at: int, on_files: tuple[str, ...] = ON_FILES) -> bool:
    """Do work in a forked process, killed at its n-th write; return whether it was killed before its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that of forking beside threads
        process = os.fork()
    if process == 0:
        code = 3
        try:
            _count_down(at, on_files)
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


def _count_down(left: int, on_files: tuple[str, ...]) -> None:
    """Kill this process at a write: every write counts twice, before it and after it."""

    def die_if_due() -> None:
        nonlocal left
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            die_if_due()
            done = real(*given, **named)
            die_if_due()
            return done

        return call

    def halved(descriptor: int, data: Any) -> int:
        whole = memoryview(data).cast("B")
        die_if_due()
        done = write(descriptor, whole[: len(whole) // 2])
        die_if_due()
        return done + write(descriptor, whole[done:])

    write = os.write
    for name in on_files:
        setattr(os, name, halved if name == "write" else counted(getattr(os, name)))
    for name in (*WRITES, *OTHERS):
        setattr(Collection, name, counted(getattr(Collection, name)))
