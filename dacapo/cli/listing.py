"""``dacapo run list``, ``dacapo task list`` and so on: which configs there are, and what is said of them.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from .commands import Decorated, of_kind
from .tables import json_option, show

if TYPE_CHECKING:
    from dacapo.store.config_store import ConfigStore
    from dacapo.store.listing import Listed, Query

PARTS = ("task", "architecture", "trainer", "datasplit")
COLUMNS = ("run", *PARTS, "trained", "of", "owner", "stored", "held", "tags", "note")
COLUMNS_OF_OTHERS = ("name", "type", "owner", "stored", "tags", "note")
SELDOM = ("held", "tags", "note")  # not shown to people if nobody has any
# How far a run is trained is asked run by run.
MOST_WITH_PROGRESS = 1000
LONGEST_NOTE_SHOWN = 40


_OF_RUNS = (
    click.option("--task", multiple=True, help="Only runs with this task; may be given several times."),
    click.option("--architecture", multiple=True, help="Only runs with this architecture."),
    click.option("--trainer", multiple=True, help="Only runs with this trainer."),
    click.option("--datasplit", multiple=True, help="Only runs with this datasplit."),
)
_OF_OTHERS = (
    click.option(
        "--type", "type", multiple=True, help="Only those of this type; may be given several times."
    ),
)
_FILTERS = (
    click.option(
        "--uses",
        multiple=True,
        help="Only those within which is a config of this name or type, such as a dataset, array or augment; "
        "of several, all.",
    ),
    click.option("--owner", multiple=True, help="Only those that this person stored."),
    click.option("--tag", "tags", multiple=True, help="Only those that bear this tag; of several, all."),
    click.option("--since", help="Only those stored since then: 2026-11-30, 2026-11-30T12:00, or 30d ago."),
    click.option("--until", help="Only those stored before then."),
    click.option("--match", help="Only those whose name fits a pattern, such as 'mito*'."),
    click.option("--archived", is_flag=True, help="Also those that are archived."),
)
limit_option = click.option("--limit", type=click.IntRange(min=1), help="Only so many, those stored last.")


def run_filters(function: Decorated) -> Decorated:
    """Declare the options that choose among all runs; ``query_of`` reads those that are no flag or tag."""
    return _with(function, *_OF_RUNS, *_FILTERS)


def config_filters(function: Decorated) -> Decorated:
    """Declare the options that choose among all configs of a kind other than runs."""
    return _with(function, *_OF_OTHERS, *_FILTERS)


def _with(function: Decorated, *options: Callable[[Decorated], Decorated]) -> Decorated:
    for option in reversed(options):
        function = option(function)
    return function


def query_of(asked: dict[str, Any]) -> Query:
    """Return the question that options put."""
    from dacapo.store.listing import Query

    among = {field: asked[field] for field in (*PARTS, "type", "owner") if asked.get(field)}
    return Query(among, asked["match"], asked["since"], asked["until"], asked["uses"])


@click.command("list")
@limit_option
@run_filters
@json_option
@of_kind
def list_runs(
    kind: str, as_json: bool, limit: int | None, archived: bool, tags: tuple[str, ...], **asked: Any
) -> None:
    """List the stored runs: their parts, how far each is trained, and what is said of it."""
    from dacapo.store.create_store import create_config_store

    store = create_config_store()
    found = _newest(store.listed(kind, query_of(asked), tags, archived=archived), limit)
    holders = _holders(as_json)
    rows = []
    for one, until in zip(found, _progress(found), strict=True):
        owner, stored, *said = _said(one, as_json)
        parts = (one.fields[part] for part in PARTS)
        held = holders.get(one.key)
        rows.append((one.key, *parts, until, one.fields["iterations"], owner, stored, held, *said))
    _show(COLUMNS, rows, as_json, kind, store)


@click.command("list")
@limit_option
@config_filters
@json_option
@of_kind
def list_configs(
    kind: str, as_json: bool, limit: int | None, archived: bool, tags: tuple[str, ...], **asked: Any
) -> None:
    """List what is stored, with type, owner, tags and note."""
    from dacapo.store.create_store import create_config_store

    store = create_config_store()
    found = _newest(store.listed(kind, query_of(asked), tags, archived=archived), limit)
    rows = [(one.key, one.fields["type"], *_said(one, as_json)) for one in found]
    _show(COLUMNS_OF_OTHERS, rows, as_json, kind, store)


def _newest(found: list[Listed], limit: int | None) -> list[Listed]:
    """Return those that were stored last, by key."""
    if not limit:
        return found
    newest = sorted(found, key=lambda one: str(one.fields["stored"] or ""))[-limit:]
    return sorted(newest, key=lambda one: one.key)


def _said(one: Listed, as_json: bool) -> tuple[Any, ...]:
    """Return owner, time, tags and note; for people with times and notes cut short."""
    owner, stored, tags, note = one.fields["owner"], one.fields["stored"], list(one.tags), one.note
    if as_json:
        return owner, stored, tags, note
    first = (note or "").partition("\n")[0][:LONGEST_NOTE_SHOWN]
    return (
        owner,
        str(stored or "-")[:16].replace("T", " "),
        ", ".join(tags),
        first + "…" * (first != (note or "")),
    )


def _show(columns: Sequence[str], rows: list[Any], as_json: bool, kind: str, store: ConfigStore) -> None:
    """Show a list; for people without columns that are seldom filled, and empty ones explained."""
    noun, nothing = kind.removesuffix("s"), ""
    if not rows and not as_json:
        nothing = f"there are no {kind} yet; store one with  dacapo {noun} create FILE"
        if there := store.names(kind):
            nothing = f"none of the {len(there)} {kind} fits; list all with  dacapo {noun} list --archived"
    if not as_json:
        at = [n for n, name in enumerate(columns) if name not in SELDOM or any(row[n] for row in rows)]
        columns, rows = [columns[n] for n in at], [[row[n] for n in at] for row in rows]
    show(columns, rows, as_json, nothing=nothing)


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
