"""A run makes its parts when they are needed, says what is missing, and goes on exactly."""

from __future__ import annotations

import json
import subprocess
import sys

import attrs
import pytest
import torch
from click.testing import CliRunner

from dacapo import predict, registry, validate
from dacapo.config import UnknownConfig
from dacapo.documents import documents
from dacapo.errors import InvalidConfig, InvalidRequest, MissingPlugin, NotFound, NotReady, StoreError
from dacapo.experiments import Run, RunConfig
from dacapo.experiments.run_config import parts
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.experiments.training_stats import TrainingIterationStats
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.testing import tiny_run
from dacapo.train import train_run


@pytest.fixture
def config(tmp_path) -> RunConfig:
    return tiny_run(tmp_path / "data")


def test_the_positional_order_of_existing_scripts(config):
    again = RunConfig(
        config.task_config,
        config.architecture_config,
        config.trainer_config,
        config.datasplit_config,
        "tiny",
        0,
        8,
        4,
    )
    assert again == config


def test_wrong_values_are_refused(config):
    for name, value in (
        ("repetition", -1),
        ("num_iterations", -1),
        ("validation_interval", 0),
        ("checkpoint_interval", 0),
    ):
        with pytest.raises(InvalidConfig, match=name):
            config.replace(**{name: value})


def test_a_run_config_comes_back_from_its_document(config):
    assert documents.read(documents.write(config), RunConfig) == config
    assert config.key == "tiny"
    assert config.replace(repetition=2).key == "tiny:2"
    assert len(list(parts(config))) > 10


def test_looking_at_a_run_makes_none_of_its_parts(config):
    run = Run(config)
    assert (run.name, run.train_until, run.validation_interval, str(run)) == ("tiny", 8, 4, "tiny")
    assert not {"task", "model", "trainer", "datasplit", "optimizer"} & vars(run).keys()


def test_predicting_needs_neither_trainer_nor_data(config):
    reason = MissingPlugin("gone", kind="trainers", name="gone.Trainer")
    run = Run(config.replace(trainer_config=UnknownConfig(document={"name": "t"}, reason=reason)))
    run.ready("predict")
    assert run.model.num_out_channels == 1
    with pytest.raises(NotReady, match="not ready to train"):
        run.ready("train")


def test_all_that_is_missing_is_said_at_once(config):
    task = UnknownConfig(document={"name": "t"}, reason=MissingPlugin("no task", kind="tasks", name="x"))
    trainer = UnknownConfig(
        document={"name": "t"}, reason=MissingPlugin("no trainer", kind="trainers", name="x")
    )
    run = Run(config.replace(task_config=task, trainer_config=trainer))
    with pytest.raises(NotReady) as caught:
        run.ready("train")
    assert len(caught.value.reasons) == 2
    assert "no task" in str(caught.value)
    assert "no trainer" in str(caught.value)
    with pytest.raises(InvalidRequest, match="fly: no such verb"):
        run.ready("fly")


def test_missing_data_is_said_before_training(config, tmp_path):
    (tmp_path / "data" / "validate.zarr").rename(tmp_path / "elsewhere.zarr")
    with pytest.raises(NotReady, match=r"validate\.zarr"):
        Run(config).ready("train")


def test_the_model_follows_from_the_seed_and_the_repetition(config):
    def weights(config):
        return torch.cat([p.flatten() for p in Run(config).model.parameters()])

    state = torch.get_rng_state()
    first = weights(config)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, weights(config))
    assert not torch.equal(first, weights(config.replace(repetition=1)))
    assert not torch.equal(first, weights(config.replace(seed=1)))


def test_move_optimizer_moves_every_tensor(config):
    run = Run(config)
    loss = sum((p**2).sum() for p in run.model.parameters())
    loss.backward()
    run.optimizer.step()
    run.move_optimizer("meta")
    moved = [
        v for state in run.optimizer.state.values() for v in state.values() if torch.is_tensor(v) and v.ndim
    ]
    assert moved
    assert all(tensor.device.type == "meta" for tensor in moved)


def test_scores_without_model_optimizer_or_trainer(config):
    scores = Run.get_validation_scores(config)
    assert "ball__dice" in scores.criteria
    assert list(scores.labels.datasets) == ["validate"]


