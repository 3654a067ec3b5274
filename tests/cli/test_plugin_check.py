"""``dacapo plugins check``: the kit over all that a package offers, each package in a process of its own."""

from __future__ import annotations

import pytest

from dacapo.registry import registry
from dacapo.testing import fake_package

GOOD = """
import attrs
from dacapo.config import field
from dacapo.experiments.tasks import MSELossConfig


@attrs.define
class GoodLossConfig(MSELossConfig):
    '''As good as its parent.'''

    factor: float = field("Of no use.", default=1.0)
"""
FAULTY = """
import os
import attrs
import torch
from dacapo.config import field
from dacapo.experiments.tasks import MSELossConfig


@attrs.define
class HeavyLossConfig(MSELossConfig):
    '''Imports torch beside its config.'''


@attrs.define
class CrashingLossConfig(MSELossConfig):
    '''Takes the process along.'''

    @classmethod
    def example(cls):
        os._exit(9)


@attrs.define
class MuteLossConfig(MSELossConfig):
    '''Does not say what its field is for.'''

    factor: float = 1.0
"""


def lossy(*names: str, module: str) -> dict[str, dict[str, str]]:
    return {"losses": {f"acme.{name}": f"{module}:{name}" for name in names}}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    site = tmp_path / "site"
    fake_package(
        site, "dacapo-good", "1.0", lossy("GoodLossConfig", module="acme_good"), {"acme_good.py": GOOD}
    )
    names = ("AbsentLossConfig", "CrashingLossConfig", "HeavyLossConfig", "MuteLossConfig")
    fake_package(
        site, "faulty_dacapo", "1.0", lossy(*names, module="acme_faulty"), {"acme_faulty.py": FAULTY}
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    registry.refresh()
    yield
    monkeypatch.undo()
    registry.refresh()


@pytest.mark.parametrize("name", ["dacapo-good", "Dacapo.Good", "good"])
def test_a_good_package_passes(dacapo, packages, name):
    called = dacapo("plugins", "check", name)
    assert called.exit_code == 0, called.stdout
    assert called.stdout.splitlines()[2].split() == ["losses", "acme.GoodLossConfig", "all", "ok"]


def test_every_fault_is_told_beside_the_others(dacapo, packages):
    called = dacapo("plugins", "check", "good", "faulty-dacapo", "--json")
    assert called.exit_code == 1
    found = {(row["name"], row["check"]): row["problem"] for row in called.json}
    assert found["acme.GoodLossConfig", "all"] == "ok"
    assert "AbsentLossConfig" in found["acme.AbsentLossConfig", "imports"]
    assert found["acme.CrashingLossConfig", "survives"] == "ends the process (exit code 9)"
    assert "torch" in found["acme.HeavyLossConfig", "is_light"]
    assert "factor has no help" in found["acme.MuteLossConfig", "explains_itself"]
    assert "failed: " in called.stderr


def test_a_package_that_offers_nothing_is_an_error_that_names_those_that_do(dacapo, packages):
    called = dacapo("plugins", "check", "absent")
    assert called.exit_code == 1
    assert "dacapo-good" in called.stderr


def test_a_package_whose_metadata_cannot_be_read_is_told_why(dacapo, packages, tmp_path):
    fake_package(tmp_path / "site", "odd-dacapo", entry_points="[dacapo.tasks]\nodd\n")
    registry.refresh()
    called = dacapo("plugins", "check", "odd-dacapo")
    assert called.exit_code == 1
    assert "'odd' among its tasks should read  name = module:Class" in called.stderr
