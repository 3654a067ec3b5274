"""``dacapo run``: create, list, show, compare, mark, rename and delete runs.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

import click

from . import changing, kinds
from .commands import KindGroup
from .listing import list_runs
from .tables import json_option

run = KindGroup("runs", help="Create, list, show, compare, mark, rename and delete runs.")


@run.command("show")
@click.argument("name")
@json_option
def show_run(name: str, as_json: bool) -> None:
    """Print what is stored of a run and who holds it, in the form that  create  reads."""
    from dacapo.store.create_store import create_config_store, create_stats_store
    from dacapo.store.lease import held

    store = create_config_store()
    claim = create_stats_store().backend.newest_claim(store.find("runs", name))
    more = {} if claim is None or claim.released else {"held": [held(claim)]}
    kinds.show_document(kinds.with_remarks(store, "runs", name, **more), as_json)


for command in (*kinds.SHARED, list_runs, *changing.COMMANDS):
    run.add_command(command)
