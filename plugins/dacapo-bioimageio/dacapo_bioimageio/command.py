"""``dacapo export-bioimageio``: a run as a package for the model zoo.

What does the work is imported inside the command: the list of commands must not wait for it.
"""

from __future__ import annotations

from pathlib import Path

import click

from dacapo.errors import InvalidRequest


@click.command("export-bioimageio")
@click.argument("run", metavar="RUN")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--iteration",
    "-i",
    default="latest",
    show_default=True,
    help="Whose weights: an iteration, latest, or what it is best by, such as mito__f1_score or crop/voi.",
)
@click.option(
    "--author", "authors", multiple=True, required=True, help="Who made it; may be given several times."
)
@click.option("--license", "license_id", default="MIT", show_default=True, help="A license by its SPDX id.")
@click.option("--cite", "cited", multiple=True, metavar="TEXT=DOI", help="What to cite, and its DOI or URL.")
@click.option("--description", default="", help="One sentence about the model.")
@click.option(
    "--documentation", type=click.Path(exists=True, path_type=Path), help="A Markdown file about it."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@click.option(
    "--check/--no-check", default=True, help="Let the official validator try the package.  [default: check]"
)
def export_bioimageio(
    run: str,
    file: Path,
    iteration: str,
    authors: tuple[str, ...],
    license_id: str,
    cited: tuple[str, ...],
    description: str,
    documentation: Path | None,
    overwrite: bool,
    check: bool,
) -> None:
    """Write the network of a run as a package FILE (.zip) for the BioImage.IO model zoo.

    The package holds the weights, how to make the network again, and a patch of the data to try it with.
    """
    from dacapo.experiments import Run
    from dacapo.store.create_store import create_config_store, create_weights_store

    from .package import About, export

    config = create_config_store().retrieve_run_config(run)
    made = Run(config, load_starter_model=False)
    made.ready("predict")
    weights = create_weights_store()
    number = weights.iteration_by(made, iteration)
    made.model.load_state_dict(weights.retrieve_weights(made, number, parts=("model",)).model)
    about = About(
        authors=authors,
        license=license_id,
        cite=[_cited(one) for one in cited],
        description=description,
        documentation=documentation.read_text() if documentation else "",
        iteration=number,
    )
    path = export(made, file, about, overwrite=overwrite, check=check)
    click.echo(f"{path}: run {run} at iteration {number}" + (", passed by the validator" if check else ""))


def _cited(one: str) -> tuple[str, str]:
    text, sign, where = one.rpartition("=")
    if not sign or not text or not where:
        raise InvalidRequest(f"--cite {one!r}: write TEXT=DOI, such as 'Doe et al. 2026=10.1234/abc'")
    return text, where
