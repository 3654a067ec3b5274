"""``dacapo run``: create, list, show, mark, rename and delete runs.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

from pathlib import Path

import attrs
import click
import yaml

from . import changing, listing
from .commands import Group
from .tables import json_option, show_json


@click.group(cls=Group)
def run() -> None:
    """Create, list, show, mark, rename and delete runs."""


for command in (*listing.COMMANDS, *changing.COMMANDS):
    run.add_command(command)


@run.command()
@click.argument("file", type=click.Path(path_type=Path))
def create(file: Path) -> None:
    """Store the run that FILE describes, in YAML or JSON.

    Its task, architecture, trainer and datasplit are written out, or named if they are stored.
    """
    from dacapo.store.create_store import create_config_store

    from .run_file import read_run_file

    store = create_config_store()
    config = read_run_file(file, store)
    store.store_run_config(config)
    click.echo(config.key)


@run.command("show")
@click.argument("name", metavar="RUN")
@json_option
def show_run(name: str, as_json: bool) -> None:
    """Print what is stored of a run, in the form that  dacapo run create  reads."""
    from dacapo.documents import META
    from dacapo.store.create_store import create_config_store, create_stats_store
    from dacapo.store.lease import held

    store = create_config_store()
    document = store.retrieve_document("runs", name)
    claim = create_stats_store().backend.newest_claim(store.find("runs", name))
    said = {"tags": store.tags("runs", name), "notes": store.notes("runs", name)}
    # Among what the store knows, so that  dacapo run create  reads the whole.
    remarks = {what: [attrs.asdict(one) for one in found] for what, found in said.items() if found}
    if claim is not None and not claim.released:
        remarks["held"] = [held(claim)]
    document = document | {META: {**document.get(META, {}), **remarks}}
    if as_json:
        show_json(document)
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
