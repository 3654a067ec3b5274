"""Damaged and foreign files: found, named, and passed over where there is something better."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from dacapo.errors import CorruptData
from dacapo.experiments.run import Run
from dacapo.store.create_store import create_stats_store, create_weights_store
from dacapo.store.files import FileBackend
from dacapo.store.manifest import seal, unseal
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import WeightsStore
from damage import EARLIER, FOLDER, KINDS, LAST, Kind, cuts, fill, flips, outcome
from scripted import RUN, go_on, observe

COUNT = 40


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("filled") / "runs"
    fill(root)
    return root


@pytest.mark.parametrize("damage", [cuts, flips], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damage_is_found_and_named_and_takes_only_what_it_hit(filled: Path, kind: Kind, damage):
    path = kind.path(filled)
    rng = random.Random(f"{kind.name} {damage.__name__}")
    found = Counter(outcome(kind, path, one, filled) for one in damage(path.read_bytes(), COUNT, rng))
    assert found.total() == COUNT
    assert found["whole"] <= COUNT // 2 or kind.name == "epoch"
    assert kind.is_log == bool(found["part"])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "of a" in kind.name], ids=lambda kind: kind.name)
def test_a_damaged_checkpoint_is_passed_over(filled: Path, kind: Kind):
    path = kind.path(filled)
    data = path.read_bytes()
    rng = random.Random(kind.name)
    for damaged in [*cuts(data, 5, rng), *flips(data, 5, rng)]:
        path.write_bytes(damaged)
        assert WeightsStore(FileBackend(filled)).latest_iteration(RUN) == EARLIER
    path.write_bytes(data)
    assert WeightsStore(FileBackend(filled)).latest_iteration(RUN) == LAST


def litter(root: Path) -> None:
    """Leave beside every file what editors, NFS, copies and crashes leave."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in (".tmp", ".nfs000001", ".part-1", "notes.txt", "x.tmp", "x.yaml~", "Thumbs.db"):
            (folder / name).write_bytes(b"\0rubbish")
        for name in ("old", "7.tmp", "lost+found", ".deleted-1"):
            (folder / name).mkdir()
    checkpoints = root / RUN / "checkpoints" / "iterations"
    for name in ("077", "+5", "1e3", "-3", "99", "١٢"):
        (checkpoints / name).mkdir()
        shutil.copy(checkpoints / str(LAST) / "manifest.json", checkpoints / name)
    for name in ("x.epoch", "-1.epoch", "1.5.epoch", "²‌.epoch", "5.iterations", "x.scores"):
        (root / "stats" / "runs" / RUN / name).write_bytes(b"rubbish")


def test_foreign_files_are_in_nobodys_way(filled: Path, tmp_path: Path, caplog):
    root = tmp_path / "runs"
    shutil.copytree(filled, root)
    before = observe(FileBackend(root))
    litter(root)
    weights = WeightsStore(FileBackend(root))
    assert weights.iterations(RUN) == [EARLIER, LAST, 99]
    # Of 99 there is a manifest only, so it is no whole checkpoint, and the next best is gone on from.
    assert weights.latest_iteration(RUN) == LAST
    assert "skipping the checkpoint of iteration 99" in caplog.text
    shutil.rmtree(root / RUN / "checkpoints" / "iterations" / "99")
    assert observe(FileBackend(root)) == before
    go_on(FileBackend(root))


def test_training_goes_on_from_the_newest_checkpoint_that_is_whole(trained, tmp_path: Path, caplog):
    folder = tmp_path / "runs" / "tiny" / "checkpoints" / "iterations"
    rng = random.Random(0)
    run = Run(trained)
    stats, before = tmp_path / "runs" / "stats", tmp_path / "before"
    shutil.copytree(stats, before)
    for path in sorted((folder / "8").iterdir()):
        data = path.read_bytes()
        for damaged in [*cuts(data, 2, rng), *flips(data, 1, rng)]:
            path.write_bytes(damaged)
            caplog.clear()
            assert run.resume(create_stats_store(), create_weights_store()) == 4
            assert "skipping the checkpoint of iteration 8" in caplog.text and path.name in caplog.text
            # Whoever goes on from an earlier checkpoint cuts the later ones, so that is undone.
            shutil.rmtree(stats)
            shutil.copytree(before, stats)
        path.write_bytes(data)
    (folder / "8" / "manifest.json.tmp").write_bytes(b"")
    assert run.resume(create_stats_store(), create_weights_store()) == 8


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"parts": []},
        {"parts": {"model": None}},
        {"parts": {"model": {"blob": "model-1.safetensors"}}},
        {"parts": {"model": {"tree": {}, "size": 1, "sha256": "", "blob": 3}}},
        {"parts": {"model": {"tree": {}, "size": 1, "sha256": "", "blob": "../../../../elsewhere"}}},
        {"parts": {"model": {"tree": {}, "size": 1, "sha256": "", "blob": "/etc/passwd"}}},
        {"parts": {"model": {"tree": {}, "size": 1, "sha256": "", "blob": ".."}}},
        {"parts": {}, "format": None},
    ],
)
def test_a_manifest_made_by_somebody_else_is_refused(content):
    with pytest.raises(CorruptData, match="it: its manifest .*; use another checkpoint"):
        unseal(seal(content), "it")
    with pytest.raises(CorruptData, match="its manifest fails its checksum"):
        unseal(b"[" * 100_000, "it")


@pytest.mark.parametrize(
    "tree", [{"__tensor__": []}, {"__tuple__": 5}, {"__items__": [1]}, {"__items__": [[[], 1]]}]
)
def test_a_tree_made_by_somebody_else_is_refused(filled: Path, tmp_path: Path, tree):
    root = tmp_path / "runs"
    shutil.copytree(filled, root)
    path = root / FOLDER / "manifest.json"
    content = unseal(path.read_bytes(), "it")
    content["parts"]["model"]["tree"] = tree
    path.write_bytes(seal(content))
    with pytest.raises(CorruptData, match="was not written by DaCapo.*use another checkpoint"):
        WeightsStore(FileBackend(root)).retrieve_weights(RUN, LAST)
    assert WeightsStore(FileBackend(root)).latest_iteration(RUN) == EARLIER


def test_a_log_that_ends_with_zeros_or_rubbish_is_gone_on_with(filled: Path, tmp_path: Path):
    for number, tail in enumerate([bytes(4096), b"DcpF" * 50, b"\xff" * 37]):
        root = tmp_path / f"{number}"
        shutil.copytree(filled, root)
        with (root / "stats" / "runs" / RUN / "0.iterations").open("ab") as file:
            file.write(tail)
        assert StatsStore(FileBackend(root)).retrieve_training_stats(RUN).trained_until() == 40
        go_on(FileBackend(root))
