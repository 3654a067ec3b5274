"""Every verb of the command line with arguments that make it do its work, in an order to go through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from dacapo.cli import cli
from dacapo.documents import write
from dacapo.registry import registry
from dacapo.testing import tiny_run

DEVICE = ("--device", "cpu")
PARTS = ("task", "architecture", "trainer", "datasplit", "dataset", "array")
OF_A_PART = (
    ("create", "a_part.yaml"),
    ("list", "--json"),
    ("show", "part"),
    ("diff", "part", "part"),
    ("tag", "part", "+good"),
    ("note", "part", "a note"),
    ("archive", "part"),
    ("unarchive", "part"),
    ("delete", "part", "--yes"),
)
VERBS: tuple[tuple[str, ...], ...] = (
    ("config",),
    ("config", "--json"),
    ("plugins", "list"),
    ("plugins", "show", "DistanceTaskConfig"),
    ("store", "init"),
    ("store", "roles"),
    ("run", "create", "run.yaml"),
    ("run", "create", "other.yaml"),
    *[
        (part, verb, *(at.replace("part", part) for at in rest))
        for part in PARTS
        for verb, *rest in OF_A_PART
    ],
    ("run", "list", "--json"),
    ("run", "show", "tiny"),
    ("run", "diff", "tiny", "other"),
    ("run", "tag", "tiny", "+good"),
    ("run", "note", "tiny", "a note"),
    ("run", "archive", "tiny"),
    ("run", "unarchive", "tiny"),
    ("queue", "add", "tiny", "other"),
    ("queue", "cancel", "tiny"),
    ("queue", "list"),
    ("worker", "--once", *DEVICE, "--no-validation", "--no-snapshots"),
    ("train", "tiny", *DEVICE),
    ("validate", "tiny", "-i", "2", *DEVICE),
    ("predict", "tiny", "data/validate.zarr", "raw", "out", "-i", "2", *DEVICE),
    ("best", "tiny"),
    ("stats", "tiny"),
    ("top", "dice"),
    ("plot", "tiny"),
    ("export", "tiny", "tiny.zip", "--overwrite"),
    ("import", "tiny.zip", "--as", "third"),
    ("run", "rename", "other", "fourth"),
    ("store", "check", "--deep"),
    ("store", "copy", "from.yaml", "copied"),
    ("store", "upgrade"),
    ("store", "import-legacy", "--trust-pickles"),
    ("run", "delete", "tiny", "--yes"),
    ("store", "trash"),
    ("run", "restore", "tiny"),
    ("run", "delete", "tiny", "--yes"),
    ("store", "empty-trash", "--yes"),
)
# They ask no store.  The demo keeps one of its own, in files.
WITHOUT_A_STORE = (
    "config", "plugins list", "plugins show", "plugins check", "plugins new", "store roles", "demo",
)  # fmt: skip


def path_of(verb: tuple[str, ...]) -> str:
    """Return what a verb is called, without its arguments."""
    group = cli.get_command(click.Context(cli), verb[0])
    return " ".join(verb[: 2 if isinstance(group, click.Group) else 1])


def names() -> Iterator[str]:
    """Yield what every verb of ours is called."""
    root = click.Context(cli)
    for name in cli.list_commands(root):
        if not registry.offers["commands", name][0].is_ours:
            continue
        command = cli.get_command(root, name)
        if isinstance(command, click.Group):
            yield from (f"{name} {inner}" for inner in command.list_commands(root))
        else:
            yield name


def left_out() -> set[str]:
    """Return the verbs that are not gone through, and those that are there no longer."""
    return {*map(path_of, VERBS), *WITHOUT_A_STORE} ^ {*names()}


def write_files() -> None:
    """Write what the verbs name, into the folder that this process is in."""
    for name in ("tiny", "other"):
        config = tiny_run(Path("data"), name=name, num_iterations=2, validation_interval=2)
        Path("run.yaml" if name == "tiny" else "other.yaml").write_text(yaml.safe_dump(write(config)))
    dataset = config.datasplit_config.train_configs[0]
    parts = {part: getattr(config, f"{part}_config") for part in PARTS[:4]}
    for part, one in {**parts, "dataset": dataset, "array": dataset.raw_config}.items():
        Path(f"a_{part}.yaml").write_text(yaml.safe_dump(write(one.replace(name=part))))
