"""Searching for post-processing parameters: from the grid on, within a budget, kept like the grid."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import dacapo
from dacapo.cli import cli
from dacapo.errors import InvalidRequest, MissingPlugin
from dacapo.experiments.run import Run
from dacapo.experiments.tasks.post_processors import (
    PostProcessorParameters,
    SeededWatershedPostProcessorParameters,
    WatershedPostProcessorParameters,
)
from dacapo.experiments.tasks.post_processors.parameters import swept
from dacapo.search import Search, space_of
from dacapo.store.create_store import create_array_store, create_stats_store, create_weights_store
from dacapo.validate import validate_run

ALONE = SeededWatershedPostProcessorParameters(0)
GRID = swept([ALONE], {"threshold": [-0.5, 0.5], "seed_threshold": [0.0, 0.8], "fill_holes": [False, True]})


def badness(one: PostProcessorParameters) -> float:
    """Return how far a set is from the best one, which no grid holds."""
    assert isinstance(one, SeededWatershedPostProcessorParameters)
    return (one.threshold - 0.2) ** 2 + (one.seed_threshold - 0.3) ** 2 + (not one.fill_holes)


def test_a_search_begins_with_the_grid_and_comes_nearer() -> None:
    for higher, score in ((False, badness), (True, lambda one: -badness(one))):
        found = list(Search("x", trials=40).over(GRID, score, higher))
        assert found[: len(GRID)] == list(GRID)
        assert len(found) == len(GRID) + 40
        best = min(found, key=badness)
        assert badness(best) < 0.01 < min(map(badness, GRID))
        assert [one.id for one in found] == list(range(len(found)))
        assert len({str(one) for one in found}) == len(found)
        assert all(-0.5 <= one.threshold <= 0.5 and len(str(one.threshold)) <= 8 for one in found)


def test_a_seed_tells_what_is_tried() -> None:
    one, same, other = (list(Search("x", 8, seed=seed).over(GRID, badness, False)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_seconds_end_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("dacapo.search.time.monotonic", lambda: next(clock))
    assert len(list(Search("x", trials=50, seconds=10).over(GRID, badness, False))) == len(GRID) + 2


def test_nothing_is_tried_twice() -> None:
    grid = swept([ALONE], {"min_size": [0, 3]})
    tried: list[str] = []
    found = list(Search("x", trials=20).over(grid, lambda one: tried.append(str(one)) or 0.0, False))
    assert sorted(one.min_size for one in found) == [0, 1, 2, 3]
    assert len(tried) == len(set(tried)) == 4


def test_scores_that_are_not_there_do_not_end_a_search() -> None:
    found = list(
        Search("x", 10).over(GRID, lambda one: math.nan if one.threshold > 0.1 else badness(one), False)
    )
    assert len(found) == len(GRID) + 10


def test_what_varies_is_searched() -> None:
    assert {name: type(one).__name__ for name, one in space_of(GRID).items()} == {
        "threshold": "FloatDistribution",
        "seed_threshold": "FloatDistribution",
        "fill_holes": "CategoricalDistribution",
    }
    with pytest.raises(InvalidRequest, match=r"nothing to search: SeededWatershed.*sweep=\{'min_size'"):
        space_of([ALONE])


def test_a_budget_has_to_be_one() -> None:
    with pytest.raises(InvalidRequest, match="0 trials in None seconds: should be 1 or more"):
        Search("x", trials=0)
    with pytest.raises(InvalidRequest, match="above 0 seconds"):
        Search("x", seconds=0)


def test_without_optuna_it_is_said_what_to_install(trained: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPlugin, match=r"pip install 'dacapo\[search\]'"):
        dacapo.validate("tiny", 8, search=Search("ball__dice"), device="cpu")


def test_a_strange_criterion_is_refused(trained: object) -> None:
    with pytest.raises(InvalidRequest, match="no score 'ball__dise' to search by; choose from ball__"):
        dacapo.validate("tiny", 8, search=Search("ball__dise"), device="cpu")


def test_what_a_search_tried_is_stored_and_its_best_recorded(trained: object) -> None:
    grid = [str(one) for one in Run(trained).task.parameters]
    scores = dacapo.validate("tiny", 8, search=Search("ball__dice", trials=6), device="cpu")
    names = list(scores.labels.parameter_names)
    assert names[: len(grid)] == grid
    assert len(names) == len(grid) + 6

    stored = create_stats_store().retrieve_validation_scores("tiny")
    assert list(stored.parameter_names) == names
    at = stored.criteria.index("ball__dice")
    assert not math.isnan(stored.of_iteration(8).scores[0][-1][at])
    assert math.isnan(stored.of_iteration(4).scores[0][-1][at])

    def recorded() -> object:
        records = create_weights_store().best_by_scores("tiny")
        return next(one for one in records if (one.dataset, one.criterion) == ("validate", "ball__dice"))

    best = stored.best("validate", "ball__dice")
    assert (recorded().iteration, recorded().value, recorded().parameters) == (
        best.iteration, best.value, best.parameters
    )  # fmt: skip

    # Another validation, and going on with training, leave it where it is.
    dacapo.validate("tiny", 4, device="cpu")
    dacapo.train("tiny", device="cpu")
    assert recorded().value == best.value
    assert create_stats_store().retrieve_validation_scores("tiny").best("validate", "ball__dice") == best


def test_of_a_search_only_the_best_segmentation_is_kept(trained: object) -> None:
    run = Run(trained)
    scores = validate_run(run, 8, search=Search("ball__dice", trials=6), device="cpu")
    where = create_array_store().validation_output_array("tiny", 8, scores.labels.parameters[0],
                                                         run.datasplit.validate[0])  # fmt: skip
    kept = {path.name for path in (Path(where.container) / where.dataset).parent.iterdir() if path.is_dir()}
    at = scores.labels.axes[2].index("ball__dice")
    values = [row[at] for row in scores.scores[0]]
    best = scores.labels.parameter_names[max(range(len(values)), key=lambda i: values[i])]
    assert kept == {str(one) for one in run.task.parameters} | {best}


def test_the_command_searches(trained: object) -> None:
    command = "validate tiny --iteration 8 --search ball__dice --trials 3 --json --device cpu"
    done = CliRunner().invoke(cli, command.split())
    assert done.exit_code == 0, done.output
    stored = create_stats_store().retrieve_validation_scores("tiny")
    assert len(stored.parameter_names) == len(Run(trained).task.parameters) + 3


def test_parameters_that_are_none_are_choices() -> None:
    grid = [WatershedPostProcessorParameters(i, bias=bias) for i, bias in enumerate((0.1, 0.9))]
    assert list(space_of(grid)) == ["bias"]
