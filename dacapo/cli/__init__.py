"""The command line: ``dacapo VERB ...``.

Commands come from the ``dacapo.commands`` entry points of all installed packages.  Results
go to standard output, everything else to standard error.
"""

from __future__ import annotations

import logging

import click

import dacapo
from dacapo.options import exported
from dacapo.redaction import RedactingFormatter

from .commands import Commands

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 name taken, 5 store out of reach, "
    "6 somebody else has the run, "
    "75 stopped at a checkpoint and ready to go on, 130 interrupted, 143 terminated."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="INFO",
    metavar="LEVEL",
    help=f"Log what is at least this important: {', '.join(LEVELS)}.  [default: INFO]",
)
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long to wait for an answer of a server.  [default: 25]",
)
@click.version_option(dacapo.__version__, prog_name="dacapo")
@click.pass_context
def cli(ctx: click.Context, log_level: str, debug: bool, timeout: float | None) -> None:
    """Train, validate and apply segmentation networks on very large microscopy volumes."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("dacapo").setLevel(log_level)
    if timeout is not None:
        # In the environment, so that it holds for the processes that a verb starts too.
        ctx.with_resource(exported(mongo_db_timeout=timeout))


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    cli(prog_name="dacapo")


__all__ = ["cli", "main"]
