"""Numbers at the edge of what can be stored come back as they were, from every store."""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dacapo.cli import cli
from dacapo.errors import InvalidDocument, InvalidRequest
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.backend import StoreBackend
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import WeightsStore
from dacapo.testing.stores import is_alike
from scripted import run_config, weights_of

EDGES = [
    math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, -1e308, 5e-324, -5e-324, 2.0**53 + 2, 1 / 3,
    struct.unpack("<d", b"\1\0\0\0\0\0\xf8\x7f")[0],
]  # fmt: skip
INTEGERS = [0, 1, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1, 2**62, 2**63 - 2, 2**63 - 1]
FEW = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
runs = (f"run{number}" for number in itertools.count())
floats = st.sampled_from(EDGES) | st.floats()


@pytest.fixture(params=["files", "memory", "mongo"], scope="module")
def opener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "files":
        folder = tmp_path_factory.mktemp("edges")
        return lambda: FileBackend(folder)
    if request.param == "memory":
        return lambda: MemoryBackend("edges")
    uri = request.getfixturevalue("replica_set_uri")
    return lambda: MongoBackend(uri, "dacapo_test_edges")


def bits(values: Any) -> list[bytes]:
    """Return numbers as bytes, so that NaN equals itself and the signs of zeros count."""
    return [struct.pack("<d", value) for value in values]


@FEW
@given(
    losses=st.lists(floats, min_size=1, max_size=5),
    first=st.sampled_from(INTEGERS[:-5]),
    metric=floats,
)
def test_stats_come_back_bit_by_bit(opener: Callable[[], StoreBackend], losses, first: int, metric):
    run = next(runs)
    iterations = list(range(first, first + len(losses)))
    stats = TrainingStats()
    stats.append(iterations, {"loss": losses, "time": losses[::-1], "more": [metric] * len(losses)})
    StatsStore(opener()).store_training_stats(run, stats)
    found = StatsStore(opener()).retrieve_training_stats(run)
    assert found.iterations.tolist() == iterations
    assert bits(found.columns["loss"]) == bits(losses)
    assert bits(found.columns["time"]) == bits(losses[::-1])
    assert bits(found.columns["more"]) == bits([metric] * len(losses))
    last = StatsStore(opener()).retrieve_last_training_stats(run)
    assert last is not None and last.iteration == iterations[-1] and bits([last.loss]) == bits(losses[-1:])


def test_iterations_go_as_far_as_64_bits(opener: Callable[[], StoreBackend]):
    run = next(runs)
    stats = TrainingStats()
    stats.append(INTEGERS, {"loss": range(len(INTEGERS)), "time": range(len(INTEGERS))})
    StatsStore(opener()).store_training_stats(run, stats)
    assert StatsStore(opener()).retrieve_training_stats(run).iterations.tolist() == INTEGERS
    assert StatsStore(opener()).retrieve_training_stats(run, subsample=3).iterations.tolist()[-1] == 2**63 - 1


def test_iterations_count_from_zero():
    stats = TrainingStats()
    with pytest.raises(InvalidRequest, match="there is no iteration -1: they count from 0"):
        stats.add_iteration_stats(TrainingIterationStats(-1, 1.0, 1.0))
    with pytest.raises(InvalidRequest, match="do not increase from 0 on"):
        stats.append([-1, 0], {"loss": [1, 2], "time": [1, 2]})
    assert not len(stats)


@FEW
@given(values=st.lists(floats, min_size=2, max_size=4), iteration=st.sampled_from(INTEGERS))
def test_scores_come_back_bit_by_bit(opener: Callable[[], StoreBackend], values, iteration: int):
    run = next(runs)
    labels = ScoreLabels(("crop",), tuple(map(str, range(len(values)))), (Criterion("dice", True),))
    scores = ValidationScores.labelled(labels)
    scores.add_iteration_scores(ValidationIterationScores(iteration, [[[value] for value in values]]))
    StatsStore(opener()).store_validation_iteration_scores(run, scores)
    (found,) = StatsStore(opener()).retrieve_validation_iteration_scores(run)
    assert found.iteration == iteration
    # Of NaN only that it is one is kept.
    for one, other in zip(found.scores[0], values, strict=True):
        assert is_alike(one[0], other)


@FEW
@given(value=floats, integer=st.sampled_from(INTEGERS) | st.integers(-(2**63), 2**63 - 1))
def test_documents_and_best_values_come_back(opener: Callable[[], StoreBackend], value, integer: int):
    run, backend = next(runs), opener()
    document = {"float": value, "integer": integer, "list": [value, [integer]], "text": repr(value)}
    backend.put("tasks", run, document)
    assert is_alike(opener().get("tasks", run), document)
    weights = WeightsStore(backend)
    weights.store_weights(run, 1, weights_of(1.0))
    weights.store_best(run, 1, "crop", "dice", value)
    (record,) = WeightsStore(opener()).best(run)
    assert is_alike(record.value, value)


@pytest.mark.parametrize("integer", [2**63, 2**64, -(2**63) - 1, 10**400])
def test_integers_that_no_database_holds_come_back_or_are_refused(opener, integer: int):
    key = next(runs)
    try:
        opener().put("tasks", key, {"integer": integer})
    except InvalidDocument as error:
        assert "cannot be stored" in str(error) or "cannot be written" in str(error)
    else:
        assert is_alike(opener().get("tasks", key), {"integer": integer})


def test_the_best_is_a_number_if_there_is_one():
    labels = ScoreLabels(("crop",), ("p",), (Criterion("dice", True), Criterion("voi", False)))
    scores = ValidationScores.labelled(labels)
    for iteration, value in enumerate([math.nan, 0.5, math.nan, 0.7, math.nan]):
        scores.add_iteration_scores(ValidationIterationScores(iteration, [[[value, value]]]))
    assert scores.best("crop", "dice").value == 0.7
    assert scores.best("crop", "voi").value == 0.5


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_json_is_valid_whatever_the_numbers(tmp_path: Path):
    config = run_config("edge")
    create_config_store().store_run_config(config)
    stats = TrainingStats()
    stats.append(range(len(EDGES)), {"loss": EDGES, "time": EDGES})
    create_stats_store().store_training_stats(config, stats)
    create_weights_store().store_weights(config, 1, weights_of(1.0))
    for number, value in enumerate(EDGES):
        create_weights_store().store_best(config, 1, f"crop{number}", "dice", value)
    for command in (["stats", "edge"], ["best", "edge"]):
        done = CliRunner().invoke(cli, [*command, "--json"])
        assert done.exit_code == 0, done.output
        rows = json.loads(done.stdout, parse_constant=refuse)
        assert len(rows) == len(EDGES)
        values = [row.get("loss", row.get("value")) for row in rows]
        if command[0] == "stats":
            assert values[0] == {"__float__": "nan"} and values[1] == {"__float__": "inf"}
            assert [v for v in values if not isinstance(v, dict)] == [v for v in EDGES if np.isfinite(v)]
        assert CliRunner().invoke(cli, command).exit_code == 0
