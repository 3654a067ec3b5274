"""What validation measured, labelled so that the numbers keep their meaning."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from dacapo.errors import InvalidRequest

from .score_labels import Directions, ScoreLabels

if TYPE_CHECKING:
    import xarray


@attrs.frozen
class ValidationIterationScores:
    """The scores of one iteration: a number for each dataset, parameter set and criterion.

    With labels they find their place among scores that are labelled in another order.
    """

    iteration: int
    scores: list[list[list[float]]]
    labels: ScoreLabels | None = attrs.field(default=None, eq=False, repr=False)

    def array(self, labels: ScoreLabels) -> NDArray[np.float64]:
        """Return the scores in the order of ``labels``, NaN where there is none."""
        own = self.labels or labels
        try:
            given = np.array(self.scores, np.float64)
        except (TypeError, ValueError):  # ragged
            given = np.empty(())
        if given.shape != own.shape and (given.size or 0 not in own.shape):
            raise InvalidRequest(
                f"the scores of iteration {self.iteration} should be nested "
                f"datasets x parameters x criteria = {' x '.join(map(str, own.shape))}; fill up with NaN "
                "what could not be scored"
            )
        given = given.reshape(own.shape)
        if own.axes == labels.axes:
            return given
        source, target = labels.places(own)
        values = np.full(labels.shape, np.nan)
        values[np.ix_(*target)] = given[np.ix_(*source)]
        return values


@attrs.frozen
class Best:
    """The best value of one criterion on one dataset, and where it was reached."""

    iteration: int
    parameters: Any
    value: float


class ValidationScores:
    """The scores of a run's validated iterations, labelled and sorted.

    ``parameters`` are the post-processor's parameter sets, ``datasets`` the validation
    datasets (or their names), ``evaluation_scores`` tells criteria and their directions.
    An iteration that is validated again replaces its older scores; older iterations may
    be added later.  Parameter sets that are new to the labels, because they were searched, join them.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        datasets: Iterable[Any],
        evaluation_scores: Any,
        scores: Iterable[ValidationIterationScores] = (),
    ) -> None:
        self.parameters = list(parameters)
        self.datasets = list(datasets)
        self.evaluation_scores = evaluation_scores
        self.labels = ScoreLabels.of(self.datasets, self.parameters, evaluation_scores)
        self._journal: list[int] = []
        self.scores = scores

    @classmethod
    def labelled(
        cls, labels: ScoreLabels, scores: Iterable[ValidationIterationScores] = ()
    ) -> ValidationScores:
        """Make scores from labels alone, without any component."""
        made = cls.__new__(cls)
        made.parameters, made.datasets = list(labels.parameters), list(labels.datasets)
        made.evaluation_scores = Directions(labels.criteria)
        made.labels = labels
        made._journal = []
        made.scores = scores
        return made

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        sizes = " x ".join(map(str, self.labels.shape))
        return f"<ValidationScores of {len(self)} iterations, {sizes} each>"

    @property
    def iterations(self) -> list[int]:
        """The validated iterations, increasing."""
        return sorted(self._arrays)

    @property
    def scores(self) -> list[ValidationIterationScores]:
        """The scores of every validated iteration, increasing."""
        return [self.of_iteration(iteration) for iteration in self.iterations]

    @scores.setter
    def scores(self, scores: Iterable[ValidationIterationScores]) -> None:
        given = list(scores)
        self._arrays: dict[int, NDArray[np.float64]] = {}
        for one in given:
            self.add_iteration_scores(one)

    @property
    def criteria(self) -> list[str]:
        """The names of the criteria."""
        return [criterion.name for criterion in self.labels.criteria]

    @property
    def dataset_names(self) -> list[str]:
        """The names of the datasets."""
        return list(self.labels.datasets)

    @property
    def parameter_names(self) -> list[str]:
        """The parameter sets in words."""
        return list(self.labels.parameter_names)

    @property
    def array(self) -> NDArray[np.float64]:
        """All scores: iterations x datasets x parameters x criteria."""
        arrays = [self._arrays[iteration] for iteration in self.iterations]
        return np.stack(arrays) if arrays else np.empty((0, *self.labels.shape))

    def of_iteration(self, iteration: int) -> ValidationIterationScores:
        """Return the scores of one iteration."""
        if iteration not in self._arrays:
            raise InvalidRequest(
                f"iteration {iteration} has not been validated; these have: {self.iterations}"
            )
        return ValidationIterationScores(iteration, self._arrays[iteration].tolist(), self.labels)

    def subscores(self, iteration_scores: Iterable[ValidationIterationScores]) -> ValidationScores:
        """Return scores of the same labels for other iterations."""
        return type(self).labelled(self.labels, iteration_scores)

    def add_iteration_scores(self, iteration_scores: ValidationIterationScores) -> None:
        """Add the scores of an iteration, in place of those it may have had."""
        if iteration_scores.labels is not None:
            self._widen(iteration_scores.labels.parameters)
        self._arrays[iteration_scores.iteration] = iteration_scores.array(self.labels)
        self._journal.append(iteration_scores.iteration)

    def _widen(self, parameters: Iterable[Any]) -> None:
        """Give the labels those parameter sets that they lack; earlier iterations have NaN there."""
        news = [one for one in parameters if str(one) not in self.labels.parameter_names]
        if news:
            self.labels = attrs.evolve(self.labels, parameters=(*self.labels.parameters, *news))
            more = ((0, 0), (0, len(news)), (0, 0))
            self._arrays = {
                iteration: np.pad(array, more, constant_values=np.nan)
                for iteration, array in self._arrays.items()
            }

    def added_since(self, mark: int) -> tuple[int, list[int]]:
        """Return the iterations added after ``mark``, and the mark to ask with next time."""
        added = dict.fromkeys(self._journal[mark:])
        return len(self._journal), [iteration for iteration in added if iteration in self._arrays]

    def delete_after(self, iteration: int) -> None:
        """Keep only what came before ``iteration``; itself goes too."""
        self._arrays = {one: array for one, array in self._arrays.items() if one < iteration}

    def validated_until(self) -> int:
        """Return one more than the last validated iteration, or 0."""
        return max(self._arrays, default=-1) + 1

    def compare(self, existing: Iterable[ValidationIterationScores]) -> tuple[bool, int]:
        """Say whether ``existing`` goes further than these, and where it ends."""
        until = max((scores.iteration for scores in existing), default=-1) + 1
        return until > self.validated_until(), until

    def best(self, dataset: str, criterion: str, among: Collection[int] | None = None) -> Best | None:
        """Return the best value on a dataset, with its iteration and parameters.

        Only the iterations ``among`` those given count, if they are; of equal values the earliest.
        None if there is no value but NaN.
        """
        at = self._position("dataset", self.labels.datasets, dataset)
        which = self._position("criterion", tuple(self.criteria), criterion)
        iterations = [one for one in self.iterations if among is None or one in among]
        values = np.array([self._arrays[one][at, :, which] for one in iterations])
        found = self.labels.criteria[which].best_of(values)
        if found is None:
            return None
        row, column = divmod(found, values.shape[1])
        return Best(iterations[row], self.labels.parameters[column], float(values[row, column]))

    def _position(self, what: str, labels: tuple[str, ...], label: str) -> int:
        if label not in labels:
            raise InvalidRequest(f"there is no {what} {label} among the scores; there are {labels}")
        return labels.index(label)

    def to_xarray(self) -> xarray.DataArray:
        """Return all scores over iterations, datasets, parameters and criteria."""
        # Imported here: it costs 0.4 s, and validation never needs it.
        import xarray

        axes = dict(zip(("datasets", "parameters", "criteria"), map(list, self.labels.axes), strict=True))
        return xarray.DataArray(self.array, {"iterations": self.iterations, **axes}, ("iterations", *axes))

    def get_best(self, data: xarray.DataArray, dim: str) -> tuple[xarray.DataArray, xarray.DataArray]:
        """Return where along ``dim`` each criterion is best, and the value there.

        ``data`` comes from ``to_xarray`` and still has its criteria.  NaN never wins; where
        there is nothing else, both are NaN.
        """
        if "criteria" not in data.coords:
            raise InvalidRequest("the best score can only be told with the criteria; keep them in data")
        if not data.sizes[dim]:
            raise InvalidRequest(f"nothing along {dim} to find the best of; validate first")
        # Imported here: see to_xarray.
        import xarray

        if "criteria" not in data.dims:
            return self._best_along(data, dim, str(data.coords["criteria"].item()))
        names = [str(name) for name in data.coords["criteria"].values]
        found = [self._best_along(data.sel(criteria=name), dim, name) for name in names]
        order = [other for other in data.dims if other != dim]
        indexes, scores = (xarray.concat(parts, "criteria") for parts in zip(*found, strict=True))
        return indexes.transpose(*order), scores.transpose(*order)

    def _best_along(
        self, data: xarray.DataArray, dim: str, name: str
    ) -> tuple[xarray.DataArray, xarray.DataArray]:
        criterion = self.labels.criteria[self._position("criterion", tuple(self.criteria), name)]
        if criterion.higher_is_better:
            return data.idxmax(dim), data.max(dim)
        return data.idxmin(dim), data.min(dim)
