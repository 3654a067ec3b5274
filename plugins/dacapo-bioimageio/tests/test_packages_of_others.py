"""Packages that anybody may have made: what is used of them, and what is refused."""

from __future__ import annotations

import os
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bioimageio.spec import save_bioimageio_package, save_bioimageio_package_as_folder
from bioimageio.spec.model import v0_5
from dacapo_bioimageio import ModelZooConfig, ModelZooStartConfig, archive
from dacapo_bioimageio.description import ZooModel

from dacapo.config import build
from dacapo.errors import CorruptData, InvalidArchive, InvalidConfig, NotFound

CODE = """
import os
import torch

def network(canary):
    open(canary, "w").close()
    return torch.nn.Conv2d(1, 3, 3, padding=1)
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., v0_5.ModelDescr]:
    """Describe a model of somebody else's: one convolution, made by code in the package."""

    def describe(
        axes: str = "yx", scripted: bool = False, state: bool = True, **changes: Any
    ) -> v0_5.ModelDescr:
        folder = tmp_path / "theirs"
        folder.mkdir(exist_ok=True)
        torch.manual_seed(1)
        network = torch.nn.Conv2d(1, 3, 3, padding=1)
        given = torch.rand(1, 1, 16, 16)
        np.save(folder / "in.npy", given.numpy())
        np.save(folder / "out.npy", network(given).detach().numpy())
        torch.save(network.state_dict(), folder / "weights.pt")
        (folder / "code.py").write_text(CODE)
        (folder / "README.md").write_text("# About\n\n## Validation\n\nNone.\n")
        built, formats = v0_5.Version("2.4"), {}
        if state:
            formats["pytorch_state_dict"] = v0_5.PytorchStateDictWeightsDescr(
                source=folder / "weights.pt",
                pytorch_version=built,
                architecture=v0_5.ArchitectureFromFileDescr(
                    source=folder / "code.py",
                    callable=v0_5.Identifier("network"),
                    kwargs={"canary": str(tmp_path / "canary")},
                ),
            )
        if scripted:
            with warnings.catch_warnings(action="ignore"):
                torch.jit.trace(network, given).save(str(folder / "script.pt"))
            parent = "pytorch_state_dict" if state else None
            formats["torchscript"] = v0_5.TorchscriptWeightsDescr(
                source=folder / "script.pt", pytorch_version=built, parent=parent
            )
        size = v0_5.ParameterizedSize(min=16, step=4)

        def tensor(kind: Any, name: str, channels: int, space: Any) -> Any:
            names = [v0_5.Identifier(f"c{at}") for at in range(channels)]
            spatial = [space(axis) for axis in axes]
            return kind(
                id=v0_5.TensorId(name),
                axes=[v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=names), *spatial],
                data=v0_5.IntervalOrRatioDataDescr(type="float32"),
                test_tensor=v0_5.FileDescr(source=folder / ("in.npy" if channels == 1 else "out.npy")),
            )

        def same(axis: str) -> Any:
            reference = v0_5.SizeReference(tensor_id=v0_5.TensorId("raw"), axis_id=v0_5.AxisId(axis))
            return v0_5.SpaceOutputAxis(id=v0_5.AxisId(axis), size=reference)

        values = {
            "name": "a convolution",
            "description": "Of somebody else.",
            "authors": [v0_5.Author(name="Eve")],
            "cite": [v0_5.CiteEntry(text="nobody", url="https://example.org")],
            "license": v0_5.LicenseId("MIT"),
            "documentation": v0_5.FileDescr(source=folder / "README.md"),
            "inputs": [tensor(v0_5.InputTensorDescr, "raw", 1,
                              lambda axis: v0_5.SpaceInputAxis(id=v0_5.AxisId(axis), size=size))],
            "outputs": [tensor(v0_5.OutputTensorDescr, "made", 3, same)],
            "weights": v0_5.WeightsDescr(**formats),
        }  # fmt: skip
        return v0_5.ModelDescr(**values | changes)

    return describe


def saved(descr: v0_5.ModelDescr, path: Path) -> Path:
    return Path(save_bioimageio_package(descr, output_path=path))


