"""``dacapo plot``: a picture of how runs went.

What opens a store is imported inside the command: the list of commands must not wait for numpy.
"""

from __future__ import annotations

from pathlib import Path

import click

from dacapo.errors import InvalidRequest, NotFound

FORMATS = (".png", ".svg", ".pdf")


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--score", help="Such as mito__f1_score, or f1_score for that of every channel.")
@click.option("--dataset", help="Only scores on this dataset.")
@click.option(
    "--smooth",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Over how many iterations losses are averaged.",
)
@click.option("--no-loss", is_flag=True, help="Leave the losses out.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("runs.png"),
    show_default=True,
    help="The picture to write; its ending says how: .png, .svg or .pdf.",
)
def plot(
    runs: tuple[str, ...], score: str | None, dataset: str | None, smooth: int, no_loss: bool, output: Path
) -> None:
    """Draw losses and validation scores of runs, and print where the picture is.

    RUN without a repetition means all of them.  A star marks the best score of each run.
    """
    from dacapo.plot import draw, figure, get_runs_info

    if output.suffix.lower() not in FORMATS:
        raise InvalidRequest(f"{output}: a picture should end in one of {', '.join(FORMATS)}")
    if not output.absolute().parent.is_dir():
        raise NotFound(f"there is no folder {output.absolute().parent} to write {output.name} into")
    picture = figure()
    draw(get_runs_info(runs, score, not no_loss, dataset=dataset), picture, smooth)
    picture.savefig(output, dpi=150)
    click.echo(str(output))
