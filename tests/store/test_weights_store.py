"""The weights store: what is loaded is what was stored, or an error."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch

from dacapo.errors import CorruptData, InvalidRequest, NewerFormat, NotFound
from dacapo.experiments.run import Run
from dacapo.experiments.tasks.post_processors.parameters import ThresholdPostProcessorParameters
from dacapo.store import tensor_file
from dacapo.store.files import FileBackend
from dacapo.store.lease import take
from dacapo.store.local_weights_store import LocalWeightsStore
from dacapo.store.manifest import Digest, seal, unseal
from dacapo.store.tensor_tree import put_together, take_apart
from dacapo.store.weights_store import Weights, WeightsStore, expendable
from dacapo.testing import tiny_run
from stored_runs import place_of

DTYPES = sorted(tensor_file._NAMES.values())


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore(FileBackend(tmp_path))


def simple(value: float) -> Weights:
    return Weights({"x": torch.full((3,), value)})


def blob(store: WeightsStore, iteration: int, part: str) -> Path:
    folder = store.backend.root / "run" / "checkpoints" / "iterations" / str(iteration)
    return next(path for path in folder.iterdir() if path.name.startswith(part))


class TinyRun:
    """A run with a model and an optimizer that have been used."""

    name, repetition = "run", 0

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
        )
        self.optimizer = torch.optim.RAdam(self.model.parameters(), lr=0.1)

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.model(torch.randn(5, 3)).square().mean().backward()
        self.optimizer.step()

    def checkpoint_weights(self) -> Weights:
        state = {"torch": torch.get_rng_state(), "python": random.getstate()}
        return Weights(self.model.state_dict(), self.optimizer.state_dict(), {"last_epoch": 3}, state)


def test_a_checkpoint_is_all_that_training_needs(store):
    run = TinyRun(0)
    for _ in range(3):
        run.step()
    store.store_weights(run, 3)
    run.step()
    found = WeightsStore(store.backend).retrieve_weights(run, 3)
    again = TinyRun(1)
    again.model.load_state_dict(found.model)
    again.optimizer.load_state_dict(found.optimizer)
    torch.set_rng_state(found.random_state["torch"])
    again.step()
    for one, other in zip(run.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert found.scheduler == {"last_epoch": 3}
    random.setstate(found.random_state["python"])


def test_runs_can_be_loaded_the_old_way(store, tmp_path):
    config = tiny_run(tmp_path / "data")
    run, other = Run(config), Run(config.replace(seed=7))
    for parameter in run.model.parameters():
        parameter.grad = torch.rand_like(parameter)
    run.optimizer.step()
    store.store_weights(run, 7)
    store.store_best(run, 7, "a", "dice")
    store.load_weights(other, 7)
    assert same(run.model.state_dict(), other.model.state_dict())
    assert same(run.optimizer.state_dict()["state"][0], other.optimizer.state_dict()["state"][0])
    store.store_weights(run, 8, Weights(Run(config.replace(seed=7)).model.state_dict()))
    store.load_weights(other, 8)
    assert not same(run.model.state_dict(), other.model.state_dict())
    store.load_best(other, "a", "dice")
    assert same(run.model.state_dict(), other.model.state_dict())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_something_has_to_be_stored(store):
    with pytest.raises(InvalidRequest, match="nothing to store for run: give its weights, or the run itself"):
        store.store_weights("run", 1)


def test_parts_that_are_absent_are_none(store):
    store.store_weights("run", 1, simple(1.0))
    found = store.retrieve_weights("run", 1)
    assert found.optimizer is found.scheduler is found.random_state is None


def test_only_the_parts_asked_for_are_read(store):
    store.store_weights("run", 1, Weights({"x": torch.ones(2)}, {"y": torch.ones(2)}))
    blob(store, 1, "optimizer").unlink()
    assert store.retrieve_weights("run", 1, parts=["model"]).optimizer is None
    with pytest.raises(
        CorruptData, match="checkpoint 1 of run run .*: its optimizer, the file .* is missing"
    ):
        store.retrieve_weights("run", 1)


@pytest.mark.parametrize("mapped", [False, True])
def test_loaded_tensors_may_be_changed_without_changing_the_store(store, mapped):
    store.store_weights("run", 1, simple(1.0))
    store.retrieve_weights("run", 1, mapped=mapped).model["x"].add_(5)
    assert store.retrieve_weights("run", 1).model["x"].tolist() == [1.0, 1.0, 1.0]


def test_checkpoints_are_plain_safetensors_for_everybody(store):
    store.store_weights("run", 1, Weights({"layer.weight": torch.arange(6.0).reshape(2, 3)}))
    found = safetensors.torch.load_file(blob(store, 1, "model"))
    assert torch.equal(found["layer.weight"], torch.arange(6.0).reshape(2, 3))


def test_the_latest_is_the_greatest_number(store):
    assert store.latest_iteration("run") is None
    assert store.iterations("run") == []
    for iteration in (9, 100, 20):
        store.store_weights("run", iteration, simple(iteration))
    folder = blob(store, 9, "model").parent.parent
    for stray in (".part-x", "notes", "12a", "²"):
        (folder / stray).mkdir()
        (folder / stray / "manifest.json").touch()
    (folder / "500").mkdir()
    assert store.iterations("run") == [9, 20, 100]
    assert store.latest_iteration("run") == 100
    assert store.retrieve_weights("run").model["x"][0] == 100
    with pytest.raises(NotFound, match=r"no checkpoint of iteration 500 in .*; there are: 9, 20, 100"):
        store.retrieve_weights("run", 500)
    with pytest.raises(NotFound, match="run other has no whole checkpoint"):
        store.retrieve_weights("other")


@pytest.mark.parametrize("part", ["model", "optimizer", "manifest"])
@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "empty", "gone"])
def test_a_damaged_checkpoint_is_named_and_passed_over(store, caplog, part: str, damage: str):
    for iteration in (10, 20):
        store.store_weights("run", iteration, Weights({"x": torch.ones(50)}, {"y": torch.ones(5)}))
    path = blob(store, 20, part)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 4
    path.write_bytes({"flip": data, "cut": data[:-3], "grow": data + b"x"}.get(damage, b""))
    if damage == "gone":
        path.unlink()
    caplog.set_level(logging.WARNING)
    assert store.latest_iteration("run") == 10
    assert store.is_whole("run", 10) and not store.is_whole("run", 20) and not store.is_whole("run", 30)
    assert torch.equal(store.retrieve_weights("run").model["x"], torch.ones(50))
    if (part, damage) != ("manifest", "gone"):
        assert "skipping the checkpoint of iteration 20: checkpoint 20 of run run" in caplog.text
        with pytest.raises(CorruptData, match=f"its {part}"):
            store.retrieve_weights("run", 20)


def test_every_flipped_byte_of_a_checkpoint_is_found(store):
    store.store_weights("run", 1, Weights({"x": torch.arange(4.0)}))
    for part in ("model", "manifest"):
        path = blob(store, 1, part)
        data = path.read_bytes()
        for position in range(0, len(data), 3):
            damaged = bytearray(data)
            damaged[position] ^= 1 << (position % 8)
            path.write_bytes(damaged)
            try:
                found = store.retrieve_weights("run", 1).model["x"]
            except CorruptData:
                continue
            assert part == "manifest" and found.tolist() == [0, 1, 2, 3]  # white space between values
        path.write_bytes(data)


def test_a_newer_format_is_refused():
    content = unseal(seal({"parts": {}}), "it")
    assert content["parts"] == {}
    with pytest.raises(NewerFormat, match="it was written by a newer DaCapo, in format 9; this one knows 1"):
        unseal(seal({"format": 9}), "it")


def test_no_pickle_is_read(store):
    path = store.backend.root / "run" / "checkpoints" / "iterations"
    path.mkdir(parents=True)
    torch.save({"x": torch.ones(1)}, path / "10")
    assert store.iterations("run") == []
    store.store_weights("run", 20, simple(1.0))
    assert store.latest_iteration("run") == 20


def test_checkpoints_are_removed_with_what_calls_them_best(store):
    for iteration in (10, 20):
        store.store_weights("run", iteration, simple(iteration))
        store.store_best("run", iteration, f"d{iteration}", "dice")
    store.remove("run", 10)
    assert store.iterations("run") == [20]
    assert [record.dataset for record in store.best("run")] == ["d20"]
    with pytest.raises(NotFound, match="no checkpoint of iteration 10"):
        store.remove("run", 10)


def test_the_best_is_found_where_it_was_put(store):
    # B4: existing DaCapo wrote <dataset>/<criterion> and looked for <criterion>/<dataset>.
    parameters = ThresholdPostProcessorParameters(id=3, threshold=0.25)
    store.store_weights("run", 10, simple(1.0))
    store.store_weights("run", 20, simple(2.0))
    store.store_best("run", 10, "a", "dice", value=0.5, parameters=parameters)
    store.store_best("run", 20, "a", "dice", value=0.75, parameters=parameters)
    store.store_best("run", 10, SimpleNamespace(name="dice"), "a", value=math.nan)
    assert store.retrieve_best("run", "a", "dice") == 20
    assert store.retrieve_best("run", SimpleNamespace(name="a"), "dice") == 20
    assert store.retrieve_best("run", "dice", "a") == 10
    first, second = WeightsStore(store.backend).best("run")
    assert (first.dataset, first.criterion, first.iteration, first.value) == ("a", "dice", 20, 0.75)
    assert first.parameters == parameters
    assert math.isnan(second.value) and second.parameters is None
    with pytest.raises(NotFound, match="no best checkpoint by b/dice; recorded are: a/dice, dice/a"):
        store.retrieve_best("run", "b", "dice")
    with pytest.raises(NotFound, match="no checkpoint of iteration 30"):
        store.store_best("run", 30, "a", "dice")


@pytest.mark.parametrize("dataset", ["../../x", "a/b", "", "x" * 500, "ü", "."])
def test_datasets_may_be_called_anything(store, dataset):
    store.store_weights("run", 10, simple(1.0))
    store.store_best("run", 10, dataset, "../f1")
    assert store.retrieve_best("run", dataset, "../f1") == 10
    assert {path.parent for path in store.backend.root.rglob("*.yaml")} == {
        store.backend.root / "run" / "best"
    }


def test_weights_are_chosen_by_text(store):
    for iteration in (10, 20):
        store.store_weights("run", iteration, simple(iteration))
    store.store_best("run", 10, "a", "dice")
    store.store_best("run", 10, "b", "dice")
    store.store_best("run", 20, "a", "voi")
    store.store_best("run", 10, "b", "voi")

    def chosen(choice: str) -> float:
        return store.retrieve_weights_by("run", choice).model["x"][0].item()

    assert chosen("latest") == chosen("20") == chosen("iterations/20") == chosen("a/voi") == 20
    assert chosen("10") == chosen("dice") == chosen("b/voi") == 10
    with pytest.raises(
        InvalidRequest, match="several best checkpoints by 'voi'; choose .*: a/dice, a/voi, b/dice, b/voi"
    ):
        chosen("voi")
    with pytest.raises(NotFound, match="no best checkpoints by 'f1'"):
        chosen("f1")
    with pytest.raises(NotFound, match="recorded are: none; see  dacapo validate other --help"):
        store.retrieve_weights_by("other", "f1")


def test_retention_spares_the_last_the_best_and_every_nth(store):
    assert expendable([5, 1, 2, 3, 4], {2}, keep_last=1, keep_every=None) == [1, 3, 4]
    assert expendable([1, 2, 3, 4, 5], set(), keep_last=2, keep_every=2) == [1, 3]
    assert expendable([], {1}, keep_last=3, keep_every=None) == []
    for wrong in ({"keep_last": 0, "keep_every": None}, {"keep_last": 1, "keep_every": 0}):
        with pytest.raises(InvalidRequest, match="at least 1"):
            expendable([1], set(), **wrong)
    for iteration in (10, 20, 30, 40):
        store.store_weights("run", iteration, simple(iteration))
    store.store_best("run", 20, "a", "dice")
    assert store.prune("run", keep_every=30) == [10]
    assert store.prune("run") == [30]
    assert store.iterations("run") == [20, 40]


def test_runs_and_repetitions_are_kept_apart(store):
    store.store_weights(SimpleNamespace(name="run", repetition=2), 5, simple(2.0))
    assert store.iterations("run") == [5]
    store.store_weights("run", 1, simple(0.0))
    with pytest.raises(InvalidRequest, match="run:0, run:2"):
        store.latest_iteration("run")
    store.store_best("run:0", 1, "a", "dice")
    assert store.best("run:2") == []
    assert store.delete("run:0")
    assert store.latest_iteration("run") == 5
    assert not store.delete("run:7")


def test_the_local_store_keeps_each_run_in_its_folder(tmp_path):
    store = LocalWeightsStore(tmp_path)
    store.store_weights("run", 1, simple(1.0))
    manifest = json.loads((store.basedir / "run/checkpoints/iterations/1/manifest.json").read_text())
    assert manifest["manifest"]["run"] == "run" and manifest["manifest"]["iteration"] == 1
    assert manifest["manifest"]["meta"]["versions"]["torch"]
    assert repr(store) == f"LocalWeightsStore(the files below {tmp_path})"


# tensors


def awkward() -> dict:
    weight = torch.randn(3, 4)
    return {
        "shared": [weight, weight, {"again": weight}],
        "transposed": torch.arange(6.0).reshape(2, 3).t(),
        "slice": torch.arange(10)[2:5],
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(7),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "array": np.arange(3, dtype=np.int16),
        "numpy scalar": np.float32(0.5),
        3: "a key that is no text",
        None: {("a", 1): 2},
        "__tensor__": "a key that looks like a mark",
        "plain": (1, 2.5, True, None, "x", [math.inf, -math.inf], 2**200),
        "a.b": torch.zeros(1),
        "a": {"b": torch.ones(1)},
    }


def through_bytes(tree):
    skeleton, tensors = take_apart(tree)
    data = bytearray(b"".join(bytes(chunk) for chunk in tensor_file.chunks(tensors)))
    plain = unseal(seal({"parts": {}, "tree": skeleton}), "it")["tree"]
    return put_together(plain, tensor_file.read(data))


def test_awkward_trees_come_back():
    tree, found = awkward(), through_bytes(awkward())
    assert list(found) == list(tree)
    assert found["shared"][0] is found["shared"][1] is found["shared"][2]["again"]
    for name in ("transposed", "slice", "empty", "scalar", "parameter", "a.b"):
        assert torch.equal(found[name], tree[name].detach()) and found[name].dtype == tree[name].dtype
    assert torch.equal(found["a"]["b"], torch.ones(1))
    assert found["array"].dtype == np.int16 and found["array"].tolist() == [0, 1, 2]
    for name in ("numpy scalar", 3, None, "__tensor__", "plain"):
        assert found[name] == tree[name] and type(found[name]) is type(tree[name]) or name == "numpy scalar"


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_comes_back_and_is_what_safetensors_makes_of_it(name: str):
    dtype = getattr(torch, name)
    tensor = torch.tensor([[0, 1, 1], [0, 1, 0]]).to(dtype)
    data = b"".join(bytes(chunk) for chunk in tensor_file.chunks({"x": tensor, "b": torch.ones(3)}))
    for found in (tensor_file.read(bytearray(data)), safetensors.torch.load(data)):
        assert found["x"].dtype == dtype and found["x"].shape == (2, 3)
        assert found["x"].view(torch.uint8).tolist() == tensor.view(torch.uint8).tolist()
    theirs = bytearray(safetensors.torch.save({"x": tensor, "b": torch.ones(3)}, metadata={"a": "b"}))
    assert tensor_file.read(theirs)["x"].view(torch.uint8).tolist() == tensor.view(torch.uint8).tolist()


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", lambda: 0, torch.nn.Linear(1, 1)])
def test_what_would_need_a_pickle_is_refused(value):
    with pytest.raises(
        InvalidRequest, match=r"a\.0 is a .*, which a checkpoint cannot hold; give plain data"
    ):
        take_apart({"a": [value]})


def test_tensors_that_are_not_dense_are_refused():
    with pytest.raises(InvalidRequest, match="x is sparse"):
        take_apart({"x": torch.eye(2).to_sparse()})
    with pytest.raises(InvalidRequest, match=r"x is of torch\.complex128, which cannot be stored"):
        list(tensor_file.chunks({"x": torch.ones(1, dtype=torch.complex128)}))


def entry(**changes) -> bytearray:
    """Return a file of one tensor of two floats whose header is changed."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}).encode()
    return bytearray(len(header).to_bytes(8, "little") + header + bytes(8))


