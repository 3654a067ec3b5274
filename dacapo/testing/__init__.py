"""Checks that every config type passes, ours and yours.

In a plugin's test-suite::

    from dacapo.testing import conformance
    from acme_dacapo.configs import SkeletonTaskConfig

    test_conformance = conformance([SkeletonTaskConfig("skeletons", tolerance=40)])
"""

from .configs import checks, conformance, failures
from .packages import fake_package

__all__ = ["checks", "conformance", "failures", "fake_package"]
