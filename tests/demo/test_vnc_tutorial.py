"""The tutorial and the benchmark train the same run, and writing it down needs no data."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from funlib.geometry import Coordinate

from benchmarks import vnc
from dacapo.config import build
from dacapo.store.create_store import create_config_store

PAGE = Path(__file__).parents[2] / "docs" / "tutorial_vnc.md"


def test_the_tutorial_stores_the_run_of_the_benchmark():
    source = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S))
    exec(compile(source, PAGE.name, "exec"), {"__name__": "__main__"})
    assert create_config_store().retrieve_run_config("vnc_mitochondria") == vnc.run_config(
        Path("vnc").absolute()
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Data in the layout of the real ones: a bright square on each section, of the section's number."""
    raw = np.zeros((16, 1024, 1024), np.uint8)
    for z in range(16):
        raw[z, 100:300, 200:400] = z + 100
    (tmp_path / "vnc").mkdir()
    tifffile.imwrite(tmp_path / "vnc" / "raw.tif", raw)
    tifffile.imwrite(tmp_path / "vnc" / "mitochondria.tif", (raw > 0).astype(np.uint8))
    return tmp_path / "vnc"


def test_training_and_validation_see_their_own_sections_only(folder):
    datasplit = build(vnc.run_config(folder).datasplit_config)
    for (dataset,), first, count in ((datasplit.train, 0, 12), (datasplit.validate, 12, 4)):
        assert dataset.raw.roi == dataset.gt.roi
        assert dataset.raw.voxel_size == dataset.gt.voxel_size == Coordinate(500, 92, 92)
        assert dataset.gt.spatial_shape == (count, 512, 512)
        inside = dataset.raw.data[:, 75, 150]
        np.testing.assert_allclose(inside, (np.arange(first, first + count) + 100) / 255, rtol=1e-5)
        assert dataset.gt.data.sum() == count * 100 * 100
    assert not datasplit.train[0].raw.roi.intersects(datasplit.validate[0].raw.roi)


def test_time_is_up_when_it_is_up(folder, tmp_path, monkeypatch):
    """A training of seconds stops at a checkpoint, and what it validated is measured."""
    full = vnc.run_config

    def short(folder):
        config = full(folder)
        architecture = config.architecture_config.replace(
            input_shape=(1, 32, 32), eval_shape_increase=(0, 480, 480), num_fmaps=2, fmaps_out=2,
            downsample_factors=[(1, 4, 4)], kernel_size_down=[[(1, 3, 3)]] * 2, kernel_size_up=[[(1, 3, 3)]],
        )  # fmt: skip
        return config.replace(architecture_config=architecture, validation_interval=2)

    monkeypatch.setattr(vnc, "run_config", short)
    monkeypatch.setenv("DACAPO_TYPE", "files")
    rows, curve = vnc.measure_in(folder, tmp_path / "results", minutes=0.15)
    assert curve.count("\n") >= 2
    assert "sections 12 to 15" in rows[0]["bar"]
    assert rows[0]["target"] == "≥ 0.75"
