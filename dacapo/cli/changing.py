"""``dacapo run rename | delete | restore`` and the trash: what happens to a run as a whole.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from dacapo.errors import InvalidRequest

from .tables import json_option, show

if TYPE_CHECKING:
    from dacapo.store.changes import Stores


@click.command()
@click.argument("name", metavar="OLD")
@click.argument("new", metavar="NEW")
def rename(name: str, new: str) -> None:
    """Give a run another name; all that belongs to it moves along."""
    from dacapo.store.changes import rename_run
    from dacapo.store.create_store import create_stores
    from dacapo.store.listing import Query

    stores = create_stores()
    old = stores.configs.find("runs", name)
    click.echo(rename_run(name, new, stores))
    if starting := stores.configs.backend.find("runs", Query({"start": [old]})):
        named = ", ".join(key for key, _ in starting)
        click.echo(f"mind that these runs begin with weights of run {old}, by that name: {named}", err=True)


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--for-good", is_flag=True, help="Do not keep it in the trash.")
def delete(name: str, yes: bool, for_good: bool) -> None:
    """Put a run into the trash: its config, stats, scores, checkpoints and volumes."""
    from dacapo.store.changes import trash_run
    from dacapo.store.create_store import create_stores
    from dacapo.store.deletion import delete_run

    stores = create_stores()
    key = stores.configs.find("runs", name)
    click.echo(f"run {key}:", err=True)
    for line in _belongings(key, stores):
        click.echo(f"- {line}", err=True)
    if not yes and not sys.stdin.isatty():
        raise InvalidRequest(f"nobody is there to confirm; delete it with  dacapo run delete {name} --yes")
    if not yes and not click.confirm(f"Delete all of this{' for good' if for_good else ''}?", err=True):
        return
    if for_good:
        click.echo(f"deleted for good: {', '.join(delete_run(key, *stores))}", err=True)
    else:
        there = trash_run(key, stores)
        click.echo(f"it is in the trash as {there}; take it back with  dacapo run restore {key}", err=True)


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--as", "new", metavar="NAME", help="Under this name, if its own is taken meanwhile.")
def restore(name: str, new: str | None) -> None:
    """Take a run out of the trash: by its name the one deleted last, or by its key there."""
    from dacapo.store.changes import restore_run
    from dacapo.store.create_store import create_stores

    click.echo(restore_run(name, create_stores(), new))


@click.command()
@json_option
def trash(as_json: bool) -> None:
    """List what is in the trash."""
    from dacapo.store.changes import trashed
    from dacapo.store.create_store import create_config_store

    rows = [(one.run, one.by, one.at, one.key) for one in trashed(create_config_store())]
    show(("run", "deleted by", "at", "key"), rows, as_json, nothing="the trash is empty")


@click.command("empty-trash")
@click.option("--older-than", metavar="TIME", help="Only what was deleted longer ago, such as 30d.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def empty_trash(older_than: str | None, yes: bool) -> None:
    """Remove what is in the trash for good."""
    from dacapo.store import changes
    from dacapo.store.create_store import create_stores
    from dacapo.store.listing import moment

    stores, limit = create_stores(), moment(older_than)
    meant = [one for one in changes.trashed(stores.configs) if limit is None or one.at < limit]
    for one in meant:
        click.echo(f"- {one.run}, deleted by {one.by} at {one.at}", err=True)
    if meant and not yes and not sys.stdin.isatty():
        raise InvalidRequest("nobody is there to confirm; do it with  dacapo store empty-trash --yes")
    if meant and not yes and not click.confirm(f"Remove these {len(meant)} for good?", err=True):
        return
    click.echo(f"removed: {len(changes.empty_trash(stores, limit))}", err=True)


def _belongings(key: str, stores: Stores) -> Iterator[str]:
    """Say what there is of a run, which may be less than all if something was lost."""
    configs, stats, weights, arrays = stores
    if key in configs.names("runs"):
        yield f"its config in {configs.backend!r}"
    if last := stats.retrieve_last_training_stats(key):
        yield f"training stats of {last.iteration + 1} iterations"
    if iterations := stats.retrieve_validation_scores(key).iterations:
        yield f"validation scores of {len(iterations)} iterations"
    if checkpoints := weights.iterations(key):
        yield f"{len(checkpoints)} checkpoints: {', '.join(map(str, checkpoints))}"
    for container in arrays.containers(key):
        yield f"all volumes in {container.container}"


COMMANDS = (rename, delete, restore)
