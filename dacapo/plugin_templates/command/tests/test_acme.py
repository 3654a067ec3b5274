"""What DaCapo asks of every command, and this one on an empty store and on one with a run."""

from click.testing import CliRunner

from dacapo.cli import cli
from dacapo.store import create_config_store
from dacapo.testing import conformance, tiny_run
from dacapo_acme.command import acme

test_conformance = conformance([acme])


def test_runs_are_counted_by_task(tmp_path, monkeypatch):
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    run = tiny_run(tmp_path)
    assert CliRunner().invoke(cli, ["acme"]).output == ""
    create_config_store().store_run_config(run)
    assert CliRunner().invoke(cli, ["acme"]).output == f"1  {run.task_config.name}\n"
