"""Predicting a region of an array in this process, tile by tile.

One thread reads ahead, this one computes, another writes behind, so that the network never
waits for files.  Memory is bound by the tile, not by the volume.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi
from torch import Tensor, nn

from dacapo.errors import InvalidArray, InvalidRequest, OutsideData, Stopped
from dacapo.experiments.bf16 import computes_bf16
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NDArray, NumpyArray
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr
from dacapo.experiments.memory import keep_freed_memory
from dacapo.experiments.tiling import Tile, Tiling, tiles_covering

if TYPE_CHECKING:
    from dacapo.experiments.model import Model

# Bytes of feature maps.  Larger tiles see less twice, but fall out of the caches of a CPU.
MOST_PER_TILE = 5 * 2**28
AHEAD = 2
TOLERANCE = 0.02
WORTH_A_CHECK = 4  # tiles: what bfloat16 saves on fewer is less than the check of it costs


def predict(
    model: Model,
    raw: Array | Any,
    prediction: Array | Any | None = None,
    output_roi: Roi | None = None,
    *,
    device: str | torch.device | None = None,
    precision: str = "auto",
    tile_shape: Coordinate | None = None,
    progress: Callable[[int, int], object] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Array:
    """Write what a model predicts for a region of ``raw`` into ``prediction`` and return that.

    ``output_roi`` is in world units, grown to whole voxels of the prediction, and by default all of
    ``raw``; what the network sees beyond the data is 0.  Without ``prediction`` an array in memory
    is made, and for an identifier (``container``, ``dataset``) a new zarr; ``raw`` may be one, too.
    Integer arrays get the range of the prediction, 0..1 behind a sigmoid or softmax and -1..1
    otherwise, scaled to that of their type.

    ``precision="auto"`` computes in bfloat16 where the device gains by it and a tile from the middle
    of the region shows that the result holds: its root-mean-square error is below 2 % of the spread
    of the prediction.  ``device`` None is where the model is; the model is given back as it was.
    ``tile_shape`` is the input of a tile in voxels; by default it is chosen to fit memory, at least
    ``model.eval_input_shape``.  ``progress(done, total)`` is called for every tile, and once
    ``stop()`` is true no further one is begun and ``Stopped`` raised.

    Raises ``InvalidArray``, ``OutsideData``, ``ShapeError`` or ``InvalidRequest`` for what does not fit.
    """
    device = torch.device(device) if device is not None else _device_of(model)
    if not isinstance(raw, Array):
        raw = open_zarr(raw.container, raw.dataset)
    tiling = plan(model, raw, output_roi, device, tile_shape)
    output = prediction if isinstance(prediction, Array) else _new_output(model, raw, tiling, prediction)
    _check_output(model, output, tiling)
    with lent(model, device):
        network = Network(model, device, _chosen(precision, model, device, raw, tiling))
        for done in _flow(network, raw, output, tiling):
            if progress is not None:
                progress(done, len(tiling))
            if stop is not None and done < len(tiling) and stop():
                raise Stopped(
                    f"prediction of {raw.name} was stopped after {done} of {len(tiling)} tiles; "
                    "run it again to have all of it"
                )
    return output


def plan(
    model: Model,
    raw: Array,
    output_roi: Roi | None,
    device: str | torch.device,
    tile_shape: Coordinate | None = None,
) -> Tiling:
    """Return the tiles that ``predict`` would compute; raises what it would for data that does not fit."""
    _check_raw(model, raw)
    return tiles_covering(model, raw, output_roi, tile_shape, _voxels_that_fit(model, torch.device(device)))


class Network:
    """A model ready to compute tiles: on its device, in its memory format and precision."""

    def __init__(self, model: Model, device: torch.device, dtype: torch.dtype | None) -> None:
        self.model, self.device, self.dtype = model, device, dtype
        # Convolutions of volumes with channels last gain on CPUs always, on GPUs in bfloat16 only.
        if device.type == "cpu" or dtype is not None:
            self.format = {2: torch.channels_last, 3: torch.channels_last_3d}[model.dims]
        else:
            self.format = torch.contiguous_format
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.dim() == model.dims + 2:
                tensor.data = tensor.data.contiguous(memory_format=self.format)

    def __call__(self, block: NDArray) -> Tensor:
        """Return the prediction (channels, spatial...) for a block of raw, still on the device."""
        tensor = torch.from_numpy(block)[None].to(self.device, non_blocking=True)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype is not None),
        ):
            result: Tensor = self.model(tensor.contiguous(memory_format=self.format))
        return result[0]


def agree(exact: Tensor, rough: Tensor) -> bool:
    """Say whether a rougher computation gives the same prediction, within ``TOLERANCE``."""
    error = (exact - rough).float().square().mean().sqrt()
    spread = torch.maximum(exact.float().std(correction=0), exact.abs().max() / 5)
    return bool(error <= TOLERANCE * spread)


def _chosen(
    precision: str, model: Model, device: torch.device, raw: Array, tiling: Tiling
) -> torch.dtype | None:
    """Return the type to compute in, None for that of the weights."""
    if precision not in ("auto", "fp32", "bf16"):
        raise InvalidRequest(f"precision = {precision!r}: should be 'auto', 'fp32' or 'bf16'")
    if precision == "bf16":
        return torch.bfloat16
    if precision == "fp32" or len(tiling) < WORTH_A_CHECK or not computes_bf16(device):
        return None
    block = _read(raw, tiling[len(tiling) // 2])
    exact, rough = (Network(model, device, dtype)(block) for dtype in (None, torch.bfloat16))
    return torch.bfloat16 if agree(exact, rough) else None


def _flow(network: Network, raw: Array, output: Array, tiling: Tiling) -> Iterator[int]:
    """Predict all tiles, and yield after each how many are written."""
    reads: deque[Future[NDArray]] = deque()
    writes: deque[Future[None]] = deque()
    done = 0
    ahead = iter(tiling)
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        try:
            reads.extend(reader.submit(_read, raw, tile) for tile in islice(ahead, AHEAD))
            for tile in tiling:
                block = reads.popleft().result()
                reads.extend(reader.submit(_read, raw, tile) for tile in islice(ahead, 1))
                result = network(block)
                writes.append(writer.submit(_write, output, tile, result, network.model))
                while len(writes) > AHEAD or (writes and writes[0].done()):
                    writes.popleft().result()
                    done += 1
                    yield done
            while writes:
                writes.popleft().result()
                done += 1
                yield done
        finally:
            # Otherwise a failure would wait for tiles nobody wants any more.
            reader.shutdown(cancel_futures=True)


def _read(raw: Array, tile: Tile) -> NDArray:
    block = raw.to_ndarray(tile.read, fill_value=0)
    if raw.num_channels is None:
        block = block[None]
    return np.ascontiguousarray(block, np.float32)


def _write(output: Array, tile: Tile, result: Tensor, model: Model) -> None:
    values = result[(slice(None), *tile.crop)].float().cpu().numpy()
    if output.num_channels is None:
        values = values[0]
    if output.dtype.kind in "ui":
        low = 0 if isinstance(model.eval_activation, nn.Sigmoid | nn.Softmax) else -1
        most = np.iinfo(output.dtype).max
        values = np.rint(np.clip((values - low) / (1 - low), 0, 1) * most).astype(output.dtype)
    writable: Any = output
    writable[tile.write] = values


@contextmanager
def lent(model: Model, device: torch.device, keep_memory: bool = True) -> Iterator[None]:
    """Put a model into eval mode on a device, and give it back as it was."""
    home = _device_of(model)
    modes = [(module, module.training) for module in model.modules()]
    model.eval().to(device)
    tensors = [(tensor, tensor.data) for tensor in [*model.parameters(), *model.buffers()]]
    if device.type == "cpu" and keep_memory:
        keep_freed_memory()
    try:
        yield
    finally:
        for tensor, data in tensors:
            tensor.data = data
        model.to(home)
        for module, training in modes:
            module.training = training


def _device_of(model: Model) -> torch.device:
    return next((tensor.device for tensor in model.parameters()), torch.device("cpu"))


def _voxels_that_fit(model: Model, device: torch.device) -> int:
    """Return how many voxels the input of a tile may have for its feature maps to fit in memory."""
    shape = model.eval_input_shape
    free: int = 2 * MOST_PER_TILE if device.type != "cuda" else torch.cuda.mem_get_info(device)[0]
    return int(free // 2 * math.prod(shape) // model.footprint(shape))


def _new_output(model: Model, raw: Array, tiling: Tiling, where: Any) -> Array:
    """Make an array of zeros for the prediction, in memory or in a container."""
    shape = (model.num_out_channels, *(tiling.region.shape / tiling.output_voxel_size))
    geometry: dict[str, Any] = {
        "voxel_size": tiling.output_voxel_size,
        "offset": tiling.region.offset,
        "axis_names": ["c^", *raw.axis_names[-raw.dims :]],
        "units": raw.units,
    }
    if where is None:
        return NumpyArray(np.zeros(shape, np.float32), **geometry, name=f"prediction of {raw.name}")
    return create_zarr(where.container, where.dataset, shape, np.float32, **geometry, overwrite=True)


def _check_raw(model: Model, raw: Array) -> None:
    whose, channels = f"the network {model.architecture.name!r}", raw.num_channels or 1
    if raw.dims != model.dims:
        hint = "; give a 2D network for 3D data an input_shape (1, y, x) and kernels (1, 3, 3)"
        raise InvalidArray(
            f"{whose} has {model.dims} spatial axes and {raw.name} has {raw.dims}"
            + (hint if (model.dims, raw.dims) == (2, 3) else "")
        )
    if channels != model.num_in_channels:
        raise InvalidArray(
            f"{whose} takes {model.num_in_channels} channels and {raw.name} has {channels}; "
            f"choose another array, or train with fmaps_in={channels}"
        )


def _check_output(model: Model, output: Array, tiling: Tiling) -> None:
    if not hasattr(output, "__setitem__"):
        raise InvalidArray(f"{output.name} is a {type(output).__name__}, which cannot be written to")
    if output.dims != model.dims or (output.num_channels or 1) != model.num_out_channels:
        raise InvalidArray(
            f"{output.name} has {output.num_channels or 1} channels and {output.dims} spatial axes; the "
            f"prediction of {model.architecture.name!r} has {model.num_out_channels} and {model.dims}"
        )
    if output.voxel_size != tiling.output_voxel_size:
        raise InvalidArray(
            f"{output.name} has voxels of {tuple(output.voxel_size)}, the prediction has "
            f"{tuple(tiling.output_voxel_size)}; create the output with that voxel size"
        )
    if not (tiling.region.offset - output.offset).is_multiple_of(output.voxel_size):
        raise InvalidArray(
            f"{output.name} begins at {tuple(output.offset)}, which is not on the grid of the prediction, "
            f"{tuple(tiling.region.offset)} in steps of {tuple(output.voxel_size)}"
        )
    if not output.roi.contains(tiling.region):
        raise OutsideData(f"{output.name} covers {output.roi}, and {tiling.region} is to be predicted")
