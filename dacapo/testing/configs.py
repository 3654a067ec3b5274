"""The list of checks for a config, and the ways to run them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
import yaml

from dacapo.config import Config, UnknownConfig, build
from dacapo.documents import FROM, Documents, from_json, to_json
from dacapo.registry import Registry, registry

Check = Callable[[Config], None]
HEAVY = ("torch", "zarr", "tensorstore", "pymongo", "scipy", "numba", "skimage", "neuroglancer")
checks: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Add a check to the list; its docstring is what it demands."""
    checks[function.__name__] = function
    return function


def demand(holds: bool, otherwise: str) -> None:
    """Fail with a reason; unlike ``assert`` also when Python runs optimised."""
    if not holds:
        raise AssertionError(otherwise)


@check
def is_offered(config: Config) -> None:
    """The type is declared as an entry point, in the group of its kind."""
    registry.offer_of(type(config))


@check
def is_qualified(config: Config) -> None:
    """The name it is offered under is its class's, behind its package's unless it is DaCapo's own."""
    offer = registry.offer_of(type(config))
    provider, _, cls = offer.name.rpartition(".")
    demand(cls == type(config).__name__, f"{offer.name} should end with {type(config).__name__}")
    ours = offer.target.startswith("dacapo.")
    demand(bool(provider) != ours, f"{offer.name} should read <package>.{cls}")


@check
def is_light(config: Config) -> None:
    """Importing the config does not import what does the work."""
    code = f"import sys, {type(config).__module__}; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    demand(not done.stdout.strip(), f"importing {type(config).__module__} also imports {done.stdout.strip()}")


@check
def survives_storing(config: Config) -> None:
    """Written as JSON, YAML or BSON and read back, the config is equal to itself."""
    # Imported here: only this check needs it, and plugin authors may run the others without.
    import bson

    documents = Documents()
    document = documents.write(config)
    copies = {
        "JSON": from_json(to_json(document)),
        "YAML": yaml.safe_load(yaml.safe_dump(document)),
        "BSON": bson.decode(bson.encode(document)),
    }
    for form, copy in copies.items():
        demand(documents.read(copy, type(config)) == config, f"changed by {form}")


@check
def survives_absence(config: Config) -> None:
    """Where the package is not installed, the document is kept word for word."""
    document = Documents().write(config)
    mine = registry.offer_of(type(config)).dist
    others = [offer for rivals in registry.offers.values() for offer in rivals if offer.dist != mine]
    elsewhere = Documents(Registry(others))
    kept: Any = elsewhere.read(document, type(config))
    demand(isinstance(kept, UnknownConfig), "was read although its package is absent")
    demand(elsewhere.write(kept) == document, "the kept document is not the same")


@check
def survives_a_worker(config: Config) -> None:
    """The config can be sent to another process."""
    demand(pickle.loads(pickle.dumps(config)) == config, "changed on the way to another process")


@check
def explains_itself(config: Config) -> None:
    """The type has a docstring, and every field a type and a help text."""
    demand(bool(type(config).__doc__), "no docstring")
    for one in attrs.fields(type(config)):
        demand(one.type is not None, f"{one.name} has no type")
        demand(bool(one.metadata.get("help_text")), f"{one.name} has no help_text")


@check
def has_provenance(config: Config) -> None:
    """A document of a type that is not DaCapo's own says which package it comes from."""
    offer = registry.offer_of(type(config))
    written = Documents().write(config).get(FROM)
    demand(written == (None if offer.is_ours else offer.requirement), f"{FROM} is {written!r}")


@check
def builds(config: Config) -> None:
    """The component it describes can be built, and building does not change the config."""
    before = Documents().write(config)
    build(config)
    demand(Documents().write(config) == before, "changed by building from it")


def failures(config: Config, excused: Iterable[str] = ()) -> Iterator[tuple[str, Exception]]:
    """Yield the checks that a config fails, with what each had to say.

    A check that was excused and passes counts as a failure too, so that excuses do not outlive
    their reason.
    """
    for name, function in checks.items():
        try:
            function(config)
        except Exception as error:
            if name not in excused:
                yield name, error
        else:
            if name in excused:
                yield name, AssertionError(f"{name} was excused, and passes")


def conformance(configs: list[Any], excused: Mapping[str, str] | None = None) -> Any:
    """Make a pytest test of every check on every config; ``excused`` maps a check to its reason."""
    # Imported here: the kit also runs without pytest, through ``failures``.
    import pytest

    reasons = excused or {}

    def marks(name: str) -> tuple[Any, ...]:
        return (pytest.mark.xfail(reason=reasons[name], strict=True),) if name in reasons else ()

    cases = [
        pytest.param(config, function, id=f"{type(config).__name__}-{name}", marks=marks(name))
        for config in configs
        for name, function in checks.items()
    ]

    @pytest.mark.parametrize(("config", "function"), cases)
    def test_conformance(config: Config, function: Check) -> None:
        function(config)

    return test_conformance
