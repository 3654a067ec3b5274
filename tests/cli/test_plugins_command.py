"""``dacapo plugins``: what is offered, by whom, and whether it can be had."""

from __future__ import annotations

import sys

import pytest

from dacapo import registry as registry_module
from dacapo.registry import KINDS, Offer, Unreadable, registry


@pytest.fixture
def offers(monkeypatch):
    """Return a function that makes these the only offers there are."""

    def only(*found: Offer | Unreadable) -> None:
        monkeypatch.setattr(registry, "_given", [*found, PLUGINS])
        registry_module.refresh()

    yield only
    monkeypatch.undo()
    registry_module.refresh()


PLUGINS = Offer("commands", "plugins", "dacapo.cli.plugins:plugins", "dacapo", "1")
CONFIGS = "dacapo.experiments.tasks.configs"
GOOD = Offer("tasks", "acme.Good", f"{CONFIGS}:DummyTaskConfig", "acme", "1.4.2")


def test_every_offer_is_listed_with_package_and_version(dacapo):
    rows = dacapo("plugins", "--json").json
    assert {"kind": "tasks", "name": "DistanceTaskConfig", "package": "dacapo"}.items() <= next(
        row for row in rows if row["name"] == "DistanceTaskConfig"
    ).items()
    assert {row["kind"] for row in rows} <= set(KINDS)
    assert all(row["version"] for row in rows)


def test_a_kind_is_listed_alone_and_nothing_is_imported(dacapo, offers):
    offers(GOOD, Offer("arrays", "acme.Other", "this_is_nowhere:X", "acme", "1.4.2"))
    called = dacapo("plugins", "tasks")
    assert called.stdout.splitlines()[2].split() == ["tasks", "acme.Good", "acme", "1.4.2"]
    assert "acme.Other" not in called.stdout
    assert "this_is_nowhere" not in sys.modules


def test_an_unknown_kind_is_a_usage_error(dacapo):
    called = dacapo("plugins", "taskz")
    assert called.exit_code == 2
    assert "did you mean tasks?" in called.stderr
    assert "'tasks'" in dacapo("plugins", "list", "taskz").stderr


def test_a_kind_without_offers_says_so_on_standard_error(dacapo, offers):
    offers(GOOD)
    called = dacapo("plugins", "starts")
    assert (called.exit_code, called.stdout) == (0, "")
    assert "no installed package offers starts" in called.stderr


def test_unreadable_distributions_are_listed_with_their_reason(dacapo, offers):
    offers(GOOD, Unreadable("badcorp", "ValueError: bad metadata"))
    assert "ValueError: bad metadata" in dacapo("plugins", "tasks").stdout
    rows = dacapo("plugins", "tasks", "--json").json
    assert rows[-1]["package"] == "badcorp"
    assert rows[0]["state"] == "ok"


def test_two_offers_of_one_name_are_marked(dacapo, offers):
    offers(GOOD, Offer("tasks", "acme.Good", "collections:Counter", "other", "2"))
    rows = dacapo("plugins", "tasks", "--json").json
    assert rows[0]["state"] == "ambiguous: also offered by other"
    assert rows[1]["state"] == "ambiguous: also offered by acme"


def test_checking_imports_each_and_tells_the_broken_with_their_cause(dacapo, offers, tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text("import os\nprint('noise')\nos._exit(7)\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit('gone')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    offers(
        GOOD,
        Offer("tasks", "bad.Absent", "this_is_nowhere:X", "badcorp", "0.1"),
        Offer("tasks", "bad.Crashing", "crashing:X", "badcorp", "0.1"),
        Offer("tasks", "bad.Fine", f"{CONFIGS}:OneHotTaskConfig", "badcorp", "0.1"),
        Offer("tasks", "bad.Leaving", "leaving:X", "badcorp", "0.1"),
        Offer("tasks", "bad.Missing", f"{CONFIGS}:Nothing", "badcorp", "0.1"),
    )
    called = dacapo("plugins", "tasks", "--check", "--json")
    assert called.exit_code == 1
    assert "4 of 6 cannot be had" in called.stderr
    states = {row["name"]: row["state"] for row in called.json}
    assert states["acme.Good"] == states["bad.Fine"] == "ok"
    assert states["bad.Absent"] == "ModuleNotFoundError: No module named 'this_is_nowhere'"
    assert states["bad.Crashing"] == "ends the process (exit code 7) when imported"
    assert states["bad.Leaving"] == "SystemExit: gone"
    assert states["bad.Missing"].startswith("AttributeError")


def test_an_import_that_hangs_is_given_up(dacapo, offers, tmp_path, monkeypatch):
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("dacapo.cli.plugin_show.SECONDS_TO_IMPORT", 5)
    offers(GOOD, Offer("tasks", "acme.Hanging", "hanging:X", "acme", "1.4.2"))
    rows = dacapo("plugins", "tasks", "--check", "--json").json
    assert [row["state"] for row in rows] == ["ok", "hangs, for more than 5 seconds when imported"]


def test_all_of_our_own_can_be_had(dacapo):
    called = dacapo("plugins", "--check", "--json")
    assert {row["name"]: row["state"] for row in called.json if row["state"] != "ok"} == {}
    assert called.exit_code == 0
