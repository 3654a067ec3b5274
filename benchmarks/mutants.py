"""Mutation testing of names, stores, leases and queue: which changes of the code no test notices.

    pip install mutmut==3.8.1
    python -m benchmarks.mutants [--sample N] [--seed N] [--survivors] [--table] [MODULE ...]

Goes on where it was stopped. ``--survivors`` tries those again that no test noticed, with all tests that
run the changed function; ``--table`` only prints. ``mutmut show NAME`` shows a mutant as a patch.
What was found is in docs/mutation_testing.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))
from mongod import Mongod  # noqa: E402

MUTANTS = ROOT / "mutants"
STATS, ALL_STATS = MUTANTS / "mutmut-stats.json", MUTANTS / "all-stats.json"
KILLED, TIMED_OUT, SURVIVED = (1, 3), (36, 24, -24, 152, 255), (0, 5, 33)
FEW_TESTS = "dacapo.store.config_store.xǁConfigStoreǁdelete_array_config__mutmut_1"  # has few tests
CHILDREN = "2"
# Thousands of databases are made and dropped: their files go at once, and not after five minutes.
AT_ONCE = ("--setParameter", "minSnapshotHistoryWindowInSeconds=0", "--syncdelay", "5")
# Where a module is tested beside a test file of its own name and that of messages.
TESTED_IN = {
    "backend": ("mongo", "same_answers"),
    "block_log": ("compaction", "envelopes"),
    "blocks": ("compaction", "stats_store"),
    "checkpoint_names": ("weights_store",),
    "claims": ("mongo", "same_answers"),
    "differences": ("config_store",),
    "file_claims": ("files",),
    "file_editions": ("weights_store", "files"),
    "file_names": ("names", "files"),
    "framed_log": ("publication",),
    "finding": ("uses", "twins", "mongo"),
    "history": ("lease", "stats_store"),
    "holder": ("lease",),
    "intents": ("changes",),
    "listing": ("uses", "remarks", "document_index"),
    "manifest": ("weights_store", "damage"),
    "merging": ("compaction", "mongo"),
    "queue": ("queue_backends", "mongo"),
    "queue_files": ("queue", "queue_backends"),
    "queue_folder": ("queue", "queue_backends"),
    "records": ("mongo", "envelopes"),
    "score_records": ("stats_store",),
}
FIRST, AGAIN = (0.6, 3), (3.0, 4)  # seconds and files of tests that a mutant is shown


def modules() -> list[str]:
    """Return the files that are mutated."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    return list(config["only_mutate"])


def results(module: str) -> dict[str, int | None]:
    """Return how the tests ended for each mutant of a module, None for those not tried."""
    path = MUTANTS / f"{module}.meta"
    return dict(json.loads(path.read_text())["exit_code_by_key"]) if path.exists() else {}


def sample(module: str, count: int, seed: int) -> list[str]:
    """Draw mutants of a module, always the same for a seed."""
    names = sorted(results(module))
    return sorted(random.Random(f"{seed} {module}").sample(names, min(count, len(names))))


def mutmut(*names: str) -> None:
    """Run mutants, or all its preparations only, with files in memory: none of this has to be kept."""
    subprocess.run(
        [sys.executable, "-m", "mutmut", "run", "--max-children", CHILDREN, *names], cwd=ROOT, check=True
    )


def choose_tests(seconds: float, files: int) -> None:
    """Leave for each function the shortest tests that run it, ``seconds`` in all, from few ``files``.

    The first file is that of the module, then come others where it is tested, then those whose tests run
    the function most.
    Of MongoDB all that every backend has to do comes first, for four times as long.
    """
    stats: dict[str, Any] = json.loads(STATS.read_text())
    durations = stats["duration_by_test"]
    known = stats["tests_by_mangled_function_name"]
    for name, tests in (json.loads(ALL_STATS.read_text()) if ALL_STATS.exists() else {}).items():
        known[name] = sorted({*known.get(name, ()), *tests} & durations.keys())
    ALL_STATS.write_text(json.dumps(known))
    sizes = Counter(map(_file, durations))
    for name, tests in known.items():
        on_mongo = ".mongo." in name
        if on_mongo:  # what every backend has to do, and what is about this one alone
            tests = [one for one in tests if "[mongo" not in one] or tests
        else:  # as quick as they can be
            tests = [one for one in tests if "mongo" not in one and "replica set" not in one] or tests
        hits, module = Counter(map(_file, tests)), name.split(".")[-2]
        own = [f"tests/store/test_{one}.py" for one in (module, *TESTED_IN.get(module, ()), "messages")]
        ranked = [one for one in own if one in hits]
        ranked += sorted(hits.keys() - own, key=lambda one, hits=hits: -hits[one] / sizes[one])
        first = {
            one: (on_mongo and "conforms" not in one, _file(one) != own[0], durations[one]) for one in tests
        }
        left, chosen = seconds * (4 if on_mongo else 1), []
        for test in sorted(tests, key=first.__getitem__):
            if _file(test) in ranked[:files] and (left > 0 or not chosen):
                left -= durations[test] + (0.2 if on_mongo else 0.02)  # to set up
                chosen.append(test)
        known[name] = chosen
    STATS.write_text(json.dumps(stats))


def _file(test: str) -> str:
    return test.partition("::")[0]


def run(chosen: dict[str, list[str]], again: bool) -> None:
    """Try the mutants that were not tried, or those again that survived."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").exists() else None) as folder:
        server = Mongod(Path(folder) / "mongod", "rs0", *AT_ONCE).start()
        os.environ.update(DACAPO_TEST_MONGO_URI=server.uri, TMPDIR=folder)
        try:
            mutmut(FEW_TESTS)  # makes the mutants and sees which test runs what
            choose_tests(*(AGAIN if again else FIRST))
            wanted = (None, *SURVIVED) if again else (None,)
            names = [
                name for module, drawn in chosen.items() for name in drawn if results(module)[name] in wanted
            ]
            if names:
                mutmut(*names)
        finally:
            server.stop()


def table(chosen: dict[str, list[str]]) -> str:
    """Return the figures of each module as a Markdown table, and of all."""
    lines = ["| module | mutants | tried | killed | survived | killed |", "|---|---|---|---|---|---|"]
    total: Counter[str] = Counter()
    for module, drawn in chosen.items():
        codes = results(module)
        tried = [codes[name] for name in drawn if codes[name] is not None]
        killed = sum(code in (*KILLED, *TIMED_OUT) for code in tried)
        counts = {"mutants": len(codes), "tried": len(tried), "killed": killed}
        total.update(counts)
        lines.append(_line(f"`{module.removeprefix('dacapo/')}`", counts))
    return "\n".join([*lines, _line("all", total)])


def _line(name: str, counts: dict[str, int]) -> str:
    tried, killed = counts["tried"], counts["killed"]
    share = f"{100 * killed / tried:.0f} %" if tried else ""
    return f"| {name} | {counts['mutants']} | {tried} | {killed} | {tried - killed} | {share} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="parts of their paths; all by default")
    parser.add_argument("--sample", type=int, default=60, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--survivors", action="store_true", help="try those that survived again")
    parser.add_argument("--table", action="store_true", help="only print the figures")
    given = parser.parse_args()
    wanted = [m for m in modules() if not given.modules or any(part in m for part in given.modules)]
    if not (MUTANTS / f"{wanted[-1]}.meta").exists():
        run({}, again=False)
    chosen = {module: sample(module, given.sample, given.seed) for module in wanted}
    if not given.table:
        run(chosen, given.survivors)
    print(table(chosen))


if __name__ == "__main__":
    main()
