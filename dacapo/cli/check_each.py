"""``python -m dacapo.cli.check_each OFFER...``: tell of each which checks of the kit it fails."""

from __future__ import annotations

from dacapo.errors import BrokenPlugin
from dacapo.registry import Offer
from dacapo.testing import failures

from .contained import report_each


def report(offer: Offer) -> list[tuple[str, str]]:
    """Return the checks that a type fails, and why; that it can be imported comes before all of them."""
    try:
        offered = offer.load()
    except BrokenPlugin as error:
        return [("imports", str(error).partition("\n")[0])]
    return [(check, _in_words(error)) for check, error in failures(offered)]


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    report_each(report)
