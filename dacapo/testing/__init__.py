"""Checks that everything a package offers passes, ours and yours.

In a plugin's test-suite::

    from dacapo.testing import conformance
    from acme_dacapo.configs import SkeletonTaskConfig

    test_conformance = conformance([SkeletonTaskConfig])
"""

from . import (
    architectures,
    arrays,
    augments,
    backends,
    commands,
    compute_contexts,
    configs,
    datasets,
    losses,
    networks,
    parameters,
    scoring,
    starts,
    tasks,
    trainers,
)
from .checks import checks, checks_of, conformance, demand, failures
from .fresh_store import FreshStore
from .packages import fake_package
from .tiny import tiny_run

__all__ = [
    "FreshStore",
    "architectures",
    "arrays",
    "augments",
    "backends",
    "checks",
    "checks_of",
    "commands",
    "compute_contexts",
    "configs",
    "conformance",
    "datasets",
    "demand",
    "failures",
    "fake_package",
    "losses",
    "networks",
    "parameters",
    "scoring",
    "starts",
    "tasks",
    "tiny_run",
    "trainers",
]
