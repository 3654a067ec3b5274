"""Searching for post-processing parameters: from the grid on, within a budget, kept like the grid."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from click.testing import CliRunner

import dacapo
from dacapo.cli import cli
from dacapo.config import field
from dacapo.errors import InvalidRequest, MissingPlugin
from dacapo.experiments.run import Run
from dacapo.experiments.tasks.post_processors import (
    PostProcessor,
    PostProcessorParameters,
    SeededWatershedPostProcessorParameters,
    ThresholdPostProcessorParameters,
    WatershedPostProcessorParameters,
)
from dacapo.experiments.tasks.post_processors.parameters import swept
from dacapo.search import Search, space_of, within
from dacapo.store.create_store import create_array_store, create_stats_store, create_weights_store
from dacapo.validate import _Trials, validate_run

ALONE = SeededWatershedPostProcessorParameters(0)
GRID = swept([ALONE], {"threshold": [-0.5, 0.5], "seed_threshold": [0.0, 0.8], "fill_holes": [False, True]})


@attrs.frozen
class Limited(ThresholdPostProcessorParameters):
    """A threshold, and perhaps a limit."""

    limit: float | None = field("None is none.", default=None)

    def _said(self) -> list[str]:
        return [*super()._said(), f"limit_{self.limit}"]


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


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the parameter sets that are evaluated from now on, in words."""
    words: list[str] = []
    of = _Trials.of

    def noted(self: Any, parameters: PostProcessorParameters, keep: bool = True) -> list[float]:
        words.append(str(parameters))
        return of(self, parameters, keep)

    monkeypatch.setattr(_Trials, "of", noted)
    return words


def test_a_search_goes_on_from_what_earlier_ones_tried(trained: object, evaluated: list[str]) -> None:
    grid = [str(one) for one in Run(trained).task.parameters]
    first = dacapo.validate("tiny", 8, search=Search("ball__dice", trials=5), device="cpu")
    # The grid was scored by training; the segmentation of the best is written at the end.
    assert not set(evaluated[:5]) & set(grid) and len(evaluated) in (5, 6)
    evaluated.clear()
    second = dacapo.validate("tiny", 8, search=Search("ball__dice", trials=5), device="cpu")
    before, after = first.labels.parameter_names, second.labels.parameter_names
    assert after[: len(before)] == before and len(after) == len(set(after)) == len(before) + 5
    assert evaluated[:5] == list(after[-5:]) and len(evaluated) in (5, 6)
    np.testing.assert_equal(np.array(second.scores)[:, : len(before)], first.scores)

    # By another score, from the same sets.
    third = dacapo.validate("tiny", 8, search=Search("ball__voi", trials=1), device="cpu")
    assert third.labels.parameter_names[: len(after)] == after
    stored = create_stats_store().retrieve_validation_scores("tiny")
    assert stored.parameter_names == list(third.labels.parameter_names)


def test_what_was_searched_is_forgotten_once_a_validation_gives_other_scores(trained: Any) -> None:
    grid = [str(one) for one in Run(trained).task.parameters]
    dacapo.validate("tiny", 8, search=Search("ball__dice", trials=5), device="cpu")
    dacapo.validate("tiny", 8, device="cpu")  # gives the same
    again = dacapo.validate("tiny", 8, search=Search("ball__dice", trials=1), device="cpu")
    assert len(again.labels.parameters) == len(grid) + 6
    weights = create_weights_store()
    blank = weights.retrieve_weights("tiny", 8)
    for tensor in blank.model.values():
        tensor.zero_()
    weights.store_weights("tiny", 8, blank)
    dacapo.validate("tiny", 8, device="cpu")
    anew = dacapo.validate("tiny", 8, search=Search("ball__dice", trials=1), device="cpu")
    assert len(anew.labels.parameters) == len(grid) + 1


def test_only_what_lies_in_the_grid_is_gone_on_from() -> None:
    inside = [GRID[0].replace(id=90, threshold=0.25), GRID[0].replace(id=91, seed_threshold=0.0001)]
    outside = [
        GRID[0],
        GRID[0].replace(id=92, threshold=0.75),
        GRID[0].replace(id=93, min_size=7),
        WatershedPostProcessorParameters(94),
    ]
    assert within(GRID, [*outside, *inside]) == inside


def test_what_is_searched_lies_between_the_ends_of_the_grid_and_choices_stay_as_they_are() -> None:
    ends = (1 / 3, 0.5)
    grid = swept([Limited(0)], {"threshold": list(ends), "limit": [1 / 3, None]})
    found = list(Search("x", trials=20).over(grid, lambda one: one.threshold, False))
    assert all(ends[0] <= one.threshold <= ends[1] and one.limit in (1 / 3, None) for one in found)
    assert within(grid, found) == found[len(grid) :] != []


def test_one_volume_is_held_at_a_time(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (crop,) = trained.datasplit_config.validate_configs
    other = trained.datasplit_config.train_configs[0]
    split = trained.datasplit_config.replace(validate_configs=[crop, other])
    config = trained.replace(datasplit_config=split, name="two")
    held: set[int] = set()
    most: list[int] = []
    process, release = PostProcessor.process, PostProcessor.release

    def processing(self: PostProcessor, *given: Any) -> Any:
        held.add(id(self))
        most.append(len(held))
        return process(self, *given)

    def releasing(self: PostProcessor) -> None:
        held.discard(id(self))
        release(self)

    monkeypatch.setattr(PostProcessor, "process", processing)
    monkeypatch.setattr(PostProcessor, "release", releasing)
    scores = validate_run(Run(config), 0, search=Search("ball__dice", trials=4), device="cpu")
    assert set(most) == {1} and not held
    assert np.shape(scores.scores)[:2] == (2, len(Run(config).task.parameters) + 4)
    # Each row has the scores of its own volume.
    for row, one in enumerate((crop, other)):
        alone = Run(config.replace(datasplit_config=split.replace(validate_configs=[one]), name="one"))
        alone.task.sweep = {"threshold": [p.threshold for p in scores.labels.parameters]}
        np.testing.assert_equal(validate_run(alone, 0, device="cpu").scores[0], scores.scores[row])


def test_the_command_searches(trained: object) -> None:
    command = "validate tiny --iteration 8 --search ball__dice --trials 3 --json --device cpu"
    done = CliRunner().invoke(cli, command.split())
    assert done.exit_code == 0, done.output
    stored = create_stats_store().retrieve_validation_scores("tiny")
    assert len(stored.parameter_names) == len(Run(trained).task.parameters) + 3


def test_parameters_that_are_none_are_choices() -> None:
    grid = [WatershedPostProcessorParameters(i, bias=bias) for i, bias in enumerate((0.1, 0.9))]
    assert list(space_of(grid)) == ["bias"]
