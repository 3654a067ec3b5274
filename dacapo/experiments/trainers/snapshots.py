"""Keeping what a network saw and made in one iteration, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from funlib.geometry import Coordinate

from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr

from .batches import Batch
from .patch_source import PatchShape

NDArray = np.ndarray[Any, Any]


def save_snapshot(
    container: Path | str, iteration: int, shape: PatchShape, batch: Batch, prediction: torch.Tensor
) -> None:
    """Write the first sample of a batch to ``<iteration>/volumes/<name>`` of a zarr container.

    Names are raw, gt, target, weight, mask, prediction, and gradients: of the loss, by the prediction.
    """
    patch, gradient = batch.first.patch, prediction.grad
    assert gradient is not None  # it is retained before the loss is propagated back
    everywhere = np.ones(patch.gt.shape[-shape.gt_roi.dims :], np.uint8)
    output, gt_begin = (
        (shape.gt_voxel_size, shape.output_roi.begin),
        (shape.gt_voxel_size, shape.gt_roi.begin),
    )
    volumes: dict[str, tuple[NDArray, tuple[Coordinate, Coordinate]]] = {
        "raw": (patch.raw, (shape.voxel_size, shape.input_roi.begin)),
        "gt": (patch.gt, gt_begin),
        "mask": (everywhere if patch.mask is None else patch.mask, gt_begin),
        "target": (batch.first.target, output),
        "weight": (batch.first.weight, output),
        "prediction": (prediction[0].detach().float().cpu().numpy(), output),
        "gradients": (gradient[0].float().cpu().numpy(), output),
    }
    for name, (data, (voxel_size, offset)) in volumes.items():
        _write(container, f"{iteration}/volumes/{name}", data, voxel_size, offset)


def _write(
    container: Path | str, name: str, data: NDArray, voxel_size: Coordinate, offset: Coordinate
) -> None:
    if data.ndim > len(voxel_size) and len(data) == 1:
        data = data[0]
    if data.dtype == bool:
        data = data.astype(np.uint8)
    array = create_zarr(container, name, data.shape, data.dtype, voxel_size, offset, overwrite=True)
    array[array.roi] = data
