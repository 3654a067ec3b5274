"""What a run needs of a machine, and what a machine has: names and whole numbers.

``cpus``, ``gpus`` and ``memory`` (in GB) are known by themselves; any other name, such as
``a100``, means what the people of one store agree on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import InvalidRequest

_PAIR = re.compile(r"([a-z][a-z0-9_-]{0,39})=(\d{1,9})")


def read_resources(texts: Iterable[str]) -> dict[str, int]:
    """Return what texts such as ``gpus=1`` or ``gpus=1,memory=32`` say.

    Raises ``InvalidRequest`` for what does not read so.
    """
    found: dict[str, int] = {}
    for text in texts:
        for pair in filter(None, re.split(r"[\s,]+", text)):
            if (match := _PAIR.fullmatch(pair)) is None:
                raise InvalidRequest(
                    f"{pair!r} is no amount of a resource; write it as  gpus=1  or  gpus=1,memory=32"
                )
            found[match[1]] = int(match[2])
    return found


def write_resources(resources: Mapping[str, int]) -> str:
    """Return resources as ``read_resources`` reads them."""
    return ",".join(f"{name}={amount}" for name, amount in sorted(resources.items()))


def machine_resources() -> dict[str, int]:
    """Return what this process may use of its machine: ``cpus``, ``gpus``, and ``memory`` in GB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpus": len(os.sched_getaffinity(0)), "gpus": _gpus(), "memory": round(memory / 1e9)}


def _gpus() -> int:
    """Count the GPUs that may be used, without the seconds that asking torch takes."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in visible.split(",")]
        return len([name for name in names if name and name != "-1"])
    listed = Path("/proc/driver/nvidia/gpus")
    return len(list(listed.iterdir())) if listed.is_dir() else 0
