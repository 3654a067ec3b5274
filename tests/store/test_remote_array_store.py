"""Volumes of runs under a URL: the same promises as on a disk."""

from __future__ import annotations

import logging

import fsspec
import numpy as np
import pytest

from dacapo import predict, train_run
from dacapo.errors import DuplicateNameError, InvalidOptions, InvalidRequest, StoreError
from dacapo.experiments import Run
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr
from dacapo.store.array_store import LocalArrayIdentifier, LocalContainerIdentifier
from dacapo.store.create_store import create_array_store, create_config_store
from dacapo.store.remote_array_store import RemoteArrayStore
from dacapo.testing import tiny_run


@pytest.fixture(params=["tensorstore", "server", "no host"])
def root(request, tmp_path_factory) -> str:
    """Return the URL of what tensorstore keeps, or fsspec, with a host in its URL or none."""
    if request.param == "server":
        return request.getfixturevalue("served").url
    return "memory://" if request.param == "tensorstore" else f"local://{tmp_path_factory.mktemp('folder')}/"


@pytest.fixture
def store(request, root) -> RemoteArrayStore:
    return RemoteArrayStore(f"{root}{request.node.name}/lab/")


def filled(identifier: LocalArrayIdentifier) -> LocalArrayIdentifier:
    array = create_zarr(identifier.container, identifier.dataset, (4, 6), "u1", (2, 2), (4, 8))
    array[array.roi] = np.arange(24).reshape(4, 6)
    return identifier


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_under_a_url_are_read_back_with_their_geometry(store, zarr_format):
    where = store.validation_prediction_array("run", 10, "crop")
    made = create_zarr(where.container, where.dataset, (4, 6), "u1", (2, 2), (4, 8), zarr_format=zarr_format)
    made[made.roi] = np.arange(24).reshape(4, 6)
    array = open_zarr(where.container, where.dataset)
    assert (array.roi, array.voxel_size) == (made.roi, made.voxel_size)
    np.testing.assert_array_equal(array.data, np.arange(24).reshape(4, 6))
    with pytest.raises(DuplicateNameError, match=f"there is a dataset at {store.base[:9]}"):
        create_zarr(where.container, where.dataset, (4, 6), "u1", (2, 2))
    with pytest.raises(DuplicateNameError, match="no dataset but a group"):
        create_zarr(where.container, "10", (4, 6), "u1", (2, 2), overwrite=True)
    anew = create_zarr(where.container, where.dataset, (2, 2), "f4", (2, 2), overwrite=True)
    assert not anew.data.any() and anew.shape == (2, 2)


def test_what_is_removed_is_gone_and_nothing_else(store, caplog):
    kept = filled(store.validation_prediction_array("run", 100, "crop"))
    gone = filled(store.validation_prediction_array("run", 10, "crop"))
    other = filled(store.snapshot_container("run:1").array_identifier("raw"))
    assert store.remove_validation("run", 10)
    assert store.exists(kept) and not store.exists(gone)
    assert not store.remove_validation("run", 10)
    caplog.set_level(logging.WARNING)
    assert not store.remove(gone)
    assert "is not there to be removed" in caplog.text
    assert [one.container for one in store.containers("run")] == [f"{store.base}/run/validation.zarr"]
    assert store.delete("run")
    assert not store.delete("run")
    assert store.exists(other)


@pytest.mark.parametrize(
    "identifier",
    [
        LocalContainerIdentifier("{root}elsewhere/x.zarr"),
        LocalArrayIdentifier("memory://elsewhere/x.zarr", "raw"),
        LocalArrayIdentifier("{base}/run/validation.zarr", "../../../victim"),
    ],
)
def test_only_what_is_below_the_url_is_removed(store, root, identifier):
    victim = filled(LocalArrayIdentifier(f"{root}elsewhere/x.zarr", "raw"))
    at = identifier.container.replace("{base}", store.base).replace("{root}", root)
    inner = getattr(identifier, "dataset", None)
    with pytest.raises(InvalidRequest, match="so it is not removed"):
        store.remove(LocalContainerIdentifier(at) if inner is None else LocalArrayIdentifier(at, inner))
    assert store.exists(victim)
    RemoteArrayStore(f"{root}elsewhere").remove(victim)


