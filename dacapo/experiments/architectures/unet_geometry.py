"""Which shapes a U-Net takes and makes, by arithmetic alone.

Along one axis, a U-Net whose bottom is b voxels wide takes ``stride * b + lost_down`` voxels and
could make ``stride * scale * b - lost_up``.  A border of that is cut off, so that

* the output is a whole number of strides: tiles laid side by side then see the same pooling grid,
  and shifting the input by a stride shifts the output along, voxel for voxel;
* input and output have one centre: what is lost is the same on both sides.

So everything is said by four numbers per axis, and the shapes that work lie one stride apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import attrs
from funlib.geometry import Coordinate

from dacapo.errors import ShapeError

Kernels = tuple[tuple[Coordinate, ...], ...]


@attrs.frozen
class UNetGeometry:
    """The shapes of a U-Net, in voxels, one value per axis.

    ``stride`` is the distance between shapes that work, ``scale`` how many output voxels there are
    per input voxel, ``context`` how many input voxels the output is short of, both sides together,
    ``smallest`` the least input shape, and ``crop`` what the last stage cuts off, both sides together.
    """

    stride: Coordinate
    scale: Coordinate
    context: Coordinate
    smallest: Coordinate
    crop: Coordinate

    def fits(self, input_shape: Coordinate) -> bool:
        """Say whether the network takes an input of that shape."""
        # In plain numbers: making Coordinates would be half the time of reading a config.
        along = zip(input_shape, self.smallest, self.stride, strict=True)
        return all(size >= least and (size - least) % step == 0 for size, least, step in along)

    def neighbours(self, shape: Coordinate) -> tuple[Coordinate, Coordinate]:
        """Return the nearest input shapes that work, at most and at least as large along each axis."""
        steps = [max(0, s - m) / f for s, m, f in zip(shape, self.smallest, self.stride, strict=True)]
        below = Coordinate(int(step) for step in steps)
        above = Coordinate(-int(-step // 1) for step in steps)
        return self.smallest + below * self.stride, self.smallest + above * self.stride

    def advice(self, shape: Coordinate) -> str:
        """Return the part of an error message that names the input shapes that work."""
        below, above = (tuple(map(int, near)) for near in self.neighbours(shape))
        nearest = f"{below}" if below == above else f"{below} and {above}"
        return (
            f"the nearest input shapes that work are {nearest}, and any shape a multiple of "
            f"{tuple(self.stride)} larger"
        )

    def output_shape(self, input_shape: Coordinate) -> Coordinate:
        """Return the shape that comes out, or raise ``ShapeError`` naming the inputs that work."""
        input_shape = Coordinate(input_shape)
        if len(input_shape) != len(self.stride):
            raise ShapeError(
                f"this network has {len(self.stride)} spatial axes, and the input shape "
                f"{tuple(input_shape)} has {len(input_shape)}"
            )
        if not self.fits(input_shape):
            raise ShapeError(
                f"this network takes no input of shape {tuple(input_shape)}: {self.advice(input_shape)}"
            )
        return (input_shape - self.context) * self.scale


@lru_cache(maxsize=256)  # a database has thousands of runs and few networks, and a run asks several times
def unet_geometry(
    downsample_factors: tuple[Coordinate, ...],
    kernel_size_down: Kernels,
    kernel_size_up: Kernels,
    upsample_factors: tuple[Coordinate, ...],
    upsample_kernels: tuple[Coordinate, ...],
    padded: bool,
) -> UNetGeometry:
    """Work out the shapes of a U-Net from its kernels and factors (tuples), finest level first."""
    dims = len(kernel_size_down[0][0])
    axes = [
        _axis(
            [factor[axis] for factor in downsample_factors],
            [_lost(kernels, axis, padded) for kernels in kernel_size_down],
            [_lost(kernels, axis, padded) for kernels in kernel_size_up],
            [factor[axis] for factor in upsample_factors],
            _lost(upsample_kernels, axis, padded),
        )
        for axis in range(dims)
    ]
    return UNetGeometry(*(Coordinate(values) for values in zip(*axes, strict=True)))


def _lost(kernels: Sequence[Coordinate], axis: int, padded: bool) -> int:
    """Return how many voxels a pass of convolutions takes off an axis."""
    return 0 if padded else sum(kernel[axis] - 1 for kernel in kernels)


def _axis(
    factors: list[int], lost_down: list[int], lost_up: list[int], upsample: list[int], lost_after: int
) -> tuple[int, int, int, int, int]:
    stride, scale = prod(factors), prod(upsample)
    taken = sum(lost * prod(factors[:level]) for level, lost in enumerate(lost_down))
    made = 0
    for factor, lost in zip(reversed(factors), reversed(lost_up), strict=True):
        made = made * factor + lost
    for factor in upsample:
        made = made * factor + lost_after
    period = stride * scale
    cut = -(-made // period)
    # Odd kernels take off even numbers, so only an odd stride can put the centres half a voxel apart.
    cut += (taken + stride * cut) % 2
    return stride, scale, taken + stride * cut, taken + stride * (cut + 1), period * cut - made