def test_resuming_nothing_begins_at_zero(config):
    assert Run(config).resume(create_stats_store(), create_weights_store()) == 0


def test_stats_ahead_of_the_checkpoint_are_cut_and_replaced(config):
    config = config.replace(num_iterations=4)
    train_run(Run(config), do_validate=False)
    stats = create_stats_store()
    run = Run(config.replace(num_iterations=8))
    run.training_stats = stats.retrieve_training_stats(run)
    for iteration in (4, 5):
        run.training_stats.add_iteration_stats(TrainingIterationStats(iteration, 99.0, 0.1))
    run.persist(stats)
    again = Run(config.replace(num_iterations=8))
    assert again.resume(stats, create_weights_store()) == 4
    train_run(Run(config.replace(num_iterations=8)), do_validate=False)
    stored = stats.retrieve_training_stats(run)
    assert [s.iteration for s in stored.iteration_stats] == list(range(8))
    assert all(s.loss != 99.0 for s in stored.iteration_stats)


def test_stats_whose_checkpoints_are_elsewhere_are_not_overwritten(trained):
    weights = create_weights_store()
    for iteration in weights.iterations("tiny"):
        weights.remove("tiny", iteration)
    with pytest.raises(NotFound, match="stats up to iteration 8, but no usable checkpoint"):
        Run(trained).resume(create_stats_store(), weights)
    assert create_stats_store().retrieve_training_stats("tiny").trained_until() == 8


def test_persist_and_checkpoint_write_only_what_is_new(trained, tmp_path):
    run = Run(trained)
    stats, weights = create_stats_store(), create_weights_store()
    run.resume(stats, weights)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*") if p.is_file()}
    run.persist(stats)
    run.checkpoint(weights)
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*") if p.is_file()}
    assert {p: t for p, t in after.items() if before.get(p) != t} == {}


def test_a_start_gives_its_weights_to_the_model(trained):
    from dacapo.experiments.starts import StartConfig

    child = trained.replace(name="child", start_config=StartConfig("tiny", "8"))
    trained = create_weights_store().retrieve_weights("tiny", 8).model
    model = Run(child).model.state_dict()
    assert all(torch.equal(model[name], trained[name]) for name in model)
    fresh = Run(child, load_starter_model=False)
    assert fresh.start is None
    assert any(not torch.equal(fresh.model.state_dict()[name], trained[name]) for name in trained)


def test_a_start_takes_over_the_heads_of_the_classes_it_shares(trained):
    from dacapo.experiments.starts import StartConfig

    task = DistanceTaskConfig(
        "two", channels=["other", "ball"], clip_distance=40, tol_distance=8, scale_factor=16
    )
    child = Run(trained.replace(name="child", task_config=task, start_config=StartConfig("tiny", "latest")))
    trained = create_weights_store().retrieve_weights("tiny", 8).model
    head = child.model.prediction_head.weight
    assert torch.equal(head[1], trained["chain.1.weight"][0])
    assert not torch.equal(head[0], trained["chain.1.weight"][0])


def test_a_start_takes_the_best_the_latest_or_a_number(trained):
    from dacapo.experiments.starts import StartConfig

    store = create_weights_store()
    store.store_best("tiny", 4, "validate", "voi")
    kept = {iteration: store.retrieve_weights("tiny", iteration).model for iteration in (4, 8)}
    choices = {"best validate/voi": 4, "validate/voi": 4, "best voi": 4, "voi": 4, "latest": 8, 4: 4, "8": 8}
    for choice, iteration in choices.items():
        model = Run(trained.replace(name="child", start_config=StartConfig("tiny", choice))).model
        assert torch.equal(model.state_dict()["chain.1.weight"], kept[iteration]["chain.1.weight"]), choice


@pytest.mark.parametrize(
    ("run", "choice", "complaint"),
    [
        ("tiny", "best validate/vio", r"choose an iteration \(4, 8\), latest, or a score .*: validate/"),
        ("tiny", "7", "no checkpoint of iteration 7 .*there are: 4, 8"),
        ("tinny", "latest", "run tinny has no whole checkpoint.*Runs with checkpoints are: tiny"),
    ],
)
def test_a_start_that_cannot_be_had_names_what_there_is(trained, run, choice, complaint):
    from dacapo.experiments.starts import StartConfig

    with pytest.raises(NotFound, match=complaint):
        _ = Run(trained.replace(name="child", start_config=StartConfig(run, choice))).model


