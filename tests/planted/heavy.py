"""A config that imports what does the work."""

from __future__ import annotations

import attrs
import torch

from dacapo.experiments.tasks import MSELossConfig


@attrs.define
class HeavyConfig(MSELossConfig):
    """A loss that imports torch to be described."""


assert torch
