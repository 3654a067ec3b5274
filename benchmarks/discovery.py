"""How long it takes to find what the installed packages offer, among many that offer nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

DISTRIBUTIONS, PLUGINS, SCRIPTS = 300, 10, 100
ROUNDS = 41
LOOKUPS = 100_000

_METADATA = (
    "Metadata-Version: 2.1\nName: {name}\nVersion: 1.{number}\nSummary: A package\nLicense: MIT\n"
    + "".join(f"Requires-Dist: dependency{i}>=1.{i}; extra == 'all'\n" for i in range(20))
    + "Classifier: Programming Language :: Python :: 3\n" * 12
    + "\n"
    + "A line of the description, which is as long as such lines usually are, or somewhat longer.\n" * 150
)


def make_site(folder: Path) -> Path:
    """Write the metadata of many packages, of which a third have scripts and a few are plugins."""
    for number in range(DISTRIBUTIONS):
        name = f"package-{number}"
        info = folder / f"package_{number}-1.{number}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(_METADATA.format(name=name, number=number))
        (info / "RECORD").write_text("package/module.py,sha256=0123456789abcdef,1234\n" * 200)
        (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: setuptools\nTag: py3-none-any\n")
        if number < PLUGINS:
            text = "".join(f"p{number}.T{i} = package_{number}.configs:T{i}\n" for i in range(4))
            (info / "entry_points.txt").write_text(f"[dacapo.tasks]\n{text}")
        elif number < PLUGINS + SCRIPTS:
            (info / "entry_points.txt").write_text(f"[console_scripts]\np{number} = package_{number}:main\n")
    return folder


def _seconds(function: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def _inside(rounds: int) -> dict[str, Any]:
    """Measure in this process, one after the other in turns; nothing of importlib_metadata is loaded."""
    from importlib.metadata import entry_points

    from dacapo.registry import Offer, installed, registry

    walks: list[float] = []
    calls: list[float] = []
    for _ in range(rounds):
        walks.append(_seconds(lambda: list(installed())))
        calls.append(_seconds(lambda: list(entry_points(group="dacapo.tasks"))))
    offered = {one.name for one in installed() if isinstance(one, Offer) and one.kind == "tasks"}
    if offered != {one.name for one in entry_points(group="dacapo.tasks")}:
        raise RuntimeError("the walk and the standard library found different types")
    first = _seconds(lambda: registry.names("tasks"))
    lookup = _seconds(lambda: [registry.find("tasks", "p3.T2") for _ in range(LOOKUPS)]) / LOOKUPS
    return {"walk": median(walks), "call": median(calls), "first": first, "lookup": lookup,
            "other finder": "importlib_metadata" in sys.modules}  # fmt: skip


def measure(quick: bool) -> list[dict[str, str]]:
    """Return a row for each figure."""
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(Path(folder) / "site")
        environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        command = [sys.executable, "-m", "benchmarks.discovery", "--inside", str(5 if quick else ROUNDS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout)
    if found["other finder"]:
        raise RuntimeError("importlib_metadata was loaded, and replaces what the standard library does")
    rounds = f"{DISTRIBUTIONS} packages, {PLUGINS} of them plugins, beside those installed; medians, in turns"
    return [
        {
            "bar": "one walk over all installed packages",
            "figure": f"{found['walk'] * 1e3:.2f} ms, {found['walk'] / found['call']:.2f} of one "
            f"`entry_points(group=...)` ({found['call'] * 1e3:.2f} ms)",
            "target": "≤ half of one call of the standard library",
            "how": rounds,
        },
        {
            "bar": "looking up a type, once they are found",
            "figure": f"{found['lookup'] * 1e6:.2f} µs",
            "target": "≤ 1 µs",
            "how": f"`registry.find`, the mean of {LOOKUPS:,}",
        },
    ]


if __name__ == "__main__":
    if "--inside" in sys.argv:
        print(json.dumps(_inside(int(sys.argv[-1]))))
    else:
        from benchmarks.__main__ import table

        print(table(measure(quick="--quick" in sys.argv)))
