"""``python -m dacapo.cli.import_each OFFER...``: tell of each whether it can be imported."""

from __future__ import annotations

from dacapo.errors import BrokenPlugin
from dacapo.registry import Offer

from .contained import report_each


def report(offer: Offer) -> str:
    """Return what went wrong with the import of an offer; nothing if it went well."""
    try:
        offer.load()
    except BrokenPlugin as error:
        cause = error.__cause__
        return f"{type(cause).__name__}: {cause}" if cause else str(error).partition("\n")[0]
    return ""


if __name__ == "__main__":
    report_each(report)
