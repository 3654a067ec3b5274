"""The state of every random generator a training depends on: kept, put back, seeded."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_of(*parts: object) -> int:
    """Return a seed, the same on every machine, that follows from ``parts``."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def seed_everything(seed: int) -> None:
    """Put all generators where ``seed`` says."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - plugins may still draw from it
    torch.manual_seed(seed)


def capture() -> dict[str, Any]:
    """Return the state of all generators as plain data and tensors."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "python": {"version": version, "words": list(words), "gauss": gauss},
        "numpy": {
            "name": str(name),
            "keys": np.asarray(keys).tolist(),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = list(torch.cuda.get_rng_state_all())
    return state


def restore(state: dict[str, Any]) -> None:
    """Put all generators back where ``capture`` found them."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"]), python["gauss"]))
    keys = np.asarray(numpy["keys"], np.uint32)
    np.random.set_state(  # noqa: NPY002
        (numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"])
    )
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available() and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run the body with all generators at ``seed``, and put them back afterwards."""
    before = capture()
    seed_everything(seed)
    try:
        yield
    finally:
        restore(before)
