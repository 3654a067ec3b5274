"""Training stats: columns that behave like a list of iterations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dacapo.errors import InvalidRequest
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats


def stats_until(end: int, begin: int = 0, loss: float = 1.0) -> TrainingStats:
    return TrainingStats(TrainingIterationStats(i, loss * i, 0.5) for i in range(begin, end))


def test_what_is_added_is_listed():
    stats = TrainingStats()
    assert len(stats) == 0 and stats.last is None and stats.trained_until() == 0
    added = [TrainingIterationStats(i, i / 7, 0.1 * i, {"gradient": float(i)}) for i in range(200)]
    for one in added:
        stats.add_iteration_stats(one)
    assert stats.iteration_stats == added
    assert list(stats.iteration_stats) == added
    assert stats.iteration_stats[-1] == stats.last == added[-1]
    assert stats.iteration_stats[10:13] == added[10:13]
    assert stats.trained_until() == 200
    assert stats.at(7) == added[7] and stats.at(200) is None
    assert "iteration=0" in repr(stats.iteration_stats[:1])
    assert repr(stats) == "<TrainingStats of 200 iterations, until 200>"
    with pytest.raises(IndexError):
        stats.iteration_stats[200]


def test_a_repeated_iteration_replaces_itself_and_what_follows():
    # B40: existing DaCapo lost iteration 2 here.
    stats = stats_until(6)
    stats.add_iteration_stats(TrainingIterationStats(3, 99.0, 1.0))
    assert stats.iterations.tolist() == [0, 1, 2, 3]
    assert stats.columns["loss"].tolist() == [0, 1, 2, 99]


def test_an_earlier_iteration_takes_everything_from_there_on():
    stats = stats_until(6)
    stats.add_iteration_stats(TrainingIterationStats(0, 5.0, 1.0))
    assert stats.iterations.tolist() == [0]


@pytest.mark.parametrize(("iteration", "kept"), [(0, 0), (3, 3), (6, 6), (9, 6)])
def test_delete_after_keeps_what_came_before(iteration: int, kept: int):
    stats = stats_until(6)
    stats.delete_after(iteration)
    assert stats.iterations.tolist() == list(range(kept))


def test_iterations_with_gaps_are_found_by_number_not_by_position():
    stats = TrainingStats([TrainingIterationStats(i, float(i), 1.0) for i in (2, 5, 9)])
    stats.delete_after(6)
    assert stats.iterations.tolist() == [2, 5]
    assert stats.trained_until() == 6
    assert stats.since(3)[0].tolist() == [5]


def test_appending_columns_is_adding_rows():
    stats = stats_until(10)
    more = stats_until(20, begin=8, loss=3.0)
    stats.append(*more.since(0))
    expected = stats_until(8)
    for one in more.iteration_stats:
        expected.add_iteration_stats(one)
    assert stats == expected
    stats.append([], {})
    assert stats == expected
    assert TrainingStats.of(*expected.since(0)) == expected


def test_a_metric_that_comes_later_is_nan_before():
    stats = stats_until(2)
    stats.add_iteration_stats(TrainingIterationStats(2, 1.0, 1.0, {"gradient": 4.0}))
    stats.add_iteration_stats(TrainingIterationStats(3, 1.0, 1.0))
    stats.append([4], {"loss": [1.0], "rate": [0.5]})
    assert np.array_equal(stats.columns["gradient"], [np.nan, np.nan, 4, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(stats.columns["rate"], [np.nan] * 4 + [0.5], equal_nan=True)
    assert stats.iteration_stats[2].metrics == {"gradient": 4.0}
    assert stats.iteration_stats[3].metrics == {}
    assert math.isnan(stats.iteration_stats[4].time)


def test_a_metric_cannot_pass_for_the_loss():
    stats = TrainingStats([TrainingIterationStats(0, 1.0, 2.0, {"loss": 7.0})])
    assert stats.columns["loss"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("iterations", "columns", "reason"),
    [
        ([1, 1], {"loss": [1, 2]}, "do not increase"),
        ([2, 1], {"loss": [1, 2]}, "do not increase"),
        ([[1]], {"loss": [[1]]}, "do not increase"),
        ([1, 2], {"loss": [1, 2, 3]}, "loss has another length"),
    ],
)
def test_columns_that_do_not_fit_are_refused(iterations, columns, reason):
    stats = stats_until(3)
    with pytest.raises(InvalidRequest, match=reason):
        stats.append(iterations, columns)
    assert stats == stats_until(3)


def test_columns_cannot_be_changed_from_outside():
    stats = stats_until(3)
    with pytest.raises(ValueError, match="read-only"):
        stats.columns["loss"][0] = 1
    with pytest.raises(ValueError, match="read-only"):
        stats.iterations[0] = 1


def test_equality_is_of_all_numbers():
    assert stats_until(3) == stats_until(3)
    assert stats_until(3) != stats_until(4)
    assert stats_until(3) != stats_until(3, loss=2.0)
    assert stats_until(3) != "stats"
    nan = TrainingIterationStats(0, math.nan, 1.0)
    assert TrainingStats([nan]) == TrainingStats([nan])
    with_metric = TrainingStats([TrainingIterationStats(0, 0.0, 0.5, {"x": 1.0})])
    assert with_metric != stats_until(1)


def test_cuts_are_told_to_whoever_asks():
    stats = stats_until(10)
    assert stats.cut_since(0) == (0, None)
    stats.delete_after(10)
    assert stats.cut_since(0) == (0, None)
    stats.delete_after(7)
    stats.delete_after(4)
    mark, cut = stats.cut_since(0)
    assert cut == 4
    assert stats.cut_since(mark) == (mark, None)
    stats.add_iteration_stats(TrainingIterationStats(2, 1.0, 1.0))
    assert stats.cut_since(mark)[1] == 2


def test_to_xarray_has_the_iterations_as_coordinates():
    stats = TrainingStats([TrainingIterationStats(i, i / 2, 1.0, {"gradient": 3.0}) for i in (1, 4)])
    losses = stats.to_xarray()
    assert losses.dims == ("iterations",)
    assert losses.coords["iterations"].values.tolist() == [1, 4]
    assert losses.sel(iterations=4).item() == 2.0
    assert stats.to_xarray("gradient").values.tolist() == [3.0, 3.0]
    with pytest.raises(InvalidRequest, match="no metric rate; there are loss, time, gradient"):
        stats.to_xarray("rate")
