"""``dacapo demo``: the whole way of an experiment, to watch."""

from __future__ import annotations

from pathlib import Path

import click

from .tables import table


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where everything goes.",
)
@click.option("--afresh", is_flag=True, help="Begin anew instead of going on with what is in the folder.")
def demo(folder: Path, afresh: bool) -> None:
    """Train, validate and apply a small network on a made-up volume, and write a report.

    Takes three to four minutes on two cores.  Once broken off, it goes on where it was.
    """
    # Imported here: the list of commands must not wait for torch.
    from dacapo.demo.demo import run_demo

    from .reading import score_table

    outcome = run_demo(folder, afresh, say=lambda what: click.echo(what, err=True))
    scores, best = outcome.scores, outcome.best
    columns, rows = score_table(scores, best.iteration)
    click.echo(f"\nscores of iteration {best.iteration}, the best checkpoint, on data never trained on\n")
    click.echo(table(columns, rows))
    click.echo(f"\nbest: iteration {best.iteration} with {best.parameters}, Dice {best.value:.3f}")
    click.echo(f"report: {outcome.report}")
    click.echo(f"look around:  cd {folder} && dacapo run list && dacapo best demo && dacapo stats demo")
