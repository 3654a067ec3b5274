"""Where code runs: in this process, or on a cluster."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .configs import ComputeContext, LocalTorch, create_compute_context

__all__ = ["ComputeContext", "LocalTorch", "create_compute_context"]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "compute_contexts")
