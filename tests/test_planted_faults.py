"""Every fault that was planted is caught by the check meant for it, and by nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
import pytest

from dacapo import registry
from dacapo.registry import import_target
from dacapo.store.memory import MemoryBackend
from dacapo.testing import FreshStore, checks, failures, fake_package
from planted import configs
from planted.configs import CAUGHT
from planted.heavy import HeavyConfig

ODD_NAMES = {"MisnamedConfig": "planted.AnotherConfig"}
TARGETS = {name: f"planted.configs:{name}" for name in CAUGHT} | {"HeavyConfig": "planted.heavy:HeavyConfig"}


@pytest.fixture(scope="module", autouse=True)
def planted_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    offers: dict[str, dict[str, str]] = {}
    for name, target in TARGETS.items():
        kind = import_target(target).kind
        offers.setdefault(kind, {})[ODD_NAMES.get(name, f"planted.{name}")] = target
    folder = fake_package(tmp_path_factory.mktemp("planted"), "planted", offers=offers)
    sys.path.insert(0, str(folder))
    registry.refresh()
    yield
    sys.path.remove(str(folder))
    registry.refresh()


def caught(given: object) -> dict[str, Exception]:
    return dict(failures(given))


@pytest.mark.parametrize("name", CAUGHT)
def test_a_fault_is_caught_by_the_check_meant_for_it(name):
    meant, *consequences = CAUGHT[name]
    found = caught(getattr(configs, name))
    assert set(found) == {meant, *consequences}, found
    # Not a crash on the way: the check itself has something to say, and names the type.
    assert isinstance(found[meant], AssertionError)
    assert str(found[meant]).startswith(name)
    assert len(str(found[meant])) > len(name) + 20


def test_a_type_that_nobody_offers_is_caught():
    found = caught(configs.UnofferedConfig())
    # Nothing can be stored, or sent to another process, under no name.
    others = {"survives_storing", "survives_absence", "survives_a_worker", "refuses_nonsense"}
    assert set(found) == {"is_offered", "is_qualified", "has_provenance", "builds", *others}
    assert "declare it as an entry point" in str(found["is_offered"])


def test_a_config_that_imports_torch_is_caught():
    found = caught(HeavyConfig)
    assert set(found) == {"is_light"}
    assert "importing planted.heavy also imports torch" in str(found["is_light"])


class Overwrites(MemoryBackend):
    """A store that gives away a key twice."""

    def put(self, collection, key, document, *, replace=False):
        return super().put(collection, key, document, replace=replace or collection == "tasks")


class Anonymous(MemoryBackend):
    """A store that does not say where it is."""

    @property
    def place(self):
        return "somewhere"


@pytest.mark.parametrize(
    ("store", "meant"), [(Overwrites, "a_key_is_given_once"), (Anonymous, "a_store_says_where_it_is")]
)
def test_a_faulty_store_is_caught(store, meant):
    found = caught(FreshStore.of(store))
    assert set(found) == {"a_store_is_offered", meant}, found
    assert isinstance(found[meant], AssertionError)


def test_faulty_commands_are_caught():
    @click.command()
    @click.option("--size", type=int)
    def silent(size: int) -> None:
        """Say nothing of the option."""

    @click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def credulous() -> None:
        """Take any option."""

    assert "option --size has no help" in str(caught(silent)["a_command_explains_itself"])
    assert list(caught(silent)) == ["a_command_explains_itself"]
    assert list(caught(credulous)) == ["a_command_refuses_strange_options"]


def test_faulty_factories_are_caught():
    def silent(width: int) -> None:
        pass

    def strict(width: int, /) -> None:
        """Take a width, but not by name."""

    assert list(caught(silent)) == ["a_factory_explains_itself"]
    assert "width cannot be given by name" in str(caught(strict)["a_factory_takes_named_arguments"])


def test_nearly_every_check_has_a_fault_planted_for_it():
    meant = {checks_of_one[0] for checks_of_one in CAUGHT.values()}
    elsewhere = {"is_offered", "is_light", "a_store_is_offered", "a_store_says_where_it_is"}
    elsewhere |= {"a_factory_explains_itself", "a_factory_takes_named_arguments"}
    elsewhere |= {"a_command_explains_itself", "a_command_refuses_strange_options"}
    # What these two demand is done by DaCapo for all types; the suite of stores has tests of its own.
    by_us = {"survives_absence", "has_provenance"}
    from dacapo.testing.stores import CHECKS

    assert set(checks) - meant - elsewhere - by_us - {check.__name__ for check in CHECKS} == set()
    assert len(CAUGHT) >= 40
