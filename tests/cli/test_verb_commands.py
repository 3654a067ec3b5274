"""``dacapo train``, ``validate``, ``predict``, ``best`` and ``stats`` on a run of a few seconds."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from dacapo.cli import cli
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import open_zarr
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.testing import tiny_run
from dacapo.validate import validate as dacapo_validate


@pytest.fixture
def stored(tmp_path):
    config = tiny_run(tmp_path / "data", num_iterations=2, validation_interval=1)
    create_config_store().store_run_config(config)
    return config


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """Train and validate one run for all tests; return the folder of its data and of its stores."""
    folder = tmp_path_factory.mktemp("trained")
    config = tiny_run(folder / "data", num_iterations=2, validation_interval=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DACAPO_RUNS_BASE_DIR", str(folder / "runs"))
        create_config_store().store_run_config(config)
        result = CliRunner().invoke(cli, ["train", "tiny", "--device", "cpu"])
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    return folder


@pytest.fixture
def trained(trained_once, tmp_path):
    """Give a test a copy of the trained run, and return where the run's data is."""
    shutil.copytree(trained_once / "runs", tmp_path / "runs")
    return trained_once / "data"


def test_training_validates_and_can_be_read_about(dacapo, trained):
    rows = dacapo("stats", "tiny", "--json").json
    assert [row["iteration"] for row in rows] == [0, 1]
    assert all(row["loss"] > 0 and row["time"] > 0 for row in rows)
    table = dacapo("stats", "tiny", "--last", "1").stdout.splitlines()
    assert table[0].split()[:2] == ["iteration", "loss"]
    assert [line.split()[0] for line in table[2:]] == ["1"]

    rows = dacapo("best", "tiny", "--json").json
    assert {row["criterion"] for row in rows} <= {"ball__f1_score", "ball__voi"}
    (dice,) = dacapo("best", "tiny", "--criterion", "dice", "--json").json
    record = next(r for r in create_weights_store().best_by_scores("tiny") if r.criterion == "ball__dice")
    assert (dice["iteration"], dice["value"], dice["parameters"]) == (
        record.iteration, record.value, str(record.parameters)
    )  # fmt: skip
    assert (
        dacapo("best", "tiny", "--dataset", "validate", "--criterion", "ball__dice").stdout.count("\n") == 3
    )
    called = dacapo("best", "tiny", "--criterion", "dcie")
    assert called.exit_code == 3
    assert "run tiny has no best dcie; did you mean dice?" in called.stderr
    called = dacapo("best", "tiny", "--criterion", "precision", "--dataset", "nowhere")
    assert called.exit_code == 3 and "it has ball__dice on validate" in called.stderr


def test_validating_prints_the_scores_it_keeps(dacapo, trained):
    called = dacapo("validate", "-r", "tiny", "-i", 2, "--device", "cpu", "--json")
    assert called.exit_code == 0, called.stderr
    scores = create_stats_store().retrieve_validation_scores("tiny")
    assert len(called.json) == np.prod(scores.labels.shape)
    last = called.json[-1]
    assert (last["dataset"], last["parameters"], last["criterion"]) == (
        "validate", scores.parameter_names[-1], scores.criteria[-1]
    )  # fmt: skip
    np.testing.assert_equal(last["value"], scores.array[-1].ravel()[-1])
    table = dacapo("validate", "tiny", "-i", 2, "--device", "cpu").stdout.splitlines()
    assert table[0].split()[:4] == ["dataset", "parameters", "dice", "jaccard"]
    assert len(table) == 2 + len(scores.parameter_names)


def test_what_to_validate_is_named_as_everywhere(dacapo, trained):
    weights = create_weights_store()
    named = {word: weights.iteration_by("tiny", word) for word in ("best", "best validate/ball__dice", "1")}
    assert named["1"] == 1
    for word, iteration in named.items():
        assert dacapo("validate", "tiny", "-i", word, "--device", "cpu", "--json").exit_code == 0
        assert dacapo_validate("tiny", word, device="cpu").iteration == iteration


WRONG_ITERATIONS = {
    "77": "no checkpoint of iteration 77 in .*; there are: 1, 2",
    "newest": r"choose an iteration \(1, 2\), latest, or a score that ranks them; recorded are: va",
    "best validate/precison": r"by 'best validate/precison'; choose an iteration \(1, 2\), latest",
    "-1": r"choose an iteration \(1, 2\)",
}


@pytest.mark.parametrize("word", WRONG_ITERATIONS)
def test_what_names_no_checkpoint_is_answered_with_those_that_are_kept(dacapo, trained, word):
    called = dacapo("validate", "tiny", "-i", word)
    assert (called.exit_code, called.stdout) == (3, "")
    assert re.search(WRONG_ITERATIONS[word], called.stderr)


