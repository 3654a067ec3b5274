"""Run all benchmarks (or those named) and write their tables to docs/benchmarks.md.

    python -m benchmarks [--quick] [NAME ...]

Tables of benchmarks that are not run are kept as they are.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

NAMES = (
    "demo",
    "startup",
    "discovery",
    "file_stores",
    "mongo_stores",
    "validation_scores",
    "leases",
    "races",
    "faults",
    "mongo_faults",
    "killed_processes",
    "training_faults",
    "command_faults",
    "listing",
    "top",
    "queue",
    "augmentation",
    "patch_reading",
    "scores",
    "validation",
    "targets",
    "prediction",
    "training_loop",
)
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

What was measured, how, and what came out. `python -m benchmarks` repeats everything and rewrites this page;
figures are compared within one run, because machines differ and are noisy.
"""


def table(rows: list[dict[str, str]]) -> str:
    """Return rows of bar, figure, target and how as a Markdown table."""
    lines = ["| bar | figure | target | how |", "|---|---|---|---|"]
    lines += ["| {bar} | {figure} | {target} | {how} |".format(**row) for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """Describe the machine in one line."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*:\s*(.*)", text)
    name = model[1] if model else platform.processor()
    return f"{name}, {os.cpu_count()} CPUs, Python {platform.python_version()}"


def sections(page: str) -> dict[str, str]:
    """Split a page into its sections by name."""
    parts = re.split(r"^## (\w+)\n", page, flags=re.M)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def write(name: str, rows: list[dict[str, str]], note: str = "") -> None:
    """Replace the section of one benchmark on the page."""
    kept = sections(PAGE.read_text()) if PAGE.exists() else {}
    measured = f"Measured {date.today().isoformat()} on {machine()}."
    kept[name] = "\n\n".join(part for part in (measured, table(rows), note) if part)
    body = "\n\n".join(f"## {section}\n\n{text}" for section, text in sorted(kept.items()))
    PAGE.write_text(f"{HEAD}\n{body}\n")


def print_alone(measure: Callable[[bool], list[dict[str, str]]], description: str | None) -> None:
    """Measure what one benchmark does, as its own command line says, and print it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="shorter runs, noisier figures")
    print(table(measure(parser.parse_args().quick)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs, noisier figures")
    parser.add_argument("names", nargs="*", default=NAMES)
    options = parser.parse_args()
    for name in options.names:
        rows = importlib.import_module(f"benchmarks.{name}").measure(quick=options.quick)
        print(f"\n{name}\n{table(rows)}", flush=True)
        write(name, rows)


if __name__ == "__main__":
    main()
