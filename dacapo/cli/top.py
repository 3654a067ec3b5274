"""``dacapo top``: which runs of all are best by a score.

What opens a store is imported inside the command: the list of commands must not wait for numpy.
"""

from __future__ import annotations

from typing import Any

import click

from .listing import query_of, run_filters
from .tables import json_option, show

COLUMNS = ("place", "run", "value", "dataset", "criterion", "iteration", "parameters")


@click.command()
@click.argument("criterion")
@click.option(
    "--dataset", help="Only by scores on this dataset; else that of the datasets on which a run is best."
)
@click.option(
    "--count", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs to show."
)
@run_filters
@json_option
def top(
    criterion: str, dataset: str | None, count: int, archived: bool, tags: tuple[str, ...], as_json: bool,
    **asked: Any,
) -> None:  # fmt: skip
    """Show which of all runs are best by a score, the best first.

    CRITERION is a score of one channel, such as mito__f1_score, or of every channel, such as f1_score.
    A run is in the list once, with the best that it reached.
    """
    from dacapo.store.create_store import create_stats_store

    found = create_stats_store().best_runs(
        criterion, dataset, count, query_of(asked), tags, archived=archived
    )
    rows = [
        (place, one.run, one.value, one.dataset, one.criterion, one.iteration, one.parameters)
        for place, one in enumerate(found, 1)
    ]
    show(COLUMNS, rows, as_json, nothing=f"none of these runs is scored by {criterion}; see  dacapo run list")
