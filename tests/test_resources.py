"""What runs need and machines have."""

from __future__ import annotations

import pytest

from dacapo.errors import InvalidRequest
from dacapo.resources import machine_resources, read_resources, write_resources


def test_resources_are_read_as_they_are_written():
    resources = read_resources(["memory=32, gpus=1", "a100=2"])
    assert resources == {"memory": 32, "gpus": 1, "a100": 2}
    assert write_resources(resources) == "a100=2,gpus=1,memory=32"
    assert read_resources([write_resources(resources)]) == resources
    assert read_resources([]) == {}


@pytest.mark.parametrize("text", ["gpus", "gpus=", "gpus=-1", "gpus=1.5", "=1", "GPUs=1", "gpus=1=2"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(InvalidRequest, match=r"no amount of a resource; write it as  gpus=1"):
        read_resources([text])


@pytest.mark.parametrize(
    ("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("0, 3", 2), ("GPU-8932f937", 1)]
)
def test_the_machine_is_described(monkeypatch, visible, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = machine_resources()
    assert found["gpus"] == count
    assert found["cpus"] >= 1 and found["memory"] >= 1
