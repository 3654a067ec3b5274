"""``dacapo demo`` from nothing to a report, and again, on a volume and a training of a few seconds."""

from __future__ import annotations

import os

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from funlib.geometry import Coordinate, Roi

from dacapo.cli import cli
from dacapo.demo import demo, experiment
from dacapo.errors import DuplicateNameError, InvalidRequest, Stopped
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import open_zarr
from dacapo.store.create_store import create_config_store, create_stats_store

ITERATIONS = 4


def short(volume):
    config = _full(volume)
    return config.replace(
        num_iterations=ITERATIONS,
        validation_interval=2,
        trainer_config=config.trainer_config.replace(
            learning_rate=1e-2, warmup_iterations=1, precision="fp32"
        ),
    )


_full = experiment.run_config


@pytest.fixture(autouse=True, scope="module")
def small():
    patch = pytest.MonkeyPatch()
    for name, value in {
        "SHAPE": Coordinate(32, 64, 96),
        "TRAINING": Roi((0, 0, 0), (32, 64, 64)),
        "VALIDATION": Roi((4, 16, 64), (24, 32, 32)),
        "PATCH": Coordinate(16, 16, 16),
    }.items():
        patch.setattr(experiment, name, value)
    yield patch
    patch.undo()


def run_demo(folder, **options):
    said = []
    return demo.run_demo(folder, run_config=short, say=said.append, **options), said


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Options that the demo must not use."""
    file = tmp_path / "dacapo.yaml"
    file.write_text(yaml.safe_dump({"type": "mongo", "mongo_db_host": "mongodb://nowhere"}))
    monkeypatch.setenv("DACAPO_OPTIONS_FILE", str(file))
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "elsewhere"))
    return file


def test_it_goes_all_the_way_inside_its_folder(tmp_path, outside):
    outcome, said = run_demo(tmp_path / "demo")
    assert outcome.report == tmp_path / "demo" / "report.html"
    assert outcome.report.stat().st_size > 10_000
    assert len(said) == 3
    assert not (tmp_path / "elsewhere").exists()
    assert os.environ["DACAPO_OPTIONS_FILE"] == str(outside)
    assert os.environ["DACAPO_RUNS_BASE_DIR"] == str(tmp_path / "elsewhere")

    at = {"runs_base_dir": tmp_path / "demo" / "runs", "type": "files"}
    store = create_config_store(**at)
    assert store.names("runs") == ["demo"]
    for kind in ("tasks", "architectures", "trainers", "datasplits"):
        assert len(store.names(kind)) == 1
    scores = create_stats_store(**at).retrieve_validation_scores("demo")
    assert scores.iterations == [2, 4]
    assert outcome.best == scores.best("held out", demo.CRITERION)
    assert create_stats_store(**at).retrieve_training_stats("demo").trained_until() == ITERATIONS

    result = tmp_path / "demo" / "result.zarr"
    prediction, segmentation = open_zarr(result, "prediction"), open_zarr(result, "segmentation")
    assert prediction.shape == segmentation.shape == (1, *experiment.VALIDATION.shape)
    above = prediction.data > outcome.best.parameters.threshold
    np.testing.assert_array_equal(segmentation.data, above.astype(np.uint8))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a demo that went all the way, and what it came to; for looking only."""
    folder = tmp_path_factory.mktemp("finished") / "demo"
    outcome, said = run_demo(folder)
    assert len(said) == 3
    return folder, outcome


def test_dacapo_finds_the_demo_from_inside_its_folder(finished, monkeypatch):
    monkeypatch.delenv("DACAPO_RUNS_BASE_DIR")
    monkeypatch.chdir(finished[0])
    assert CliRunner().invoke(cli, ["stats", "demo", "--json"]).stdout.count('"iteration"') == ITERATIONS


def test_again_it_uses_what_is_there(finished):
    folder, first = finished
    volume = folder / "volume.zarr"
    before = volume.stat().st_mtime_ns
    second, said = run_demo(folder)
    assert len(said) == 2
    assert volume.stat().st_mtime_ns == before
    assert second.best == first.best
    np.testing.assert_array_equal(second.scores.array, first.scores.array)


