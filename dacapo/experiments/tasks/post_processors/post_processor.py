"""What every post-processor offers: parameter sets to try, and segmentation block by block."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray

from .parameters import PostProcessorParameters

NDArray = np.ndarray[Any, Any]
Made = TypeVar("Made")

_BLOCK_VOXELS = 128**3


class PostProcessor(ABC):
    """Turns predictions into segmentations, in a way that parameters choose.

    A subclass says with ``segment`` what becomes of a block; blocks are segmented one by one, so
    it must not matter to a voxel how the volume is cut, unless ``is_blockwise`` is False.
    """

    prediction: Array | None = None
    # What becomes of a block (channel, spatial...) before it is segmented, each voxel by itself.
    evidence: Callable[[NDArray], NDArray] = staticmethod(lambda block: block)
    # Whether it does not matter to a voxel how the volume is cut; otherwise it is segmented as a whole.
    is_blockwise: bool = True
    # What parameter sets share: the prediction, if it is a single block, and what was made of it.
    _whole: NDArray | None = None
    _shared: dict[str, tuple[tuple[Hashable, ...], Any]] | None = None

    @abstractmethod
    def enumerate_parameters(self) -> Iterable[PostProcessorParameters]:
        """Return the parameter sets that validation tries."""

    @abstractmethod
    def segment(self, prediction: NDArray, parameters: Any) -> NDArray:
        """Return the labels of a block of prediction (channel, spatial...), in memory."""

    def set_prediction(self, prediction: Array) -> None:
        """Say which prediction the next calls of ``process`` segment; nothing is read yet."""
        self.release()
        self.prediction = prediction

    def context(self, parameters: Any) -> float:
        """Return how far around a voxel, in world units, matters to it; infinite for the whole volume."""
        return 0.0 if self.is_blockwise else math.inf

    def smoothed(self, prediction: NDArray, deviation: float) -> NDArray:
        """Return the prediction smoothed by a Gaussian, in world units, once for all parameter sets."""
        return self.shared(self._smooth, prediction, deviation) if deviation else prediction

    def _smooth(self, prediction: NDArray, deviation: float) -> NDArray:
        # Imported here, so that parameters can be read without scipy.
        from .cleaning import smoothed

        return smoothed(prediction, deviation, self._given_prediction().voxel_size)

    def release(self) -> None:
        """Let go of the prediction and of all that was made of it."""
        self.prediction = self._whole = self._shared = None

    def shared(self, make: Callable[..., Made], prediction: NDArray, *arguments: Hashable) -> Made:
        """Return ``make(prediction, *arguments)``, made once for the parameter sets that agree in them.

        For ``segment``, with the prediction it was given, where something costs much and does not
        depend on all parameters; what is returned must not be changed.  The latest value of each
        ``make`` is held until another prediction is set, so name the parameters that it depends on in
        their ``vary_slowest``.  One block of several is gone before the next parameter set comes: nothing
        is held of it.
        """
        if prediction is not self._whole:
            return make(prediction, *arguments)
        held = self._shared if self._shared is not None else {}
        name = f"{make.__module__}.{make.__qualname__}"
        if name not in held or held[name][0] != arguments:
            held.pop(name, None)  # so that there are never two
            self._shared = held
            held[name] = arguments, make(prediction, *arguments)
        made: Made = held[name][1]
        return made

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
        that no two write to the same chunk.  A single block is read once and held until
        ``release``, or until another prediction is set.
        """
        prediction = self._given_prediction()
        made = self._output(prediction, parameters, output)
        target: Any = made  # one that can be written to
        context = self.context(parameters)
        blocks = [target.roi] if math.isinf(context) else list(split(target, chunk_size))
        if len(blocks) == 1 and self._whole is None:
            self._whole = self._read(prediction, target.roi)
        whole = self._whole if len(blocks) == 1 else None
        margin = _in_voxels(0.0 if whole is not None else context, prediction.voxel_size)

        def segment(block: Roi) -> None:
            if whole is not None:
                target[block] = self.segment(whole, parameters)
                return
            seen = block.grow(margin, margin).intersect(prediction.roi)
            labels = self.segment(self._read(prediction, seen), parameters)
            target[block] = labels[_within(seen, block, prediction.voxel_size)]

        with ThreadPoolExecutor(num_workers) as pool:
            for _ in pool.map(segment, blocks):
                pass  # what failed in a block is raised here
        return made

    def _read(self, prediction: Array, block: Roi) -> NDArray:
        data: NDArray = prediction[block]
        return self.evidence(data if prediction.num_channels is not None else data[np.newaxis])

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
        sample = self.segment(self._read(prediction, voxel), parameters)
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


def _within(seen: Roi, block: Roi, voxel_size: Coordinate) -> Any:
    """Return where a block lies in what is seen of it."""
    begin, shape = (block.offset - seen.offset) / voxel_size, block.shape / voxel_size
    return (..., *(slice(first, first + size) for first, size in zip(begin, shape, strict=True)))


def _in_voxels(distance: float, voxel_size: Coordinate) -> Coordinate:
    """Return a distance along each axis, in world units, rounded up to whole voxels."""
    return Coordinate(math.ceil(distance / step) * step for step in voxel_size)