@pytest.mark.parametrize(
    "data",
    [
        bytearray(),
        bytearray(b"\xff" * 8),
        bytearray(b"\x05" + bytes(7) + b"{}"),
        bytearray(b"\x02" + bytes(7) + b"[]"),
        bytearray(b"\x02" + bytes(7) + b"\xff\xff"),
        entry(dtype="F33"),
        entry(shape=[3]),
        entry(shape=[-2]),
        entry(shape="ab"),
        entry(data_offsets=[4, 12]),
        entry(data_offsets=[-8, 0]),
        entry(data_offsets=[0]),
        entry(news=1),
    ],
)
def test_what_is_no_safetensors_is_found(data: bytearray):
    with pytest.raises(CorruptData, match="these are no safetensors"):
        tensor_file.read(data)
    assert tensor_file.read(entry())["x"].tolist() == [0, 0]


def test_a_tensor_that_is_missing_is_named():
    with pytest.raises(CorruptData, match="the tensor x is missing"):
        put_together({"x": {"__tensor__": "x"}}, {})


def test_the_checksum_is_of_all_chunks():
    chunks = [b"small", bytes(1 << 20), memoryview(np.ones(100_000)), b""]
    digest = Digest(chunks)
    data = b"".join(bytes(chunk) for chunk in digest)
    assert data == b"".join(bytes(chunk) for chunk in chunks)
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
    assert digest.size == len(data)


