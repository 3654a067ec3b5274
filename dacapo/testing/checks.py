"""The list of checks: which of them apply to what, and the ways to run them."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
import numpy as np
import torch

from dacapo.config import Config
from dacapo.errors import InvalidRequest
from dacapo.store.backend import StoreBackend

from .fresh_store import FreshStore

Check = Callable[[Any], None]
EVERY_TYPE, EVERY_CONFIG = "types", "configs"  # besides the kinds of the registry

checks: dict[str, Check] = {}
_kinds: dict[str, str] = {}


def check(kind: str) -> Callable[[Check], Check]:
    """Add a check for a kind to the list; its docstring is what it demands."""

    def add(function: Check) -> Check:
        checks[function.__name__], _kinds[function.__name__] = function, kind
        return function

    return add


def demand(holds: bool, otherwise: str) -> None:
    """Fail with a reason; unlike ``assert`` also when Python runs optimised."""
    if not holds:
        raise AssertionError(otherwise)


def kind_of_check(name: str) -> str:
    """Return the kind that a check is for; "configs" are all kinds of configs, "types" their types."""
    return _kinds[name]


def checks_of(given: Any) -> list[str]:
    """Return the names of the checks that apply to a config or its type, a store or a command."""
    kinds = [_kind(given)]
    if _is_config(given):
        kinds.insert(0, EVERY_CONFIG)
        if isinstance(given, type):
            kinds.insert(0, EVERY_TYPE)
    return [name for kind in kinds for name in checks if _kinds[name] == kind]


def run_check(name: str, given: Any) -> None:
    """Run one check; what it demanded in vain is said in an ``AssertionError`` that names the type."""
    subject = given if _kinds[name] == EVERY_TYPE else _subject(given)
    try:
        with seeded(), _one_thread():
            checks[name](subject)
    except AssertionError as error:
        reason = str(error) or (checks[name].__doc__ or "").split("\n")[0]
        raise AssertionError(f"{_whose(subject)}: {reason}") from error


@contextmanager
def seeded() -> Iterator[None]:
    """Draw the same random numbers each time, and leave the generators of the process as they were."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 (what plugins may draw from)
    with torch.random.fork_rng(devices=[]):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute by one thread: for networks this small, others cost more in waiting than they do in work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def failures(config: Any, excused: Collection[str] = ()) -> Iterator[tuple[str, Exception]]:
    """Yield the checks that a config, or the example of a type, fails, with what each had to say.

    A check that was excused and passes counts as a failure too, so that excuses do not outlive
    their reason.  Of a type that cannot make an example nothing else is checked.
    """
    _refuse_strangers(excused)
    for name in checks_of(config):
        error = _failure(name, config)
        if error is not None and name not in excused:
            yield name, error
            if _kinds[name] == EVERY_TYPE:
                return
        if error is None and name in excused:
            yield name, AssertionError(f"{_whose(config)}: {name} was excused, and passes; drop the excuse")


def _failure(name: str, given: Any) -> Exception | None:
    try:
        run_check(name, given)
    except Exception as error:
        return error
    return None


def conformance(configs: Sequence[Any], excused: Mapping[str, str] | None = None) -> Any:
    """Make a pytest test of every check on every config, or on the example of every type.

    ``excused`` maps a check to the reason why all of these may fail it, and have to.
    """
    # Imported here: the kit also runs without pytest, through ``failures``.
    import pytest

    reasons = excused or {}
    _refuse_strangers(reasons)
    if silent := [name for name, reason in reasons.items() if not reason.strip()]:
        raise InvalidRequest(f"the excuse for {', '.join(silent)} gives no reason; say why it may fail")
    pairs = [(config, name) for config in configs for name in checks_of(config)]
    if idle := sorted(reasons.keys() - {name for _, name in pairs}):
        raise InvalidRequest(f"{', '.join(idle)} is excused, and applies to none of these; drop the excuse")

    def marks(name: str) -> tuple[Any, ...]:
        return (pytest.mark.xfail(reason=reasons[name], strict=True),) if name in reasons else ()

    cases = [
        pytest.param(config, name, id=f"{_type_name(config)}-{name}", marks=marks(name))
        for config, name in pairs
    ]

    @pytest.mark.parametrize(("config", "name"), cases)
    def test_conformance(config: Any, name: str) -> None:
        run_check(name, config)

    return test_conformance


def _refuse_strangers(excused: Collection[str]) -> None:
    if strangers := sorted(set(excused) - checks.keys()):
        raise InvalidRequest(
            f"there is no check {', '.join(strangers)} to excuse from; dacapo.testing.checks lists them"
        )


def _is_config(given: Any) -> bool:
    return isinstance(given, Config) or (isinstance(given, type) and issubclass(given, Config))


def _is_backend(given: Any) -> bool:
    return isinstance(given, type) and issubclass(given, StoreBackend)


def _kind(given: Any) -> str:
    if _is_config(given):
        return str(given.kind)
    if isinstance(given, FreshStore) or _is_backend(given):
        return "stores"
    if isinstance(given, click.Command):
        return "commands"
    if callable(given) and not (isinstance(given, type) and not hasattr(given, "forward")):
        return "networks"
    raise InvalidRequest(
        f"{given!r} is nothing that can be checked; give a config or its type, what makes a network, a type "
        "of store or a FreshStore, or a click command"
    )


def _subject(given: Any) -> Any:
    """Return what is checked: of a type its example."""
    if _is_backend(given):
        return FreshStore.of(given)
    return given.example() if isinstance(given, type) and issubclass(given, Config) else given


def _type_name(given: Any) -> str:
    if isinstance(given, FreshStore | click.Command):
        return str(given.name)
    return str(getattr(given, "__name__", type(given).__name__))


def _whose(given: Any) -> str:
    name = getattr(given, "name", "") if isinstance(given, Config) else ""
    return f"{_type_name(given)} {name!r}" if name else _type_name(given)
