"""``dacapo task``, ``architecture``, ``trainer``, ``datasplit``, ``dataset``, ``array``: configs by kind.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
import yaml

from dacapo.errors import InvalidRequest

from . import marking
from .commands import KindGroup, of_kind
from .listing import list_configs
from .tables import json_option, show, show_json

if TYPE_CHECKING:
    from dacapo.documents import Document
    from dacapo.store.config_store import ConfigStore


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@of_kind
def create(kind: str, file: Path) -> None:
    """Store the config that FILE describes, in YAML or JSON.

    Of a run, task, architecture, trainer and datasplit are written out, or named if they are stored.
    """
    from dacapo.store.create_store import create_config_store

    from .config_file import read_config

    store = create_config_store()
    click.echo(store.store(kind, read_config(file, kind, store)))


@click.command("show")
@click.argument("name")
@json_option
@of_kind
def show_config(kind: str, name: str, as_json: bool) -> None:
    """Print what is stored of NAME, in the form that  create  reads."""
    from dacapo.store.create_store import create_config_store

    show_document(with_remarks(create_config_store(), kind, name), as_json)


def with_remarks(store: ConfigStore, kind: str, name: str, **more: list[Any]) -> Document:
    """Return a stored document with tags and notes among what the store knows of it: it reads as before."""
    from dacapo.documents import META

    document = store.retrieve_document(kind, name)
    said = {"tags": store.tags(kind, name), "notes": store.notes(kind, name)}
    remarks = {what: [attrs.asdict(one) for one in found] for what, found in said.items() if found}
    return document | {META: {**document.get(META, {}), **remarks, **more}}


def show_document(document: Document, as_json: bool) -> None:
    """Print a document."""
    if as_json:
        show_json(document)
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


@click.command()
@click.argument("one")
@click.argument("other")
@json_option
@of_kind
def diff(kind: str, one: str, other: str, as_json: bool) -> None:
    """Show the fields in which ONE differs from OTHER."""
    from dacapo.store.create_store import create_config_store
    from dacapo.store.differences import ABSENT

    found = create_config_store().compared(kind, one, other)
    same = f"{one} and {other} say the same"
    if as_json:
        plain = [(field, *(None if v is ABSENT else v for v in values)) for field, *values in found]
        show(("field", "one", "other"), plain, as_json)
    else:
        shown = [(field, repr(left), repr(right)) for field, left, right in found]
        show(("field", one, other), shown, as_json, nothing=same)


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_kind
def delete(kind: str, name: str, yes: bool) -> None:
    """Delete NAME for good; runs and others that use it keep their copy."""
    from dacapo.documents import META, TYPE
    from dacapo.store.create_store import create_config_store

    store, noun = create_config_store(), kind.removesuffix("s")
    document = store.retrieve_document(kind, name)
    meta = document.get(META, {})
    by = f", stored by {meta['owner']} at {meta['created']}" if {"owner", "created"} <= {*meta} else ""
    click.echo(f"{noun} {name}: {document.get(TYPE, 'of no type')}{by}", err=True)
    for line in _users(store, name):
        click.echo(f"- {line}", err=True)
    if not yes and not sys.stdin.isatty():
        raise InvalidRequest(f"nobody is there to confirm; delete it with  dacapo {noun} delete {name} --yes")
    if yes or click.confirm("Delete it for good?", err=True):
        store.delete(kind, name)


def _users(store: ConfigStore, name: str) -> list[str]:
    """Say what has a config of a name within, which is a copy."""
    from dacapo.store.config_store import CLASSES
    from dacapo.store.listing import Query

    found = {kind: store.backend.find(kind, Query(uses=[name])) for kind in CLASSES}
    return [
        f"{len(users)} {kind} keep their copy, {users[0][0]} among them"
        for kind, users in found.items()
        if users
    ]


SHARED = (create, diff, *marking.COMMANDS)


def _group(kind: str) -> KindGroup:
    """Return the commands about a kind of configs."""
    group = KindGroup(kind, help=f"Create, list, show, compare, mark and delete {kind}.")
    for command in (*SHARED, list_configs, show_config, delete):
        group.add_command(command)
    return group


task, architecture, trainer = _group("tasks"), _group("architectures"), _group("trainers")
datasplit, dataset, array = _group("datasplits"), _group("datasets"), _group("arrays")