def test_code_runs_only_where_it_is_allowed_outside_of_documents(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(make(), tmp_path / "code.zip")
    config = ModelZooConfig("theirs", model_id=path)
    assert (config.num_in_channels, config.num_out_channels, config.dims, config.stride) == (1, 3, 2, (4, 4))
    with pytest.raises(
        InvalidConfig,
        match=r"is made by Python code, .*code\.py; look at it, .*allow_imports: \['.*code.zip'\]",
    ):
        config.module()
    assert not (tmp_path / "canary").exists()
    monkeypatch.setenv("DACAPO_ALLOW_IMPORTS", f"['{path}']")
    network = config.module()
    assert (tmp_path / "canary").exists()
    given = torch.from_numpy(np.load(tmp_path / "theirs" / "in.npy"))
    torch.testing.assert_close(network(given), torch.from_numpy(np.load(tmp_path / "theirs" / "out.npy")))


def test_torchscript_needs_no_code_and_is_trained(make: Any, tmp_path: Path) -> None:
    for name, state in (("both", True), ("alone", False)):
        network = ModelZooConfig(
            "theirs", model_id=saved(make(scripted=True, state=state), tmp_path / f"{name}.zip")
        )
        made = network.module()
        made(torch.rand(1, 1, 20, 24)).sum().backward()
        assert len(list(made.parameters())) == 2 and all(one.grad is not None for one in made.parameters())
    assert not (tmp_path / "canary").exists()


def test_a_folder_and_its_yaml_are_as_good_as_a_package(make: Any, tmp_path: Path) -> None:
    folder = Path(save_bioimageio_package_as_folder(make(scripted=True), output_path=tmp_path / "folder"))
    for model_id in (folder, next(folder.glob("*.yaml"))):
        assert ModelZooConfig("theirs", model_id=model_id).module()(torch.rand(1, 1, 16, 16)).shape == (
            1,
            3,
            16,
            16,
        )


def test_weights_of_others_begin_a_run_only_if_their_tensors_are_the_same(make: Any, tmp_path: Path) -> None:
    brought = build(ModelZooStartConfig(saved(make(), tmp_path / "a.zip"))).bring()
    assert set(brought.tensors) == {"weight", "bias"} and brought.channels is None
    with pytest.raises(NotFound, match="has no pytorch_state_dict, so no weights to begin with"):
        build(ModelZooStartConfig(saved(make(scripted=True, state=False), tmp_path / "b.zip"))).bring()


def test_weights_that_are_more_than_tensors_are_refused(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'canary'}",)

    folder = Path(save_bioimageio_package_as_folder(make(), output_path=tmp_path / "folder"))
    torch.save({"weight": Evil()}, folder / "weights.pt")
    text = (folder / "rdf.yaml").read_text() if (folder / "rdf.yaml").exists() else ""
    import hashlib
    import re

    path = next(folder.glob("*.yaml"))
    text = path.read_text()
    old = re.search(r"source: weights\.pt\n\s+sha256: (\w{64})", text)
    assert old
    path.write_text(text.replace(old[1], hashlib.sha256((folder / "weights.pt").read_bytes()).hexdigest()))
    with pytest.raises(CorruptData, match="cannot be read as plain tensors"):
        monkeypatch.setenv("DACAPO_ALLOW_IMPORTS", f"['{folder}']")
        ModelZooConfig("evil", model_id=folder).module()


def test_files_are_compared_with_their_checksums(make: Any, tmp_path: Path) -> None:
    folder = Path(save_bioimageio_package_as_folder(make(scripted=True), output_path=tmp_path / "folder"))
    with (folder / "script.pt").open("r+b") as file:
        file.seek(100)
        file.write(b"\0\1\2")
    with pytest.raises(CorruptData, match=r"'script\.pt' fails its checksum"):
        ModelZooConfig("damaged", model_id=folder).module()


def test_models_of_other_shapes_are_refused_by_name(make: Any, tmp_path: Path) -> None:
    path = saved(make(), tmp_path / "a.zip")
    folder = archive.unpacked(path)
    text = (folder / "rdf.yaml").read_text()
    other = tmp_path / "other"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "rdf.yaml").write_text(
        text.replace("type: channel", "type: index").replace("id: channel", "id: index")
    )
    with pytest.raises(InvalidConfig, match="not valid|takes batch, channel and two or three of space"):
        ZooModel.of(str(other))


