"""What every post-processor offers: parameter sets to try, and segmentation block by block."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray

from .parameters import PostProcessorParameters

NDArray = np.ndarray[Any, Any]

_BLOCK_VOXELS = 128**3


class PostProcessor(ABC):
    """Turns predictions into segmentations, in a way that parameters choose.

    A subclass says with ``segment`` what becomes of a block; blocks are segmented one by one, so
    it must not matter to a voxel how the volume is cut, unless ``is_blockwise`` is False.
    """

    prediction: Array | None = None
    # Whether it does not matter to a voxel how the volume is cut; otherwise it is segmented as a whole.
    is_blockwise: bool = True

    @abstractmethod
    def enumerate_parameters(self) -> Iterable[PostProcessorParameters]:
        """Return the parameter sets that validation tries."""

    @abstractmethod
    def segment(self, prediction: NDArray, parameters: Any) -> NDArray:
        """Return the labels of a block of prediction (channel, spatial...), in memory."""

    def set_prediction(self, prediction: Array) -> None:
        """Say which prediction the next calls of ``process`` segment; nothing is read yet."""
        self.prediction = prediction

    def process(
        self,
        parameters: PostProcessorParameters,
        output: Any = None,
        num_workers: int = 1,
        chunk_size: Sequence[int] | None = None,
    ) -> Array:
        """Segment the prediction block by block and return the segmentation.

        ``output`` is a writable array of the same region and voxel size, or an identifier with
        ``container`` and ``dataset`` of one to be made; None keeps the segmentation in memory.
        Only ``num_workers`` blocks of ``chunk_size`` voxels are held at a time, rounded up so
        that no two write to the same chunk.
        """
        prediction = self._given_prediction()
        made = self._output(prediction, parameters, output)
        target: Any = made  # one that can be written to
        blocks = split(target, chunk_size) if self.is_blockwise else [target.roi]

        def segment(block: Roi) -> None:
            target[block] = self.segment(_channels_first(prediction, block), parameters)

        with ThreadPoolExecutor(num_workers) as pool:
            for _ in pool.map(segment, blocks):
                pass  # what failed in a block is raised here
        return made

    def _given_prediction(self) -> Array:
        if self.prediction is None:
            raise InvalidRequest(
                f"{type(self).__name__} has no prediction to process; call set_prediction(array) first"
            )
        return self.prediction

    def _output(self, prediction: Array, parameters: PostProcessorParameters, output: Any) -> Array:
        """Return an array to write to; its type and channels are those of a segmented voxel."""
        if isinstance(output, Array):
            if output.roi != prediction.roi or output.voxel_size != prediction.voxel_size:
                raise InvalidArray(
                    f"{output.name} has voxel size {tuple(output.voxel_size)} over {output.roi}, but should "
                    f"lie where the prediction does: {tuple(prediction.voxel_size)} over {prediction.roi}"
                )
            return output
        voxel = Roi(prediction.offset, prediction.voxel_size)
        sample = self.segment(_channels_first(prediction, voxel), parameters)
        channels = sample.shape[: sample.ndim - prediction.dims]
        shape = (*channels, *prediction.spatial_shape)
        spatial = prediction.axis_names[prediction.channel_dims :]
        geometry: dict[str, Any] = {
            "voxel_size": prediction.voxel_size,
            "offset": prediction.offset,
            "axis_names": ["c^", *spatial] if channels else spatial,
            "units": prediction.units,
        }
        if output is None:
            data = np.zeros(shape, sample.dtype)
            return NumpyArray(data, **geometry, name=f"segmentation by {parameters}")
        # Imported here, so that parameters can be read without tensorstore.
        from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr

        return create_zarr(
            output.container, output.dataset, shape=shape, dtype=sample.dtype, **geometry, overwrite=True
        )


def split(array: Array, chunk_size: Sequence[int] | None = None) -> Iterator[Roi]:
    """Yield the blocks of an array, in world units, along the borders of its chunks.

    ``chunk_size`` is in voxels; by default a block has about two million.
    """
    wanted = chunk_size or (round(_BLOCK_VOXELS ** (1 / array.dims)),) * array.dims
    chunk = getattr(array, "chunk_shape", None) or (1,) * array.dims
    steps = [math.ceil(w / c) * c for w, c in zip(wanted, chunk, strict=True)]
    ranges = (range(0, size, step) for size, step in zip(array.spatial_shape, steps, strict=True))
    for begin in itertools.product(*ranges):
        offset = array.offset + Coordinate(begin) * array.voxel_size
        yield Roi(offset, Coordinate(steps) * array.voxel_size).intersect(array.roi)


def require_floats(prediction: Array, meaning: str) -> None:
    """Raise ``InvalidArray`` for a prediction of whole numbers, whose scale nobody knows."""
    if prediction.dtype.kind != "f":
        raise InvalidArray(
            f"{prediction.name} is of type {prediction.dtype}, but {meaning}; predict again as float32"
        )


def _channels_first(prediction: Array, block: Roi) -> NDArray:
    data: NDArray = prediction[block]
    return data if prediction.num_channels is not None else data[np.newaxis]
