"""``dacapo store roles``: what people may do in a database.

MongoDB's driver is imported inside the commands: the list of commands must not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dacapo.errors import InvalidOptions, InvalidRequest
from dacapo.options import Options

from .tables import json_option, show_json

if TYPE_CHECKING:
    from dacapo.store.backend import StoreBackend


@click.command()
@json_option
def roles(as_json: bool) -> None:
    """Print the roles viewer, trainer and admin of a MongoDB database, to run in mongosh.

    With --json as MongoDB's createRole takes them.  dacapo store init --roles makes them, for
    accounts with the right userAdmin.
    """
    from dacapo.store.mongo import roles as ready_made

    name = Options.instance().mongo_db_name
    if not name:
        raise InvalidOptions(
            "roles belong to a database, and the option mongo_db_name is not set; add it to dacapo.yaml or "
            "set DACAPO_MONGO_DB_NAME"
        )
    if as_json:
        show_json(ready_made.definitions(name))
    else:
        click.echo(ready_made.script(name))


def make_roles(backend: StoreBackend) -> None:
    """Make the roles in the database of a backend, and say what each is for."""
    from dacapo.store.mongo import MongoBackend

    if not isinstance(backend, MongoBackend):
        raise InvalidRequest(f"{backend.place} knows no roles; only a store of type mongo does")
    for line in backend.make_roles():
        click.echo(line)
