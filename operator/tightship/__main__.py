"""The command `tightship`, also as `python -m tightship`."""

import sys

from tightship.cli.command import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
