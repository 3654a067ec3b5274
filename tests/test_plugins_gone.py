"""Whatever package is uninstalled, all commands that read still work on the runs that used it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dacapo import train_run
from dacapo.cli import cli
from dacapo.config import UnknownConfig
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.registry import registry
from dacapo.store.create_store import create_config_store, create_stats_store
from dacapo.testing import fake_package, tiny_run

HEAD = """
import attrs
from dacapo.config import field, implemented_by
from dacapo.experiments.{module} import {base}

"""
BASES = {
    "tasks": ("tasks", "DistanceTaskConfig"),
    "losses": ("tasks", "MSELossConfig"),
    "architectures": ("architectures", "CNNectomeUNetConfig"),
    "trainers": ("trainers", "PatchTrainerConfig"),
    "augments": ("trainers", "GammaAugmentConfig"),
    "datasplits": ("datasplits", "TrainValidateDataSplitConfig"),
    "datasets": ("datasplits.datasets", "RawGTDatasetConfig"),
    "arrays": ("datasplits.datasets.arrays", "IntensitiesArrayConfig"),
    "starts": ("starts", "StartConfig"),
    "post_processors": ("tasks.post_processors", "ThresholdPostProcessorParameters"),
}
BODIES = {
    "tasks": """
from dacapo.experiments.tasks.distance import DistanceTask
from dacapo.experiments.tasks.post_processors import ThresholdPostProcessor


class Cutter(ThresholdPostProcessor):
    def enumerate_parameters(self):
        from gone_post_processors import GoneParameters

        return [GoneParameters(i, threshold=t) for i, t in enumerate(self.thresholds)]


class GoneTask(DistanceTask):
    def __init__(self, config):
        super().__init__(config)
        self.post_processor = Cutter(config.thresholds)