def test_listing_checkpoints_takes_no_torch(store):
    store.store_weights("run", 10, simple(1.0))
    store.store_best("run", 10, "a", "dice", parameters=ThresholdPostProcessorParameters(id=1))
    script = (
        "import sys; from dacapo.store.local_weights_store import LocalWeightsStore;"
        "store = LocalWeightsStore(sys.argv[1]);"
        "print(store.iterations('run'), store.best('run')[0].iteration);"
        "print([name for name in ('torch', 'zarr', 'pymongo', 'xarray') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.backend.root)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[10] 10", "[]"]


@pytest.mark.parametrize("place", ["memory", "files", "mongo"])
def test_iterations_may_be_counted_by_numpy(place: str, request, tmp_path: Path):
    store = WeightsStore(place_of(place, request, tmp_path / "runs")())
    store.store_weights("run", np.int64(3), Weights({"x": np.ones(1)}))
    store.store_best("run", np.int64(3), "a", "dice", 0.5)
    assert store.iterations("run") == [3]
    assert store.retrieve_best("run", "a", "dice") == 3
    assert store.retrieve_weights("run", np.int64(3)).model["x"].tolist() == [1.0]


def test_a_checksum_taken_beside_is_that_of_all_chunks(monkeypatch):
    monkeypatch.setattr(Digest, "_TOGETHER", 10)
    monkeypatch.setattr(Digest, "_AHEAD", 20)
    chunks = [bytes([one]) * one for one in range(1, 30)]
    digest = Digest(chunks)
    assert list(digest) == chunks
    whole = b"".join(chunks)
    assert digest.hexdigest() == hashlib.sha256(whole).hexdigest() and digest.size == len(whole)
    assert Digest([]).hexdigest() == hashlib.sha256(b"").hexdigest()


def test_what_is_stored_under_a_lease_says_in_which_epoch(store: WeightsStore):
    with take(store.backend, "run", "train") as lease:
        store.write_under(lease)
        store.store_weights("run", 5, simple(1.0))
    part, manifest = sorted(store.backend.blobs("run", "iterations/5/"), reverse=True)
    assert manifest == "iterations/5/manifest-0-0.json"
    assert part.startswith("iterations/5/model-0-")
    content = unseal(bytes(store.backend.get_blob("run", manifest)), "it")
    assert (content["run"], content["iteration"], content["epoch"]) == ("run", 5, 0)
    assert content["name"] == "manifest-0-0.json" and store.manifest("run", 5) == content["name"]
