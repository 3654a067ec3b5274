"""``dacapo store upgrade`` and ``import-legacy``: what earlier versions of DaCapo left.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

import click

from dacapo.errors import InvalidRequest


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
def upgrade(dry_run: bool) -> None:
    """Rewrite what earlier versions of DaCapo stored in the present format.

    They can be read without it.  No field is lost; the old data stays, in a database where it is,
    in a folder beside the new in .before-upgrade.  It may be interrupted, and repeated.
    """
    from dacapo.store.legacy.upgrade import upgrade as upgrade_place
    from dacapo.store.place import place_of

    place, count = place_of(), 0
    for line in upgrade_place(place, dry_run=dry_run):
        click.echo(line)
        count += 1
    if not count:
        click.echo(f"nothing to upgrade in {place}", err=True)
    elif dry_run:
        click.echo("nothing was changed; do it with  dacapo store upgrade", err=True)


@click.command("import-legacy")
@click.option(
    "--trust-pickles",
    is_flag=True,
    help="Needed: the stats are pickles, and you know who wrote them.  They are read as plain data all the "
    "same, and what would run anything is refused.",
)
def import_legacy(trust_pickles: bool) -> None:
    """Import the training stats and validation scores of an old file store.

    Earlier versions kept them as pickles, which ordinary reading leaves alone.  What was imported
    is moved to .before-upgrade.
    """
    if not trust_pickles:
        raise InvalidRequest(
            "the stats of old file stores are pickles, which can be made to run code; if you know who wrote "
            "these, say  dacapo store import-legacy --trust-pickles"
        )
    from dacapo.store.legacy.import_pickles import import_pickles
    from dacapo.store.place import place_of

    place, count = place_of(), 0
    for line in import_pickles(place):
        click.echo(line)
        count += 1
    if not count:
        click.echo(f"nothing to import in {place}", err=True)
