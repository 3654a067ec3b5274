"""The page of what was wrong in the existing DaCapo and is not here, and what no other test shows of it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import dacapo
from dacapo.config import build
from dacapo.errors import DacapoError, InvalidArray
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import NumpyArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import open_zarr
from dacapo.experiments.run import Run
from dacapo.experiments.tasks import AffinitiesTaskConfig
from dacapo.experiments.tasks.predictors import AffinitiesPredictor
from dacapo.store.create_store import create_array_store, create_stats_store, create_weights_store
from dacapo.testing import tiny_run
from dacapo.testing.tiny import tiny_datasplit, tiny_volume
from dacapo.train import train_run
from dacapo.validate import validate_run

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "mended.md").read_text()
ROWS = dict(re.findall(r"^\| (B\d+) \| (.*) \|$", PAGE, flags=re.M))
LATER = "not built yet"


def test_every_bug_of_the_list_is_on_the_page_once_and_in_its_order():
    assert re.findall(r"^\| (B\d+) \|", PAGE, flags=re.M) == [f"B{n}" for n in range(1, 56)]
    assert len(ROWS) == 55 and all(row.count(" | ") == 2 for row in ROWS.values())


@pytest.mark.parametrize("bug", ROWS)
def test_what_is_said_to_be_right_has_a_test_that_exists(bug):
    named = re.findall(r"`([\w/-]+\.py)::(\w+)`", ROWS[bug])
    assert named or LATER in ROWS[bug]
    for path, name in named:
        file = ROOT / (path if path.startswith("plugins/") else f"tests/{path}")
        assert re.search(rf"^(def {name}\(|{name} = )", file.read_text(), flags=re.M), f"{path}::{name}"


def test_a_validation_that_fails_ends_training_and_is_named(tmp_path):
    """B22, B23: a failure is not a line in a log, nor a row of scores that is too short."""
    config = tiny_run(tmp_path / "data", num_iterations=2, validation_interval=2)
    run = Run(config)

    def fail(*arguments):
        raise DacapoError("the disk is full of snow")

    run.task.evaluator.evaluate = fail
    with pytest.raises(DacapoError, match="snow"):
        train_run(run, device="cpu")
    assert create_stats_store().retrieve_validation_iteration_scores(config) == []
    assert create_weights_store().latest_iteration(config) == 2
    train_run(Run(config), device="cpu")
    assert [each.iteration for each in create_stats_store().retrieve_validation_iteration_scores(config)] == [
        2
    ]


def test_lines_of_logs_have_a_place_for_each_argument():
    """B33: what is given to a logger beyond its placeholders ends in a traceback instead of the line."""
    seen = 0
    for path in (ROOT / "dacapo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger.")):
                continue
            text, *values = node.args
            if isinstance(text, ast.Constant):
                places = re.findall(r"%[-\d.]*[a-z]", str(text.value).replace("%%", ""))
                assert len(places) == len(values), f"{path.name}:{node.lineno}"
                seen += 1
    assert seen > 20


def test_what_is_validated_is_the_data_as_it_is_now(trained, tmp_path):
    """B43: images were copied once for a name of a run, and compared with newer ground truth ever after."""
    before = validate_run(Run(trained), 0, device="cpu", keep_all=True)
    other = tiny_volume(tmp_path / "other.zarr", seed=5)
    [dataset] = trained.datasplit_config.validate_configs
    moved = dataset.gt_config.source_array_config.replace(file_name=other)
    raw = dataset.raw_config.source_array_config.replace(file_name=other)
    changed = dataset.replace(
        gt_config=dataset.gt_config.replace(source_array_config=moved),
        raw_config=dataset.raw_config.replace(source_array_config=raw),
    )
    split = trained.datasplit_config.replace(validate_configs=[changed])
    after = validate_run(Run(trained.replace(datasplit_config=split)), 0, device="cpu")
    again = Run(trained.replace(datasplit_config=split, name="another"))
    assert not np.array_equal(before.scores, after.scores, equal_nan=True)
    np.testing.assert_array_equal(validate_run(again, 0, device="cpu").scores, after.scores)


def test_a_volume_of_one_section_and_one_channel_keeps_its_axes(tmp_path):
    """B43: every axis of length 1 was dropped from what is validated."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "raw.npy", rng.random((1, 1, 24, 24), np.float32))
    np.save(tmp_path / "gt.npy", rng.integers(0, 2, (1, 1, 24, 24), np.uint8))
    arrays = {
        f"{name}_config": NumpyArrayConfig(
            name, file_name=tmp_path / f"{name}.npy", voxel_size=(8, 8, 8), axis_names=["c^", "z", "y", "x"]
        )
        for name in ("raw", "gt")
    }
    flat = CNNectomeUNetConfig(
        "flat", input_shape=(1, 24, 24), fmaps_in=1, fmaps_out=4, num_fmaps=4, fmap_inc_factor=2,
        downsample_factors=[(1, 2, 2)], padding="same",
        kernel_size_down=[[(1, 3, 3)] * 2] * 2, kernel_size_up=[[(1, 3, 3)] * 2],
    )  # fmt: skip
    split = tiny_datasplit(tmp_path / "data").replace(validate_configs=[RawGTDatasetConfig("flat", **arrays)])
    run = Run(tiny_run(tmp_path / "data", architecture=flat, datasplit=split))
    assert np.isfinite(np.array(validate_run(run, 0, device="cpu").scores)).any()
    where = create_array_store().validation_prediction_array(run.key, 0, run.datasplit.validate[0])
    assert open_zarr(where.container, where.dataset).shape == (1, 1, 24, 24)


def test_a_prediction_of_a_stored_run_is_that_of_its_checkpoint(trained, tmp_path):
    """B6: weights were loaded into a network that nobody used."""
    where = tmp_path / "data" / "validate.zarr"
    found = dacapo.predict(
        "tiny", 8, where, "raw", tmp_path / "out", device="cpu", output_dtype="float32", precision="fp32"
    )
    run = Run(trained)
    run.load_weights(create_weights_store().retrieve_weights("tiny", 8))
    raw = torch.from_numpy(np.array(run.datasplit.validate[0].raw.data, np.float32))
    with torch.no_grad():
        expected = run.model.eval()(raw[None, None] if raw.dim() == 3 else raw[None])[0]
    inner = (slice(None), *(slice(12, 28),) * 3)
    np.testing.assert_allclose(found.data[inner], expected.numpy()[inner], atol=0.02)


def test_rare_affinities_count_as_much_as_frequent_ones():
    """B10: without descriptors neither the balance nor the mask of affinities was looked at."""
    labels = np.ones((8, 8, 8), np.uint8)
    labels[:, :, 6:] = 2
    gt = NumpyArray(labels, (8, 8, 8))
    predictor = AffinitiesPredictor([(0, 0, 1)], lsds=False)
    target = predictor.create_target(gt)
    weight = predictor.create_weight(gt, target)[0].data
    together, apart = (float(weight[target.data == value].max()) for value in (1, 0))
    assert apart / together == pytest.approx(6)
    assert weight[target.data == 1].sum() == pytest.approx(weight[target.data == 0].sum())


def test_affinities_of_whole_numbers_are_refused():
    """B18: predictions of bytes, from 0 to 255, were compared with biases between 0 and 1."""
    task = build(AffinitiesTaskConfig.example())
    bytes_of = NumpyArray(np.full((4, 8, 8, 8), 200, np.uint8), (8, 8, 8))
    with pytest.raises(InvalidArray, match="affinities are between 0 and 1"):
        task.post_processor.set_prediction(bytes_of)
