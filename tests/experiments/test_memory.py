"""Freed memory stays with the process when asked, and goes when asked."""

from __future__ import annotations

import subprocess
import sys

from dacapo.experiments import memory

SCRIPT = """
import resource, sys
from dacapo.experiments.memory import keep_freed_memory, return_freed_memory

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 2**20

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = megabytes()
block = bytes([1]) * (100 * 2**20)
assert megabytes() > before + 90
del block
after = megabytes()
given = return_freed_memory()
print(after - before, given, megabytes() - before)
"""


def grown(how: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment or None)
    return done.stdout.split()


def test_freed_blocks_are_kept_until_they_are_returned():
    left, given, at_the_end = grown("keep")
    assert int(left) > 90 and given == "True" and int(at_the_end) < 20
    assert int(grown("leave")[0]) < 20


def test_settings_of_the_environment_are_respected(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    assert memory.keep_freed_memory() is False


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_freed_memory() is False
    assert memory.return_freed_memory() is False
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False
