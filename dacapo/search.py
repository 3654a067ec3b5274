"""Searching for the post-processing parameters that score best, within a budget.

A task tries a grid; a search goes on from there, between its smallest and its largest values, and
from what earlier searches tried.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from .errors import InvalidRequest, MissingPlugin

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from .experiments.tasks.post_processors import PostProcessorParameters


@attrs.frozen
class Search:
    """What to search the best of, and for how long: trials, and seconds if they are given.

    ``criterion`` is the name of a score; its mean over the validation datasets counts.  The same
    seed and trials give the same parameter sets.
    """

    criterion: str
    trials: int = 50
    seconds: float | None = None
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        if self.trials < 1 or (self.seconds is not None and not self.seconds > 0):
            raise InvalidRequest(
                f"a search of {self.trials} trials in {self.seconds} seconds: should be 1 or more trials, "
                "and above 0 seconds, or None"
            )

    def over(
        self,
        grid: Sequence[PostProcessorParameters],
        score: Callable[[PostProcessorParameters], float],
        higher_is_better: bool,
    ) -> Iterator[PostProcessorParameters]:
        """Yield the given sets, and then those that are searched, each once it is scored.

        Those of a grid come first, in which all others lie.  The budget is for what is searched.
        Raises ``MissingPlugin`` without Optuna, ``InvalidRequest`` for a grid in which nothing varies.
        """
        optuna = _optuna()
        space = space_of(grid)
        values = {str(one): one for one in grid}
        with _quiet(optuna):
            study = optuna.create_study(
                direction="maximize" if higher_is_better else "minimize",
                # Who goes on should not draw again what was drawn before.
                sampler=optuna.samplers.TPESampler(seed=self.seed + len(values)),
            )
        known: dict[str, float] = {}
        for one in values.values():
            known[str(one)] = score(one)
            yield one
            if not math.isnan(known[str(one)]):
                chosen = {name: getattr(one, name) for name in space}
                study.add_trial(
                    optuna.create_trial(params=chosen, distributions=space, value=known[str(one)])
                )
        begun = time.monotonic()
        for _ in range(self.trials):
            if self.seconds is not None and time.monotonic() - begun > self.seconds:
                return
            trial = study.ask(space)
            chosen = {name: _rounded(value, space[name]) for name, value in trial.params.items()}
            one = grid[0].replace(id=len(known), **chosen)
            if str(one) not in known:  # otherwise it need not be tried again
                known[str(one)] = score(one)
                yield one
            if math.isnan(known[str(one)]):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, known[str(one)])


def space_of(grid: Sequence[PostProcessorParameters]) -> dict[str, BaseDistribution]:
    """Return the parameters that vary in a grid: numbers between the least and greatest, others as there."""
    distributions = _optuna().distributions
    space: dict[str, BaseDistribution] = {}
    for name in [f.name for f in attrs.fields(type(grid[0])) if f.init and f.name != "id"]:
        values = list(dict.fromkeys(getattr(one, name) for one in grid))
        kinds = {type(value) for value in values}
        if len(values) < 2:
            continue
        if kinds == {float}:
            space[name] = distributions.FloatDistribution(min(values), max(values))
        elif kinds == {int}:
            space[name] = distributions.IntDistribution(min(values), max(values))
        else:
            space[name] = distributions.CategoricalDistribution(values)
    if not space:
        raise InvalidRequest(
            f"nothing to search: {type(grid[0]).__name__} has one value for each parameter; give the least "
            "and the greatest in the sweep of the task, such as sweep={'min_size': [0, 500]}"
        )
    return space


def within(
    grid: Sequence[PostProcessorParameters], sets: Iterable[PostProcessorParameters]
) -> list[PostProcessorParameters]:
    """Return those sets that a search over a grid could try, and that are not in it."""
    space, names = space_of(grid), {str(one) for one in grid}

    def fits(one: PostProcessorParameters) -> bool:
        if type(one) is not type(grid[0]) or str(one) in names:
            return False
        chosen = {name: getattr(one, name) for name in space}
        inside = all(_lies_in(space[name], value) for name, value in chosen.items())
        return inside and one == grid[0].replace(id=one.id, **chosen)

    return [one for one in sets if fits(one)]


def _lies_in(values: Any, value: Any) -> bool:
    return value in values.choices if hasattr(values, "choices") else values.low <= value <= values.high


def _rounded(value: Any, values: Any) -> Any:
    """Return a number between others in four digits, enough to tell scores apart, and short in names."""
    if not isinstance(value, float) or hasattr(values, "choices"):
        return value
    return min(max(float(f"{value:.4g}"), values.low), values.high)


def _optuna() -> Any:
    try:
        import optuna  # comes with an extra
    except ImportError as error:
        raise MissingPlugin(
            "searching for parameters needs Optuna; install it with  pip install 'dacapo[search]'",
            kind="commands",
            name="validate",
        ) from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep a study from announcing itself."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
