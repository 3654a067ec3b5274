"""``python -m dacapo.cli.check_each OFFER...``: tell of each which checks of the kit it fails."""

from __future__ import annotations

from typing import Any

from dacapo.discovery import NOT_CONFIGS
from dacapo.errors import BrokenPlugin
from dacapo.registry import Offer
from dacapo.testing import failures

from .contained import report_each


def report(offer: Offer) -> list[tuple[str, str]]:
    """Return the checks that a type fails, and why; ``imports`` and ``example`` come before all others."""
    try:
        cls = offer.load()
    except BrokenPlugin as error:
        return [("imports", str(error).partition("\n")[0])]
    if offer.kind in NOT_CONFIGS:
        return []
    try:
        example: Any = cls.example()
    except Exception as error:
        return [("example", _in_words(error))]
    return [(check, _in_words(error)) for check, error in failures(example)]


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    report_each(report)
