"""The places code can run in, on one page."""

from __future__ import annotations

import subprocess
from typing import Any

import attrs

from dacapo import registry
from dacapo.config import Config, field
from dacapo.errors import InvalidOptions
from dacapo.options import Options, redacted


@attrs.define(kw_only=True)
class ComputeContext(Config, kind="compute_contexts"):
    """A place where code runs; it knows its device and how to start a command there."""

    name: str = field("How the place is called.", default="")
    distribute_workers: bool = field("Whether workers are started as commands of their own.", default=False)

    @property
    def device(self) -> str:
        """The torch device to compute on, such as ``cpu`` or ``cuda``."""
        return "cpu"

    def wrap_command(self, command: list[str]) -> list[str]:
        """Return the command line that runs ``command`` in this place."""
        return command

    def execute(self, command: list[str]) -> None:
        """Run a command in this place; raises ``CalledProcessError`` when it fails."""
        subprocess.run(self.wrap_command([str(part) for part in command]), check=True)


@attrs.define(kw_only=True)
class LocalTorch(ComputeContext):
    """This machine: its GPU if it has one, otherwise its CPU."""

    _device: str | None = field("The torch device; None takes the best there is.", default=None)
    oom_limit: float = field("Memory, in GB, to leave free.", default=4.2)

    @property
    def device(self) -> str:
        """The device asked for, or the best this machine has."""
        if self._device is not None:
            return self._device
        # Imported here, because options are read where nobody computes.
        import torch

        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"


def create_compute_context(**options: Any) -> ComputeContext:
    """Return the compute context that the options name; any installed package may offer it."""
    chosen = Options.instance(**options).compute_context
    expected: type[ComputeContext] = ComputeContext
    registry.find("compute_contexts", chosen["type"])
    config = {key.removeprefix("_"): value for key, value in chosen["config"].items()}
    try:
        cls = registry.load("compute_contexts", chosen["type"])
        context = cls(**config)
    except TypeError as error:
        raise InvalidOptions(
            f"compute_context {chosen['type']} does not take {redacted(config)}: {error}"
        ) from error
    if not isinstance(context, expected):
        raise InvalidOptions(f"compute_context {chosen['type']} is no ComputeContext")
    return context
