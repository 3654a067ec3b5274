"""Checks that everything a package offers passes, ours and yours.

In a plugin's test-suite::

    from dacapo.testing import conformance
    from acme_dacapo.configs import SkeletonTaskConfig

    test_conformance = conformance([SkeletonTaskConfig])
"""

from . import (
    backends,
    commands,
    configs,
)
from .checks import checks, checks_of, conformance, demand, failures
from .fresh_store import FreshStore
from .packages import fake_package
from .tiny import tiny_run

__all__ = [
    "FreshStore",
    "backends",
    "checks",
    "checks_of",
    "commands",
    "configs",
    "conformance",
    "demand",
    "failures",
    "fake_package",
    "tiny_run",
]
