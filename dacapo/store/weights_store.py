"""Where checkpoints are kept."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.define
class Weights:
    """What a checkpoint holds: nested plain data (dicts, lists, tuples, numbers, texts) with tensors."""

    model: dict[str, Any]
    optimizer: dict[str, Any] | None = None
    scheduler: dict[str, Any] | None = None
    random_state: dict[str, Any] | None = None