def test_a_dataset_stays_inside_its_container(store):
    with pytest.raises(InvalidRequest, match="outside its container"):
        create_zarr(f"{store.base}/a.zarr", "../b.zarr/x", (4, 4), "u1", (1, 1))


def test_what_a_service_refuses_is_an_error_that_names_the_place():
    with pytest.raises(StoreError, match=r"nowhere://x.* cannot be reached or written to: .*nowhere"):
        RemoteArrayStore("nowhere://x").exists(LocalContainerIdentifier("nowhere://x/run"))


def test_a_password_in_a_url_is_refused():
    with pytest.raises(InvalidOptions, match="should hold no password") as refused:
        create_array_store(arrays="ftp://lab:secret@host/x")
    assert "lab:secret" not in str(refused.value)


def test_a_package_that_fsspec_lacks_is_named():
    fsspec.register_implementation("absent", "no_such_package.Files", errtxt="Install no_such_package")
    with pytest.raises(InvalidOptions, match="Install no_such_package; pip install it beside DaCapo"):
        create_array_store(arrays="absent://host/x")


def test_names_are_no_patterns(store):
    gone = filled(store.validation_input_arrays("run", "[a*]")[0])
    kept = filled(store.validation_input_arrays("run", "[ab]")[0])
    assert store.remove(gone)
    assert store.exists(kept) and not store.exists(gone)


def test_who_may_not_log_in_is_told_where(served, monkeypatch):
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"password": "no-such-word"})
    store = RemoteArrayStore(f"{served.url}lab")
    with pytest.raises(StoreError, match=r"ftp://lab@.*/run/snapshot.zarr cannot be .*530") as refused:
        store.exists(store.snapshot_container("run"))
    assert "no-such-word" not in str(refused.value)


def test_runs_move_with_their_arrays(store):
    before = filled(store.validation_prediction_array("run", 10, "crop"))
    store.move("run", "new")
    after = store.validation_prediction_array("new", 10, "crop")
    np.testing.assert_array_equal(open_zarr(after.container, after.dataset).data, np.arange(24).reshape(4, 6))
    assert not store.exists(before) and not store.keeps("run")


@pytest.mark.parametrize("place", ["nowhere://host/x", "http://host/x", "s3:/bucket/x"])
def test_only_urls_that_can_be_written_to_are_taken(place: str):
    with pytest.raises(InvalidOptions, match="should be a folder, or a URL that begins with s3://"):
        create_array_store(arrays=place)


def test_a_run_validates_and_predicts_into_a_url(tmp_path, root, monkeypatch):
    monkeypatch.setenv("DACAPO_ARRAYS", f"{root}whole")
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    config = tiny_run(tmp_path)
    create_config_store().store_run_config(config)
    run = Run(config)
    train_run(run, device="cpu")
    store = create_array_store()
    assert [one.container for one in store.containers(run)] == [f"{root}whole/{run.key}/validation.zarr"]
    assert not list((tmp_path / "runs").rglob("*.zarr"))
    where = store.validation_prediction_array(run, run.train_until, run.datasplit.validate[0])
    assert open_zarr(where.container, where.dataset).data.any()
    raw = run.config.datasplit_config.validate_configs[0].raw_config
    while not hasattr(raw, "file_name"):
        raw = raw.source_array_config
    written_to = f"{root}whole/out.zarr"
    written = predict(run, None, raw.file_name, raw.dataset, written_to, device="cpu")
    assert written.data.any()
    with pytest.raises(DuplicateNameError, match=f"{root}whole/out.zarr/prediction"):
        predict(run, None, raw.file_name, raw.dataset, written_to, device="cpu", overwrite=False)
    assert store.delete(run)
