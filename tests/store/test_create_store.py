"""Which stores the options choose, and the import paths that scripts rely on."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from dacapo import registry
from dacapo.errors import InvalidOptions
from dacapo.options import Options
from dacapo.store import create_array_store, create_config_store, create_stats_store, create_weights_store
from dacapo.store.files import FileBackend

FACTORIES = (create_config_store, create_stats_store, create_weights_store)


def test_options_choose_the_place(tmp_path: Path):
    for create in FACTORIES:
        assert create().backend.root == tmp_path / "runs"
        assert create(runs_base_dir=tmp_path / "other").backend.root == tmp_path / "other"
        options = Options.instance(runs_base_dir=tmp_path / "third")
        assert create(options).backend.root == tmp_path / "third"
        assert create(options, runs_base_dir=tmp_path / "fourth").backend.root == tmp_path / "fourth"
    assert create_array_store().basedir == tmp_path / "runs"
    assert create_array_store(runs_base_dir=tmp_path / "other").basedir == tmp_path / "other"


def test_opening_makes_nothing(tmp_path: Path):
    for create in (*FACTORIES, create_array_store):
        create()
    assert not (tmp_path / "runs").exists()


def test_an_unknown_type_says_what_there_is():
    for create in FACTORIES:
        with pytest.raises(
            InvalidOptions,
            match="type = 'filez': no installed package offers filez among its stores; did you mean files",
        ):
            create(type="filez")


@pytest.mark.parametrize("place", ["s3://bucket/runs", "gs://x", "file:///tmp/x"])
def test_a_url_is_no_folder(place: str, tmp_path):
    # B38: the URL lost a slash and became a local folder.
    for create in (*FACTORIES, create_array_store):
        with pytest.raises(InvalidOptions, match="should be a folder of a file system"):
            create(runs_base_dir=place)


def test_other_packages_may_offer_a_store(session_types, tmp_path):
    class ElsewhereBackend(FileBackend):
        pass

    registry.add(ElsewhereBackend, kind="stores")
    store = create_stats_store(type="local.ElsewhereBackend")
    assert isinstance(store.backend, ElsewhereBackend)


@pytest.mark.parametrize(
    "path",
    [
        "create_store:create_config_store",
        "create_store:create_stats_store",
        "create_store:create_weights_store",
        "create_store:create_array_store",
        "config_store:ConfigStore",
        "config_store:DuplicateNameError",
        "file_config_store:FileConfigStore",
        "file_stats_store:FileStatsStore",
        "stats_store:StatsStore",
        "weights_store:WeightsStore",
        "weights_store:Weights",
        "local_weights_store:LocalWeightsStore",
        "local_weights_store:Weights",
        "local_array_store:LocalArrayStore",
        "local_array_store:LocalArrayIdentifier",
        "array_store:ArrayStore",
        "array_store:LocalArrayIdentifier",
        "array_store:LocalContainerIdentifier",
        "converter:converter",
    ],
)
def test_names_are_where_scripts_look_for_them(path: str):
    module, _, name = path.partition(":")
    assert getattr(importlib.import_module(f"dacapo.store.{module}"), name) is not None


def test_the_converter_reads_what_it_wrote():
    from dacapo.experiments.tasks.configs import DummyTaskConfig, TaskConfig
    from dacapo.store.converter import converter

    task = DummyTaskConfig("t", embedding_dims=2, detection_threshold=0.5)
    assert converter.structure(converter.unstructure(task), TaskConfig) == task


def test_opening_stores_imports_nothing_heavy():
    script = (
        "import sys, dacapo.store as store;"
        "store.create_config_store().names('tasks'); store.create_stats_store().retrieve_training_stats('x');"
        "store.create_weights_store().iterations('x'); store.create_array_store();"
        "print([n for n in ('torch', 'zarr', 'pymongo', 'xarray', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
