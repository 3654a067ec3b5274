"""One core is left to the workers, and whatever somebody has chosen stays."""

from __future__ import annotations

import pytest
import torch

from dacapo.experiments import threads
from dacapo.experiments.threads import room_for_workers


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_one_core_is_left_while_training_on_the_cpu():
    with pytest.raises(RuntimeError, match="inside"), room_for_workers("cpu"):
        assert torch.get_num_threads() == 3
        raise RuntimeError("inside")
    assert torch.get_num_threads() == 4


def test_a_gpu_needs_no_room():
    with room_for_workers("cuda"):
        assert torch.get_num_threads() == 4


def test_what_somebody_has_chosen_stays(monkeypatch):
    torch.set_num_threads(2)
    with room_for_workers("cpu"):
        assert torch.get_num_threads() == 2
    torch.set_num_threads(4)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with room_for_workers("cpu"):
        assert torch.get_num_threads() == 4
