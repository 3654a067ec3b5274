"""Where code runs: in this process, or on a cluster."""

from .configs import ComputeContext, LocalTorch, create_compute_context

__all__ = ["ComputeContext", "LocalTorch", "create_compute_context"]
