"""``tag``, ``note``, ``archive`` and ``unarchive``: what people say of configs of any kind.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

import click

from dacapo.errors import InvalidRequest

from .commands import of_kind
from .tables import json_option, show


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("name")
@click.argument("tags", metavar="[+TAG|-TAG]...", nargs=-1, type=click.UNPROCESSED)
@of_kind
def tag(kind: str, name: str, tags: tuple[str, ...]) -> None:
    """Give NAME tags (+good), or take them away (-bad).

    Prints the tags that it has then.
    """
    from dacapo.store.create_store import create_config_store

    if unclear := [one for one in tags if one[:1] not in ("+", "-")]:
        raise InvalidRequest(
            f"write +{unclear[0]} to give the tag {unclear[0]}, or -{unclear[0]} to take it away"
        )
    add, remove = ([one[1:] for one in tags if one[0] == sign] for sign in "+-")
    for one in create_config_store().tag(kind, name, add, remove):
        click.echo(one)


@click.command()
@click.argument("name")
@click.argument("text", required=False)
@json_option
@of_kind
def note(kind: str, name: str, text: str | None, as_json: bool) -> None:
    """Add a note to NAME; without TEXT print what is noted."""
    from dacapo.store.create_store import create_config_store

    store = create_config_store()
    if text is not None:
        store.note(kind, name, text)
        return
    notes = [(one.at, one.by, one.text) for one in store.notes(kind, name)]
    hint = f'write one with  dacapo {kind.removesuffix("s")} note {name} "..."'
    show(("at", "by", "note"), notes, as_json, nothing=hint)


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@of_kind
def archive(kind: str, names: tuple[str, ...]) -> None:
    """Leave some out of lists from now on; nothing else changes."""
    _tag_archived(kind, names, True)


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@of_kind
def unarchive(kind: str, names: tuple[str, ...]) -> None:
    """Show some that are archived in lists again."""
    _tag_archived(kind, names, False)


def _tag_archived(kind: str, names: tuple[str, ...], archived: bool) -> None:
    from dacapo.store.create_store import create_config_store
    from dacapo.store.remarks import ARCHIVED

    store = create_config_store()
    for name in names:
        store.tag(kind, name, **{"add" if archived else "remove": (ARCHIVED,)})


COMMANDS = (tag, note, archive, unarchive)
