"""How long it takes to find the best runs of a lab, in MongoDB and in files, and what keeping that up costs.

    python -m benchmarks.top [--quick]

What is best of each run is inserted in bulk, as the store writes it but not run by run.  The driver is asked
for the same entries, in turns with the store, each first half of the time.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pymongo
from pymongo.write_concern import WriteConcern

from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store import document_file, ranking
from dacapo.store.backend import Epoch
from dacapo.store.files import FileBackend
from dacapo.store.mongo import MongoBackend, comparing, records, schema
from dacapo.store.standings import STANDINGS, Standing, write_standings
from dacapo.store.stats_store import StatsStore

from .mongo_stores import in_turns, row, seconds, server

COUNT, CRITERION, DATASET = 20, "mito__f1_score", "crop7"
CRITERIA = tuple(f"{channel}__{score}" for channel in ("mito", "er") for score in ("f1_score", "dice"))


def many(count: int) -> Iterator[list[Standing]]:
    """Yield what is best of runs that are scored by four criteria on two datasets."""
    rng = np.random.default_rng(0)
    for number in range(count):
        yield [
            Standing(f"run-{number:06}", dataset, criterion, float(rng.random()), 1000, "t_0.5", True, 0)
            for dataset in (DATASET, "crop8")
            for criterion in CRITERIA
        ]


def fill_mongo(backend: MongoBackend, count: int) -> None:
    """Insert the entries of as many runs as the store writes them, many at a time."""
    there, epochs = (backend._connection.collection(name) for name in (schema.STANDINGS, schema.EPOCHS))
    entries: list[dict[str, Any]] = []
    for number, standings in enumerate(many(count), 1):
        entries += comparing.entries(standings[0].run, 0, standings)
        if number % 1000 == 0 or number == count:
            there.insert_many(entries)
            runs = [entry["_id"] for entry in entries if "criterion" not in entry]
            epochs.insert_many([records.write_epoch(run, Epoch(0, 0)) for run in runs])
            entries = []


def fill_files(backend: FileBackend, count: int) -> None:
    """Write the files of as many runs as the store does, without forcing each to disk."""
    folder = backend.stats / STANDINGS
    folder.mkdir(parents=True)
    for standings in many(count):
        document = write_standings(standings[0].run, 0, standings)
        (folder / f"{standings[0].run}.yaml").write_bytes(document_file.dump(document))
    # Only those that are found are asked for their epochs.
    for one in backend.ranked(CRITERIA, None, 10 * COUNT):
        backend.add_epoch(one.run, Epoch(0, 0))


def of_mongo(uri: str, count: int, rounds: int) -> list[dict[str, Any]]:
    """Measure questions to MongoDB, and the driver's own for the same entries."""
    name = f"dacapo_benchmark_{secrets.token_hex(4)}"
    backend = MongoBackend(uri, name)
    fill_mongo(backend, count)
    rows = []
    with pymongo.MongoClient(uri) as client:
        there = client[name][schema.STANDINGS]

        def driver(number: int, condition: dict[str, str]) -> None:
            list(there.find(condition).sort([("rank", 1), ("run", 1)]).limit(COUNT))

        questions: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
            "on one dataset": ({"criterion": CRITERION, "dataset": DATASET}, (CRITERION, DATASET)),
            "on any": ({"criterion": CRITERION}, (CRITERION,)),
        }
        for words, (condition, asked) in questions.items():
            best = partial(StatsStore(backend).best_runs, *asked, count=COUNT)
            taken = in_turns(rounds, partial(driver, condition=condition), lambda _, best=best: best())
            mine, theirs = median(taken[1]), median(taken[0])
            how = f"{mine / theirs:.1f} x the driver's own find().sort().limit({COUNT}); medians of {rounds}"
            rows.append(
                row(f"top {COUNT} of {count:,} runs {words}, MongoDB", f"{mine * 1e3:.1f} ms", "", how)
            )
        raw = in_turns(
            rounds,
            partial(driver, condition=questions["on one dataset"][0]),
            lambda _: backend.ranked([CRITERION], DATASET, COUNT),
        )
        ratio = median(raw[1]) / median(raw[0])
        how = "against the driver's own; without asking for tags and for the newest epochs"
        rows.append(row(f"its one question to the index, {count:,} runs", f"{ratio:.2f} x", "", how))
        for rises in (0.0, 1.0):
            rows += kept_up(client[name], backend, 20 if rounds < 20 else 200, rises)
        client.drop_database(name)
    return rows


def kept_up(database: Any, backend: MongoBackend, rounds: int, rises: float) -> list[dict[str, Any]]:
    """Measure what a validation costs more because what is best is kept up.

    Scores are random; if they also rise from one validation to the next, all get better each time.
    """
    labels = ScoreLabels(
        (DATASET, "crop8"),
        tuple(f"t_{n}" for n in range(20)),
        tuple(Criterion(f"mito__s{n}", True) for n in range(15)),
    )
    plain = database.get_collection(f"plain {rises}", write_concern=WriteConcern("majority", j=True))
    rng, scores, store = np.random.default_rng(0), ValidationScores.labelled(labels), StatsStore(backend)
    spent = np.zeros(rounds)
    keep = ranking.Best.keep

    def validate(number: int) -> None:
        matrix = (rng.random(labels.shape) + rises * number).tolist()
        scores.add_iteration_scores(ValidationIterationScores(number + 1, matrix))

        def timed(best: ranking.Best, where: Any, epoch: int) -> None:
            spent[number] = seconds(lambda: keep(best, where, epoch))

        ranking.Best.keep = timed  # type: ignore[method-assign]
        store.store_validation_iteration_scores(f"validated {rises}", scores)
        ranking.Best.keep = keep  # type: ignore[method-assign]

    taken = in_turns(rounds, lambda n: plain.insert_one({"_id": n, "data": rng.bytes(8 * 600)}), validate)
    insert = np.mean(taken[0])
    words = "that all get better each time" if rises else "that are random"
    how = f"2 datasets x 20 parameters x 15 scores {words}; against an insert; means of {rounds} validations"
    return [
        row("what is best kept up, a validation", f"{np.mean(spent) / insert:.2f} x", "", how),
        row("all of that store call", f"{np.mean(taken[1]) / insert:.2f} x", "", how),
    ]


def of_files(count: int, rounds: int) -> list[dict[str, Any]]:
    """Measure questions to files: by each a store that was opened for it, as a command does."""
    with tempfile.TemporaryDirectory() as folder:
        fill_files(FileBackend(folder), count)

        def best() -> None:
            StatsStore(FileBackend(folder)).best_runs(CRITERION, DATASET, COUNT)

        best()
        begin = time.process_time()
        taken = [seconds(best) for _ in range(rounds)]
        spent = (time.process_time() - begin) / rounds
        how = (
            f"with the index warm, a new store each; median of {rounds}, {spent * 1e3:.0f} ms of it CPU time"
        )
        return [row(f"top {COUNT} of {count:,} runs, files", f"{median(taken) * 1e3:.0f} ms", "", how)]


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return a row for every bar: what was measured, the figure, the target, how."""
    count, rounds = (2000, 10) if quick else (100_000, 60)
    with server() as uri:
        return [*of_mongo(uri, count, rounds), *of_files(count, 5)]


def main() -> None:
    """Print the table."""
    print("| bar | figure | target | how |\n|---|---|---|---|")
    for one in measure("--quick" in sys.argv):
        print("| {bar} | {figure} | {target} | {how} |".format(**one))


if __name__ == "__main__":
    main()
