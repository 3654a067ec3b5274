"""Processes that are killed while they delete, rename, copy or upload: what they began is finished later."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from killed import killed_at_each_write

from dacapo.errors import NotFound
from dacapo.store.changes import rename_run
from dacapo.store.check import check
from dacapo.store.copying import copy
from dacapo.store.deletion import delete_run
from dacapo.store.files import FileBackend
from dacapo.store.place import Place
from dacapo.store.weights_store import Weights, WeightsStore
from stored_runs import content, fill, place_of, run_config, stores_of

EVERY = {"files": 5, "mongo": 3}


@pytest.fixture(params=EVERY)
def place(request, tmp_path):
    """A place that a killed process and this one open, each for itself."""
    made = place_of(request.param, request, tmp_path / "runs")
    made.every = EVERY[request.param]
    return made


@pytest.fixture
def opened(place, tmp_path):
    return lambda: stores_of(place(), tmp_path / "arrays")


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    monkeypatch.setenv("DACAPO_LEASE_SECONDS", "1")


def repaired(stores) -> None:
    """Repair what is found until nothing is."""
    for _ in range(3):  # left-overs grow old meanwhile
        found = list(check(stores))
        for finding in found:
            assert finding.repair is not None, finding
            finding.repair()
    assert [one for one in found if "left behind" not in one.problem] == []


def test_a_deletion_that_is_killed_is_finished_by_check(place, opened):
    fill(opened(), run_config("other"))
    kept, begun = content(opened(), "other"), 0
    fill(opened(), run_config())
    whole = content(opened(), "run")
    for _ in killed_at_each_write(lambda: delete_run("run", *opened()), place.every):
        repaired(opened())
        if (there := content(opened(), "run")) == whole:
            continue  # it had not begun
        assert there == {}
        begun += 1
        fill(opened(), run_config())
    assert begun > 2 and content(opened(), "run") == {}
    assert content(opened(), "other") == kept
    repaired(opened())


def test_a_rename_that_is_killed_is_finished_by_check(place, opened):
    fill(opened(), run_config())
    whole, moved = content(opened(), "run"), 0
    for _ in killed_at_each_write(lambda: rename_run("run", "new", opened()), 2 * place.every):
        repaired(opened())
        there = {name: content(opened(), name) for name in ("run", "new")}
        assert sorted(there.values(), key=len) == [{}, whole]
        if there["new"]:
            moved += 1
            rename_run("new", "run", opened())
    assert moved > 2 and content(opened(), "new") == whole


def test_a_copy_that_is_killed_goes_on(place, opened, tmp_path):
    fill(opened(), run_config())
    source, kills = Place(place(), place()), 0
    whole = content(opened(), "run")

    def copied() -> None:
        target = FileBackend(tmp_path / "copy")
        here = Place(place(), place())
        assert not [error for row in copy(here, Place(target, target)) for error in row.refusals]

    there = stores_of(FileBackend(tmp_path / "copy"), tmp_path / "none")
    for _ in killed_at_each_write(copied, 7):
        kills += 1
        with suppress(NotFound):
            there.configs.retrieve_run_config("run")
            assert content(there, "run") == {name: one for name, one in whole.items() if name != "arrays"}
    assert kills > 3 and content(opened(), "run") == whole
    assert content(there, "run") == {name: one for name, one in whole.items() if name != "arrays"}
    assert str(source)


def test_an_upload_that_is_killed_leaves_the_checkpoint_before_it(place):
    WeightsStore(place()).store_weights("run", 1, Weights({"x": np.ones(9)}))
    seen = set()
    for _ in killed_at_each_write(
        lambda: WeightsStore(place()).store_weights("run", 2, Weights({"x": np.full(9, 2.0)})), place.every
    ):
        store = WeightsStore(place())
        last = store.latest_iteration("run")
        seen.add(last)
        assert store.retrieve_weights("run", last).model["x"].tolist() == [float(last)] * 9
        store.remove("run", 2) if last == 2 else None
    assert 1 in seen and WeightsStore(place()).latest_iteration("run") == 2
