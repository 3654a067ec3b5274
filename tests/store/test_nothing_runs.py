"""Reading never runs code: payloads in every place that is read, and a canary that stays silent."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dacapo.config import build
from dacapo.documents import to_json
from dacapo.errors import DacapoError
from dacapo.experiments.datasplits.datasets.arrays.configs import ZarrArrayConfig
from dacapo.store.backend import ScoresRecord
from dacapo.store.config_store import CLASSES, ConfigStore
from dacapo.store.files import FileBackend
from dacapo.store.manifest import seal, unseal
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import WeightsStore
from damage import FOLDER, fill
from scripted import RUN


class Bomb:
    """Unpickled, it touches the canary."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def yaml_payloads(command: str) -> Iterator[str]:
    yield f"a: !!python/object/apply:os.system ['{command}']"
    yield f"a: !!python/object/new:os.system ['{command}']"
    yield f"a: !!python/object/apply:subprocess.check_output [['sh', '-c', '{command}']]"
    yield f"a: !!python/object/apply:builtins.eval [\"__import__('os').system('{command}')\"]"
    yield (
        "a: !!python/object/new:type {args: [z, !!python/tuple [], {extend: !!python/name:exec }], "
        f"listitems: \"import os; os.system('{command}')\"}}"
    )
    yield "a: !!python/name:os.system"
    yield "a: !!python/module:this"
    yield f"!!python/object/apply:os.system ['{command}']: 1"
    yield f"%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system ['{command}']"


def types(command: str) -> Iterator[str]:
    yield from ("os:system", "os.system", "builtins:eval", "subprocess:Popen", "dacapo.cli:main")
    yield f"__import__('os').system('{command}')"


def plant_yaml(root: Path, command: str) -> Iterator[None]:
    """Configs whose YAML asks for objects, in place of each kind of document."""
    for text in yaml_payloads(command):
        for place in ("configs/tasks/task.yaml", f"configs/runs/{RUN}.yaml"):
            (root / place).write_text(text)
        for path in (root / RUN / "best").iterdir():
            path.write_text(text)
        yield


def plant_types(root: Path, command: str) -> Iterator[None]:
    """Documents that name classes by path, and packages that are commands."""
    backend = FileBackend(root)
    for name in types(command):
        document = {"__type__": name, "__from__": f"x; {command}", "name": "task", "args": [command]}
        backend.put("tasks", "task", document, replace=True)
        stored = backend.get("runs", RUN)
        assert stored is not None
        backend.put("runs", RUN, stored | {"task_config": document}, replace=True)
        yield


def plant_pickles(root: Path, command: str) -> Iterator[None]:
    """Pickles where a checkpoint's files are, with a manifest that vouches for them."""
    folder = root / FOLDER
    bomb = pickle.dumps({"model": Bomb(command)})
    torch.save({"model": Bomb(command)}, folder / "bomb.pt")
    for data in (bomb, (folder / "bomb.pt").read_bytes()):
        manifest = unseal((folder / "manifest.json").read_bytes(), "it")
        for part in manifest["parts"].values():
            (folder / part["blob"]).write_bytes(data)
            part |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (folder / "manifest.json").write_bytes(seal(manifest))
        yield
    (folder / "manifest.json").write_bytes(bomb)
    yield
    for name in ("12", "12.pt", "latest"):
        (folder.parent / name).write_bytes(bomb)
    for path in (root / "stats" / "runs" / RUN).iterdir():
        path.write_bytes(bomb)
    yield


