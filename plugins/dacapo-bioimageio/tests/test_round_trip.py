"""What is exported passes the official validator, and predicts the same when it comes back."""

from __future__ import annotations

import zipfile
from pathlib import Path

import bioimageio.core
import numpy as np
import pytest
import torch
from bioimageio.spec import load_description
from click.testing import CliRunner
from dacapo_bioimageio import ModelZooConfig, ModelZooStartConfig
from dacapo_bioimageio.package import About, export
from zoo_runs import config_in

from dacapo import documents
from dacapo.cli import cli
from dacapo.errors import InvalidRequest, ShapeError
from dacapo.experiments import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.store.create_store import create_weights_store
from dacapo.testing import failures

ADA = About(authors=["Ada"])


@pytest.fixture
def package(run: Run, tmp_path: Path) -> Path:
    return export(run, tmp_path / "mito.zip", ADA)


def raw(*shape: int) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.rand(1, 1, *shape)


def test_the_official_validator_passes_every_format(package: Path) -> None:
    for name in ("pytorch_state_dict", "torchscript"):
        assert bioimageio.core.test_description(package, weight_format=name).status == "passed"


def test_any_program_of_bioimageio_predicts_the_same(run: Run, package: Path) -> None:
    given = raw(22, 18, 20).numpy()
    with torch.no_grad():
        expected = run.model.eval()(torch.from_numpy(given)).numpy()
    for name in ("pytorch_state_dict", "torchscript"):
        with bioimageio.core.create_prediction_pipeline(
            load_description(package), weight_format=name
        ) as pipeline:
            axes = bioimageio.core.axis.AxisId
            tensor = bioimageio.core.Tensor.from_numpy(
                given, dims=[axes(a) for a in ("batch", "channel", *"zyx")]
            )
            sample = bioimageio.core.Sample(members={"raw": tensor}, stat={}, id=None)
            found = pipeline.predict_sample_without_blocking(sample).members["prediction"].data.values
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_comes_back_as_an_architecture_with_its_weights(run: Run, package: Path) -> None:
    config = ModelZooConfig("from the zoo", model_id=package)
    assert (config.num_in_channels, config.num_out_channels, config.dims) == (1, 2, 3)
    assert config.input_shape == (18, 18, 18) and config.stride == run.architecture.stride == (2, 2, 2)
    assert config.scale((8, 4, 4)) == (8, 4, 4)
    network = config.module()
    given = raw(18, 20, 22)
    with torch.no_grad():
        expected = run.model.eval()(given)
        torch.testing.assert_close(network.eval()(given), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(network.train()(given), expected, atol=1e-5, rtol=0)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_run_trains_what_came_back_with_a_head_of_its_own(run: Run, package: Path, tmp_path: Path) -> None:
    task = DistanceTaskConfig("distance", channels=["er"], clip_distance=10, tol_distance=2)
    config = run.config.replace(
        name="further", task_config=task, architecture_config=ModelZooConfig("from the zoo", model_id=package)
    )
    again = Run(documents.read(documents.write(config), RunConfig))
    own = run.model.state_dict()
    kept = again.model.chain[0].network.state_dict()
    assert all(torch.equal(kept[name], own[name]) for name in own)
    again.model.train()(raw(18, 18, 18)).sum().backward()
    assert all(one.grad is not None for one in again.model.parameters())


def test_some_layers_may_be_left_as_they_are(package: Path) -> None:
    network = ModelZooConfig("some", model_id=package, trainable_layers=r"chain\.1\.").module()
    trained = {name for name, one in network.named_parameters() if one.requires_grad}
    assert trained == {"network.chain.1.weight", "network.chain.1.bias"}


def test_a_run_begins_with_its_weights_and_takes_over_the_heads_it_shares(run: Run, package: Path) -> None:
    task = run.config.task_config.replace(classes=["er", "mito"])
    config = run.config.replace(name="child", task_config=task, start_config=ModelZooStartConfig(package))
    child = Run(documents.read(documents.write(config), RunConfig)).model
    old, new = run.model.prediction_head.weight, child.prediction_head.weight
    assert torch.equal(new[1], old[1]) and not torch.equal(new[0], old[0])
    backbones = child.chain[0].state_dict(), run.model.chain[0].state_dict()
    assert all(torch.equal(backbones[0][name], backbones[1][name]) for name in backbones[1])
    other = config_in(package.parent / "other", num_fmaps=5).replace(
        start_config=ModelZooStartConfig(package)
    )
    with pytest.raises(ShapeError, match=r"the weights of .*mito\.zip do not fit the model"):
        Run(other).model  # noqa: B018


def test_the_patch_to_try_it_with_is_data_of_the_run(run: Run, package: Path) -> None:
    raw_array = run.datasplit.validate[0].raw
    with zipfile.ZipFile(package) as zipped, zipped.open("raw.npy") as file:
        patch = np.load(file)[0, 0]
    volume = raw_array.data
    windows = np.lib.stride_tricks.sliding_window_view(volume, patch.shape)
    assert (windows == patch).all(axis=(-1, -2, -3)).any()


def test_what_is_said_of_it(run: Run, package: Path, tmp_path: Path) -> None:
    descr = load_description(package)
    assert [axis.unit for axis in descr.inputs[0].axes[2:]] == ["nanometer"] * 3
    assert [axis.scale for axis in descr.inputs[0].axes[2:]] == [8, 4, 4]
    assert descr.config.model_extra["dacapo"]["channels"] == ["background", "mito"]
    about = About(authors=["Ada", "Ben"], license="CC-BY-4.0", description="Mitochondria.",
                  cite=[("Doe 2026", "10.1234/abc.5"), ("The page", "https://example.org")])  # fmt: skip
    descr = load_description(export(run, tmp_path / "told.zip", about, check=False))
    assert [one.name for one in descr.authors] == ["Ada", "Ben"] and str(descr.license) == "CC-BY-4.0"
    assert [(one.text, str(one.doi or one.url)) for one in descr.cite] == [
        ("Doe 2026", "10.1234/abc.5"), ("The page", "https://example.org/"),
    ]  # fmt: skip


def test_a_run_whose_data_is_elsewhere_is_exported_too(run: Run, tmp_path: Path) -> None:
    import shutil

    for name in ("train", "validate"):
        shutil.rmtree(tmp_path / f"{name}.zarr")
    again = Run(run.config)
    again.model.load_state_dict(run.model.state_dict())
    assert export(again, tmp_path / "away.zip", ADA).exists()


def test_sections_are_exported_too(tmp_path: Path) -> None:
    config = config_in(tmp_path, input_shape=(18, 18), downsample_factors=[(2, 2)])
    path = export(Run(config), tmp_path / "flat.zip", ADA)
    assert ModelZooConfig("flat", model_id=path).dims == 2


def test_shapes_for_training_and_predicting_can_be_chosen(package: Path) -> None:
    config = ModelZooConfig(
        "again", model_id=package, training_shape=(20, 20, 20), prediction_shape=(24, 22, 20)
    )
    assert config.input_shape == (20, 20, 20) and config.eval_shape_increase == (4, 2, 0)


def test_the_command(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "by command.zip"
    done = CliRunner().invoke(cli, ["export-bioimageio", "mito run", str(file), "--author", "Ada"])
    assert done.exit_code == 0, done.output
    assert "run mito run at iteration 4, passed by the validator" in done.output
    with torch.no_grad():
        given, stored = raw(18, 18, 18), Run(run.config)
        stored.model.load_state_dict(create_weights_store().retrieve_weights(run, 4).model)
        found = ModelZooConfig("again", model_id=file).module()(given)
        torch.testing.assert_close(found, stored.model.eval()(given), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nobody", "a.zip", "--author", "A"], "nobody"),
        (["mito run", "a.zip"], "Missing option '--author'"),
        (["mito run", "a.tar", "--author", "A"], "should end with .zip"),
        (
            ["mito run", "there.zip", "--author", "A"],
            "is there already; choose another name, or give  --overwrite",
        ),
        (["mito run", "a.zip", "--author", "A", "--iteration", "7"], "no checkpoint of iteration 7"),
        (["mito run", "a.zip", "--author", "A", "--iteration", "voi"], "no best checkpoints by 'voi'"),
        (["mito run", "a.zip", "--author", "A", "--license", "mine"], "cannot be described as a package"),
        (["mito run", "a.zip", "--author", "A", "--cite", "Doe"], "write TEXT=DOI"),
    ],
)
def test_wrong_requests_are_answered_with_what_to_do(
    run: Run, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    (tmp_path / "there.zip").touch()
    done = CliRunner().invoke(cli, ["export-bioimageio", *arguments])
    assert done.exit_code != 0 and reason in done.output and "Traceback" not in done.output
    assert not (tmp_path / "a.zip").exists()


def test_a_package_without_authors_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="give at least one"):
        export(run, tmp_path / "a.zip", About(authors=[]))


def test_configs_of_a_package_pass_the_kit(package: Path) -> None:
    # Its name has no package in front: scripts and documents of existing DaCapo call it so.
    assert not list(failures(ModelZooConfig("zoo", model_id=package), excused=["is_qualified"]))
    assert not list(failures(ModelZooStartConfig(package)))
