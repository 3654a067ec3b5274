"""The whole way of an experiment, from raw data to a report, with nothing to prepare."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import attrs
import numpy as np
import yaml

import dacapo
from dacapo.errors import DuplicateNameError, InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.validation_scores import Best, ValidationScores
from dacapo.store.create_store import (
    create_array_store,
    create_config_store,
    create_stats_store,
    create_weights_store,
)
from dacapo.store.deletion import delete_run

from . import experiment
from .report import Report
from .volume import synthesize

COLUMNS = ("dice", "jaccard", "precision", "recall", "voi", "mean_false_distance")
CRITERION = f"{experiment.CHANNEL}__dice"
PREDICTION, SEGMENTATION = "prediction", "segmentation"
VERSIONS = ("dacapo", "torch", "numpy", "tensorstore")
_FOREIGN = ("TYPE", "RUNS_BASE_DIR", "COMPUTE_CONTEXT", "MONGO_DB_HOST", "MONGO_DB_NAME")


@attrs.frozen
class Outcome:
    """What the demo came to: its scores, the best of them, and the report."""

    scores: ValidationScores
    best: Best
    report: Path


def run_demo(
    folder: Path,
    afresh: bool = False,
    run_config: Callable[[Path], RunConfig] = experiment.run_config,
    say: Callable[[str], object] = print,
) -> Outcome:
    """Make a volume, train on it, validate, predict, segment and report, all inside of ``folder``.

    What an earlier demo left there is used, and its training gone on with, unless ``afresh``.
    ``say`` is told what is going on.
    """
    folder = folder.absolute()
    _check_folder(folder)
    seconds: dict[str, float] = {}
    with _options_of(folder), _stopwatch("in all", seconds):
        volume = folder / "volume.zarr"
        if afresh or not volume.exists():
            say("making a volume of tissue that never was")
            with _stopwatch("making the volume", seconds):
                write_volume(volume)
        run = Run(_stored(run_config(volume), afresh))
        with _stopwatch("training and validating", seconds):
            say(f"training {run.key} for {run.train_until} iterations")
            dacapo.train_run(run)
        scores = create_stats_store().retrieve_validation_scores(run)
        best = scores.best(experiment.HELD_OUT, CRITERION)
        if best is None:
            raise InvalidRequest(f"no validation of run {run.key} found anything; train it for longer")
        say("predicting and segmenting the held-out region")
        with _stopwatch("predicting and segmenting", seconds):
            _segment(run, best, volume, folder / "result.zarr")
    report = _report(run, scores, volume, folder, seconds)
    return Outcome(scores, best, report)


def write_volume(container: Path) -> None:
    """Write image and labels of the made-up tissue as a zarr container."""
    tissue = synthesize(tuple(experiment.SHAPE), experiment.SEED)
    # Under another name first, so that a demo that is broken off leaves no half of a volume.
    unfinished = container.with_name(f"{container.stem}-unfinished.zarr")
    for leftover in (container, unfinished):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, data in (("raw", tissue.raw), ("labels", tissue.mitochondria)):
        array = create_zarr(unfinished, name, data.shape, data.dtype, experiment.VOXEL_SIZE)
        array[array.roi] = data
    unfinished.rename(container)


def _check_folder(folder: Path) -> None:
    """Refuse to spread files among those of somebody else."""
    ours = (folder / "dacapo.yaml").exists() and (folder / "volume.zarr").parent.exists()
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not ours)):
        raise InvalidRequest(f"{folder} holds something else; choose a new folder with  --folder")
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _options_of(folder: Path) -> Iterator[None]:
    """Keep everything in the folder, whatever the options outside say.

    The options file stays there, so that ``dacapo`` called in the folder finds the demo's stores.
    """
    file = folder / "dacapo.yaml"
    options = {"type": "files", "runs_base_dir": str(folder / "runs")}
    file.write_text(yaml.safe_dump(options), encoding="utf-8")
    before = {name: os.environ.pop(name, None) for name in (f"DACAPO_{option}" for option in _FOREIGN)}
    before["DACAPO_OPTIONS_FILE"] = os.environ.get("DACAPO_OPTIONS_FILE")
    os.environ["DACAPO_OPTIONS_FILE"] = str(file)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _stopwatch(step: str, seconds: dict[str, float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begun


def _stored(config: RunConfig, afresh: bool) -> RunConfig:
    """Store the run and its parts, each also under its own name, and return it."""
    store = create_config_store()
    if afresh and config.key in store.names("runs"):
        stores = (create_stats_store(), create_weights_store(), create_array_store())
        delete_run(config, store, *stores)
    try:
        store.store_run_config(config)
    except DuplicateNameError as error:
        raise DuplicateNameError(
            f"the folder holds a demo of another version of DaCapo; begin anew with  --afresh\n{error}"
        ) from error
    store.store("tasks", config.task_config, replace=afresh)
    store.store("architectures", config.architecture_config, replace=afresh)
    store.store("trainers", config.trainer_config, replace=afresh)
    store.store("datasplits", config.datasplit_config, replace=afresh)
    return config


def _segment(run: Run, best: Best, volume: Path, container: Path) -> None:
    """Predict the held-out region with the best checkpoint and cut it at the best threshold."""
    region = run.datasplit.validate[0].gt
    assert region is not None
    from dacapo.store.array_store import LocalArrayIdentifier

    where = LocalArrayIdentifier(container, PREDICTION)
    prediction = dacapo.predict(
        run.key, best.iteration, volume, "raw", where, region.roi, output_dtype="float32"
    )
    segmentation = create_zarr(
        container, SEGMENTATION, prediction.shape, np.uint8, prediction.voxel_size, prediction.offset,
        axis_names=prediction.axis_names, overwrite=True,
    )  # fmt: skip
    run.task.post_processor.set_prediction(prediction)
    run.task.post_processor.process(best.parameters, segmentation)


def _report(
    run: Run, scores: ValidationScores, volume: Path, folder: Path, seconds: dict[str, float]
) -> Path:
    dataset = run.datasplit.validate[0]
    assert dataset.gt is not None
    roi = dataset.gt.roi
    stats = create_stats_store(runs_base_dir=folder / "runs", type="files").retrieve_training_stats(run)
    report = Report(
        title="DaCapo demo",
        lead="A 3D U-Net learned to find mitochondria in a made-up electron micrograph, by the signed "
        "distance of every voxel to the nearest surface.",
        stats=stats,
        scores=scores,
        dataset=experiment.HELD_OUT,
        criterion=CRITERION,
        columns=[f"{experiment.CHANNEL}__{name}" for name in COLUMNS],
        raw=open_zarr(volume, "raw")[roi],
        truth=open_zarr(volume, "labels")[roi],
        prediction=open_zarr(folder / "result.zarr", PREDICTION)[roi][0],
        segmentation=open_zarr(folder / "result.zarr", SEGMENTATION)[roi][0],
        config=yaml.safe_dump(dacapo.documents.write(run.config), sort_keys=False),
        seconds=seconds,
        versions={name: version(name) for name in VERSIONS}
        | {"python": platform.python_version(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"},
    )
    report.write(path := folder / "report.html")
    return path
