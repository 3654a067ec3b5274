"""``dacapo store copy``, ``dacapo export`` and ``dacapo import``: experiments on their way elsewhere.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .tables import json_option, show, show_json

if TYPE_CHECKING:
    from dacapo.store.copying import Copied

WEIGHTS = ("all", "best", "latest", "none")
dry_run_option = click.option("--dry-run", is_flag=True, help="Compare, say what is missing, write nothing.")


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option(
    "--runs",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Only runs that fit, such as 'mito-*'; may be given several times.",
)
@dry_run_option
@json_option
@click.pass_context
def copy(
    ctx: click.Context, source: str, target: str, patterns: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Copy runs and configs from SRC to DST.

    Each is an options file (dacapo.yaml), the folder of a file store, or
    mongodb://host:27017/database.  Only what is missing is written, so an interrupted copy is
    gone on with by the same command.  What is there and different is refused.
    """
    from dacapo.store.copying import copy as copy_all
    from dacapo.store.place import open_place

    timeout = ctx.find_root().params.get("timeout")
    here, there = open_place(source, timeout=timeout), open_place(target, new=True, timeout=timeout)
    click.echo(f"from {here}\nto {there}", err=True)
    _report(copy_all(here, there, patterns, dry_run=dry_run), as_json)


@click.command("export")
@click.argument("run", metavar="RUN")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS),
    default="all",
    show_default=True,
    help="Which checkpoints go along; best are those that are best by any score.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@json_option
def export_run(run: str, file: Path, weights: str, overwrite: bool, as_json: bool) -> None:
    """Write a run with its config, stats, scores, best records and checkpoints into FILE.

    Volumes do not go along.  `dacapo import` reads FILE.
    """
    from dacapo.names import find_run
    from dacapo.store.archive import export_run as write
    from dacapo.store.place import place_of
    from dacapo.store.run_content import StoredRun

    place = place_of()
    key = find_run(run, lambda prefix: place.documents.keys("runs", prefix))
    row = {"run": str(key), **write(StoredRun(place, key), file, weights, overwrite=overwrite)}
    show_json(row) if as_json else show(tuple(row), [tuple(row.values())], as_json)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--as", "name", metavar="NAME", help="Call the run NAME, or NAME:REPETITION.")
@dry_run_option
@json_option
def import_run(file: Path, name: str | None, dry_run: bool, as_json: bool) -> None:
    """Read the run that `dacapo export` wrote into FILE.

    All of it is checked first, and the run is listed once it is whole.  An interrupted import
    is gone on with by the same command.
    """
    from dacapo.names import run_key
    from dacapo.store.archive_reading import opened_archive
    from dacapo.store.copying import copy_run
    from dacapo.store.place import place_of

    place = place_of()
    with opened_archive(file) as content:
        key = content.key if name is None else run_key(name)
        click.echo(f"run {content.key} of {file} goes to {place} as {key}", err=True)
        _report([copy_run(content, place, key, dry_run=dry_run)], as_json)


def _report(rows: Iterable[Copied], as_json: bool) -> None:
    """Show what was copied; if anything was refused, say why at the end."""
    from dacapo.store.copying import COUNTED, MEGABYTE, refused

    done = []
    for row in rows:
        done.append(row)
        click.echo(f"{row.what}: {row.state}", err=True)
    columns = ("what", "state", *COUNTED, "MB")
    table = [
        (one.what, one.state, *(one.counts[name] for name in COUNTED), one.size / MEGABYTE) for one in done
    ]
    show(columns, table, as_json, nothing="there is nothing to copy")
    if error := refused(done):
        raise error