GoneTaskConfig.task_type = GoneTask
""",
}
NAMES = {
    "tasks": "GoneTaskConfig",
    "losses": "GoneLossConfig",
    "architectures": "GoneArchitectureConfig",
    "trainers": "GoneTrainerConfig",
    "augments": "GoneAugmentConfig",
    "datasplits": "GoneDataSplitConfig",
    "datasets": "GoneDatasetConfig",
    "arrays": "GoneArrayConfig",
    "starts": "GoneStartConfig",
    "post_processors": "GoneParameters",
}
# What predicting does not need, and training does.
TRAINING_ONLY = ("trainers", "augments", "datasplits", "datasets", "arrays", "starts")


def source(kind: str) -> str:
    module, base = BASES[kind]
    define = "attrs.frozen" if kind == "post_processors" else "attrs.define"
    extra = (
        "" if kind == "post_processors" else '    extra: int = field("Of no use.", default=3, kw_only=True)\n'
    )
    return (
        HEAD.format(module=module, base=base)
        + f'@{define}\nclass {NAMES[kind]}({base}):\n    """Soon gone."""\n\n{extra}'
        + BODIES.get(kind, "")
    )


def put_on_path(folder: Path, patch: pytest.MonkeyPatch, without: str = "") -> None:
    """Make all packages look installed but one."""
    for kind in BASES:
        sys.modules.pop(f"gone_{kind}", None)
    patch.setattr(
        sys,
        "path",
        [
            *(str(folder / kind) for kind in BASES if kind != without),
            *(p for p in sys.path if "gone-site" not in p),
        ],
    )
    registry.refresh()


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Train a run of which every part comes from a package of its own."""
    folder = tmp_path_factory.mktemp("gone-site")
    for kind, name in NAMES.items():
        package, target = f"gone-{kind.replace('_', '-')}", f"gone_{kind}:{name}"
        fake_package(
            folder / kind, package, "2.1", {kind: {f"gone.{name}": target}}, {f"gone_{kind}.py": source(kind)}
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DACAPO_RUNS_BASE_DIR", str(folder / "runs"))
        put_on_path(folder, patch)
        config = run_config(folder)
        create_config_store().store_run_config(config)
        create_config_store().store_run_config(
            config.replace(name="second", start_config=load("starts")("gone", "latest"))
        )
        train_run(Run(config), device="cpu")
        yield folder
    registry.refresh()


def load(kind: str) -> Any:
    return registry.load(kind, f"gone.{NAMES[kind]}")


def run_config(folder: Path) -> RunConfig:
    """Return the tiny run with every part replaced by the type of a plugin with the same values."""
    from attrs import asdict

    def gone(kind: str, config: Any, **changes: Any) -> Any:
        values = asdict(config, recurse=False)
        return load(kind)(**values | changes)

    plain = tiny_run(folder / "data", name="gone", num_iterations=4, validation_interval=2)
    dataset = plain.datasplit_config.validate_configs[0]
    dataset = gone("datasets", dataset, raw_config=gone("arrays", dataset.raw_config))
    return plain.replace(
        task_config=gone("tasks", plain.task_config, loss_config=load("losses")()),
        architecture_config=gone("architectures", plain.architecture_config),
        trainer_config=gone(
            "trainers",
            plain.trainer_config,
            augments=[load("augments")(gamma_range=(0.9, 1.1))],
            num_workers=0,
        ),
        datasplit_config=gone("datasplits", plain.datasplit_config, validate_configs=[dataset]),
    )


@pytest.fixture(params=list(BASES))
def gone(
    request: pytest.FixtureRequest, trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Uninstall the package of one kind; the test may change the stores."""
    shutil.copytree(trained_folder / "runs", tmp_path / "runs")
    with pytest.MonkeyPatch.context() as patch:
        put_on_path(trained_folder, patch, without=request.param)
        yield request.param
    registry.refresh()


def call(*words: object) -> str:
    """Call the command line; return what it printed, once it went well."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, f"{words}: {result.output}"
    return result.stdout


def test_reading_commands_work_without_the_package(gone: str, tmp_path: Path) -> None:
    lists = call("run", "list")
    assert "gone" in lists and "second" in lists
    shown = yaml.safe_load(call("run", "show", "gone"))
    assert shown["name"] == "gone"
    assert "gone.GoneTaskConfig" in call("run", "show", "gone")
    assert len(call("stats", "gone").splitlines()) == 2 + 4
    assert "loss" in call("stats", "gone", "--summary")
    assert "f1_score" in call("best", "gone") and "dice" in call("best", "gone", "--criterion", "dice")
    assert len(create_stats_store().retrieve_validation_scores("gone").iterations) == 2
    assert "gone" in call("top", "dice")
    call("plot", "gone", "--output", tmp_path / "gone.png")
    assert (tmp_path / "gone.png").stat().st_size > 1000
    call("run", "tag", "gone", "+good")
    call("run", "note", "gone", "used what is gone")
    call("run", "archive", "second")
    call("queue", "list")
    call("store", "check")


def test_what_moves_a_run_keeps_it_word_for_word(
    gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = create_config_store().retrieve_document("runs", "gone")
    call("export", "gone", tmp_path / "run.dacapo")
    call("store", "copy", tmp_path / "runs", tmp_path / "copied")
    call("run", "rename", "gone", "other")
    call("run", "delete", "other", "--yes")
    call("run", "restore", "other")
    call("run", "delete", "other", "--yes", "--for-good")
    assert "other" not in call("run", "list")
    call("import", tmp_path / "run.dacapo")
    assert create_config_store().retrieve_document("runs", "gone") == document
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "copied"))
    assert create_config_store().retrieve_document("runs", "gone") == document
    assert "f1_score" in call("best", "gone")


def test_training_says_what_to_install_and_predicting_asks_for_no_more_than_it_needs(gone: str) -> None:
    requirement = f"gone-{gone.replace('_', '-')}==2.1"
    result = CliRunner().invoke(cli, ["train", "second"])
    assert result.exit_code == 1
    expected = (
        "No module named 'gone_post_processors'"
        if gone == "post_processors"
        else f"pip install '{requirement}'"
    )
    assert expected in result.stderr
    config = create_config_store().retrieve_run_config("second")
    if gone in TRAINING_ONLY:
        Run(config).ready("predict")


def test_with_the_package_back_the_run_is_what_it_was(trained_folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DACAPO_RUNS_BASE_DIR", str(trained_folder / "runs"))
        put_on_path(trained_folder, patch, without="tasks")
        assert isinstance(create_config_store().retrieve_run_config("gone").task_config, UnknownConfig)
        put_on_path(trained_folder, patch)
        config = create_config_store().retrieve_run_config("gone")
        assert config == run_config(trained_folder)
        assert config.task_config.extra == 3
    registry.refresh()
