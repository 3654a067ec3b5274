"""Predicting in this process, tile by tile, in memory that does not grow with the volume.

One thread reads the tiles to come, one writes those that are done, and the network works in
between.  Where the input of a tile reaches beyond the data it is filled with zeros.
"""

from __future__ import annotations

import copy
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, cast

import attrs
import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, InvalidRequest, OutsideData, ShapeError
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NDArray, NumpyArray
from dacapo.experiments.model import Model

logger = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "bf16"]

# Tiles that are read ahead, and that may wait to be written.
AHEAD = 2
# bf16 is taken if what it changes is at most this share of the spread of the prediction: its 8
# digits leave about 1 % after a dozen layers, and a broken layer far more.
BF16_TOLERANCE = 0.03
# Checking bf16 costs a tile in fp32, which a few tiles do not win back.
FEWEST_TILES_FOR_BF16 = 4


@attrs.frozen
class Tiling:
    """How a region is cut into tiles, all in world units."""

    roi: Roi
    step: Coordinate
    context: Coordinate

    def __len__(self) -> int:
        return math.prod(self.counts)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many tiles there are along each axis."""
        return tuple(math.ceil(size / step) for size, step in zip(self.roi.shape, self.step, strict=True))

    def outputs(self) -> Iterator[Roi]:
        """Yield the region that each tile predicts; the last ones overhang."""
        for index in itertools.product(*map(range, self.counts)):
            yield Roi(self.roi.offset + Coordinate(index) * self.step, self.step)

    def input_of(self, output: Roi) -> Roi:
        """Return what a tile has to see to predict ``output``."""
        return output.grow(self.context, self.context)


def predict(
    model: Model,
    raw_array_identifier: Array | Any,
    prediction_array_identifier: Any = None,
    output_roi: Roi | None = None,
    *,
    device: Any = None,
    precision: Precision = "auto",
    tile_shape: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Predict a region of ``raw`` into ``prediction`` and return it.

    Without a prediction array one is made in memory, float32, channels first.  ``output_roi`` is
    in world units, on the grid of the prediction's voxels, by default all of ``raw`` or of the
    prediction array.  ``tile_shape`` is the input of a tile in voxels, by default the model's
    ``eval_input_shape``.  Integer prediction arrays take the range of the prediction, 0..1 if
    the model ends in an activation and -1..1 otherwise, scaled to that of their type.

    ``precision="auto"`` computes in bf16 where the device has instructions for it and a check on
    the middle tile shows that the result holds, else in fp32.  The model is left as it is.
    ``progress`` is called with the tiles done and their total.

    Raises ``InvalidArray`` and ``OutsideData`` for data that does not fit, ``ShapeError`` for
    tiles that the network cannot take.
    """
    raw = _opened(raw_array_identifier, "r")
    given = None if prediction_array_identifier is None else _opened(prediction_array_identifier, "a")
    tiling = _tiling(model, raw, given, output_roi, tile_shape)
    prediction = _in_memory(model, raw, tiling.roi) if given is None else given
    _check_output(model, raw, prediction, tiling.roi)
    where = torch.device(device) if device is not None else _device_of(model)
    network = _Network(model, where)
    if network.is_better_in_bf16(precision, len(tiling)):
        middle = next(itertools.islice(tiling.outputs(), len(tiling) // 2, None))
        network.try_bf16(_tile(raw, tiling.input_of(middle)), precision)
    writer = _Writer(prediction, tiling.roi, model.eval_activation is not None)
    total = len(tiling)
    with ThreadPoolExecutor(1, "reads tiles") as readers, ThreadPoolExecutor(1, "writes tiles") as writers:
        written: list[Future[None]] = []
        for done, (output, tile) in enumerate(_read_ahead(readers, raw, tiling), start=1):
            result = network(tile)
            if len(written) >= AHEAD:
                written.pop(0).result()
            written.append(writers.submit(writer.write, output, result))
            if progress is not None:
                progress(done, total)
        for one in written:
            one.result()
    return prediction


class _Network:
    """A copy of a model, in the form that predicts fastest on a device."""

    def __init__(self, model: Model, device: torch.device) -> None:
        self.device = device
        # A copy, so that whoever trains the model finds it as it was, down to the order in memory.
        self.model = copy.deepcopy(model).to(device).eval().requires_grad_(False)
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        self.format = formats.get(model.dims + 2, torch.contiguous_format)
        self.model = cast(Model, self.model.to(memory_format=self.format))
        self.bf16 = False

    def __call__(self, tile: NDArray) -> NDArray:
        """Predict one tile: (channels, spatial...) to (channels, spatial...), float32."""
        tensor = torch.from_numpy(tile)[None]
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        tensor = tensor.to(self.device, non_blocking=True).to(memory_format=self.format)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            output = self.model(tensor)
        return cast(NDArray, output[0].float().contiguous().cpu().numpy())

    def is_better_in_bf16(self, precision: Precision, tiles: int) -> bool:
        if precision not in ("auto", "fp32", "bf16"):
            raise InvalidRequest(f"precision {precision!r} should be auto, fp32 or bf16")
        gains = computes_bf16(self.device) and tiles >= FEWEST_TILES_FOR_BF16
        return precision == "bf16" or (precision == "auto" and gains)

    def try_bf16(self, tile: NDArray, precision: Precision) -> None:
        """Compute in bf16 from here on, unless it changes the prediction of ``tile`` too much."""
        exact = self(tile)
        self.bf16 = True
        change = float(np.sqrt(np.mean((self(tile) - exact) ** 2)))
        spread = max(float(exact.std()), 1e-3)
        if change <= BF16_TOLERANCE * spread:
            return
        text = f"bf16 changes the prediction by {change:.2g}, its spread being {spread:.2g}"
        logger.warning("%s; %s", text, "as asked for" if precision == "bf16" else "predicting in fp32")
        self.bf16 = precision == "bf16"


def computes_bf16(device: torch.device) -> bool:
    """Say whether a device has instructions for bf16, rather than imitating them."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


class _Writer:
    """Writes what belongs to the region of each tile, in the type of the array."""

    def __init__(self, prediction: Any, roi: Roi, is_activated: bool) -> None:
        self.prediction, self.roi = prediction, roi
        self.low = 0.0 if is_activated else -1.0

    def write(self, output: Roi, values: NDArray) -> None:
        inside = output.intersect(self.roi)
        begin = (inside.offset - output.offset) / self.prediction.voxel_size
        size = inside.shape / self.prediction.voxel_size
        cut = values[(..., *(slice(b, b + s) for b, s in zip(begin, size, strict=True)))]
        if self.prediction.num_channels is None:
            cut = cut[0]
        self.prediction[inside] = self._converted(cut)

    def _converted(self, values: NDArray) -> NDArray:
        dtype = self.prediction.dtype
        if dtype.kind == "f":
            return values.astype(dtype, copy=False)
        limits = np.iinfo(dtype)
        share = (values - self.low) / (1 - self.low)
        scaled = np.rint(share * (float(limits.max) - limits.min) + limits.min)
        return np.clip(scaled, limits.min, limits.max).astype(dtype)


def _read_ahead(pool: ThreadPoolExecutor, raw: Array, tiling: Tiling) -> Iterator[tuple[Roi, NDArray]]:
    """Yield the output region and the input of each tile, read while others are computed."""
    waiting: list[tuple[Roi, Future[NDArray]]] = []
    for output in tiling.outputs():
        waiting.append((output, pool.submit(_tile, raw, tiling.input_of(output))))
        if len(waiting) > AHEAD:
            region, future = waiting.pop(0)
            yield region, future.result()
    for region, future in waiting:
        yield region, future.result()


def _tile(raw: Array, roi: Roi) -> NDArray:
    data = np.ascontiguousarray(raw.to_ndarray(roi, fill_value=0), np.float32)
    return data if raw.num_channels is not None else data[None]


def _opened(given: Any, mode: Literal["r", "a"]) -> Array:
    """Return an array, opening it if it was given as an identifier."""
    if isinstance(given, Array):
        return given
    # Imported here: arrays in memory need no tensorstore.
    from dacapo.experiments.datasplits.datasets.arrays.zarr_array import open_zarr

    return open_zarr(given.container, given.dataset, mode)


def _device_of(model: Model) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _tiling(
    model: Model, raw: Array, given: Array | None, roi: Roi | None, tile_shape: Sequence[int] | None
) -> Tiling:
    if raw.dims != model.dims:
        raise InvalidArray(f"{raw.name} has {raw.dims} spatial axes, the network takes {model.dims}")
    if (raw.num_channels or 1) != model.num_in_channels:
        raise InvalidArray(
            f"{raw.name} has {raw.num_channels or 1} channels, the network takes {model.num_in_channels}"
        )
    voxel_size = model.scale(raw.voxel_size)
    if roi is None:
        roi = given.roi if given is not None else raw.roi.snap_to_grid(voxel_size, mode="shrink")
    _check_roi(raw, roi, voxel_size)
    shape = Coordinate(model.eval_input_shape if tile_shape is None else tile_shape)
    output_shape = model.compute_output_shape(shape)[1]
    step, seen = output_shape * voxel_size, shape * raw.voxel_size
    spare = seen - step
    if not (spare / 2).is_multiple_of(raw.voxel_size) or any(size % 2 for size in spare):
        raise ShapeError(
            f"a tile of {tuple(shape)} voxels predicts {tuple(output_shape)}, which cannot lie in its middle; "
            "choose a tile_shape, or an eval_shape_increase, that leaves an even number of voxels around"
        )
    return Tiling(roi, step, spare / 2)


def _check_roi(raw: Array, roi: Roi, voxel_size: Coordinate) -> None:
    on_grid = roi.offset.is_multiple_of(voxel_size) if any(voxel_size - raw.voxel_size) else True
    on_grid = on_grid and (roi.offset - raw.offset).is_multiple_of(raw.voxel_size)
    if roi.empty or not (on_grid and roi.shape.is_multiple_of(voxel_size)):
        raise InvalidArray(
            f"the region {roi} does not lie on the grid of the prediction's voxels, {tuple(voxel_size)}; "
            "use roi.snap_to_grid(voxel_size)"
        )
    if not raw.roi.intersects(roi):
        raise OutsideData(f"the region {roi} lies outside of {raw.name}, which covers {raw.roi}")


def _check_output(model: Model, raw: Array, prediction: Array, roi: Roi) -> None:
    voxel_size = model.scale(raw.voxel_size)
    if prediction.voxel_size != voxel_size:
        raise InvalidArray(
            f"{prediction.name} has voxel size {tuple(prediction.voxel_size)}, the network predicts "
            f"{tuple(voxel_size)}"
        )
    if (prediction.num_channels or 1) != model.num_out_channels:
        raise InvalidArray(
            f"{prediction.name} has {prediction.num_channels or 1} channels, the network predicts "
            f"{model.num_out_channels}"
        )
    if not prediction.roi.contains(roi):
        raise OutsideData(f"{prediction.name} covers {prediction.roi}, not all of {roi}")
    if not hasattr(prediction, "__setitem__"):
        raise InvalidArray(f"{prediction.name} cannot be written to; open it with mode 'a'")


def _in_memory(model: Model, raw: Array, roi: Roi) -> Array:
    voxel_size = model.scale(raw.voxel_size)
    data = np.zeros((model.num_out_channels, *(roi.shape / voxel_size)), np.float32)
    axes = ["c^", *raw.axis_names[raw.channel_dims :]]
    return NumpyArray(data, voxel_size, roi.offset, axes, raw.units, name=f"prediction of {raw.name}")
