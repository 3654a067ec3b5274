"""Networks as small as these are computed by one thread: others cost more in waiting than they do in work."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
