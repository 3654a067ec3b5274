"""Repeatable measurements, and the long forms of the fault tests; ``python -m benchmarks`` runs them all."""

import sys
from pathlib import Path

# The fault kit and the tests whose long forms are here.
TESTS = Path(__file__).parent.parent / "tests"
sys.path += [str(TESTS), str(TESTS / "store")]