def test_what_a_start_gave_is_kept_with_the_run_and_shown(trained):
    from dacapo.cli import cli
    from dacapo.experiments.starts import StartConfig

    child = trained.replace(name="child", start_config=StartConfig("tiny", "latest"), num_iterations=1)
    configs = create_config_store()
    configs.store_run_config(child)
    train_run(Run(child), do_validate=False, device="cpu")
    create_weights_store().remove("child", 1)
    create_stats_store().delete_training_stats("child")
    train_run(Run(child), do_validate=False, device="cpu")  # from the beginning, which is not said twice
    told = "began with the weights of run 'tiny' (latest): 16 tensors loaded; head: taken over ball"
    assert [note.text for note in configs.notes("runs", "child")] == [told]
    shown = CliRunner().invoke(cli, ["run", "show", "child", "--json"])
    assert json.loads(shown.stdout)["__meta__"]["notes"][0]["text"] == told


def test_going_on_validating_and_predicting_need_no_weights_to_begin_with(trained):
    from dacapo.experiments.starts import StartConfig

    child = trained.replace(name="child", start_config=StartConfig("tiny", "4"), num_iterations=4)
    train_run(Run(child), do_validate=False, device="cpu")
    create_weights_store().delete("tiny")
    longer = child.replace(num_iterations=8)
    train_run(Run(longer), do_validate=False, device="cpu")
    assert create_stats_store().retrieve_training_stats("child").trained_until() == 8
    create_config_store().store_run_config(longer)
    assert validate("child", 8, device="cpu").iteration == 8
    raw = next(part for part in parts(longer) if part.name == "validate_raw_uint8")
    predict("child", "latest", raw.file_name, raw.dataset, raw.file_name.parent / "out.zarr", device="cpu")


def test_a_start_of_somebody_else_brings_its_own_weights(trained, session_types):
    from dacapo.experiments.starts import InitialWeights, InitialWeightsConfig, Start

    class OnesStart(Start):
        def bring(self):
            child = Run(trained.replace(name="other"))
            return InitialWeights(
                {key: torch.ones_like(one) for key, one in child.model.state_dict().items()}
            )

    @registry.add
    @attrs.define
    class OnesStartConfig(InitialWeightsConfig):
        """Begin with ones everywhere."""

        start_type = OnesStart

    child = trained.replace(name="child", start_config=OnesStartConfig("ones"))
    assert documents.read(documents.write(child), RunConfig) == child
    assert all(bool((one == 1).all()) for one in Run(child).model.state_dict().values())


def test_importing_run_imports_nothing_heavy():
    heavy = ("torch", "zarr", "pymongo", "tensorstore")
    code = f"import sys, dacapo.experiments.run; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_whoever_resumed_last_is_the_writer(trained):
    longer = trained.replace(num_iterations=12)
    older, newer = Run(longer), Run(longer)
    stores = create_stats_store(), create_stats_store()
    older.resume(stores[0], create_weights_store())
    newer.resume(stores[1], create_weights_store())
    for run, loss in ((older, 99.0), (newer, 1.0)):
        run.training_stats.add_iteration_stats(TrainingIterationStats(8, loss, 0.1))
    with pytest.raises(StoreError, match="another process has gone on with run tiny"):
        older.persist(stores[0])
    newer.persist(stores[1])
    assert create_stats_store().retrieve_training_stats("tiny").iteration_stats[-1].loss == 1.0


def test_a_damaged_checkpoint_that_training_reaches_again_is_written_anew(trained, tmp_path):
    weights = create_weights_store()
    run = Run(trained)
    run.resume(create_stats_store(), weights)
    for path in (tmp_path / "runs" / "tiny" / "checkpoints").rglob("8/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert weights.latest_iteration("tiny") == 4
    assert run.checkpoint(weights) == 8
    assert create_weights_store().latest_iteration("tiny") == 8