def test_predicting_says_where_the_prediction_is(dacapo, trained, tmp_path):
    source = trained / "validate.zarr"
    called = dacapo("predict", "tiny", source, "raw", tmp_path / "out", "-i", "latest", "--device", "cpu")
    assert called.exit_code == 0, called.stderr
    whole = open_zarr(tmp_path / "out" / "validate.zarr", "prediction_tiny_2")
    assert (whole.dtype, whole.shape) == (np.uint8, (1, 40, 40, 40))
    assert str(tmp_path / "out" / "validate.zarr") in called.stdout

    again = ("predict", "-r", "tiny", "-i", "2", "-ic", source, "-id", "raw", "-op", tmp_path / "out",
             "-roi", "[0:64,64:128,0:320]", "-dt", "float32", "-w", "1", "--device", "cpu")  # fmt: skip
    called = dacapo(*again)
    assert called.exit_code == 4
    assert "--overwrite" in called.stderr
    assert dacapo(*again, "-ow").exit_code == 0
    part = open_zarr(tmp_path / "out" / "validate.zarr", "prediction_tiny_2")
    assert (part.dtype, part.shape) == (np.float32, (1, 8, 8, 40))


WRONG_PREDICTIONS = {
    "no such checkpoint": (["-i", "77"], 3, "77"),
    "no words": (["-i", "newest"], 3, "choose an iteration (1, 2), latest, or a score"),
    "no region": (["-i", "2", "--roi", "all"], 2, "is no region"),
    "a flat region": (["-i", "2", "--roi", "[0:80,0:80]"], 2, "2 axes"),
    "an empty region": (["-i", "2", "--roi", "[0:0,0:80,0:80]"], 2, "behind its begin"),
    "an unknown dtype": (["-i", "2", "--output-dtype", "uint9"], 1, "uint9"),
    "no iteration": ([], 2, "--iteration"),
}


@pytest.mark.parametrize("kind", WRONG_PREDICTIONS)
def test_a_wrong_prediction_is_one_error_and_writes_nothing(dacapo, trained, tmp_path, kind):
    words, code, said = WRONG_PREDICTIONS[kind]
    called = dacapo("predict", "tiny", trained / "validate.zarr", "raw", tmp_path / "out", *words)
    assert said in called.stderr
    assert (called.exit_code, called.stdout) == (code, "")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("container", "dataset"), [("nowhere.zarr", "raw"), ("validate.zarr", "rwa")])
def test_data_that_is_not_there_is_one_error_and_writes_nothing(
    dacapo, trained, tmp_path, container, dataset
):
    called = dacapo("predict", "tiny", trained / container, dataset, tmp_path / "out", "-i", "2")
    assert (called.exit_code, called.stdout) == (3, "")
    assert container in called.stderr
    assert called.stderr.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_an_untrained_run_says_how_to_go_on(dacapo, stored, tmp_path):
    assert "dacapo train tiny" in dacapo("stats", "tiny").stderr
    assert "has not been validated" in dacapo("best", "tiny").stderr
    assert dacapo("stats", "tiny", "--json").json == []
    called = dacapo("validate", "tiny", "-i", "5")
    assert called.exit_code == 3
    called = dacapo(
        "predict", "tiny", tmp_path / "data" / "validate.zarr", "raw", tmp_path / "out", "-i", "best"
    )
    assert called.exit_code == 3
    assert "dacapo validate tiny" in called.stderr


def test_training_on_data_that_is_not_there_leaves_nothing(dacapo, tmp_path):
    config = tiny_run(tmp_path / "data")
    create_config_store().store_run_config(config)
    (tmp_path / "data" / "train.zarr").rename(tmp_path / "data" / "gone.zarr")
    called = dacapo("train", "tiny", "--device", "cpu")
    assert called.exit_code == 1
    assert str(tmp_path / "data" / "train.zarr") in called.stderr
    assert not len(create_stats_store().retrieve_training_stats("tiny"))
    assert not create_weights_store().iterations("tiny")


def test_a_patch_larger_than_the_data_is_one_error(dacapo, tmp_path):
    config = tiny_run(tmp_path / "data")
    config.architecture_config = config.architecture_config.replace(input_shape=(80, 80, 80))
    create_config_store().store_run_config(config)
    called = dacapo("train", "tiny", "--device", "cpu")
    assert called.exit_code == 1
    assert called.stderr.startswith("error: ")
    assert "Traceback" not in called.stderr


def test_a_signal_stops_training_at_a_checkpoint_with_exit_code_75(tmp_path):
    config = tiny_run(tmp_path / "data", num_iterations=100_000, validation_interval=100_000)
    create_config_store().store_run_config(config)
    source = "import dacapo.progress as p; p.SECONDS_BETWEEN_LINES = 0; from dacapo.cli import main; main()"
    command = [sys.executable, "-c", source, "train", "tiny", "--device", "cpu"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        for line in process.stderr:  # the first report of progress: it is under way
            if "training tiny" in line:
                break
        process.send_signal(signal.SIGUSR1)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75
    assert "go on with  dacapo train tiny" in said
    assert (
        create_weights_store().latest_iteration("tiny")
        == create_stats_store().retrieve_training_stats("tiny").trained_until()
    )
