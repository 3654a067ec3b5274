"""What every backend has to do so that runs are compared by their best scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from dacapo.store.backend import Epoch, StoreBackend
from dacapo.store.standings import Standing


def _standing(run: str, value: float, criterion: str = "mito__dice", dataset: str = "a") -> Standing:
    return Standing(run, dataset, criterion, value, 10, "threshold 0.5", not criterion.endswith("voi"))


def _keep(backend: StoreBackend, epoch: int, *standings: Standing) -> bool:
    return backend.rank(standings[0].run, epoch, standings)


def standings_are_found_best_first(open_backend: Callable[[], StoreBackend]) -> None:
    """More or less is better as the criterion says, equal runs sort by name, and infinity sorts too."""
    backend = open_backend()
    values = {
        "run": 0.5,
        "run:1": 0.75,
        "run-2": 0.5,
        "ärger 1": -math.inf,
        "run.x": 1e308,
        "run-3": math.inf,
    }
    for run, value in values.items():
        _keep(backend, 0, _standing(run, value), _standing(run, value, "er__voi", "b/ü"))
    other = open_backend()

    def found(criterion: str, count: int, dataset: str | None = None) -> list[str]:
        return [one.run for one in other.ranked([criterion], dataset, count)]

    best = ["run-3", "run.x", "run:1", "run", "run-2", "ärger 1"]
    assert found("mito__dice", 9) == found("mito__dice", 6, "a") == best
    assert found("mito__dice", 4) == best[:4] and found("mito__dice", 1, "a") == best[:1]
    assert found("er__voi", 9) == ["ärger 1", "run", "run-2", "run:1", "run.x", "run-3"]
    assert found("mito__dice", 9, "b/ü") == found("dice", 9) == found("$ne", 9) == []
    assert other.ranked(["er__voi"], "b/ü", 1) == [_standing("ärger 1", -math.inf, "er__voi", "b/ü")]
    assert other.rated() == ["er__voi", "mito__dice"]
    assert other.rated("er__voi") == ["b/ü"] and other.rated("dice") == []


def standings_are_found_of_some_runs_and_criteria(open_backend: Callable[[], StoreBackend]) -> None:
    """Several criteria are one question; on any dataset all that a run has are found."""
    backend = open_backend()
    for number in range(9):
        run = f"run-{number}"
        more = [_standing(run, number / 10, "er__dice"), _standing(run, -number, "er__dice", "b")]
        _keep(backend, 0, _standing(run, number), *more)

    def found(count: int, dataset: str | None = None, among: Collection[str] | None = None) -> list[float]:
        return [one.value for one in backend.ranked(["mito__dice", "er__dice"], dataset, count, among)]

    assert found(3) == [8, 7, 6] and found(11, "a")[7:] == [1, 0.8, 0.7, 0.6]
    assert found(9, None, {"run-1", "run-4", "nothing"}) == [4, 1, 0.4, 0.1, -1, -4]
    assert found(2, "b", {"run-1", "run-4"}) == [-1, -4] and found(2, "b", set()) == []


def standings_change_as_their_run_does(open_backend: Callable[[], StoreBackend]) -> None:
    """What is kept anew stands in place of all before; what has changed, in place of its own alone."""
    backend = open_backend()
    first = [_standing("run", 0.5), _standing("run", 0.25, "er__dice"), _standing("run", 3, "er__voi", "b")]
    assert _keep(backend, 0, *first) and _keep(backend, 0, _standing("run:1", 0.75))
    better = [_standing("run", 1.0), *first[1:]]
    assert open_backend().rank("run", 0, better, better[:1])
    other = open_backend()
    assert {one.value for one in other.standings("run")} == {1.0, 0.25, 3}
    assert [one.run for one in other.ranked(["mito__dice"], "a", 9)] == ["run", "run:1"]
    assert _keep(backend, 0, better[1]) and other.standings("run") == [better[1]]
    assert [one.run for one in other.ranked(["mito__dice"], None, 9)] == ["run:1"]
    assert other.rated() == ["er__dice", "mito__dice"] and other.ranked_runs() == ["run", "run:1"]
    assert (
        backend.rank("run", 0, [])
        and other.standings("run") == []
        and other.ranked(["er__dice"], None, 9) == []
    )
    assert other.ranked_runs() == ["run", "run:1"]
    assert backend.unrank("run") and not backend.unrank("run") and not backend.unrank("nothing")
    assert other.ranked_runs() == ["run:1"] and other.standings("run:1") == [_standing("run:1", 0.75)]


def standings_of_a_later_epoch_stay(open_backend: Callable[[], StoreBackend]) -> None:
    """Whoever comes too late changes nothing that is found, be it to replace, to add or to improve."""
    backend = open_backend()
    newer = _standing("run", 0.5)
    assert _keep(backend, 2, _standing("run", 0.75)) and _keep(backend, 11, newer)
    late = [_standing("run", 9.0), _standing("run", 9.0, "er__dice")]
    for changed in (None, late, late[1:]):
        assert not open_backend().rank("run", 3, late, changed)
    assert not backend.rank("run", 10, [])
    kept = open_backend().standings("run")
    assert [(one.value, one.epoch) for one in kept] == [(0.5, 11)]
    assert [one.value for one in backend.ranked(["mito__dice", "er__dice"], None, 9)] == [0.5]
    assert backend.unrank("run") and _keep(backend, 3, newer)


def the_newest_epochs_of_many_runs_are_one_question(open_backend: Callable[[], StoreBackend]) -> None:
    """Runs without epochs are left out, and names that begin alike are told apart."""
    backend = open_backend()
    for run, numbers in {"run": (0, 2, 11), "run:1": (3,), "run.x": (0,)}.items():
        for number in numbers:
            backend.add_epoch(run, Epoch(number, 0))
    assert open_backend().newest_epochs(["run", "run:1", "ru", "none"]) == {"run": 11, "run:1": 3}
    assert backend.newest_epochs([]) == {}


CHECKS = (
    standings_are_found_best_first,
    standings_are_found_of_some_runs_and_criteria,
    standings_change_as_their_run_does,
    standings_of_a_later_epoch_stay,
    the_newest_epochs_of_many_runs_are_one_question,
)
