"""``dacapo store check``: what is broken, left over or half done."""

from __future__ import annotations

import click

from .tables import json_option, show_json


@click.command()
@click.option("--repair", is_flag=True, help="Repair what can be repaired without a loss.")
@click.option("--deep", is_flag=True, help="Also read every checkpoint, all stats and all scores.")
@json_option
@click.pass_context
def check(ctx: click.Context, repair: bool, deep: bool, as_json: bool) -> None:
    """Say what is broken, left over or half done in the stores, a line each.

    Ends with exit code 1 if anything is found that is not repaired.
    """
    # Imported here: the list of commands must not wait for numpy.
    from dacapo.store import check as checking
    from dacapo.store.create_store import create_stores

    rows = []
    for one in checking.check(create_stores(), deep=deep):
        repaired = repair and one.repair is not None
        if one.repair is not None and repair:
            one.repair()
        rows.append({"about": one.about, "problem": one.problem, "remedy": one.remedy, "repaired": repaired})
        if not as_json:
            click.echo(f"{one.about}: {one.problem}; {'repaired' if repaired else one.remedy}")
    if as_json:
        show_json(rows)
    elif not rows:
        click.echo("nothing is wrong", err=True)
    ctx.exit(0 if all(row["repaired"] for row in rows) else 1)
