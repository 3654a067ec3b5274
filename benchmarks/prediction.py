"""How much of the bare network's rate is left when a volume is predicted from file to file.

python -m benchmarks.prediction [--quick]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.architectures import CNNectomeUNetConfig, layers
from dacapo.experiments.bf16 import computes_bf16
from dacapo.experiments.datasplits.datasets.arrays import IntensitiesArrayConfig, ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.array import Array
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.memory import keep_freed_memory
from dacapo.experiments.model import Model
from dacapo.predict_local import Network, lent, plan, predict

VOXEL = Coordinate(8, 8, 8)
CPU = torch.device("cpu")
ALONE = """
import sys, time, torch
from benchmarks.prediction import CPU, Network, block, keep_freed_memory, lent, network
torch.set_num_threads(1)
model, raw, least = network(), block((168, 168, 168)), 9e9
with lent(model, CPU, keep_memory=sys.argv[1] == "keep"):
    compute = Network(model, CPU, None)
    for _ in range(int(sys.argv[2])):
        start = time.process_time()
        compute(raw)
        least = min(least, time.process_time() - start)
print(least)
"""


def network() -> Model:
    """Return a small U-Net: 8, 16 and 32 feature maps, valid padding."""
    torch.manual_seed(0)
    architecture = CNNectomeUNetConfig(
        "small",
        input_shape=(84, 84, 84),
        fmaps_in=1,
        fmaps_out=8,
        num_fmaps=8,
        fmap_inc_factor=2,
        downsample_factors=[(2, 2, 2), (2, 2, 2)],
    )
    return Model(architecture, torch.nn.Conv3d(8, 1, 1), torch.nn.Tanh())


def block(shape: Coordinate) -> np.ndarray:
    """Return the input of one tile."""
    return np.random.default_rng(0).random((1, *shape), np.float32)


def volume(folder: Path, side: int) -> Array:
    """Return a volume of bytes in a compressed zarr, read as -1..1."""
    noise = np.random.default_rng(0).integers(0, 255, (side // 4,) * 3, np.uint8)
    data = noise.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    stored = create_zarr(folder / "volume.zarr", "raw", data.shape, data.dtype, VOXEL)
    stored[stored.roi] = data
    config = ZarrArrayConfig("bytes", file_name=folder / "volume.zarr", dataset="raw")
    return IntensitiesArrayConfig("raw", source_array_config=config, min=0, max=255).array()


def timed(work: Callable[[], object]) -> np.ndarray:
    """Return the wall and the CPU seconds of some work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - wall, time.process_time() - cpu])


def bare(model: Model, shape: Coordinate, tiles: int, dtype: torch.dtype | None) -> np.ndarray:
    """Time the network alone on that many tiles, as prediction runs it."""
    raw = block(shape)
    with lent(model, CPU):
        compute = Network(model, CPU, dtype)
        compute(raw)
        return timed(lambda: [compute(raw) for _ in range(tiles)])


def plain(model: Model, shape: Coordinate, tiles: int) -> np.ndarray:
    """Time the network alone as torch runs it by itself, in float32."""
    raw, small = torch.from_numpy(block(shape))[None], layers.LEFT_TO_TORCH
    layers.LEFT_TO_TORCH = 0
    try:
        with torch.inference_mode():
            model.eval()(raw)
            return timed(lambda: [model(raw) for _ in range(tiles)])
    finally:
        layers.LEFT_TO_TORCH = small


def from_file_to_file(side: int, rounds: int) -> list[dict[str, str]]:
    """Compare prediction with the bare network, and the bare network with plain torch."""
    model, dtype = network(), torch.bfloat16 if computes_bf16(CPU) else None
    keep_freed_memory()
    shares, gains, enlarged = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        raw = volume(Path(folder), side)
        tiles = plan(model, raw, None, CPU)
        output = create_zarr(
            Path(folder) / "out.zarr", "prediction", (1, *raw.spatial_shape), "float32", VOXEL
        )
        part = Roi(raw.offset, VOXEL * 88)
        predict(model, raw, output)  # so that all memory has been asked for once, as for the bare network
        for _ in range(rounds):
            ours = timed(lambda: predict(model, raw, output, precision="bf16" if dtype else "fp32"))
            alone = bare(model, tiles.input_shape, len(tiles), dtype)
            shares.append(alone / ours)
            gains.append(plain(model, tiles.input_shape, 2)[1] / bare(model, tiles.input_shape, 2, dtype)[1])
            small = timed(lambda: predict(model, raw, output, part, tile_shape=model.input_shape))
            enlarged.append(small[1] * side**3 / 88**3 / ours[1])
    wall, cpu = np.median(shares, axis=0)
    kind = "bfloat16" if dtype else "float32, the CPU having no bfloat16"
    how = f"median of {rounds} interleaved rounds, U-Net of 8, 16, 32 feature maps, in {kind}"
    return [
        {
            "bar": f"predict {side}^3 from zarr to zarr, of the bare network's rate",
            "figure": f"{cpu:.1%} of CPU, {wall:.1%} of wall time",
            "target": ">= 92 %",
            "how": f"{how}; {len(tiles)} tiles of {tuple(tiles.input_shape)}, one compute thread",
        },
        {
            "bar": "the network as prediction runs it, against plain fp32 torch",
            "figure": f"{statistics.median(gains):.2f} x",
            "target": ">= 2.5 x with bfloat16" if dtype else "> 1 x without bfloat16",
            "how": f"{how}; the same tiles, CPU time",
        },
        {
            "bar": "tiles chosen to fit memory, against tiles of the training shape",
            "figure": f"{statistics.median(enlarged):.2f} x",
            "target": "> 1 x",
            "how": f"{how}; CPU time per voxel of output, against tiles of {tuple(model.input_shape)}",
        },
    ]


def kept_memory(rounds: int, calls: int) -> dict[str, str]:
    """Compare processes that keep freed memory with those that do not."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    seconds: dict[str, list[float]] = {"keep": [], "leave": []}
    for _ in range(rounds):
        for how, found in seconds.items():
            command = [sys.executable, "-c", ALONE, how, str(calls)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            found.append(float(done.stdout))
    return {
        "bar": "prediction with freed memory kept, against glibc left alone",
        "figure": f"{min(seconds['leave']) / min(seconds['keep']):.2f} x",
        "target": ">= 1.08 x",
        "how": f"least CPU time of a tile of 168^3 in {rounds} processes each, taken in turns",
    }


def measure(quick: bool = False) -> list[dict[str, str]]:
    """Return one row per bar."""
    threads = torch.get_num_threads()
    # Threads of torch that wait for each other burn CPU time: with one there is no such noise.
    torch.set_num_threads(1)
    try:
        rows = from_file_to_file(*(176, 2) if quick else (256, 3))
    finally:
        torch.set_num_threads(threads)
    return [*rows, kept_memory(2 if quick else 4, 3)]


if __name__ == "__main__":
    from benchmarks.__main__ import print_alone

    print_alone(measure, __doc__)
