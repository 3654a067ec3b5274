"""Whose weights a run begins with, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import attrs

from dacapo.config import Config, field, implemented_by


@attrs.define
class InitialWeightsConfig(Config, kind="starts", builds="start_type"):
    """Where the weights come from that a run begins with."""

    default_type = "StartConfig"  # documents of earlier versions hold run and criterion alone


def _as_text(criterion: Any) -> Any:
    return str(criterion) if type(criterion) is int else criterion


@attrs.define
class StartConfig(InitialWeightsConfig):
    """Begin with the weights of another run: ``StartConfig("other run", "best crop1/voi")``."""

    start_type = implemented_by("dacapo.experiments.starts.start:Start")

    run: str = field("The run whose weights to begin with.")
    criterion: str = field(
        "Which of its checkpoints: an iteration, latest, 'best <dataset>/<criterion>', or a criterion alone "
        "if one checkpoint is the best by it on all datasets.",
        converter=_as_text,
    )
    name: str = field("How the config is called; not needed.", default="")

    def check(self) -> None:
        if not self.run:
            self.refuse("run", "should name a run")
        if not self.criterion:
            self.refuse("criterion", "should be an iteration, latest, or 'best <dataset>/<criterion>'")

    @classmethod
    def example(cls) -> Self:
        """Return the start from another run."""
        return cls("another run", "best")


@attrs.define
class CosemStartConfig(StartConfig):
    """Begin with a network of the COSEM project: ``CosemStartConfig("setup04", "1820500")``.

    Needs the extra ``cosem``, and a network connection the first time.  The weights fit the network
    ``CosemUNet``; heads are matched by the labels of COSEM, such as ``mito`` or ``er_mem``.
    """

    start_type = implemented_by("dacapo.experiments.starts.cosem_start:CosemStart")

    @classmethod
    def example(cls) -> Self:
        """Return the start from the network with most classes."""
        return cls("setup04", "1820500")


@attrs.define
class FileStartConfig(InitialWeightsConfig):
    """Begin with the weights in a file: safetensors, or a state dict that torch saved.

    Names may have the prefixes of wrappers before them, such as ``module.``, or be those of the
    backbone alone.  Nothing but tensors and plain data is read.
    """

    start_type = implemented_by("dacapo.experiments.starts.file_start:FileStart")

    path: Path = field("The file: .safetensors, or what torch.save wrote of a state dict.")
    channels: list[str] | None = field(
        "The labels of the channels that the head in the file predicts: those that the run has too are taken "
        "over. None takes over the whole head.",
        default=None,
    )
    partial: bool = field(
        "Take what fits by name and shape, and leave the rest at its initial weights; without it everything "
        "has to fit.",
        default=False,
    )
    name: str = field("How the config is called; not needed.", default="")
