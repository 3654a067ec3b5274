"""Whatever a name looks like, nothing outside of the store is touched; and a name has one owner."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dacapo.errors import DacapoError, InvalidName, InvalidRequest
from dacapo.store.array_store import LocalArrayStore
from dacapo.store.config_store import ConfigStore
from dacapo.store.files import FileBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import WeightsStore
from mongo_places import MongoPlace
from scripted import run_config, scores_at, stats_of, task, weights_of

FIXED = [
    "..", ".", "../x", "../../x", "/x", "/etc/passwd", "a/b", "a/../../b", "\\", "..\\x", "C:\\x", "a\0b",
    "\0", "%2e%2e", "%2e%2e%2f", "..%2f", "%00", "CON", "NUL", "com1", "aux.txt", "a.", "a..", "a ", " a",
    "x" * 300, "é" * 150, "a\u202eb", "\u202e", "e\u0301", "\u00e9", "Run", "run", "RUN", "~", "~root",
    "~/x", "-rf", "--help", "$HOME", "$(touch x)", "`touch x`", "; touch x", "a;b", "a|b", "a&b", "a>b",
    "a*", "?", "[a]", "{a,b}", "a\nb", "a\rb", "a\tb", "\x7f", "\x1b[31m", "", " ", "configs", "stats",
    "Configs", "checkpoints", "best", ".part-1", ".deleted-1", ".nfs1", "a.yaml", "a.zarr", "0.epoch",
    "manifest.json", "__init__", "a:1", "a:1:2", ":", "a:", "\ud800", "\ufeffa", "\u200b", "a\u200bb",
    "\u2215", "\uff0e\uff0e", "\u2024\u2024", "\uff0f", "\u3002", "🧠",
]  # fmt: skip
alphabet = st.sampled_from(list("./\\%~:$-_ a1\0\n\u202e\u2215\uff0e")) | st.characters(exclude_categories=[])
names = st.lists(alphabet, min_size=1, max_size=12).map("".join)
settle = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def use(root: Path, name: str) -> int:
    """Do everything that takes a name with it; return how much of it was refused."""
    backend = FileBackend(root)
    configs, stats, weights = ConfigStore(backend), StatsStore(backend), WeightsStore(backend)
    arrays = LocalArrayStore(root)
    acts = [
        lambda: configs.store("tasks", task(1, name)),
        lambda: configs.store_run_config(run_config(name)),
        lambda: stats.store_training_stats(name, stats_of(0, 3)),
        lambda: stats.store_validation_iteration_scores(name, scores_at(1)),
        lambda: weights.store_weights(name, 5, weights_of(1.0)),
        lambda: weights.store_best(name, 5, name, name, 0.5),
        lambda: (arrays.snapshot_container(name).container / "x").mkdir(parents=True),
        lambda: configs.retrieve_run_config(name),
        lambda: weights.retrieve_weights(name),
        lambda: weights.retrieve_best(name, name, name),
        lambda: arrays.validation_prediction_array(name, 1, name),
        lambda: arrays.delete(name),
        lambda: weights.delete(name),
        lambda: stats.delete_training_stats(name),
        lambda: configs.delete_task_config(name),
    ]
    refused = 0
    for act in acts:
        try:
            act()
        except DacapoError:
            refused += 1
    return refused


def outside(folder: Path) -> list[str]:
    """Return what lies beside the store, or is reached from it by a way that leads out."""
    root = (folder / "runs").resolve()
    beside = [path.name for path in folder.iterdir() if path.name != "runs"]
    return beside + [str(path) for path in root.rglob("*") if not path.resolve().is_relative_to(root)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names")


@pytest.mark.parametrize("name", FIXED)
def test_the_usual_tricks_stay_inside(folder: Path, name: str):
    refused = use(folder / "runs", name)
    assert outside(folder) == []
    if any(c in name for c in '/\\\0$%;|&*?`"\n\r\t\u202e') or name in (".", "..", "", " "):
        assert refused >= 14


@settle
@given(names)
def test_any_name_stays_inside(folder: Path, name: str):
    use(folder / "runs", name)
    assert outside(folder) == []


@pytest.mark.parametrize("place", ["run", "run/checkpoints", "stats/runs/run"])
def test_what_a_link_leads_to_is_not_deleted(tmp_path: Path, place: str):
    """Labs put links into stores; deleting a run removes the link, and not what others keep there."""
    root, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (root / place).parent.mkdir(parents=True)
    (root / place).symlink_to(elsewhere)
    backend = FileBackend(root)
    with suppress(DacapoError):
        StatsStore(backend).delete_training_stats("run")
    with suppress(DacapoError):
        WeightsStore(backend).delete("run")
    assert (elsewhere / "precious").read_text() == "x"


CLIENT = """
import json, sys
sys.path.insert(0, {tests!r})
from scripted import task
from dacapo.errors import DuplicateNameError
from dacapo.store.config_store import ConfigStore
from dacapo.store.files import FileBackend
from dacapo.store.mongo import MongoBackend
backend = FileBackend({root!r}) if not {uri!r} else MongoBackend({uri!r}, {database!r})
store, me, won, told = ConfigStore(backend), int(sys.argv[1]), [], 0
print("ready", flush=True)
sys.stdin.readline()
for number in range({names}):
    store.store("tasks", task(7, f"same{{number}}"))  # equal content is fine for all
    try:
        store.store("tasks", task(me + 1, f"name{{number}}"))
        won.append(number)
    except DuplicateNameError as error:
        assert "embedding_dims" in str(error), error
        told += 1
