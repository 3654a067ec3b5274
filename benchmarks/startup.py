"""How long one waits before anything happens: imports, help, and reading a run config."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

HEAVY = ("torch", "zarr", "pymongo", "tensorstore", "scipy", "numba", "matplotlib")
REPEATS = 9

_HELP = "import sys; sys.argv = ['dacapo', '--help']\nfrom dacapo.cli import main\nmain()"
_LOADED = "import sys, atexit; atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))\n"


def cpu_seconds(command: list[str]) -> float:
    """Return the CPU seconds, user and system, of a whole process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} failed")
    return usage.ru_utime + usage.ru_stime


def modules(source: str) -> set[str]:
    """Return the modules that a Python program has loaded by its end."""
    command = [sys.executable, "-c", _LOADED + source]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def started(what: str, command: list[str], source: str, repeats: int) -> dict[str, str]:
    """Return the row of one way to start DaCapo."""
    cpu_seconds(command)  # compiles what was never imported, and warms the file cache
    times = [cpu_seconds(command) for _ in range(repeats)]
    loaded = modules(source)
    heavy = [name for name in HEAVY if name in loaded] or ["none of " + ", ".join(HEAVY)]
    return {
        "bar": f"`{what}`, CPU",
        "figure": f"{min(times):.2f} s (median {median(times):.2f}); "
        f"{len(loaded)} modules, {', '.join(heavy)}",
        "target": "≤ 0.3 s, no torch, zarr or pymongo",
        "how": f"user + system of the whole process, best of {repeats}",
    }


def read_run_config(repeats: int) -> dict[str, str]:
    """Return the row of reading the demo's run config, nested five deep, from its document."""
    from dacapo import documents
    from dacapo.demo.experiment import run_config
    from dacapo.experiments.run_config import RunConfig

    config = run_config(Path("volume.zarr"))
    document: Any = documents.from_json(documents.to_json(documents.write(config)))
    if documents.read(document, RunConfig) != config:
        raise RuntimeError("the document does not give the config back")
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        documents.read(document, RunConfig)
        times.append(time.perf_counter() - begun)
    return {
        "bar": "reading one nested run config from its document",
        "figure": f"{min(times) * 1e3:.3f} ms (median {median(times) * 1e3:.3f})",
        "target": "≤ 0.2 ms",
        "how": f"the demo's run, read and validated in one process, best of {repeats}",
    }


def measure(quick: bool) -> list[dict[str, str]]:
    """Return a row for each figure."""
    repeats = 3 if quick else REPEATS
    beside = Path(sys.executable).with_name("dacapo")
    script = str(beside) if beside.exists() else shutil.which("dacapo") or "dacapo"
    return [
        started("import dacapo", [sys.executable, "-c", "import dacapo"], "import dacapo", repeats),
        started("dacapo --help", [script, "--help"], _HELP, repeats),
        read_run_config(200 if quick else 2000),
    ]


def main() -> None:
    """Print the figures as a table."""
    from benchmarks.__main__ import table

    print(table(measure(quick="--quick" in sys.argv)))


if __name__ == "__main__":
    main()
