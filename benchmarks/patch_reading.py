"""How fast random patches are read from a compressed zarr, compared with zarr-python.

    python -m benchmarks.patch_reading [--quick]

Both read the same patches of the same file in turns.  The first row leaves out our cache of
decoded chunks, so that the work is the same; the second shows what the cache gives where
most of a volume fits into it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import zarr
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.datasplits.datasets.arrays import zarr_array, zarr_container

from .__main__ import table

PATCH = Coordinate(96, 96, 96)
VOXEL_SIZE = Coordinate(4, 4, 4)


def write_volume(path: Path, side: int) -> None:
    """Write a noisy volume with smooth structures, which zstd shrinks a little, as it does EM."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (side // 8 + 1,) * 3)
    smooth = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2)[:side, :side, :side]
    volume = (smooth + rng.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)
    array = zarr.create_array(
        str(path),
        shape=volume.shape,
        chunks=(64, 64, 64),
        dtype=volume.dtype,
        compressors=zarr.codecs.ZstdCodec(level=1),
        zarr_format=3,
        attributes={"voxel_size": list(VOXEL_SIZE)},
    )
    array[...] = volume


def seconds(read: Callable[[Coordinate], object], corners: list[Coordinate]) -> float:
    """Return the time that reading one patch takes on average."""
    begin = time.perf_counter()
    for corner in corners:
        read(corner)
    return (time.perf_counter() - begin) / len(corners)


def compare(path: Path, side: int, rounds: int, patches: int, cache_bytes: int) -> tuple[float, float, float]:
    """Return our rate, that of zarr-python, and the median ratio of the two over all rounds."""
    zarr_container.READ_CACHE_BYTES = cache_bytes
    zarr_container.shared_context.cache_clear()
    ours = zarr_array.open_zarr(path, "")
    theirs = zarr.open_array(str(path), mode="r")
    readers = (
        lambda corner: ours[Roi(corner * VOXEL_SIZE, PATCH * VOXEL_SIZE)],
        lambda corner: theirs[Roi(corner, PATCH).to_slices()],
    )
    rng = np.random.default_rng(1)
    times: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        corners = [Coordinate(rng.integers(0, side - 96, 3)) for _ in range(patches)]
        times.append((seconds(readers[0], corners), seconds(readers[1], corners)))
    # The first round warms both up.
    mine, other = zip(*times[1:], strict=True)
    return 1 / median(mine), 1 / median(other), median(b / a for a, b in zip(mine, other, strict=True))


def measure(quick: bool = False) -> list[dict[str, str]]:
    """Return the rows of the table."""
    side, rounds, patches = (256, 5, 8) if quick else (384, 9, 20)
    usual = zarr_container.READ_CACHE_BYTES
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.zarr"
        write_volume(path, side)
        try:
            for bar, cache_bytes in (("without cached chunks", 0), ("with the usual cache", usual)):
                ours, theirs, ratio = compare(path, side, rounds, patches, cache_bytes)
                rows.append(
                    {
                        "bar": f"random 96^3 patches, {bar}",
                        "figure": f"{ratio:.1f} x ({ours:.0f}/s; zarr-python {theirs:.0f}/s)",
                        "target": ">= 2 x zarr-python",
                        "how": f"uint8 {side}^3, 64^3 chunks, zstd; in turns, median of {rounds} rounds",
                    }
                )
        finally:
            zarr_container.READ_CACHE_BYTES = usual
            zarr_container.shared_context.cache_clear()
    return rows


def main() -> None:
    """Print the table."""
    print(table(measure(quick="--quick" in sys.argv)))


if __name__ == "__main__":
    main()