print(json.dumps([won, told]), flush=True)
"""


def contest(
    processes: int, names: int, root: Path | None, place: MongoPlace | None
) -> list[tuple[list[int], int]]:
    """Let processes give the same names to different contents at once; return what each was told."""
    code = CLIENT.format(
        tests=str(Path(__file__).parent.parent),
        root=str(root),
        uri=place.uri if place else "",
        database=place.name if place else "",
        names=names,
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for one in running:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return [tuple(json.loads(one.communicate(timeout=300)[0])) for one in running]


def one_winner_each(told: list[tuple[list[int], int]], names: int, store: ConfigStore) -> None:
    """Check that every name has one winner, that its content is kept, and that all others were told."""
    winners = {number: me for me, (won, _) in enumerate(told) for number in won}
    assert sum(len(won) for won, _ in told) == len(winners) == names
    assert all(len(won) + lost == names for won, lost in told)
    for number, me in winners.items():
        assert store.retrieve("tasks", f"name{number}").embedding_dims == me + 1
    assert len(store.names("tasks")) == 2 * names


def backends(
    tmp_path: Path, mongo: MongoPlace
) -> Iterator[tuple[Path | None, MongoPlace | None, ConfigStore]]:
    yield tmp_path / "runs", None, ConfigStore(FileBackend(tmp_path / "runs"))
    yield None, mongo, ConfigStore(MongoBackend(mongo.uri, mongo.name))


@pytest.mark.parametrize("where", ["files", "mongo"])
def test_a_name_belongs_to_one_content(tmp_path: Path, mongo: MongoPlace, where: str):
    root, place, store = dict(zip(("files", "mongo"), backends(tmp_path, mongo), strict=True))[where]
    one_winner_each(contest(4, 15, root, place), 15, store)


def test_iterations_are_no_way_out(tmp_path: Path):
    weights, arrays = WeightsStore(FileBackend(tmp_path / "runs")), LocalArrayStore(tmp_path / "runs")
    for wrong in ("../../../x", "1", -1, 1.5, None, True):
        with pytest.raises(InvalidRequest, match="an iteration should be a number"):
            weights.store_weights("run", wrong, weights_of(1.0))  # type: ignore[arg-type]
        if wrong != -1:
            with pytest.raises(InvalidRequest, match="an iteration should be a number"):
                arrays.validation_prediction_array("run", wrong, "crop")  # type: ignore[arg-type]
    weights.store_weights("run", 1, weights_of(1.0))
    with pytest.raises(InvalidName, match="a dataset should be given as a text"):
        weights.store_best("run", 1, {"$ne": 1}, "dice")
    with pytest.raises(InvalidName, match="a criterion should be given as a text"):
        weights.store_best("run", 1, "crop", {"$ne": 1})  # type: ignore[arg-type]
    assert outside(tmp_path) == ["home"]