def test_broken_off_it_goes_on(tmp_path, monkeypatch, finished):
    whole = finished[1]

    def stop_early(run):
        run.config.num_iterations = 2
        train_run(run)
        raise Stopped("asked to stop")

    train_run = demo.dacapo.train_run
    monkeypatch.setattr(demo.dacapo, "train_run", stop_early)
    with pytest.raises(Stopped):
        run_demo(tmp_path / "parts")
    monkeypatch.setattr(demo.dacapo, "train_run", train_run)
    parts, _ = run_demo(tmp_path / "parts")
    np.testing.assert_array_equal(parts.scores.array, whole.scores.array)


def test_afresh_it_begins_anew(tmp_path, finished):
    first = finished[1]
    leftover = tmp_path / "demo" / "volume.zarr"
    leftover.mkdir(parents=True)
    (tmp_path / "demo" / "dacapo.yaml").write_text("")
    for _ in range(2):
        again, said = run_demo(tmp_path / "demo", afresh=True)
        assert len(said) == 3
    np.testing.assert_array_equal(again.scores.array, first.scores.array)


def test_what_another_version_left_is_not_mixed_up(finished):
    other = short(finished[0] / "volume.zarr").replace(validation_interval=3)
    with pytest.raises(DuplicateNameError, match="--afresh"):
        demo.run_demo(finished[0], run_config=lambda volume: other, say=str)


def test_a_volume_that_was_not_finished_is_made_again(tmp_path, monkeypatch):
    create = demo.create_zarr

    def fail_on_labels(container, name, *rest, **options):
        if name == "labels":
            raise OSError("No space left on device")
        return create(container, name, *rest, **options)

    monkeypatch.setattr(demo, "create_zarr", fail_on_labels)
    with pytest.raises(OSError, match="No space"):
        demo.write_volume(tmp_path / "volume.zarr")
    assert not (tmp_path / "volume.zarr").exists()
    monkeypatch.setattr(demo, "create_zarr", create)
    demo.write_volume(tmp_path / "volume.zarr")
    assert open_zarr(tmp_path / "volume.zarr", "labels").data.max() == 1
    assert [path.name for path in tmp_path.glob("*.zarr")] == ["volume.zarr"]


@pytest.mark.parametrize("kind", ["a file", "a folder of somebody else"])
def test_files_of_others_are_left_alone(tmp_path, kind):
    place = tmp_path / "mine"
    mine = place if kind == "a file" else place / "thesis.tex"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("dear reader")
    with pytest.raises(InvalidRequest, match="--folder"):
        run_demo(place)
    assert mine.read_text() == "dear reader"
    assert list(mine.parent.glob("*.yaml")) == []


def test_the_command_prints_scores_and_the_best_checkpoint(tmp_path, monkeypatch, finished):
    folder = finished[0]
    monkeypatch.setattr(demo.run_demo, "__defaults__", (False, short, print))
    result = CliRunner().invoke(cli, ["demo", "--folder", str(folder)])
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    header = next(line for line in lines if line.startswith("dataset"))
    assert header.split()[:3] == ["dataset", "parameters", "dice"]
    assert sum(line.startswith("held out  threshold_") for line in lines) >= 3
    assert any(line.startswith("best: iteration") for line in lines)
    assert f"report: {folder / 'report.html'}" in lines
    (tmp_path / "thesis.tex").write_text("dear reader")
    assert CliRunner().invoke(cli, ["demo", "--folder", str(tmp_path)]).exit_code == 2


def test_the_real_demo_is_a_run_that_fits_its_volume(tmp_path, small):
    small.undo()
    config = _full(tmp_path / "volume.zarr")
    assert Roi((0, 0, 0), experiment.SHAPE).contains(experiment.TRAINING)
    assert Roi((0, 0, 0), experiment.SHAPE).contains(experiment.VALIDATION)
    assert not experiment.TRAINING.intersects(experiment.VALIDATION)
    assert config.num_iterations % config.validation_interval == 0
    assert len(config.task_config.thresholds) >= 5
