"""Finding types among installed packages: lazily, leniently, and with useful errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from dacapo import registry as module
from dacapo.errors import AmbiguousPlugin, BrokenPlugin, MissingPlugin, UnregisteredType
from dacapo.experiments.tasks.configs import DistanceTaskConfig, TaskConfig
from dacapo.registry import Offer, Registry, installed, registry
from dacapo.testing import fake_package

SKELETON = """
import attrs
from dacapo.config import field, implemented_by
from dacapo.experiments.tasks.configs import TaskConfig

@attrs.define(kw_only=True)
class SkeletonTaskConfig(TaskConfig):
    '''Find centre lines.'''
    task_type = implemented_by("acme_dacapo:SkeletonTask")
    tolerance: float = field("How far off is still a hit.", default=1.0)

class SkeletonTask:
    def __init__(self, config):
        self.tolerance = config.tolerance
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = fake_package(
        tmp_path / "site",
        "acme-dacapo",
        "1.4.2",
        {"tasks": {"acme.SkeletonTaskConfig": "acme_dacapo:SkeletonTaskConfig"}},
        {"acme_dacapo.py": SKELETON},
    )
    monkeypatch.syspath_prepend(str(folder))
    registry.refresh()
    yield folder
    sys.modules.pop("acme_dacapo", None)
    monkeypatch.undo()
    registry.refresh()


def offer(name: str, target: str, dist: str = "acme", kind: str = "tasks") -> Offer:
    return Offer(kind, name, target, dist, "1.0")


def test_our_own_types_come_through_the_same_door():
    assert registry.load("tasks", "DistanceTaskConfig") is DistanceTaskConfig
    assert registry.find("tasks", "DistanceTaskConfig").dist == "dacapo"


def test_a_third_party_type_is_found_by_its_qualified_name(acme):
    cls = registry.load("tasks", "acme.SkeletonTaskConfig")
    assert issubclass(cls, TaskConfig)
    assert registry.offer_of(cls).requirement == "acme-dacapo==1.4.2"
    assert registry.find("tasks", "acme.SkeletonTaskConfig").is_ours is False


def test_finding_and_listing_import_nothing(acme):
    assert "acme.SkeletonTaskConfig" in registry.names("tasks")
    registry.find("tasks", "acme.SkeletonTaskConfig")
    assert "acme_dacapo" not in sys.modules


def test_a_missing_type_is_named_with_the_nearest_there_is():
    with pytest.raises(
        MissingPlugin, match=r"DistancTaskConfig among its tasks; did you mean DistanceTaskConfig\?"
    ):
        registry.find("tasks", "DistancTaskConfig")


def test_a_type_looked_for_among_the_wrong_kind_is_found_among_the_right_one():
    with pytest.raises(MissingPlugin, match="it is among the arrays"):
        registry.find("tasks", "ZarrArrayConfig")


def test_two_packages_under_one_name_are_refused_when_used_naming_both():
    table = Registry([offer("x.T", "one:T", "one"), offer("x.T", "two:T", "two")])
    assert table.names("tasks") == ["x.T"]
    with pytest.raises(AmbiguousPlugin, match="offered by one and by two; uninstall one"):
        table.load("tasks", "x.T")


def test_the_same_offer_twice_is_one_offer():
    table = Registry([offer("x.T", "json:JSONDecoder", kind="stores")] * 2)
    assert table.load("stores", "x.T").__name__ == "JSONDecoder"


def test_a_broken_package_is_blamed_with_what_to_type():
    table = Registry([offer("bad.T", "no_such_module_here:T", "badcorp")])
    with pytest.raises(
        BrokenPlugin, match="badcorp 1.0; tell its authors, or reinstall it with  pip install"
    ):
        table.load("tasks", "bad.T")


