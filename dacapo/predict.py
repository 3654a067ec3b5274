"""Predicting with a run: any region of any array, tile by tile."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from funlib.geometry import Coordinate, Roi

from .compute_context import create_compute_context
from .errors import DuplicateNameError, InvalidRequest
from .progress import Progress
from .store.array_store import LocalArrayIdentifier
from .store.create_store import create_config_store, create_weights_store

if TYPE_CHECKING:
    from .experiments.datasplits.datasets.arrays.array import Array
    from .experiments.run import Run
    from .experiments.run_config import RunConfig

logger = logging.getLogger(__name__)


def predict(
    run_name: str | Run,
    iteration: int | str | None,
    input_container: str | Path | LocalArrayIdentifier,
    input_dataset: str | None = None,
    output_path: str | Path | LocalArrayIdentifier | None = None,
    output_roi: Roi | str | None = None,
    num_workers: int = 1,
    output_dtype: Any = "uint8",
    overwrite: bool = True,
    *,
    device: str | None = None,
    precision: str = "auto",
) -> Array:
    """Predict a region of an array with a run and return the array that was written.

    ``iteration`` is a checkpoint, ``"latest"``, ``"best"`` (of the first score that the task
    ranks checkpoints by), ``"best <dataset>/<criterion>"``, or None for the weights a ``Run``
    object holds, else the latest.
    ``output_path`` is a folder, in which ``<input name>.zarr/prediction_<run>_<iteration>`` is
    made, or a container ending in ``.zarr``.  ``output_roi`` is in world units, a ``Roi`` or
    text such as ``[0:800,0:400,0:400]``; by default the whole input.

    Input of whole numbers is normalised as the run's training data was.  Integer types of output
    scale the range of the prediction, 0..1 for probabilities and -1..1 otherwise,
    to that of the type.  Raises ``NotFound``, ``MissingData``, ``InvalidArray``, ``OutsideData``,
    and ``DuplicateNameError`` if the output exists and ``overwrite`` is off.
    """
    # Imported here, as in all verbs: importing DaCapo should not wait for what a run needs.
    from .experiments.datasplits.datasets.arrays.zarr_container import is_there, location
    from .experiments.run import Run

    run: Run = (
        run_name
        if isinstance(run_name, Run)
        else Run(create_config_store().retrieve_run_config(run_name), load_starter_model=False)
    )
    run.ready("predict")
    if num_workers < 1:
        raise InvalidRequest(f"num_workers = {num_workers}: should be at least 1")
    source: Any = input_container
    if not hasattr(source, "container"):  # existing scripts pass identifiers, too
        source = LocalArrayIdentifier(Path(source), str(input_dataset))
    raw = open_input(run.config, Path(source.container), source.dataset)
    iteration = load_iteration(run, iteration, isinstance(run_name, Run))
    target = _output(output_path, Path(source.container), run.key, iteration)
    if not overwrite and is_there(target.container, target.dataset):
        raise DuplicateNameError(
            f"{location(target.container, target.dataset)} exists; choose another output, or pass --overwrite"
        )
    roi = _region(output_roi, raw, run.model.scale(raw.voxel_size))
    title = f"predicting with {run.key} at {iteration}"
    return predict_into(run, raw, target, roi, title, dtype=output_dtype, device=device, precision=precision)


def predict_into(
    run: Run,
    raw: Array,
    target: LocalArrayIdentifier,
    roi: Roi,
    title: str,
    *,
    dtype: Any = "float32",
    device: str | None = None,
    precision: Any = "auto",
) -> Array:
    """Predict a region with the weights that a run holds into a new array, showing progress."""
    # Imported here: the verbs are imported by everyone, torch and tensorstore only by who computes.
    from .experiments.datasplits.datasets.arrays.zarr_array import create_zarr
    from .predict_local import plan
    from .predict_local import predict as predict_tiles

    device = device or str(create_compute_context().device)
    # What does not fit is said before anything is written.
    tiles, voxel_size = plan(run.model, raw, roi, device), run.model.scale(raw.voxel_size)
    prediction: Array = create_zarr(
        target.container,
        target.dataset,
        shape=(run.model.num_out_channels, *(roi.shape / voxel_size)),
        dtype=dtype,
        voxel_size=voxel_size,
        offset=roi.offset,
        axis_names=["c^", *raw.axis_names[-raw.dims :]],
        units=raw.units,
        overwrite=True,
    )
    with Progress(title, len(tiles), unit="tile") as progress:
        predict_tiles(
            run.model,
            raw,
            prediction,
            roi,
            device=device,
            precision=precision,
            progress=lambda done, total: progress.to(done),
        )
    return prediction


def open_input(run_config: RunConfig, container: Path, dataset: str) -> Array:
    """Open an array to predict; whole numbers are normalised as the run's training data was."""
    # Imported here: see predict.
    from .experiments.datasplits.configs import SimpleDataSplitConfig
    from .experiments.datasplits.datasets.arrays.configs import IntensitiesArrayConfig, ZarrArrayConfig
    from .experiments.datasplits.datasets.configs import SimpleDatasetConfig
    from .experiments.run_config import parts

    source = ZarrArrayConfig(dataset, file_name=container, dataset=dataset, mode="r")
    raw = source.array()
    if raw.dtype.kind == "f":
        return raw
    for part in parts(run_config.datasplit_config):
        if isinstance(part, IntensitiesArrayConfig):
            low, high = part.min, part.max
            break
        if isinstance(part, SimpleDatasetConfig | SimpleDataSplitConfig):
            low, high = 0.0, float(2 ** (8 * raw.dtype.itemsize) - 1)
            break
    else:
        return raw
    logger.info("%s: %g becomes 0 and %g becomes 1, as in training", raw.name, low, high)
    return IntensitiesArrayConfig(dataset, source_array_config=source, min=low, max=high).array()


