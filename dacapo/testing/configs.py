"""Checks for configs of every kind: offered, light, kept by every store, explained, built from."""

from __future__ import annotations

import pickle
import subprocess
import sys
import typing
from functools import lru_cache
from typing import Any

import attrs
import yaml

from dacapo.config import Config, UnknownConfig, build, checker
from dacapo.documents import FROM, Documents, from_json, to_json
from dacapo.errors import InvalidConfig
from dacapo.registry import Registry, registry

from .checks import EVERY_CONFIG, EVERY_TYPE, check, demand

HEAVY = {"torch", "zarr", "tensorstore", "pymongo", "scipy", "numba", "skimage", "neuroglancer"}


@check(EVERY_TYPE)
def has_an_example(cls: type[Config]) -> None:
    """``example()`` of the type returns one of it, the same each time: what all other checks look at."""
    example = cls.example()
    demand(type(example) is cls, f"example() returned a {type(example).__name__}; return cls(...)")
    demand(_are_the_same(example, cls.example()), "the second example() is another; leave out what is random")


@check(EVERY_CONFIG)
def is_offered(config: Config) -> None:
    """The type is declared as an entry point, in the group of its kind."""
    registry.offer_of(type(config))


@check(EVERY_CONFIG)
def is_qualified(config: Config) -> None:
    """The name it is offered under is its class's, behind its package's unless it is DaCapo's own."""
    offer = registry.offer_of(type(config))
    provider, _, cls = offer.name.rpartition(".")
    mine = type(config).__name__
    demand(cls == mine, f"it is offered as {offer.name}; the name of the entry point should end with {mine}")
    ours = offer.target.startswith("dacapo.")
    demand(bool(provider) != ours, f"it is offered as {offer.name}; bare names are DaCapo's: <package>.{cls}")


@check(EVERY_CONFIG)
def is_light(config: Config) -> None:
    """Importing the config does not import what does the work."""
    module = type(config).__module__
    heavy = _heavy_imports(module, tuple(sys.path))
    demand(
        not heavy,
        f"importing {module} also imports {heavy}; move what needs them to the module of the component, and "
        "name that by implemented_by",
    )


@lru_cache(maxsize=256)  # most types share their module, and a new process takes half a second
def _heavy_imports(module: str, path: tuple[str, ...]) -> str:
    found = f"print(*sorted({HEAVY} & sys.modules.keys()))"
    code = f"import sys; sys.path[:] = {list(path)}; import {module}; {found}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    demand(done.returncode == 0, f"{module} cannot be imported in a new process: {done.stderr.strip()}")
    return done.stdout.strip()


@check(EVERY_CONFIG)
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
        demand(
            _are_the_same(documents.read(copy, type(config)), config),
            f"it is another after {form}; keep in its fields what that can hold, and let == compare them all",
        )


@check(EVERY_CONFIG)
def survives_absence(config: Config) -> None:
    """Where the package is not installed, the document is kept word for word."""
    document = Documents().write(config)
    mine = registry.offer_of(type(config)).dist
    others = [offer for rivals in registry.offers.values() for offer in rivals if offer.dist != mine]
    elsewhere = Documents(Registry(others))
    kept: Any = elsewhere.read(document, type(config))
    demand(isinstance(kept, UnknownConfig), "it was read although its package is absent")
    demand(
        elsewhere.write(kept) == document, "where its package is absent, its document is not kept as it is"
    )


@check(EVERY_CONFIG)
def survives_a_worker(config: Config) -> None:
    """The config can be sent to another process."""
    try:
        copy = pickle.loads(pickle.dumps(config))
    except Exception as error:
        raise AssertionError(f"it cannot be pickled: {error}; define it at the top of a module") from error
    demand(
        _are_the_same(copy, config), "it is another in another process; keep nothing outside of its fields"
    )


@check(EVERY_CONFIG)
def explains_itself(config: Config) -> None:
    """The type has a docstring, and every field a type and a help text."""
    demand(bool((vars(type(config)).get("__doc__") or "").strip()), "it has no docstring; say what it is for")
    for one in attrs.fields(type(config)):
        demand(one.type is not None, f"{one.name} has no type; annotate it")
        demand(bool(one.metadata.get("help_text")), f'{one.name} has no help; declare it by field("help")')


@check(EVERY_CONFIG)
def refuses_nonsense(config: Config) -> None:
    """A value of the wrong type raises an error of DaCapo that names the field."""
    documents = Documents()
    document, hints = documents.write(config), typing.get_type_hints(type(config))
    for one in attrs.fields(type(config)):
        nonsense = {"no": {"such": "value"}}
        if one.name not in document or checker(hints[one.name]) is None or _holds(hints[one.name], nonsense):
            continue
        try:
            documents.read({**document, one.name: nonsense}, type(config))
        except InvalidConfig as error:
            demand(
                one.name in str(error),
                f"refusing {one.name} = {nonsense} it did not say which field: {error}",
            )
        else:
            raise AssertionError(f"{one.name} = {nonsense} was taken; annotate it with what it may hold")


def _holds(hint: Any, value: Any) -> bool:
    """Say whether a value is fine for a hint, or the hint one of other configs, which say so themselves."""
    check_value = checker(hint)
    if _is_of_configs(hint):
        return True
    try:
        return check_value is None or check_value(value) is not None
    except (TypeError, ValueError):
        return False


@check(EVERY_CONFIG)
def has_provenance(config: Config) -> None:
    """A document of a type that is not DaCapo's own says which package it comes from."""
    offer = registry.offer_of(type(config))
    written = Documents().write(config).get(FROM)
    wanted = None if offer.is_ours else offer.requirement
    demand(
        written == wanted, f"{FROM} in its document is {written!r}, and should be {wanted!r}; reinstall it"
    )


@check(EVERY_CONFIG)
def builds(config: Config) -> None:
    """The component it describes can be built, and building does not change the config."""
    before = Documents().write(config)
    demand(hasattr(config, config.builds) or not config.builds, f"it says no {config.builds}: what it builds")
    if config.builds:
        build(config)
    demand(Documents().write(config) == before, "building from it changed it; copy what has to be changed")


def _is_of_configs(hint: Any) -> bool:
    whole = isinstance(hint, type) and issubclass(hint, Config)
    return whole or any(map(_is_of_configs, typing.get_args(hint)))


def _are_the_same(one: Config, other: Config) -> bool:
    """Say whether configs are equal, also where they hold NaN, and would be stored alike."""
    texts = [to_json(Documents().write(each), sort_keys=True) for each in (one, other)]
    has_nan = from_json(texts[0]) != from_json(texts[0])
    return texts[0] == texts[1] and (has_nan or one == other)
