"""``dacapo plugins show``: all that can be said of one type, also of one that cannot be had."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import attrs
import click

from dacapo.discovery import NOT_CONFIGS
from dacapo.errors import MissingPlugin, did_you_mean
from dacapo.registry import Offer, registry

from .contained import Ended, each
from .tables import json_option, show_json, table

SECONDS_TO_IMPORT = 120
FIELDS = ("field", "type", "default", "help")
CONTINUED = 11


@click.command("show")
@click.argument("name")
@json_option
def show_plugin(name: str, as_json: bool) -> None:
    """Show one type: who offers it, what it is for, and its fields.

    NAME is the one that documents bear, or that of the class.
    """
    facts = [_facts(offer) for offer in _offers_called(name)]
    if as_json:
        show_json(facts)
        return
    for number, one in enumerate(facts):
        click.echo("\n" * bool(number), nl=False)
        fields = one.pop("fields")
        for key, value in one.items():
            if value:
                click.echo(f"{key:{CONTINUED}}" + str(value).replace("\n", "\n" + " " * CONTINUED))
        if fields:
            click.echo("\n" + table(FIELDS, [tuple(field[column] for column in FIELDS) for field in fields]))


def _offers_called(name: str) -> list[Offer]:
    found = [
        offer for (_, full), rivals in sorted(registry.offers.items()) for offer in rivals
        if name in (full, full.rpartition(".")[2])
    ]  # fmt: skip
    exact = [offer for offer in found if offer.name == name]
    if not found:
        known = {full for _, full in registry.offers}
        short = (one.rpartition(".")[2] for one in known)
        hint = did_you_mean(name, {*known, *short}, "see what there is with  dacapo plugins")
        raise MissingPlugin(f"no installed package offers {name}; {hint}", kind="", name=name)
    return exact or found


def ambiguity(offer: Offer) -> str | None:
    """Say whether another package claims the same name."""
    rivals = [one.dist for one in registry.offers[offer.kind, offer.name] if one is not offer]
    return f"ambiguous: also offered by {', '.join(rivals)}" if rivals else None


def import_each(offers: list[Offer]) -> dict[Offer, str]:
    """Return why offers cannot be imported, of those that cannot."""
    reports = each("dacapo.cli.import_each", offers, SECONDS_TO_IMPORT)
    words = {o: f"{r.how} when imported" if isinstance(r, Ended) else r for o, r in reports.items()}
    return {offer: word for offer, word in words.items() if word}


def _facts(offer: Offer) -> dict[str, Any]:
    """Return what there is to say of an offer; a type is imported here only if it was elsewhere first."""
    problem = import_each([offer]).get(offer)
    twins = [o.name for rivals in registry.offers.values() for o in rivals
             if (o.kind, o.target) == (offer.kind, offer.target) and o.name != offer.name]  # fmt: skip
    facts: dict[str, Any] = {
        "kind": offer.kind,
        "name": offer.name,
        "also as": ", ".join(sorted(twins)),
        "package": f"{offer.dist} {offer.version}",
        "in": offer.place,
        "class": offer.target,
        "state": f"broken: {problem}" if problem else ambiguity(offer) or "ok",
        "fields": [],
    }
    if problem:
        return facts
    cls = offer.load()
    component = _component(cls)
    facts |= {"source": inspect.getsourcefile(cls) or "" if isinstance(cls, type) else "",
              "component": component, "about": inspect.getdoc(cls) or ""}  # fmt: skip
    facts["fields"] = [] if offer.kind in NOT_CONFIGS else list(_fields(cls))
    return facts


def _component(cls: Any) -> str:
    """Return where the component lives, without importing it."""
    named = inspect.getattr_static(cls, getattr(cls, "builds", "") or "builds", None)
    if isinstance(named, type):
        return f"{named.__module__}:{named.__qualname__}"
    return str(getattr(named, "target", ""))


def _fields(cls: Any) -> Iterator[dict[str, str]]:
    """Say of each field its type, its default (or that it is needed) and its help text."""
    for one in attrs.fields(cls):
        if one.init:
            hint = one.type if isinstance(one.type, str) else inspect.formatannotation(one.type)
            yield {
                "field": one.alias or one.name,
                "type": hint,
                "default": _default(one.default),
                "help": str(one.metadata.get("help_text", "")),
            }


def _default(default: Any) -> str:
    if default is attrs.NOTHING:
        return "(needed)"
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return "(made)" if default.takes_self else repr(default.factory())
    return repr(default)
