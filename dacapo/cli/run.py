"""``dacapo run``: create, list, show and delete runs.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
import yaml

from dacapo.errors import InvalidRequest

from . import listing
from .commands import Group
from .tables import json_option, show_json

if TYPE_CHECKING:
    from dacapo.store.array_store import ArrayStore
    from dacapo.store.config_store import ConfigStore
    from dacapo.store.stats_store import StatsStore
    from dacapo.store.weights_store import WeightsStore


@click.group(cls=Group)
def run() -> None:
    """Create, list, show and delete runs."""


for command in listing.COMMANDS:
    run.add_command(command)


@run.command()
@click.argument("file", type=click.Path(path_type=Path))
def create(file: Path) -> None:
    """Store the run that FILE describes, in YAML or JSON.

    Its task, architecture, trainer and datasplit are written out, or named if they are stored.
    """
    from dacapo.store.create_store import create_config_store

    from .run_file import read_run_file

    store = create_config_store()
    config = read_run_file(file, store)
    store.store_run_config(config)
    click.echo(config.key)


@run.command("show")
@click.argument("name", metavar="RUN")
@json_option
def show_run(name: str, as_json: bool) -> None:
    """Print what is stored of a run, in the form that  dacapo run create  reads."""
    from dacapo.documents import META
    from dacapo.store.create_store import create_config_store, create_stats_store
    from dacapo.store.lease import held

    store = create_config_store()
    document = store.retrieve_document("runs", name)
    claim = create_stats_store().backend.newest_claim(store.find("runs", name))
    said = {"tags": store.tags("runs", name), "notes": store.notes("runs", name)}
    # Among what the store knows, so that  dacapo run create  reads the whole.
    remarks = {what: [attrs.asdict(one) for one in found] for what, found in said.items() if found}
    if claim is not None and not claim.released:
        remarks["held"] = [held(claim)]
    document = document | {META: {**document.get(META, {}), **remarks}}
    if as_json:
        show_json(document)
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


@run.command()
@click.argument("name", metavar="RUN")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, yes: bool) -> None:
    """Delete a run: its config, stats, scores, checkpoints and volumes."""
    from dacapo.store import create_store
    from dacapo.store.deletion import delete_run

    configs, stats = create_store.create_config_store(), create_store.create_stats_store()
    weights, arrays = create_store.create_weights_store(), create_store.create_array_store()
    key = configs.find("runs", name)
    click.echo(f"run {key}:", err=True)
    for line in _belongings(key, configs, stats, weights, arrays):
        click.echo(f"- {line}", err=True)
    if not yes and not sys.stdin.isatty():
        raise InvalidRequest(f"nobody is there to confirm; delete it with  dacapo run delete {name} --yes")
    if yes or click.confirm("Delete all of this?", err=True):
        gone = delete_run(key, configs, stats, weights, arrays)
        click.echo(f"deleted: {', '.join(gone)}", err=True)


def _belongings(
    key: str, configs: ConfigStore, stats: StatsStore, weights: WeightsStore, arrays: ArrayStore
) -> Iterator[str]:
    """Say what there is of a run, which may be less than all if something was lost."""
    if key in configs.names("runs"):
        yield f"its config in {configs.backend!r}"
    if last := stats.retrieve_last_training_stats(key):
        yield f"training stats of {last.iteration + 1} iterations"
    if iterations := stats.retrieve_validation_scores(key).iterations:
        yield f"validation scores of {len(iterations)} iterations"
    if checkpoints := weights.iterations(key):
        yield f"{len(checkpoints)} checkpoints: {', '.join(map(str, checkpoints))}"
    for container in arrays.containers(key):
        yield f"all volumes in {container.container}"
