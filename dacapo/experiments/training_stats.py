"""What happened in training, iteration by iteration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dacapo.errors import InvalidRequest

if TYPE_CHECKING:
    import xarray

_ALWAYS = ("loss", "time")


@attrs.frozen
class TrainingIterationStats:
    """The loss of one iteration, the seconds it took, and whatever else was measured."""

    iteration: int
    loss: float
    time: float
    metrics: Mapping[str, float] = attrs.field(factory=dict, hash=False)


class TrainingStats:
    """The stats of a run's iterations, kept as columns.

    Iterations always increase.  A repeated or earlier iteration replaces everything from
    there on: that is what training again from a checkpoint means.
    """

    def __init__(self, iteration_stats: Iterable[TrainingIterationStats] = ()) -> None:
        self._size = 0
        self._iterations = np.empty(0, np.int64)
        self._columns: dict[str, NDArray[np.float64]] = {name: np.empty(0) for name in _ALWAYS}
        self._cuts: list[int] = []
        for stats in iteration_stats:
            self.add_iteration_stats(stats)

    @classmethod
    def of(cls, iterations: ArrayLike, columns: Mapping[str, ArrayLike]) -> TrainingStats:
        """Make stats of columns; see ``append``."""
        stats = cls()
        stats.append(iterations, columns)
        return stats

    def __len__(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrainingStats):
            return NotImplemented
        mine, theirs = self.columns, other.columns
        return (
            np.array_equal(self.iterations, other.iterations)
            and mine.keys() == theirs.keys()
            and all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in mine)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<TrainingStats of {self._size} iterations, until {self.trained_until()}>"

    @property
    def iterations(self) -> NDArray[np.int64]:
        """The numbers of the iterations, increasing; read-only."""
        return _sealed(self._iterations[: self._size])

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Every metric by name, one value an iteration, NaN where it was not measured; read-only."""
        return {name: _sealed(column[: self._size]) for name, column in self._columns.items()}

    @property
    def iteration_stats(self) -> Sequence[TrainingIterationStats]:
        """The same numbers, one object an iteration, made when asked for."""
        return _Rows(self)

    @property
    def last(self) -> TrainingIterationStats | None:
        """The stats of the newest iteration."""
        return self.iteration_stats[-1] if self._size else None

    def add_iteration_stats(self, iteration_stats: TrainingIterationStats) -> None:
        """Add one iteration; from a repeated or earlier one on, all others go first."""
        iteration = iteration_stats.iteration
        if iteration < 0:
            raise InvalidRequest(f"there is no iteration {iteration}: they count from 0; give one that does")
        if self._size and iteration <= self._iterations[self._size - 1]:
            self.delete_after(iteration)
        self._reserve(1, iteration_stats.metrics)
        at = self._size
        self._iterations[at] = iteration
        for name, column in self._columns.items():
            column[at] = iteration_stats.metrics.get(name, np.nan)
        self._columns["loss"][at] = iteration_stats.loss
        self._columns["time"][at] = iteration_stats.time
        self._size = at + 1

    def append(self, iterations: ArrayLike, columns: Mapping[str, ArrayLike]) -> None:
        """Add many iterations at once; what there was from the first of them on goes.

        ``iterations`` has to increase, and every column to have one value for each.
        """
        new = np.asarray(iterations, np.int64)
        values = {name: np.asarray(column, np.float64) for name, column in columns.items()}
        odd = [name for name, column in values.items() if column.shape != new.shape]
        if new.ndim != 1 or (new[1:] <= new[:-1]).any() or (new[:1] < 0).any() or odd:
            reason = f"{odd[0]} has another length" if odd else "the iterations do not increase from 0 on"
            raise InvalidRequest(
                f"these training stats cannot be added: {reason}; give one value an iteration, "
                "sorted by iteration"
            )
        if not len(new):
            return
        self.delete_after(int(new[0]))
        self._reserve(len(new), values)
        rows = slice(self._size, self._size + len(new))
        self._iterations[rows] = new
        for name, column in self._columns.items():
            column[rows] = values.get(name, np.nan)
        self._size = rows.stop

    def delete_after(self, iteration: int) -> None:
        """Keep only what came before ``iteration``; itself goes too."""
        kept = int(np.searchsorted(self._iterations[: self._size], iteration))
        if kept < self._size:
            self._cuts.append(int(iteration))
        self._size = kept

    def cut_since(self, mark: int) -> tuple[int, int | None]:
        """Return the earliest iteration taken back after ``mark``, and the mark to ask with next time.

        Stores ask, so that taking back is told from never having had.
        """
        return len(self._cuts), min(self._cuts[mark:], default=None)

    def at(self, iteration: int) -> TrainingIterationStats | None:
        """Return the stats of one iteration, or None."""
        index = int(self._iterations[: self._size].searchsorted(iteration))
        found = index < self._size and self._iterations[index] == iteration
        return self._row(index) if found else None

    def _row(self, at: int) -> TrainingIterationStats:
        values = {name: float(column[at]) for name, column in self._columns.items()}
        loss, time = values.pop("loss"), values.pop("time")
        metrics = {name: value for name, value in values.items() if value == value}
        return TrainingIterationStats(int(self._iterations[at]), loss, time, metrics)

    def since(self, iteration: int) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """Return the iterations from ``iteration`` on and their columns, as views."""
        rows = slice(self._iterations[: self._size].searchsorted(iteration), self._size)
        columns = {name: _sealed(column[rows]) for name, column in self._columns.items()}
        return _sealed(self._iterations[rows]), columns

    def trained_until(self) -> int:
        """Return the iteration that comes next: one more than the last, or 0."""
        return int(self._iterations[self._size - 1]) + 1 if self._size else 0

    def to_xarray(self, metric: str = "loss") -> xarray.DataArray:
        """Return one metric over the dimension ``iterations``."""
        # Imported here: it costs 0.4 s, and training never needs it.
        import xarray

        if metric not in self._columns:
            raise InvalidRequest(f"there is no metric {metric}; there are {', '.join(self._columns)}")
        coords = {"iterations": self.iterations.copy()}
        return xarray.DataArray(self.columns[metric].copy(), coords, ("iterations",), name=metric)

    def _reserve(self, count: int, names: Iterable[str]) -> None:
        """Make room for ``count`` more rows, doubling, so that adding stays cheap."""
        for name in names:
            if name not in self._columns:
                self._columns[name] = np.full(len(self._iterations), np.nan)
        if (needed := self._size + count) > len(self._iterations):
            capacity = max(needed, 2 * len(self._iterations), 64)
            self._iterations = _longer(self._iterations, capacity, self._size)
            self._columns = {
                name: _longer(column, capacity, self._size) for name, column in self._columns.items()
            }


def _longer(column: NDArray[Any], capacity: int, size: int) -> NDArray[Any]:
    longer = np.empty(capacity, column.dtype)
    longer[:size] = column[:size]
    return longer


class _Rows(Sequence[TrainingIterationStats]):
    """Training stats as a list of one object an iteration."""

    def __init__(self, stats: TrainingStats) -> None:
        self._stats = stats

    def __len__(self) -> int:
        return len(self._stats)

    @overload
    def __getitem__(self, index: int) -> TrainingIterationStats: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrainingIterationStats]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return self._stats._row(range(len(self))[index])

    def __iter__(self) -> Iterator[TrainingIterationStats]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))


def _sealed(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
