"""The network backbones, on one page.

An architecture config answers questions of shape without importing torch; only
``module()`` builds the network.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
from funlib.geometry import Coordinate

from dacapo.config import Config, field, implemented_by


@attrs.define(kw_only=True)
class ArchitectureConfig(Config, kind="architectures", builds="architecture_type"):
    """A backbone: raw image in, feature maps out; the task puts a head on it."""

    architecture_type: Any = attrs.field(init=False, repr=False, eq=False, default=None)
