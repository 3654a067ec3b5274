"""``dacapo run list``, ``tag``, ``note``, ``archive``: which runs there are, and what people say of them.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dacapo.errors import InvalidRequest

from .commands import Decorated
from .tables import json_option, show

if TYPE_CHECKING:
    from dacapo.store.listing import Listed, Query

PARTS = ("task", "architecture", "trainer", "datasplit")
COLUMNS = ("run", *PARTS, "trained", "of", "owner", "stored", "held", "tags", "note")
# How far a run is trained is asked run by run.
MOST_WITH_PROGRESS = 1000
LONGEST_NOTE_SHOWN = 40


_FILTERS = (
    click.option("--task", multiple=True, help="Only runs with this task; may be given several times."),
    click.option("--architecture", multiple=True, help="Only runs with this architecture."),
    click.option("--trainer", multiple=True, help="Only runs with this trainer."),
    click.option("--datasplit", multiple=True, help="Only runs with this datasplit."),
    click.option("--owner", multiple=True, help="Only runs that this person stored."),
    click.option("--tag", "tags", multiple=True, help="Only runs that bear this tag; of several, all."),
    click.option("--since", help="Only runs stored since then: 2026-11-30, 2026-11-30T12:00, or 30d ago."),
    click.option("--until", help="Only runs stored before then."),
    click.option("--match", help="Only runs whose name fits a pattern, such as 'mito*'."),
    click.option("--archived", is_flag=True, help="Also runs that are archived."),
)


def run_filters(function: Decorated) -> Decorated:
    """Declare the options that choose among all runs; ``query_of`` reads those that are no flag or tag."""
    for option in reversed(_FILTERS):
        function = option(function)
    return function


def query_of(asked: dict[str, Any]) -> Query:
    """Return the question that options put."""
    from dacapo.store.listing import Query

    among = {part: asked[part] for part in (*PARTS, "owner") if asked[part]}
    return Query(among, asked["match"], asked["since"], asked["until"])


@click.command("list")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many, those stored last.")
@run_filters
@json_option
def list_runs(as_json: bool, limit: int | None, archived: bool, tags: tuple[str, ...], **asked: Any) -> None:
    """List the stored runs: their parts, how far each is trained, and what is said of it."""
    from dacapo.store.create_store import create_config_store

    found = create_config_store().listed("runs", query_of(asked), tags, archived=archived)
    if limit:
        newest = sorted(found, key=lambda one: str(one.fields["stored"] or ""))[-limit:]
        found = sorted(newest, key=lambda one: one.key)
    holders = _holders(as_json)
    rows = [
        _row(one, reached, holders.get(one.key), as_json)
        for one, reached in zip(found, _progress(found), strict=True)
    ]
    columns: tuple[str, ...] = COLUMNS
    if not as_json:
        at = [n for n, name in enumerate(COLUMNS) if name in COLUMNS[:-3] or any(row[n] for row in rows)]
        columns, rows = tuple(COLUMNS[n] for n in at), [tuple(row[n] for n in at) for row in rows]
    show(columns, rows, as_json, nothing="there are no such runs; store one with  dacapo run create FILE")


def _row(one: Listed, reached: int | None, holder: Any, as_json: bool) -> tuple[Any, ...]:
    """Return the line of a run; for people with times and notes cut short."""
    stored, tags, note = one.fields["stored"], list(one.tags), one.note
    parts = (one.fields[part] for part in PARTS)
    if not as_json:
        stored = str(stored or "-")[:16].replace("T", " ")
        first = (note or "").partition("\n")[0]
        note = (
            first if first == note and len(first) <= LONGEST_NOTE_SHOWN else f"{first[:LONGEST_NOTE_SHOWN]}…"
        )
        note = note if one.note else ""
    shown = tags if as_json else ", ".join(tags)
    return (
        one.key,
        *parts,
        reached,
        one.fields["iterations"],
        one.fields["owner"],
        stored,
        holder,
        shown,
        note,
    )


def _holders(as_json: bool) -> dict[str, Any]:
    """Return who holds runs now, or held them until they died, by run."""
    from dacapo.store.create_store import create_stats_store
    from dacapo.store.lease import held, in_words

    claims = create_stats_store().backend.open_claims()
    return {run: held(claim) if as_json else in_words(claim) for run, claim in claims.items()}


def _progress(found: list[Listed]) -> list[int | None]:
    """Return how many iterations each run is trained; for more runs than can be asked, nothing."""
    from dacapo.store.create_store import create_stats_store
    from dacapo.store.reached import reached

    if len(found) > MOST_WITH_PROGRESS:
        click.echo(
            f"how far they are trained is told of at most {MOST_WITH_PROGRESS} runs, and these are "
            f"{len(found)}; see  dacapo run list --help  for what can be left out",
            err=True,
        )
        return [None] * len(found)
    keys = [one.key for one in found]
    until = reached(create_stats_store(), keys)
    return [until[key] for key in keys]


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("name", metavar="RUN")
@click.argument("tags", metavar="[+TAG|-TAG]...", nargs=-1, type=click.UNPROCESSED)
def tag(name: str, tags: tuple[str, ...]) -> None:
    """Give a run tags (+good), take others away (-bad), and print those it has then."""
    from dacapo.store.create_store import create_config_store

    if unclear := [one for one in tags if one[:1] not in ("+", "-")]:
        raise InvalidRequest(
            f"write +{unclear[0]} to give the tag {unclear[0]}, or -{unclear[0]} to take it away"
        )
    add, remove = ([one[1:] for one in tags if one[0] == sign] for sign in "+-")
    for one in create_config_store().tag("runs", name, add, remove):
        click.echo(one)


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("text", required=False)
@json_option
def note(name: str, text: str | None, as_json: bool) -> None:
    """Add a note to a run; without TEXT print what is noted."""
    from dacapo.store.create_store import create_config_store

    store = create_config_store()
    if text is not None:
        store.note("runs", name, text)
    elif notes := [(one.at, one.by, one.text) for one in store.notes("runs", name)]:
        show(("at", "by", "note"), notes, as_json)
    else:
        show(("at", "by", "note"), (), as_json, nothing=f'write one with  dacapo run note {name} "..."')


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
def archive(names: tuple[str, ...]) -> None:
    """Leave runs out of lists from now on; nothing else changes."""
    _tag_archived(names, True)


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
def unarchive(names: tuple[str, ...]) -> None:
    """Show archived runs in lists again."""
    _tag_archived(names, False)


def _tag_archived(names: tuple[str, ...], archived: bool) -> None:
    from dacapo.store.create_store import create_config_store
    from dacapo.store.remarks import ARCHIVED

    store = create_config_store()
    for name in names:
        store.tag("runs", name, **{"add" if archived else "remove": (ARCHIVED,)})


COMMANDS = (list_runs, tag, note, archive, unarchive)
