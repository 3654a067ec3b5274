"""``dacapo queue`` and ``dacapo worker``: runs that wait to be trained, and who trains them.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

import click

from dacapo.resources import read_resources, write_resources

from .commands import Group
from .tables import json_option, show, show_json

COLUMNS = ("run", "state", "since", "priority", "needs", "reason", "by")


@click.group(cls=Group)
def queue() -> None:
    """Let runs wait for workers to train them."""


@queue.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--priority", type=int, default=0, show_default=True, help="High priorities come first.")
@click.option(
    "--needs", multiple=True, metavar="NAME=AMOUNT", help="What a worker must have, such as gpus=1,memory=32."
)
def add(runs: tuple[str, ...], priority: int, needs: tuple[str, ...]) -> None:
    """Queue stored runs; one that was stopped goes on where it left off."""
    from dacapo.store.create_store import create_queue

    opened, resources = create_queue(), read_resources(needs)
    for run in runs:
        click.echo(opened.add(run, priority, resources).run)


@queue.command("list")
@click.option("--state", "states", multiple=True, help="Only runs in this state; may be given several times.")
@json_option
def list_runs(states: tuple[str, ...], as_json: bool) -> None:
    """List the runs that are or were queued: those that wait in their order, then the others."""
    from dacapo.store.create_store import create_queue

    entries = create_queue().entries(states)
    if as_json:
        show_json([entry.as_document() for entry in entries])
        return
    rows = [
        (one.run, one.state, one.last.time, one.place.priority, write_resources(one.place.needs) or None,
         one.last.reason or None, one.last.actor)
        for one in entries
    ]  # fmt: skip
    show(COLUMNS, rows, False, nothing="there are no such runs; queue one with  dacapo queue add RUN")


@queue.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
def cancel(runs: tuple[str, ...]) -> None:
    """Take runs out of the queue before a worker has them."""
    from dacapo.store.create_store import create_queue

    opened = create_queue()
    for run in runs:
        click.echo(opened.cancel(run).run)


@click.command()
@click.option("--once", is_flag=True, help="Leave after one run, or at once if there is none.")
@click.option(
    "--idle-exit",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Leave once there was nothing to do for so long.",
)
@click.option(
    "--has", multiple=True, metavar="NAME=AMOUNT", help="What runs may need, if not what this machine has."
)
@click.option("--requeue", is_flag=True, help="When asked to stop, queue the run again.")
@click.option(
    "--poll",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Look so often for runs.",
)
@click.option("--device", help="The torch device, such as cpu or cuda:1.")
@click.option("--no-validation", is_flag=True, help="Leave out the validations.")
@click.option("--no-snapshots", is_flag=True, help="Leave out the snapshots.")
def worker(
    once: bool,
    idle_exit: float | None,
    has: tuple[str, ...],
    requeue: bool,
    poll: float,
    device: str | None,
    no_validation: bool,
    no_snapshots: bool,
) -> None:
    """Train queued runs, one after the other, that this machine is able to train.

    SIGTERM, SIGUSR1 and Ctrl-C make the run write a checkpoint; then the worker leaves with
    exit code 75.  One run that fails does not keep the worker from the next.
    """
    from dacapo.worker import work

    arguments = ["--device", device] if device else []
    arguments += ["--no-validation"] * no_validation + ["--no-snapshots"] * no_snapshots
    work(
        once=once,
        idle_exit=idle_exit,
        has=read_resources(has),
        requeue=requeue,
        arguments=tuple(arguments),
        seconds_between_looks=poll,
    )