@pytest.mark.parametrize(
    ("model_id", "reason"),
    [
        ("/nowhere/a.zip", "there is no model /nowhere/a.zip"),
        ("./nothing.yaml", "there is no model"),
        ("http://127.0.0.1:9/model.zip", "cannot be downloaded"),
        ("no-such-animal-at-all", "cannot be had"),
    ],
)
def test_what_is_not_there_is_said_with_what_to_do(model_id: str, reason: str) -> None:
    config = ModelZooConfig("absent", model_id=model_id)  # a config may be read where its package is not
    with pytest.raises(NotFound, match=reason):
        config.num_in_channels  # noqa: B018
    assert config.verify()[0] is False and reason in config.verify()[1]


def test_existing_scripts_import_it_from_where_it_was() -> None:
    from dacapo.experiments import architectures

    assert architectures.ModelZooConfig is ModelZooConfig


def test_wrong_configs_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="no regular expression"):
        ModelZooConfig("a", model_id="x.zip", trainable_layers="(")
    for kind in (lambda: ModelZooConfig("a", model_id=""), lambda: ModelZooStartConfig("")):
        with pytest.raises(InvalidConfig, match="should name a model"):
            kind()


def test_a_pattern_that_trains_nothing_is_refused(make: Any, tmp_path: Path) -> None:
    config = ModelZooConfig(
        "a", model_id=saved(make(scripted=True), tmp_path / "a.zip"), trainable_layers="head"
    )
    with pytest.raises(
        InvalidConfig, match="is found in no name, so nothing would be trained; there are network"
    ):
        config.module()


def test_a_package_that_is_replaced_is_read_again(make: Any, tmp_path: Path) -> None:
    path = saved(make(), tmp_path / "a.zip")
    assert ZooModel.of(str(path)).descr.name == "a convolution"
    saved(make(name="another one"), tmp_path / "b.zip").replace(path)
    assert ZooModel.of(str(path)).descr.name == "another one"


# packages with tricks


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("../out.txt", b"x")], "may lead out"),
        ([("a/../../out.txt", b"x")], "may lead out"),
        ([("/tmp/out.txt", b"x")], "absolute path"),
        ([("C:/out.txt", b"x")], "absolute path"),
        ([("..\\out.txt", b"x")], "may lead out"),
        ([("a//b", b"x")], "may lead out"),
        ([("a\nb", b"x")], "may lead out"),
        ([(link("weights.pt"), b"/etc/passwd")], "is a link or a device"),
        ([("a.txt", b"1"), ("a.txt", b"2")], "is there twice"),
        ([("a.txt", b"1"), ("A.TXT", b"2")], "is there twice"),
        ([("bomb", b"\0" * (archive.SMALL + 2**22))], "grows beyond"),
    ],
)  # fmt: skip
def test_tricks_of_packages_are_refused_and_leave_nothing(tmp_path: Path, members: Any, reason: str) -> None:
    path = zipped(tmp_path / "tricks.zip", ("rdf.yaml", b"type: model\n"), *members)
    before = {one for one in tmp_path.rglob("*") if one.is_file()}
    with pytest.raises(InvalidArchive, match=rf"tricks\.zip: .*{reason}"):
        ModelZooConfig("tricks", model_id=path).module()
    assert {one for one in tmp_path.rglob("*") if one.is_file()} == before
    assert not list(archive.cache_folder().iterdir())


def test_too_many_members_and_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "many.zip", *((f"{at}", b"12345") for at in range(6)))
    monkeypatch.setattr(archive, "MOST_MEMBERS", 5)
    with pytest.raises(InvalidArchive, match="it has 6 members; a package has at most 5"):
        archive.unpacked(path)
    monkeypatch.setattr(archive, "MOST_MEMBERS", 6)
    monkeypatch.setattr(archive, "LARGEST", 29)
    with pytest.raises(InvalidArchive, match="'5' grows beyond 4 bytes"):
        archive.unpacked(path)
    monkeypatch.setattr(archive, "LARGEST", 30)
    assert len(list(archive.unpacked(path).iterdir())) == 6


def test_what_is_no_zip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("nothing of the sort")
    with pytest.raises(InvalidArchive, match="is no readable zip file"):
        archive.unpacked(tmp_path / "text.zip")


def test_files_outside_of_the_package_are_not_read(make: Any, tmp_path: Path) -> None:
    folder = Path(save_bioimageio_package_as_folder(make(scripted=True), output_path=tmp_path / "folder"))
    (folder / "script.pt").rename(tmp_path / "script.pt")
    (folder / "script.pt").symlink_to(tmp_path / "script.pt")
    with pytest.raises(InvalidArchive, match="lies outside of the package"):
        ModelZooConfig("outside", model_id=folder).module()
