"""``python -m dacapo`` is ``dacapo``."""

from dacapo.cli import main

if __name__ == "__main__":
    main()
