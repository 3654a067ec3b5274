"""``dacapo store``: looking after the place where experiments are kept."""

from __future__ import annotations

import click

from .changing import empty_trash, trash
from .checking import check
from .commands import Group
from .moving import copy
from .store_roles import make_roles, roles
from .upgrading import import_legacy, upgrade


@click.group(cls=Group)
def store() -> None:
    """Look after the place where experiments are kept."""


@store.command()
@click.option("--roles", "with_roles", is_flag=True, help="Make the roles for people too.")
def init(with_roles: bool) -> None:
    """Make what the store needs, such as validators and indexes; it may be repeated."""
    # Imported here: the list of commands must not wait for numpy.
    from dacapo.store import ranking
    from dacapo.store.create_store import create_config_store

    backend = create_config_store().backend
    for line in backend.prepare():
        click.echo(line)
    if added := ranking.complete(backend):
        click.echo(f"{added} runs of earlier versions, to be found by  dacapo top")
    if with_roles:
        make_roles(backend)
    click.echo(f"ready: {backend.place}", err=True)


for command in (copy, trash, empty_trash, check, import_legacy, roles, upgrade):
    store.add_command(command)
