"""One run in one file: it comes back the same, and one that was tampered with is refused."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.documents import from_json, to_json
from dacapo.errors import (
    CorruptData,
    DuplicateNameError,
    InvalidArchive,
    InvalidRequest,
    NewerFormat,
    NotFound,
    StoreError,
)
from dacapo.names import RunKey, run_key
from dacapo.store import archive
from dacapo.store.archive import export_run
from dacapo.store.archive_reading import opened_archive
from dacapo.store.array_store import LocalArrayStore
from dacapo.store.backend import Block
from dacapo.store.blocks import encode_block
from dacapo.store.changes import Stores, rename_run
from dacapo.store.config_store import ConfigStore
from dacapo.store.copying import COPIED, THERE, copy_run, refused
from dacapo.store.files import FileBackend
from dacapo.store.manifest import seal, unseal, unsealed
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.place import Place
from dacapo.store.run_content import StoredRun
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import WeightsStore
from moved_runs import everything, fill, run_config, run_of

numbers = itertools.count()


def memory() -> Place:
    backend = MemoryBackend(f"archive {next(numbers)}")
    return Place(backend, backend)


@pytest.fixture(scope="module")
def source() -> Place:
    place = memory()
    fill(place)
    return place


@pytest.fixture(scope="module")
def exported(source: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "first.zip"
    export_run(StoredRun(source, RunKey("first")), path)
    return path


def imported(path: Path, place: Place, name: str | None = None) -> Any:
    with opened_archive(path) as content:
        row = copy_run(content, place, run_key(name) if name else content.key)
    if error := refused([row]):
        raise error
    return row


@pytest.mark.parametrize("kind", ["memory", "files", "mongo"])
def test_a_run_comes_back_with_everything(
    kind: str, source: Place, exported: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    there = memory()
    if kind == "files":
        there = Place(*[FileBackend(tmp_path / "there")] * 2)
    if kind == "mongo":
        mongo = request.getfixturevalue("mongo")
        there = Place(*[MongoBackend(mongo.uri, mongo.name)] * 2)
    assert imported(exported, there).state == COPIED
    key = RunKey("first")
    assert run_of(there, key) == run_of(source, key)
    assert there.documents.get("runs", "first") == source.documents.get("runs", "first")
    assert there.runs() == ["first"]
    assert imported(exported, there).state == THERE
    again = tmp_path / "again.zip"
    export_run(StoredRun(there, key), again)
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(exported) as other:
        assert {
            name: one.read(name) for name in one.namelist() if "stats" not in name and name != "manifest.json"
        } == {
            name: other.read(name)
            for name in other.namelist()
            if "stats" not in name and name != "manifest.json"
        }


def test_it_may_get_another_name(source: Place, exported: Path):
    there = memory()
    imported(exported, there, "second:3")
    found, before = run_of(there, RunKey("second:3")), run_of(source, RunKey("first"))
    assert found == before
    config = ConfigStore(there.documents).retrieve_run_config("second:3")
    assert config == run_config("second", 3)
    assert there.weights.get("best", there.weights.keys("best")[0])["run"] == "second:3"
    path = next(name for name in there.weights.blobs("second:3") if "manifest" in name)
    assert unseal(bytes(there.weights.get_blob("second:3", path)), "it")["run"] == "second:3"
    assert imported(exported, there, "second:3").state == THERE


@pytest.mark.parametrize("kind", ["memory", "files", "mongo"])
def test_a_run_that_was_renamed_goes_out_under_its_present_name(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
):
    here, there, path = memory(), memory(), tmp_path / "renamed.zip"
    if kind == "files":
        here = Place(*[FileBackend(tmp_path / "here")] * 2)
    if kind == "mongo":
        mongo = request.getfixturevalue("mongo")
        here = Place(*[MongoBackend(mongo.uri, mongo.name)] * 2)
    fill(here)
    configs, weights = ConfigStore(here.documents), WeightsStore(here.weights, here.documents)
    stores = Stores(configs, StatsStore(here.documents), weights, LocalArrayStore(tmp_path / "arrays"))
    before = run_of(here, RunKey("first"))
    rename_run("first:0", "later", stores)
    export_run(StoredRun(here, RunKey("later")), path)
    assert imported(path, there).state == COPIED
    assert run_of(there, RunKey("later")) == before
    assert imported(path, here, "later").state == THERE


@pytest.mark.parametrize(
    "weights, kept, best", [("all", [10, 20, 40], 3), ("latest", [40], 1), ("none", [], 0)]
)
def test_weights_may_stay_behind(source: Place, tmp_path: Path, weights: str, kept: list[int], best: int):
    path = tmp_path / "run.zip"
    counts = export_run(StoredRun(source, RunKey("first")), path, weights)
    assert (counts["checkpoints"], counts["best"], counts["iterations"]) == (len(kept), best, 65)
    there = memory()
    imported(path, there)
    store = WeightsStore(there.weights)
    assert store.iterations("first:0") == kept
    assert {record.iteration for record in store.best("first:0")} <= {*kept}
    assert len(store.best("first:0")) == best


def test_the_best_checkpoints_may_go_alone(tmp_path: Path):
    here, path, there = memory(), tmp_path / "run.zip", memory()
    fill(here)
    for key in here.weights.keys("best", "first/"):
        if "voi" in key:
            here.weights.remove("best", key)
    export_run(StoredRun(here, RunKey("first")), path, "best")
    imported(path, there)
    assert WeightsStore(there.weights).iterations("first:0") == [40]
    with pytest.raises(InvalidRequest, match="weights = 'some': should be one of all, best, latest, none"):
        export_run(StoredRun(here, RunKey("first")), path, "some")


def test_a_file_is_not_written_over_unasked(source: Place, tmp_path: Path, monkeypatch):
    path = tmp_path / "run.zip"
    path.write_bytes(b"something dear")
    run = StoredRun(source, RunKey("first"))
    with pytest.raises(
        DuplicateNameError, match=r"run.zip is there already; choose another name, or add  --over"
    ):
        export_run(run, path)
    assert path.read_bytes() == b"something dear"
    export_run(run, path, overwrite=True)
    assert zipfile.is_zipfile(path)

    def no_links(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    export_run(run, tmp_path / "stick.zip")
    assert zipfile.is_zipfile(tmp_path / "stick.zip")
    assert sorted(os.listdir(tmp_path)) == ["home", "run.zip", "stick.zip"]


def test_somebody_else_may_be_quicker(source: Place, tmp_path: Path, monkeypatch):
    path = tmp_path / "run.zip"
    checkpoint = StoredRun.checkpoint

    def meanwhile(self: StoredRun, iteration: int) -> Any:
        path.write_bytes(b"theirs")
        return checkpoint(self, iteration)

    monkeypatch.setattr(StoredRun, "checkpoint", meanwhile)
    with pytest.raises(DuplicateNameError):
        export_run(StoredRun(source, RunKey("first")), path)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links")))
    path.unlink()
    with pytest.raises(DuplicateNameError):
        export_run(StoredRun(source, RunKey("first")), path)
    assert path.read_bytes() == b"theirs"


def test_no_half_file_is_left(tmp_path: Path):
    here = memory()
    fill(here)
    name = next(name for name in here.weights.blobs("first", "iterations/40/") if "model" in name)
    here.weights.put_blob("first", name, [b"damaged"])
    with pytest.raises(
        CorruptData, match="checkpoint 40 of run first in the memory .*: its model fails its check"
    ):
        export_run(StoredRun(here, RunKey("first")), tmp_path / "run.zip")
    here.weights.remove_blobs("first", name)
    with pytest.raises(CorruptData, match="its model is missing"):
        export_run(StoredRun(here, RunKey("first")), tmp_path / "run.zip")
    with pytest.raises(NotFound, match="run other: no such config"):
        export_run(StoredRun(here, RunKey("other")), tmp_path / "run.zip")
    with pytest.raises(StoreError, match="writing .* failed: No such file"):
        export_run(StoredRun(here, RunKey("first:1")), tmp_path / "missing" / "run.zip")
    assert os.listdir(tmp_path) == ["home"]


# files that were tampered with

Members = dict[str, bytes]


def unpacked(path: Path) -> Members:
    with zipfile.ZipFile(path) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def packed(path: Path, members: Members, /, sealed: bool = True, **changes: Any) -> Path:
    """Write members with a manifest that fits them, as a forger would."""
    listed = {name: data for name, data in members.items() if name != "manifest.json"}
    manifest = unsealed(members["manifest.json"], "it", "")
    if sealed:
        manifest["members"] = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in listed.items()
        }
    manifest |= changes
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in listed.items():
            zipped.writestr(name, data)
        zipped.writestr("manifest.json", seal(manifest))
    return path


def refuse(path: Path, error: type[StoreError], says: str) -> None:
    """Make sure that a file is refused, and that nothing of it arrives."""
    there = memory()
    with pytest.raises(error, match=says):
        imported(path, there)
    assert there.runs() == [] and everything(there)["runs"] == {}


@pytest.mark.parametrize(
    "name, says",
    [
        ("../evil.txt", "may lead out of the archive"),
        ("checkpoints/../../evil", "may lead out of the archive"),
        ("stats\\..\\evil", "may lead out of the archive"),
        ("/etc/cron.d/evil", "has an absolute path"),
        ("\\\\server\\share\\evil", "has an absolute path"),
        ("C:/evil", "has an absolute path"),
        ("c:evil", "has an absolute path"),
        ("extra.json", "is unknown"),
        ("checkpoints/20/", "is unknown"),
        ("checkpoints/20/sub/model.safetensors", "is unknown"),
        ("checkpoints/20/weights.pt", "is unknown"),
        ("stats/٣", "is unknown"),
        ("stats/99", "nothing in it speaks of the member 'stats/99'"),
        ("checkpoints/020/manifest.json", "nothing in it speaks of the member"),
        ("checkpoints/021/manifest.json", "should be written without leading zeros"),
        ("checkpoints/20/model-abcdef.safetensors", "nothing in it speaks of the member"),
    ],
)
def test_names_that_do_not_belong_are_refused(exported: Path, tmp_path: Path, name: str, says: str):
    members = unpacked(exported) | {name: b""}
    if name.startswith("checkpoints/02"):
        members[name] = members["checkpoints/20/manifest.json"]
    refuse(packed(tmp_path / "evil.zip", members), InvalidArchive, says)
    assert not (tmp_path / "evil.txt").exists() and not (tmp_path.parent / "evil.txt").exists()


def test_a_name_with_nul_is_refused(exported: Path, tmp_path: Path):
    data = exported.read_bytes()
    path = tmp_path / "evil.zip"
    path.write_bytes(data.replace(b"epochs.json", b"epoch\0.json"))
    refuse(path, InvalidArchive, "may lead out of the archive")


def rewritten(path: Path, source: Path, change: Callable[[zipfile.ZipInfo], None], method: int = 0) -> Path:
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(path, "w", method) as after:
        for info in before.infolist():
            data = before.read(info)
            info = zipfile.ZipInfo(info.filename)
            info.compress_type = method
            change(info)
            after.writestr(info, data)
    return path


def test_links_are_refused(exported: Path, tmp_path: Path):
    def link(info: zipfile.ZipInfo) -> None:
        if info.filename == "config.json":
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    refuse(rewritten(tmp_path / "evil.zip", exported, link), InvalidArchive, "'config.json' is a link")


def test_compressed_members_are_refused(exported: Path, tmp_path: Path):
    path = tmp_path / "evil.zip"
    says = r"'config.json' is compressed \(\d+ bytes that would become \d+\)"
    refuse(rewritten(path, exported, lambda info: None, zipfile.ZIP_DEFLATED), InvalidArchive, says)


def test_a_member_that_would_blow_up_is_refused(exported: Path, tmp_path: Path):
    """Its size is said to be small, as its stored bytes are; a reader would find a gigabyte."""
    path, bomb = tmp_path / "evil.zip", zlib.compress(bytes(10**7), 9)
    members = unpacked(exported)
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in members.items():
            method = zipfile.ZIP_DEFLATED if name == "config.json" else zipfile.ZIP_STORED
            zipped.writestr(name, bytes(10**7) if method else data, method)
    assert path.stat().st_size < len(bomb) + exported.stat().st_size + 10_000
    refuse(path, InvalidArchive, r"compressed \(\d+ bytes that would become 10000000\)")


def test_encrypted_members_are_refused(exported: Path, tmp_path: Path):
    data, path = bytearray(exported.read_bytes()), tmp_path / "evil.zip"
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    refuse(path, InvalidArchive, "'config.json' is encrypted")


def test_a_member_that_is_there_twice_is_refused(exported: Path, tmp_path: Path):
    path = shutil.copy(exported, tmp_path / "evil.zip")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr("config.json", b"{}")
    refuse(path, InvalidArchive, "'config.json' is there 2 times")


def test_overlapping_members_are_refused(exported: Path, tmp_path: Path):
    """Many entries of the list that mean one stretch of the file would read it many times."""
    data, path = bytearray(exported.read_bytes()), tmp_path / "evil.zip"
    at = data.find(b"PK\x01\x02")
    for offset in (20, 24):
        struct.pack_into("<I", data, at + offset, len(data))
    path.write_bytes(data)
    refuse(path, InvalidArchive, "its members overlap: together they are larger than the file")


def test_what_is_no_export_is_refused(exported: Path, tmp_path: Path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w"):
        pass
    refuse(path, InvalidArchive, "it has no manifest.json, so it is no exported run")
    path.write_bytes(b"no zip at all")
    refuse(path, InvalidArchive, "is no readable zip file")
    with pytest.raises(NotFound, match="there is no file .*; make one with  dacapo export RUN gone.zip"):
        imported(tmp_path / "gone.zip", memory())


def test_a_newer_archive_is_refused(exported: Path, tmp_path: Path):
    members = unpacked(exported)
    path = packed(tmp_path / "new.zip", members, archive=2, written_by="dacapo 9.0.0")
    refuse(path, NewerFormat, r"written by a newer DaCapo \(dacapo 9.0.0\), in format 2; this one knows 1")


def test_a_member_that_is_missing_or_longer_is_found(exported: Path, tmp_path: Path):
    members = unpacked(exported)
    less = {name: data for name, data in members.items() if name != "best.json"}
    refuse(packed(tmp_path / "a.zip", less), InvalidArchive, "the member 'best.json' is missing")
    refuse(packed(tmp_path / "b.zip", less, sealed=False), InvalidArchive, "'best.json' is missing")
    more = members | {"config.json": members["config.json"] + b" "}
    refuse(packed(tmp_path / "c.zip", more, sealed=False), CorruptData, "config.json has not the size")
    unlisted = members | {"stats/9": b""}
    refuse(
        packed(tmp_path / "d.zip", unlisted, sealed=False), InvalidArchive, "'stats/9' is not in its manifest"
    )
    less = {name: data for name, data in members.items() if name != "stats/1"}
    refuse(packed(tmp_path / "e.zip", less), InvalidArchive, "the member 'stats/1' is missing")


def test_any_flipped_byte_is_found(exported: Path, tmp_path: Path):
    data, path = exported.read_bytes(), tmp_path / "flipped.zip"
    rng = np.random.default_rng(0)
    whole = everything_of(exported)
    for at in rng.integers(0, len(data), 60):
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            assert everything_of(path) == whole  # where nothing depends on it, as in a date
        except StoreError:
            continue


def test_any_shorter_file_is_found(exported: Path, tmp_path: Path):
    data, path = exported.read_bytes(), tmp_path / "cut.zip"
    for end in np.random.default_rng(0).integers(0, len(data), 40):
        path.write_bytes(data[:end])
        refuse(path, InvalidArchive, "is no readable zip file")


def everything_of(path: Path) -> dict[str, Any]:
    there = memory()
    imported(path, there)
    return run_of(there, RunKey("first")) | {"config": there.documents.get("runs", "first")}


def test_content_that_fails_its_checksum_is_found(exported: Path, tmp_path: Path):
    members = unpacked(exported)
    name = next(name for name in members if "model" in name)
    members[name] = members[name][:-1] + b"\1"
    refuse(packed(tmp_path / "evil.zip", members, sealed=False), CorruptData, f"{name} fails its checksum")


def in_json(name: str, change: Callable[[Any], Any]) -> Callable[[Members], None]:
    def forge(members: Members) -> None:
        value = from_json(members[name].decode())
        members[name] = to_json(change(value) or value).encode()

    return forge


def with_data(name: str, data: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({name: data})


def framed(data: bytes) -> bytes:
    return archive.LENGTH.pack(len(data)) + data


def head_of(**head: Any) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<I", len(text)) + text


def in_checkpoint(change: Callable[[Any], None]) -> Callable[[Members], None]:
    def forge(members: Members) -> None:
        manifest = unseal(members["checkpoints/20/manifest.json"], "it")
        change(manifest)
        members["checkpoints/20/manifest.json"] = seal(manifest)

    return forge


BACKWARDS = encode_block(Block(0, np.array([3, 2]), {"loss": np.ones(2)}))
DEEP = b'{"name": "first", "x": ' + b"[" * 150 + b"]" * 150 + b"}"
HUGE = head_of(columns=[], count=10**15, consecutive=True, first=0)


@pytest.mark.parametrize(
    "forge, says",
    [
        (with_data("config.json", b"[1]"), "config.json holds no document"),
        (with_data("config.json", b"{"), "config.json is not what it should be"),
        (with_data("config.json", b"[" * 100_000), "config.json is not what it should be .RecursionError"),
        (with_data("config.json", DEEP), "nested more than"),
        (in_json("config.json", lambda d: d | {"name": "../../first"}), "InvalidName"),
        (in_json("config.json", lambda d: d | {"name": "other"}), "is of run other, and manifest"),
        (in_json("epochs.json", lambda d: d[::-1]), "should list epochs by increasing numbers"),
        (in_json("epochs.json", lambda d: [*d, {"number": "../1", "start": 0}]), "by increasing numbers"),
        (in_json("epochs.json", lambda d: [*d, {"number": 3}]), "epochs.json is not what it should be"),
        (in_json("epochs.json", lambda d: {"x": 1}), "epochs.json is not what it should be"),
        (with_data("stats/0", framed(HUGE)), "stats/0 is not what it should be"),
        (with_data("stats/0", framed(BACKWARDS)), "stats/0 should have increasing iterations"),
        (with_data("stats/0", b"\xff" * 8), "stats/0 ends in the middle of an append"),
        (with_data("stats/0", b"\1"), "stats/0 ends in the middle of an append"),
        (with_data("scores/0", framed(b"\0\0\0\0")), "scores/0 is not what it should be"),
        (
            with_data("scores/0", framed(head_of(iteration="x", dataset="a", parameters=[], criteria=[]))),
            "an iteration and a dataset in each record",
        ),
        (in_json("best.json", lambda d: {"../evil": next(iter(d.values()))}), "best.json: '../evil' is not"),
        (in_json("best.json", lambda d: {k: v | {"iteration": 30} for k, v in d.items()}), "its checkpoint"),
        (in_json("best.json", lambda d: dict.fromkeys(d, 3)), "best.json is not what it should be"),
        (in_json("remarks.json", lambda d: d | {"x": {}}), "remarks.json should hold tags and notes"),
        (in_json("remarks.json", lambda d: d | {".tags": {"good": 3}}), "remarks.json is not what it"),
        (in_json("remarks.json", lambda d: d | {".tags": {"../x": {"by": "", "at": ""}}}), "InvalidName"),
        (in_json("remarks.json", lambda d: d | {".notes": {"../x": {}}}), "remarks.json"),
        (in_checkpoint(lambda m: m.update(iteration=30)), "checkpoint 20 says that it is another one"),
        (in_checkpoint(lambda m: m["parts"]["model"].update(blob="x")), "is not what it"),
        (in_checkpoint(lambda m: m["parts"]["model"].update(sha256="0")), "names a part that is"),
    ],
)
def test_forged_content_is_refused(exported: Path, tmp_path: Path, forge, says: str):
    members = unpacked(exported)
    forge(members)
    refuse(packed(tmp_path / "evil.zip", members), InvalidArchive, says)


def test_a_checkpoint_that_leads_elsewhere_is_refused(exported: Path, tmp_path: Path):
    members = unpacked(exported)
    in_checkpoint(lambda manifest: manifest["parts"]["model"].update(blob="../../config.json"))(members)
    refuse(packed(tmp_path / "evil.zip", members), CorruptData, "its manifest was not written by DaCapo")


FILES = ("config.json", "epochs.json", "best.json", "remarks.json")


@pytest.mark.parametrize(
    "change",
    [{"archive": "x"}, {"members": 1}, {"run": {}}, {"members": dict.fromkeys(FILES, 1)}, {"members": None}],
)
def test_a_forged_manifest_is_refused(exported: Path, tmp_path: Path, change: dict[str, Any]):
    refuse(
        packed(tmp_path / "evil.zip", unpacked(exported), **change),
        InvalidArchive,
        "manifest.json is not what",
    )


def test_a_damaged_manifest_is_found(exported: Path, tmp_path: Path):
    members, path = unpacked(exported), tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in members.items():
            zipped.writestr(name, data.replace(b'"first"', b'"other"') if name == "manifest.json" else data)
    refuse(path, CorruptData, "its manifest fails its checksum; export the run again")


def test_a_text_that_is_too_large_is_refused(exported: Path, monkeypatch):
    monkeypatch.setattr("dacapo.store.archive_reading._LARGEST_TEXT", 100)
    refuse(exported, InvalidArchive, "'manifest.json' is larger than a text of this sort can be")


def test_a_different_run_of_that_name_is_left_alone(exported: Path):
    there = memory()
    ConfigStore(there.documents).store_run_config(run_config(iterations=7))
    with pytest.raises(DuplicateNameError, match="num_iterations: 7 -> 100"):
        imported(exported, there)
    assert everything(there)["runs"]["first"]["epochs"] == []
    assert imported(exported, there, "free").state == COPIED


def test_reading_runs_nothing(exported: Path, tmp_path: Path):
    """A pickle in place of the weights, and a class path in the config: the canary never sings."""
    canary = tmp_path / "canary"
    payload = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    members = unpacked(exported)
    name = next(name for name in members if "20/model" in name)
    manifest = unseal(members["checkpoints/20/manifest.json"], "it")
    manifest["parts"]["model"] |= {
        "size": len(payload), "sha256": hashlib.sha256(payload).hexdigest()
    }  # fmt: skip
    config = from_json(members["config.json"].decode())
    config["task_config"] = {"__type__": "os:system", "name": f"touch {canary}"}
    members |= {
        name: payload,
        "checkpoints/20/manifest.json": seal(manifest),
        "config.json": to_json(config).encode(),
    }
    there = memory()
    imported(packed(tmp_path / "evil.zip", members), there)
    ConfigStore(there.documents).retrieve_run_config("first")
    with pytest.raises(CorruptData, match="these are no safetensors"):
        WeightsStore(there.weights).retrieve_weights("first:0", 20)
    assert not canary.exists()


def test_an_import_that_was_interrupted_is_hidden_and_gone_on_with(exported: Path, source: Path, monkeypatch):
    there = memory()
    put = MemoryBackend.put_blob
    calls = itertools.count()

    def dying(self: MemoryBackend, *args: Any) -> None:
        put(self, *args)
        if next(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(MemoryBackend, "put_blob", dying)
    with pytest.raises(KeyboardInterrupt):
        imported(exported, there)
    assert there.documents.keys("runs") == []
    monkeypatch.undo()
    assert imported(exported, there).state == COPIED
    assert run_of(there, RunKey("first")) == run_of(source, RunKey("first"))


KILLED = """
import os, sys
from dacapo.store import archive
from dacapo.store.archive import export_run
from dacapo.store.place import open_place
from dacapo.store.run_content import StoredRun
from dacapo.names import RunKey
def die(*_):
    os.kill(os.getpid(), 9)
archive._Writer._finish = die
export_run(StoredRun(open_place(sys.argv[1]), RunKey("first")), __import__("pathlib").Path(sys.argv[2]))
"""


def test_a_killed_export_leaves_no_file_of_that_name(tmp_path: Path):
    place = Place(*[FileBackend(tmp_path / "runs")] * 2)
    fill(place)
    path = tmp_path / "run.zip"
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "runs"), str(path)], check=False)
    assert done.returncode == -9
    assert not path.exists()
    export_run(StoredRun(place, RunKey("first")), path)
    assert imported(path, memory()).state == COPIED
