"""``dacapo top``: what is printed, and what is said of what is not there."""

from __future__ import annotations

import pytest

from dacapo.store.create_store import create_stores
from stored_runs import fill, run_config


@pytest.fixture
def runs():
    """Store three runs that are scored, one of them archived, and one that is not."""
    stores = create_stores()
    for name, value in {"low": 0.25, "high": 0.75, "past": 1.0}.items():
        fill(stores, run_config(name, task="er" if name == "low" else "mito"), value / 2, value)
    stores.configs.store_run_config(run_config("none"))
    stores.configs.tag("runs", "past", ["archived"])


def listed(dacapo, *options: str) -> list[str]:
    return [row["run"] for row in dacapo("top", "dice", "--json", *options).json]


def test_the_best_runs_are_shown_best_first(dacapo, runs):
    lines = dacapo("top", "dice").stdout.splitlines()
    assert lines[0].split() == ["place", "run", "value", "dataset", "criterion", "iteration", "parameters"]
    assert [line.split() for line in lines[2:]] == [
        ["1", "high", "0.75", "a", "dice", "2", "p"],
        ["2", "low", "0.25", "a", "dice", "2", "p"],
    ]
    assert dacapo("top", "dice", "--json", "--count", "1").json == [
        {"place": 1, "run": "high", "value": 0.75, "dataset": "a", "criterion": "dice", "iteration": 2,
         "parameters": "p"}
    ]  # fmt: skip
    assert [row["value"] for row in dacapo("top", "voi", "--dataset", "a", "--json").json] == [0.125, 0.375]


def test_runs_are_chosen_as_in_lists(dacapo, runs):
    assert listed(dacapo, "--archived") == ["past", "high", "low"]
    assert listed(dacapo, "--task", "mito") == ["high"]
    assert listed(dacapo, "--match", "l*", "--tag", "good", "--since", "1d") == ["low"]
    assert listed(dacapo, "--owner", "nobody") == []
    assert "none of these runs is scored by dice" in dacapo("top", "dice", "--owner", "nobody").stderr
    assert "2026-11-30" in dacapo("top", "dice", "--since", "yesterday").stderr


def test_what_is_unknown_is_named_with_what_there_is(dacapo, runs):
    called = dacapo("top", "dicee")
    assert called.exit_code == 3 and "did you mean dice? there are dice, voi" in called.stderr
    called = dacapo("top", "dice", "--dataset", "b")
    assert called.exit_code == 3 and "on the dataset 'b'; there are a" in called.stderr
    assert dacapo("top", "dice", "--count", "0").exit_code == 2


def test_a_store_without_scores_says_so(dacapo):
    called = dacapo("top", "dice")
    assert called.exit_code == 3 and "dacapo validate" in called.stderr


def test_runs_that_were_scored_before_are_compared_after_init(dacapo, runs):
    backend = create_stores().stats.backend
    assert backend.unrank("low") and backend.unrank("high")
    assert listed(dacapo) == []
    called = dacapo("store", "check")
    assert called.exit_code == 1 and "run low: what  dacapo top  knows of it" in called.stdout
    assert "2 runs of earlier versions" in dacapo("store", "init").stdout
    assert listed(dacapo) == ["high", "low"]
    assert dacapo("store", "check").exit_code == 0
    assert backend.unrank("low")
    assert "repaired" in dacapo("store", "check", "--repair").stdout
    assert listed(dacapo) == ["high", "low"]
