"""Names that are no names: every public method refuses them, and nothing changes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dacapo.errors import DacapoError, InvalidName, InvalidRequest
from dacapo.store.array_store import LocalArrayStore
from dacapo.store.backend import StoreBackend
from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from damage import fill
from mongo_places import MongoPlace
from scripted import RUN, Session, observe, run_config, scores_at, stats_of, task, weights_of

WRONG = [
    {"$ne": None}, {"$gt": ""}, {"$where": "sleep(1000)"}, ["run"], [], ("run",), {"run"},
    re.compile(".*"), 3, 0, 1.5, True, b"run", None, object(),
]  # fmt: skip
TRICKS = ["$ne", "", "../run", "run/..", "run\0", ".*", "run:", "run:1:2", "run:x", "*"]
# What other arguments are given, by their names.
USUAL = {
    "kind": "tasks", "iteration": 5, "dataset": "crop", "criterion": "dice", "start": 0, "choice": "latest",
    "stats": stats_of(0, 3), "scores": scores_at(1), "weights": weights_of(1.0), "parameters": "p",
}  # fmt: skip
RUNS = ("run", "run_name")


def methods(session: Session) -> Iterator[tuple[str, Any, list[inspect.Parameter]]]:
    """Yield every public method of the stores that takes a run or a name."""
    for store in (session.configs, session.stats, session.weights, session.arrays):
        for name, method in inspect.getmembers(store, inspect.ismethod):
            if name.startswith("_"):
                continue
            parameters = list(inspect.signature(method).parameters.values())
            yield f"{type(store).__name__}.{name}", method, parameters


def is_name(parameter: inspect.Parameter) -> bool:
    return parameter.name in RUNS or parameter.name == "name" or parameter.name.endswith("_name")


def calls(session: Session) -> Iterator[tuple[str, Any, dict[str, Any], str]]:
    for where, method, parameters in methods(session):
        for wrong in parameters:
            if not is_name(wrong) or wrong.default is not wrong.empty:
                continue
            others = {
                one.name: run_config() if one.name == "config" else USUAL.get(one.name, "task")
                for one in parameters
                if one is not wrong and one.default is one.empty
            }
            yield where, method, others, wrong.name


@pytest.fixture(params=["files", "memory", "mongo"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> StoreBackend:
    if request.param == "files":
        return FileBackend(tmp_path / "outer" / "runs")
    if request.param == "memory":
        return MemoryBackend(str(tmp_path))
    place: MongoPlace = request.getfixturevalue("mongo")
    return MongoBackend(place.uri, place.name)


def filled(backend: StoreBackend) -> Session:
    session = Session(backend)
    session.configs.store("tasks", task(3))
    session.configs.store_run_config(run_config())
    session.train(10)
    session.score(4)
    session.weights.store_weights(RUN, 5, weights_of(5.0))
    session.weights.store_best(RUN, 5, "crop", "dice", 0.5)
    return session


def test_every_method_refuses_what_is_no_name(backend: StoreBackend):
    session = filled(backend)
    before = observe(backend)
    count = 0
    for where, method, others, name in calls(session):
        for wrong in [*WRONG, *TRICKS]:
            with pytest.raises((InvalidName, InvalidRequest)) as caught:
                method(**others | {name: wrong})
            assert len(str(caught.value)) > 20, f"{where}({name}={wrong!r})"
            count += 1
    assert count > 800
    assert observe(backend) == before


@pytest.mark.parametrize("argument", ["kind", "iteration", "dataset", "criterion", "choice"])
def test_other_arguments_are_no_way_in(backend: StoreBackend, argument: str):
    session = filled(backend)
    before = observe(backend)
    count = 0
    for where, method, parameters in methods(session):
        if not any(one.name == argument for one in parameters):
            continue
        needed = {one.name: one for one in parameters if one.default is one.empty} | {argument: None}
        given = {
            name: RUN if name in RUNS else task(1) if name == "config" else USUAL.get(name, "task")
            for name in needed
        }
        wrongs = [*WRONG, "../../../x", "$ne"] if argument in ("kind", "iteration", "choice") else WRONG
        for wrong in wrongs:
            if wrong is None and any(one.name == argument and one.default is None for one in parameters):
                continue  # that is to leave it open
            if argument == "iteration" and wrong in (3, 0, None) and not isinstance(wrong, bool):
                continue
            try:
                method(**given | {argument: wrong})
            except DacapoError as error:
                assert str(error), where
            else:
                # The paths of arrays are only computed; what they are made of is checked as a text.
                assert where.startswith("LocalArrayStore."), f"{where}({argument}={wrong!r})"
            count += 1
    assert count >= len(WRONG)
    assert observe(backend) == before


def test_configs_cannot_bring_such_names_in(backend: StoreBackend):
    session = filled(backend)
    before = observe(backend)
    for wrong in [*WRONG, *TRICKS]:
        with pytest.raises(DacapoError):
            session.configs.store_run_config(run_config(name=wrong))
        with pytest.raises(DacapoError):
            session.configs.store("tasks", task(1, wrong))
    for wrong in (-1, 1.5, "1", {"$gt": 0}, None, True):
        with pytest.raises(DacapoError):
            session.configs.store_run_config(run_config(repetition=wrong))
    assert observe(backend) == before


def test_every_store_is_looked_at():
    session = Session(MemoryBackend("looked at"))
    assert {where.split(".")[0] for where, *_ in calls(session)} == {
        "ConfigStore", "StatsStore", "WeightsStore", "LocalArrayStore",
    }  # fmt: skip
    assert isinstance(session.arrays, LocalArrayStore) and fill is not None
