"""Every kind of file that the stores keep, damaged in many ways, and what may come of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from dacapo.errors import CorruptData, NewerFormat
from dacapo.store.config_store import ConfigStore
from dacapo.store.files import FileBackend
from dacapo.store.framed_log import Damage, scan
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import WeightsStore
from scripted import RUN, Session, run_config, task, weights_of

LAST, EARLIER = 10, 5


@attrs.frozen
class Kind:
    """A kind of file: where it is, and how what it holds is read in a new process."""

    name: str
    pattern: str
    read: Callable[[FileBackend], Any]
    is_log: bool = False

    def path(self, root: Path) -> Path:
        """Return the one file of this kind."""
        (path,) = root.glob(self.pattern)
        return path


def _stats(backend: FileBackend) -> list[tuple[int, float]]:
    stats = StatsStore(backend).retrieve_training_stats(RUN)
    return (
        list(zip(stats.iterations.tolist(), stats.columns["loss"].tolist(), strict=True))
        if len(stats)
        else []
    )


def _scores(backend: FileBackend) -> list[tuple[int, Any]]:
    scores = StatsStore(backend).retrieve_validation_iteration_scores(RUN)
    return [(one.iteration, one.scores) for one in scores]


def _weights(backend: FileBackend) -> Any:
    weights = WeightsStore(backend).retrieve_weights(RUN, LAST)
    assert weights.optimizer is not None
    return weights.model["x"].tolist(), weights.optimizer["step"], weights.optimizer["m"].tolist()


FOLDER = f"{RUN}/checkpoints/iterations/{LAST}"
KINDS = (
    Kind("config", "configs/tasks/task.yaml", lambda b: ConfigStore(b).retrieve("tasks", "task")),
    Kind("run config", f"configs/runs/{RUN}.yaml", lambda b: ConfigStore(b).retrieve_run_config(RUN)),
    Kind("stats log", f"stats/runs/{RUN}/0.iterations", _stats, is_log=True),
    Kind("scores log", f"stats/runs/{RUN}/0.scores", _scores, is_log=True),
    Kind("epoch", f"stats/runs/{RUN}/0.epoch", lambda b: StatsStore(b).epochs(RUN)),
    Kind("tensors of a model", f"{FOLDER}/model-*", _weights),
    Kind("tensors of an optimizer", f"{FOLDER}/optimizer-*", _weights),
    Kind("manifest", f"{FOLDER}/manifest.json", _weights),
    Kind("best", f"{RUN}/best/*.yaml", lambda b: WeightsStore(b).best(RUN)),
)


def fill(root: Path) -> FileBackend:
    """Keep a file of every kind, and two checkpoints."""
    session = Session(FileBackend(root))
    session.configs.store("tasks", task(3))
    session.configs.store_run_config(run_config())
    for until in range(4, 44, 4):
        session.train(until)
        session.score(until)
    for iteration in (EARLIER, LAST):
        session.weights.store_weights(RUN, iteration, weights_of(float(iteration)))
    session.weights.store_best(RUN, LAST, "crop", "dice", 0.5)
    return FileBackend(root)


def cuts(data: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    """Yield data cut at that many places, the very beginning among them."""
    for end in sorted(rng.sample(range(1, len(data)), count - 1)) + [0]:
        yield data[:end]


def flips(data: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    """Yield data with one byte changed to any other, at that many places."""
    for at in rng.sample(range(len(data)), count):
        damaged = bytearray(data)
        damaged[at] ^= rng.randint(1, 255)
        yield bytes(damaged)


def outcome(kind: Kind, path: Path, damaged: bytes, root: Path) -> str:
    """Damage a file and read it: return ``whole``, ``part`` or ``refused``; whatever is wrong raises."""
    data = path.read_bytes()
    expected = kind.read(FileBackend(root))
    path.write_bytes(damaged)
    try:
        found = kind.read(FileBackend(root))
        assert kind.is_log or found == expected, f"silently wrong: {found}"
        if found == expected:
            return "whole"
        assert found == _whole_batches(kind, data, damaged, expected), f"not every whole batch: {found}"
        return "part"
    except (CorruptData, NewerFormat) as error:
        text = str(error)
        assert path.name in text, f"does not name the file: {text}"
        assert any(word in text for word in ("delete", "use another", "mend", "pgrade")), text
        return "refused"
    finally:
        path.write_bytes(data)


def _whole_batches(kind: Kind, data: bytes, damaged: bytes, expected: list[Any]) -> list[Any]:
    """Return what the frames hold that no damage has touched."""
    kept, begin = [], 0
    for piece, end in scan(data, Path("log")):
        assert not isinstance(piece, Damage)
        if damaged[begin:end] == data[begin:end]:
            kept += [one for one in expected if piece.first <= one[0] <= piece.last]
        begin = end
    return sorted(kept)
