"""Random commands, the same to the memory backend and to another, and the same answers from both."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.testing.store_machine import comparison
from dacapo.testing.stores import Opener
from mongo_places import MongoPlace, empty

FEW = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
numbers = itertools.count()


def in_memory() -> Opener:
    name = f"model {next(numbers)}"
    return lambda: MemoryBackend(name)


def test_files_answer_as_the_model_does(tmp_path: Path):
    def in_files() -> Opener:
        folder = tmp_path / str(next(numbers))
        return lambda: FileBackend(folder)

    run_state_machine_as_test(comparison(in_memory, in_files), settings=FEW)


def test_mongo_answers_as_the_model_does(mongo_place: MongoPlace):
    def in_mongo() -> Opener:
        empty(mongo_place)
        return lambda: MongoBackend(mongo_place.uri, mongo_place.name)

    run_state_machine_as_test(comparison(in_memory, in_mongo), settings=FEW)


def test_a_backend_that_loses_something_is_found_out():
    class Forgetful(MemoryBackend):
        def remove(self, collection: str, key: str) -> bool:
            super().remove(collection, key)
            return True

    def forgetful() -> Opener:
        name = f"forgetful {next(numbers)}"
        return lambda: Forgetful(name)

    with pytest.raises(AssertionError, match="the model says"):
        run_state_machine_as_test(comparison(in_memory, forgetful), settings=FEW)