def test_a_malformed_entry_point_elsewhere_does_not_matter(tmp_path, monkeypatch):
    fake_package(
        tmp_path / "site", "unrelated", entry_points="[console_scripts]\nthis is == not : an [entry\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert any(found.name == "DistanceTaskConfig" for found in installed() if isinstance(found, Offer))


def test_of_two_installations_the_first_on_the_path_counts(tmp_path, monkeypatch):
    for place, version in (("late", "1.0"), ("early", "2.0")):
        fake_package(tmp_path / place, "twice-dacapo", version, {"tasks": {"twice.T": "twice:T"}})
        monkeypatch.syspath_prepend(str(tmp_path / place))
    versions = [o.version for o in installed() if isinstance(o, Offer) and o.name == "twice.T"]
    assert versions == ["2.0"]


def test_storing_a_class_that_nobody_offers_is_refused():
    @attrs.define(kw_only=True)
    class LonelyTaskConfig(TaskConfig):
        """Offered by nobody."""

    with pytest.raises(UnregisteredType, match=r"call dacapo.registry.add\(LonelyTaskConfig\)"):
        registry.offer_of(LonelyTaskConfig)


def test_a_session_may_add_a_class_of_its_own(session_types):
    @module.add
    @attrs.define(kw_only=True)
    class NotebookTaskConfig(TaskConfig):
        """Made in a notebook."""

    assert registry.load("tasks", "local.NotebookTaskConfig") is NotebookTaskConfig
    registry.refresh()
    assert registry.offer_of(NotebookTaskConfig).name == "local.NotebookTaskConfig"


def test_refresh_sees_what_was_installed_meanwhile(tmp_path, monkeypatch):
    assert "late.T" not in registry.names("tasks")
    fake_package(tmp_path / "site", "late-dacapo", offers={"tasks": {"late.T": "late:T"}})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert "late.T" not in registry.names("tasks")
    registry.refresh()
    assert "late.T" in registry.names("tasks")
    monkeypatch.undo()
    registry.refresh()


def test_a_renamed_class_is_read_by_its_old_name_and_written_by_its_new_one():
    target = "dacapo.experiments.tasks.configs:DistanceTaskConfig"
    table = Registry([offer("acme.OldTaskConfig", target), offer("acme.DistanceTaskConfig", target)])
    cls = table.load("tasks", "acme.OldTaskConfig")
    assert table.offer_of(cls).name == "acme.DistanceTaskConfig"


def test_a_distribution_that_cannot_be_parsed_is_reported_not_raised(tmp_path, monkeypatch):
    fake_package(tmp_path / "site", "odd-dacapo", entry_points="[dacapo.tasks]\nodd.T\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.refresh()
    offered = {o.dist for rivals in registry.offers.values() for o in rivals}
    reported = {u.dist for u in registry.unreadable}
    assert "dacapo" in offered
    assert "odd-dacapo" in offered | reported
    monkeypatch.undo()
    registry.refresh()


def test_importing_the_registry_imports_nothing_heavy():
    code = "import sys, dacapo.registry; print([m for m in ('torch', 'zarr', 'pymongo') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_types_are_imported_from_the_namespace_of_their_kind(acme):
    from dacapo.experiments import tasks
    from dacapo.experiments.tasks import SkeletonTaskConfig

    assert SkeletonTaskConfig is registry.load("tasks", "acme.SkeletonTaskConfig")
    assert "SkeletonTaskConfig" in dir(tasks)
    assert "SkeletonTaskConfig" not in tasks.__all__
    assert not hasattr(tasks, "_nothing")


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        ("tasks", "DistancTaskConfig", r"did you mean DistanceTaskConfig\?"),
        ("architectures", "ModelZooConfig", "pip install dacapo-bioimageio"),
        ("trainers", "ZarrArrayConfig", "it is among the arrays"),
        ("datasplits.datasets.arrays", "Nowhere", "dacapo plugins arrays"),
    ],
)
def test_what_cannot_be_imported_from_there_says_what_to_do(module, name, hint):
    with pytest.raises(ImportError, match=hint) as raised:
        exec(f"from dacapo.experiments.{module} import {name}")
    assert isinstance(raised.value, MissingPlugin)