def load_iteration(run: Run, iteration: int | str | None, holds_weights: bool = False) -> int:
    """Load the weights asked for into a run and return their iteration."""
    if iteration is None and holds_weights:
        return run.training_stats.trained_until()
    weights_store = create_weights_store()
    number = weights_store.iteration_by(run, "latest" if iteration is None else str(iteration))
    run.load_weights(weights_store.retrieve_weights(run, number))
    return number


def parse_roi(text: str) -> Roi:
    """Read a region written as ``[begin:end,begin:end,...]``, in world units."""
    if not re.fullmatch(r"\[?\s*-?\d+\s*:\s*-?\d+(\s*,\s*-?\d+\s*:\s*-?\d+)*\s*\]?", text.strip()):
        raise InvalidRequest(f"{text!r} is no region; write it as [0:800,0:400,0:400], in world units")
    pairs = [tuple(int(n) for n in pair.split(":")) for pair in text.strip().strip("[]").split(",")]
    begin, end = Coordinate(p[0] for p in pairs), Coordinate(p[1] for p in pairs)
    if any(e <= b for b, e in pairs):
        raise InvalidRequest(f"{text!r}: every end should lie behind its begin")
    return Roi(begin, end - begin)


def _region(wanted: Roi | str | None, raw: Array, voxel_size: Coordinate) -> Roi:
    if wanted is None:
        return raw.roi.snap_to_grid(voxel_size, mode="shrink")
    roi = parse_roi(wanted) if isinstance(wanted, str) else wanted
    if roi.dims != raw.dims:
        raise InvalidRequest(f"the region {roi} has {roi.dims} axes, {raw.name} has {raw.dims}")
    return roi.snap_to_grid(voxel_size, mode="grow")


def _output(path: Any, source: Path, run: str, iteration: int) -> LocalArrayIdentifier:
    if hasattr(path, "container"):
        return LocalArrayIdentifier(Path(path.container), str(path.dataset))
    if path is None:
        raise InvalidRequest("predict needs an output_path: a folder, or a container ending in .zarr")
    where = Path(path)
    if where.suffix not in (".zarr", ".n5"):
        where = where / f"{source.stem}.zarr"
    return LocalArrayIdentifier(where, f"prediction_{run}_{iteration}")
