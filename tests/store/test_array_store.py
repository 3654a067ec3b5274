"""The array store: the paths that people know, and nothing outside of them."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from dacapo.errors import InvalidName, InvalidRequest
from dacapo.store.array_store import LocalArrayIdentifier, LocalContainerIdentifier
from dacapo.store.local_array_store import LocalArrayStore


class Dataset:
    def __str__(self) -> str:
        return "ds_crop"


@pytest.fixture
def store(tmp_path: Path) -> LocalArrayStore:
    return LocalArrayStore(tmp_path / "runs")


def fill(identifier: LocalArrayIdentifier) -> Path:
    path = identifier.container / identifier.dataset
    path.mkdir(parents=True)
    (path / "0.0.0").write_bytes(b"x")
    return path


def test_arrays_are_where_existing_dacapo_put_them(store):
    validation = store.basedir / "run" / "validation.zarr"
    assert store.snapshot_container("run").container == store.basedir / "run" / "snapshot.zarr"
    assert store.validation_container("run").container == validation
    prediction = store.validation_prediction_array("run", 10, Dataset())
    assert prediction == LocalArrayIdentifier(validation, "10/ds_crop/prediction")
    output = store.validation_output_array("run", 10, "threshold_0.5", Dataset())
    assert output == LocalArrayIdentifier(validation, "10/ds_crop/output/threshold_0.5")
    assert [one.dataset for one in store.validation_input_arrays("run")] == ["inputs/raw", "inputs/gt"]
    assert [one.dataset for one in store.validation_input_arrays("run", "a")] == [
        "inputs/a/raw",
        "inputs/a/gt",
    ]
    assert store.best_validation_array("run", "voi").dataset == "voi"
    assert store.best_validation_array("run", "voi", "a").dataset == "a/voi"
    assert store.snapshot_container("run").array_identifier("raw").dataset == "raw"
    assert repr(store) == f"LocalArrayStore({str(store.basedir)!r})"


def test_repetitions_have_their_own_arrays(store):
    run = SimpleNamespace(name="run", repetition=2)
    assert store.snapshot_container(run) == store.snapshot_container("run:2")
    assert store.snapshot_container(run) != store.snapshot_container("run")


def test_home_is_understood(own_home):
    assert LocalArrayStore("~/data").basedir == own_home / "data"


@pytest.mark.parametrize("part", ["..", "a/b", "", ".zarray", "a\\b", "a\0", "a\nb"])
def test_parts_of_paths_cannot_escape(store, part: str):
    for act in (
        lambda: store.validation_prediction_array("run", 1, part),
        lambda: store.validation_output_array("run", 1, part, "ds"),
        lambda: store.validation_input_arrays("run", part),
        lambda: store.best_validation_array("run", part),
    ):
        with pytest.raises(InvalidName, match="cannot be part of an array's path"):
            act()
    with pytest.raises(InvalidName):
        store.snapshot_container("../run")


def test_arrays_are_removed_one_by_one(store, caplog):
    kept = fill(store.validation_prediction_array("run", 20, Dataset()))
    gone = store.validation_prediction_array("run", 10, Dataset())
    path = fill(gone)
    assert store.remove(gone)
    assert not path.exists() and kept.exists()
    caplog.set_level(logging.WARNING)
    assert not store.remove(gone)
    assert "is not there to be removed" in caplog.text


def test_a_validation_goes_as_a_whole(store):
    fill(store.validation_prediction_array("run", 10, Dataset()))
    kept = fill(store.validation_prediction_array("run", 100, Dataset()))
    assert store.remove_validation("run", 10)
    assert [path.name for path in kept.parent.parent.parent.iterdir()] == ["100"]


@pytest.mark.parametrize(
    "identifier",
    [
        LocalContainerIdentifier(Path("folder")),
        LocalArrayIdentifier(Path("folder"), "x.zarr"),
        LocalArrayIdentifier(Path("folder/x.zarr"), "../../victim"),
        LocalArrayIdentifier(Path("folder/x.zarr"), "/etc"),
    ],
)
def test_only_what_is_inside_a_zarr_is_removed(store, tmp_path, identifier):
    for folder in ("folder/x.zarr", "folder/inside", "victim"):
        (tmp_path / folder).mkdir(parents=True)
    identifier = type(identifier)(
        tmp_path / identifier.container, *([identifier.dataset] if hasattr(identifier, "dataset") else [])
    )
    with pytest.raises(InvalidRequest, match=r"is not inside of a \.zarr container, so it is not removed"):
        store.remove(identifier)
    assert (tmp_path / "victim").is_dir() and (tmp_path / "folder/x.zarr").is_dir()


def test_a_link_does_not_lead_outside(store, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    container = store.validation_container("run").container
    container.mkdir(parents=True)
    (container / "link").symlink_to(victim)
    with pytest.raises(InvalidRequest):
        store.remove(LocalArrayIdentifier(container, "link"))
    assert victim.is_dir()


def test_a_run_is_deleted_with_its_folder_only_if_nothing_else_is_there(store):
    fill(store.snapshot_container("run").array_identifier("raw"))
    fill(store.validation_prediction_array("run", 10, Dataset()))
    assert store.delete("run")
    assert not (store.basedir / "run").exists()
    assert not store.delete("run")
    fill(store.snapshot_container("run").array_identifier("raw"))
    (store.basedir / "run" / "notes.txt").touch()
    assert store.delete("run")
    assert [path.name for path in (store.basedir / "run").iterdir()] == ["notes.txt"]