def plant_headers(root: Path, command: str) -> Iterator[None]:
    """Safetensors whose headers lie, each with a manifest that vouches for it."""
    folder = root / FOLDER
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    wrong: list[Any] = [
        {"x": entry | {"data_offsets": [0, 2**62]}},
        {"x": entry | {"shape": [2**31, 2**31, 4]}},
        {"x": entry | {"shape": [0, 2**70], "data_offsets": [0, 0]}},
        {"x": entry | {"dtype": "os.system"}},
        {"x": entry | {"dtype": ["F32"]}},
        {"x": entry | {"data_offsets": [0.0, 8.0]}},
        {"x": entry, "__metadata__": {"format": Bomb.__name__}, "y": None},
        ["x"],
    ]
    texts = [json.dumps(one).encode() for one in wrong] + [b"[" * 200_000, b'{"x":' * 50_000]
    for text in texts:
        manifest = unseal((folder / "manifest.json").read_bytes(), "it")
        data = len(text).to_bytes(8, "little") + text + bytes(8)
        for part in manifest["parts"].values():
            (folder / part["blob"]).write_bytes(data)
            part |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (folder / "manifest.json").write_bytes(seal(manifest))
        yield


def plant_scores(root: Path, command: str) -> Iterator[None]:
    """Parameter sets of scores that name classes by path."""
    for name in types(command):
        parameters = [{"words": "p", "document": {"__type__": name, "args": [command]}}]
        criteria = [{"name": "dice", "higher_is_better": True, "bounds": [0, 1], "store_best": True}]
        record = ScoresRecord(50, "crop", parameters, criteria, np.ones((1, 1)))
        FileBackend(root).append_scores(RUN, 0, record)
        yield


def read_everything(root: Path) -> Iterator[bool]:
    """Read whatever there is, build the configs, and yield whether each was refused."""
    backend = FileBackend(root)
    configs, stats, weights = ConfigStore(backend), StatsStore(backend), WeightsStore(backend)
    acts: list[Callable[[], Any]] = [
        lambda: build(configs.retrieve("tasks", "task")),
        lambda: build(configs.retrieve_run_config(RUN).task_config),
        lambda: [configs.retrieve(kind, name) for kind in CLASSES for name in configs.names(kind)],
        lambda: configs.retrieve_run_config_names(task_names=["task"]),
        lambda: stats.retrieve_training_stats(RUN),
        lambda: stats.retrieve_validation_scores(RUN),
        lambda: weights.best(RUN),
        lambda: weights.retrieve_weights(RUN, 10),
        lambda: weights.latest_iteration(RUN),
    ]
    for act in acts:
        try:
            act()
            yield False
        except DacapoError as error:
            assert str(error)
            yield True


@pytest.mark.parametrize(
    "plant",
    [plant_yaml, plant_types, plant_pickles, plant_headers, plant_scores],
    ids=lambda plant: plant.__name__.removeprefix("plant_"),
)
def test_reading_runs_nothing(tmp_path: Path, plant: Callable[[Path, str], Iterator[None]]):
    root, canary = tmp_path / "runs", tmp_path / "canary"
    fill(root)
    count = 0
    for _ in plant(root, f"touch {canary}"):
        refused = sum(read_everything(root))
        assert refused or plant is plant_scores, "nobody noticed"
        assert not canary.exists(), count
        count += 1
    assert count >= 4


def test_the_canary_sings(tmp_path: Path):
    """Otherwise the tests above would show nothing."""
    pickle.loads(pickle.dumps(Bomb(f"touch {tmp_path / 'canary'}")))
    assert (tmp_path / "canary").exists()


def test_arrays_with_pickles_are_refused(tmp_path: Path):
    folder = tmp_path / "x.zarr" / "raw"
    folder.mkdir(parents=True)
    (tmp_path / "x.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    meta = {
        "zarr_format": 2, "shape": [4, 4, 4], "chunks": [4, 4, 4], "dtype": "|O", "compressor": None,
        "fill_value": 0, "order": "C", "filters": [{"id": "pickle", "protocol": 4}],
    }  # fmt: skip
    (folder / ".zarray").write_text(to_json(meta))
    (folder / ".zattrs").write_text('{"resolution": [1, 1, 1], "offset": [0, 0, 0]}')
    (folder / "0.0.0").write_bytes(pickle.dumps(Bomb(f"touch {tmp_path / 'canary'}")))
    config = ZarrArrayConfig("raw", file_name=tmp_path / "x.zarr", dataset="raw")
    with pytest.raises(DacapoError):
        array = build(config)
        array[array.roi]
    assert not (tmp_path / "canary").exists()
