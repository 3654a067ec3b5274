"""``dacapo plugins show``: all there is to say of one type."""

from __future__ import annotations

import sys

import pytest

from dacapo.registry import registry
from dacapo.testing import fake_package

CONFIGS = """
import attrs
from dacapo.config import Config, field, implemented_by
from dacapo.experiments.tasks import TaskConfig


@attrs.define(kw_only=True)
class SkeletonTaskConfig(TaskConfig):
    '''Find centre lines.

    In world units.
    '''

    task_type = implemented_by("acme_shown:Nothing")

    tolerance: float = field("How far off is still a hit.", default=1.0)
    classes: list[str] = field("What to find.")
    seeds: dict[str, int] = field("Where to begin.", factory=dict)
    computed: int = field("Follows from the others.", init=False, default=3)
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    target = "acme_shown:SkeletonTaskConfig"
    offers = {
        "tasks": {"acme.SkeletonTaskConfig": target, "acme.OldTaskConfig": target},
        "commands": {"acme": "acme_shown:absent"},
    }
    folder = fake_package(tmp_path / "site", "acme-dacapo", "1.4.2", offers, {"acme_shown.py": CONFIGS})
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    registry.refresh()
    yield folder
    sys.modules.pop("acme_shown", None)
    monkeypatch.undo()
    registry.refresh()


@pytest.mark.parametrize("name", ["acme.SkeletonTaskConfig", "SkeletonTaskConfig"])
def test_a_type_is_shown_by_either_of_its_names(dacapo, acme, name):
    (shown,) = dacapo("plugins", "show", name, "--json").json
    fields = {field["field"]: field for field in shown.pop("fields")}
    assert [fields[name] for name in ("tolerance", "classes", "seeds")] == [
        {"field": "tolerance", "type": "float", "default": "1.0", "help": "How far off is still a hit."},
        {"field": "classes", "type": "list[str]", "default": "(needed)", "help": "What to find."},
        {"field": "seeds", "type": "dict[str, int]", "default": "{}", "help": "Where to begin."},
    ]
    assert shown == {
        "kind": "tasks",
        "name": "acme.SkeletonTaskConfig",
        "also as": "acme.OldTaskConfig",
        "package": "acme-dacapo 1.4.2",
        "in": str(acme / "acme_dacapo-1.4.2.dist-info"),
        "class": "acme_shown:SkeletonTaskConfig",
        "state": "ok",
        "source": str(acme / "acme_shown.py"),
        "component": "acme_shown:Nothing",
        "about": "Find centre lines.\n\nIn world units.",
    }


def test_people_read_a_table_of_the_fields(dacapo, acme):
    lines = dacapo("plugins", "show", "acme.SkeletonTaskConfig").stdout.splitlines()
    assert "package    acme-dacapo 1.4.2" in lines
    assert lines[-1].split() == ["seeds", "dict[str,", "int]", "{}", "Where", "to", "begin."]


def test_what_cannot_be_imported_is_shown_with_its_cause(dacapo, acme):
    (shown,) = dacapo("plugins", "show", "acme", "--json").json
    assert shown["state"].startswith("broken: AttributeError")
    assert shown["package"] == "acme-dacapo 1.4.2"
    assert shown["fields"] == []


@pytest.mark.parametrize("name", ["train", "files", "LocalTorch", "ThresholdPostProcessorParameters"])
def test_types_of_every_sort_can_be_shown(dacapo, name):
    called = dacapo("plugins", "show", name)
    assert called.exit_code == 0
    assert "state      ok" in called.stdout


@pytest.mark.parametrize(
    ("name", "meant"), [("DistancTaskConfig", "DistanceTaskConfig"), ("xyz", "dacapo plugins")]
)
def test_an_unknown_name_is_answered_with_the_nearest(dacapo, name, meant):
    called = dacapo("plugins", "show", name)
    assert called.exit_code == 1
    assert meant in called.stderr
