"""Checks for compute contexts: that commands run, with what they were given, and tell how it went."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch

from dacapo.compute_context import ComputeContext

from .checks import check, demand

WRITE = (
    "import os, sys; open(sys.argv[1], 'w').write(os.environ.get('KIT', '') + '|' + '|'.join(sys.argv[2:]))"
)


@check("compute_contexts")
def a_command_runs(context: ComputeContext) -> None:
    """When ``execute`` returns the command is done; its arguments arrive as they were."""
    strange = ["two words", "$HOME", "a'b\"c", "*", "--flag=1", ";"]
    found = _written(context, *strange)
    demand(found is not None, "execute() returned, and the command had not run; wait for its end")
    demand(
        found is not None and found.split("|")[1:] == strange,
        f"the command was given {strange}, and saw {found}; quote by shlex, or use no shell",
    )


@check("compute_contexts")
def the_environment_reaches_the_command(context: ComputeContext) -> None:
    """What is in the environment of this process is in that of the command."""
    with mock.patch.dict(os.environ, KIT="reached"):
        found = _written(context) or ""
    demand(
        found.startswith("reached|"),
        "a variable of this process is not in the command's environment; pass it on",
    )


@check("compute_contexts")
def a_failed_command_is_an_error(context: ComputeContext) -> None:
    """A command that ends with another exit code than 0 raises ``CalledProcessError`` with that code."""
    try:
        context.execute([sys.executable, "-c", "raise SystemExit(3)"])
    except subprocess.CalledProcessError as error:
        demand(
            error.returncode == 3, f"a command ended with 3, and CalledProcessError says {error.returncode}"
        )
    except Exception as error:
        raise AssertionError(f"a failed command raises {error!r}; raise CalledProcessError") from error
    else:
        raise AssertionError("a command ended with 3, and execute() said nothing; raise CalledProcessError")


@check("compute_contexts")
def wrapping_leaves_the_command_alone(context: ComputeContext) -> None:
    """``wrap_command`` returns a list of texts, and does not change the list it is given."""
    command = ["program", "an argument"]
    wrapped = context.wrap_command(command)
    demand(
        command == ["program", "an argument"], "wrap_command changed the list it was given; make a new one"
    )
    fine = isinstance(wrapped, list) and bool(wrapped) and all(isinstance(part, str) for part in wrapped)
    demand(fine, f"wrap_command returned {wrapped!r}, and should return a list of texts")


@check("compute_contexts")
def the_device_is_one_of_torch(context: ComputeContext) -> None:
    """``device`` names a device that torch knows."""
    try:
        torch.device(context.device)
    except (RuntimeError, TypeError) as error:
        raise AssertionError(
            f"its device is {context.device!r}, which torch does not know: {error}"
        ) from error


def _written(context: ComputeContext, *arguments: str) -> str | None:
    """Run a command that writes what it sees, and return that; None if it did not write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seen"
        context.execute([sys.executable, "-c", WRITE, str(path), *arguments])
        return path.read_text() if path.exists() else None
