"""``dacapo plugins``: which types the installed packages offer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from dacapo.errors import DacapoError
from dacapo.registry import KINDS, Offer, registry

from .import_each import MARK
from .tables import json_option, show

SECONDS_TO_IMPORT = 120
COLUMNS = ("kind", "name", "package", "version")


@click.command()
@click.argument("kind", required=False, type=click.Choice(KINDS), metavar="KIND")
@click.option("--check", is_flag=True, help="Import each type and say which cannot be had, and why.")
@json_option
def plugins(kind: str | None, check: bool, as_json: bool) -> None:
    """List the types that installed packages offer, by kind."""
    offers = [
        offer
        for (_, _), rivals in sorted(registry.offers.items())
        for offer in rivals
        if kind in (None, offer.kind)
    ]
    rows: list[tuple[Any, ...]] = [(o.kind, o.name, o.dist, o.version) for o in offers]
    rows += [("unreadable", "-", one.dist, "-") for one in registry.unreadable]
    faults = list(_ambiguities(offers))
    problems: list[str | None] = [*faults, *(one.reason for one in registry.unreadable)]
    if check:
        found = _import_each([offer for offer, fault in zip(offers, faults, strict=True) if not fault])
        problems[: len(offers)] = [
            fault or found.get(offer) for offer, fault in zip(offers, faults, strict=True)
        ]
    if check or any(problems):
        rows = [(*row, problem or "ok") for row, problem in zip(rows, problems, strict=True)]
        show((*COLUMNS, "state"), rows, as_json)
    else:
        show(COLUMNS, rows, as_json, nothing=f"no installed package offers {kind}")
    if check and (broken := sum(map(bool, problems))):
        raise DacapoError(f"{broken} of {len(rows)} cannot be had; the state says why")


def _ambiguities(offers: Sequence[Offer]) -> Iterator[str | None]:
    """Say of each offer whether another package claims the same name."""
    for offer in offers:
        rivals = [o.dist for o in registry.offers[offer.kind, offer.name] if o is not offer]
        yield f"ambiguous: also offered by {', '.join(rivals)}" if rivals else None


def _import_each(offers: Sequence[Offer]) -> dict[Offer, str]:
    """Import offers, one process for each package, and return what went wrong with which.

    A package that takes its process down with it cannot hide behind, or hurt, the others.
    """
    problems: dict[Offer, str] = {}
    for dist in dict.fromkeys(offer.dist for offer in offers):
        left = [offer for offer in offers if offer.dist == dist]
        while left:
            reports, cause = _import_in_process([offer.target for offer in left])
            problems |= {offer: report for offer, report in zip(left, reports, strict=False) if report}
            left = left[len(reports) :]
            if left:
                problems[left.pop(0)] = cause
    return problems


def _import_in_process(targets: list[str]) -> tuple[list[str], str]:
    """Return a report for each target that was got to, and why it ended if it did not get to all."""
    command = [sys.executable, "-m", "dacapo.cli.import_each", *targets]
    cause = "hangs when imported"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_IMPORT)
        output, cause = done.stdout, f"ends the process when imported (exit code {done.returncode})"
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
    return [json.loads(line[1:]) for line in output.split("\n") if line.startswith(MARK)], cause
