"""``dacapo stats``: the newest iterations, or all of them in few numbers."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from dacapo.cli import cli
from dacapo.store.create_store import create_config_store, create_stats_store
from dacapo.testing import tiny_run


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["stats", "tiny", *arguments])


@pytest.fixture
def stored(tmp_path) -> None:
    create_config_store().store_run_config(tiny_run(tmp_path / "data"))


def test_a_summary_has_what_each_metric_went_through(trained):
    stats = create_stats_store().retrieve_training_stats("tiny")
    rows = {row["metric"]: row for row in json.loads(call("--summary", "--json").stdout)}
    assert rows.keys() == stats.columns.keys()
    loss = stats.columns["loss"]
    assert (rows["loss"]["least"], rows["loss"]["largest"]) == (loss.min(), loss.max())
    assert rows["loss"]["mean"] == pytest.approx(loss.mean())
    assert (rows["loss"]["first"], rows["loss"]["last"], rows["loss"]["measured"]) == (0, 7, 8)
    assert len(json.loads(call("--summary", "--points", "4", "--json").stdout)) == 4 * len(rows)
    assert "largest" in call("--summary").stdout


def test_options_that_do_not_belong_together_are_refused(stored):
    for words in (("--summary", "--last", "3"), ("--points", "3")):
        called = call(*words)
        assert called.exit_code == 2 and "--points belongs to --summary" in called.output


def test_a_run_without_stats_says_how_to_train_it(stored):
    for words in ((), ("--summary",)):
        assert "dacapo train tiny" in call(*words).stderr
