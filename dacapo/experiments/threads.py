"""How the cores of a machine are shared between the network and what feeds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_OWN_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def room_for_workers(device: Any) -> Iterator[None]:
    """Leave one core to the threads that make batches while the body trains on the CPU.

    The threads of a layer wait for the slowest of them.  If one has to share its core with a
    worker, all stand still with it: on two cores that had other work too, two threads trained at a
    third of the rate of one.  Settings of the environment or of ``torch.set_num_threads`` stay.
    """
    cores, before = len(os.sched_getaffinity(0)), torch.get_num_threads()
    chosen = any(name in os.environ for name in _OWN_SETTINGS) or before < cores
    if torch.device(device).type != "cpu" or chosen or cores < 2:
        yield
        return
    torch.set_num_threads(cores - 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
