"""``dacapo train``, ``validate`` and ``predict``.

The verbs are imported inside the commands: the list of commands must not wait for numpy and torch.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import click

from .commands import Option, Verb, argument
from .reading import score_table
from .tables import json_option, show

iteration_option = click.option(
    "-i",
    "--iteration",
    required=True,
    help="A checkpoint: its iteration, latest, best, or 'best <dataset>/<criterion>'.",
)
device_option = click.option("--device", help="The torch device, such as cpu or cuda:1.")


@click.command(cls=Verb)
@argument("run", "-r", "--run-name")
@click.option("--no-validation", is_flag=True, help="Leave out the validations.")
@click.option("--no-snapshots", is_flag=True, help="Leave out the snapshots.")
@device_option
def train(run: str, no_validation: bool, no_snapshots: bool, device: str | None) -> None:
    """Train a run, going on where it left off.

    RUN is NAME, or NAME:REPETITION.  SIGTERM, SIGUSR1 and Ctrl-C make it write a checkpoint
    after the current iteration and leave with exit code 75: train again to go on.
    """
    from dacapo.train import train as train_run_of_name

    train_run_of_name(run, not no_validation, save_snapshots=not no_snapshots, device=device)


@click.command(cls=Verb)
@argument("run", "-r", "--run-name")
@iteration_option
@click.option("-w", "--num-workers", type=int, hidden=True, help="Does nothing any more.")
@click.option("-dt", "--output-dtype", hidden=True, help="Does nothing any more.")
@click.option("-ow", "--overwrite", is_flag=True, hidden=True, help="Does nothing any more.")
@click.option("--search", metavar="CRITERION", help="Go on and search the parameters that are best by it.")
@click.option("--trials", type=int, default=50, show_default=True, help="How many a search tries.")
@click.option("--seconds", type=float, help="How long a search goes on at most.")
@device_option
@json_option
def validate(
    run: str,
    iteration: str,
    search: str | None,
    trials: int,
    seconds: float | None,
    device: str | None,
    as_json: bool,
    **ignored: Any,
) -> None:
    """Validate a checkpoint of a run: score it under every set of parameters, and keep the scores.

    A search needs  pip install 'dacapo[search]'  and looks between the least and the greatest values
    of the sets.
    """
    from dacapo.search import Search
    from dacapo.store.create_store import create_stats_store
    from dacapo.validate import validate as validate_run_of_name

    sought = None if search is None else Search(search, trials, seconds)
    validated = validate_run_of_name(run, iteration, device=device, search=sought).iteration
    scores = create_stats_store().retrieve_validation_scores(run)
    if as_json:
        axes = (scores.labels.datasets, scores.parameter_names, scores.criteria)
        values = scores.of_iteration(validated).array(scores.labels).ravel().tolist()
        rows = [(*place, value) for place, value in zip(product(*axes), values, strict=True)]
        show(("dataset", "parameters", "criterion", "value"), rows, as_json)
    else:
        show(*score_table(scores, validated), as_json)


@click.command(cls=Verb)
@argument("run", "-r", "--run-name")
@argument("input_container", "-ic", "--input-container")
@argument("input_dataset", "-id", "--input-dataset")
@argument("output", "-op", "--output-path")
@iteration_option
@click.option(
    "--roi",
    cls=Option,
    former=("-roi", "--output-roi"),
    help="The region, such as [0:800,0:400,0:400], in world units.  [default: all]",
)
@click.option(
    "--output-dtype",
    cls=Option,
    former=("-dt",),
    default="uint8",
    show_default=True,
    help="The type to write.",
)
@click.option(
    "--overwrite/--no-overwrite",
    cls=Option,
    former=("-ow",),
    help="Write over a prediction that is there already.",
)
@click.option("-w", "--num-workers", type=int, default=1, hidden=True, help="How many processes predict.")
@device_option
def predict(
    run: str, input_container: str, input_dataset: str, output: str, iteration: str, **options: Any
) -> None:
    """Predict a region of an array with a run.

    OUTPUT is a folder, in which <input name>.zarr/prediction_<run>_<iteration> is made, or a
    container ending in .zarr.  Prints where the prediction is.
    """
    from dacapo.predict import predict as predict_with_run

    array = predict_with_run(
        run, iteration, input_container, input_dataset, output, options.pop("roi"), **options
    )
    click.echo(array.name)
