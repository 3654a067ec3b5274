"""Whose weights a run begins with, on one page."""

from __future__ import annotations

from typing import Self

import attrs

from dacapo.config import Config, field, implemented_by


@attrs.define
class InitialWeightsConfig(Config, kind="starts", builds="start_type"):
    """Where the weights come from that a run begins with."""

    default_type = "StartConfig"  # documents of earlier versions hold run and criterion alone


@attrs.define
class StartConfig(InitialWeightsConfig):
    """Begin with the weights of another run: ``StartConfig("other run", "20000")``."""

    start_type = implemented_by("dacapo.experiments.starts.start:Start")

    run: str = field("The run whose weights to begin with.")
    criterion: str = field(
        "Which of its checkpoints: an iteration, or the criterion, or dataset/criterion, that it is best by."
    )
    name: str = field("How the config is called; not needed.", default="")

    def check(self) -> None:
        if not self.run:
            self.refuse("run", "should name a run")
        if not self.criterion:
            self.refuse("criterion", "should be an iteration or the name of a criterion")

    @classmethod
    def example(cls) -> Self:
        """Return the start from another run."""
        return cls("another run", "best")
