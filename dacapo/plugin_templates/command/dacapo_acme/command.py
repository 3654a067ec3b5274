"""The command; what takes time to import is imported inside it, so that ``dacapo --help`` is quick."""

from collections import Counter

import click


@click.command()
def acme() -> None:
    """Count the stored runs by task."""
    from dacapo.store.create_store import create_config_store

    counts = Counter(str(one.fields["task"]) for one in create_config_store().listed("runs"))
    for task, count in counts.most_common():
        click.echo(f"{count}  {task}")
