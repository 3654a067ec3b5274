"""``python -m dacapo.cli.import_each TARGET...``: tell of each whether it can be imported.

Runs in a process of its own, so that a package that crashes or hangs harms nobody else.
"""

from __future__ import annotations

import json
import sys

from dacapo.registry import import_target

# What an import prints of its own must not be taken for a report.
MARK = "\x1e"


def report(target: str) -> str:
    """Return what went wrong with the import of ``package.module:Class``; nothing if it went well."""
    try:
        import_target(target)
    except BaseException as error:  # also SystemExit: an import may try to leave
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    """Print one marked line for each target of the command line."""
    for target in sys.argv[1:]:
        print("\n" + MARK + json.dumps(report(target)), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
